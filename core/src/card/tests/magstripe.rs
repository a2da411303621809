//! COMPUTE CRYPTOGRAPHIC CHECKSUM: what is answered, when, and what a profile must hold for it.

use serde_json::Value;

use super::*;
use crate::card::hooks::CryptogramRequested;
use crate::payment::{
    RiskManagement, TerminalInformation, TerminalType, TransactionInformation, TransactionKind, TransactionRange,
};

/// Track 2 alone, no EMV mode: a card that only knows this one command.
fn mag_stripe_only(record: &str) -> Profile {
    let mut profile = test_card::profile();
    let application = &mut profile.applications[0];
    application.aip = hex("0000");
    application.icc_key = None;
    application.ca_key = None;
    application.records.clear();
    application.afl.clear();
    add_mag_stripe_record(application, &hex(record));
    profile
}

const TRACK_2: &str = concat!(
    "9F65 02 000E 9F66 02 0E70 9F67 01 03 9F6B 13 5413330089600010D30122010000000000000F",
    "9F69 0F 9F6A04 9F7E01 9F0206 5F2A02 9F1A02"
);

fn ask(talk: &mut Conversation, command: &str) -> Vec<(u32, Vec<u8>)> {
    objects(&talk.expect_ok(command))
}

fn initiated(plan: Plan) -> Conversation {
    let mut talk = Conversation::full(plan);
    talk.advance(Stage::Initiated);
    talk
}

#[test]
fn published_checksums_come_out_of_the_card() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/symmetric.json")).unwrap();
    let case = &vectors["cvc3"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let track_1 = text(&case["track1"]["template"]);
    let record = [
        hex("9F62 06 00000000003E 9F63 06 000000001FC0 9F64 01 04 9F65 02 003E 9F66 02 1FC0 9F67 01 04"),
        test_card::object(0x56, track_1.as_bytes()),
        test_card::object(0x9F6B, &hex(&text(&case["track2"]["template"]))),
        hex("9F69 0F 9F6A04 9F7E01 9F0206 5F2A02 9F1A02"),
    ];
    // Without EMV mode the track's number is the card's.
    let mut profile = mag_stripe_only(&hex::encode(record.concat()));
    profile.last_four = "2345".to_owned();
    let mut talk = Conversation::with(Plan::Approve, &profile);
    talk.hooks.cvc3_key = Some(hex(&text(&case["icc_master_key"])).try_into().unwrap());
    talk.hooks.atc = u16::from_str_radix(&text(&case["atc"]), 16).unwrap();
    talk.advance(Stage::Initiated);

    let answer = ask(&mut talk, &CHECKSUM.replace("08680008", &text(&case["unpredictable_number"])));
    assert_eq!(tags(&answer), [0x9F61, 0x9F60, 0x9F36]);
    assert_eq!(answer[0].1, hex(&text(&case["track2"]["cvc3"])));
    assert_eq!(answer[1].1, hex(&text(&case["track1"]["cvc3"])));
    assert_eq!(answer[2].1, hex(&text(&case["atc"])));
}

#[test]
fn a_track_of_another_card_is_refused() {
    let refused = |from: &str, to: &str| {
        let mut profile = test_card::profile();
        let record = super::MAG_STRIPE_RECORD.replace(from, to);
        add_mag_stripe_record(&mut profile.applications[0], &hex(&record));
        Card::compile(&profile).unwrap_err().to_string()
    };
    assert_eq!(refused("5413330089600010D", "5413330089600028D"), "9F6B: is of another number than 5A");
    // The last digit but one of the number in track 1.
    assert_eq!(refused("303031305E", "303032305E"), "56: is of another number than 5A");
}

#[test]
fn an_answer_has_the_form_of_the_field() {
    let mut talk = Conversation::with(Plan::Approve, &mag_stripe_only(TRACK_2));
    talk.advance(Stage::Selected);
    assert_eq!(talk.expect_ok(GPO), hex("770A 82020000 940408010100"));
    let answer = talk.expect_ok(CHECKSUM);
    // 77 0A 9F61 02 .. 9F36 02 ..
    assert_eq!((&answer[..5], &answer[7..]), (&hex("770A 9F6102")[..], &hex("9F3602 001C")[..]));
}

