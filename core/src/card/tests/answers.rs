//! What the answers hold, byte for byte.

use sha1::{Digest, Sha1};

use super::*;
use crate::card::cryptogram::mac;
use crate::card::hooks::CryptogramRequested;
use crate::card::icc_key::IccKey;
use crate::payment::{
    RiskManagement, TerminalCapabilities, TerminalInformation, TerminalType, TransactionInformation, TransactionKind,
    TransactionRange,
};

fn initiated(plan: Plan) -> Conversation {
    let mut talk = Conversation::new(plan);
    talk.advance(Stage::Initiated);
    talk
}

fn ask(talk: &mut Conversation, p1: u8, data: &str) -> Vec<(u32, Vec<u8>)> {
    let mut answer = talk.send_bytes(&generate_ac(p1, &hex(data)));
    assert_eq!(status_of(&answer), 0x9000);
    answer.truncate(answer.len() - 2);
    objects(&answer)
}

/// The 39 bytes for the conversation's data, with the CVR given.
fn expected_cryptogram(atc: u16, cvr: &str) -> Vec<u8> {
    let terminal = "000000001234 000000000000 0826 0000008000 0826 260131 00 AABBCCDD";
    let input = [hex(terminal), hex("1B80"), atc.to_be_bytes().to_vec(), hex(cvr)].concat();
    assert_eq!(input.len(), 39);
    mac(&Secret::new(SESSION_KEY), &input).to_vec()
}

#[test]
fn the_directory_and_the_application_are_shown_as_personalised() {
    let mut talk = Conversation::new(Plan::Approve);
    assert_eq!(
        talk.expect_ok(PPSE),
        hex("6F23 840E325041592E5359532E4444463031 A511 BF0C0E 610C 4F07A0000000041010 870101")
    );
    let fci = concat!(
        "6F37 8407A0000000041010 A52C 5009546573742043617264 870101 5F2D02656E",
        "9F3809 9F1D089F1A029F3501 BF0C0A 9F6E0708260000313400"
    );
    assert_eq!(talk.expect_ok(SELECT), hex(fci));
    assert_eq!(talk.expect_ok(GPO), hex("770A 82021B80 940410010301"));
}

#[test]
fn an_unsigned_arqc_carries_the_cryptogram_in_the_open() {
    let answer = ask(&mut initiated(Plan::Approve), 0x80, CDOL1_DATA);
    let cvr = "A00000020000";
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
    assert_eq!(answer[0].1, [0x80]);
    assert_eq!(answer[1].1, ATC.to_be_bytes());
    assert_eq!(answer[2].1, expected_cryptogram(ATC, cvr));
    let iad = format!("01 14 {cvr} 0000 00000000000000FF 0102030405060708");
    assert_eq!(answer[3].1, hex(&iad));
}

#[test]
fn a_signed_arqc_hides_the_cryptogram_in_the_signature() {
    let answer = ask(&mut initiated(Plan::Approve), 0x90, CDOL1_DATA);
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F4B, 0x9F10]);
    let block = test_card::public_operation(&test_card::icc_key(), &answer[2].1);
    assert_eq!(block[..5], [0x6A, 0x05, 0x01, 0x26, 0x08]);
    assert_eq!(block[13], 0x80);
    // The CVR says "CDA in the first" before the cryptogram is computed.
    assert_eq!(block[14..22], expected_cryptogram(ATC, "A04000020000"));
    let without_signature: Vec<u8> = [&answer[0], &answer[1], &answer[3]]
        .into_iter()
        .flat_map(|(tag, value)| test_card::object(*tag, value))
        .collect();
    let hashed = [hex("4400000000000000 0826 22"), hex(CDOL1_DATA), without_signature].concat();
    assert_eq!(block[22..42], Sha1::digest(hashed)[..]);
    assert_eq!(block.last(), Some(&0xBC));
}

#[test]
fn a_successful_cdcvm_is_said_behind_the_iad_and_is_signed() {
    for (p1, proof) in [(0x80, 0x9F26), (0x90, 0x9F4B)] {
        let mut talk = initiated(Plan::Approve);
        talk.hooks.cdcvm_done = true;
        let answer = ask(&mut talk, p1, CDOL1_DATA);
        assert_eq!(tags(&answer), [0x9F27, 0x9F36, proof, 0x9F10, 0xDF4B]);
        assert_eq!(answer[4].1, [0x00, 0x10, 0x00]);
        if proof == 0x9F4B {
            let block = test_card::public_operation(&test_card::icc_key(), &answer[2].1);
            let shown = [0, 1, 3, 4].map(|at| test_card::object(answer[at].0, &answer[at].1)).concat();
            let hashed = [hex("4400000000000000 0826 22"), hex(CDOL1_DATA), shown].concat();
            assert_eq!(block[22..42], Sha1::digest(hashed)[..]);
        }
    }
}

