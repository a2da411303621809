//! A server in this process, a gateway that records, an app, and a signed client.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::client::{CallOptions, Client, Outcome};
use alipayplus::mobile::{SdkProxy, SdkProxyAnswer, SdkProxyRequest};
use alipayplus::payment::mpp::{NotifyPayment, NotifyPaymentAnswer, NotifyPaymentRequest};
use alipayplus::server::{ApiRouter, Caller, Identity, ServerOptions};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity, VerifyingKey};
use alipayplus::{Amount, Api, Currency, ResultCode, ResultInfo};
use mpp_server::accounts::{Limits, NewUser, TopUp};
use mpp_server::clock::Clock;
use mpp_server::config::{Config, Secret, SignUp};
use mpp_server::keys::NewKey;
use mpp_server::{Hooks, MppServer, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const CLIENT_ID: &str = "SANDBOX_MPP";

/// What the gateway does with a relayed request, or a notice.
type Relay = Box<dyn Fn(&SdkProxyRequest) -> (Duration, Result<SdkProxyAnswer, ResultInfo>) + Send + Sync>;

/// A gateway that records what it is asked.
pub(crate) struct Gateway {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) relayed: Mutex<Vec<(SdkProxyRequest, bytes::Bytes)>>,
    pub(crate) notices: Mutex<Vec<NotifyPaymentRequest>>,
    /// The answer to each notice.
    pub(crate) acknowledge: Mutex<ResultCode>,
    pub(crate) relay: Mutex<Relay>,
}

/// The two sides' keys.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) mpp: Arc<NewKey>,
    pub(crate) gateway: Arc<NewKey>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let make = || Arc::new(NewKey::generate().unwrap());
        Self { mpp: make(), gateway: make() }
    }
}

fn ring(public_pem: &str) -> KeyRing {
    let key = VerifyingKey::from_text(public_pem).unwrap();
    KeyRing::new().with(client_id(), 1, Validity::ALWAYS, key)
}

pub(crate) fn client_id() -> ClientId {
    ClientId::parse(CLIENT_ID).unwrap()
}

impl Gateway {
    pub(crate) async fn start(keys: &Keys) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let echo: Relay = Box::new(|request| {
            let answer =
                SdkProxyAnswer { result: ResultInfo::success(), sdk_response: request.sdk_request_body.clone() };
            (Duration::ZERO, Ok(answer))
        });
        let gateway = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            relayed: Mutex::default(),
            notices: Mutex::default(),
            acknowledge: Mutex::new(ResultCode::Success),
            relay: Mutex::new(echo),
        });
        let identity = Identity {
            client_id: client_id(),
            keys: SigningKeys::single(1, SigningKey::from_text(&keys.gateway.private_pem).unwrap()),
        };
        let (relays, told) = (Arc::clone(&gateway), Arc::clone(&gateway));
        let options =
            ServerOptions { handler_deadline: None, max_clock_skew: Duration::ZERO, ..ServerOptions::default() };
        let router = ApiRouter::new(identity, ring(&keys.mpp.public_pem), options)
            .api::<SdkProxy, _, _>(None, move |caller, request| Arc::clone(&relays).on_relay(caller, request))
            .api::<NotifyPayment, _, _>(None, move |_, request| Arc::clone(&told).on_notice(request))
            .build()
            .unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        gateway
    }

    async fn on_relay(self: Arc<Self>, caller: Caller, request: SdkProxyRequest) -> Result<SdkProxyAnswer, ResultInfo> {
        let (pause, answer) = (self.relay.lock().unwrap())(&request);
        self.relayed.lock().unwrap().push((request, caller.body));
        tokio::time::sleep(pause).await;
        answer
    }

    async fn on_notice(self: Arc<Self>, notice: NotifyPaymentRequest) -> Result<NotifyPaymentAnswer, ResultInfo> {
        self.notices.lock().unwrap().push(notice);
        Ok(NotifyPaymentAnswer { result: self.acknowledge.lock().unwrap().clone().into() })
    }

    pub(crate) fn notices(&self) -> Vec<NotifyPaymentRequest> {
        self.notices.lock().unwrap().clone()
    }
}

/// A clock that a test moves. It begins at the machine's time, for signatures must be fresh.
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn now() -> Arc<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Arc::new(Self(AtomicI64::new(i64::try_from(now.as_millis()).unwrap())))
    }

    pub(crate) fn advance_ms(&self, by: i64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) server: Running,
    pub(crate) http: reqwest::Client,
    pub(crate) folder: TempDir,
}

