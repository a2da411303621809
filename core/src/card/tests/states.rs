//! Which command is legal where, and what the others get.

use super::*;

/// The columns: directory, application, options, record, relay exchange, cryptogram, checksum, an
/// object that the card has and one that it does not have.
const COMMANDS: [&str; 9] = [PPSE, SELECT, GPO, READ, EXCHANGE, ARQC, CHECKSUM, "80CA 9F7D 00", GET_ATC];

fn expect_table(start: fn(Plan) -> Conversation, table: [(Stage, [u16; 9]); 5]) {
    for (stage, expected) in table {
        for (command, expected) in COMMANDS.into_iter().zip(expected) {
            let mut talk = start(Plan::Approve);
            talk.advance(stage);
            assert_eq!(talk.status(command), expected, "{command} in {stage:?}");
        }
    }
}

#[test]
fn every_command_in_every_state_gets_its_status_word() {
    use Stage::{Done, Idle, Initiated, Ppse, Selected};
    #[rustfmt::skip]
    expect_table(Conversation::full, [
        (Idle,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Ppse,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Selected,  [0x9000, 0x9000, 0x9000, 0x6A83, 0x6985, 0x6985, 0x6985, 0x9000, 0x6A88]),
        (Initiated, [0x9000, 0x9000, 0x6985, 0x9000, 0x9000, 0x9000, 0x9000, 0x9000, 0x6A88]),
        (Done,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
    ]);
}

#[test]
fn commands_that_an_application_does_not_have_are_unknown_to_it() {
    use Stage::{Done, Idle, Initiated, Ppse, Selected};
    // Where no application is selected, the order of commands is all there is to say.
    #[rustfmt::skip]
    expect_table(Conversation::new, [
        (Idle,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Ppse,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Selected,  [0x9000, 0x9000, 0x9000, 0x6A83, 0x6D00, 0x6985, 0x6D00, 0x6A88, 0x6A88]),
        (Initiated, [0x9000, 0x9000, 0x6985, 0x9000, 0x6D00, 0x9000, 0x6D00, 0x6A88, 0x6A88]),
        (Done,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985, 0x6985]),
    ]);
}

#[test]
fn an_unknown_command_leaves_the_tap_as_it_stands() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.advance(Stage::Initiated);
    for unknown in [EXCHANGE, CHECKSUM, "80EA0100 00", "802A0000 00", "00C00000 00", "FFCA000000"] {
        assert!(matches!(talk.status(unknown), 0x6D00 | 0x6E00), "{unknown}");
    }
    talk.expect_ok(ARQC);
    assert_eq!((talk.hooks.requests.len(), talk.hooks.errors.len()), (1, 0));
}

#[test]
fn either_cryptogram_ends_the_tap_for_both() {
    for (first, second) in [(ARQC, CHECKSUM), (CHECKSUM, ARQC), (ARQC, ARQC), (CHECKSUM, CHECKSUM)] {
        let mut talk = Conversation::full(Plan::Approve);
        talk.advance(Stage::Initiated);
        talk.expect_ok(first);
        for command in [second, EXCHANGE, GPO, READ, GET_ATC] {
            assert_eq!(talk.status(command), 0x6985, "{command} after {first}");
        }
        assert_eq!((talk.hooks.requests.len(), talk.hooks.errors.len()), (1, 0));
    }
}

#[test]
fn a_directory_in_the_middle_of_a_tap_begins_another_and_no_tap_decides_twice() {
    let mut talk = Conversation::full(Plan::Approve);
    for stage in [Stage::Ppse, Stage::Selected, Stage::Initiated] {
        talk.advance(stage);
        let begun = talk.hooks.begun;
        talk.expect_ok(PPSE);
        assert_eq!(talk.hooks.begun, begun + 1, "{stage:?}");
        for command in [GPO, READ, EXCHANGE, ARQC, CHECKSUM, GET_ATC] {
            assert_eq!(talk.status(command), 0x6985, "{command} after {stage:?}");
        }
    }
    assert!(talk.hooks.requests.is_empty());
}

#[test]
fn unknown_classes_and_instructions_are_named_in_every_state() {
    for stage in [Stage::Idle, Stage::Ppse, Stage::Selected, Stage::Initiated, Stage::Done] {
        let mut talk = Conversation::full(Plan::Approve);
        talk.advance(stage);
        for unknown in [
            "00C00000 00",
            "00880000 04 00000000 00",
            "00200080 08 2412345FFFFFFFFF",
            // Known instructions of the other class.
            "80A40400 07 A0000000041010 00",
            "00A80000 02 8300 00",
            "80B2011400",
            "00AE9000 00",
            "002A8E80 00",
            "00EA0000 04 01020304 00",
            "00CA9F3600",
        ] {
            assert_eq!(talk.status(unknown), 0x6D00, "{unknown} in {stage:?}");
        }
        for class in ["FFCA000000", "84AE9000", "01A40400 07 A0000000041010", "902A8E80 00", "10A40400 00"] {
            assert_eq!(talk.status(class), 0x6E00, "{class} in {stage:?}");
        }
        assert_eq!(talk.status("00A404"), 0x6700);
        assert_eq!(talk.status(""), 0x6700);
    }
}

