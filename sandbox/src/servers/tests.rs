//! The whole way over loopback, with the wallet's own client at the other end.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use alipayplus::{Amount, Currency};
use nfcwallet_core::WalletError;
use nfcwallet_core::error::{NetworkProblem, ServiceProblem};
use nfcwallet_core::host::{Deadlines, HostCalls, RequestType};
use nfcwallet_core::token_service::operations::{Answer, Decision, Operation, ServiceToken};
use nfcwallet_core::token_service::{CacheKey, ClientSettings, RequestId, ServiceCache, TokenServiceClient};
use serde_json::{Value, json};

use super::{Sandbox, SandboxConfig};
use crate::device::SimPhone;
use crate::gateway::{Authorisation, Merchant, SchemeId, Verdict};
use crate::issuer::{Authority, Issuer, IssuerConfig, TokenStanding};
use crate::relay::{Fault, FaultRule};

pub(super) fn sandbox() -> Sandbox {
    let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
    Sandbox::start_with(SandboxConfig::default(), issuer).unwrap()
}

#[derive(Default)]
struct Cache(Mutex<HashMap<CacheKey, Vec<u8>>>);

impl ServiceCache for Cache {
    fn load(&self, key: CacheKey) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(&key).cloned()
    }

    fn save(&self, key: CacheKey, value: &[u8]) -> Result<(), WalletError> {
        self.0.lock().unwrap().insert(key, value.to_vec());
        Ok(())
    }
}

/// A wallet as far as its wire, with a user logged in at the app.
pub(super) struct Wallet {
    client: TokenServiceClient,
    user: String,
    _keys: tempfile::TempDir,
}

impl Wallet {
    pub(super) fn on(sandbox: &Sandbox, instance: u8, user: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let proxy = Arc::new(sandbox.proxy(user).unwrap());
        let phone = SimPhone::new(keys.path(), proxy, sandbox.runtime().clone()).unwrap();
        let calls = Arc::new(HostCalls::new(phone.host(), Deadlines::default()));
        let settings =
            ClientSettings { mpp_id: "mpp-1".to_owned(), trust_key: sandbox.trust_key(), instance_id: [instance; 16] };
        let client = TokenServiceClient::new(calls, Arc::new(Cache::default()), settings).unwrap();
        Self { client, user: user.to_owned(), _keys: keys }
    }

    async fn ask_as(&self, id: u8, operation: &Operation) -> Result<Answer, WalletError> {
        self.client.call(&self.user, operation, RequestId([id; 16])).await
    }

    async fn ask(&self, operation: &Operation) -> Result<Answer, WalletError> {
        let id = RequestId::random(&nfcwallet_core::host::OsEntropy);
        self.client.call(&self.user, operation, id).await
    }

