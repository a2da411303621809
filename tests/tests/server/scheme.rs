//! What the card scheme tells after a tap, and what the user gets back.

use alipayplus::client::{CallOptions, Client, Outcome};
use alipayplus::payment::acquirer::{
    CancelPayment, CancelPaymentRequest, InquiryPayment, InquiryPaymentRequest, Pay, PayRequest, Refund, RefundRequest,
};
use alipayplus::signature::{ClientId, KeyRing, Validity};
use alipayplus::{Answer, Api, Message, ResultCode, ResultStatus};
use nfcwallet_sandbox::control::AuthorisationEvent::{Clearing, Expiry, Refund as GiveBack, Reversal};
use nfcwallet_sandbox::control::NetSum;
use nfcwallet_sandbox::gateway::http::{ACQUIRER_CLIENT_ID, KEY_VERSION, Party};
use nfcwallet_sandbox::gateway::{ConversionConfig, OverCapture};

use crate::desk::{Desk, OPENING, authorisation, calls, euro};

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_reversal_on_the_same_day_cancels_the_payment() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_000);
    let event = desk.happens(&payment, Reversal(None));
    assert_eq!((event.row, calls(&event)), ("R6", vec![("cancelPayment", 0)]));
    assert_eq!((desk.balance(), desk.gateway(&payment).state), (OPENING, "cancelled"));
    desk.books_agree();
}

#[test]
fn a_reversal_on_the_next_day_is_a_refund() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_000);
    desk.sandbox.service().clock().advance_ms(DAY_MS);
    let event = desk.happens(&payment, Reversal(None));
    assert_eq!((event.row, calls(&event)), ("R7", vec![("refund", 1_000)]));
    assert_eq!(desk.balance(), OPENING);
    desk.books_agree();
}

#[test]
fn a_part_that_is_released_and_a_clearing_below_it_come_back() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_000);
    assert_eq!(calls(&desk.happens(&payment, Reversal(Some(euro(300))))), [("refund", 300)]);
    let clearing = Clearing { amount: euro(500), sequence: 1, last: true };
    assert_eq!(calls(&desk.happens(&payment, clearing)), [("refund", 200)]);
    assert_eq!(desk.balance(), OPENING - 500);
    desk.books_agree();
}

#[test]
fn what_is_cleared_beyond_an_authorisation_shows_with_its_tap_and_in_the_books() {
    let beyond = |change: fn(&mut ConversionConfig)| {
        let mut desk = Desk::with(|config| change(&mut config.gateway.conversion));
        let payment = desk.paid(OPENING);
        let event = desk.happens(&payment, Clearing { amount: euro(OPENING + 300), sequence: 1, last: true });
        desk.books_agree();
        assert_eq!(desk.balance(), 0);
        let short = desk.run(desk.sandbox.control().books()).unwrap().shortfall;
        assert_eq!(short, [NetSum { currency: "EUR", minor: 300 }]);
        assert_eq!((desk.gateway(&payment).shortfall, desk.gateway(&payment).cleared), (300, OPENING));
        let others = desk.sandbox.control().taps().unwrap().into_iter();
        (event, others.filter(|tap| tap.authorisation != authorisation(&payment)).collect::<Vec<_>>(), desk)
    };
    let (event, others, _) = beyond(|_| {});
    assert_eq!((event.row, event.effect.as_str()), ("C9", "booked"));
    assert_eq!(event.why, "clearing: above what is open, or of a payment that is void: a shortfall");
    assert_eq!(others, []);
    // Asked for, and refused by the provider: nothing is left on the account.
    let (event, others, desk) = beyond(|conversion| conversion.over_capture = OverCapture::PayDifference);
    let made: Vec<_> = event.calls.iter().map(|call| (call.api, call.amount, call.state)).collect();
    assert_eq!((event.row, made), ("C10", vec![("pay", euro(300), "failed")]));
    let refused = desk.sandbox.control().tap(&others[0].authorisation).unwrap();
    assert_eq!((refused.state, refused.amount, refused.shortfall), ("declined", euro(300), 0));
    assert_eq!(refused.code.as_deref(), Some("USER_BALANCE_NOT_ENOUGH"));
}

#[test]
fn an_authorisation_that_nobody_clears_expires_by_itself() {
    let mut desk = Desk::new();
    let (kept, lapsed) = (desk.paid(1_000), desk.paid(2_000));
    desk.happens(&kept, Clearing { amount: euro(1_000), sequence: 1, last: true });
    desk.sandbox.service().clock().advance_ms(8 * DAY_MS);
    desk.wait_until("the expired payment's money", |desk| desk.balance() == OPENING - 1_000);
    assert_eq!(calls(&desk.happens(&lapsed, Expiry)), []);
    desk.books_agree();
}

