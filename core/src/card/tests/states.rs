//! Which command is legal where, and what the others get.

use super::*;

#[test]
fn every_command_in_every_state_gets_its_status_word() {
    use Stage::{Done, Idle, Initiated, Ppse, Selected};
    #[rustfmt::skip]
    let table = [
        (Idle,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Ppse,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985]),
        (Selected,  [0x9000, 0x9000, 0x9000, 0x6A83, 0x6985, 0x6A88]),
        (Initiated, [0x9000, 0x9000, 0x6985, 0x9000, 0x9000, 0x6A88]),
        (Done,      [0x9000, 0x9000, 0x6985, 0x6985, 0x6985, 0x6985]),
    ];
    for (stage, expected) in table {
        for (command, expected) in [PPSE, SELECT, GPO, READ, ARQC, GET_ATC].into_iter().zip(expected) {
            let mut talk = Conversation::new(Plan::Approve);
            talk.advance(stage);
            assert_eq!(talk.status(command), expected, "{command} in {stage:?}");
        }
    }
}

#[test]
fn unknown_classes_and_instructions_are_named_in_every_state() {
    for stage in [Stage::Idle, Stage::Ppse, Stage::Selected, Stage::Initiated, Stage::Done] {
        let mut talk = Conversation::new(Plan::Approve);
        talk.advance(stage);
        for unknown in ["00C00000 00", "00880000 04 00000000 00", "00200080 08 2412345FFFFFFFFF"] {
            assert_eq!(talk.status(unknown), 0x6D00, "{unknown} in {stage:?}");
        }
        // Mag-stripe mode and relay resistance, without a profile that has them.
        assert_eq!(talk.status("802A8E80 04 00000899 00"), 0x6D00);
        assert_eq!(talk.status("80EA0000 04 01020304 00"), 0x6D00);
        for class in ["FFCA000000", "84AE9000", "01A40400 07 A0000000041010"] {
            assert_eq!(talk.status(class), 0x6E00, "{class} in {stage:?}");
        }
        assert_eq!(talk.status("00A404"), 0x6700);
        assert_eq!(talk.status(""), 0x6700);
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
fn a_malformed_generate_ac_ends_the_tap_and_is_reported() {
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
    ] {
        let mut talk = Conversation::new(Plan::Approve);
        talk.advance(Stage::Initiated);
        assert_eq!(status_of(&talk.send_bytes(&apdu)), expected);
        assert_eq!(talk.hooks.errors, [expected]);
        assert_eq!(talk.status(ARQC), 0x6985);
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
