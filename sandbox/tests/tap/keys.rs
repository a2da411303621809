//! Cards of every shape under keys of many lengths: the terminal's kernel must follow each chain.

use std::sync::Arc;

use nfcwallet_core::card::profile::{CaPublicKey, Profile, Record};
use nfcwallet_core::card::tlv::{Tag, Tlv, object};
use nfcwallet_sandbox::issuer::authority::{Certificate, IccSubject};
use nfcwallet_sandbox::issuer::{IccKey, KeySizes, Pan};

use super::*;

/// Bits of the keys of authority, issuer and card.
const SIZES: [[usize; 3]; 8] = [
    [1408, 1408, 1152],
    [1152, 1152, 896],
    [1152, 1152, 1024],
    [1408, 1408, 1024],
    // Both keys fit their certificates whole.
    [1408, 1120, 768],
    // Three lengths.
    [1984, 1712, 1408],
    // The longest certificates that fit a record alone (9F46 has a byte of tag more than 90), and the
    // longest key whose signature fits an answer.
    [1984, 1976, 1408],
    [1984, 1976, 1624],
];

#[test]
fn every_shape_pays_under_keys_of_every_length() {
    for (seed, [ca_bits, issuer_bits, icc_bits]) in (1..).zip(SIZES) {
        let authority = Arc::new(Authority::from_seed([seed; 32], KeySizes { ca_bits, issuer_bits }).unwrap());
        let key = IccKey::from_seed([seed; 32], icc_bits).unwrap();
        for shape in shapes_with_emv_mode() {
            let what = format!("{shape:?} {ca_bits}/{issuer_bits}/{icc_bits}");
            let mut scene = Scene::under(Arc::clone(&authority), shape, |profile, pan| {
                certify_anew(profile, &authority, &key, pan);
            });
            let result = scene.tap(&purchase());
            assert_eq!(result.cda_verified, offers_cda(&scene.profile).then_some(true), "{what}: {:?}", result.outcome);
            assert_eq!(scene.decision(&result), Decision::Approved, "{what}");
        }
    }
}

#[test]
fn a_chain_from_another_authority_is_no_chain() {
    let [strange, own] = [8, 9].map(|seed| Authority::from_seed([seed; 32], KeySizes::default()).unwrap());
    let own = Arc::new(own);
    let key = IccKey::from_seed([1; 32], 1152).unwrap();
    for shape in shapes_with_emv_mode() {
        let mut scene =
            Scene::under(Arc::clone(&own), shape, |profile, pan| certify_anew(profile, &strange, &key, pan));
        let result = scene.tap(&purchase());
        let signs = offers_cda(&scene.profile);
        assert_eq!(result.cda_verified, signs.then_some(false), "{shape:?}");
        assert_eq!(result.authorisation_request().is_none(), signs, "{shape:?}: {:?}", result.outcome);
    }
}

pub(super) fn offers_cda(profile: &Profile) -> bool {
    profile.applications.iter().all(|application| application.icc_key.is_some())
}

/// Gives every application of the card another key, certified by `authority`, and each certificate a
/// record of its own: the long ones fit no other.
fn certify_anew(profile: &mut Profile, authority: &Authority, key: &IccKey, pan: &Pan) {
    for application in &mut profile.applications {
        if application.icc_key.is_none() {
            continue;
        }
        // The first record of each file.
        let signed: Vec<Record> = application.records.iter().filter(|record| record.number == 1).cloned().collect();
        let content = |record: &Record| Tlv::read_only(&record.bytes).unwrap().value.to_vec();
        let content: Vec<u8> = signed.iter().flat_map(content).collect();
        let static_data = [&content[..], &application.aip].concat();
        let [year, month, _day] = value(&content, 0x5F24).try_into().unwrap();
        let subject = IccSubject { pan, expiry_mmyy: [month, year], serial: [0, 0, 1], static_data: &static_data };
        let icc = authority.certify_icc(key, &subject).unwrap();
        let issuer = authority.issuer_certificate();
        let ca = authority.ca_public_key();
        let index = tlv(0x8F, &[ca.index]);
        let contents = [
            [index, rest_of(issuer, 0x9F32, 0x92)].concat(),
            tlv(0x90, &issuer.certificate),
            rest_of(&icc, 0x9F47, 0x9F48),
            tlv(0x9F46, &icc.certificate),
        ];
        let record = |(number, content): (u8, &Vec<u8>)| Record { sfi: 4, number, bytes: tlv(0x70, content) };
        let entries = signed.iter().map(|record| [record.sfi << 3, 1, 1, 1]);
        application.afl = entries.chain([[4 << 3, 1, 4, 0]]).collect::<Vec<_>>().concat();
        application.records = [signed, (1..).zip(&contents).map(record).collect()].concat();
        application.icc_key = Some(key.parts().unwrap());
        application.ca_key = Some(CaPublicKey { index: ca.index, modulus: ca.modulus, exponent: ca.exponent });
    }
}

/// Exponent and, where there is one, remainder.
fn rest_of(certificate: &Certificate, exponent: u16, remainder: u16) -> Vec<u8> {
    let rest = certificate.remainder.as_deref().map(|rest| tlv(remainder, rest)).unwrap_or_default();
    [tlv(exponent, &certificate.exponent), rest].concat()
}

fn value(content: &[u8], tag: u32) -> Vec<u8> {
    let mut found = None;
    Tlv::for_each_primitive(content, &mut |tlv| {
        if tlv.tag.number() == tag {
            found = Some(tlv.value.to_vec());
        }
    })
    .unwrap();
    found.unwrap()
}

fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let bytes = tag.to_be_bytes();
    let (tag, _) = Tag::read(if bytes[0] == 0 { &bytes[1..] } else { &bytes }).unwrap();
    object(tag, value)
}
