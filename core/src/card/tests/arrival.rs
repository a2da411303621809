//! What is checked only when a profile arrives: the chain of certificates and the clock.

use proptest::prelude::*;

use super::*;
use crate::card::profile::{Application, CaPublicKey, Profile};
use crate::card::test_card::{CardOptions, object};
use crate::card::tlv::Tlv;

/// January 2026.
const NOW_MS: i64 = 1_768_000_000_000;

fn refusal(profile: &Profile) -> String {
    Card::admit(profile, NOW_MS).expect_err("the profile is broken").to_string()
}

fn changed(change: impl FnOnce(&mut Application)) -> String {
    let mut profile = test_card::profile();
    change(&mut profile.applications[0]);
    refusal(&profile)
}

fn issued(options: CardOptions) -> String {
    refusal(&test_card::profile_with(&options))
}

#[test]
fn a_profile_with_a_whole_chain_is_admitted() {
    assert!(Card::admit(&test_card::profile(), NOW_MS).is_ok());
    // Records of files above 10 are signed with their template.
    let high_file = CardOptions { static_sfi: 11, ..CardOptions::default() };
    assert!(Card::admit(&test_card::profile_with(&high_file), NOW_MS).is_ok());
}

#[test]
fn a_card_is_admitted_in_its_last_month_and_not_after_it() {
    let at = |now_ms| Card::admit(&test_card::profile(), now_ms);
    assert!(at(1_924_991_999_999).is_ok());
    assert_eq!(at(1_924_992_000_000).unwrap_err().to_string(), "5F24: is past");
    // A stored one goes on: terminals tell, and the service sends another in time.
    assert!(Card::compile(&test_card::profile()).is_ok());
}

#[test]
fn the_authoritys_key_is_needed_and_must_be_one() {
    let with = |key: Option<CaPublicKey>| changed(|a| a.ca_key = key);
    let good = test_card::profile().applications[0].ca_key.clone().unwrap();
    assert_eq!(with(None), "ca_key: is missing, but the AIP (82) offers CDA");
    let key = |change: fn(&mut CaPublicKey)| {
        let mut key = good.clone();
        change(&mut key);
        with(Some(key))
    };
    assert_eq!(key(|k| k.index = 0xEF), "8F: is not the index of ca_key");
    assert_eq!(key(|k| k.modulus.truncate(63)), "ca_key: has a modulus outside 64 to 248 bytes");
    assert_eq!(key(|k| k.modulus = vec![0xFF; 249]), "ca_key: has a modulus outside 64 to 248 bytes");
    assert_eq!(key(|k| k.modulus[0] &= 0x7F), "ca_key: has a modulus with leading zeros, or an even one");
    assert_eq!(key(|k| k.modulus[175] ^= 1), "ca_key: has a modulus with leading zeros, or an even one");
    assert_eq!(key(|k| k.exponent = vec![5]), "ca_key: has an exponent that is neither 03 nor 010001");
    assert_eq!(key(|k| k.modulus[9] ^= 1), "90: does not open under the ca_key");
    assert_eq!(key(|k| k.modulus = vec![0xFF; 128]), "90: is 176 bytes, the ca_key 128");
    let without_cda = |a: &mut Application| {
        a.icc_key = None;
        a.aip = hex("1880");
    };
    assert_eq!(changed(without_cda), "ca_key: is there, but the AIP (82) does not offer CDA");
}

#[test]
fn each_field_of_a_certificate_is_checked() {
    let options = CardOptions::default;
    for (options, reason) in [
        (
            CardOptions { issuer_identifier: "541334FF", ..options() },
            "90: names an issuer that is not the beginning of 5A",
        ),
        (
            CardOptions { issuer_identifier: "54FFFFFF", ..options() },
            "90: names an issuer that is not the beginning of 5A",
        ),
        (CardOptions { issuer_expiry: "1130", ..options() }, "90: expires before the card (5F24)"),
        (CardOptions { issuer_expiry: "1330", ..options() }, "90: has no month as its expiry"),
        (CardOptions { issuer_format: 0x12, ..options() }, "90: has format 12, not 02"),
        (CardOptions { algorithms: "0201", ..options() }, "90: names other algorithms than SHA-1 and RSA"),
        (CardOptions { icc_pan: "5413330089600028", ..options() }, "9F46: is for another number than 5A"),
        (CardOptions { icc_expiry: "1229", ..options() }, "9F46: expires before the card (5F24)"),
        (
            CardOptions { signed_aip: "1A80", ..options() },
            "9F46: has a hash of other data than it, 9F48, 9F47, the signed records and the AIP (82)",
        ),
    ] {
        assert_eq!(issued(options), reason);
    }
}

