//! What the client takes for the other side's word, and what it does while there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::client::{CallError, CallOptions, Cause, Client, ClientBuilder, Outcome, RetryPolicy, Unknown};
use alipayplus::payment::mpp::{
    CancelPayment, CancelPaymentRequest, InquiryPayment, InquiryPaymentAnswer, InquiryPaymentRequest,
};
use alipayplus::server::{ApiRouter, Identity, ServerOptions};
use alipayplus::signature::{ClientId, SignatureError, SignatureHeader, SignedContent, SigningKeys};
use alipayplus::{Api, ManualClock, ResultCode, ResultInfo, wire};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use common::{CALLER, CLIENT, SERVER, answer, client_id, clock, inquiry, key, ring, signing};

const TIME: &str = "2025-02-20T08:51:49Z";

/// What the other side does with one request.
#[derive(Clone)]
struct Act {
    status: u16,
    body: Vec<u8>,
    time: Option<&'static str>,
    client_id: Option<&'static str>,
    signature: Signature,
}

#[derive(Clone, PartialEq)]
enum Signature {
    /// By this key.
    By(&'static str),
    /// This text.
    Text(&'static str),
    None,
    /// Nothing at all for an hour.
    Silence,
}

impl Act {
    fn signed(result: impl Into<ResultInfo>) -> Self {
        Self::body(&wire::to_bytes(&answer(result)).unwrap())
    }

    fn body(body: &[u8]) -> Self {
        Self {
            status: 200,
            body: body.to_vec(),
            time: Some(TIME),
            client_id: Some(CLIENT),
            signature: Signature::By(&SERVER),
        }
    }

    fn unsigned(result: impl Into<ResultInfo>) -> Self {
        Self { time: None, client_id: None, signature: Signature::None, ..Self::signed(result) }
    }
}

/// A request as the other side saw it.
struct Seen {
    time: String,
    body: Bytes,
}

#[derive(Clone, Default)]
struct Peer {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    async fn start(acts: impl IntoIterator<Item = Act>) -> (Self, SocketAddr) {
        let peer = Self::default();
        peer.acts.lock().unwrap().extend(acts);
        let router = Router::new().fallback(act).with_state(peer.clone());
        (peer, serve(router).await)
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn act(State(peer): State<Peer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let uri = uri.path_and_query().unwrap().as_str();
    let (client_id, time) = (header("client-id"), header("request-time"));
    let content = SignedContent { uri, client_id: &client_id, time: &time, body: &body };
    let signature = SignatureHeader::parse(header("signature").as_bytes()).unwrap();
    key(&CALLER).verifying_key().verify(&content, signature.signature()).unwrap();
    let act = peer.acts.lock().unwrap().pop_front().expect("one request too many");
    peer.seen.lock().unwrap().push(Seen { time, body });

    let mut response = Response::builder().status(act.status);
    let signature = match act.signature {
        Signature::Silence => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            None
        }
        Signature::None => None,
        Signature::Text(text) => Some(text.to_owned()),
        Signature::By(pem) => {
            let time = act.time.unwrap_or(TIME);
            let content = SignedContent { uri, client_id: CLIENT, time, body: &act.body };
            Some(SignatureHeader::new(1, key(pem).sign(&content).unwrap()).to_string())
        }
    };
    if let Some(signature) = signature {
        response = response.header("signature", signature);
    }
    if let Some(time) = act.time {
        response = response.header("response-time", time);
    }
    if let Some(client_id) = act.client_id {
        response = response.header("client-id", client_id);
    }
    response.body(Body::from(act.body)).unwrap()
}

fn client(address: SocketAddr) -> ClientBuilder {
    let client = Client::builder(&format!("http://{address}"), client_id());
    client.signing_keys(signing(&CALLER)).peer_keys(ring(&SERVER)).clock(clock())
}

/// Asks once, of a peer that acts so.
async fn ask(act: Act) -> Outcome<InquiryPaymentAnswer> {
    let (peer, address) = Peer::start([act]).await;
    let client = client(address).build().unwrap();
    let outcome = client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap();
    assert_eq!(peer.count(), 1);
    outcome
}

async fn cause(act: Act) -> Cause<InquiryPaymentAnswer> {
    match ask(act).await {
        Outcome::Final(answer) => panic!("final: {answer:?}"),
        Outcome::Unknown(unknown) => unknown.last,
    }
}

fn retry(schedule: &[u64], deadline: u64) -> RetryPolicy {
    let schedule = schedule.iter().copied().map(Duration::from_secs).collect();
    RetryPolicy { schedule, jitter_percent: 0, deadline: Duration::from_secs(deadline) }
}

#[tokio::test]
async fn a_verified_success_or_failure_is_final() {
    assert_eq!(ask(Act::signed(ResultCode::Success)).await, Outcome::Final(answer(ResultCode::Success)));
    assert_eq!(ask(Act::signed(ResultCode::OrderNotExist)).await, Outcome::Final(answer(ResultCode::OrderNotExist)));
    let nameless = Act { client_id: None, ..Act::signed(ResultCode::Success) };
    assert_eq!(ask(nameless).await, Outcome::Final(answer(ResultCode::Success)));
}

#[tokio::test]
async fn what_is_not_verified_is_unknown() {
    let good = || Act::signed(ResultCode::Success);
    let missing = |name| Cause::Unverified(SignatureError::HeaderMissing { name });
    let cases = [
        ("unsigned success", Act::unsigned(ResultCode::Success), missing("signature")),
        ("signature without time", Act { time: None, ..good() }, missing("response-time")),
        ("time without signature", Act { signature: Signature::None, ..good() }, missing("signature")),
        ("empty signature", Act { signature: Signature::Text(""), ..good() }, missing("signature")),
        ("empty time", Act { time: Some(""), ..good() }, missing("response-time")),
        (
            "another's key",
            Act { signature: Signature::By(&CALLER), ..good() },
            Cause::Unverified(SignatureError::Mismatch),
        ),
        (
            "unknown key",
            Act { signature: Signature::Text("keyVersion=9,signature=AAAA"), ..good() },
            Cause::Unverified(SignatureError::KeyUnknown { client_id: client_id(), version: 9 }),
        ),
        (
            "another client",
            Act { client_id: Some("OTHER"), ..good() },
            Cause::Unverified(SignatureError::ClientDiffers),
        ),
        (
            "unsigned for another client",
            Act { client_id: Some("OTHER"), ..Act::unsigned(ResultCode::OrderNotExist) },
            Cause::Unverified(SignatureError::ClientDiffers),
        ),
        (
            "an old answer",
            Act { time: Some("2025-02-20T08:41:49Z"), ..good() },
            Cause::Unverified(SignatureError::NotFresh { off_ms: 600_090, limit_ms: 600_000 }),
        ),
        ("a redirect", Act { status: 302, ..good() }, Cause::HttpStatus(302)),
        ("a server's error", Act { status: 500, ..good() }, Cause::HttpStatus(500)),
        ("another good status", Act { status: 201, ..good() }, Cause::HttpStatus(201)),
    ];
    for (name, act, expected) in cases {
        assert_eq!(cause(act).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_signed_answer_that_cannot_be_read_is_unknown() {
    for body in ["hello", "{}", r#"{"result":{"resultCode":"SUCCESS","resultStatus":"S"},"paymentAmount":7}"#] {
        assert!(matches!(cause(Act::body(body.as_bytes())).await, Cause::Malformed(_)), "{body}");
    }
    let failed = r#"{"result":{"resultCode":"RISK_REJECT","resultStatus":"F"},"paymentAmount":7}"#;
    let answer = ask(Act::body(failed.as_bytes())).await.into_final().unwrap();
    assert_eq!(answer.result.result_code, ResultCode::RiskReject);
}

#[tokio::test]
async fn an_unsigned_failure_is_final_only_where_no_money_moves() {
    let refused = ask(Act::unsigned(ResultCode::InvalidSignature)).await.into_final().unwrap();
    assert_eq!(refused.result.result_code, ResultCode::InvalidSignature);

    let (_peer, address) = Peer::start([Act::unsigned(ResultCode::InvalidSignature)]).await;
    let cancel = CancelPaymentRequest {
        acquirer_id: "A1".to_owned(),
        psp_id: "P1".to_owned(),
        payment_request_id: "R1".to_owned(),
    };
    let client = client(address).build().unwrap();
    match client.call::<CancelPayment>(&cancel, CallOptions::default()).await.unwrap() {
        Outcome::Unknown(Unknown { last: Cause::Unsigned(result), .. }) => {
            assert_eq!(result.result_code, ResultCode::InvalidSignature);
        }
        other => panic!("{other:?}"),
    }
    let unknown = cause(Act::unsigned(ResultCode::UnknownException)).await;
    assert_eq!(unknown, Cause::Unsigned(ResultCode::UnknownException.into()));
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let body = wire::to_bytes(&answer(ResultCode::Success)).unwrap();
    for (limit, fits) in [(body.len(), true), (body.len() - 1, false)] {
        let (_peer, address) = Peer::start([Act::body(&body)]).await;
        let client = client(address).max_body_bytes(limit).build().unwrap();
        match client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap() {
            Outcome::Final(_) => assert!(fits),
            Outcome::Unknown(unknown) => assert_eq!((unknown.last, fits), (Cause::TooLong { limit }, false)),
        }
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_with_the_same_bytes_and_a_new_time() {
    let acts = [
        Act::signed(ResultCode::PaymentInProcess),
        Act { status: 503, ..Act::signed(ResultCode::Success) },
        Act::unsigned(ResultCode::Success),
        Act::signed(ResultCode::Success),
    ];
    let (peer, address) = Peer::start(acts).await;
    let clock = clock();
    let client =
        client(address).clock(Arc::<ManualClock>::clone(&clock)).retry(retry(&[2, 3, 3, 5], 60)).build().unwrap();
    let outcome = client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap();
    assert_eq!(outcome, Outcome::Final(answer(ResultCode::Success)));
    assert_eq!(clock.pauses(), [2, 3, 3].map(Duration::from_secs));
    let seen = peer.seen.lock().unwrap();
    let times: Vec<_> = seen.iter().map(|one| one.time.as_str()).collect();
    let seconds = ["49", "51", "54", "57"].map(|second| format!("2025-02-20T08:51:{second}.09Z"));
    assert_eq!(times, seconds);
    assert!(seen.iter().all(|one| one.body == seen[0].body));
}

#[tokio::test]
async fn a_failure_is_never_repeated() {
    let (peer, address) = Peer::start([Act::signed(ResultCode::OrderIsClosed), Act::signed(ResultCode::Success)]).await;
    let client = client(address).retry(RetryPolicy::inquiry()).build().unwrap();
    let outcome = client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap();
    assert_eq!(outcome.into_final().unwrap().result.result_code, ResultCode::OrderIsClosed);
    assert_eq!(peer.count(), 1);
}

#[tokio::test]
async fn a_repetition_that_is_turned_away_leaves_the_outcome_of_the_first_unknown() {
    let gate = ResultCode::ALL.iter().filter(|code| code.is_of_the_gate());
    assert_eq!(gate.clone().count(), 6);
    for code in gate {
        let lost = Act { status: 503, ..Act::signed(ResultCode::Success) };
        let (peer, address) = Peer::start([lost, Act::signed(code.clone()), Act::signed(ResultCode::Success)]).await;
        let client = client(address).retry(retry(&[1, 1], 60)).build().unwrap();
        let cancel = CancelPaymentRequest {
            acquirer_id: "A".to_owned(),
            psp_id: "P".to_owned(),
            payment_request_id: "pay-1".to_owned(),
        };
        let outcome = client.call::<CancelPayment>(&cancel, CallOptions::default()).await.unwrap();
        let last = Cause::TurnedAway(code.clone().into());
        assert_eq!(outcome, Outcome::Unknown(Unknown { last, attempts: 2, may_have_arrived: true }));
        assert_eq!(peer.count(), 2);
    }
}

#[tokio::test]
async fn a_first_attempt_that_is_turned_away_has_failed() {
    let (_peer, address) = Peer::start([Act::signed(ResultCode::KeyNotFound)]).await;
    let client = client(address).retry(retry(&[1, 1], 60)).build().unwrap();
    let outcome = client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap();
    assert_eq!(outcome.into_final().unwrap().result.result_code, ResultCode::KeyNotFound);
}

#[tokio::test]
async fn repeating_ends_with_the_schedule_or_the_deadline() {
    let process = || Act::signed(ResultCode::PaymentInProcess);
    for (schedule, deadline, attempts) in
        [(vec![1, 1], 60, 3), (vec![5, 5, 5, 5], 11, 3), (vec![5, 5], 5, 1), (vec![], 60, 1)]
    {
        let (peer, address) = Peer::start(std::iter::repeat_n(process(), 5)).await;
        let client = client(address).retry(retry(&schedule, 999)).build().unwrap();
        let options = CallOptions { deadline: Some(Duration::from_secs(deadline)), ..CallOptions::default() };
        let Outcome::Unknown(unknown) = client.call::<InquiryPayment>(&inquiry(), options).await.unwrap() else {
            panic!("final")
        };
        assert_eq!(unknown.last, Cause::InProcess(answer(ResultCode::PaymentInProcess)));
        assert_eq!((unknown.attempts, unknown.may_have_arrived, peer.count()), (attempts, true, attempts as usize));
    }
}

#[tokio::test]
async fn silence_is_unknown_and_a_closed_door_is_known_not_to_have_been_passed() {
    let silent = Act { signature: Signature::Silence, ..Act::signed(ResultCode::Success) };
    let (_peer, address) = Peer::start([silent]).await;
    let client_of = |address| client(address).attempt_timeout(Duration::from_millis(50)).build().unwrap();
    let call = |client: Client| async move { client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await };
    let expected = |last, may_have_arrived| Ok(Outcome::Unknown(Unknown { last, attempts: 1, may_have_arrived }));
    assert_eq!(call(client_of(address)).await, expected(Cause::TimedOut, true));

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(call(client_of(closed)).await, expected(Cause::NotConnected, false));
}

#[tokio::test]
async fn a_request_that_is_not_sent_is_an_error() {
    let (peer, address) = Peer::start([]).await;
    let call = |client: Client, request: InquiryPaymentRequest, path: Option<&str>| {
        let options = CallOptions { path: path.map(str::to_owned), ..CallOptions::default() };
        async move { client.call::<InquiryPayment>(&request, options).await.unwrap_err() }
    };
    let good = || client(address).build().unwrap();
    let nameless = InquiryPaymentRequest { acquirer_id: String::new(), ..inquiry() };
    assert!(matches!(call(good(), nameless, None).await, CallError::Request(error) if error.path == "acquirerId"));
    for path in ["", "inquiry", "/a#b"] {
        assert_eq!(call(good(), inquiry(), Some(path)).await, CallError::Path { path: path.to_owned() });
    }
    let keyless = client(address).signing_keys(SigningKeys::new()).build().unwrap();
    assert_eq!(call(keyless, inquiry(), None).await, CallError::NotSigned(SignatureError::NoSigningKey));
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn client_and_server_understand_each_other_below_a_prefix_and_with_a_query() {
    let identity = Identity { client_id: ClientId::parse("US").unwrap(), keys: signing(&SERVER) };
    let options = ServerOptions { clock: clock(), ..ServerOptions::default() };
    let router = ApiRouter::new(identity, ring(&CALLER), options);
    let router = router.api::<InquiryPayment, _, _>(Some("/inquiry"), |caller, _| async move {
        assert_eq!(caller.uri, "/partner/inquiry?region=JP&x=%2F%20y");
        Ok(answer(ResultCode::Success))
    });
    let address = serve(Router::new().nest("/partner", router.build().unwrap())).await;
    let client = Client::builder(&format!("http://{address}/partner/"), client_id());
    let client = client.signing_keys(signing(&CALLER)).peer_keys(ring(&SERVER)).clock(clock()).build().unwrap();
    let call = async |path: &str| {
        let options = CallOptions { path: Some(path.to_owned()), ..CallOptions::default() };
        client.call::<InquiryPayment>(&inquiry(), options).await.unwrap().into_final().unwrap().result.result_code
    };
    assert_eq!(call("/inquiry?region=JP&x=%2F y").await, ResultCode::Success);
    assert_eq!(call("/elsewhere").await, ResultCode::NoInterfaceDef);
    assert_eq!(call(InquiryPayment::PATH).await, ResultCode::NoInterfaceDef);
}
