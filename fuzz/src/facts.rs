//! What a terminal could know of a card: read from the profile, by code of its own.

use std::collections::BTreeMap;

use nfcwallet_core::card::profile::{Application, IadTemplate, IccKeyParts, Profile};

use crate::ber;

/// Everything that decides what the card must answer.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) applications: Vec<ApplicationFacts>,
    pub(crate) issuer_country: u16,
}

#[derive(Debug)]
pub(crate) struct ApplicationFacts {
    pub(crate) aid: Vec<u8>,
    pub(crate) pdol: List,
    /// In EMV mode.
    pub(crate) cdol1: Option<List>,
    pub(crate) mag_stripe: Option<MagStripeFacts>,
    /// Minimum, maximum and transmission time.
    pub(crate) relay_times: Option<[u8; 6]>,
    /// By tag: the whole objects that GET DATA finds.
    pub(crate) data_objects: BTreeMap<u32, Vec<u8>>,
    /// By file and number.
    pub(crate) records: BTreeMap<(u8, u8), Vec<u8>>,
    pub(crate) aip: Vec<u8>,
    pub(crate) afl: Vec<u8>,
    pub(crate) iad: IadTemplate,
    pub(crate) icc_key: Option<IccKeyParts>,
}

/// What a terminal without EMV mode needs.
#[derive(Debug)]
pub(crate) struct MagStripeFacts {
    pub(crate) udol: List,
    pub(crate) track_1: Option<Vec<u8>>,
    pub(crate) track_2: Vec<u8>,
}

/// A data object list: tags and lengths (EMV Book 3, 5.4).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) entries: Vec<(u32, usize)>,
    /// As it is written.
    pub(crate) bytes: Vec<u8>,
}

impl Facts {
    /// Of a profile that compiles.
    pub(crate) fn of(profile: &Profile) -> Self {
        Self {
            applications: profile.applications.iter().map(ApplicationFacts::of).collect(),
            issuer_country: profile.rules.issuer_country,
        }
    }
}

impl ApplicationFacts {
    fn of(application: &Application) -> Self {
        let records = application.records.iter().map(|record| ((record.sfi, record.number), record.bytes.clone()));
        let find = |tag| find(application, tag);
        let has_emv_mode = application.aip.get(1).is_some_and(|second| second & 0x80 != 0);
        let cdol1 = has_emv_mode.then(|| find(0x8C).expect("a card with EMV mode has a CDOL1"));
        let mag_stripe = find(0x9F6B).map(|track_2| MagStripeFacts {
            udol: List::read(find(0x9F69).unwrap_or(&[0x9F, 0x6A, 4])).expect("a UDOL that compiles is a list"),
            track_1: find(0x56).map(<[u8]>::to_vec),
            track_2: track_2.to_vec(),
        });
        let objects = ber::list(&application.data_objects).expect("data objects that compile are TLV");
        Self {
            aid: application.aid.clone(),
            pdol: List::read(&application.pdol).expect("a PDOL that compiles is a list"),
            cdol1: cdol1.map(|list| List::read(list).expect("a CDOL1 that compiles is a list")),
            mag_stripe,
            relay_times: application.relay_resistance.map(|times| {
                let times = [times.min_time, times.max_time, times.transmission_time].map(u16::to_be_bytes);
                times.as_flattened().try_into().expect("three times two bytes")
            }),
            data_objects: objects.into_iter().map(|object| (object.tag, object.bytes.to_vec())).collect(),
            records: records.collect(),
            aip: application.aip.clone(),
            afl: application.afl.clone(),
            iad: application.iad.clone(),
            icc_key: application.icc_key.clone(),
        }
    }
}

/// The value of the first object of that tag in the records.
fn find(application: &Application, tag: u32) -> Option<&[u8]> {
    application.records.iter().find_map(|record| {
        let (objects, _) = ber::primitives(&record.bytes).expect("a record that compiles is TLV");
        objects.into_iter().find(|object| object.tag == tag).map(|object| object.value)
    })
}

impl List {
    /// `None` if a tag or a length is malformed, a tag is there twice, or list or data exceed 252 bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut list = Self { entries: Vec::new(), bytes: bytes.to_vec() };
        let mut rest = bytes;
        while let Some(length) = ber::tag_length(rest) {
            let tag = rest[..length].iter().fold(0, |tag, byte| tag << 8 | u32::from(*byte));
            let asked = usize::from(*rest.get(length)?);
            if list.entries.iter().any(|(earlier, _)| *earlier == tag) {
                return None;
            }
            list.entries.push((tag, asked));
            rest = &rest[length + 1..];
        }
        (rest.is_empty() && bytes.len() <= 252 && list.data_length() <= 252).then_some(list)
    }

    /// How many bytes the terminal sends.
    pub(crate) fn data_length(&self) -> usize {
        self.entries.iter().map(|(_, length)| length).sum()
    }

    /// The value of `tag` in `data`.
    pub(crate) fn value<'a>(&self, tag: u32, data: &'a [u8]) -> Option<&'a [u8]> {
        let before = self.entries.iter().take_while(|(listed, _)| *listed != tag);
        let start = before.map(|(_, length)| length).sum();
        let (_, length) = self.entries.iter().find(|(listed, _)| *listed == tag)?;
        data.get(start..start + length)
    }
}

/// Packed decimal digits as a number.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_decimal.then(|| if digits.is_empty() { Ok(0) } else { digits.parse() })?.ok()
}
