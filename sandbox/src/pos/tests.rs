use std::sync::OnceLock;

use nfcwallet_core::card::profile::Profile;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::test_card::{Answer, TestCard, answer_fields};
use super::*;
use crate::issuer::{Authority, CardShape, Decision, DeclineReason, Issuer, IssuerConfig, Personalisation};

const NOW: i64 = 1_780_000_000_000;

fn issuer() -> Issuer {
    Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap()
}

fn profile(issuer: &Issuer, shape: CardShape) -> Profile {
    let personalisation = Personalisation { shape, ..Personalisation::default() };
    issuer.personalise_as("token", "user", &personalisation).unwrap()
}

fn card(issuer: &Issuer, shape: CardShape, atc: u16) -> TestCard {
    let profile = profile(issuer, shape);
    let credential = issuer.credentials("token", atc, 1, NOW + 1).unwrap().remove(0);
    TestCard::new(profile, credential.session_key, credential.atc)
}

fn purchase() -> Purchase {
    Purchase::new(1_234, 978, NOW, [1, 2, 3, 4])
}

fn tap(card: &mut TestCard, purchase: &Purchase) -> TapResult {
    tap_through(purchase, |command| Ok(card.transmit(command)))
}

fn tap_through(purchase: &Purchase, mut link: impl FnMut(&[u8]) -> Result<Vec<u8>, LinkLost>) -> TapResult {
    Terminal::new(issuer().ca_public_keys()).tap(&mut link, purchase)
}

#[test]
fn every_shape_of_card_is_read_verified_and_approved() {
    let issuer = issuer();
    for (atc, shape) in (1..).zip(CardShape::ALL.into_iter().filter(|shape| shape.offers_emv_mode())) {
        let mut card = card(&issuer, shape, atc);
        let result = tap(&mut card, &purchase());

        let request = result.authorisation_request().unwrap_or_else(|| panic!("{shape:?}: {:?}", result.outcome));
        assert_eq!(result.cda_verified, (shape != CardShape::WithoutCda).then_some(true), "{shape:?}");
        let answer = issuer.authorise(request, NOW).unwrap();
        assert!(answer.is_approved() && answer.cryptogram_verified, "{shape:?}: {answer:?}");
        assert_eq!(answer.reference, Some(*b"REF-0001"));
        assert_eq!((request.amount_minor(), request.merchant_category), (Some(1_234), 5411));
    }
    assert_eq!(issuer.ledger().violations().unwrap(), []);
}

#[test]
fn the_conversation_is_the_one_of_the_field() {
    let issuer = issuer();
    let result = tap(&mut card(&issuer, CardShape::TwoApplications, 1), &purchase());
    let names: Vec<_> = result.trace.iter().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "SELECT PPSE",
            "SELECT A0000000041010",
            "GET PROCESSING OPTIONS",
            "READ RECORD 2.1",
            "READ RECORD 2.2",
            "READ RECORD 2.3",
            "GENERATE AC ARQC + CDA",
        ]
    );
    let last = result.trace.last().unwrap();
    assert_eq!(last.command[..5], [0x80, 0xAE, 0x90, 0x00, 45]);
    assert_eq!(answer_fields(&last.response), [0x9F27, 0x9F36, 0x9F4B, 0x9F10]);
}

#[test]
fn the_reader_tells_the_phone_when_the_cvm_limit_is_exceeded() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    for (amount_minor, risk, cvm) in [(5_000, "CC00800000000000", "3F0002"), (5_001, "CC80800000000000", "010002")] {
        tap(&mut card, &Purchase { amount_minor, ..purchase() });
        // 9F1D, 9F1A, 9F35; and 9F34, 9F15 at the end of CDOL1.
        assert_eq!(hex::encode_upper(&card.pdol_data), format!("{risk}027621"));
        assert_eq!(hex::encode_upper(&card.cdol1_data[40..]), format!("{cvm}5411"));
    }
    tap(&mut card, &Purchase { risk_management_data: Some([0; 8]), ..purchase() });
    assert_eq!(card.pdol_data[..8], [0; 8]);
}

