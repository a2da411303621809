//! The gateway's side over real HTTP: what it must refuse, and that a refusal changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::time::Duration;

use alipayplus::client::{CallOptions, Outcome};
use alipayplus::payment::mpp::{AdjustRefund, CancelPayment, InquiryPayment, Pay, Refund};
use alipayplus::signature::{SignatureHeader, SignedContent, SigningKey, VerifyingKey};
use alipayplus::{Api, ResultCode, ResultStatus, clock};
use common::{CLIENT_ID, HandClock, World, amount, of_payment, pay, with};
use mpp_server::Hooks;
use mpp_server::clock::Clock as _;
use mpp_server::config::Config;
use serde_json::{Value, json};

/// A request whose parts a test spoils.
struct Raw {
    method: reqwest::Method,
    path: String,
    client_id: Option<String>,
    time: Option<String>,
    body: Vec<u8>,
    content_type: &'static str,
    /// What is signed, if not `body`.
    signed_body: Option<Vec<u8>>,
    key_version: u32,
    signed: bool,
}

impl Raw {
    fn pay(body: &Value) -> Self {
        Self {
            method: reqwest::Method::POST,
            path: Pay::PATH.to_owned(),
            client_id: Some(CLIENT_ID.to_owned()),
            time: Some(clock::to_header(HandClock::now().now_ms())),
            body: body.to_string().into_bytes(),
            content_type: "application/json; charset=UTF-8",
            signed_body: None,
            key_version: 1,
            signed: true,
        }
    }

    fn of(bytes: &[u8]) -> Self {
        Self { body: bytes.to_vec(), ..Self::pay(&json!({})) }
    }