/// Each command in a state that allows it, with one thing wrong, or with everything right in another
/// form of ISO 7816-4, 5.1.
#[test]
fn parameters_come_before_length_and_length_before_data() {
    use Stage::{Initiated, Selected};
    const NAME: &str = "A0000000041010";
    let bad_amount = ARQC.replacen("000000001234", "00000000123A", 1);
    let bad_number = CHECKSUM.replacen("08680008", "0868000F", 1);
    #[rustfmt::skip]
    let table: Vec<(Stage, String, u16)> = [
        // SELECT
        (Initiated, format!("00A40400 07 {NAME}"), 0x9000),
        (Initiated, format!("00A40400 07 {NAME} FF"), 0x9000),
        (Initiated, "00A40404 00 00".into(), 0x6A86),
        (Initiated, format!("00A40800 08 {NAME}"), 0x6A86),
        (Initiated, "00A40400".into(), 0x6700),
        (Initiated, "00A4040000".into(), 0x6700),
        (Initiated, format!("00A40400 08 {NAME}"), 0x6700),
        (Initiated, format!("00A40400 07 {NAME} 0000"), 0x6700),
        (Initiated, format!("00A40400 000007 {NAME}"), 0x6700),
        (Initiated, "00A40400 04 A0000000".into(), 0x6A82),
        (Initiated, "00A40400 05 A000000004".into(), 0x9000),
        (Initiated, format!("00A40400 08 {NAME} 01"), 0x6A82),
        (Initiated, format!("00A40402 07 {NAME}"), 0x6A82),
        // GET PROCESSING OPTIONS
        (Selected, "80A80000 0D 830B 4400000000000000 0826 22".into(), 0x9000),
        (Selected, "80A80001 00 00".into(), 0x6A86),
        (Selected, "80A80000".into(), 0x6700),
        (Selected, "80A80000 0D 830B 4400000000000000 0826".into(), 0x6700),
        (Selected, "80A80000 0C 830A 4400000000000000 0826".into(), 0x6700),
        (Selected, "80A80000 0E 830C 4400000000000000 0826 2222".into(), 0x6700),
        (Selected, "80A80000 0D 820B 4400000000000000 0826 22".into(), 0x6A80),
        (Selected, "80A80000 0E 81830B 4400000000000000 0826 22".into(), 0x6A80),
        (Selected, "80A80000 0E 83810B 4400000000000000 0826 22".into(), 0x6A80),
        (Selected, "80A80000 0D 830A 4400000000000000 0826 22".into(), 0x6A80),
        (Selected, "80A80000 0D 830C 4400000000000000 0826 22".into(), 0x6A80),
        (Selected, "80A80000 01 83".into(), 0x6A80),
        (Selected, "80A80000 02 8300".into(), 0x6700),
        // READ RECORD
        (Initiated, "00B20114".into(), 0x9000),
        (Initiated, "00B20114FF".into(), 0x9000),
        (Initiated, "00B20115 01 00".into(), 0x6A86),
        (Initiated, "00B20110 00".into(), 0x6A86),
        (Initiated, "00B20114 01 00".into(), 0x6700),
        (Initiated, "00B20114 000000".into(), 0x6700),
        (Initiated, "00B20014 00".into(), 0x6A83),
        (Initiated, "00B20414 00".into(), 0x6A83),
        (Initiated, "00B20104 00".into(), 0x6A83),
        (Initiated, "00B201FC 00".into(), 0x6A83),
        // GET DATA
        (Initiated, "80CA9F7D".into(), 0x9000),
        (Selected, "80CA0042 00".into(), 0x9000),
        (Selected, "80CA4200 00".into(), 0x6A88),
        (Selected, "80CA0000 00".into(), 0x6A88),
        (Selected, "80CA9F7D 01 00".into(), 0x6700),
        (Selected, "80CA9F36 01 00".into(), 0x6700),
        (Selected, "80CA9F7D 000000".into(), 0x6700),
        // EXCHANGE RELAY RESISTANCE DATA
        (Initiated, "80EA0000 04 01020304".into(), 0x9000),
        (Initiated, "80EA0001 00".into(), 0x6A86),
        (Initiated, "80EA0100 04 01020304 00".into(), 0x6A86),
        (Initiated, "80EA0000 00".into(), 0x6700),
        (Initiated, "80EA0000 03 010203 00".into(), 0x6700),
        (Initiated, "80EA0000 05 0102030405 00".into(), 0x6700),
        (Initiated, "80EA0000 04 010203".into(), 0x6700),
        (Initiated, "80EA0000 000004 01020304".into(), 0x6700),
        // GENERATE AC
        (Initiated, ARQC.trim_end_matches(" 00").to_owned(), 0x9000),
        (Initiated, "80AE9001 00".into(), 0x6A86),
        (Initiated, "80AED000 00".into(), 0x6A86),
        (Initiated, "80AE9000 00".into(), 0x6700),
        (Initiated, format!("{ARQC} 00"), 0x6700),
        (Initiated, bad_amount, 0x6A80),
        // COMPUTE CRYPTOGRAPHIC CHECKSUM
        (Initiated, CHECKSUM.trim_end_matches(" 00").to_owned(), 0x9000),
        (Initiated, "802A8E81 00".into(), 0x6A86),
        (Initiated, "802A8080 00".into(), 0x6A86),
        (Initiated, "802A8E80 00".into(), 0x6700),
        (Initiated, "802A8E80 04 08680008 00".into(), 0x6700),
        (Initiated, format!("{CHECKSUM} 00"), 0x6700),
        (Initiated, bad_number, 0x6A80),
    ].into();
    for (stage, command, expected) in table {
        let mut talk = Conversation::full(Plan::Approve);
        talk.advance(stage);
        assert_eq!(talk.status(&command), expected, "{command} in {stage:?}");
    }
}

