//! The app's side over real HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::mobile::SdkProxyAnswer;
use alipayplus::payment::mpp::{Pay, Refund};
use alipayplus::signature::{SignatureHeader, SignedContent, SigningKey};
use alipayplus::{ResultCode, ResultInfo, clock};
use axum::http::Uri;
use common::{CLIENT_ID, HandClock, World, amount, pay, with};
use mpp_server::clock::Clock as _;
use mpp_server::config::{Config, SignUp};
use mpp_server::{Hooks, app::LoginCheck};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn what_a_wallet_wrote_arrives_and_returns_byte_for_byte_in_the_users_name() {
    let world = World::start().await;
    let token = world.log_in("ann").await;
    let body = "{\"v\":1, \"odd\":\"\\u00e4 \\\" ü \\\\ \u{1F4B3}\"}\n\t ";
    let request = json!({ "type": "TRANSFER", "body": body, "customerId": "bob", "user": "bob" });
    let answer = world.http.post(world.app("/wallet/relay")).bearer_auth(&token).json(&request).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.bytes().await.unwrap(), body.as_bytes());
    let relayed = world.gateway.relayed.lock().unwrap();
    let (request, bytes) = &relayed[0];
    assert_eq!(request.sdk_request_header, "TRANSFER");
    assert_eq!(request.sdk_request_body.as_deref(), Some(body));
    assert_eq!(request.customer_id, "ann");
    assert!(!String::from_utf8_lossy(bytes).contains("bob"));
}

#[tokio::test]
async fn a_gateway_with_other_names_for_its_fields_is_spoken_to_in_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let configure = |config: &mut Config| {
        config.gateway.url = format!("http://{address}");
        config.fields.sdk_request_body = "payload".to_owned();
        config.fields.sdk_customer_id = "userId".to_owned();
        config.fields.sdk_response = "payload".to_owned();
    };
    let world = World::start_with(configure, Hooks::default()).await;
    let key = SigningKey::from_text(&world.keys.gateway.private_pem).unwrap();
    let seen = Arc::new(Mutex::new(Value::Null));
    let (key, note) = (Arc::new(key), Arc::clone(&seen));
    // It answers in its own name for what it was asked; what we call it is something else to it.
    let gateway = axum::Router::new().fallback(move |uri: Uri, asked: String| {
        *note.lock().unwrap() = serde_json::from_str(&asked).unwrap();
        let answer = json!({ "result": ResultInfo::success(), "payload": "for the wallet", "sdkResponse": "noise" });
        let (time, body) = (clock::to_header(HandClock::now().now_ms()), answer.to_string());
        let content = SignedContent { uri: uri.path(), client_id: CLIENT_ID, time: &time, body: body.as_bytes() };
        let signature = SignatureHeader::new(1, key.sign(&content).unwrap()).to_string();
        std::future::ready(([("response-time", time), ("signature", signature)], body))
    });
    tokio::spawn(async move { axum::serve(listener, gateway).await });
    let token = world.log_in("ann").await;
    let heard = world.post("/wallet/relay", Some(&token), &json!({ "type": "APPLY", "body": "from the wallet" })).await;
    assert_eq!(heard, (200, json!("for the wallet")));
    let asked = json!({ "sdkRequestHeader": "APPLY", "payload": "from the wallet", "userId": "ann" });
    assert_eq!(*seen.lock().unwrap(), asked);
}