#[test]
fn a_successful_cdcvm_is_said_behind_the_counter() {
    let mut talk = initiated(Plan::Approve);
    talk.hooks.cdcvm_done = true;
    let answer = ask(&mut talk, CHECKSUM);
    assert_eq!(tags(&answer), [0x9F61, 0x9F60, 0x9F36, 0xDF4B]);
    assert_eq!(answer[3].1, [0x00, 0x10, 0x00]);
}

#[test]
fn a_refusal_shows_no_checksum() {
    for (see_phone, said) in [(false, [0x00, 0x00, 0x00]), (true, [0x00, 0x01, 0x00])] {
        let answer = ask(&mut initiated(Plan::Decline { see_phone }), CHECKSUM);
        assert_eq!(answer, [(0x9F36, vec![0x00, 0x99]), (0xDF4B, said.to_vec())]);
    }
}

#[test]
fn a_burn_that_fails_while_the_checksum_is_made_leaves_a_refusal() {
    let mut talk = initiated(Plan::ApproveInVain);
    let answer = ask(&mut talk, CHECKSUM);
    assert_eq!(answer, [(0x9F36, vec![0x00, 0x00]), (0xDF4B, vec![0x00, 0x00, 0x00])]);
    assert_eq!((talk.hooks.awaited, talk.hooks.errors.len()), (1, 0));
}

#[test]
fn a_credential_without_the_key_gives_no_answer_and_is_reported() {
    let mut talk = initiated(Plan::Approve);
    talk.hooks.cvc3_key = None;
    assert_eq!(talk.send(CHECKSUM), [0x6F, 0x00]);
    assert_eq!((talk.hooks.requests.len(), &talk.hooks.errors[..]), (1, &[0x6F00][..]));
    assert_eq!(talk.status(CHECKSUM), 0x6985);
}

#[test]
fn a_card_without_emv_mode_knows_no_generate_ac() {
    let mut talk = Conversation::with(Plan::Approve, &mag_stripe_only(TRACK_2));
    talk.advance(Stage::Selected);
    assert_eq!(talk.status(ARQC), 0x6D00);
    talk.expect_ok(GPO);
    assert_eq!(talk.status(ARQC), 0x6D00);
    talk.expect_ok("00B2010C00");
    assert_eq!(tags(&ask(&mut talk, CHECKSUM)), [0x9F61, 0x9F36]);
    assert_eq!(talk.status(ARQC), 0x6985);
}

#[test]
fn the_transaction_is_read_from_udol_and_pdol() {
    let mut talk = initiated(Plan::Approve);
    ask(&mut talk, CHECKSUM);
    let request = &talk.hooks.requests[0];
    assert_eq!(request.requested, CryptogramRequested::Checksum);
    assert_eq!(request.unpredictable_number, [0x08, 0x68, 0x00, 0x08]);
    assert!(!request.terminal_demands_cdcvm);
    let expected = TransactionInformation {
        amount_minor: 1500,
        other_amount_minor: 0,
        currency: 978,
        currency_exponent: Some(2),
        kind: TransactionKind::Purchase,
        terminal_country: 56,
        merchant_category: None,
        merchant_name: None,
        range: TransactionRange::HighValue,
        date: None,
        terminal: TerminalInformation {
            terminal_type: Some(TerminalType(0x22)),
            capabilities: None,
            risk_management: Some(RiskManagement([0x44, 0, 0, 0, 0, 0, 0, 0])),
        },
    };
    assert_eq!(request.transaction, expected);

    let mut profile = mag_stripe_only(&TRACK_2.replace("0F 9F6A04 9F7E01 9F0206 5F2A02 9F1A02", "03 9F6A04"));
    profile.applications[0].pdol = hex("9F1D08 9F0206 9F0306 5F2A02 9F1A02 9A03 9C01 9F1502");
    let mut talk = Conversation::with(Plan::Approve, &profile);
    talk.advance(Stage::Selected);
    talk.expect_ok("80A80000 20 831E 4480000000000000 000000001500 000000000100 0826 0826 260131 09 5411 00");
    ask(&mut talk, "802A8E80 04 00000899 00");
    let request = &talk.hooks.requests[0];
    assert!(request.terminal_demands_cdcvm);
    let expected = TransactionInformation {
        other_amount_minor: 100,
        currency: 826,
        kind: TransactionKind::PurchaseWithCashback,
        terminal_country: 826,
        merchant_category: Some(5411),
        date: Some("260131".to_owned()),
        terminal: TerminalInformation {
            terminal_type: None,
            capabilities: None,
            risk_management: Some(RiskManagement([0x44, 0x80, 0, 0, 0, 0, 0, 0])),
        },
        ..expected
    };
    assert_eq!(request.transaction, expected);
}