#[test]
fn order_is_checked_before_parameters_and_parameters_before_length() {
    let mut talk = Conversation::new(Plan::Approve);
    assert_eq!(talk.status("80A80100"), 0x6985);
    assert_eq!(talk.status("80AEFF00"), 0x6985);
    talk.advance(Stage::Selected);
    assert_eq!(talk.status("80A80100"), 0x6A86);
    assert_eq!(talk.status("80A80000"), 0x6700);
    assert_eq!(talk.status("00A40000 07 A0000000041010"), 0x6A86);
    assert_eq!(talk.status("00A40404 07 A0000000041010"), 0x6A86);
    assert_eq!(talk.status("00A40400"), 0x6700);
}

#[test]
fn processing_options_want_exactly_the_data_of_the_pdol() {
    for (data, expected) in [
        ("80A80000 02 8300 00", 0x6700),
        ("80A80000 0C 83 0A 44000000000000000826 00", 0x6700),
        ("80A80000 0E 83 0C 440000000000000008262200 00", 0x6700),
        ("80A80000 0D 84 0B 4400000000000000082622 00", 0x6A80),
        ("80A80000 0D 83 0A 4400000000000000082622 00", 0x6A80),
        ("80A80000 0D 83 0C 4400000000000000082622 00", 0x6A80),
        ("80A80000 0000 0D 83 0B 4400000000000000082622 00", 0x6700),
    ] {
        let mut talk = Conversation::new(Plan::Approve);
        talk.advance(Stage::Selected);
        assert_eq!(talk.status(data), expected, "{data}");
        // Nothing was begun, so a terminal may try again.
        assert_eq!(talk.status(GPO), 0x9000, "{data}");
    }
}

#[test]
fn records_outside_the_file_locator_are_not_found() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.advance(Stage::Initiated);
    for sfi in 1..=31u8 {
        for number in 1..=6u8 {
            let apdu = [0x00, 0xB2, number, sfi << 3 | 4, 0x00];
            let expected = if sfi == 2 && number <= 3 { 0x9000 } else { 0x6A83 };
            assert_eq!(status_of(&talk.send_bytes(&apdu)), expected, "file {sfi} record {number}");
        }
    }
    assert_eq!(talk.status("00B2 01 12 00"), 0x6A86);
    assert_eq!(talk.status("00B2 01 14 01 00 00"), 0x6700);
}

