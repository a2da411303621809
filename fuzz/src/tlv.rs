//! Any bytes as TLV: the parser accepts exactly what the rules allow, and what it read is written back
//! byte for byte.

use nfcwallet_core::card::tlv::{self, Tlv, TlvError};

use crate::ber;

/// The parser's limit on nesting.
const MAX_DEPTH: usize = 8;

pub(crate) fn run(input: &[u8]) {
    one_object(input);
    all_objects(input);
}

fn one_object(input: &[u8]) {
    let expected = ber::first(input);
    match (Tlv::read(input), expected) {
        (Ok((read, rest)), Some((object, after))) => {
            assert_eq!((read.tag.number(), read.value, rest), (object.tag, object.value, after));
            assert_eq!(read.tag.is_constructed(), object.is_template());
            assert_eq!(tlv::object(read.tag, read.value), object.bytes);
        }
        (Err(_), None) => {}
        (read, expected) => panic!("{:?} instead of {expected:?}", read.map(|(read, _)| read.tag)),
    }
    let fills_it = expected.is_some_and(|(_, after)| after.is_empty());
    match Tlv::read_only(input) {
        Ok(read) => assert!(fills_it && Some(read.value) == expected.map(|(object, _)| object.value)),
        Err(error) => assert_eq!(error == TlvError::Trailing, expected.is_some() && !fills_it),
    }
}

fn all_objects(input: &[u8]) {
    let mut seen = Vec::new();
    let result = Tlv::for_each_primitive(input, &mut |object| seen.push((object.tag.number(), object.value)));
    match (result, ber::primitives(input)) {
        (Ok(()), Some((objects, depth))) => {
            assert!(depth <= MAX_DEPTH, "{depth} levels were walked");
            assert!(seen.iter().copied().eq(objects.iter().map(|object| (object.tag, object.value))));
        }
        (Err(TlvError::TooDeep), Some((_, depth))) => assert!(depth > MAX_DEPTH, "{depth} levels were too many"),
        (Err(_), None) => {}
        (result, expected) => panic!("{result:?}, but the rules find {expected:?}"),
    }
}
