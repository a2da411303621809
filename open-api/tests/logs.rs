//! Nothing about a person, and no key, in what is logged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use alipayplus::client::{CallOptions, Client, RetryPolicy};
use alipayplus::model::PaymentMethod;
use alipayplus::payment::mpp::{Pay, PayAnswer, PayRequest};
use alipayplus::server::{ApiRouter, Identity, ServerOptions};
use alipayplus::signature::{ClientId, KeyRing};
use alipayplus::{Answer, ResultCode, ResultInfo, wire};
use common::{CALLER, SERVER, client_id, clock, ring, signing};

/// In everything that nobody may read in a log.
const PLANTED: &str = "PLANTED";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn payment(id: &str) -> PayRequest {
    let amount = serde_json::json!({"currency": "JPY", "value": "7"});
    let request = serde_json::json!({
        "acquirerId": "A1", "pspId": "P1", "paymentRequestId": id, "paymentAmount": amount, "payToAmount": amount,
        "order": {"referenceOrderId": PLANTED, "orderDescription": PLANTED, "orderAmount": amount},
        "paymentMethod": {"paymentMethodId": PLANTED}, "paymentFactor": {}, "passThroughInfo": PLANTED,
    });
    let request: PayRequest = wire::parse(request.to_string().as_bytes()).unwrap();
    let payment_method =
        PaymentMethod { customer_id: Some(format!("{PLANTED}-user")), ..request.payment_method.clone() };
    PayRequest { payment_method, ..request }
}

async fn handle(request: PayRequest) -> Result<PayAnswer, ResultInfo> {
    match request.payment_request_id.as_str() {
        "good" => Ok(PayAnswer { customer_id: Some(PLANTED.to_owned()), ..PayAnswer::of(ResultInfo::success()) }),
        "refused" => Err(ResultInfo::new(ResultCode::RiskReject, PLANTED)),
        "malformed" => {
            let customer_id = Some(PLANTED.repeat(65));
            Ok(PayAnswer { customer_id, ..PayAnswer::of(ResultInfo::success()) })
        }
        _ => panic!("on purpose"),
    }
}

#[tokio::test]
async fn no_person_and_no_key_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // Of this thread, and the runtime has no other.
    let _guard = tracing::subscriber::set_default(subscriber);

    let identity = Identity { client_id: ClientId::parse("US").unwrap(), keys: signing(&SERVER) };
    let options = ServerOptions { clock: clock(), ..ServerOptions::default() };
    let router = ApiRouter::new(identity, ring(&CALLER), options).api::<Pay, _, _>(None, |_, request| handle(request));
    let router: axum::Router = router.build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let client = |keys: KeyRing, caller: &str| {
        let client = Client::builder(&format!("http://{address}"), client_id());
        let retry = RetryPolicy { schedule: vec![std::time::Duration::ZERO], ..RetryPolicy::none() };
        client.signing_keys(signing(caller)).peer_keys(keys).clock(clock()).retry(retry).build().unwrap()
    };
    let callers = [
        client(ring(&SERVER), &CALLER),
        client(KeyRing::new(), &CALLER),
        client(ring(&CALLER), &CALLER),
        client(ring(&SERVER), &SERVER),
    ];
    for client in callers {
        for id in ["good", "refused", "malformed", "panics"] {
            let _ = client.call::<Pay>(&payment(id), CallOptions::default()).await.unwrap();
        }
        let path = Some(format!("/{PLANTED}-path"));
        let _ = client.call::<Pay>(&payment("good"), CallOptions { path, ..CallOptions::default() }).await.unwrap();
    }

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in
        ["answered", "refused a request", "an answer breaks a rule", "did not come to its end", "is unknown"]
    {
        assert!(log.contains(expected), "{expected} is not in:\n{log}");
    }
    let mut secrets = vec![PLANTED.to_owned()];
    for key in [&CALLER, &SERVER] {
        secrets.extend(key.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in:\n{log}");
    }
}
