//! Each rule of a profile, broken once.

use super::*;
use crate::card::profile::{Application, PreferredName, Profile, RelayResistance};
use crate::card::test_card::object;
use crate::card::tlv::{Tag, Tlv};

fn refusal(change: impl FnOnce(&mut Profile)) -> String {
    let mut profile = test_card::profile();
    change(&mut profile);
    Card::compile(&profile).expect_err("the profile is broken").to_string()
}

fn application_refusal(change: impl FnOnce(&mut Application)) -> String {
    refusal(|profile| change(&mut profile.applications[0]))
}

/// Replaces the first occurrence of `from` in a record's content, and wraps it anew.
pub(super) fn edit_record(application: &mut Application, number: usize, from: &[u8], to: &[u8]) {
    let record = &mut application.records[number - 1];
    let header = if record.bytes[1] == 0x81 { 3 } else { 2 };
    let content = &record.bytes[header..];
    let at = content.windows(from.len()).position(|part| part == from).expect("the record holds it");
    let edited = [&content[..at], to, &content[at + from.len()..]].concat();
    record.bytes = object(0x70, &edited);
}

/// Gives the object another value, or takes it out of its record.
fn set(application: &mut Application, tag: u32, value: Option<&str>) {
    for record in &mut application.records {
        let mut rest = Tlv::read_only(&record.bytes).unwrap().value;
        let mut content = Vec::new();
        while !rest.is_empty() {
            let (old, after) = Tlv::read(rest).unwrap();
            rest = after;
            match value {
                _ if old.tag.number() != tag => content.extend(object(old.tag.number(), old.value)),
                Some(new) => content.extend(object(tag, &hex(new))),
                None => {}
            }
        }
        record.bytes = object(0x70, &content);
    }
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
    assert_eq!(refusal(|p| p.rules.issuer_country = 0x0826), "issuer_country: has 2086, limit 1 to 999");
    assert_eq!(refusal(|p| p.rules.cvm_limits[0].currency = 0x0826), "cvm_limits: has 2086, limit 1 to 999");
    let twice = |p: &mut Profile| p.rules.cvm_limits.push(p.rules.cvm_limits[0].clone());
    assert_eq!(refusal(twice), "cvm_limits: has 826 twice");
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
    // A SELECT of it would never reach the application.
    for directory in ["2PAY.SYS.DDF01", "1PAY.SYS.DDF01"] {
        assert_eq!(application_refusal(|a| a.aid = directory.into()), "4F: is the name of a directory");
    }
    assert_eq!(application_refusal(|a| a.priority = 0), "87: is 0, limit 1 to 15");
    assert_eq!(application_refusal(|a| a.label.clear()), "50: has length 0, limit 1 to 16");
    assert_eq!(application_refusal(|a| a.label = "K\u{e4}rtchen".into()), "50: has unprintable characters");
    assert!(application_refusal(|a| a.languages = Some("eng".into())).starts_with("5F2D: "));
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D")), "9F38: an object is cut short");
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D07")), "9F38: asks for 7 bytes of 9F1D, not 8");
    assert_eq!(application_refusal(|a| a.pdol = hex("9F1D089F1D08")), "9F38: 9F1D is listed twice");
    assert_eq!(application_refusal(|a| a.issuer_discretionary = hex("9F6E05")), "BF0C: an object is cut short");
    let long = |a: &mut Application| a.issuer_discretionary = object(0xDF01, &[0; 205]);
    assert_eq!(application_refusal(long), "6F: makes an answer of 260 bytes, limit 254");
}