#[test]
fn a_plastic_card_is_asked_for_online_pin_above_the_limit() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::PlasticCard, 1);
    let below = tap(&mut card, &purchase());
    assert_eq!(below.authorisation_request().unwrap().cvm_results, [0x1F, 0x03, 0x02]);
    let above = tap(&mut card, &Purchase { amount_minor: 9_000, ..purchase() });
    let request = above.authorisation_request().unwrap();
    assert_eq!((request.cvm_results, request.terminal_verification_results[2]), ([0x42, 0x03, 0x00], 0x04));
}

#[test]
fn see_phone_is_told_from_a_decline() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    for (interaction, outcome) in [
        (Some([0x00, 0x01, 0x00]), Outcome::SeePhone),
        (Some([0x00, 0x00, 0x01]), Outcome::SeePhone),
        (Some([0x00, 0x10, 0x00]), Outcome::Declined(DeclinedBy::Card)),
        (None, Outcome::Declined(DeclinedBy::Card)),
    ] {
        card.answer = Answer::Aac { interaction };
        let result = tap(&mut card, &purchase());
        assert_eq!((result.outcome, result.cda_verified), (outcome, None));
    }
    card.answer = Answer::Tc;
    assert_eq!(tap(&mut card, &purchase()).outcome, Outcome::NotAccepted(NotAccepted::HigherCryptogram));
}

#[test]
fn no_changed_byte_of_the_generate_ac_answer_gets_through() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    let length = tap(&mut card, &purchase()).trace.last().unwrap().response.len();
    assert!(length > 150);
    for (index, bit) in (0..length).map(|index| (index, 1 << (index % 8))) {
        let result = tap_through(&purchase(), |command| {
            let mut answer = card.transmit(command);
            if command[1] == 0xAE {
                answer[index] ^= bit;
            }
            Ok(answer)
        });
        assert!(result.authorisation_request().is_none(), "byte {index}, bit {bit:02X}: {:?}", result.outcome);
    }
}

#[test]
fn certificates_of_another_authority_are_declined() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    static STRANGER: OnceLock<Authority> = OnceLock::new();
    let stranger = STRANGER.get_or_init(|| Authority::from_seed([9; 32], crate::issuer::KeySizes::default()).unwrap());
    for keys in [vec![], vec![stranger.ca_public_key()]] {
        let mut link = |command: &[u8]| Ok(card.transmit(command));
        let result = Terminal::new(keys).tap(&mut link, &purchase());
        // The card did not answer AAC, as a card must; that ends it either way.
        assert_eq!(result.outcome, Outcome::NotAccepted(NotAccepted::HigherCryptogram));
        assert_eq!(result.cda_verified, Some(false));
        assert_eq!(result.trace.last().unwrap().name, "GENERATE AC AAC");
    }
    card.answer = Answer::Aac { interaction: None };
    let mut link = |command: &[u8]| Ok(card.transmit(command));
    let result = Terminal::new([]).tap(&mut link, &purchase());
    assert_eq!(result.outcome, Outcome::Declined(DeclinedBy::Terminal));
}

#[test]
fn changed_static_data_are_declined() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    card.answer = Answer::Aac { interaction: None };
    let result = tap_through(&purchase(), |command| {
        let mut answer = card.transmit(command);
        // The currency, the last object but 9F4A.
        if command[..3] == [0x00, 0xB2, 0x01] {
            let place = answer.len() - 2 - 5;
            answer[place] ^= 0x01;
        }
        Ok(answer)
    });
    assert_eq!((result.outcome, result.cda_verified), (Outcome::Declined(DeclinedBy::Terminal), Some(false)));
}

#[test]
fn a_wrong_key_passes_the_terminal_and_stops_at_the_issuer() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    card.session_key = nfcwallet_core::secret::Secret::new([7; 16]);
    let result = tap(&mut card, &purchase());
    let answer = issuer.authorise(result.authorisation_request().unwrap(), NOW).unwrap();
    assert_eq!(answer.decision, Decision::Declined(DeclineReason::WrongCryptogram));
}

#[test]
fn a_lost_link_ends_the_tap_at_every_command() {
    let issuer = issuer();
    for last in 0..7 {
        let mut card = card(&issuer, CardShape::Phone, 1);
        let mut left = last;
        let result = tap_through(&purchase(), |command| {
            left -= 1;
            if left < 0 { Err(LinkLost) } else { Ok(card.transmit(command)) }
        });
        assert_eq!(result.outcome, Outcome::LinkLost);
        assert_eq!(result.trace.len(), usize::try_from(last).unwrap() + 1);
        assert!(result.trace.last().unwrap().response.is_empty());
    }
}

