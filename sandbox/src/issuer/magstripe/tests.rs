use nfcwallet_core::token_service::operations::WireCredential;

use super::super::{Authority, CardShape, IssuerConfig, Numbering, Personalisation, Violation, ViolationKind};
use super::*;
use crate::issuer::tlv::tests::children;
use crate::pos::magstripe::{Checksum, MagStripeRecord};

const NOW: i64 = 1_780_000_000_000;
const LATER: i64 = NOW + 86_400_000;

/// An issuer whose cards have mag-stripe mode, with one token.
fn issuer(digits: u8) -> Issuer {
    let numbering = Numbering { digits, ..Numbering::default() };
    let personalisation = Personalisation { shape: CardShape::MagStripe, ..Personalisation::default() };
    let config = IssuerConfig { numbering, personalisation, ..IssuerConfig::default() };
    let issuer = Issuer::under(Authority::shared().unwrap(), config).unwrap();
    issuer.personalise("t", "user").unwrap();
    issuer
}

fn credential(issuer: &Issuer, atc: u16) -> WireCredential {
    issuer.credentials("t", atc, 1, LATER).unwrap().remove(0)
}

/// What the card with this credential and a terminal make together: the terminal's part by the code of
/// `pos`, the checksum by the published formula.
fn request(issuer: &Issuer, credential: &WireCredential, random: u32) -> TrackRequest {
    let profile = issuer.personalise("t", "user").unwrap();
    let bytes = &profile.applications[0].records[0].bytes;
    let value = |tag| children(bytes, 0x70).unwrap().into_iter().find(|(found, _)| *found == tag).unwrap().1.to_vec();
    let record = MagStripeRecord::read(bytes).unwrap();
    let number = record.unpredictable_number(random);
    let key = credential.cvc3_key.as_ref().unwrap();
    let cvc3 = |tag| u16::from_be_bytes(keys::cvc3(key, &value(tag), number, credential.atc));
    let checksum = Checksum { track1: Some(cvc3(0x56)), track2: cvc3(0x9F6B), atc: credential.atc, interaction: None };
    let tracks = record.tracks(number, &checksum).unwrap();
    TrackRequest {
        track1: tracks.expose_track1().map(str::to_owned),
        track2: tracks.expose_track2().to_owned(),
        amount: [0, 0, 0, 0, 0x12, 0x34],
        currency: [0x09, 0x78],
        terminal_country: [0x02, 0x76],
        date: [0x26, 0x07, 0x01],
        kind: 0,
        merchant_category: 5411,
        merchant_name: "Shop".to_owned(),
    }
}

fn declined(reason: DeclineReason) -> Decision {
    Decision::Declined(reason)
}

#[test]
fn a_good_checksum_is_approved_once_whatever_the_length_of_the_number() {
    for digits in 13..=19 {
        let issuer = issuer(digits);
        let request = request(&issuer, &credential(&issuer, 12_345), 987_654_321);
        let first = issuer.authorise_track(&request, NOW).unwrap();
        assert!(first.is_approved() && first.cryptogram_verified, "{digits} digits");
        assert_eq!((first.token_reference.as_deref(), first.user.as_deref()), (Some("t"), Some("user")));
        assert_eq!((first.reference, first.response_cryptogram), (None, None));
        let entry = issuer.ledger().entries().unwrap().remove(0);
        assert_eq!((entry.atc, entry.amount_minor, entry.currency), (12_345, Some(1234), Some(978)));

        let second = issuer.authorise_track(&request, NOW).unwrap();
        assert_eq!(second.decision, declined(DeclineReason::CounterUsed));
        let replay = Violation { token: "t".to_owned(), atc: 12_345, kind: ViolationKind::Replayed };
        assert_eq!(issuer.ledger().violations().unwrap(), [replay]);
    }
}

#[test]
fn two_checksums_at_one_counter_are_reported_as_a_double_spend() {
    let issuer = issuer(16);
    let credential = credential(&issuer, 7);
    assert!(issuer.authorise_track(&request(&issuer, &credential, 1), NOW).unwrap().is_approved());
    let again = issuer.authorise_track(&request(&issuer, &credential, 2), NOW).unwrap();
    assert_eq!(again.decision, declined(DeclineReason::CounterUsed));
    let double = Violation { token: "t".to_owned(), atc: 7, kind: ViolationKind::TwoCryptograms };
    assert_eq!(issuer.ledger().violations().unwrap(), [double]);
}