    /// Sends it, checks that the answer is HTTP 200 and signed by the server, and returns its result code.
    async fn code(self, world: &World) -> String {
        let key = SigningKey::from_text(&world.keys.gateway.private_pem).unwrap();
        let (client_id, time) = (self.client_id.clone().unwrap_or_default(), self.time.clone().unwrap_or_default());
        let body = self.signed_body.as_deref().unwrap_or(&self.body);
        let content = SignedContent { uri: &self.path, client_id: &client_id, time: &time, body };
        let signature = SignatureHeader::new(self.key_version, key.sign(&content).unwrap()).to_string();
        let mut request = world.http.request(self.method, world.partner(&self.path)).body(self.body.clone());
        request = request.header("content-type", self.content_type);
        for (name, value) in [("client-id", &self.client_id), ("request-time", &self.time)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if self.signed {
            request = request.header("signature", signature);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json; charset=UTF-8");
        verified(&world.keys.mpp.public_pem, &self.path, answer).await
    }
}

/// The result code of an answer whose signature is right.
async fn verified(public_pem: &str, path: &str, answer: reqwest::Response) -> String {
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (client_id, time, signature) = (header("client-id"), header("response-time"), header("signature"));
    let signature = SignatureHeader::parse(signature.as_bytes()).unwrap();
    let body = answer.bytes().await.unwrap();
    let content = SignedContent { uri: path, client_id: &client_id, time: &time, body: &body };
    VerifyingKey::from_text(public_pem).unwrap().verify(&content, signature.signature()).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["result"]["resultCode"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bad_requests_are_refused_signed_and_change_nothing() {
    let world = World::start().await;
    world.user("ann", 10_000).await;
    let good = || pay("P1", "ann", 1_00);
    let raw = || Raw::pay(&good());
    let old = clock::to_header(HandClock::now().now_ms() - 601_000);
    let early = clock::to_header(HandClock::now().now_ms() + 700_000);
    let long = with(good(), "passThroughInfo", json!("x".repeat(1024 * 1024)));
    let cases: Vec<(&str, Raw, &str)> = vec![
        ("no signature", Raw { signed: false, ..raw() }, "INVALID_SIGNATURE"),
        ("another body than the signed one", Raw { signed_body: Some(b"{}".to_vec()), ..raw() }, "INVALID_SIGNATURE"),
        ("signed too long ago", Raw { time: Some(old), ..raw() }, "INVALID_SIGNATURE"),
        ("signed in the future", Raw { time: Some(early), ..raw() }, "INVALID_SIGNATURE"),
        ("no time", Raw { time: None, ..raw() }, "INVALID_SIGNATURE"),
        ("a stranger", Raw { client_id: Some("STRANGER".to_owned()), ..raw() }, "INVALID_CLIENT"),
        ("nobody", Raw { client_id: None, ..raw() }, "INVALID_CLIENT"),
        ("another key version", Raw { key_version: 7, ..raw() }, "KEY_NOT_FOUND"),
        ("another method", Raw { method: reqwest::Method::PUT, ..raw() }, "METHOD_NOT_SUPPORTED"),
        ("another path", Raw { path: "/aps/api/v1/payments/payout".to_owned(), ..raw() }, "NO_INTERFACE_DEF"),
        ("another type", Raw { content_type: "text/plain", ..raw() }, "MEDIA_TYPE_NOT_ACCEPTABLE"),
        ("more than 1 MiB", Raw::pay(&long), "PARAM_ILLEGAL"),
        ("no JSON", Raw::of(b"{\"acquirerId\":"), "PARAM_ILLEGAL"),
        ("no UTF-8", Raw::of(b"{\"acquirerId\":\"\xFF\"}"), "PARAM_ILLEGAL"),
        ("nothing", Raw::of(b""), "PARAM_ILLEGAL"),
        ("a list", Raw::of(b"[]"), "PARAM_ILLEGAL"),
        ("nothing required", Raw::of(b"{}"), "PARAM_ILLEGAL"),
        ("no user", Raw::pay(&with(good(), "paymentMethod", json!({}))), "PARAM_ILLEGAL"),
        ("a long id", Raw::pay(&with(good(), "paymentRequestId", json!("x".repeat(65)))), "PARAM_ILLEGAL"),
        ("a NUL in an id", Raw::pay(&with(good(), "paymentRequestId", json!("P\u{0}"))), "PARAM_ILLEGAL"),
        ("zero", Raw::pay(&with(good(), "paymentAmount", amount(0))), "PARAM_ILLEGAL"),
        ("less than zero", Raw::pay(&with(good(), "payToAmount", of_text("-5"))), "PARAM_ILLEGAL"),
        ("a part of a cent", Raw::pay(&with(good(), "payToAmount", of_text("1.5"))), "PARAM_ILLEGAL"),
        (
            "more than there are",
            Raw::pay(&with(good(), "payToAmount", of_text("9223372036854775808"))),
            "PARAM_ILLEGAL",
        ),
        (
            "no currency",
            Raw::pay(&with(good(), "payToAmount", json!({"currency":"EURO","value":"1"}))),
            "PARAM_ILLEGAL",
        ),
        (
            "a year of five digits",
            Raw::pay(&with(good(), "paymentExpiryTime", json!("+010000-01-01T00:00:00Z"))),
            "PARAM_ILLEGAL",
        ),
    ];
    for (name, raw, code) in cases {
        assert_eq!(raw.code(&world).await, code, "{name}");
    }
    let inquired = world.ask::<InquiryPayment>(of_payment("P1")).await;
    assert_eq!(inquired.result.result_code, ResultCode::OrderNotExist);
    assert_eq!(world.balance("ann").await, 10_000);
    assert!(world.audit().await);
}

fn of_text(value: &str) -> Value {
    json!({ "currency": "EUR", "value": value })
}

#[tokio::test]
async fn what_the_account_cannot_do_is_told_by_its_code() {
    let world = World::start_with(|_| {}, Hooks::default()).await;
    world.user("ann", 10_00).await;
    world.user("eve", 10_00).await;
    world.server.accounts.set_status("eve", mpp_server::accounts::UserStatus::Frozen).await.unwrap();
    let expired = with(pay("P5", "ann", 1), "paymentExpiryTime", json!("2020-01-01T00:00:00Z"));
    let evaluation = with(pay("P6", "ann", 1), "paymentFactor", json!({ "isPaymentEvaluation": "true" }));
    for (body, code) in [
        (pay("P1", "ann", 10_01), ResultCode::UserBalanceNotEnough),
        (pay("P2", "nobody", 1), ResultCode::UserNotExist),
        (pay("P3", "eve", 1), ResultCode::UserStatusAbnormal),
        (expired, ResultCode::OrderIsClosed),
        (evaluation, ResultCode::BusinessNotSupport),
        (
            with(pay("P7", "ann", 1), "payToAmount", json!({"currency":"JPY","value":"1"})),
            ResultCode::CurrencyNotSupport,
        ),
    ] {
        assert_eq!(world.ask::<Pay>(body).await.result.result_code, code);
    }
    assert_eq!(world.balance("ann").await, 10_00);
    assert!(world.audit().await);
}

#[tokio::test]
async fn a_payment_may_expire_as_late_as_a_year_can_be_written() {
    let world = World::start().await;
    world.user("ann", 10_000).await;
    let ends = ["9999-12-31T23:59:59Z", "9999-12-30T22:00:01Z", "9999-12-31T23:59:59.999-08:00"];
    for (number, end) in ends.into_iter().enumerate() {
        let body = with(pay(&format!("P{number}"), "ann", 1_00), "paymentExpiryTime", json!(end));
        assert_eq!(Raw::pay(&body).code(&world).await, "SUCCESS", "{end}");
    }
    assert_eq!(world.balance("ann").await, 97_00);
}

#[tokio::test]
async fn user_and_reference_are_taken_from_where_the_gateway_puts_them() {
    let places = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect::<Vec<_>>();
    let elsewhere = |config: &mut Config| {
        config.fields.pay_customer_id = places(&["order.buyer.referenceBuyerId", "payer"]);
        config.fields.pay_reference = places(&["passThroughInfo", "extendInfo.tap"]);
    };
    let world = World::start_with(elsewhere, Hooks::default()).await;
    world.user("ann", 10_000).await;
    world.user("bob", 10_000).await;
    // For this gateway `paymentMethod.customerId` is somebody else, and what it passes through is no reference.
    let body = |id: &str, payer: Value| with(pay(id, "bob", 1_00), "payer", payer);
    let tap = with(body("P1", json!("ann")), "extendInfo", json!({ "tap": "4f524445522d3031" }));
    let tap = with(tap, "passThroughInfo", json!("{}"));
    assert_eq!(Raw::pay(&tap).code(&world).await, "SUCCESS");
    assert_eq!((world.balance("ann").await, world.balance("bob").await), (99_00, 10_000));
    let token = world.log_in("ann").await;
    let found = world.get("/payments/by-reference/4F524445522D3031", Some(&token)).await;
    assert_eq!(found.0, 200, "{}", found.1);
    for (number, nobody) in
        [json!(null), json!(7), json!({}), json!("x".repeat(65)), json!("ann\0")].into_iter().enumerate()
    {
        assert_eq!(
            Raw::pay(&body(&format!("F{number}"), nobody.clone())).code(&world).await,
            "PARAM_ILLEGAL",
            "{nobody}"
        );
    }

    let world = World::start().await;
    world.user("bob", 10_000).await;
    assert_eq!(Raw::pay(&tap).code(&world).await, "SUCCESS");
    assert_eq!(world.balance("bob").await, 99_00);
    let token = world.log_in("bob").await;
    assert_eq!(world.get("/payments/by-reference/4F524445522D3031", Some(&token)).await.0, 404);
}

#[tokio::test]
async fn a_payment_lives_from_pay_to_refund_and_every_answer_agrees() {
    let world = World::start().await;
    world.user("ann", 10_000).await;
    let paid = world.ask::<Pay>(pay("P1", "ann", 30_00)).await;
    assert_eq!((paid.result.result_code, paid.customer_id.as_deref()), (ResultCode::Success, Some("ann")));
    let id = paid.payment_id.clone().unwrap();
    assert_eq!(world.balance("ann").await, 70_00);

    // The same again, written in another order and with native numbers: the same answer, no more money.
    let again = with(pay("P1", "ann", 30_00), "paymentAmount", json!({ "value": 3000, "currency": "EUR" }));
    assert_eq!(world.ask::<Pay>(again).await.payment_id, Some(id.clone()));
    // Another amount under the same id.
    let other = world.ask::<Pay>(pay("P1", "ann", 31_00)).await;
    assert_eq!(other.result.result_code, ResultCode::RepeatReqInconsistent);
    assert_eq!(world.balance("ann").await, 70_00);

    let found = world.ask::<InquiryPayment>(of_payment("P1")).await;
    assert_eq!(found.payment_result.unwrap().result_code, ResultCode::Success);
    assert_eq!((found.payment_id, found.payment_time), (Some(id.clone()), paid.payment_time));

    let refund = |name: &str, value| {
        let body = with(of_payment("P1"), "paymentId", json!(id));
        with(with(body, "refundRequestId", json!(name)), "refundAmount", amount(value))
    };
    let first = world.ask::<Refund>(refund("R1", 10_00)).await;
    assert_eq!(first.result.result_code, ResultCode::Success);
    assert_eq!(world.ask::<Refund>(refund("R1", 10_00)).await.refund_id, first.refund_id);
    let codes = [
        (refund("R1", 11_00), ResultCode::RepeatReqInconsistent),
        (refund("R2", 20_01), ResultCode::RefundAmountExceed),
        (with(refund("R3", 1), "paymentRequestId", json!("P9")), ResultCode::OrderNotExist),
    ];
    for (body, code) in codes {
        assert_eq!(world.ask::<Refund>(body).await.result.result_code, code);
    }
    assert_eq!(world.balance("ann").await, 80_00);

    assert_eq!(world.ask::<CancelPayment>(of_payment("P1")).await.result.result_code, ResultCode::Success);
    assert_eq!(world.balance("ann").await, 10_000);
    let closed = world.ask::<InquiryPayment>(of_payment("P1")).await.payment_result.unwrap();
    assert_eq!(closed.result_code, ResultCode::OrderIsClosed);
    assert!(world.audit().await);
}

#[tokio::test]
async fn money_without_a_payment_reaches_its_user() {
    let world = World::start().await;
    world.user("ann", 1).await;
    let adjust = json!({
        "acquirerId": "ACQ", "pspId": "MPP", "subScenarioType": "UNLINKED_REFUND", "refundRequestId": "A1",
        "refundAmount": amount(5_00), "customerId": "ann",
    });
    for _ in 0..2 {
        assert_eq!(world.ask::<AdjustRefund>(adjust.clone()).await.result.result_code, ResultCode::Success);
    }
    assert_eq!(world.balance("ann").await, 5_01);
    let other = with(adjust, "refundAmount", amount(6_00));
    assert_eq!(world.ask::<AdjustRefund>(other).await.result.result_code, ResultCode::RepeatReqInconsistent);
    // Our name for the payment is enough, and the acquirer need not be said.
    let paid = world.ask::<Pay>(pay("PX", "ann", 1_00)).await;
    let above = json!({
        "pspId": "MPP", "subScenarioType": "EXCEED_REFUND", "refundRequestId": "A-PX", "paymentId": paid.payment_id,
        "refundAmount": amount(25),
    });
    let answer = world.ask::<AdjustRefund>(above).await;
    assert_eq!(answer.result.result_code, ResultCode::Success, "{answer:?}");
    assert!(world.audit().await);
}

#[tokio::test]
async fn a_cancel_is_taken_until_half_past_midnight_and_not_later() {
    // 2025-02-20, 23:00 in UTC+8, for a clock that is signed with too.
    let at = |text: &str| text.parse::<alipayplus::DateTime>().unwrap().ms();
    let clock = HandClock::now();
    clock.advance_ms(at("2025-02-20T23:00:00+08:00") - clock.now_ms());
    let hooks = Hooks { clock: clock.clone(), ..Hooks::default() };
    let world = World::start_with(|config| config.gateway.freshness_seconds = 0, hooks).await;
    world.user("ann", 10_000).await;
    for id in ["P1", "P2"] {
        assert!(world.ask::<Pay>(pay(id, "ann", 1_00)).await.result.is_success());
    }
    clock.advance_ms(at("2025-02-21T00:29:59.999+08:00") - at("2025-02-20T23:00:00+08:00"));
    assert!(world.ask::<CancelPayment>(of_payment("P1")).await.result.is_success());
    clock.advance_ms(1);
    let late = world.ask::<CancelPayment>(of_payment("P2")).await.result;
    assert_eq!(late.result_code, ResultCode::CancelWindowExceed);
}

#[tokio::test]
async fn a_database_that_ends_leaves_the_outcome_unknown() {
    let world = World::start().await;
    world.user("ann", 10_000).await;
    let store = world.server.store().clone();
    tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    let request = serde_json::from_value(pay("P1", "ann", 1)).unwrap();
    let options = CallOptions { deadline: Some(Duration::from_secs(10)), ..CallOptions::default() };
    let outcome = world.client().call::<Pay>(&request, options).await.unwrap();
    let Outcome::Unknown(unknown) = outcome else { panic!("{outcome:?}") };
    let alipayplus::client::Cause::InProcess(answer) = unknown.last else { panic!("{:?}", unknown.last) };
    assert_eq!(answer.result.result_status, ResultStatus::Unknown);
    let health = world.http.get(format!("http://{}/healthz", world.server.addresses.ops)).send().await.unwrap();
    assert_eq!(health.status(), 503);
}