#[test]
fn an_aac_never_claims_a_cdcvm() {
    let mut talk = initiated(Plan::Approve);
    talk.hooks.cdcvm_done = true;
    assert_eq!(tags(&ask(&mut talk, 0x10, CDOL1_DATA)), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
}

#[test]
fn a_tc_is_answered_with_an_arqc() {
    for p1 in [0x40, 0x50] {
        let mut talk = initiated(Plan::Approve);
        assert_eq!(ask(&mut talk, p1, CDOL1_DATA)[0].1, [0x80]);
        assert_eq!(talk.hooks.requests[0].requested, CryptogramRequested::Tc);
    }
}

#[test]
fn an_approval_of_an_aac_request_is_impossible() {
    for p1 in [0x00, 0x10] {
        let mut talk = initiated(Plan::Approve);
        let answer = ask(&mut talk, p1, CDOL1_DATA);
        assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
        assert_eq!(answer[0].1, [0x00]);
        for cvr in ["800000020000", "A00000020000", "A04000020000"] {
            assert_ne!(answer[2].1, expected_cryptogram(ATC, cvr), "computed with the credential");
        }
        assert_eq!(talk.hooks.requests[0].requested, CryptogramRequested::Aac);
    }
}

#[test]
fn a_decline_is_an_unsigned_aac_under_a_random_key() {
    let answer = ask(&mut initiated(Plan::Decline { see_phone: false }), 0x90, CDOL1_DATA);
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
    assert_eq!((&answer[0].1[..], &answer[1].1[..]), (&[0x00][..], &[0x00, 0x99][..]));
    assert_eq!(answer[3].1, hex("01 14 800000020000 0000 00000000000000FF 0000000000000000"));
    let mut other = initiated(Plan::Decline { see_phone: false });
    other.hooks.random = 100;
    assert_ne!(ask(&mut other, 0x90, CDOL1_DATA)[2].1, answer[2].1);
}

#[test]
fn a_burn_that_fails_while_the_answer_is_made_leaves_an_aac_that_tells_nothing() {
    let mut talk = initiated(Plan::ApproveInVain);
    let answer = ask(&mut talk, 0x90, CDOL1_DATA);
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
    assert_eq!((&answer[0].1[..], &answer[1].1[..]), (&[0x00][..], &[0x00, 0x00][..]));
    assert_eq!(answer[3].1, hex("01 14 800000020000 0000 00000000000000FF 0000000000000000"));
    assert_eq!((talk.hooks.awaited, talk.hooks.errors.len()), (1, 0));
}

#[test]
fn every_approval_waits_for_its_burn_once_and_no_decline_does() {
    for (plan, awaited) in [(Plan::Approve, 1), (Plan::Decline { see_phone: false }, 0)] {
        for p1 in [0x80, 0x90] {
            let mut talk = initiated(plan);
            ask(&mut talk, p1, CDOL1_DATA);
            assert_eq!(talk.hooks.awaited, awaited);
        }
    }
}

#[test]
fn a_decline_for_cdcvm_says_see_phone() {
    let answer = ask(&mut initiated(Plan::Decline { see_phone: true }), 0x90, CDOL1_DATA);
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10, 0xDF4B]);
    assert_eq!(answer[4].1, [0x00, 0x01, 0x00]);
}

#[test]
fn each_tap_has_its_own_dynamic_number() {
    let mut numbers = Vec::new();
    let mut talk = Conversation::new(Plan::Approve);
    for _ in 0..3 {
        talk.advance(Stage::Initiated);
        let answer = ask(&mut talk, 0x90, CDOL1_DATA);
        numbers.push(test_card::public_operation(&test_card::icc_key(), &answer[2].1)[5..13].to_vec());
    }
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
}

#[test]
fn a_foreign_terminal_is_marked_international() {
    let abroad = CDOL1_DATA.replacen("0826", "0250", 1);
    let answer = ask(&mut initiated(Plan::Approve), 0x80, &abroad);
    assert_eq!(answer[3].1[2..8], hex("A00000040000"));
}

#[test]
fn the_transaction_is_read_by_tag() {
    let mut talk = initiated(Plan::Approve);
    ask(&mut talk, 0x90, CDOL1_DATA);
    let request = &talk.hooks.requests[0];
    assert_eq!(
        request.transaction,
        TransactionInformation {
            amount_minor: 1234,
            other_amount_minor: 0,
            currency: 826,
            currency_exponent: Some(2),
            kind: TransactionKind::Purchase,
            terminal_country: 826,
            merchant_category: Some(5411),
            merchant_name: None,
            range: TransactionRange::LowValue,
            date: Some("260131".to_owned()),
            terminal: TerminalInformation {
                terminal_type: Some(TerminalType(0x22)),
                capabilities: None,
                risk_management: Some(RiskManagement([0x44, 0, 0, 0, 0, 0, 0, 0])),
            },
        }
    );
    assert!(!request.contradictory);
    assert_eq!(request.unpredictable_number, [0xAA, 0xBB, 0xCC, 0xDD]);
    assert!(!request.terminal_demands_cdcvm);
}

