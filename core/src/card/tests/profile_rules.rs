//! Each rule of a profile, broken once.

use super::*;
use crate::card::profile::{Application, Profile};
use crate::card::test_card::object;

fn refusal(change: impl FnOnce(&mut Profile)) -> String {
    let mut profile = test_card::profile();
    change(&mut profile);
    Card::compile(&profile).expect_err("the profile is broken").to_string()
}

fn application_refusal(change: impl FnOnce(&mut Application)) -> String {
    refusal(|profile| change(&mut profile.applications[0]))
}

/// Replaces the first occurrence of `from` in a record's content, and wraps it anew.
fn edit_record(application: &mut Application, number: usize, from: &[u8], to: &[u8]) {
    let record = &mut application.records[number - 1];
    let header = if record.bytes[1] == 0x81 { 3 } else { 2 };
    let content = &record.bytes[header..];
    let at = content.windows(from.len()).position(|part| part == from).expect("the record holds it");
    let edited = [&content[..at], to, &content[at + from.len()..]].concat();
    record.bytes = object(0x70, &edited);
}

#[test]
fn a_well_formed_profile_survives_json_and_compiles() {
    let json = serde_json::to_string(&test_card::profile()).unwrap();
    let profile: Profile = serde_json::from_str(&json).unwrap();
    assert!(Card::compile(&profile).is_ok());
}

#[test]
fn the_profile_as_a_whole_is_checked() {
    assert_eq!(refusal(|p| p.version = 2), "version: is 2, this library knows 1");
    assert_eq!(refusal(|p| p.last_four = "12X4".into()), "last_four: is not four digits");
    assert_eq!(refusal(|p| p.applications.clear()), "applications: has length 0, limit 1 to 8");
    assert_eq!(refusal(|p| p.rules.issuer_country = 0x0826), "issuer_country: is 2086, limit 999");
    assert_eq!(refusal(|p| p.rules.cvm_limits[0].currency = 0x0826), "cvm_limits: has currency 2086, limit 999");
    let twice = |p: &mut Profile| p.rules.cvm_limits.push(p.rules.cvm_limits[0].clone());
    assert_eq!(refusal(twice), "cvm_limits: has currency 826 twice");
    assert_eq!(refusal(|p| p.applications.push(p.applications[0].clone())), "4F: is there twice");
    let disordered = |p: &mut Profile| {
        let mut second = p.applications[0].clone();
        second.aid = hex("A0000000043060");
        p.applications[0].priority = 2;
        p.applications.push(second);
    };
    assert_eq!(refusal(disordered), "87: the applications are not in the order of their priority");
}

#[test]
fn what_select_shows_is_checked() {
    assert_eq!(application_refusal(|a| a.aid.truncate(4)), "4F: has length 4, limit 5 to 16");
    assert_eq!(application_refusal(|a| a.priority = 0), "87: is 0, limit 1 to 15");
    assert_eq!(application_refusal(|a| a.label.clear()), "50: has length 0, limit 1 to 16");
    assert_eq!(application_refusal(|a| a.label = "K\u{e4}rtchen".into()), "50: has unprintable characters");
    assert!(application_refusal(|a| a.languages = Some("eng".into())).starts_with("5F2D: "));
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D")), "9F38: an object is cut short");
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D07")), "9F38: asks for 7 bytes of 9F1D, not 8");
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D089F1D08")), "9F38: 9F1D is listed twice");
    assert_eq!(application_refusal(|a| a.issuer_discretionary = hex("9F6E05")), "BF0C: an object is cut short");
    let long = |a: &mut Application| a.issuer_discretionary = object(0x9F6E, &[0; 220]);
    assert!(application_refusal(long).starts_with("6F: is "));
}

#[test]
fn the_interchange_profile_promises_only_what_the_card_does() {
    for (aip, reason) in [
        ("1B", "82: is not 2 bytes"),
        ("9B80", "82: has reserved bits set"),
        ("1B82", "82: has reserved bits set"),
        ("3B80", "82: offers DDA, which this library does not do"),
        ("1B00", "82: offers CDA without EMV mode"),
        ("1B81", "82: offers relay resistance without relay_resistance, or has it and does not offer it"),
        ("1880", "82: offers CDA without an icc_key, or has an icc_key and does not offer CDA"),
    ] {
        assert_eq!(application_refusal(|a| a.aip = hex(aip)), reason, "{aip}");
    }
    let no_cda = |a: &mut Application| {
        a.aip = hex("1A80");
        a.icc_key = None;
    };
    assert!(application_refusal(no_cda).starts_with("82: offers on-device verification without CDA"));
}

#[test]
fn the_cryptogram_data_are_checked() {
    assert_eq!(application_refusal(|a| a.iad.cvn = 0x10), "9F10: has cryptogram version 10, this library knows 14");
    assert_eq!(application_refusal(|a| a.iad.counters.clear()), "9F10: has 0 counter bytes, not 8");
    let without_number = test_card::CDOL1.replace("9F3704", "9F7A04");
    let missing = |a: &mut Application| edit_record(a, 1, &hex(test_card::CDOL1), &hex(&without_number));
    assert_eq!(application_refusal(missing), "8C: does not ask for 9F37");
    let short = test_card::CDOL1.replace("9F0206", "9F0205");
    let wrong = |a: &mut Application| edit_record(a, 1, &hex(test_card::CDOL1), &hex(&short));
    assert_eq!(application_refusal(wrong), "8C: asks for 5 bytes of 9F02, not 6");
}

#[test]
fn the_records_hold_what_terminals_want() {
    for (from, to, reason) in [
        ("5A08", "C108", "5A: is missing from the records"),
        ("5F2403", "DF2403", "5F24: is missing from the records"),
        ("5F28020826", "5F28020250", "5F28: is not the issuer_country of the rules"),
        ("9F4A0182", "9F4A0184", "9F4A: is not 82"),
        ("5F340101", "9F420101", "9F42: is in the records twice"),
    ] {
        assert_eq!(application_refusal(|a| edit_record(a, 1, &hex(from), &hex(to))), reason);
    }
    assert!(application_refusal(|a| a.afl = hex("10010201")).contains("does not name it"));
    assert!(application_refusal(|a| a.afl = hex("10010401")).contains("is missing"));
}

#[test]
fn the_key_must_be_the_certified_one() {
    let last = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus[143] ^= 2;
    assert_eq!(application_refusal(last), "9F48: is not the last 10 bytes of the icc_key's modulus");
    let first = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus[3] ^= 2;
    assert_eq!(application_refusal(first), "icc_key: the modulus is not the product of the factors");
    let exponent = |a: &mut Application| a.icc_key.as_mut().unwrap().exponent = vec![1, 0, 1];
    assert_eq!(application_refusal(exponent), "9F47: is not the exponent of icc_key");
    let no_index = |a: &mut Application| edit_record(a, 2, &hex("8F01EE"), &hex("C101EE"));
    assert_eq!(application_refusal(no_index), "8F: is missing from the records");
    let long = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 210];
    assert_eq!(application_refusal(long), "icc_key: has length 210, limit 63 to 203");
    let short = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 62];
    assert_eq!(application_refusal(short), "icc_key: has length 62, limit 63 to 203");
}

#[test]
fn a_refusal_shows_no_card_number() {
    let text = application_refusal(|a| edit_record(a, 1, &hex("5F340101"), &hex("5F340201")));
    assert!(!text.contains("5413"), "{text}");
}
