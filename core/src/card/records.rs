//! The records of an application: the file locator, and what the records hold.

use std::collections::BTreeMap;

use super::apdu::StatusWord;
use super::profile::Record;
use super::profile_error::ProfileError;
use super::tags;
use super::tlv::{Tag, Tlv};

/// A record with its tag and length; the answer to a short command holds no more.
const MAX_RECORD: usize = 254;
/// A tap reads 3 to 6 records; a locator that names hundreds would keep every terminal busy.
const MAX_RECORDS: usize = 32;

/// Tags that a terminal gets from another answer, or that the card makes anew at each tap. In a record
/// they would be there twice.
const ELSEWHERE: [Tag; 16] = [
    tags::LABEL,
    tags::LANGUAGES,
    tags::AIP,
    tags::DF_NAME,
    tags::PRIORITY,
    tags::AFL,
    tags::IAD,
    tags::CODE_TABLE,
    tags::PREFERRED_NAME,
    tags::AC,
    tags::CID,
    tags::ATC,
    tags::PDOL,
    tags::SDAD,
    tags::DYNAMIC_NUMBER,
    tags::POS_INTERACTION,
];

/// Where a record lies: file and number.
type Place = (u8, u8);

/// Records that are ready to be sent.
pub(super) struct Records {
    /// Each with its status word, in the order of their places.
    answers: BTreeMap<Place, Vec<u8>>,
}

impl Records {
    /// Checks the file locator, and that the records are exactly those that it names.
    pub(super) fn compile(afl: &[u8], records: &[Record]) -> Result<Self, ProfileError> {
        let named = named(afl)?;
        let mut answers = BTreeMap::new();
        for record in records {
            let place = (record.sfi, record.number);
            if !named.iter().any(|named| named.place == place) {
                return Err(record_error(place, "the file locator (94) does not name it"));
            }
            let answer = StatusWord::OK.answer_with(record.bytes.clone());
            if answers.insert(place, answer).is_some() {
                return Err(record_error(place, "is there twice"));
            }
        }
        match named.iter().find(|named| !answers.contains_key(&named.place)) {
            Some(named) => Err(record_error(named.place, "is missing, but the file locator (94) names it")),
            None => Ok(Self { answers }),
        }
    }

    /// The answer to READ RECORD.
    pub(super) fn answer(&self, sfi: u8, number: u8) -> Option<&[u8]> {
        self.answers.get(&(sfi, number)).map(Vec::as_slice)
    }
}

/// The primitive objects of all records, by tag.
pub(super) struct Objects<'a>(BTreeMap<Tag, &'a [u8]>);

impl<'a> Objects<'a> {
    /// Checks that each record is a template 70 that fits an answer, and that no object is in the
    /// records twice: a terminal ends the transaction at a repeated one (EMV Book 3, 10.2).
    pub(super) fn read(records: &'a [Record]) -> Result<Self, ProfileError> {
        let mut objects = BTreeMap::new();
        for record in records {
            let place = (record.sfi, record.number);
            if record.bytes.len() > MAX_RECORD {
                return Err(record_error(place, format!("is {} bytes, limit {MAX_RECORD}", record.bytes.len())));
            }
            let template = Tlv::read_only(&record.bytes).map_err(|error| record_error(place, error))?;
            if template.tag != tags::RECORD {
                return Err(record_error(place, format!("is a template {}, not 70", template.tag)));
            }
            let (mut repeated, mut misplaced) = (None, None);
            Tlv::for_each_primitive(template.value, &mut |object| {
                if objects.insert(object.tag, object.value).is_some() {
                    repeated = Some(object.tag);
                }
                if ELSEWHERE.contains(&object.tag) {
                    misplaced = Some(object.tag);
                }
            })
            .map_err(|error| record_error(place, error))?;
            if let Some(tag) = misplaced {
                return Err(ProfileError::tag(tag, "is in a record, and belongs to another answer"));
            }
            if let Some(tag) = repeated {
                return Err(ProfileError::tag(tag, "is in the records twice"));
            }
        }
        Ok(Self(objects))
    }

    pub(super) fn find(&self, tag: Tag) -> Option<&'a [u8]> {
        self.0.get(&tag).copied()
    }

    pub(super) fn require(&self, tag: Tag) -> Result<&'a [u8], ProfileError> {
        self.find(tag).ok_or_else(|| ProfileError::tag(tag, "is missing from the records"))
    }
}

fn record_error((sfi, number): Place, reason: impl std::fmt::Display) -> ProfileError {
    ProfileError::new(format!("record {number} of file {sfi}"), reason)
}

/// What certificates sign of the records (EMV Book 3, 10.3): of each signed record, in the order of the
/// locator, the content of its template; the template as well in files above 10. Locator and records
/// belong together, which [`Records::compile`] checks.
pub(super) fn signed_content(afl: &[u8], records: &[Record]) -> Result<Vec<u8>, ProfileError> {
    let mut signed = Vec::new();
    for Named { place, .. } in named(afl)?.iter().filter(|named| named.signed) {
        let Some(record) = records.iter().find(|record| (record.sfi, record.number) == *place) else { continue };
        let template = Tlv::read_only(&record.bytes).map_err(|error| record_error(*place, error))?;
        signed.extend_from_slice(if record.sfi <= 10 { template.value } else { &record.bytes });
    }
    Ok(signed)
}

/// A record that a file locator names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    place: Place,
    signed: bool,
}