#[test]
fn a_transit_gate_and_a_yen_amount_are_recognised() {
    let gate = CDOL1_DATA.replace("000000001234", "000000000000").replace("5411", "4111");
    let mut talk = initiated(Plan::Approve);
    ask(&mut talk, 0x90, &gate);
    assert_eq!(talk.hooks.requests[0].transaction.kind, TransactionKind::Transit);
    let yen = CDOL1_DATA.replace("8000 0826", "8000 0392");
    let mut talk = initiated(Plan::Approve);
    ask(&mut talk, 0x90, &yen);
    let transaction = &talk.hooks.requests[0].transaction;
    assert_eq!((transaction.currency, transaction.currency_exponent), (392, Some(0)));
    assert_eq!(transaction.range, TransactionRange::HighValue);
}

#[test]
fn a_terminal_that_names_another_amount_than_before_the_records_contradicts_itself() {
    let mut profile = test_card::profile();
    // A list of the field's test cards: amount, capabilities, kind.
    profile.applications[0].pdol = hex("9F0206 9F3303 9C01");
    let card = Arc::new(Card::compile(&profile).unwrap());
    for (amount, contradictory) in [("000000001234", false), ("000000001235", true)] {
        let mut talk = Conversation::new(Plan::Decline { see_phone: false });
        talk.hooks.card = Some(Arc::clone(&card));
        talk.advance(Stage::Selected);
        talk.expect_ok(&format!("80A80000 0C 83 0A {amount} E008C8 00 00"));
        ask(&mut talk, 0x90, CDOL1_DATA);
        let request = &talk.hooks.requests[0];
        assert_eq!(request.contradictory, contradictory, "{amount}");
        assert_eq!(request.transaction.amount_minor, 1234);
        assert_eq!(request.transaction.terminal.capabilities, Some(TerminalCapabilities([0xE0, 0x08, 0xC8])));
    }
}

#[test]
fn the_terminals_limit_demands_cdcvm() {
    let mut talk = Conversation::new(Plan::Decline { see_phone: true });
    talk.advance(Stage::Selected);
    talk.expect_ok("80A80000 0D 83 0B 4480000000000000 0826 22 00");
    ask(&mut talk, 0x90, CDOL1_DATA);
    let request = &talk.hooks.requests[0];
    assert!(request.terminal_demands_cdcvm);
    assert_eq!(request.transaction.range, TransactionRange::HighValue);
}

#[test]
fn a_card_without_a_key_answers_a_cda_request_unsigned() {
    let mut profile = test_card::profile();
    profile.applications[0].icc_key = None;
    profile.applications[0].aip = hex("1880");
    let mut talk = Conversation::new(Plan::Approve);
    talk.hooks.card = Some(Arc::new(Card::compile(&profile).unwrap()));
    talk.advance(Stage::Initiated);
    let answer = ask(&mut talk, 0x90, CDOL1_DATA);
    assert_eq!(tags(&answer), [0x9F27, 0x9F36, 0x9F26, 0x9F10]);
    assert_eq!(answer[3].1[2..8], hex("A00000020000"));
}

#[test]
fn a_signature_that_fails_its_check_never_leaves() {
    let mut card = Card::compile(&test_card::profile()).unwrap();
    Arc::get_mut(&mut card.applications[0]).unwrap().icc_key =
        Some(IccKey::read(&test_card::faulty_icc_key()).unwrap());
    let mut talk = Conversation::new(Plan::Approve);
    talk.hooks.card = Some(Arc::new(card));
    talk.advance(Stage::Initiated);
    assert_eq!(talk.send(ARQC), [0x6F, 0x00]);
    assert_eq!((talk.hooks.requests.len(), &talk.hooks.errors[..]), (1, &[0x6F00][..]));
    // The credential is gone and so is the tap.
    assert_eq!(talk.status(ARQC), 0x6985);
}

#[test]
fn nothing_of_the_card_is_printed() {
    let card = test_card::card();
    assert_eq!(format!("{card:?}"), "Card(1 applications, redacted)");
    assert_eq!(card.last_four(), "0010");
    assert_eq!(card.rules().issuer_country, 826);
}

#[test]
fn a_card_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Card>();
    shared::<CardApplication>();
}