#[test]
fn every_changed_digit_of_a_track_is_declined() {
    let issuer = issuer(16);
    let good = request(&issuer, &credential(&issuer, 7), 123);
    let changed = |text: &str, at: usize| {
        let digit = text[at..].chars().next().unwrap().to_digit(10)?;
        Some(format!("{}{}{}", &text[..at], (digit + 1) % 10, &text[at + 1..]))
    };
    let bad_2 = (0..good.track2.len()).filter_map(|at| changed(&good.track2, at));
    let mut bad: Vec<_> = bad_2.map(|track2| TrackRequest { track2, ..good.clone() }).collect();
    let track1 = good.track1.clone().unwrap();
    let bad_1 = (0..track1.len()).filter_map(|at| changed(&track1, at));
    bad.extend(bad_1.map(|track| TrackRequest { track1: Some(track), ..good.clone() }));
    // 36 digits on track 2, the same on track 1.
    assert_eq!(bad.len(), 72);
    for request in bad {
        let answer = issuer.authorise_track(&request, NOW).unwrap();
        assert!(!answer.is_approved() && !answer.cryptogram_verified, "{}", request.track2);
    }
    // Forgeries spend nothing, and track 2 alone is enough.
    let alone = TrackRequest { track1: None, ..good };
    assert!(issuer.authorise_track(&alone, NOW).unwrap().is_approved());
    assert_eq!(issuer.ledger().violations().unwrap(), []);
}

#[test]
fn counters_that_end_alike_are_told_apart_by_their_keys() {
    let issuer = issuer(16);
    // The track carries four digits of the counter.
    let credentials = [3, 10_003, 20_003, 60_003].map(|atc| credential(&issuer, atc));
    for credential in credentials.iter().rev() {
        assert!(issuer.authorise_track(&request(&issuer, credential, 500), NOW).unwrap().is_approved());
    }
    let seen: Vec<_> = issuer.ledger().entries().unwrap().into_iter().map(|entry| entry.atc).collect();
    assert_eq!(seen, [60_003, 20_003, 10_003, 3]);
}

#[test]
fn keys_of_others_and_counters_never_issued_or_expired_are_declined() {
    let issuer = issuer(16);
    let mine = credential(&issuer, 7);
    let stolen = WireCredential { cvc3_key: Some(mine.session_key.clone()), ..mine.clone() };
    let decision = |request: &TrackRequest, now| issuer.authorise_track(request, now).unwrap().decision;
    assert_eq!(decision(&request(&issuer, &stolen, 1), NOW), declined(DeclineReason::WrongCryptogram));
    let never = WireCredential { atc: 8, ..mine.clone() };
    assert_eq!(decision(&request(&issuer, &never, 1), NOW), declined(DeclineReason::WrongCryptogram));
    let good = request(&issuer, &mine, 1);
    assert_eq!(decision(&good, LATER), declined(DeclineReason::CredentialExpired));
    let amount = TrackRequest { amount: [0xFF; 6], ..good.clone() };
    assert_eq!(decision(&amount, NOW), declined(DeclineReason::Malformed));
    for track2 in ["", "D", "5413D", "F", "\u{e4}D", &good.track2[..30]] {
        let broken = TrackRequest { track2: track2.to_owned(), ..good.clone() };
        assert_eq!(decision(&broken, NOW), declined(DeclineReason::Malformed), "{track2}");
    }
    let stranger = Pan::complete("541333999999999").unwrap();
    let track2 = format!("{}{}", stranger.expose(), &good.track2[16..]);
    let unknown = TrackRequest { track1: None, track2, ..good };
    assert_eq!(decision(&unknown, NOW), declined(DeclineReason::UnknownToken));
}

#[test]
fn only_cards_with_the_mode_get_its_keys_and_no_key_serves_twice() {
    let issuer = issuer(16);
    let keys = issuer.credentials("t", 1, 3, LATER).unwrap();
    let key = |credential: &WireCredential| *credential.cvc3_key.as_ref().unwrap().expose();
    assert!(key(&keys[0]) != key(&keys[1]) && key(&keys[1]) != key(&keys[2]));
    assert!(keys.iter().all(|credential| key(credential) != *credential.session_key.expose()));
    issuer.personalise_as("t", "user", &Personalisation::default()).unwrap();
    assert!(issuer.credentials("t", 4, 1, LATER).unwrap()[0].cvc3_key.is_none());
}

#[test]
fn a_request_is_printed_without_its_tracks() {
    let issuer = issuer(16);
    let request = request(&issuer, &credential(&issuer, 7), 1);
    assert_eq!(format!("{request:?}"), "TrackRequest(amount 000000001234, redacted)");
}
