//! The card of a token: records, certificates and rules, as one checked [`Profile`].
//!
//! Layout of the records: EMV Book 3, 7 and Annex A; one file with three records, the first signed.

use nfcwallet_core::card::profile::{Application, CvmLimit, IadTemplate, Profile, Record, Rules, transit_categories};

use super::authorisation::CVN;
use super::authority::{Authority, CA_INDEX, IccKey, IccSubject};
use super::pan::pack_digits;
use super::tlv::{join, tlv};
use super::{IssuerError, Pan};

/// Credit and debit.
const AID_CREDIT: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x10, 0x10];
/// Maestro.
const AID_MAESTRO: &[u8] = &[0xA0, 0, 0, 0, 0x04, 0x30, 0x60];
/// 9F1D terminal risk management data, 9F1A country, 9F35 terminal type.
const PHONE_PDOL: &[u8] = &[0x9F, 0x1D, 8, 0x9F, 0x1A, 2, 0x9F, 0x35, 1];
/// Amounts, country, TVR, currency, date, kind, unpredictable number, terminal type, data
/// authentication code, ICC dynamic number, CVM results.
const LEGACY_CDOL1: &[u8] = &[
    0x9F, 0x02, 6, 0x9F, 0x03, 6, 0x9F, 0x1A, 2, 0x95, 5, 0x5F, 0x2A, 2, 0x9A, 3, 0x9C, 1, 0x9F, 0x37, 4, 0x9F, 0x35,
    1, 0x9F, 0x45, 2, 0x9F, 0x4C, 8, 0x9F, 0x34, 3,
];
/// 9F15 merchant category: makes transit visible.
const MERCHANT_CATEGORY: &[u8] = &[0x9F, 0x15, 2];
/// 9F21 time, 9F7C customer exclusive data.
const ADVANCE: &[u8] = &[0x9F, 0x21, 3, 0x9F, 0x7C, 0x14];
/// Only read by contact terminals, which insist on it: 91, 8A, 95, 9F37, 9F4C.
const CDOL2: &[u8] = &[0x91, 0x0A, 0x8A, 2, 0x95, 5, 0x9F, 0x37, 4, 0x9F, 0x4C, 8];
/// No CVM, always: CDCVM is announced by the AIP, not by the list.
const NO_CVM: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0x1F, 0x03];
/// Online PIN where the terminal has it, else no CVM.
const ONLINE_PIN: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0x42, 0x03, 0x1F, 0x03];

/// The shapes of card that this issuer makes. [`CardShape::Phone`] is what a wallet gets; the others
/// show a wallet or a terminal what else is legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CardShape {
    /// PDOL, on-device CVM, CDA, merchant category in CDOL1.
    #[default]
    Phone,
    /// The same without a PDOL: the terminal's CVM limit stays unknown to the card.
    PhoneWithoutPdol,
    /// Maestro's AID instead of credit's.
    Maestro,
    /// Both AIDs, credit first.
    TwoApplications,
    /// A CDOL1 without the merchant category.
    LegacyCdol,
    /// A CDOL1 of 68 bytes.
    AdvanceCdol,
    /// A short ICC key that fits its certificate whole: no remainder.
    ShortIccKey,
    /// No on-device CVM in the AIP, online PIN in the CVM list.
    PlasticCard,
    /// No CDA: the cryptogram travels in the clear and the card has no certificates.
    WithoutCda,
}

impl CardShape {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Phone,
        Self::PhoneWithoutPdol,
        Self::Maestro,
        Self::TwoApplications,
        Self::LegacyCdol,
        Self::AdvanceCdol,
        Self::ShortIccKey,
        Self::PlasticCard,
        Self::WithoutCda,
    ];

    /// The length of the card's RSA key.
    pub(crate) fn icc_bits(self) -> usize {
        match self {
            Self::ShortIccKey => 1024,
            _ => 1152,
        }
    }

    fn applications(self) -> &'static [(&'static [u8], &'static str)] {
        match self {
            Self::Maestro => &[(AID_MAESTRO, "NFC Wallet Debit")],
            Self::TwoApplications => &[(AID_CREDIT, "NFC Wallet"), (AID_MAESTRO, "NFC Wallet Debit")],
            _ => &[(AID_CREDIT, "NFC Wallet")],
        }
    }

    fn pdol(self) -> &'static [u8] {
        match self {
            Self::PhoneWithoutPdol => &[],
            _ => PHONE_PDOL,
        }
    }

    fn cdol1(self) -> Vec<u8> {
        match self {
            Self::LegacyCdol => LEGACY_CDOL1.to_vec(),
            Self::AdvanceCdol => [LEGACY_CDOL1, MERCHANT_CATEGORY, ADVANCE].concat(),
            _ => [LEGACY_CDOL1, MERCHANT_CATEGORY].concat(),
        }
    }

    /// Tag 82: cardholder verification and terminal risk management; 02 on-device CVM, 01 CDA; EMV mode.
    fn aip(self) -> [u8; 2] {
        match self {
            Self::PlasticCard => [0x19, 0x80],
            Self::WithoutCda => [0x18, 0x80],
            _ => [0x1B, 0x80],
        }
    }

    fn cvm_list(self) -> &'static [u8] {
        match self {
            Self::PlasticCard => ONLINE_PIN,
            _ => NO_CVM,
        }
    }

    fn offers_cda(self) -> bool {
        self.aip().first().is_some_and(|first| first & 0x01 != 0)
    }
}