#[test]
fn the_readers_mobile_support_demands_cdcvm() {
    for (support, demanded) in [("00", false), ("01", false), ("02", true), ("03", true)] {
        let pounds = format!("802A8E80 0F 08680008 {support} 000000001500 0826 0826 00");
        let mut talk = initiated(Plan::Approve);
        ask(&mut talk, &pounds);
        let request = &talk.hooks.requests[0];
        assert_eq!(request.terminal_demands_cdcvm, demanded, "{support}");
        assert_eq!(request.transaction.range == TransactionRange::HighValue, demanded, "{support}");
    }
}

fn refusal(from: &str, to: &str) -> String {
    let (record, from, to) = (hex(MAG_STRIPE_RECORD), hex(from), hex(to));
    let at = record.windows(from.len()).position(|part| part == from).expect("the record holds it");
    let edited = [&record[..at], &to, &record[at + from.len()..]].concat();
    let mut profile = test_card::profile();
    add_mag_stripe_record(&mut profile.applications[0], &edited);
    Card::compile(&profile).expect_err("the record is broken").to_string()
}

#[test]
fn the_records_hold_all_of_the_mode_or_nothing() {
    let track_1 = "56 30 42353431333333303038393630303031305E544553542F434152445E33303132323031";
    for (from, to, reason) in [
        ("9F6C 02 0001", "9F6C 01 01", "9F6C: is 1 bytes, limit 2"),
        ("9F6B 13", "DF6B 13", "9F6B: is missing from the records"),
        ("9F65 02", "DF65 02", "9F65: is missing from the records"),
        ("9F66 02", "DF66 02", "9F66: is missing from the records"),
        ("9F67 01", "DF67 01", "9F67: is missing from the records"),
        ("9F62 06", "DF62 06", "9F62: is missing from the records"),
        ("9F63 06", "DF63 06", "9F63: is missing from the records"),
        ("9F64 01", "DF64 01", "9F64: is missing from the records"),
        (track_1, &track_1.replacen("56", "D6", 1), "9F62: is there without track 1 (56)"),
        ("9F65 02 003E", "9F65 03 00003E", "9F65: is 3 bytes, limit 2"),
        ("9F62 06 00000000003E", "9F62 02 003E", "9F62: is 2 bytes, limit 6"),
        ("9F67 01 04", "9F67 02 0004", "9F67: is 2 bytes, limit 1"),
    ] {
        assert_eq!(refusal(from, to), reason);
    }
}

#[test]
fn positions_leave_zero_to_eight_digits_of_the_number_the_same_in_both_tracks() {
    for (from, to, reason) in [
        ("9F67 01 04", "9F67 01 08", "9F67: is 8, limit 0 to 7"),
        ("9F67 01 04", "9F67 01 05", "9F63: leaves 3 digits of the unpredictable number, track 2 leaves 2"),
        ("9F65 02 003E", "9F65 02 007E", "9F66: shares positions with 9F65"),
        ("9F65 02 003E", "9F65 02 003F", "9F65: names position 1, limit 2 to 13"),
        ("9F66 02 1FC0", "9F66 02 3FC0", "9F66: names position 14, limit 2 to 13"),
        ("9F65 02 003E 9F66 02 1FC0 9F67 01 04", "9F65 02 0000 9F66 02 1FFE 9F67 01 03", "9F67: is 3, limit 4 to 12"),
    ] {
        assert_eq!(refusal(from, to), reason);
    }
}

