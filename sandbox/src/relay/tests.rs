//! The road over real sockets, in front of a server that shows what reached it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use nfcwallet_core::host::{HostError, NFCRequestProxy, RequestType};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{Fault, FaultRule, Faults, HttpProxy, Road};

/// A server of the app: answers `{"n":…,"ct":…,"nonce":…}` and keeps what it got. Every login has a token
/// of its own.
#[derive(Default)]
struct Recorder {
    logins: Mutex<HashMap<String, String>>,
    got: Mutex<Vec<(String, String, String)>>,
}

impl Recorder {
    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/login", post(login))
            .route("/wallet/relay", post(relay))
            .route("/payments", get(async |headers: HeaderMap| headers["authorization"].to_str().unwrap().to_owned()))
            .with_state(Arc::clone(self))
    }
}

async fn login(State(recorder): State<Arc<Recorder>>, Json(body): Json<Value>) -> Json<Value> {
    let mut logins = recorder.logins.lock().unwrap();
    let token = format!("token-{}", logins.len());
    logins.insert(format!("Bearer {token}"), body["user"].as_str().unwrap().to_owned());
    Json(json!({ "token": token }))
}

async fn relay(
    State(recorder): State<Arc<Recorder>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let login = headers["authorization"].to_str().unwrap();
    let user = recorder.logins.lock().unwrap().get(login).cloned().ok_or(StatusCode::UNAUTHORIZED)?;
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let mut got = recorder.got.lock().unwrap();
    got.push((text("type"), user.clone(), text("body")));
    Ok(Json(json!({ "n": got.len(), "ct": format!("for {user}"), "nonce": "n" })))
}

struct Way {
    recorder: Arc<Recorder>,
    faults: Arc<Faults>,
    road: Road,
    address: SocketAddr,
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

impl Way {
    async fn start() -> Self {
        let recorder = Arc::new(Recorder::default());
        let server = serve(recorder.router()).await;
        let faults = Arc::new(Faults::default());
        let road = Road::new(server, Arc::clone(&faults)).unwrap();
        let address = serve(road.clone().router()).await;
        Self { recorder, faults, road, address }
    }

    async fn phone(&self, user: &str) -> HttpProxy {
        HttpProxy::log_in(self.address, user, Handle::current()).await.unwrap()
    }
}

async fn apply(phone: &HttpProxy) -> Result<Vec<u8>, HostError> {
    phone.send_request(RequestType::Apply, b"{}".to_vec()).await.map(|reply| reply.body)
}

fn number(answer: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(answer).unwrap()["n"].as_u64().unwrap()
}

fn failed(reason: &str) -> HostError {
    HostError::Failed { reason: reason.to_owned() }
}

#[tokio::test]
async fn a_body_arrives_unchanged_and_is_counted() {
    let way = Way::start().await;
    let body = "{\"v\":1, \"odd\":\"\\u00e4 \\\" ü\"}\n";
    let phone = way.phone("ann").await;
    let reply = phone.send_request(RequestType::Transfer, body.as_bytes().to_vec()).await.unwrap();
    let got = ("TRANSFER".to_owned(), "ann".to_owned(), body.to_owned());
    assert_eq!(*way.recorder.got.lock().unwrap(), [got]);
    assert_eq!(number(&reply.body), 1);
    assert_eq!(way.road.seen(), [("TRANSFER", 1)].into());
}

#[tokio::test]
async fn everything_else_passes_as_it_is() {
    let way = Way::start().await;
    way.faults.add(FaultRule { kind: None, fault: Fault::Http500, skip: 0, times: 9 });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| client.get(format!("http://{}{path}", way.address)).bearer_auth("t").send();
    assert_eq!(get("/payments").await.unwrap().text().await.unwrap(), "Bearer t");
    assert_eq!(get("/nowhere").await.unwrap().status(), 404);
    assert_eq!(way.road.seen(), [].into());
}

#[tokio::test]
async fn a_refusal_of_the_server_passes_and_is_not_kept() {
    let way = Way::start().await;
    let stranger = HttpProxy::new(way.address, "0000".to_owned(), Handle::current()).unwrap();
    assert_eq!(apply(&stranger).await, Err(failed("the server answered 401")));
    way.faults.add(FaultRule { kind: None, fault: Fault::Replay, skip: 0, times: 1 });
    assert_eq!(apply(&way.phone("ann").await).await, Err(failed("the server answered 500")));
}

#[tokio::test]
async fn a_user_who_logs_in_again_is_the_same_traveller() {
    let way = Way::start().await;
    apply(&way.phone("ann").await).await.unwrap();
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::Replay));
    assert_eq!(number(&apply(&way.phone("ann").await).await.unwrap()), 1);
}

