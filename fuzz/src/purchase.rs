//! What a terminal said of a purchase, up to the command that ends the tap.

use std::sync::Arc;

use nfcwallet_core::card::hooks::{CryptogramRequest, CryptogramRequested};

use crate::facts::{ApplicationFacts, Facts, List, decimal};

#[derive(Debug)]
pub(crate) struct Purchase {
    pub(crate) facts: Arc<Facts>,
    pub(crate) application: usize,
    pub(crate) is_checksum: bool,
    pub(crate) p1: u8,
    pub(crate) pdol_data: Vec<u8>,
    /// The last relay exchange, or nothing.
    pub(crate) relay: Vec<u8>,
    /// For CDOL1 or UDOL.
    pub(crate) data: Vec<u8>,
}

impl Purchase {
    pub(crate) fn application(&self) -> &ApplicationFacts {
        &self.facts.applications[self.application]
    }

    /// CDOL1 or UDOL.
    pub(crate) fn list(&self) -> &List {
        match (&self.application().cdol1, &self.application().mag_stripe) {
            (_, Some(mode)) if self.is_checksum => &mode.udol,
            (Some(cdol1), _) if !self.is_checksum => cdol1,
            _ => panic!("the application does not know the command"),
        }
    }

    /// The value that came last: with the command, or else with the PDOL.
    pub(crate) fn value(&self, tag: u32) -> Option<&[u8]> {
        let early = || self.application().pdol.value(tag, &self.pdol_data);
        self.list().value(tag, &self.data).or_else(early)
    }

    fn number(&self, tag: u32) -> Option<u64> {
        decimal(self.value(tag)?)
    }

    /// Amount, currency and country must be there and decimal; other amount, date, and in mag-stripe mode
    /// the unpredictable number, decimal where they are there.
    pub(crate) fn is_decimal_where_it_must(&self) -> bool {
        let mut tags = [0x9F02, 0x5F2A, 0x9F1A].to_vec();
        tags.extend([0x9F03, 0x9A].into_iter().filter(|tag| self.value(*tag).is_some()));
        tags.extend(self.is_checksum.then_some(0x9F6A));
        tags.into_iter().all(|tag| self.number(tag).is_some())
    }

    /// The terminal is in the issuer's country.
    pub(crate) fn is_domestic(&self) -> bool {
        self.number(0x9F1A) == Some(u64::from(self.facts.issuer_country))
    }

    /// Tag 9F37, or 9F6A in mag-stripe mode.
    pub(crate) fn unpredictable_number(&self) -> [u8; 4] {
        let tag = if self.is_checksum { 0x9F6A } else { 0x9F37 };
        self.list().value(tag, &self.data).unwrap().try_into().unwrap()
    }

    /// The wallet was asked about the terminal's own numbers, and none besides.
    pub(crate) fn check(&self, request: &CryptogramRequest) {
        let transaction = &request.transaction;
        assert_eq!(Some(transaction.amount_minor), self.number(0x9F02));
        assert_eq!(transaction.other_amount_minor, self.number(0x9F03).unwrap_or(0));
        assert_eq!(Some(u64::from(transaction.currency)), self.number(0x5F2A));
        assert_eq!(Some(u64::from(transaction.terminal_country)), self.number(0x9F1A));
        assert_eq!(transaction.merchant_category.map(u64::from), self.number(0x9F15));
        assert_eq!(request.unpredictable_number, self.unpredictable_number());
        let requested = match self.p1 & 0xC0 {
            _ if self.is_checksum => CryptogramRequested::Checksum,
            0x80 => CryptogramRequested::Arqc,
            0x40 => CryptogramRequested::Tc,
            _ => CryptogramRequested::Aac,
        };
        assert_eq!(request.requested, requested);
    }
}
