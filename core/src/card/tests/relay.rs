//! EXCHANGE RELAY RESISTANCE DATA: what is answered, and what the signature covers of it.

use super::*;

fn relayed() -> Conversation {
    let mut talk = Conversation::full(Plan::Approve);
    talk.advance(Stage::Initiated);
    talk
}

/// The dynamic data of the tap's signature.
fn signed(talk: &mut Conversation) -> Vec<u8> {
    let answer = objects(&talk.expect_ok(ARQC));
    let block = test_card::public_operation(&test_card::icc_key(), &answer[2].1);
    block[4..4 + usize::from(block[3])].to_vec()
}

#[test]
fn an_exchange_answers_fresh_entropy_and_the_times_of_the_profile() {
    let mut talk = relayed();
    let first = talk.expect_ok(EXCHANGE);
    assert_eq!((&first[..2], &first[6..]), (&hex("800A")[..], &hex("0001 00C8 0012")[..]));
    let second = talk.expect_ok(EXCHANGE);
    assert_ne!(first[2..6], second[2..6]);
}

#[test]
fn the_signature_covers_the_last_exchange() {
    let mut talk = relayed();
    talk.expect_ok(EXCHANGE);
    let last = talk.expect_ok("80EA0000 04 B1B2B3B4 00");
    let data = signed(&mut talk);
    assert_eq!(data.len(), 0x34);
    assert_eq!(data[38..], [&hex("B1B2B3B4"), &last[2..]].concat());
}

#[test]
fn without_an_exchange_in_this_tap_the_signature_has_no_relay_data() {
    let mut talk = relayed();
    assert_eq!(signed(&mut talk).len(), 0x26);
    // An exchange belongs to its tap, and to its selection.
    talk.advance(Stage::Initiated);
    talk.expect_ok(EXCHANGE);
    talk.expect_ok(SELECT);
    talk.expect_ok(GPO);
    assert_eq!(signed(&mut talk).len(), 0x26);
}

#[test]
fn a_fourth_exchange_is_refused_and_changes_nothing() {
    let mut talk = relayed();
    for _ in 0..2 {
        talk.expect_ok(EXCHANGE);
        // A wrong one is none of the three.
        assert_eq!(talk.status("80EA0000 03 010203 00"), 0x6700);
    }
    talk.expect_ok(READ);
    let third = talk.expect_ok(EXCHANGE);
    assert_eq!(talk.status("80EA0000 04 C1C2C3C4 00"), 0x6985);
    assert_eq!(talk.status("80EA0001 04 C1C2C3C4 00"), 0x6985);
    assert_eq!(signed(&mut talk)[38..], [&hex("A1A2A3A4"), &third[2..]].concat());
    assert!(talk.hooks.errors.is_empty());
}

#[test]
fn the_bit_and_the_times_are_there_together() {
    let refusal = |change: fn(&mut Application)| {
        let mut profile = full_profile();
        change(&mut profile.applications[0]);
        Card::compile(&profile).unwrap_err().to_string()
    };
    let reason = "82: offers relay resistance without relay_resistance, or has it and does not offer it";
    assert_eq!(refusal(|a| a.relay_resistance = None), reason);
    assert_eq!(refusal(|a| a.aip = hex("1B80")), reason);
    assert_eq!(refusal(|a| a.aip = hex("1B82")), "82: has reserved bits set");
    let unsigned = |a: &mut Application| {
        a.aip = hex("1881");
        a.icc_key = None;
    };
    assert_eq!(refusal(unsigned), "82: offers relay resistance without CDA, which signs it");
    let backwards = |a: &mut Application| {
        a.relay_resistance = Some(RelayResistance { min_time: 2, max_time: 1, transmission_time: 0 })
    };
    assert_eq!(refusal(backwards), "relay_resistance: has min_time 2, limit max_time 1");
    let short = |a: &mut Application| a.icc_key.as_mut().unwrap().modulus = vec![0xFF; 76];
    assert_eq!(refusal(short), "icc_key: has length 76, limit 77 to 203");
}