#[test]
fn refusals_name_the_command_and_its_status_word() {
    let issuer = issuer();
    let refused = |at: u8, word: [u8; 2]| {
        let mut card = card(&issuer, CardShape::Phone, 1);
        tap_through(&purchase(), |command| Ok(if command[1] == at { word.to_vec() } else { card.transmit(command) }))
            .outcome
    };
    let expected = |command, status_word| Outcome::NotAccepted(NotAccepted::StatusWord { command, status_word });
    assert_eq!(refused(0xA4, [0x6A, 0x82]), expected("SELECT PPSE", 0x6A82));
    assert_eq!(refused(0xA8, [0x69, 0x85]), expected("GET PROCESSING OPTIONS", 0x6985));
    assert_eq!(refused(0xB2, [0x6A, 0x83]), expected("READ RECORD", 0x6A83));
    assert_eq!(refused(0xAE, [0x69, 0x85]), expected("GENERATE AC (first)", 0x6985));
}

#[test]
fn a_purchase_that_cannot_be_coded_sends_nothing() {
    let too_much = Purchase { amount_minor: 1_000_000_000_000, ..purchase() };
    let result = tap_through(&too_much, |_| panic!("nothing is sent"));
    assert_eq!(result.outcome, Outcome::NotAccepted(NotAccepted::Purchase { field: "amount_minor" }));
}

#[test]
fn a_card_that_never_ends_is_given_up() {
    let issuer = issuer();
    let mut card = card(&issuer, CardShape::Phone, 1);
    // A file of 255 records, each good and empty.
    let result = tap_through(&purchase(), |command| {
        Ok(match command[1] {
            0xA8 => hex::decode("770A82021B8094041001FF009000").unwrap(),
            0xB2 => vec![0x70, 0x00, 0x90, 0x00],
            _ => card.transmit(command),
        })
    });
    assert_eq!(result.outcome, Outcome::NotAccepted(NotAccepted::TooManyCommands { limit: 48 }));
}

#[test]
fn garbage_never_panics_and_is_never_taken_for_a_payment() {
    let issuer = issuer();
    let mut rng = ChaCha8Rng::from_seed([42; 32]);
    let mut card = card(&issuer, CardShape::Phone, 1);
    for _ in 0..1_000 {
        let victim = rng.next_u32() % 7;
        let kind = rng.next_u32() % 4;
        let mut sent = 0;
        let mut changed = false;
        let result = tap_through(&purchase(), |command| {
            let mut answer = card.transmit(command);
            if sent == victim {
                let good = answer.clone();
                spoil(&mut answer, kind, &mut rng);
                changed = good != answer;
            }
            sent += 1;
            Ok(answer)
        });
        // A change in the directory or the FCI may be one that means nothing; records and answer are signed.
        let signed = changed && victim >= 2;
        assert!(!signed || result.authorisation_request().is_none(), "{}", pretty(&result.trace));
    }
}

fn spoil(answer: &mut Vec<u8>, kind: u32, rng: &mut ChaCha8Rng) {
    let place = rng.next_u32() as usize % answer.len();
    match kind {
        0 => answer[place] ^= 1 << (rng.next_u32() % 8),
        1 => answer.truncate(place),
        2 => rng.fill_bytes(&mut answer[place..]),
        _ => {
            let mut noise = vec![0; rng.next_u32() as usize % 300];
            rng.fill_bytes(&mut noise);
            let word = answer.split_off(answer.len() - 2);
            *answer = [noise, word].concat();
        }
    }
}

#[test]
fn the_calendar_is_right() {
    let at = |ms| date_and_time(ms);
    assert_eq!(at(0), ([0x70, 0x01, 0x01], [0, 0, 0]));
    assert_eq!(at(951_825_599_999), ([0x00, 0x02, 0x29], [0x11, 0x59, 0x59]));
    assert_eq!(at(1_798_761_599_000), ([0x26, 0x12, 0x31], [0x23, 0x59, 0x59]));
}
