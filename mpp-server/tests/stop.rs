//! A stop loses nothing that was accepted, and does not wait for ever.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::time::{Duration, Instant};

use alipayplus::client::{CallOptions, Outcome};
use alipayplus::payment::mpp::Pay;
use alipayplus::{ResultCode, ResultInfo};
use common::{World, config, pay};
use mpp_server::payments::PaymentKey;
use mpp_server::{Hooks, MppServer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn no_payment_that_was_accepted_is_lost_by_a_stop() {
    let world = World::start().await;
    world.user("ann", 100_000).await;
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let client = world.client();
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for number in 0..200 {
                    let id = format!("P{caller}-{number}");
                    let request = serde_json::from_value(pay(&id, "ann", 1)).unwrap();
                    match client.call::<Pay>(&request, CallOptions::default()).await.unwrap() {
                        Outcome::Final(answer) if answer.result.is_success() => accepted.push(id),
                        Outcome::Final(answer) => panic!("{}", answer.result),
                        Outcome::Unknown(_) => break,
                    }
                }
                accepted
            })
        })
        .collect();
    let enough = async || world.balance("ann").await <= 100_000 - 20;
    while !enough().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let World { keys, gateway, server, folder, .. } = world;
    assert!(server.stop().await);
    let mut accepted = Vec::new();
    for caller in callers {
        accepted.extend(caller.await.unwrap());
    }
    assert!(accepted.len() >= 20);

    let server = MppServer::start(config(&keys, &gateway, &folder), Hooks::default()).await.unwrap();
    for id in &accepted {
        let key = PaymentKey { acquirer_id: "ACQ".into(), psp_id: "MPP".into(), payment_request_id: id.clone() };
        let found = server.payments.inquiry(key).await.unwrap().unwrap();
        assert_eq!(found.result(), ResultCode::Success);
    }
    assert!(mpp_server::ledger::audit(server.store()).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_request_that_runs_is_answered_before_the_server_ends() {
    let world = World::start().await;
    let token = world.log_in("ann").await;
    *world.gateway.relay.lock().unwrap() = Box::new(|_| {
        let answer =
            alipayplus::mobile::SdkProxyAnswer { result: ResultInfo::success(), sdk_response: Some("late".into()) };
        (Duration::from_millis(300), Ok(answer))
    });
    let request = world.http.post(world.app("/wallet/relay")).bearer_auth(&token);
    let running = tokio::spawn(request.json(&json!({ "type": "APPLY", "body": "x" })).send());
    while world.gateway.relayed.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let app = world.app("/login");
    assert!(world.server.stop().await);
    assert_eq!(running.await.unwrap().unwrap().text().await.unwrap(), "late");
    assert!(world.http.post(app).send().await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let world = World::start_with(|config| config.listen.stop_ms = 200, Hooks::default()).await;
    let token = world.log_in("ann").await;
    *world.gateway.relay.lock().unwrap() =
        Box::new(|_| (Duration::from_secs(60), Err(ResultCode::UnknownException.into())));
    let request = world.http.post(world.app("/wallet/relay")).bearer_auth(&token);
    let running = tokio::spawn(request.json(&json!({ "type": "APPLY", "body": "x" })).send());
    while world.gateway.relayed.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    assert!(!world.server.stop().await);
    assert!(began.elapsed() < Duration::from_secs(5));
    running.abort();
}
