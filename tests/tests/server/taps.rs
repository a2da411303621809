//! Taps that are paid, and taps that the payment provider declines.

use alipayplus::ResultCode;
use mpp_server::accounts::UserStatus;
use nfcwallet_sandbox::checkout::PaymentOutcome;
use nfcwallet_sandbox::pos::Purchase;

use crate::desk::{Desk, OPENING};

#[test]
fn an_approved_tap_is_paid_and_shown_to_the_app() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_234);
    assert_eq!(desk.balance(), OPENING - 1_234);
    let provider = payment.provider.clone().unwrap();
    let reference = hex::encode_upper(payment.reference.unwrap());
    let shown = desk.ask(&format!("/payments/by-reference/{reference}"));
    assert_eq!(shown["payment_id"].as_str(), provider.payment_id.as_deref());
    assert_eq!((&shown["status"], &shown["result_code"]), (&"success".into(), &"SUCCESS".into()));
    assert_eq!((&shown["charged"]["currency"], &shown["charged"]["value"]), (&"EUR".into(), &"1234".into()));
    assert_eq!(desk.ask("/balance")["balance"]["value"], (OPENING - 1_234).to_string());
    assert_eq!(desk.ask("/payments")["items"][0]["reference"], reference);
    let (calls, verified) = desk.sandbox.journal().counts();
    assert!(calls == verified && calls > 1, "{calls} calls, {verified} verified");
    desk.books_agree();
}

#[test]
fn a_tap_beyond_the_balance_is_declined_for_its_reason() {
    let mut desk = Desk::new();
    let payment = desk.tap(OPENING + 1);
    assert_eq!(payment.outcome, PaymentOutcome::DeclinedByProvider { code: ResultCode::UserBalanceNotEnough });
    assert_eq!(payment.cryptogram_verified, Some(true));
    assert_eq!(desk.balance(), OPENING);
    let reference = hex::encode_upper(payment.reference.unwrap());
    let shown = desk.ask(&format!("/payments/by-reference/{reference}"));
    assert_eq!((&shown["status"], &shown["result_code"]), (&"failed".into(), &"USER_BALANCE_NOT_ENOUGH".into()));
    assert_eq!(desk.gateway(&payment).state, "declined");
    desk.paid(OPENING);
    assert_eq!(desk.balance(), 0);
    desk.books_agree();
}

#[test]
fn a_frozen_user_pays_nothing_until_the_account_is_opened_again() {
    let mut desk = Desk::new();
    let control = desk.sandbox.control().clone();
    desk.run(control.set_status("alice", UserStatus::Frozen)).unwrap();
    let declined = desk.tap(100).outcome;
    assert_eq!(declined, PaymentOutcome::DeclinedByProvider { code: ResultCode::UserStatusAbnormal });
    desk.run(control.set_status("alice", UserStatus::Active)).unwrap();
    desk.paid(100);
    assert_eq!(desk.balance(), OPENING - 100);
    desk.books_agree();
}

#[test]
fn another_currency_is_paid_by_the_gateways_rate_and_one_without_a_rate_is_not() {
    let mut desk = Desk::new();
    let payment = desk.tap_in(1_000, 840);
    assert!(payment.outcome.is_approved(), "{}", payment.outcome);
    // 0.86 EUR a dollar.
    assert_eq!(desk.balance(), OPENING - 860);
    let yen = desk.tap_in(1_000, 392);
    assert!(yen.outcome.is_approved(), "{}", yen.outcome);
    assert_eq!(desk.balance(), OPENING - 860 - 580);
    let krona = desk.tap_in(1_000, 352).outcome;
    assert_eq!(krona, PaymentOutcome::DeclinedByProvider { code: ResultCode::CurrencyNotSupport });
    desk.books_agree();
}

#[test]
fn nobody_is_asked_for_nothing() {
    let mut desk = Desk::new();
    let payment = desk.tap(0);
    assert!(payment.provider.is_none(), "{:?}", payment.provider);
    assert_eq!(desk.sandbox.control().taps().unwrap(), []);
    desk.books_agree();
}

#[test]
fn a_refund_at_the_terminal_reaches_the_account() {
    let desk = Desk::new();
    let now_ms = desk.sandbox.service().clock().now_ms();
    let mut refund = Purchase::new(700, 978, now_ms, [7; 4]);
    refund.kind = 0x20;
    let payment = desk.pay(&refund);
    assert!(payment.outcome.is_approved(), "{}", payment.outcome);
    assert_eq!(desk.balance(), OPENING + 700);
    desk.books_agree();
}