/// A configuration for a server between `gateway` and a database in `folder`.
pub(crate) fn config(keys: &Keys, gateway: &Gateway, folder: &TempDir) -> Config {
    let mut config = Config::default();
    config.store.url = Secret::new(&format!("sqlite:{}", folder.path().join("mpp.db").display()));
    config.identity.client_id = CLIENT_ID.to_owned();
    config.identity.signing_key = Some(Secret::new(&keys.mpp.private_pem));
    config.gateway.url = format!("http://{}", gateway.address);
    config.gateway.keys = [("1".to_owned(), keys.gateway.public_pem.clone())].into();
    config.accounts.sign_up = SignUp::Open;
    config.accounts.opening_balance = 10_000;
    config.listen.stop_ms = 5_000;
    config
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, Hooks::default()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config), hooks: Hooks) -> Self {
        let keys = Keys::new();
        let gateway = Gateway::start(&keys).await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&keys, &gateway, &folder);
        change(&mut config);
        let server = MppServer::start(config, hooks).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { keys, gateway, server, http, folder }
    }

    /// A user with `minor` of EUR.
    pub(crate) async fn user(&self, name: &str, minor: u64) {
        let new = NewUser { customer_id: name.to_owned(), currency: eur(), kyc: true, limits: Limits::default() };
        self.server.accounts.create(new).await.unwrap();
        let amount = Amount::new(eur(), minor);
        let top_up = TopUp { id: format!("first-{name}"), customer_id: name.to_owned(), amount };
        self.server.accounts.top_up(top_up).await.unwrap();
    }

    pub(crate) async fn balance(&self, name: &str) -> u64 {
        self.server.accounts.user(name).await.unwrap().unwrap().balance
    }

    /// Logs in and returns the token.
    pub(crate) async fn log_in(&self, user: &str) -> String {
        let (status, body) = self.post("/login", None, &json!({ "user": user })).await;
        assert_eq!((status, &body["customer_id"]), (200, &json!(user)), "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        self.send(self.http.post(self.app(path)).json(body), token).await
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        self.send(self.http.get(self.app(path)), token).await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder, token: Option<&str>) -> (u16, Value) {
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::String(String::from_utf8_lossy(&bytes).into_owned())))
    }

    pub(crate) fn app(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses.app)
    }

    pub(crate) fn partner(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses.partner)
    }

    /// The gateway's own client.
    pub(crate) fn client(&self) -> Client {
        client(&self.keys, self.server.addresses.partner)
    }

    /// Asks as the gateway; the answer must be final.
    pub(crate) async fn ask<A: Api>(&self, body: Value) -> A::Answer {
        ask::<A>(&self.client(), body).await
    }

    pub(crate) async fn audit(&self) -> bool {
        mpp_server::ledger::audit(self.server.store()).await.unwrap().is_clean()
    }
}

pub(crate) fn client(keys: &Keys, address: std::net::SocketAddr) -> Client {
    Client::builder(&format!("http://{address}"), client_id())
        .signing_key(1, SigningKey::from_text(&keys.gateway.private_pem).unwrap())
        .peer_keys(ring(&keys.mpp.public_pem))
        .max_clock_skew(Duration::ZERO)
        .build()
        .unwrap()
}

pub(crate) async fn ask<A: Api>(client: &Client, body: Value) -> A::Answer {
    let request: A::Request = serde_json::from_value(body).unwrap();
    match client.call::<A>(&request, CallOptions::default()).await.unwrap() {
        Outcome::Final(answer) => answer,
        Outcome::Unknown(unknown) => panic!("no final answer: {:?}", unknown.last),
    }
}

pub(crate) fn eur() -> Currency {
    Currency::from_code("EUR").unwrap()
}

/// A payment of a tap.
pub(crate) fn pay(id: &str, user: &str, value: u64) -> Value {
    json!({
        "acquirerId": "ACQ", "pspId": "MPP", "paymentRequestId": id,
        "order": {
            "referenceOrderId": format!("order-{id}"), "orderDescription": "a tap",
            "orderAmount": amount(value),
            "merchant": { "merchantName": "Tea House", "merchantMCC": "5812" },
        },
        "paymentAmount": amount(value), "payToAmount": amount(value),
        "paymentMethod": { "paymentMethodType": "CONNECT_WALLET", "customerId": user },
        "paymentFactor": { "isInStorePayment": "true" },
    })
}

pub(crate) fn amount(value: u64) -> Value {
    json!({ "currency": "EUR", "value": value.to_string() })
}

/// The same with another field.
pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub(crate) fn of_payment(id: &str) -> Value {
    json!({ "acquirerId": "ACQ", "pspId": "MPP", "paymentRequestId": id })
}
