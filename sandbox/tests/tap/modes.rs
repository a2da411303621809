//! Readers in mag-stripe mode, and readers that look for relays.

use nfcwallet_sandbox::issuer::{Authorisation, TrackRequest};
use nfcwallet_sandbox::pos::{Mode, NotAccepted};

use super::*;

const WITH_THE_MODE: [CardShape; 2] = [CardShape::MagStripe, CardShape::MagStripeOnly];

fn by_track() -> Purchase {
    Purchase { mode: Mode::MagStripe, ..purchase() }
}

fn tracks(result: &TapResult) -> &TrackRequest {
    match &result.outcome {
        Outcome::OnlineByTrack(request) => request,
        other => panic!("{other:?}\n{}", pretty(&result.trace)),
    }
}

fn authorised(scene: &Scene, result: &TapResult) -> Authorisation {
    scene.issuer.authorise_track(tracks(result), NOW).unwrap()
}

#[test]
fn a_card_with_the_mode_pays_by_track_and_its_counter_once() {
    for shape in WITH_THE_MODE {
        let mut scene = Scene::new(shape);
        let mut requests = Vec::new();
        for _ in 1..=3 {
            let result = scene.tap(&by_track());
            let answer = authorised(&scene, &result);
            assert!(answer.is_approved() && answer.cryptogram_verified, "{shape:?}: {answer:?}");
            assert_eq!((result.cda_verified, answer.user.as_deref()), (None, Some("user")));
            assert_eq!(tracks(&result).track1.is_some(), shape == CardShape::MagStripe);
            requests.push(tracks(&result).clone());
        }
        let entries = scene.issuer.ledger().entries().unwrap();
        assert_eq!(entries.iter().map(|entry| entry.atc).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(scene.issuer.ledger().violations().unwrap(), []);
        // Nothing is left, and nothing pays twice.
        assert_eq!(scene.tap(&by_track()).outcome, Outcome::Declined(DeclinedBy::Card));
        let repeated = scene.issuer.authorise_track(&requests[1], NOW).unwrap();
        assert_eq!(repeated.decision, Decision::Declined(DeclineReason::CounterUsed));
    }
}

#[test]
fn the_conversation_in_mag_stripe_mode_is_short() {
    let mut scene = Scene::new(CardShape::MagStripe);
    let result = scene.tap(&by_track());
    let names: Vec<_> = result.trace.iter().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(names[2..], ["GET PROCESSING OPTIONS", "READ RECORD 1.1", "COMPUTE CRYPTOGRAPHIC CHECKSUM"]);
    let seen = scene.wallet.seen.pop().unwrap();
    assert_eq!((seen.transaction.amount_minor, seen.transaction.currency), (1_234, 978));
    assert_eq!((seen.transaction.merchant_category, seen.transaction.date), (Some(5411), Some("260528".to_owned())));
}

#[test]
fn a_counter_pays_in_one_mode_only() {
    let mut scene = Scene::new(CardShape::MagStripe);
    scene.wallet.forgets_to_burn = true;
    assert_eq!(scene.tap(&purchase()).authorisation_request().map(|request| request.atc), Some(1));
    let emv = scene.tap(&purchase());
    assert_eq!(scene.decision(&emv), Decision::Approved);
    let by_track = scene.tap(&by_track());
    assert_eq!(authorised(&scene, &by_track).decision, Decision::Declined(DeclineReason::CounterUsed));
    let double = Violation { token: "token".to_owned(), atc: 1, kind: ViolationKind::TwoCryptograms };
    assert_eq!(scene.issuer.ledger().violations().unwrap(), [double]);
}

#[test]
fn a_high_amount_by_track_wants_the_user_and_then_says_so_in_the_last_digit() {
    for shape in WITH_THE_MODE {
        let mut scene = Scene::new(shape);
        let high = Purchase { amount_minor: 9_000, ..by_track() };
        assert_eq!(scene.tap(&high).outcome, Outcome::SeePhone, "{shape:?}");
        assert!(scene.wallet.seen.last().unwrap().terminal_demands_cdcvm);
        scene.wallet.authenticated = true;
        let paid = scene.tap(&high);
        // Three digits of the number, and 5 for CDCVM.
        assert!(tracks(&paid).track2.ends_with("8F"), "{shape:?}");
        assert!(authorised(&scene, &paid).is_approved());
    }
}

#[test]
fn reader_and_card_without_a_mode_in_common_part() {
    let none = |shape, purchase: &Purchase| Scene::new(shape).tap(purchase).outcome;
    assert_eq!(none(CardShape::MagStripeOnly, &purchase()), Outcome::NotAccepted(NotAccepted::MagStripeOnly));
    assert_eq!(none(CardShape::Phone, &by_track()), Outcome::NotAccepted(NotAccepted::NoMagStripe));
}

#[test]
fn relay_resistance_data_are_found_in_the_signature() {
    let resist = Purchase { relay_resistance: true, ..purchase() };
    let mut scene = Scene::new(CardShape::RelayResistance);
    let result = scene.tap(&resist);
    assert_eq!((result.cda_verified, result.relay_resisted), (Some(true), Some(true)), "{}", pretty(&result.trace));
    assert_eq!(scene.decision(&result), Decision::Approved);
    assert_eq!(result.trace[3].name, "EXCHANGE RELAY RESISTANCE DATA");
    // TVR byte 5: performed. The issuer sees it under the cryptogram.
    assert_eq!(result.authorisation_request().unwrap().terminal_verification_results[4], 0x02);

    let unasked = scene.tap(&purchase());
    assert_eq!((unasked.cda_verified, unasked.relay_resisted), (Some(true), None));
    let without = Scene::new(CardShape::Phone).tap(&resist);
    assert_eq!((without.cda_verified, without.relay_resisted), (Some(true), None));
}

#[test]
fn a_relay_that_answers_by_itself_is_found_out() {
    let resist = Purchase { relay_resistance: true, ..purchase() };
    // It invents the card's entropy, or claims other times.
    for at in 2..12 {
        let mut scene = Scene::new(CardShape::RelayResistance);
        let result = scene.tap_changed(&resist, |command, answer| {
            if command[1] == 0xEA {
                answer[at] ^= 0x01;
            }
        });
        assert_eq!(result.relay_resisted, Some(false), "byte {at}");
    }
}