    pub(super) async fn apply(&self) -> String {
        let apply = Operation::Apply { fingerprint: "phone".to_owned(), device_safe: true, silent: false };
        match self.ask(&apply).await.unwrap() {
            Answer::Applied { application_id, .. } => application_id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn activate(&self) -> String {
        let application_id = self.apply().await;
        let Answer::Session { session_id, .. } = self.ask(&Operation::OpenSession {}).await.unwrap() else {
            panic!("no session")
        };
        let provision = Operation::Provision { application_id, session_id, count: 3 };
        let Answer::Provisioned { token_reference, profile, credentials } = self.ask(&provision).await.unwrap() else {
            panic!("not provisioned")
        };
        assert_eq!((profile.version, credentials.len()), (1, 3));
        let report =
            Operation::ReportProvisioned { token_reference: token_reference.clone(), stored: true, refusal: None };
        self.ask(&report).await.unwrap();
        self.ask(&Operation::Activate { token_reference: token_reference.clone() }).await.unwrap();
        token_reference
    }

    async fn state(&self) -> Result<ServiceToken, WalletError> {
        match self.ask(&Operation::TokenState {}).await? {
            Answer::State { token, .. } => Ok(token),
            other => panic!("{other:?}"),
        }
    }
}

/// Of every tap of [`pay`].
pub(super) const REFERENCE: [u8; 8] = *b"ORDER-01";

/// What a tap of 20.00 EUR becomes at the gateway.
pub(super) async fn pay(sandbox: &Sandbox, user: &str, name: &str) {
    drop(sandbox.proxy(user).unwrap());
    let id = SchemeId::parse(name).unwrap();
    let (amount, time_ms) = (Amount::new(Currency::from_code("EUR").unwrap(), 2_000), sandbox.control().clock.now_ms());
    let merchant = Merchant { reference: "SHOP".to_owned(), name: "Shop".to_owned(), category: "5411".to_owned() };
    let (auth_id, user, reference) = (id.clone(), user.to_owned(), Some(REFERENCE));
    let asked = Authorisation { id, auth_id, user, amount, reference, merchant, time_ms };
    let verdict = sandbox.gateway().authorise(&asked).await.unwrap();
    assert!(matches!(verdict, Verdict::Approved { .. }), "{verdict:?}");
}

#[tokio::test]
async fn a_wallet_activates_over_the_relay_and_its_token_is_payable() {
    let sandbox = sandbox();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    let token_reference = wallet.activate().await;
    assert_eq!(sandbox.service().standing(&token_reference), TokenStanding::Active);
    assert_eq!(sandbox.issuer().ledger().credentials_issued(&token_reference).unwrap(), 3);
    let active = ServiceToken::Active { token_reference, suspended_by: vec![] };
    assert_eq!(wallet.state().await.unwrap(), active);
    let seen = [("APPLY", 1), ("GET_PK", 1), ("SYNC_TOKEN", 2), ("TRANSFER", 3)];
    assert_eq!(sandbox.road().seen(), seen.into());
}

#[tokio::test]
async fn a_wallet_of_another_user_than_the_logged_in_one_is_refused() {
    let sandbox = sandbox();
    let mut wallet = Wallet::on(&sandbox, 1, "ann");
    wallet.user = "bob".to_owned();
    assert_eq!(wallet.state().await, Err(WalletError::Service { reason: ServiceProblem::WrongUser }));
}

#[tokio::test]
async fn no_spoilt_answer_is_believed_and_the_repeated_request_acts_once() {
    let sandbox = sandbox();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    let earlier = wallet.apply().await;
    wallet.ask(&Operation::ApplicationStatus { application_id: earlier }).await.unwrap();
    let faults = [
        Fault::DropRequest,
        Fault::DropAnswer,
        Fault::Truncate,
        Fault::Replay,
        Fault::OtherWallet,
        Fault::Garbage,
        Fault::NotUtf8,
        Fault::Empty,
        Fault::Oversize,
        Fault::Http500,
        Fault::Offline,
    ];
    let apply = Operation::Apply { fingerprint: "phone".to_owned(), device_safe: true, silent: false };
    for (id, fault) in (1..).zip(faults) {
        sandbox.faults().add(FaultRule::next(RequestType::Apply, fault));
        let error = wallet.ask_as(id, &apply).await.unwrap_err();
        let on_the_way = matches!(error, WalletError::Network { .. });
        let in_the_answer = matches!(error, WalletError::Protocol { .. });
        let changed =
            [Fault::Truncate, Fault::Replay, Fault::OtherWallet, Fault::Garbage, Fault::NotUtf8].contains(&fault);
        assert!(if changed { in_the_answer } else { on_the_way }, "{fault:?}: {error:?}");
        if fault == Fault::Offline {
            assert_eq!(error, WalletError::Network { reason: NetworkProblem::Offline });
        }
        wallet.ask_as(id, &apply).await.unwrap();
    }
    let applications = sandbox.service().state().unwrap().applications.len();
    assert_eq!(applications, 1 + faults.len());
}

#[tokio::test]
async fn a_duplicated_request_acts_once_and_its_answer_opens() {
    let sandbox = sandbox();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    sandbox.faults().add(FaultRule::next(RequestType::Apply, Fault::Duplicate));
    wallet.apply().await;
    assert_eq!(sandbox.service().state().unwrap().applications.len(), 1);
    assert_eq!(sandbox.service().operations_seen().get("apply"), Some(&2));
}

#[tokio::test]
async fn a_key_set_under_another_signature_is_not_believed() {
    let sandbox = sandbox();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    sandbox.faults().add(FaultRule::next(RequestType::GetPk, Fault::OtherWallet));
    assert!(matches!(wallet.state().await, Err(WalletError::Protocol { .. })));
    assert_eq!(wallet.state().await, Ok(ServiceToken::None {}));
}

#[tokio::test]
async fn a_wallet_finds_the_services_time_and_its_new_keys() {
    let sandbox = sandbox();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    assert_eq!(wallet.state().await, Ok(ServiceToken::None {}));
    sandbox.service().clock().advance_ms(3_600_000);
    assert_eq!(wallet.state().await, Ok(ServiceToken::None {}));
    sandbox.endpoint().rotate_keys();
    sandbox.endpoint().rotate_keys();
    assert_eq!(wallet.state().await, Ok(ServiceToken::None {}));
    assert_eq!(sandbox.endpoint().current_kid(), "k3");
    // A key lives for 30 days; the service makes the next one in time.
    sandbox.service().clock().advance_ms(45 * 86_400_000);
    assert_eq!(wallet.state().await, Ok(ServiceToken::None {}));
    assert_eq!(sandbox.endpoint().current_kid(), "k4");
}

#[tokio::test]
async fn a_dropped_sandbox_leaves_no_open_port() {
    let sandbox = sandbox();
    let addresses = sandbox.addresses();
    let wallet = Wallet::on(&sandbox, 1, "ann");
    sandbox.faults().add(FaultRule::next(RequestType::GetPk, Fault::Timeout));
    let hanging = tokio::spawn(async move { wallet.state().await });
    while sandbox.road().seen().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(sandbox);
    for address in [addresses.mpp, addresses.gateway, addresses.control] {
        assert!(TcpStream::connect(address).is_err(), "{address}");
    }
    assert!(matches!(hanging.await.unwrap(), Err(WalletError::Network { .. })));
}

#[test]
fn a_sandbox_started_again_from_its_folder_is_the_one_that_wallets_know() {
    let folder = tempfile::tempdir().unwrap();
    let start =
        || Sandbox::start(SandboxConfig { data: Some(folder.path().to_owned()), ..SandboxConfig::default() }).unwrap();
    let first = start();
    let wallet = Wallet::on(&first, 1, "ann");
    let token_reference = first.runtime().block_on(wallet.activate());
    let (trust_key, ca) = (first.trust_key(), first.issuer().ca_public_key());
    drop(first);
    let second = start();
    assert_eq!(second.trust_key(), trust_key);
    assert_eq!(second.issuer().ca_public_key(), ca);
    assert_eq!(second.service().standing(&token_reference), TokenStanding::Active);
}

/// The control API as a runner in another language uses it.
struct Runner {
    client: reqwest::Client,
    base: String,
}

impl Runner {
    fn of(sandbox: &Sandbox) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, base: format!("http://{}/control", sandbox.addresses().control) }
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, Some(body)).await
    }

    async fn command(&self, path: &str) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, None).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(reqwest::Method::GET, path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

#[tokio::test]
async fn a_runner_steers_the_service_over_http() {
    let sandbox = sandbox();
    let (wallet, runner) = (Wallet::on(&sandbox, 1, "ann"), Runner::of(&sandbox));
    let step_up = json!({ "decision": { "kind": "step_up" } });
    runner.send(reqwest::Method::PUT, "/policy", Some(step_up)).await;
    let application_id = wallet.apply().await;
    let status = Operation::ApplicationStatus { application_id };
    let Answer::Application { decision } = wallet.ask(&status).await.unwrap() else { panic!("no decision") };
    assert_eq!(decision, Decision::StepUpRequired {});
    assert_eq!(runner.post("/users/bob/decide", json!({ "state": "approved" })).await.0, 404);
    assert_eq!(runner.post("/users/ann/decide", json!({ "state": "pending" })).await.0, 400);
    assert_eq!(runner.post("/users/ann/decide", json!({ "state": "approved" })).await.0, 200);
    let Answer::Application { decision } = wallet.ask(&status).await.unwrap() else { panic!("no decision") };
    assert_eq!(decision, Decision::Approved {});

    let limited = json!({ "operation": "token_state", "times": 1,
        "refusal": { "error": "rate_limited", "retry_after_ms": 70 } });
    runner.post("/refusals", limited).await;
    assert!(matches!(
        wallet.state().await,
        Err(WalletError::Service { reason: ServiceProblem::RateLimited { retry_after } }) if retry_after.as_millis() == 70
    ));
    runner.post("/faults", json!({ "type": "SYNC_TOKEN", "fault": "offline", "times": 5 })).await;
    assert_eq!(wallet.state().await, Err(WalletError::Network { reason: NetworkProblem::Offline }));
    assert_eq!(runner.get("/faults").await[0]["times"], 4);
    runner.send(reqwest::Method::DELETE, "/faults", None).await;
    assert_eq!(runner.get("/faults").await, json!([]));
}

#[tokio::test]
async fn what_no_route_answers_is_a_problem_in_json() {
    let sandbox = sandbox();
    let runner = Runner::of(&sandbox);
    let (status, answer) = runner.post("/nonsense", json!({})).await;
    assert_eq!((status, answer), (404, json!({ "error": "no such path: /control/nonsense" })));
    let (status, answer) = runner.send(reqwest::Method::DELETE, "/state", None).await;
    assert_eq!((status, answer), (405, json!({ "error": "/control/state does not take DELETE" })));
}

#[tokio::test]
async fn a_runner_changes_tokens_and_reads_the_state() {
    let sandbox = sandbox();
    let (wallet, runner) = (Wallet::on(&sandbox, 1, "ann"), Runner::of(&sandbox));
    let token = wallet.activate().await;
    for (path, body) in [("suspend", json!({ "by": "scheme" })), ("resume", json!({ "by": "scheme" }))] {
        assert_eq!(runner.post(&format!("/tokens/{token}/{path}"), body).await.0, 200);
    }
    assert_eq!(runner.command(&format!("/tokens/{token}/replenish")).await.0, 200);
    assert_eq!(runner.post(&format!("/tokens/{token}/profile"), Value::Null).await.0, 200);
    assert_eq!(runner.post("/config", json!({ "nfc_issue_config": { "sessionTimes": 3 } })).await.0, 200);
    assert_eq!(runner.post("/users/ann/messages", json!({ "kind": "unknown" })).await.0, 200);
    assert_eq!(runner.command(&format!("/tokens/{token}/delete")).await.0, 200);
    assert_eq!(runner.command(&format!("/tokens/{token}/delete")).await.0, 404);

    let state = runner.get("/state").await;
    let kinds: Vec<_> = state["service"]["messages"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["suspend", "resume", "replenish", "profile", "config", "unknown", "delete"]);
    let shown = &state["service"]["tokens"][0];
    assert_eq!((&shown["state"], &shown["issued"], &shown["next_atc"]), (&json!("deleted"), &json!(3), &json!(4)));
    assert_eq!(state["relay"]["requests"]["APPLY"], 1);
    assert_eq!(state["trust_key"], hex::encode(sandbox.trust_key()));
    assert_eq!(runner.get(&format!("/tokens/{token}/credentials")).await.as_array().unwrap().len(), 3);
    let Answer::Inbox { messages } = wallet.ask(&Operation::FetchInbox {}).await.unwrap() else { panic!("no inbox") };
    assert_eq!(messages.len(), 7);

    assert_eq!(runner.post("/clock/advance", json!({ "ms": 90_000 })).await.1["offset_ms"], 90_000);
    assert_eq!(runner.command("/keys/rotate").await.1, json!({ "current_kid": "k2" }));
    assert_eq!(runner.command("/reset").await.0, 200);
    let state = runner.get("/state").await;
    assert_eq!((&state["service"]["tokens"], &state["clock_offset_ms"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn a_misspelt_command_is_refused_with_its_reason() {
    let sandbox = sandbox();
    let runner = Runner::of(&sandbox);
    let post = reqwest::Method::POST;
    let limited = json!({ "error": "rate_limited", "retry_after_ms": 500 });
    for (method, path, body, reasons) in [
        (&post, "/faults", json!({ "type": "TRANSFERS", "fault": "empty" }), ["type: ", "`TRANSFERS`", "`TRANSFER`"]),
        (
            &post,
            "/refusals",
            json!({ "operation": "replensh", "times": 1, "refusal": limited }),
            ["operation: ", "`replensh`", "`replenish`"],
        ),
        (&post, "/gateway-faults", json!({ "api": "pya", "fault": "lose_answer" }), ["api: ", "`pya`", "`pay`"]),
        (
            &reqwest::Method::PUT,
            "/policy",
            json!({ "pace_ms": { "provison": 1 } }),
            ["pace_ms: ", "`provison`", "`provision`"],
        ),
    ] {
        let (status, answer) = runner.send(method.clone(), path, Some(body)).await;
        let error = answer["error"].as_str().unwrap();
        assert_eq!(status, 400, "{error}");
        assert!(reasons.iter().all(|reason| error.contains(reason)), "{error}");
    }
    assert_eq!(runner.get("/policy").await["pace_ms"], json!({}));
    assert_eq!(runner.get("/gateway-faults").await, json!([]));
}

#[tokio::test]
async fn a_reversal_of_more_than_is_open_is_refused_and_changes_nothing() {
    let sandbox = sandbox();
    let runner = Runner::of(&sandbox);
    pay(&sandbox, "alice", "tap-of-alice").await;
    let reversal = "/taps/tap-of-alice/reversal";
    let refused = |open: &str| {
        let error = format!("amount: 999.00 EUR is more than what is authorised and still open, {open} EUR");
        (400, json!({ "error": error }))
    };
    assert_eq!(runner.post(reversal, json!({ "amount": "999" })).await, refused("20.00"));
    assert_eq!(runner.get("/taps/tap-of-alice").await["held"], 2_000);

    let part = json!({ "amount": "15.00", "id": "part" });
    let (status, released) = runner.post(reversal, part.clone()).await;
    assert_eq!((status, &released["row"]), (200, &json!("R8")), "{released}");
    assert_eq!(released["calls"][0]["amount"], json!({ "currency": "EUR", "value": "1500" }));
    assert_eq!(runner.post(reversal, json!({ "amount": "999" })).await, refused("5.00"));
    // It is more than is open now, but it was not when it was told first.
    assert_eq!(runner.post(reversal, part).await, (200, released));
}

#[tokio::test]
async fn a_cancel_names_no_amount() {
    let sandbox = sandbox();
    let runner = Runner::of(&sandbox);
    pay(&sandbox, "alice", "tap-of-alice").await;
    let (status, event) = runner.post("/taps/tap-of-alice/reversal", json!({ "amount": "20.00" })).await;
    assert_eq!((status, &event["row"]), (200, &json!("R6")), "{event}");
    assert_eq!(event["calls"][0]["api"], "cancelPayment");
    assert_eq!(event["calls"][0].get("amount"), None, "{event}");
}