#[test]
fn what_select_shows_besides_is_checked() {
    let discretionary = |text: &str| application_refusal(|a| a.issuer_discretionary = hex(text));
    assert_eq!(discretionary("DF010100 DF010100"), "DF01: is in BF0C twice");
    assert_eq!(discretionary("500141"), "50: is in BF0C, and has a place of its own");
    assert_eq!(discretionary("E10250"), "BF0C: an object is cut short");
    assert_eq!(discretionary("E10150"), "E1: an object is cut short");
    assert_eq!(discretionary("9F4D020B0A"), "9F4D: promises a log of transactions, which this card does not keep");
    assert_eq!(discretionary("9F5D020000"), "9F5D: is 2 bytes, not 3");
    assert_eq!(discretionary("9F5D03010000"), "9F5D: promises abilities that this card does not have");
    assert_eq!(
        application_refusal(|a| a.issuer_discretionary = object(0xDF01, &[0; 219])),
        "BF0C: has length 223, limit 0 to 222"
    );
    for (value, reason) in [
        ("08260000", "has length 4, limit 5 to 32"),
        ("FFFF0000313400", "does not start with a country"),
        ("00000000313400", "does not start with a country"),
        ("08260000310000", "has no device type of two characters"),
        ("082600003134", "has no identifier, so that its data are one byte 00"),
        ("08260000313401", "has no identifier, so that its data are one byte 00"),
        ("082600013134", "has an identifier and no data"),
    ] {
        let third_party = object(0x9F6E, &hex(value));
        let error = application_refusal(|a| a.issuer_discretionary = third_party);
        assert_eq!(error, format!("9F6E: {reason}"), "{value}");
    }
    let name = |code_table, name: &[u8]| {
        let name = PreferredName { name: name.to_vec(), code_table };
        application_refusal(|a| a.preferred_name = Some(name))
    };
    assert_eq!(name(5, &[]), "9F12: has length 0, limit 1 to 16");
    assert_eq!(name(5, &[0x9F]), "9F12: has bytes that are no characters of ISO/IEC 8859");
    assert_eq!(name(0, b"a"), "9F11: is 0, limit 1 to 10");
    assert_eq!(name(11, b"a"), "9F11: is 11, limit 1 to 10");
    assert_eq!(application_refusal(|a| a.languages = Some("enen".into())), "5F2D: has a language twice");
    assert_eq!(application_refusal(|a| a.kernel_identifier = vec![2; 9]), "9F2A: has length 9, limit 1 to 8");
    assert_eq!(application_refusal(|a| a.pdol = hex("9F3303 9F1A01")), "9F38: asks for 1 bytes of 9F1A, not 2");
    assert_eq!(application_refusal(|a| a.data_objects = hex("9F360100")).split(':').next(), Some("9F36"));
}

#[test]
fn everything_that_select_may_show_is_shown() {
    let mut profile = test_card::profile();
    let application = &mut profile.applications[0];
    application.kernel_identifier = vec![0x02];
    application.preferred_name = Some(PreferredName { name: hex("BAD0E0E2D0"), code_table: 10 });
    application.issuer_discretionary = hex("9F5D03000000 9F6E0908268001 0102030405");
    application.data_objects = hex("9F170103");
    let card = Card::compile(&profile).unwrap();
    let fci = hex::encode_upper(&card.applications[0].fci);
    assert!(fci.contains("9F1101109F1205BAD0E0E2D0BF0C129F5D030000009F6E0908268001"), "{fci}");
    assert!(hex::encode_upper(&card.ppse).contains("61104F07A00000000410108701019F2A0102"));
    let found = card.applications[0].data_object(Tag::new(0x9F17));
    assert_eq!(found, Some(&hex("9F170103")[..]));
}

#[test]
fn the_directory_holds_all_applications_or_the_profile_is_refused() {
    let many = |aid_len: usize| {
        refusal(|p| {
            for n in 1..=7u8 {
                let mut next = p.applications[0].clone();
                next.aid = [hex("A000000004"), vec![n; aid_len - 5]].concat();
                next.kernel_identifier = vec![2; 8];
                p.applications.push(next);
            }
        })
    };
    assert_eq!(many(16), "6F of the directory: makes an answer of 280 bytes, limit 254");
}

#[test]
fn all_applications_are_of_one_token() {
    let two = |change: &dyn Fn(&mut Application)| {
        refusal(|p| {
            let mut second = p.applications[0].clone();
            second.aid = hex("A0000000043060");
            change(&mut second);
            p.applications.push(second);
        })
    };
    let other_number = |a: &mut Application| {
        edit_record(a, 1, &hex("5A085413330089600010"), &hex("5A085413330089600028"));
        edit_record(a, 1, &hex("57105413330089600010"), &hex("57105413330089600028"));
    };
    assert_eq!(two(&other_number), "5A: is not the same in all applications");
    let other_sequence = |a: &mut Application| edit_record(a, 1, &hex("5F340101"), &hex("5F340102"));
    assert_eq!(two(&other_sequence), "5F34: is not the same in all applications");
    assert_eq!(refusal(|p| p.last_four = "0011".into()), "last_four: is not the end of the number (5A)");
}