/// What a token's card is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personalisation {
    /// Its shape.
    pub shape: CardShape,
    /// First month of validity.
    pub effective: Month,
    /// Last month of validity.
    pub expiry: Month,
    /// ISO 3166 numeric; 5F28 and the card's idea of "domestic".
    pub country: u16,
    /// ISO 4217 numeric; tag 9F42.
    pub currency: u16,
    /// From which amounts the phone demands CDCVM by itself.
    pub cvm_limits: Vec<CvmLimit>,
    /// The phone demands CDCVM at every tap.
    pub always_cdcvm: bool,
}

impl Default for Personalisation {
    /// A German phone with euros, valid from January 2024 to December 2035, and CDCVM above 50 EUR,
    /// 100 GBP, 100 USD, 80 CHF and 500 HKD.
    fn default() -> Self {
        let limit = |(currency, amount_minor)| CvmLimit { currency, amount_minor };
        Self {
            shape: CardShape::Phone,
            effective: Month { year: 24, month: 1 },
            expiry: Month { year: 35, month: 12 },
            country: 276,
            currency: 978,
            cvm_limits: [(978, 5_000), (826, 10_000), (840, 10_000), (756, 8_000), (344, 50_000)].map(limit).into(),
            always_cdcvm: false,
        }
    }
}

/// A month of this century.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// 0 to 49: terminals read 50 and more as the last century.
    pub year: u8,
    /// 1 to 12.
    pub month: u8,
}

impl Month {
    fn last_day(self) -> u8 {
        match self.month {
            2 if self.year.is_multiple_of(4) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Everything that a card is made of.
pub(crate) struct Parts<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) key: &'a IccKey,
    pub(crate) pan: &'a Pan,
    pub(crate) sequence: u8,
    pub(crate) key_index: u8,
    pub(crate) personalisation: &'a Personalisation,
}

impl Parts<'_> {
    pub(crate) fn profile(&self) -> Result<Profile, IssuerError> {
        self.check()?;
        let what = self.personalisation;
        let applications = what.shape.applications().iter().zip(1..);
        Ok(Profile {
            version: 1,
            last_four: self.pan.last_four(),
            applications: applications
                .map(|(&(aid, label), priority)| self.application(aid, label, priority))
                .collect::<Result<_, _>>()?,
            rules: Rules {
                issuer_country: what.country,
                cvm_limits: what.cvm_limits.clone(),
                always_cdcvm: what.always_cdcvm,
                countries: None,
                currencies: None,
                transit_categories: transit_categories(),
            },
        })
    }

    fn check(&self) -> Result<(), IssuerError> {
        let what = self.personalisation;
        for (field, month) in [("effective", what.effective), ("expiry", what.expiry)] {
            if month.year > 49 || !(1..=12).contains(&month.month) {
                return Err(IssuerError::Personalisation { field, reason: format!("is {month:?}") });
            }
        }
        for (field, number) in [("country", what.country), ("currency", what.currency)] {
            if number > 999 {
                return Err(IssuerError::Personalisation { field, reason: format!("is {number}, limit 999") });
            }
        }
        Ok(())
    }