#[test]
fn a_malformed_request_for_a_cryptogram_ends_the_tap_and_is_reported() {
    let data = hex(CDOL1_DATA);
    let mut not_decimal = data.clone();
    not_decimal[0] = 0xA0;
    let p2 = [&[0x80, 0xAE, 0x90, 0x01, 45], &data[..]].concat();
    for (apdu, expected) in [
        (generate_ac(0x98, &data), 0x6A86),
        (generate_ac(0x81, &data), 0x6A86),
        (generate_ac(0xD0, &data), 0x6A86),
        (p2, 0x6A86),
        (generate_ac(0x90, &data[1..]), 0x6700),
        (generate_ac(0x90, &[&data[..], &[0]].concat()), 0x6700),
        (vec![0x80, 0xAE, 0x90, 0x00, 0x00], 0x6700),
        (generate_ac(0x90, &not_decimal), 0x6A80),
        (hex("802A8E00 0F 08680008 00 000000001500 0978 0056 00"), 0x6A86),
        (hex("802A8E80 0E 08680008 00 000000001500 0978 00 00"), 0x6700),
        (hex("802A8E80 0F 08680008 00 0000000015A0 0978 0056 00"), 0x6A80),
    ] {
        let mut talk = Conversation::full(Plan::Approve);
        talk.advance(Stage::Initiated);
        assert_eq!(status_of(&talk.send_bytes(&apdu)), expected);
        assert_eq!(talk.hooks.errors, [expected]);
        assert_eq!((talk.status(ARQC), talk.status(CHECKSUM)), (0x6985, 0x6985));
        assert!(talk.hooks.requests.is_empty());
        assert_eq!(talk.hooks.errors, [expected], "a command after the end is no second error");
    }
}

#[test]
fn second_generate_ac_is_refused() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.advance(Stage::Done);
    assert_eq!(talk.status(ARQC), 0x6985);
    assert_eq!((talk.hooks.requests.len(), talk.hooks.errors.len()), (1, 0));
}

#[test]
fn the_ppse_always_begins_a_tap_and_an_application_only_if_none_runs() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.expect_ok(PPSE);
    talk.expect_ok(SELECT);
    talk.expect_ok(GPO);
    talk.expect_ok(SELECT);
    assert_eq!(talk.hooks.begun, 1);
    talk.expect_ok(PPSE);
    assert_eq!(talk.hooks.begun, 2);
    talk.card.reset();
    talk.expect_ok(SELECT);
    assert_eq!(talk.hooks.begun, 3);
    talk.expect_ok(GPO);
    talk.expect_ok(ARQC);
    talk.expect_ok(SELECT);
    assert_eq!(talk.hooks.begun, 4);
}

#[test]
fn a_refused_pre_check_answers_6a82_and_selects_nothing() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.hooks.card = None;
    assert_eq!(talk.status(PPSE), 0x6A82);
    assert_eq!(talk.status(SELECT), 0x6A82);
    assert_eq!(talk.status(GPO), 0x6985);
}

#[test]
fn a_name_that_is_no_aid_of_ours_begins_no_tap() {
    let mut talk = Conversation::new(Plan::Approve);
    assert_eq!(talk.status("00A40400 0E 315041592E5359532E4444463031 00"), 0x6A82);
    assert_eq!(talk.status("00A40400 04 A0000000"), 0x6A82);
    assert_eq!(talk.status("00A40402 0E 325041592E5359532E4444463031 00"), 0x6A82);
    assert_eq!(talk.hooks.begun, 0);
    assert_eq!(talk.status("00A40400 07 A0000000031010 00"), 0x6A82);
    assert_eq!(talk.status(SELECT), 0x9000);
    assert_eq!(talk.hooks.begun, 1);
}

#[test]
fn a_prefix_selects_and_the_next_occurrence_follows() {
    let mut profile = test_card::profile();
    let mut second = profile.applications[0].clone();
    second.aid = hex("A0000000043060");
    second.priority = 2;
    profile.applications.push(second);
    let mut talk = Conversation::new(Plan::Approve);
    talk.hooks.card = Some(Arc::new(Card::compile(&profile).unwrap()));
    talk.expect_ok(PPSE);
    assert!(talk.expect_ok("00A40400 05 A000000004").windows(7).any(|part| part == hex("A0000000041010")));
    assert!(talk.expect_ok("00A40402 05 A000000004").windows(7).any(|part| part == hex("A0000000043060")));
    assert_eq!(talk.status("00A40402 05 A000000004"), 0x6A82);
    // The exact name wins over an earlier prefix match, and a lost selection has no next one.
    assert_eq!(talk.status("00A40402 05 A000000004"), 0x6A82);
    talk.expect_ok("00A40400 07 A0000000043060");
}

#[test]
fn a_lost_field_forgets_the_tap() {
    let mut talk = Conversation::new(Plan::Approve);
    talk.advance(Stage::Initiated);
    talk.card.reset();
    assert_eq!(format!("{:?}", talk.card), "CardApplication(unselected)");
    assert_eq!(talk.status(ARQC), 0x6985);
    assert!(talk.hooks.requests.is_empty());
}