#[tokio::test]
async fn the_relay_keeps_its_statuses() {
    let world = World::start_with(
        |config| {
            config.gateway.timeout_ms = 300;
            config.gateway.expiry_ms = 250;
        },
        Hooks::default(),
    )
    .await;
    let token = world.log_in("ann").await;
    let relay = async |token: Option<&str>, body: Value| world.post("/wallet/relay", token, &body).await;
    let apply = json!({ "type": "APPLY", "body": "x" });
    assert_eq!(relay(None, apply.clone()).await.0, 401);
    assert_eq!(relay(Some("0000"), apply.clone()).await.0, 401);
    for wrong in [json!({}), json!({ "type": "APPLY" }), json!({ "type": "PAY", "body": "x" }), json!([])] {
        let (status, answer) = relay(Some(&token), wrong.clone()).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("bad_request")), "{wrong}");
    }
    assert!(world.gateway.relayed.lock().unwrap().is_empty());
    // The pause before the answer, the answer, and what the app hears.
    let cases: [(u64, Result<SdkProxyAnswer, ResultInfo>, u16, &str); 4] = [
        (0, Err(ResultCode::ProcessFail.into()), 502, "gateway_refused"),
        (0, Ok(SdkProxyAnswer { result: ResultInfo::success(), sdk_response: None }), 504, "gateway_timeout"),
        (250, Err(ResultInfo::new(ResultCode::UnknownException, "expired")), 504, "gateway_timeout"),
        (900, Err(ResultCode::UnknownException.into()), 504, "gateway_timeout"),
    ];
    for (pause, answer, status, code) in cases {
        *world.gateway.relay.lock().unwrap() = Box::new(move |_| (Duration::from_millis(pause), answer.clone()));
        let heard = relay(Some(&token), apply.clone()).await;
        assert_eq!((heard.0, heard.1["code"].as_str()), (status, Some(code)), "after {pause} ms");
    }
    let seen = world.server.metrics.render();
    assert!(seen.contains(r#"mpp_relay_total{type="APPLY",outcome="timed_out"} 1"#), "{seen}");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_502() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::start_with(|config| config.gateway.url = format!("http://{closed}"), Hooks::default()).await;
    let token = world.log_in("ann").await;
    let (status, answer) = world.post("/wallet/relay", Some(&token), &json!({ "type": "APPLY", "body": "x" })).await;
    assert_eq!((status, answer["code"].as_str()), (502, Some("gateway_unreachable")));
}

#[tokio::test]
async fn a_gateway_that_has_the_request_and_gives_no_proper_answer_is_504() {
    for answer in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                // Some of the request has arrived.
                socket.readable().await.unwrap();
                let mut request = vec![0; 64 * 1024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let world =
            World::start_with(|config| config.gateway.url = format!("http://{address}"), Hooks::default()).await;
        let token = world.log_in("ann").await;
        let body = json!({ "type": "APPLY", "body": "x" });
        let (status, heard) = world.post("/wallet/relay", Some(&token), &body).await;
        assert_eq!((status, heard["code"].as_str()), (504, Some("gateway_timeout")), "{answer}");
        let seen = world.server.metrics.render();
        assert!(seen.contains(r#"mpp_relay_total{type="APPLY",outcome="undecided"} 1"#), "{seen}");
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_relayed_to_nobody() {
    let world = World::start().await;
    let token = world.log_in("ann").await;
    let body = json!({ "type": "APPLY", "body": "x" }).to_string();
    // A byte is missing; then all that could be needed is there, and still more was to come.
    for (length, part) in [(body.len(), &body[..body.len() - 1]), (body.len() + 1, &body), (body.len(), "")] {
        let mut socket = tokio::net::TcpStream::connect(world.server.addresses.app).await.unwrap();
        let head = format!(
            "POST /wallet/relay HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\n\r\n"
        );
        socket.write_all(format!("{head}{part}").as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"bad_request\""), "{answer}");
    }
    assert!(world.gateway.relayed.lock().unwrap().is_empty());
    assert!(!world.server.metrics.render().contains("mpp_relay_total"));
    let whole = world.http.post(world.app("/wallet/relay")).body(body);
    assert_eq!(world.send(whole, Some(&token)).await.0, 200);
    assert_eq!(world.gateway.relayed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_signs_up_gets_an_account_once_and_a_session_that_ends() {
    let clock = HandClock::now();
    let hooks = Hooks { clock: clock.clone(), ..Hooks::default() };
    let world = World::start_with(|config| config.sessions.lifetime_hours = 1, hooks).await;
    let (phone, tablet) = (world.log_in("ann").await, world.log_in("ann").await);
    assert_eq!(phone.len(), 64);
    assert_ne!(phone, tablet);
    let (status, answer) = world.get("/balance", Some(&phone)).await;
    assert_eq!((status, answer), (200, json!({ "balance": { "currency": "EUR", "value": "10000" } })));
    assert_eq!(world.post("/logout", Some(&phone), &json!({})).await.0, 200);
    assert_eq!(world.get("/balance", Some(&phone)).await.0, 401);
    assert_eq!(world.get("/balance", Some(&tablet)).await.0, 200);
    clock.advance_ms(3_600_000);
    assert_eq!(world.get("/balance", Some(&tablet)).await.0, 401);
}

#[tokio::test]
async fn where_sign_up_is_closed_only_the_password_opens() {
    let world = World::start_with(|config| config.accounts.sign_up = SignUp::Closed, Hooks::default()).await;
    world.user("ann", 1).await;
    let passwords = mpp_server::app::passwords::Passwords::new(world.server.store().clone());
    passwords.set("ann", "right".to_owned().into()).await.unwrap();
    world.user("bob", 1).await;
    let login = async |body: Value| world.post("/login", None, &body).await.0;
    assert_eq!(login(json!({ "user": "ann", "password": "right" })).await, 200);
    for refused in [
        json!({ "user": "ann", "password": "wrong" }),
        json!({ "user": "ann" }),
        json!({ "user": "bob" }),
        json!({ "user": "bob", "password": "right" }),
        json!({ "user": "eve", "password": "right" }),
    ] {
        assert_eq!(login(refused.clone()).await, 401, "{refused}");
    }
    for illegal in [json!({}), json!({ "user": "" }), json!({ "user": "x".repeat(65) }), json!({ "user": 7 })] {
        assert_eq!(login(illegal.clone()).await, 400, "{illegal}");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_logins_of_its_user_only() {
    let world = World::start().await;
    let (ann, bob) = (world.log_in("ann").await, world.log_in("bob").await);
    let passwords = mpp_server::app::passwords::Passwords::new(world.server.store().clone());
    passwords.set("ann", "new".to_owned().into()).await.unwrap();
    assert_eq!((world.get("/balance", Some(&ann)).await.0, world.get("/balance", Some(&bob)).await.0), (401, 200));
}

#[tokio::test]
async fn an_embedding_program_may_decide_who_logs_in() {
    struct Doorman;
    impl LoginCheck for Doorman {
        fn is_user(&self, user: &str, password: Option<&str>) -> bool {
            user == "ann" && password == Some("knock")
        }
    }
    let hooks = Hooks { login: Some(Arc::new(Doorman)), ..Hooks::default() };
    let world = World::start_with(|_| {}, hooks).await;
    let login =
        async |user: &str, word: &str| world.post("/login", None, &json!({ "user": user, "password": word })).await.0;
    assert_eq!((login("ann", "knock").await, login("ann", "x").await, login("bob", "knock").await), (200, 401, 401));
}

#[tokio::test]
async fn a_tap_is_found_by_its_reference_by_its_own_user_only() {
    let world = World::start().await;
    let (ann, bob) = (world.log_in("ann").await, world.log_in("bob").await);
    let tap = with(pay("P1", "ann", 12_50), "passThroughInfo", json!("4f524445522d3031"));
    let paid = world.ask::<Pay>(tap).await;
    assert_eq!(paid.result.result_code, ResultCode::Success);
    let id = paid.payment_id.unwrap();

    let path = "/payments/by-reference/4F524445522D3031";
    let (status, found) = world.get(path, Some(&ann)).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!((found["payment_id"].as_str(), found["status"].as_str()), (Some(id.as_str()), Some("success")));
    assert_eq!((found["amount"].clone(), found["merchant"].as_str()), (amount(12_50), Some("Tea House")));
    assert_eq!(world.get("/payments/by-reference/4f524445522d3031", Some(&ann)).await.1, found);
    assert_eq!(world.get(&format!("/payments/{id}"), Some(&ann)).await.1, found);

    for path in [path.to_owned(), format!("/payments/{id}")] {
        let (status, answer) = world.get(&path, Some(&bob)).await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("not_found")), "{path}");
        assert_eq!(world.get(&path, None).await.0, 401, "{path}");
    }
    assert_eq!(world.get("/payments", Some(&bob)).await.1, json!({ "items": [] }));
    assert_eq!(world.get("/payments/by-reference/0000000000000000", Some(&ann)).await.0, 404);
    assert_eq!(world.get("/payments/by-reference/short", Some(&ann)).await.0, 400);
    for name in ["%00", "%FF", "x", &"%00".repeat(32), &"g".repeat(32), &"0".repeat(32)] {
        let (status, answer) = world.get(&format!("/payments/{name}"), Some(&ann)).await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("not_found")), "{name}");
        let (status, answer) = world.get(&format!("/payments/by-reference/{name}"), Some(&ann)).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("bad_request")), "{name}");
    }
}

#[tokio::test]
async fn the_history_comes_in_pages_with_refunds() {
    let world = World::start().await;
    let token = world.log_in("ann").await;
    let mut last = None;
    for number in 0..5 {
        last = world.ask::<Pay>(pay(&format!("P{number}"), "ann", 100 + number)).await.payment_id;
    }
    let refund = json!({
        "acquirerId": "ACQ", "pspId": "MPP", "paymentRequestId": "P4", "paymentId": last,
        "refundRequestId": "R1", "refundAmount": amount(4),
    });
    assert_eq!(world.ask::<Refund>(refund).await.result.result_code, ResultCode::Success);
    let (mut path, mut kinds, mut pages) = ("/payments?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let (status, page) = world.get(&path, Some(&token)).await;
        assert_eq!(status, 200, "{page}");
        kinds.extend(page["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/payments?limit=2&before={next}");
    }
    assert_eq!(kinds.iter().filter(|kind| *kind == "payment").count(), 5);
    assert_eq!(kinds.iter().filter(|kind| *kind == "refund").count(), 1);
    assert!(pages >= 3);
    let found = world.get(&format!("/payments/{}", last.unwrap()), Some(&token)).await.1;
    assert_eq!(
        (found["status"].as_str(), found["refunds"][0]["credited"].clone()),
        (Some("partially_refunded"), amount(4))
    );
    assert_eq!(world.get("/payments?limit=0", Some(&token)).await.0, 400);
}

#[tokio::test]
async fn a_user_hears_why_a_phone_cannot_pay() {
    let world = World::start().await;
    let token = world.log_in("ann").await;
    assert_eq!(world.get("/service", Some(&token)).await.1, json!({ "available": true }));
    world.server.accounts.set_status("ann", mpp_server::accounts::UserStatus::Frozen).await.unwrap();
    assert_eq!(world.get("/service", Some(&token)).await.0, 401);
    let token = world.log_in("ann").await;
    let answer = world.get("/service", Some(&token)).await.1;
    assert_eq!(answer, json!({ "available": false, "reason": "USER_STATUS_ABNORMAL" }));
}

#[tokio::test]
async fn every_other_request_gets_an_error_that_programs_can_read() {
    let world = World::start().await;
    let code = async |request: reqwest::RequestBuilder| {
        let (status, answer) = world.send(request, None).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(world.http.get(world.app("/nowhere"))).await, (404, "not_found".to_owned()));
    assert_eq!(code(world.http.get(world.app("/login"))).await, (405, "method_not_allowed".to_owned()));
    let long = world.http.post(world.app("/login")).body(vec![b' '; 600 * 1024]);
    assert_eq!(code(long).await, (413, "too_large".to_owned()));
    for broken in ["{", "", "\u{0}", "[1,2", "{\"user\":"] {
        let request = world.http.post(world.app("/login")).body(broken);
        assert_eq!(code(request).await, (400, "bad_request".to_owned()), "{broken:?}");
    }
}