    fn application(&self, aid: &[u8], label: &str, priority: u8) -> Result<Application, IssuerError> {
        let shape = self.personalisation.shape;
        let data = self.cardholder_record();
        let mut records = vec![Record { sfi: 2, number: 1, bytes: tlv(0x70, &data) }];
        let mut icc_key = None;
        if shape.offers_cda() {
            // The content of the record, then the AIP, which 9F4A names (EMV Book 3, 10.3).
            records.extend(self.certificate_records(&[data.as_slice(), &shape.aip()].concat())?);
            icc_key = Some(self.key.parts()?);
        }
        let last = records.len().try_into().unwrap_or(u8::MAX);
        Ok(Application {
            aid: aid.to_vec(),
            label: label.to_owned(),
            priority,
            kernel_identifier: Vec::new(),
            preferred_name: None,
            data_objects: Vec::new(),
            languages: Some("deen".to_owned()),
            pdol: shape.pdol().to_vec(),
            issuer_discretionary: self.device_data(),
            aip: shape.aip().to_vec(),
            afl: vec![2 << 3, 1, last, u8::from(shape.offers_cda())],
            records,
            iad: IadTemplate {
                key_index: self.key_index,
                cvn: CVN,
                // Unused counters, as cards in the field show them.
                counters: vec![0, 0, 0, 0, 0, 0, 0, 0xFF],
            },
            icc_key,
            ca_key: None,
            relay_resistance: None,
        })
    }

    /// Tag 9F6E: country, no proprietary data, a phone whose card runs in the host processor.
    fn device_data(&self) -> Vec<u8> {
        let [high, low] = numeric(self.personalisation.country);
        tlv(0x9F6E, &[high, low, 0, 0, b'1', b'4', 0])
    }

    fn cardholder_record(&self) -> Vec<u8> {
        let what = self.personalisation;
        let (from, until) = (what.effective, what.expiry);
        let mut record = join([
            tlv(0x57, &self.track2()),
            tlv(0x5A, &self.pan.packed()),
            tlv(0x5F24, &[bcd(until.year), bcd(until.month), bcd(until.last_day())]),
            tlv(0x5F25, &[bcd(from.year), bcd(from.month), 0x01]),
            tlv(0x5F28, &numeric(what.country)),
            tlv(0x5F34, &[bcd(self.sequence)]),
            tlv(0x8C, &what.shape.cdol1()),
            tlv(0x8D, CDOL2),
            tlv(0x8E, what.shape.cvm_list()),
            // Everywhere and for everything: the phone itself decides on cash and refunds.
            tlv(0x9F07, &[0xFF, 0xC0]),
            tlv(0x9F08, &[0x00, 0x02]),
            tlv(0x9F0D, &[0xB0, 0x50, 0xBC, 0x80, 0x00]),
            tlv(0x9F0E, &[0; 5]),
            tlv(0x9F0F, &[0xB0, 0x70, 0xBC, 0x98, 0x00]),
            tlv(0x9F42, &numeric(what.currency)),
        ]);
        if what.shape.offers_cda() {
            record.extend(tlv(0x9F4A, &[0x82]));
        }
        record
    }

    /// Tag 57: number, expiry, service code 201 (chip, any country), zeros up to 19 bytes.
    fn track2(&self) -> Vec<u8> {
        let expiry = self.personalisation.expiry;
        let digits = format!("{}D{:02}{:02}201", self.pan.expose(), expiry.year, expiry.month);
        pack_digits(&format!("{digits:0<37}"))
    }

    fn certificate_records(&self, static_data: &[u8]) -> Result<[Record; 2], IssuerError> {
        let expiry = self.personalisation.expiry;
        let subject = IccSubject {
            pan: self.pan,
            expiry_mmyy: [bcd(expiry.month), bcd(expiry.year)],
            serial: [0, 0, 1],
            static_data,
        };
        let icc = self.authority.certify_icc(self.key, &subject)?;
        let issuer = self.authority.issuer_certificate();
        let remainder = |tag, rest: &Option<Vec<u8>>| rest.as_deref().map(|rest| tlv(tag, rest)).unwrap_or_default();
        let issuer_record = join([
            tlv(0x8F, &[CA_INDEX]),
            tlv(0x9F32, &issuer.exponent),
            remainder(0x92, &issuer.remainder),
            tlv(0x90, &issuer.certificate),
        ]);
        let icc_record =
            join([tlv(0x9F47, &icc.exponent), remainder(0x9F48, &icc.remainder), tlv(0x9F46, &icc.certificate)]);
        Ok([
            Record { sfi: 2, number: 2, bytes: tlv(0x70, &issuer_record) },
            Record { sfi: 2, number: 3, bytes: tlv(0x70, &icc_record) },
        ])
    }
}

/// Two decimal digits.
fn bcd(number: u8) -> u8 {
    ((number / 10 % 10) << 4) | (number % 10)
}