/// The records that a file locator names, in its order (EMV Book 3, 10.2).
fn named(afl: &[u8]) -> Result<Vec<Named>, ProfileError> {
    let fault = |reason: &str| ProfileError::tag(tags::AFL, reason);
    let (entries, rest) = afl.as_chunks::<4>();
    if entries.is_empty() || !rest.is_empty() {
        return Err(fault("is empty or not a multiple of 4 bytes"));
    }
    let mut all: Vec<Named> = Vec::new();
    for &[file, first, last, signed] in entries {
        let sfi = file >> 3;
        if file & 0b111 != 0 || !(1..=30).contains(&sfi) {
            return Err(fault("names a file outside 1 to 30"));
        }
        if first == 0 || first > last {
            return Err(fault("has a record range that is empty or starts at 0"));
        }
        if u16::from(signed) > u16::from(last - first) + 1 {
            return Err(fault("has more signed records than records"));
        }
        if all.len() + usize::from(last - first) >= MAX_RECORDS {
            return Err(ProfileError::tag(tags::AFL, format!("names more than {MAX_RECORDS} records")));
        }
        for number in first..=last {
            if all.iter().any(|earlier| earlier.place == (sfi, number)) {
                return Err(fault("names a record twice"));
            }
            all.push(Named { place: (sfi, number), signed: number - first < signed });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sfi: u8, number: u8, content: &str) -> Record {
        Record { sfi, number, bytes: hex::decode(content).unwrap() }
    }

    fn afl_error(afl: &str) -> String {
        named(&hex::decode(afl).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_locator_names_its_records_in_order() {
        let afl = hex::decode("0801010010010302").unwrap();
        let all: Vec<_> = named(&afl).unwrap().into_iter().map(|named| (named.place, named.signed)).collect();
        assert_eq!(all, [((1, 1), false), ((2, 1), true), ((2, 2), true), ((2, 3), false)]);
    }

    #[test]
    fn a_malformed_file_locator_is_refused() {
        for (afl, reason) in [
            ("", "94: is empty or not a multiple of 4 bytes"),
            ("080101", "94: is empty or not a multiple of 4 bytes"),
            ("00010100", "94: names a file outside 1 to 30"),
            ("F8010100", "94: names a file outside 1 to 30"),
            ("09010100", "94: names a file outside 1 to 30"),
            ("08000100", "94: has a record range that is empty or starts at 0"),
            ("08020100", "94: has a record range that is empty or starts at 0"),
            ("08010203", "94: has more signed records than records"),
            ("0801010008010200", "94: names a record twice"),
            ("08012100", "94: names more than 32 records"),
            ("0801200010010100", "94: names more than 32 records"),
            ("0801FF000801FF00", "94: names more than 32 records"),
        ] {
            assert_eq!(afl_error(afl), reason, "{afl}");
        }
        assert_eq!(named(&[0x08, 0xE0, 0xFF, 0x20]).unwrap().len(), 32);
    }

    #[test]
    fn the_records_are_exactly_those_that_the_file_locator_names() {
        let afl = [0x08, 1, 2, 0];
        let error = |records: &[Record]| Records::compile(&afl, records).err().unwrap().to_string();
        let (one, two) = (record(1, 1, "7003570101"), record(1, 2, "70035A0101"));
        assert!(Records::compile(&afl, &[one.clone(), two.clone()]).is_ok());
        assert!(error(std::slice::from_ref(&one)).starts_with("record 2 of file 1: is missing"));
        assert_eq!(error(&[one.clone(), two.clone(), one.clone()]), "record 1 of file 1: is there twice");
        let stranger = record(3, 1, "7000");
        assert!(error(&[one, two, stranger]).starts_with("record 1 of file 3: the file locator"));
    }

    #[test]
    fn the_signed_content_is_what_terminals_hash() {
        let records = [record(12, 1, "70035A0101"), record(2, 2, "70035A0103"), record(2, 1, "70035A0102")];
        let signed = |afl: [u8; 8]| hex::encode_upper(signed_content(&afl, &records).unwrap());
        assert_eq!(signed([0x10, 1, 2, 1, 0x60, 1, 1, 0]), "5A0102");
        assert_eq!(signed([0x10, 1, 2, 2, 0x60, 1, 1, 1]), "5A01025A010370035A0101");
        assert_eq!(signed([0x60, 1, 1, 1, 0x10, 1, 2, 1]), "70035A01015A0102");
    }

    #[test]
    fn malformed_records_and_repeated_objects_are_refused() {
        let error = |records: &[Record]| Objects::read(records).err().unwrap().to_string();
        assert_eq!(error(&[record(2, 1, "7081025A00")]), "record 1 of file 2: a length is not in its shortest form");
        assert_eq!(error(&[record(2, 1, "7700")]), "record 1 of file 2: is a template 77, not 70");
        assert_eq!(error(&[record(2, 1, "70025A05")]), "record 1 of file 2: an object is cut short");
        assert_eq!(error(&[record(2, 1, "700000")]), "record 1 of file 2: bytes follow the object");
        let twice = [record(2, 1, "70035A0101"), record(2, 2, "70035A0102")];
        assert_eq!(error(&twice), "5A: is in the records twice");
        assert_eq!(
            error(&[record(2, 1, "7004 8202 1B80".replace(' ', "").as_str())]),
            "82: is in a record, and belongs to another answer"
        );
        let long = Record { sfi: 2, number: 1, bytes: vec![0x70; 255] };
        assert_eq!(error(&[long]), "record 1 of file 2: is 255 bytes, limit 254");
    }
}
