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
    pub(crate) cdol1: List,
    /// By file and number.
    pub(crate) records: BTreeMap<(u8, u8), Vec<u8>>,
    pub(crate) aip: Vec<u8>,
    pub(crate) afl: Vec<u8>,
    pub(crate) iad: IadTemplate,
    pub(crate) icc_key: Option<IccKeyParts>,
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
        let cdol1 = application.records.iter().find_map(|record| {
            let (objects, _) = ber::primitives(&record.bytes).expect("a record that compiles is TLV");
            objects.into_iter().find(|object| object.tag == 0x8C).map(|object| object.value)
        });
        let cdol1 = cdol1.expect("a card that compiles has a CDOL1");
        Self {
            aid: application.aid.clone(),
            pdol: List::read(&application.pdol).expect("a PDOL that compiles is a list"),
            cdol1: List::read(cdol1).expect("a CDOL1 that compiles is a list"),
            records: records.collect(),
            aip: application.aip.clone(),
            afl: application.afl.clone(),
            iad: application.iad.clone(),
            icc_key: application.icc_key.clone(),
        }
    }
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

    /// The value of `tag` as a decimal number; `None` if it is not there or not decimal.
    pub(crate) fn number(&self, tag: u32, data: &[u8]) -> Option<u64> {
        decimal(self.value(tag, data)?)
    }
}

/// Packed decimal digits as a number.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_decimal = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_decimal.then(|| if digits.is_empty() { Ok(0) } else { digits.parse() })?.ok()
}