#[test]
fn refunds_come_in_parts_beyond_the_payment_and_without_one() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_000);
    assert_eq!(calls(&desk.happens(&payment, GiveBack(euro(400)))), [("refund", 400)]);
    let excess = desk.happens(&payment, GiveBack(euro(700)));
    assert_eq!(calls(&excess), [("refund", 600), ("adjustRefund EXCEED_REFUND", 100)]);
    assert_eq!(desk.balance(), OPENING + 100);
    let gift = desk.run(desk.sandbox.control().unlinked_refund("alice", Some("gift-1"), euro(50))).unwrap();
    assert_eq!(calls(&gift), [("adjustRefund UNLINKED_REFUND", 50)]);
    // The same event again changes nothing.
    let again = desk.run(desk.sandbox.control().unlinked_refund("alice", Some("gift-2"), euro(50))).unwrap();
    assert_eq!(calls(&again).len(), 1);
    assert_eq!(desk.balance(), OPENING + 200);
    let shown = desk.ask("/payments");
    let kinds: Vec<_> = shown["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "refund").count(), 5, "{shown}");
    desk.books_agree();
}

fn acquirer(desk: &Desk) -> Client {
    let name = ClientId::parse(ACQUIRER_CLIENT_ID).unwrap();
    let gateway = Party::Gateway.key().unwrap().verifying_key().clone();
    Client::builder(&format!("http://{}", desk.sandbox.addresses().gateway), name.clone())
        .signing_key(KEY_VERSION, Party::Acquirer.key().unwrap())
        .peer_keys(KeyRing::new().with(name, KEY_VERSION, Validity::ALWAYS, gateway))
        .clock(desk.sandbox.control().clock.clone())
        .build()
        .unwrap()
}

fn asked<A: Api>(desk: &Desk, request: A::Request) -> A::Answer {
    request.check().unwrap();
    let client = acquirer(desk);
    match desk.run(client.call::<A>(&request, CallOptions::default())).unwrap() {
        Outcome::Final(answer) => answer,
        Outcome::Unknown(unknown) => panic!("{}: {unknown:?}", A::NAME),
    }
}

#[test]
fn an_acquirer_inquires_refunds_and_cancels_with_its_own_key() {
    let mut desk = Desk::new();
    let payment = desk.paid(1_000);
    let id = Some(authorisation(&payment));
    let inquiry = InquiryPaymentRequest { payment_request_id: id.clone(), ..InquiryPaymentRequest::default() };
    let found = asked::<InquiryPayment>(&desk, inquiry.clone());
    assert_eq!(found.payment_result.unwrap().result_status, ResultStatus::Success);
    assert_eq!(found.mpp_payment_id, payment.provider.clone().unwrap().payment_id);
    let refund = |request_id: &str, minor| RefundRequest {
        payment_request_id: id.clone(),
        refund_request_id: request_id.to_owned(),
        refund_amount: euro(minor),
        ..RefundRequest::default()
    };
    for _ in 0..2 {
        assert!(asked::<Refund>(&desk, refund("R/1 (part)", 300)).result.is_success());
    }
    assert_eq!(desk.balance(), OPENING - 700);
    let code = |answer: &ResultCode| answer.clone();
    let other = asked::<Refund>(&desk, refund("R/1 (part)", 301));
    assert_eq!(code(&other.result.result_code), ResultCode::RepeatReqInconsistent);
    let exceeding = asked::<Refund>(&desk, refund("R/2", 701));
    assert_eq!(code(&exceeding.result.result_code), ResultCode::RefundAmountExceed);

    let fresh = desk.paid(500);
    let cancel = CancelPaymentRequest { payment_request_id: Some(authorisation(&fresh)), ..Default::default() };
    for _ in 0..2 {
        assert!(asked::<CancelPayment>(&desk, cancel.clone()).result.is_success());
    }
    assert_eq!(desk.balance(), OPENING - 700);
    let gone = InquiryPaymentRequest { payment_request_id: cancel.payment_request_id, ..Default::default() };
    let gone = asked::<InquiryPayment>(&desk, gone).payment_result.unwrap();
    assert_eq!(gone.result_code, ResultCode::OrderIsClosed);
    let nobody = InquiryPaymentRequest { payment_request_id: Some("nobody".to_owned()), ..Default::default() };
    assert_eq!(asked::<InquiryPayment>(&desk, nobody).result().result_code, ResultCode::OrderNotExist);

    desk.sandbox.service().clock().advance_ms(DAY_MS);
    let late = CancelPaymentRequest { payment_request_id: id.clone(), ..CancelPaymentRequest::default() };
    assert_eq!(asked::<CancelPayment>(&desk, late).result.result_code, ResultCode::CancelWindowExceed);
    desk.books_agree();
}

#[test]
fn an_acquirers_own_payments_are_not_offered() {
    let desk = Desk::new();
    let mut request =
        PayRequest { payment_request_id: "P1".to_owned(), payment_amount: euro(1), ..PayRequest::default() };
    request.order.reference_order_id = "O1".to_owned();
    request.order.order_description = "Tea".to_owned();
    request.order.order_amount = euro(1);
    assert_eq!(asked::<Pay>(&desk, request).result.result_code, ResultCode::BusinessNotSupport);
}
