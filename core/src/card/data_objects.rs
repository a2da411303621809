//! GET DATA: the objects of the profile that are in no record (EMV Book 3, 6.5.7).

use std::collections::BTreeMap;

use super::apdu::StatusWord;
use super::profile_error::ProfileError;
use super::tlv::{self, Tlv};

/// An object with its tag and length; the answer to a short command holds no more.
const MAX_OBJECT: usize = 254;

/// Objects that are ready to be sent.
#[derive(Default)]
pub(super) struct DataObjects {
    /// Each with its tag, length and status word, by its tag as a number.
    answers: BTreeMap<u32, Vec<u8>>,
}

impl DataObjects {
    /// Reads the TLVs of a profile. A template is one object; what it holds cannot be asked for.
    pub(super) fn compile(bytes: &[u8]) -> Result<Self, ProfileError> {
        let fault = |reason: &dyn std::fmt::Display| ProfileError::new("data_objects", reason);
        let mut answers = BTreeMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (object, after) = Tlv::read(rest).map_err(|error| fault(&error))?;
            let answer = tlv::object(object.tag, object.value);
            if answer.len() > MAX_OBJECT {
                return Err(fault(&format!("{} is {} bytes, limit {MAX_OBJECT}", object.tag, answer.len())));
            }
            // P1 and P2 of GET DATA name no longer tag.
            if object.tag.number() > 0xFFFF {
                return Err(fault(&format!("{} has more than two bytes", object.tag)));
            }
            if answers.insert(object.tag.number(), StatusWord::OK.answer_with(answer)).is_some() {
                return Err(fault(&format!("{} is there twice", object.tag)));
            }
            rest = after;
        }
        Ok(Self { answers })
    }

    /// The answer to GET DATA; P1 and P2 are the tag, P1 00 for a tag of one byte.
    pub(super) fn answer(&self, p1: u8, p2: u8) -> Option<&[u8]> {
        self.answers.get(&u32::from(u16::from_be_bytes([p1, p2]))).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::test_card::{hex, object};

    #[test]
    fn objects_of_one_and_two_byte_tags_are_found_with_tag_and_length() {
        let objects =
            DataObjects::compile(&hex("9F7D 02 0102 DF01 00 5F50 03 414243 42 01 99 BF65 03 DF0200")).unwrap();
        assert_eq!(objects.answer(0x9F, 0x7D), Some(&hex("9F7D 02 0102 9000")[..]));
        assert_eq!(objects.answer(0xDF, 0x01), Some(&hex("DF01 00 9000")[..]));
        assert_eq!(objects.answer(0x00, 0x42), Some(&hex("42 01 99 9000")[..]));
        assert_eq!(objects.answer(0xBF, 0x65), Some(&hex("BF65 03 DF0200 9000")[..]));
        for [p1, p2] in [[0x9F, 0x7E], [0x42, 0x00], [0xDF, 0x02], [0x00, 0x00]] {
            assert_eq!(objects.answer(p1, p2), None, "{p1:02X}{p2:02X}");
        }
    }

    #[test]
    fn objects_that_no_answer_can_hold_or_name_are_refused() {
        let error = |bytes: &[u8]| DataObjects::compile(bytes).err().unwrap().to_string();
        assert_eq!(error(&hex("9F7D02 01")), "data_objects: an object is cut short");
        assert_eq!(error(&hex("9F7D00 9F7D00")), "data_objects: 9F7D is there twice");
        assert_eq!(error(&hex("DF8101 00")), "data_objects: DF8101 has more than two bytes");
        assert!(DataObjects::compile(&object(0x9F7D, &[0; 250])).is_ok());
        assert_eq!(error(&object(0x9F7D, &[0; 251])), "data_objects: 9F7D is 255 bytes, limit 254");
        assert!(DataObjects::compile(&[]).unwrap().answer(0x9F, 0x7D).is_none());
    }
}