#[tokio::test]
async fn a_late_request_arrives_after_the_users_next_one() {
    let way = Way::start().await;
    let (ann, bob) = (way.phone("ann").await, way.phone("bob").await);
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::Late));
    assert_eq!(apply(&ann).await, Err(failed("the request failed")));
    apply(&bob).await.unwrap();
    assert_eq!(way.recorder.count(), 1);
    ann.send_request(RequestType::Transfer, b"{}".to_vec()).await.unwrap();
    let kinds: Vec<String> = way.recorder.got.lock().unwrap().iter().map(|(kind, ..)| kind.clone()).collect();
    assert_eq!(kinds, ["APPLY", "TRANSFER", "APPLY"]);
}

#[tokio::test]
async fn an_unreachable_server_reads_as_offline() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let phone = HttpProxy::new(address, "0000".to_owned(), Handle::current()).unwrap();
    assert_eq!(apply(&phone).await, Err(HostError::Offline));
}

#[tokio::test]
async fn a_body_that_is_not_text_never_leaves_the_phone() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    let answer = phone.send_request(RequestType::Apply, vec![0xFF]).await;
    assert_eq!(answer, Err(failed("the body is not UTF-8")));
    assert_eq!(way.recorder.count(), 0);
}

#[tokio::test]
async fn faults_before_the_service_keep_the_request_from_it() {
    let cases = [
        (Fault::DropRequest, failed("the request failed")),
        (Fault::Http500, failed("the server answered 500")),
        (Fault::Offline, HostError::Offline),
    ];
    for (fault, expected) in cases {
        let way = Way::start().await;
        let phone = way.phone("ann").await;
        way.faults.add(FaultRule::next(RequestType::Apply, fault));
        assert_eq!(apply(&phone).await, Err(expected), "{fault:?}");
        assert_eq!(way.recorder.count(), 0, "{fault:?}");
        assert!(apply(&phone).await.is_ok(), "{fault:?} strikes once");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_request_done() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::DropAnswer));
    assert_eq!(apply(&phone).await, Err(failed("the request failed")));
    assert_eq!(way.recorder.count(), 1);
}

#[tokio::test]
async fn a_timeout_hangs_until_the_client_gives_up() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::Timeout));
    let patience = tokio::time::timeout(Duration::from_millis(100), apply(&phone));
    assert!(patience.await.is_err());
    assert_eq!(way.recorder.count(), 0);
    assert!(apply(&phone).await.is_ok());
}

#[tokio::test]
async fn a_duplicate_reaches_the_service_twice_and_the_second_answer_returns() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::Duplicate));
    assert_eq!(number(&apply(&phone).await.unwrap()), 2);
    assert_eq!(way.recorder.count(), 2);
}

#[tokio::test]
async fn spoilt_answers_come_back_as_they_were_planned() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    let good = apply(&phone).await.unwrap();
    let spoilt = async |fault| {
        way.faults.add(FaultRule::next(RequestType::Apply, fault));
        apply(&phone).await.unwrap()
    };
    assert_eq!(spoilt(Fault::Truncate).await, good.replace_number(2)[..good.len() / 2]);
    assert_eq!(spoilt(Fault::Empty).await, b"");
    assert!(String::from_utf8(spoilt(Fault::NotUtf8).await).is_err());
    assert!(spoilt(Fault::Oversize).await.len() > 256 * 1024);
    assert!(serde_json::from_slice::<Value>(&spoilt(Fault::Garbage).await).is_err());
}

trait ReplaceNumber {
    fn replace_number(&self, number: u64) -> Vec<u8>;
}

impl ReplaceNumber for Vec<u8> {
    fn replace_number(&self, number: u64) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(self).unwrap();
        value["n"] = json!(number);
        value.to_string().into_bytes()
    }
}

#[tokio::test]
async fn a_replay_is_the_previous_answer_of_the_type() {
    let way = Way::start().await;
    let phone = way.phone("ann").await;
    way.faults.add(FaultRule { kind: Some(RequestType::Apply), fault: Fault::Replay, skip: 0, times: 2 });
    assert_eq!(apply(&phone).await, Err(failed("the server answered 500")));
    assert_eq!(number(&apply(&phone).await.unwrap()), 1);
    assert_eq!(way.recorder.count(), 2);
}

#[tokio::test]
async fn another_wallets_answer_comes_under_this_requests_name() {
    let way = Way::start().await;
    let (ann, bob) = (way.phone("ann").await, way.phone("bob").await);
    way.faults.add(FaultRule { kind: None, fault: Fault::OtherWallet, skip: 0, times: 1 });
    let crafted: Value = serde_json::from_slice(&apply(&ann).await.unwrap()).unwrap();
    assert_eq!(crafted["n"], 1);
    assert_ne!(crafted["ct"], "for ann");
    apply(&bob).await.unwrap();
    way.faults.add(FaultRule::next(RequestType::Apply, Fault::OtherWallet));
    let bobs: Value = serde_json::from_slice(&apply(&ann).await.unwrap()).unwrap();
    assert_eq!((bobs["n"].as_u64(), bobs["ct"].as_str()), (Some(3), Some("for bob")));
}