#[test]
fn tracks_have_the_form_of_a_card() {
    let form = "9F6B: is not number, D, expiry, service code and digits";
    let good = "9F6B 13 5413330089600010D30122010000000000000F";
    for bad in [
        "9F6B 13 5413330089600010030122010000000000000F",
        "9F6B 13 5413330089600010D3012201000000000000AF",
        "9F6B 13 D413330089600010030122010000000000000F",
        "9F6B 0B 5413330089600010D3012F",
    ] {
        assert_eq!(refusal(good, bad), form, "{bad}");
    }
    let form = "56: is not B, number, ^, name, ^, expiry, service code, data";
    for (from, to) in [("56 30 42", "56 30 41"), ("45 53 54 2F 43 41 52 44 5E", "45 53 54 2F 43 41 52 44 20")] {
        assert_eq!(refusal(from, to), form, "{to}");
    }
}

#[test]
fn the_lists_ask_for_what_the_wallet_must_know() {
    let list = "9F69 0F 9F6A04 9F7E01 9F0206 5F2A02 9F1A02";
    for (to, reason) in [
        ("9F69 0F DF6A04 9F7E01 9F0206 5F2A02 9F1A02", "9F69: does not ask for 9F6A"),
        ("9F69 0F 9F6A04 9F7E01 DF0206 5F2A02 9F1A02", "9F69: does not ask for 9F02"),
        ("9F69 0F 9F6A04 9F7E01 9F0206 DF2A02 9F1A02", "9F69: does not ask for 5F2A"),
        ("9F69 03 9F6A04", "9F69: does not ask for 9F02"),
        ("9F69 0F 9F6A03 9F7E01 9F0206 5F2A02 9F1A02", "9F69: asks for 3 bytes of 9F6A, not 4"),
        ("9F69 0F 9F6A04 9F7E02 9F0206 5F2A02 9F1A02", "9F69: asks for 2 bytes of 9F7E, not 1"),
        ("9F69 02 9F6A", "9F69: an object is cut short"),
    ] {
        assert_eq!(refusal(list, to), reason);
    }
    // The default list asks for the number alone. The PDOL of this card asks for the country.
    assert_eq!(refusal(list, "DF69 00"), "9F69: does not ask for 9F02");
    let mut profile = full_profile();
    let record = hex(&MAG_STRIPE_RECORD.replace("5F2A02 9F1A02", "5F2A02 DF1A02"));
    profile.applications[0].records.last_mut().unwrap().bytes = test_card::object(0x70, &record);
    assert!(Card::compile(&profile).is_ok());
    profile.applications[0].pdol.clear();
    assert_eq!(Card::compile(&profile).unwrap_err().to_string(), "9F69: does not ask for 9F1A");
}

#[test]
fn without_emv_mode_there_must_be_mag_stripe_data_and_no_cda() {
    let mut neither = mag_stripe_only(TRACK_2);
    neither.applications[0].records[0].bytes = test_card::object(0x70, &hex("5F24 03 301231"));
    let reason = "82: does not offer EMV mode, and the records hold no mag-stripe data";
    assert_eq!(Card::compile(&neither).unwrap_err().to_string(), reason);
    let mut signed = mag_stripe_only(TRACK_2);
    signed.applications[0].aip = hex("0100");
    signed.applications[0].icc_key = Some(test_card::icc_key());
    assert_eq!(Card::compile(&signed).unwrap_err().to_string(), "82: offers CDA without EMV mode");
    // Its track says who it is and until when: December 2030.
    let card = mag_stripe_only(TRACK_2);
    assert!(Card::admit(&card, 1_924_991_999_999).is_ok());
    assert_eq!(Card::admit(&card, 1_924_992_000_000).unwrap_err().to_string(), "5F24: is past");
    let mut stranger = mag_stripe_only(TRACK_2);
    stranger.last_four = "0011".to_owned();
    assert!(Card::compile(&stranger).is_err());
    // On-device verification needs no signature in this mode.
    let mut phone = mag_stripe_only(TRACK_2);
    phone.applications[0].aip = hex("0200");
    assert!(Card::compile(&phone).is_ok());
}
