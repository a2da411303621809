//! The objects that GET DATA finds (EMV Book 3, 6.5.7).

use std::collections::BTreeMap;

use super::compile::MAX_ANSWER;
use super::profile_error::ProfileError;
use super::records::Objects;
use super::tags;
use super::tlv::{self, Tag, Tlv};

/// A reader asks for a few; a profile with more is broken.
const MAX_OBJECTS: usize = 32;

/// What the card makes anew at each tap, what belongs to a credential and not to the card, and the
/// format of a log that it does not keep.
const NEVER: [Tag; 14] = [
    tags::AC,
    tags::ATC,
    tags::CID,
    tags::CVC3_TRACK_1,
    tags::CVC3_TRACK_2,
    tags::DYNAMIC_NUMBER,
    tags::IAD,
    tags::LAST_ONLINE_ATC,
    tags::LOG_FORMAT,
    tags::SDAD,
    // The card's number belongs into records, which are never printed.
    tags::PAN,
    tags::TRACK_1,
    tags::TRACK_2,
    tags::MAG_STRIPE_TRACK_2,
];

/// Objects that are ready to be sent.
pub(super) struct DataObjects(BTreeMap<Tag, Vec<u8>>);

impl DataObjects {
    /// Checks that each object can be asked for and answered, and that it is nowhere else.
    pub(super) fn compile(bytes: &[u8], records: &Objects<'_>) -> Result<Self, ProfileError> {
        let mut objects = BTreeMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (object, after) = Tlv::read(rest).map_err(|error| ProfileError::new("data_objects", error))?;
            check(&object, records)?;
            if objects.insert(object.tag, tlv::object(object.tag, object.value)).is_some() {
                return Err(ProfileError::tag(object.tag, "is in data_objects twice"));
            }
            if objects.len() > MAX_OBJECTS {
                return Err(ProfileError::new("data_objects", format!("has more than {MAX_OBJECTS} objects")));
            }
            rest = after;
        }
        Ok(Self(objects))
    }

    /// The whole object under `tag`, without a status word.
    pub(super) fn find(&self, tag: Tag) -> Option<&[u8]> {
        self.0.get(&tag).map(Vec::as_slice)
    }
}

fn check(object: &Tlv<'_>, records: &Objects<'_>) -> Result<(), ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(object.tag, reason));
    // P1 and P2 of the command hold the tag, P1 00 before a tag of one byte.
    let is_named = object.tag.number() <= 0xFFFF && !object.tag.is_constructed();
    if !is_named || object.tag == tags::POS_INTERACTION {
        return fault("is not a tag that GET DATA can ask for");
    }
    if NEVER.contains(&object.tag) {
        return fault("is in data_objects, and is no constant of the card");
    }
    if records.find(object.tag).is_some() {
        return fault("is in data_objects and in the records");
    }
    let length = tlv::object(object.tag, object.value).len();
    if length > MAX_ANSWER {
        return Err(ProfileError::tag(object.tag, format!("makes an answer of {length} bytes, limit {MAX_ANSWER}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::profile::Record;
    use crate::card::test_card::{hex, object};

    fn compile(bytes: &[u8]) -> Result<DataObjects, ProfileError> {
        let records = [Record { sfi: 1, number: 1, bytes: hex("7005 9F0802 0002") }];
        DataObjects::compile(bytes, &Objects::read(&records).unwrap())
    }

    #[test]
    fn an_object_is_found_whole_by_its_tag() {
        let objects = compile(&hex("9F170103 DF01020102 420199")).unwrap();
        assert_eq!(objects.find(Tag::new(0x42)), Some(&hex("420199")[..]));
        assert_eq!(objects.find(Tag::new(0x9F17)), Some(&hex("9F170103")[..]));
        assert_eq!(objects.find(Tag::new(0xDF01)), Some(&hex("DF01020102")[..]));
        assert_eq!(objects.find(Tag::new(0x9F36)), None);
        assert!(compile(&[]).is_ok());
    }

    #[test]
    fn an_object_that_cannot_be_asked_for_or_answered_is_refused() {
        let error = |bytes: &[u8]| compile(bytes).err().unwrap().to_string();
        assert_eq!(error(&hex("9F17")), "data_objects: an object is cut short");
        assert_eq!(error(&hex("9F1701039F170102")), "9F17: is in data_objects twice");
        assert_eq!(error(&hex("9F080102")), "9F08: is in data_objects and in the records");
        for tag in ["9F8101", "E1", "BF0C", "DF4B"] {
            assert_eq!(error(&hex(&format!("{tag}00"))), format!("{tag}: is not a tag that GET DATA can ask for"));
        }
        for tag in NEVER {
            let reason = format!("{tag}: is in data_objects, and is no constant of the card");
            assert_eq!(error(&object(tag.number(), &[0; 2])), reason);
        }
        assert!(compile(&object(0x9F70, &[0; 250])).is_ok());
        assert_eq!(error(&object(0x9F70, &[0; 251])), "9F70: makes an answer of 255 bytes, limit 254");
        let many: Vec<u8> = (1..=33).flat_map(|n| object(0xDF00 | n, &[])).collect();
        assert_eq!(error(&many), "data_objects: has more than 32 objects");
    }
}
