//! What the server layer lets through, and what it answers otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use alipayplus::payment::mpp::{CancelPayment, CancelPaymentAnswer, InquiryPayment};
use alipayplus::server::{ApiRouter, Identity, MemoryReplayGuard, Outcome, Repeats, RouterError, ServerOptions};
use alipayplus::signature::{ClientId, KeyRing, SignatureHeader, SignedContent, SigningKeys, Validity, VerifyingKey};
use alipayplus::{Answer, Api, ManualClock, ResultCode, ResultInfo, wire};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use common::{CALLER, CLIENT, NOW_MS, SERVER, answer, client_id, clock, inquiry, key, ring, signing};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tower::ServiceExt;

const PATH: &str = InquiryPayment::PATH;
const TIME: &str = "2025-02-20T08:51:49Z";

fn identity() -> Identity {
    Identity { client_id: ClientId::parse("US").unwrap(), keys: signing(&SERVER) }
}

fn options() -> ServerOptions {
    ServerOptions { clock: clock(), ..ServerOptions::default() }
}

/// Serves inquiries, and counts what its handler sees.
fn server(options: ServerOptions) -> (ApiRouter, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let router =
        ApiRouter::new(identity(), ring(&CALLER), options).api::<InquiryPayment, _, _>(None, move |caller, request| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(caller.client_id, client_id());
                assert_eq!(wire::parse::<alipayplus::payment::mpp::InquiryPaymentRequest>(&caller.body), Ok(request));
                Ok(answer(ResultInfo::success()))
            }
        });
    (router, seen)
}

/// A request as it stands on the wire.
#[derive(Clone)]
struct Sent {
    method: Method,
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(uri: &str, time: &str, body: &[u8]) -> Self {
        let content = SignedContent { uri, client_id: CLIENT, time, body };
        let signature = SignatureHeader::new(1, key(&CALLER).sign(&content).unwrap()).to_string();
        let headers = vec![
            ("content-type", "application/json; charset=UTF-8".to_owned()),
            ("client-id", CLIENT.to_owned()),
            ("request-time", time.to_owned()),
            ("signature", signature),
        ];
        Self { method: Method::POST, uri: uri.to_owned(), headers, body: body.to_vec() }
    }

    fn inquiry() -> Self {
        Self::new(PATH, TIME, &wire::to_bytes(&inquiry()).unwrap())
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(other, _)| *other == name).unwrap().1
    }
}

/// An answer whose signature was verified.
struct Answered {
    result: ResultInfo,
    headers: HeaderMap,
    outcome: Outcome,
}

