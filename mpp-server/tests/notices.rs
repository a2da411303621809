//! Notices: until acknowledged, across restarts and processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use alipayplus::payment::mpp::{InquiryPayment, Pay};
use alipayplus::{ResultCode, ResultStatus};
use common::{Gateway, HandClock, Keys, World, ask, client, config, of_payment, pay, with};
use mpp_server::payments::{self, Decision, Risk, Verdict};
use mpp_server::{Hooks, MppServer};
use serde_json::json;

/// Leaves every payment open.
struct Review;

impl Risk for Review {
    fn assess(&self, _pay: &payments::Pay) -> Verdict {
        Verdict::Review
    }
}

/// Waits until `is_so`, at most ten seconds.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}

fn hooks() -> Hooks {
    Hooks { risk: Arc::new(Review), ..Hooks::default() }
}

#[tokio::test]
async fn a_result_is_told_until_it_is_acknowledged_and_not_after() {
    let quick = |config: &mut mpp_server::config::Config| {
        config.notices.pauses_ms = vec![1, 1, 1];
        config.notices.then_every_ms = 1;
        config.notices.poll_ms = 10;
    };
    let world = World::start_with(quick, hooks()).await;
    world.user("ann", 10_000).await;
    *world.gateway.acknowledge.lock().unwrap() = ResultCode::ProcessFail;
    let request = serde_json::from_value(pay("P1", "ann", 5_00)).unwrap();
    let open = world.client().call::<Pay>(&request, Default::default()).await.unwrap();
    assert!(open.into_final().is_none(), "the payment is in process");
    let asked = world.ask::<InquiryPayment>(of_payment("P1")).await;
    assert_eq!(asked.payment_result.unwrap().result_code, ResultCode::PaymentInProcess);
    assert!(world.gateway.notices().is_empty());

    world.server.payments.decide("P1", Decision::Accept).await.unwrap();
    until(async || world.gateway.notices().len() >= 3).await;
    *world.gateway.acknowledge.lock().unwrap() = ResultCode::Success;
    until(async || world.server.metrics.render().contains("mpp_notices_waiting 0")).await;
    let told = world.gateway.notices();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.gateway.notices().len(), told.len());
    for notice in told {
        assert_eq!(notice.payment_result.result_status, ResultStatus::Success);
        assert_eq!((notice.payment_request_id.as_str(), notice.customer_id.as_deref()), ("P1", Some("ann")));
        assert!(notice.payment_id.is_some() && notice.payment_time.is_some() && notice.payment_amount.is_some());
    }
}