/// Four decimal digits: country and currency codes.
pub(crate) fn numeric(number: u16) -> [u8; 2] {
    let pair = |number: u16| bcd(u8::try_from(number % 100).unwrap_or(0));
    [pair(number / 100), pair(number)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::authority::Certificate;
    use crate::issuer::tlv::tests::children;
    use crate::issuer::verify::{recover_icc_key, recover_issuer_key};

    fn profile(shape: CardShape) -> Profile {
        let key = IccKey::from_seed([5; 32], shape.icc_bits()).unwrap();
        let personalisation = Personalisation { shape, ..Personalisation::default() };
        Parts {
            authority: &Authority::shared().unwrap(),
            key: &key,
            pan: &Pan::complete("541333900000001").unwrap(),
            sequence: 0,
            key_index: 1,
            personalisation: &personalisation,
        }
        .profile()
        .unwrap()
    }

    fn value(application: &Application, tag: u32) -> Option<Vec<u8>> {
        let found: Vec<_> = application
            .records
            .iter()
            .flat_map(|record| children(&record.bytes, 0x70).expect("a record is TLV"))
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value.to_vec())
            .collect();
        assert!(found.len() <= 1, "{tag:04X} appears {} times", found.len());
        found.into_iter().next()
    }

    #[test]
    fn every_record_fits_and_is_named_by_the_afl() {
        for shape in CardShape::ALL {
            for application in profile(shape).applications {
                let [first, from, to, signed] = application.afl[..] else { panic!("one entry") };
                assert_eq!((first, from), (0x10, 1), "{shape:?}");
                assert_eq!(usize::from(to), application.records.len());
                assert_eq!(signed == 1, application.icc_key.is_some());
                for record in &application.records {
                    assert!(record.bytes.len() <= 254, "{shape:?} {} is {}", record.number, record.bytes.len());
                }
            }
        }
    }

    #[test]
    fn every_chain_leads_to_the_key_in_the_profile() {
        let ca = Authority::shared().unwrap().ca_public_key();
        for application in CardShape::ALL.into_iter().flat_map(|shape| profile(shape).applications) {
            let Some(key) = &application.icc_key else { continue };
            // Tag and length of the template are not signed: 70 81 and the length.
            let mut static_data = application.records[0].bytes[3..].to_vec();
            static_data.extend(&application.aip);
            let part = |tag| value(&application, tag);
            let issuer = Certificate {
                certificate: part(0x90).unwrap(),
                remainder: part(0x92),
                exponent: part(0x9F32).unwrap(),
            };
            let icc = Certificate {
                certificate: part(0x9F46).unwrap(),
                remainder: part(0x9F48),
                exponent: part(0x9F47).unwrap(),
            };
            let issuer = recover_issuer_key(&ca, &issuer).unwrap();
            let icc = recover_icc_key(&issuer, &icc, &static_data).unwrap();
            assert_eq!((&icc.modulus, &icc.exponent), (&key.modulus, &key.exponent));
            assert_eq!(icc.owner[..8], part(0x5A).unwrap());
        }
    }

    #[test]
    fn the_phone_says_what_the_field_expects() {
        let profile = profile(CardShape::Phone);
        let phone = &profile.applications[0];
        assert_eq!(hex::encode_upper(&phone.aip), "1B80");
        assert_eq!(hex::encode_upper(&phone.afl), "10010301");
        assert_eq!(hex::encode_upper(&phone.pdol), "9F1D089F1A029F3501");
        assert_eq!(hex::encode_upper(&phone.issuer_discretionary), "9F6E0702760000313400");
        assert_eq!(hex::encode_upper(value(phone, 0x5F24).unwrap()), "351231");
        assert_eq!(hex::encode_upper(value(phone, 0x9F42).unwrap()), "0978");
        let track2 = hex::encode_upper(value(phone, 0x57).unwrap());
        let pan = hex::encode_upper(value(phone, 0x5A).unwrap());
        assert_eq!(track2, format!("{pan}D35122010000000000000F"));
        assert_eq!(profile.last_four, pan[12..]);
        // 43 bytes of the legacy list and the merchant category.
        let length = |cdol: &[u8]| lengths(cdol).into_iter().map(usize::from).sum::<usize>();
        assert_eq!(length(&value(phone, 0x8C).unwrap()), 45);
    }

    fn lengths(mut dol: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let [first, rest @ ..] = dol {
            let rest = if first & 0x1F == 0x1F { &rest[1..] } else { rest };
            out.push(rest[0]);
            dol = &rest[1..];
        }
        out
    }

    #[test]
    fn a_personalisation_out_of_range_names_its_field() {
        let bad = Personalisation { country: 1000, ..Personalisation::default() };
        let key = IccKey::from_seed([5; 32], 512).unwrap();
        let parts = Parts {
            authority: &Authority::shared().unwrap(),
            key: &key,
            pan: &Pan::complete("541333900000001").unwrap(),
            sequence: 0,
            key_index: 1,
            personalisation: &bad,
        };
        assert!(matches!(parts.profile(), Err(IssuerError::Personalisation { field: "country", .. })));
    }
}