#[test]
fn remainders_are_exact() {
    let record = |a: &mut Application, number: usize, from: &[u8], to: &[u8]| {
        super::profile_rules::edit_record(a, number, from, to);
    };
    let remainder = test_card::issuer_remainder();
    let whole = object(0x92, &remainder);
    assert_eq!(changed(|a| record(a, 2, &whole, &[])), "92: is missing, but 36 bytes of the modulus are not in 90");
    let short = object(0x92, &remainder[1..]);
    assert_eq!(changed(|a| record(a, 2, &whole, &short)), "92: is 35 bytes, 90 leaves 36 over");
    let long = object(0x9F32, &[1, 0, 1]);
    assert_eq!(changed(|a| record(a, 2, &hex("9F320103"), &long)), "9F32: is 3 bytes, its certificate says 1");
    assert_eq!(changed(|a| record(a, 2, &hex("9F320103"), &hex("9F320105"))), "9F32: is neither 03 nor 010001");
}

#[test]
fn a_certificate_says_how_long_its_key_is() {
    let length = |issuer_modulus_len| CardOptions { issuer_modulus_len, ..CardOptions::default() };
    assert_eq!(issued(length(177)), "90: holds a key that is longer than the one that signed it");
    assert_eq!(issued(length(175)), "92: is 36 bytes, 90 leaves 35 over");
    assert_eq!(issued(length(139)), "92: is there, but 90 holds the whole modulus");
    let alone = |issuer_modulus_len| {
        let mut profile = test_card::profile_with(&length(issuer_modulus_len));
        let remainder = object(0x92, &test_card::issuer_remainder());
        super::profile_rules::edit_record(&mut profile.applications[0], 2, &remainder, &[]);
        refusal(&profile)
    };
    assert_eq!(alone(139), "90: has a place that is not filled with BB");
    assert_eq!(alone(140), "90: has a hash of other data than it, 92 and 9F32");
}

#[test]
fn without_a_signed_aip_there_is_no_cda() {
    let no_list = |a: &mut Application| super::profile_rules::edit_record(a, 1, &hex("9F4A0182"), &[]);
    assert_eq!(changed(no_list), "9F4A: is missing, so that anybody could change the AIP (82)");
}

/// Every bit of the records of a card with CDA. A bit of a value is refused under a tag; one of a tag or
/// a length may break the record as a whole.
#[test]
fn no_flipped_bit_in_a_record_is_admitted() {
    let good = test_card::profile();
    for (index, record) in good.applications[0].records.iter().enumerate() {
        let values = values(&record.bytes);
        for bit in 0..record.bytes.len() * 8 {
            let mut profile = good.clone();
            profile.applications[0].records[index].bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Card::admit(&profile, NOW_MS).expect_err("a flipped bit is noticed");
            let field = error.field();
            let is_tag = field.len().is_multiple_of(2) && hex::decode(field).is_ok();
            let is_value = values.iter().any(|at| at.contains(&(bit / 8)));
            assert!(is_tag || field == "last_four" || !is_value && field.starts_with("record "), "bit {bit}: {error}");
        }
    }
}

/// Where the values lie.
fn values(record: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut places = Vec::new();
    let mut rest = Tlv::read_only(record).unwrap().value;
    while !rest.is_empty() {
        let (object, after) = Tlv::read(rest).unwrap();
        let end = record.len() - after.len();
        places.push(end - object.value.len()..end);
        rest = after;
    }
    places
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// The profile as it travels, with any bytes of its text changed, cut or repeated.
    #[test]
    fn a_changed_profile_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..6)
    ) {
        let mut text = serde_json::to_string(&test_card::profile()).unwrap().into_bytes();
        for (at, kind, byte) in changes {
            let at = at.index(text.len());
            match kind {
                // A digit stays a digit, so that most of these still parse.
                0 => text[at] = b"0123456789ABCDEF"[usize::from(byte) % 16],
                1 => text[at] ^= 1 << (byte % 8),
                2 => drop(text.remove(at)),
                _ => text.insert(at, text[at]),
            }
        }
        if let Ok(profile) = serde_json::from_slice::<Profile>(&text) {
            let _ = Card::admit(&profile, NOW_MS);
        }
    }

    #[test]
    fn changed_fields_never_panic(
        field in 0usize..8,
        value in prop::collection::vec(any::<u8>(), 0..40),
        number in any::<u16>(),
    ) {
        let mut profile = test_card::profile();
        let application = &mut profile.applications[0];
        match field {
            0 => application.afl = value,
            1 => application.pdol = value,
            2 => application.issuer_discretionary = value,
            3 => application.data_objects = value,
            4 => application.aid = value,
            5 => application.records[0].bytes = object(0x70, &value),
            6 => application.ca_key.as_mut().unwrap().modulus = value,
            _ => profile.rules.countries = Some(vec![number]),
        }
        let _ = Card::admit(&profile, NOW_MS);
    }
}
