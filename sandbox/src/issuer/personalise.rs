//! The card of a token: records, certificates and rules, as one checked [`Profile`].
//!
//! Layout of the records: EMV Book 3, 7 and Annex A; one file with three records, the first signed,
//! unless the shape says otherwise.

use nfcwallet_core::card::profile::{
    Application, CaPublicKey, IadTemplate, Profile, Record, Rules, transit_categories,
};

use super::authorisation::CVN;
use super::authority::{Authority, Certificate, IccKey, IccSubject};
use super::magstripe::StaticTracks;
use super::pan::pack_digits;
use super::tlv::{join, tlv};
use super::{CardShape, IssuerError, Pan, Personalisation};

/// Only read by contact terminals, which insist on it: 91, 8A, 95, 9F37, 9F4C.
const CDOL2: &[u8] = &[0x91, 0x0A, 0x8A, 2, 0x95, 5, 0x9F, 0x37, 4, 0x9F, 0x4C, 8];

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
                countries: what.countries.clone(),
                currencies: what.currencies.clone(),
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
        let signed = self.signed_files();
        let mut certified = None;
        if shape.offers_cda() {
            // The content of the records, then the AIP, which 9F4A names (EMV Book 3, 10.3).
            let content: Vec<u8> = signed.iter().flat_map(|(_, data)| data).copied().collect();
            certified = Some(self.certificate_records(&[content.as_slice(), &shape.aip()].concat())?);
        }
        let (mut records, mut afl) = layout(signed, certified.unwrap_or_default(), shape.offers_cda());
        if shape.has_mag_stripe() {
            // In front, unsigned: a reader that speaks both modes skips it there.
            records.insert(0, Record { sfi: 1, number: 1, bytes: tlv(0x70, &self.static_tracks().record()) });
            afl.splice(..0, [1 << 3, 1, 1, 0]);
        }
        let ca_key = self.authority.ca_public_key();
        Ok(Application {
            aid: aid.to_vec(),
            label: label.to_owned(),
            priority,
            kernel_identifier: shape.kernel_identifier().to_vec(),
            preferred_name: shape.preferred_name(),
            data_objects: shape.data_objects().to_vec(),
            languages: Some("deen".to_owned()),
            pdol: shape.pdol().to_vec(),
            issuer_discretionary: self.device_data(),
            aip: shape.aip().to_vec(),
            afl,
            records,
            iad: IadTemplate {
                key_index: self.key_index,
                cvn: CVN,
                // Unused counters, as cards in the field show them.
                counters: vec![0, 0, 0, 0, 0, 0, 0, 0xFF],
            },
            icc_key: shape.offers_cda().then(|| self.key.parts()).transpose()?,
            ca_key: shape.offers_cda().then_some(CaPublicKey {
                index: ca_key.index,
                modulus: ca_key.modulus,
                exponent: ca_key.exponent,
            }),
            relay_resistance: shape.relay_resistance(),
        })
    }

    /// Tag 9F6E: country, no proprietary data, a phone whose card runs in the host processor.
    fn device_data(&self) -> Vec<u8> {
        let [high, low] = numeric(self.personalisation.country);
        tlv(0x9F6E, &[high, low, 0, 0, b'1', b'4', 0])
    }

    /// What the certificate signs: the files and the content of their first record.
    fn signed_files(&self) -> Vec<(u8, Vec<u8>)> {
        let (holder, terms) = (self.holder_objects(), self.terms_objects());
        match self.personalisation.shape {
            shape if !shape.offers_emv_mode() => Vec::new(),
            CardShape::TwoFiles => vec![(2, holder), (3, terms)],
            _ => vec![(2, [holder, terms].concat())],
        }
    }

    /// Whose card it is, and what it asks terminals for.
    fn holder_objects(&self) -> Vec<u8> {
        let what = self.personalisation;
        let (from, until) = (what.effective, what.expiry);
        join([
            tlv(0x57, &self.track2()),
            tlv(0x5A, &self.pan.packed()),
            tlv(0x5F24, &[bcd(until.year), bcd(until.month), bcd(until.last_day())]),
            tlv(0x5F25, &[bcd(from.year), bcd(from.month), 0x01]),
            tlv(0x5F28, &numeric(what.country)),
            tlv(0x5F34, &[bcd(self.sequence)]),
            tlv(0x8C, &what.shape.cdol1()),
            tlv(0x8D, CDOL2),
        ])
    }

    /// What it may be used for, and what terminals should do when something is wrong.
    fn terms_objects(&self) -> Vec<u8> {
        let what = self.personalisation;
        let mut terms = join([
            tlv(0x8E, what.shape.cvm_list()),
            tlv(0x9F07, &what.shape.usage_control()),
            tlv(0x9F08, &[0x00, 0x02]),
            tlv(0x9F0D, &[0xB0, 0x50, 0xBC, 0x80, 0x00]),
            tlv(0x9F0E, &[0; 5]),
            tlv(0x9F0F, &[0xB0, 0x70, 0xBC, 0x98, 0x00]),
            tlv(0x9F42, &numeric(what.currency)),
        ]);
        if what.shape.offers_cda() {
            terms.extend(tlv(0x9F4A, &[0x82]));
        }
        terms
    }

    /// Tag 57: number, expiry, service code 201 (chip, any country), zeros up to 19 bytes.
    fn track2(&self) -> Vec<u8> {
        let expiry = self.personalisation.expiry;
        let digits = format!("{}D{:02}{:02}201", self.pan.expose(), expiry.year, expiry.month);
        pack_digits(&format!("{digits:0<37}"))
    }

    fn static_tracks(&self) -> StaticTracks<'_> {
        let Personalisation { shape, expiry, .. } = *self.personalisation;
        StaticTracks { pan: self.pan, expiry, with_track_1: shape.offers_emv_mode() }
    }

    /// The contents of the records with the two certificates.
    fn certificate_records(&self, static_data: &[u8]) -> Result<Vec<Vec<u8>>, IssuerError> {
        let expiry = self.personalisation.expiry;
        let subject = IccSubject {
            pan: self.pan,
            expiry_mmyy: [bcd(expiry.month), bcd(expiry.year)],
            serial: [0, 0, 1],
            static_data,
        };
        let icc = self.authority.certify_icc(self.key, &subject)?;
        let issuer = self.authority.issuer_certificate();
        let index = tlv(0x8F, &[self.authority.ca_public_key().index]);
        let issuer_rest = [index, tlv(0x9F32, &issuer.exponent), remainder(0x92, issuer)].concat();
        let icc_rest = [tlv(0x9F47, &icc.exponent), remainder(0x9F48, &icc)].concat();
        let (issuer, icc) = (tlv(0x90, &issuer.certificate), tlv(0x9F46, &icc.certificate));
        Ok(match self.personalisation.shape {
            // A certificate of these lengths fills a record.
            CardShape::LongKeys => vec![[issuer_rest, icc_rest].concat(), issuer, icc],
            _ => vec![[issuer_rest, issuer].concat(), [icc_rest, icc].concat()],
        })
    }
}

