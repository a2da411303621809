//! Any bytes as a data object list: exactly the lists that the rules allow are read, each value is
//! found where it lies, and the list is written back byte for byte.

use nfcwallet_core::card::dol::Dol;
use nfcwallet_core::card::tlv::Tag;

use crate::facts::List;

pub(crate) fn run(input: &[u8]) {
    let (dol, list) = match (Dol::parse(input), List::read(input)) {
        (Ok(dol), Some(list)) => (dol, list),
        (Err(_), None) => return,
        (result, expected) => panic!("{result:?}, but the rules find {expected:?}"),
    };
    assert_eq!(dol.encode(), input);
    assert_eq!(dol.data_len(), list.data_length());
    // No two bytes in a row are alike, so that a shifted value is noticed.
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(list.data_length()).collect();
    for &(number, length) in &list.entries {
        let tag = tag(number);
        assert_eq!(dol.length_of(tag).map(usize::from), Some(length));
        assert_eq!(dol.find(tag, &data), list.value(number, &data));
        // Data cut short: no value rather than another one.
        let cut = &data[..data.len() / 2];
        assert_eq!(dol.find(tag, cut), list.value(number, cut));
    }
}

fn tag(number: u32) -> Tag {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let (tag, rest) = Tag::read(&bytes[zeros..]).expect("the rules found a tag");
    assert!(rest.is_empty() && tag.number() == number);
    tag
}