#[test]
fn the_interchange_profile_promises_only_what_the_card_does() {
    for (aip, reason) in [
        ("1B", "82: is not 2 bytes"),
        ("9B80", "82: has reserved bits set"),
        ("1B82", "82: has reserved bits set"),
        ("5B80", "82: offers SDA, which this library does not do"),
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
    let without_number = test_card::CDOL1.replace("9F3704", "DF0104");
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
fn the_values_in_the_records_are_checked() {
    for (tag, value, reason) in [
        (0x5A, Some("541333008960001A"), "is not a number of 8 to 19 digits with the least filling"),
        (0x57, Some("5413330089600028D3012201000000"), "has another number than 5A"),
        (0x57, Some("5413330089600010D30112010000000F"), "has another expiry than 5F24"),
        (0x57, Some("5413330089600010D3012F"), "is not number, D, expiry, service code and digits"),
        (0x5F24, Some("301232"), "is no day of the calendar"),
        (0x5F24, Some("3012"), "is 2 bytes, limit 3"),
        (0x5F25, Some("310101"), "is after the expiry (5F24)"),
        (0x5F25, Some("200001"), "is no day of the calendar"),
        (0x5F34, Some("0A"), "is not decimal"),
        (0x9F42, Some("0000"), "is no currency"),
        (0x9F42, Some("826F"), "is no currency"),
        (0x9F07, Some("FF01"), "has reserved bits set"),
        (0x9F07, Some("FF0000"), "is 3 bytes, limit 2"),
        (0x9F08, Some("02"), "is 1 bytes, limit 2"),
        (0x9F0D, Some("B050BC80"), "is 4 bytes, limit 5"),
        (0x8E, None, "is missing, but the AIP (82) offers cardholder verification"),
        (0x8E, Some("0000000000000000 1F0A"), "has a reserved method or condition"),
        (0x8E, Some("0000000000000000 9F03"), "has a reserved method or condition"),
        (0x8E, Some("0000000000000000 1F031F"), "is not two amounts and at least one pair of method and condition"),
        (0x8E, Some("0000000000000000"), "is 8 bytes, limit 10 to 252"),
        (0x8C, Some("9F02"), "an object is cut short"),
        (0x8F, Some("EEEE"), "is 2 bytes, limit 1"),
    ] {
        let tag_name = format!("{tag:02X}");
        assert_eq!(application_refusal(|a| set(a, tag, value)), format!("{tag_name}: {reason}"), "{value:?}");
    }
    let without = |gone: u32, reason: &str| assert_eq!(application_refusal(|a| set(a, gone, None)), reason);
    without(0x5F28, "9F07: is there without the country it means (5F28)");
    let no_currency = |a: &mut Application| {
        set(a, 0x9F42, None);
        set(a, 0x8E, Some("0000100000000000 4206 1F03"));
    };
    let reason = "8E: has a condition on the amount without a currency for it (9F42)";
    assert_eq!(application_refusal(no_currency), reason);
    assert_eq!(refusal(|p| p.rules.currencies = Some(vec![978])), "9F42: is not among the currencies of the rules");
}

#[test]
fn lists_in_the_records_are_checked() {
    // The application version makes room for another object.
    for (list, reason) in [
        ("8D029500", "8D: asks for 0 bytes of 95, not 5"),
        ("9F49039F0206", "9F49: does not ask for 9F37"),
        ("9F69039F6A03", "9F69: asks for 3 bytes of 9F6A, not 4"),
        ("9F69029F6A", "9F69: an object is cut short"),
        ("9F1003010203", "9F10: is in a record, and belongs to another answer"),
    ] {
        assert_eq!(application_refusal(|a| edit_record(a, 1, &hex("9F08020002"), &hex(list))), reason);
    }
}

#[test]
fn an_empty_list_of_countries_is_refused_and_others_are_kept() {
    assert_eq!(
        refusal(|p| p.rules.countries = Some(vec![])),
        "countries: is empty, so that the card could pay nowhere"
    );
    let mut profile = test_card::profile();
    profile.rules.countries = Some(vec![826, 372]);
    profile.rules.currencies = Some(vec![826, 978]);
    assert_eq!(Card::compile(&profile).unwrap().rules(), &profile.rules);
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
    let long = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 204];
    assert_eq!(application_refusal(long), "icc_key: has length 204, limit 63 to 203");
    let relay = |a: &mut Application| {
        a.aip = hex("1B81");
        a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 76];
        a.relay_resistance = Some(RelayResistance { min_time: 0, max_time: 200, transmission_time: 18 });
    };
    assert_eq!(application_refusal(relay), "icc_key: has length 76, limit 77 to 203");
    let short = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 62];
    assert_eq!(application_refusal(short), "icc_key: has length 62, limit 63 to 203");
}

#[test]
fn a_refusal_shows_no_card_number() {
    let text = application_refusal(|a| edit_record(a, 1, &hex("5F340101"), &hex("5F340201")));
    assert!(!text.contains("5413"), "{text}");
}
