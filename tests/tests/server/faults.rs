//! The road between gateway and payment provider breaks, and heals.

use nfcwallet_sandbox::checkout::PaymentOutcome;
use nfcwallet_sandbox::control::AuthorisationEvent::{Refund, Reversal};
use nfcwallet_sandbox::gateway::http::{Strike, StrikeRule};

use crate::desk::{Desk, OPENING, euro};

fn strike(desk: &Desk, api: &str, fault: Strike, times: u32) {
    desk.sandbox.strikes().add(StrikeRule { api: api.to_owned(), fault, times });
}

#[test]
fn a_payment_whose_answer_is_lost_or_unknown_is_paid_once() {
    for fault in [Strike::LoseRequest, Strike::LoseAnswer, Strike::AnswerUnknown] {
        let mut desk = Desk::new();
        strike(&desk, "pay", fault, 2);
        let payment = desk.paid(1_000);
        assert_eq!(desk.balance(), OPENING - 1_000, "{fault:?}");
        assert_eq!(desk.gateway(&payment).state, "paid", "{fault:?}");
        desk.books_agree();
    }
}

#[test]
fn a_payment_without_any_answer_is_declined_and_its_money_comes_back() {
    let mut desk = Desk::with(|config| config.gateway.payment_expiry_ms = 300);
    strike(&desk, "pay", Strike::LoseAnswer, u32::MAX);
    strike(&desk, "inquiryPayment", Strike::LoseAnswer, u32::MAX);
    strike(&desk, "cancelPayment", Strike::LoseAnswer, 3);
    let payment = desk.tap(1_000);
    assert!(matches!(payment.outcome, PaymentOutcome::DeclinedByProvider { .. }), "{}", payment.outcome);
    desk.wait_until("the cancel", |desk| desk.gateway(&payment).state == "cancelled");
    assert_eq!(desk.balance(), OPENING);
    desk.sandbox.strikes().clear();
    desk.books_agree();
}

#[test]
fn a_refund_and_a_cancel_that_get_no_answer_happen_once() {
    for fault in [Strike::LoseRequest, Strike::LoseAnswer, Strike::AnswerUnknown] {
        let mut desk = Desk::new();
        let payment = desk.paid(1_000);
        strike(&desk, "refund", fault, 2);
        desk.happens(&payment, Refund(euro(400)));
        desk.wait_until("the refund", |desk| desk.sandbox.strikes().pending().is_empty());
        let fresh = desk.paid(500);
        strike(&desk, "cancelPayment", fault, 2);
        desk.happens(&fresh, Reversal(None));
        desk.wait_until("the cancel", |desk| desk.gateway(&fresh).state == "cancelled");
        desk.books_agree();
        assert_eq!(desk.balance(), OPENING - 600, "{fault:?}");
    }
}

#[test]
fn a_notice_tells_the_gateway_what_no_answer_told() {
    let mut desk = Desk::with(|config| {
        config.provider.notices.all = true;
        // The gateway would ask again only after the terminal has gone.
        config.gateway.repeats_ms = vec![60_000];
    });
    strike(&desk, "pay", Strike::LoseAnswer, 1);
    let payment = desk.paid(1_000);
    assert!(payment.provider.unwrap().payment_id.is_some());
    let heard = |desk: &Desk| desk.sandbox.journal().since(0).iter().any(|call| call.path.ends_with("/notifyPayment"));
    desk.wait_until("the notice", heard);
    assert_eq!(desk.balance(), OPENING - 1_000);
    desk.books_agree();
}