/// Sends, and verifies the answer as every client must.
async fn send(router: &Router, sent: &Sent) -> Answered {
    let mut request = Request::builder().method(sent.method.clone()).uri(&sent.uri);
    for (name, value) in &sent.headers {
        request = request.header(*name, value);
    }
    let response = router.clone().oneshot(request.body(Body::from(sent.body.clone())).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (client_id, time, signature) = (header("client-id"), header("response-time"), header("signature"));
    let content = SignedContent { uri: &sent.uri, client_id: &client_id, time: &time, body: &body };
    let signature = SignatureHeader::parse(signature.as_bytes()).unwrap();
    key(&SERVER).verifying_key().verify(&content, signature.signature()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    Answered {
        result: serde_json::from_value(json["result"].clone()).unwrap(),
        outcome: head.extensions.get::<Outcome>().unwrap().clone(),
        headers: head.headers,
    }
}

async fn code(router: &Router, sent: &Sent) -> ResultCode {
    send(router, sent).await.result.result_code
}

#[tokio::test]
async fn a_verified_request_reaches_its_handler_and_is_answered_signed() {
    let (router, seen) = server(options());
    let answered = send(&router.build().unwrap(), &Sent::inquiry()).await;
    assert_eq!(answered.result, ResultInfo::success());
    assert_eq!(answered.headers["response-time"], "2025-02-20T08:51:49.09Z");
    assert_eq!(answered.headers["content-type"], "application/json; charset=UTF-8");
    assert_eq!(answered.headers["client-id"], CLIENT);
    assert_eq!((answered.outcome.api, answered.outcome.result), (Some("inquiryPayment"), ResultInfo::success()));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_wrong_has_its_code_and_no_handler_sees_it() {
    let (router, seen) = server(ServerOptions { max_body_bytes: 200, ..options() });
    let router = router.build().unwrap();
    let good = Sent::inquiry;
    let with = |name, value: &str| good().with(name, value);
    let signed = |body: &[u8]| Sent::new(PATH, TIME, body);
    let stranger = ring(&CALLER);
    stranger.remove_client(&client_id());
    let cases = [
        ("method", Sent { method: Method::GET, ..good() }, ResultCode::MethodNotSupported),
        ("path", Sent::new("/other", TIME, b"{}"), ResultCode::NoInterfaceDef),
        (
            "path and method",
            Sent { method: Method::PUT, ..Sent::new("/other", TIME, b"{}") },
            ResultCode::MethodNotSupported,
        ),
        ("type", with("content-type", "text/plain"), ResultCode::MediaTypeNotAcceptable),
        ("charset", with("content-type", "application/json; charset=latin1"), ResultCode::MediaTypeNotAcceptable),
        ("length", signed(&[b' '; 201]), ResultCode::ParamIllegal),
        ("no client", good().without("client-id"), ResultCode::InvalidClient),
        ("malformed client", with("client-id", "a.b"), ResultCode::InvalidClient),
        ("unknown client", with("client-id", "NOBODY"), ResultCode::InvalidClient),
        (
            "version",
            with("signature", &good().header("signature").replace("Version=1", "Version=7")),
            ResultCode::KeyNotFound,
        ),
        ("no signature", good().without("signature"), ResultCode::InvalidSignature),
        ("empty signature", with("signature", ""), ResultCode::InvalidSignature),
        ("other algorithm", with("signature", "algorithm=ECC256,signature=AAAA"), ResultCode::InvalidSignature),
        ("no time", good().without("request-time"), ResultCode::InvalidSignature),
        ("other time", with("request-time", "2025-02-20T08:51:50Z"), ResultCode::InvalidSignature),
        ("unreadable time", Sent::new(PATH, "now", b"{}"), ResultCode::InvalidSignature),
        ("other body", Sent { body: b"{}".to_vec(), ..good() }, ResultCode::InvalidSignature),
        ("other query", Sent { uri: format!("{PATH}?a=b"), ..good() }, ResultCode::InvalidSignature),
        ("not JSON", signed(b"hello"), ResultCode::ParamIllegal),
    ];
    for (name, sent, expected) in cases {
        let answered = send(&router, &sent).await;
        assert_eq!(answered.result.result_code, expected, "{name}: {}", answered.result.result_message);
        assert_eq!(answered.result.result_status, expected.status(), "{name}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_field_that_breaks_a_rule_is_named_without_its_value() {
    let router = server(options()).0.build().unwrap();
    let answered = send(&router, &Sent::new(PATH, TIME, br#"{"acquirerId":4111111111111111}"#)).await;
    assert_eq!(answered.result.result_code, ResultCode::ParamIllegal);
    assert_eq!(answered.result.result_message, "acquirerId is not a text");
}

#[tokio::test]
async fn no_content_type_and_any_query_are_fine_when_signed() {
    let router = server(options()).0.build().unwrap();
    assert_eq!(code(&router, &Sent::inquiry().without("content-type")).await, ResultCode::Success);
    assert_eq!(
        code(&router, &Sent::inquiry().with("content-type", "Application/JSON;charset=\"utf-8\"")).await,
        ResultCode::Success
    );
    let body = wire::to_bytes(&inquiry()).unwrap();
    assert_eq!(code(&router, &Sent::new(&format!("{PATH}?a=%2F&b"), TIME, &body)).await, ResultCode::Success);
}

#[tokio::test]
async fn an_answer_goes_to_the_name_that_asked_unless_that_is_no_name() {
    let router = server(options()).0.build().unwrap();
    for (sent, expected) in [("NOBODY", "NOBODY"), ("a.b", "US"), ("", "US")] {
        let answered = send(&router, &Sent::inquiry().with("client-id", sent)).await;
        assert_eq!(answered.headers["client-id"], expected, "{sent}");
    }
}

#[tokio::test]
async fn a_request_is_fresh_within_the_window_in_both_directions() {
    let body = wire::to_bytes(&inquiry()).unwrap();
    let at = |time: &str| Sent::new(PATH, time, &body);
    let router = server(options()).0.build().unwrap();
    for (time, expected) in [
        ("2025-02-20T08:41:49.09Z", ResultCode::Success),
        ("2025-02-20T08:41:49.089Z", ResultCode::InvalidSignature),
        ("2025-02-20T17:01:49.09+08:00", ResultCode::Success),
        ("2025-02-20T09:01:49.091Z", ResultCode::InvalidSignature),
        ("1740041509090", ResultCode::Success),
    ] {
        assert_eq!(code(&router, &at(time)).await, expected, "{time}");
    }
    let off = server(ServerOptions { max_clock_skew: Duration::ZERO, ..options() }).0.build().unwrap();
    for time in ["1999-01-01T00:00:00Z", "whenever"] {
        assert_eq!(code(&off, &at(time)).await, ResultCode::Success, "{time}");
    }
}

#[tokio::test]
async fn the_same_bytes_are_answered_again_while_fresh_and_refused_later() {
    let clock = clock();
    let (router, seen) = server(ServerOptions { clock: Arc::<ManualClock>::clone(&clock), ..options() });
    let router = router.build().unwrap();
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::Success);
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::Success);
    clock.advance(Duration::from_mins(11));
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::InvalidSignature);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_strict_server_handles_the_same_bytes_once_and_a_new_signature_again() {
    let repeats = Repeats::Refuse(Arc::new(MemoryReplayGuard::new(2)));
    let (router, seen) = server(ServerOptions { repeats, ..options() });
    let router = router.build().unwrap();
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::Success);
    let again = send(&router, &Sent::inquiry()).await.result;
    assert_eq!((again.result_code, again.result_status.letter()), (ResultCode::UnknownException, "U"));
    let body = wire::to_bytes(&inquiry()).unwrap();
    assert_eq!(code(&router, &Sent::new(PATH, "2025-02-20T08:51:50Z", &body)).await, ResultCode::Success);
    let full = Sent::new(PATH, "2025-02-20T08:51:51Z", &body);
    assert_eq!(code(&router, &full).await, ResultCode::RequestTrafficExceedLimit);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_signed_and_unknown() {
    let router = ApiRouter::new(identity(), ring(&CALLER), options())
        .api::<InquiryPayment, _, _>(None, |_, _| async { panic!("inside") })
        .api::<CancelPayment, _, _>(None, |_, _| -> std::future::Ready<Result<CancelPaymentAnswer, ResultInfo>> {
            panic!("before")
        });
    let router = router.build().unwrap();
    for path in [PATH, CancelPayment::PATH] {
        let result = send(&router, &Sent::new(path, TIME, &wire::to_bytes(&inquiry()).unwrap())).await.result;
        assert_eq!((result.result_code, result.result_status.letter()), (ResultCode::UnknownException, "U"), "{path}");
    }
}

#[tokio::test]
async fn a_handler_beyond_its_deadline_goes_on_while_the_caller_hears_unknown() {
    let (done, ended) = tokio::sync::oneshot::channel();
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let held = std::sync::Mutex::new(Some((done, wait)));
    let options = ServerOptions { handler_deadline: Some(Duration::from_millis(1)), ..options() };
    let router = ApiRouter::new(identity(), ring(&CALLER), options).api::<InquiryPayment, _, _>(None, move |_, _| {
        let (done, wait) = held.lock().unwrap().take().unwrap();
        async move {
            let _ = wait.await;
            let _ = done.send(());
            Ok(answer(ResultInfo::success()))
        }
    });
    assert_eq!(code(&router.build().unwrap(), &Sent::inquiry()).await, ResultCode::UnknownException);
    release.send(()).unwrap();
    ended.await.unwrap();
}

#[tokio::test]
async fn what_a_handler_refuses_is_an_answer_of_its_api() {
    let router = ApiRouter::new(identity(), ring(&CALLER), options())
        .api::<InquiryPayment, _, _>(None, |_, _| async { Err(ResultCode::OrderNotExist.into()) });
    assert_eq!(code(&router.build().unwrap(), &Sent::inquiry()).await, ResultCode::OrderNotExist);
}

#[tokio::test]
async fn an_answer_that_breaks_a_rule_is_not_sent() {
    let broken = ResultInfo::new(ResultCode::Other("X".repeat(65)), "");
    let router = ApiRouter::new(identity(), ring(&CALLER), options())
        .api::<InquiryPayment, _, _>(None, move |_, _| std::future::ready(Ok(answer(broken.clone()))));
    assert_eq!(code(&router.build().unwrap(), &Sent::inquiry()).await, ResultCode::UnknownException);
}

#[tokio::test]
async fn the_path_that_was_received_counts_below_a_nest_too() {
    let (router, _) = server(options());
    #[derive(Clone)]
    struct State;
    let inner: Router<State> = router.build_without_fallback().unwrap();
    let outer = Router::new().nest("/partner", inner).fallback(|| async { StatusCode::IM_A_TEAPOT }).with_state(State);
    let body = wire::to_bytes(&inquiry()).unwrap();
    assert_eq!(code(&outer, &Sent::new(&format!("/partner{PATH}"), TIME, &body)).await, ResultCode::Success);
    let inside = Sent { uri: format!("/partner{PATH}"), ..Sent::inquiry() };
    assert_eq!(code(&outer, &inside).await, ResultCode::InvalidSignature);
}

#[tokio::test]
async fn without_a_key_to_sign_with_there_is_no_answer_to_be_believed() {
    let identity = Identity { client_id: client_id(), keys: SigningKeys::new() };
    let router: Router = ApiRouter::new(identity, KeyRing::new(), options()).build().unwrap();
    let response = router.oneshot(Request::builder().uri("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(to_bytes(response.into_body(), 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_that_change_while_the_server_runs_count_at_once() {
    let keys = ring(&CALLER);
    let router = ApiRouter::new(identity(), keys.clone(), options())
        .api::<InquiryPayment, _, _>(None, |_, _| async { Ok(answer(ResultInfo::success())) });
    let router = router.build().unwrap();
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::Success);
    keys.remove(&client_id(), 1);
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::KeyNotFound);
    let key: VerifyingKey = key(&CALLER).verifying_key().clone();
    keys.add(client_id(), 1, Validity::from(NOW_MS + 1), key.clone());
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::KeyNotFound);
    keys.add(client_id(), 1, Validity::from(NOW_MS), key);
    assert_eq!(code(&router, &Sent::inquiry()).await, ResultCode::Success);
}

#[test]
fn what_is_served_can_be_described() {
    let apis = server(options()).0.apis();
    assert_eq!(apis.iter().map(|api| (api.name, api.path.as_str())).collect::<Vec<_>>(), [("inquiryPayment", PATH)]);
    let mut generator = schemars::SchemaGenerator::default();
    let schemas = [apis[0].request_schema(&mut generator), apis[0].answer_schema(&mut generator)];
    let definitions = generator.take_definitions(true);
    for (schema, field) in schemas.iter().zip(["paymentRequestId", "paymentResult"]) {
        let name = schema.get("$ref").unwrap().as_str().unwrap().rsplit('/').next().unwrap();
        assert!(definitions[name]["properties"][field].is_object(), "{name}");
    }
}

#[test]
fn a_router_that_cannot_work_is_not_built() {
    let two =
        || server(options()).0.api::<InquiryPayment, _, _>(None, |_, _| async { Ok(answer(ResultInfo::success())) });
    assert_eq!(two().build::<()>().unwrap_err(), RouterError::PathTaken { path: PATH.to_owned() });
    for path in ["", "pay", "/{id}", "/a?b", "/a b", "/*rest", "/:id"] {
        let router = server(options()).0.api::<CancelPayment, _, _>(Some(path), |_, _| async {
            Ok(CancelPaymentAnswer::of(ResultInfo::success()))
        });
        assert_eq!(router.build::<()>().unwrap_err(), RouterError::PathMalformed { path: path.to_owned() });
    }
    let repeats = Repeats::Refuse(Arc::new(MemoryReplayGuard::new(2)));
    let strict = ServerOptions { repeats, max_clock_skew: Duration::ZERO, ..options() };
    assert_eq!(server(strict).0.build::<()>().unwrap_err(), RouterError::RepeatsWithoutWindow);
}

#[test]
fn one_flipped_bit_of_body_time_or_path_never_reaches_a_handler() {
    let (router, seen) = server(ServerOptions { max_clock_skew: Duration::ZERO, ..options() });
    let router = router.build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 150, ..Config::default() });
    let changes = (0..3_u8, any::<prop::sample::Index>(), 0..8_u32);
    let outcome = runner.run(&changes, |(part, at, bit)| {
        let mut sent = Sent::new(&format!("{PATH}?bcdefg01"), TIME, &wire::to_bytes(&inquiry()).unwrap());
        // Of header and query the lowest bit, so that they stay what HTTP can carry.
        match part {
            0 => {
                let at = at.index(sent.body.len());
                sent.body[at] ^= 1 << bit;
            }
            1 => {
                let mut time = TIME.as_bytes().to_vec();
                let at = at.index(time.len());
                time[at] ^= 1;
                sent = sent.with("request-time", &String::from_utf8(time).unwrap());
            }
            _ => {
                let start = PATH.len() + 1;
                let mut uri = sent.uri.into_bytes();
                let at = start + at.index(uri.len() - start);
                uri[at] ^= 1;
                sent.uri = String::from_utf8(uri).unwrap();
            }
        }
        let result = runtime.block_on(send(&router, &sent)).result;
        prop_assert_eq!(result.result_code, ResultCode::InvalidSignature);
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}