#[tokio::test]
async fn a_notice_survives_a_restart() {
    let keys = Keys::new();
    let gateway = Gateway::start(&keys).await;
    let folder = tempfile::tempdir().unwrap();
    let mut first = config(&keys, &gateway, &folder);
    first.notices.poll_ms = 10;
    let mut second = first.clone();
    // Nobody is there to hear the first server.
    first.gateway.url = "http://127.0.0.1:1".to_owned();
    second.notices.pauses_ms = vec![1];
    // The pause after the failed attempt passes by the second server's clock.
    let clock = HandClock::now();

    let server = MppServer::start(first, Hooks { clock: clock.clone(), ..hooks() }).await.unwrap();
    let new = mpp_server::accounts::NewUser {
        customer_id: "ann".to_owned(),
        currency: common::eur(),
        kyc: true,
        limits: mpp_server::accounts::Limits::default(),
    };
    server.accounts.create(new).await.unwrap();
    let amount = alipayplus::Amount::new(common::eur(), 1);
    let top_up = mpp_server::accounts::TopUp { id: "first".to_owned(), customer_id: "ann".to_owned(), amount };
    server.accounts.top_up(top_up).await.unwrap();
    let request = serde_json::from_value(pay("P1", "ann", 1)).unwrap();
    let open = client(&keys, server.addresses.partner).call::<Pay>(&request, Default::default()).await.unwrap();
    assert!(open.into_final().is_none());
    server.payments.decide("P1", Decision::Reject).await.unwrap();
    until(async || server.metrics.render().contains(r#"mpp_notices_total{outcome="not_connected"} 1"#)).await;
    assert!(server.stop().await);

    clock.advance_ms(5_000);
    let server = MppServer::start(second, Hooks { clock, ..hooks() }).await.unwrap();
    until(async || !gateway.notices().is_empty()).await;
    let notice = gateway.notices().remove(0);
    assert_eq!(notice.payment_result.result_code, ResultCode::RiskReject);
    assert_eq!((notice.payment_id, notice.customer_id), (None, None));
    assert!(server.stop().await);
}

#[tokio::test]
async fn two_servers_on_one_database_tell_a_result_once_and_share_logins() {
    let keys = Keys::new();
    let gateway = Gateway::start(&keys).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&keys, &gateway, &folder);
    config.notices.poll_ms = 10;
    config.notices.all = true;
    let one = MppServer::start(config.clone(), Hooks::default()).await.unwrap();
    let other = MppServer::start(config, Hooks::default()).await.unwrap();

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = http.post(format!("http://{}/login", one.addresses.app)).json(&json!({ "user": "ann" }));
    let session: serde_json::Value = login.send().await.unwrap().json().await.unwrap();
    let balance = http.get(format!("http://{}/balance", other.addresses.app));
    let answer = balance.bearer_auth(session["token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let asks = client(&keys, other.addresses.partner);
    for number in 0..10 {
        let paid = ask::<Pay>(&asks, with(pay(&format!("P{number}"), "ann", 1), "passThroughInfo", json!("x"))).await;
        assert!(paid.result.is_success());
    }
    until(async || gateway.notices().len() >= 10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut told: Vec<_> = gateway.notices().into_iter().map(|notice| notice.payment_request_id).collect();
    told.sort();
    told.dedup();
    assert_eq!((told.len(), gateway.notices().len()), (10, 10));
    assert!(one.stop().await && other.stop().await);
}

#[tokio::test]
async fn a_payment_may_name_the_place_for_its_notice() {
    let world = World::start_with(|config| config.notices.poll_ms = 10, hooks()).await;
    world.user("ann", 1_00).await;
    // Another gateway with the same keys.
    let elsewhere = Gateway::start(&world.keys).await;
    let url = format!("http://{}/aps/api/v1/payments/notifyPayment", elsewhere.address);
    // A reference is kept in capitals: it must not come back other than it came.
    let request = with(pay("P1", "ann", 1), "passThroughInfo", json!("4f524445522d3031"));
    let request = serde_json::from_value(with(request, "paymentNotifyUrl", json!(url))).unwrap();
    assert!(world.client().call::<Pay>(&request, Default::default()).await.unwrap().into_final().is_none());
    world.server.payments.decide("P1", Decision::Accept).await.unwrap();
    until(async || !elsewhere.notices().is_empty()).await;
    assert_eq!(elsewhere.notices()[0].pass_through_info, None);
    assert!(world.gateway.notices().is_empty());
}

#[tokio::test]
async fn one_payment_and_one_notice_that_fail_hold_back_no_other() {
    let slow = |config: &mut mpp_server::config::Config| {
        config.notices.pauses_ms = vec![60_000];
        config.notices.poll_ms = 10;
    };
    let world = World::start_with(slow, hooks()).await;
    world.user("ann", 10_000).await;
    let ids = ["P0", "P1", "P2", "P3", "P4"];
    for id in ids {
        let request = serde_json::from_value(pay(id, "ann", 5_00)).unwrap();
        assert!(world.client().call::<Pay>(&request, Default::default()).await.unwrap().into_final().is_none());
    }
    for break_it in [
        "CREATE TRIGGER stuck BEFORE UPDATE OF status ON notices WHEN NEW.payment_request_id = 'P1'
            AND NEW.status = 'ACKNOWLEDGED' BEGIN SELECT RAISE(ABORT, 'stuck'); END",
        // Overdue, and a row that cannot be read.
        "UPDATE payments SET expires_at = 1, currency = '???' WHERE payment_request_id = 'P0'",
    ] {
        let broken = world.server.store().write(move |tx| tx.execute(break_it, &[])).await;
        broken.map_err(|error: mpp_server::store::StoreError| error).unwrap();
    }
    for id in &ids[1..] {
        world.server.payments.decide(id, Decision::Accept).await.unwrap();
    }
    // One waits also before the others have been decided.
    let one_waits = || world.server.metrics.render().contains("mpp_notices_waiting 1");
    until(async || world.gateway.notices().len() >= 4 && one_waits()).await;
    let mut told: Vec<_> = world.gateway.notices().into_iter().map(|notice| notice.payment_request_id).collect();
    told.sort();
    assert_eq!(told, ids[1..]);
}