/// Puts the signed contents into the first record of their file, the others after the last of them, and
/// writes the file locator.
fn layout(signed: Vec<(u8, Vec<u8>)>, more: Vec<Vec<u8>>, offers_cda: bool) -> (Vec<Record>, Vec<u8>) {
    let (mut records, mut afl) = (Vec::new(), Vec::new());
    let last_file = signed.last().map(|(sfi, _)| *sfi);
    for (sfi, content) in signed {
        let more = if Some(sfi) == last_file { more.as_slice() } else { &[] };
        let contents = [content].into_iter().chain(more.iter().cloned());
        records.extend((1..).zip(contents).map(|(number, data)| Record { sfi, number, bytes: tlv(0x70, &data) }));
        let last = u8::try_from(more.len() + 1).unwrap_or(u8::MAX);
        afl.extend([sfi << 3, 1, last, u8::from(offers_cda)]);
    }
    (records, afl)
}

fn remainder(tag: u32, certificate: &Certificate) -> Vec<u8> {
    certificate.remainder.as_deref().map(|rest| tlv(tag, rest)).unwrap_or_default()
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
    use nfcwallet_core::card::Card;

    use super::*;
    use crate::issuer::Authorities;
    use crate::issuer::tlv::tests::children;
    use crate::issuer::verify::{recover_icc_key, recover_issuer_key};

    fn profile(shape: CardShape) -> Profile {
        let key = IccKey::from_seed([5; 32], shape.icc_bits()).unwrap();
        let personalisation = Personalisation { shape, ..Personalisation::default() };
        Parts {
            authority: Authorities::under(Authority::shared().unwrap()).unwrap().of(shape),
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
                let mut named = 0;
                for entry in application.afl.chunks(4) {
                    let [file, from, to, signed] = *entry else { panic!("entries of four") };
                    assert_eq!((file & 7, from), (0, 1), "{shape:?}");
                    // The static tracks are never signed.
                    assert_eq!(signed == 1, file >> 3 != 1 && application.icc_key.is_some());
                    named += usize::from(to);
                }
                assert_eq!(named, application.records.len());
                for record in &application.records {
                    assert!(record.bytes.len() <= 254, "{shape:?} {} is {}", record.number, record.bytes.len());
                }
            }
        }
    }

    #[test]
    fn every_chain_leads_to_the_key_in_the_profile() {
        let authorities = Authorities::under(Authority::shared().unwrap()).unwrap();
        let all = CardShape::ALL
            .into_iter()
            .flat_map(|shape| profile(shape).applications.into_iter().map(move |a| (shape, a)));
        for (shape, application) in all {
            let Some(key) = &application.icc_key else { continue };
            let ca = authorities.of(shape).ca_public_key();
            // The first record of each file but that of the tracks, without tag and length of its template.
            let signed = application.records.iter().filter(|record| record.number == 1 && record.sfi != 1);
            let header = |bytes: &[u8]| if bytes[1] == 0x81 { 3 } else { 2 };
            let mut static_data: Vec<u8> =
                signed.flat_map(|record| record.bytes[header(&record.bytes)..].to_vec()).collect();
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
    fn every_shape_is_admitted_by_the_wallet() {
        for shape in CardShape::ALL {
            let admitted = Card::admit(&profile(shape), 1_780_000_000_000);
            assert!(admitted.is_ok(), "{shape:?}: {}", admitted.unwrap_err());
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
