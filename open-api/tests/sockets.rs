//! Callers that stop in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::payment::mpp::InquiryPayment;
use alipayplus::server::{ApiRouter, Identity, ServerOptions};
use alipayplus::signature::{ClientId, SignatureHeader, SignedContent};
use alipayplus::{Api, ResultCode, wire};
use axum::Router;
use common::{CALLER, CLIENT, SERVER, answer, clock, inquiry, key, ring, signing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

fn router(options: ServerOptions) -> ApiRouter {
    let identity = Identity { client_id: ClientId::parse("US").unwrap(), keys: signing(&SERVER) };
    ApiRouter::new(identity, ring(&CALLER), ServerOptions { clock: clock(), ..options })
}

async fn connect(router: Router) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    TcpStream::connect(address).await.unwrap()
}

/// A signed inquiry: its head, and its body.
fn request() -> (String, Vec<u8>) {
    let (path, time) = (InquiryPayment::PATH, "2025-02-20T08:51:49Z");
    let body = wire::to_bytes(&inquiry()).unwrap();
    let content = SignedContent { uri: path, client_id: CLIENT, time, body: &body };
    let signature = SignatureHeader::new(1, key(&CALLER).sign(&content).unwrap());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nClient-Id: {CLIENT}\r\nRequest-Time: {time}\r\n\
         Signature: {signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head, body)
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_waited_for_so_long_and_refused() {
    let options = ServerOptions { body_timeout: Duration::from_millis(20), ..ServerOptions::default() };
    let router = router(options).api::<InquiryPayment, _, _>(None, |_, _| async { panic!("called") });
    let mut socket = connect(router.build().unwrap()).await;
    let (head, body) = request();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body[..body.len() - 1]).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("UNKNOWN_EXCEPTION") && text.contains("did not arrive in time"), "{text}");
    // In lower case, as one official client wants them.
    for header in ["\r\nsignature: ", "\r\nresponse-time: ", "\r\nclient-id: "] {
        assert!(text.contains(header), "{text}");
    }
}

#[tokio::test]
async fn a_handler_runs_to_its_end_when_its_caller_hangs_up() {
    let (started, has_started) = oneshot::channel();
    let (release, released) = oneshot::channel::<()>();
    let (done, is_done) = oneshot::channel();
    let held = Mutex::new(Some((started, released, done)));
    let router = router(ServerOptions::default()).api::<InquiryPayment, _, _>(None, move |_, _| {
        let (started, released, done) = held.lock().unwrap().take().unwrap();
        async move {
            started.send(()).unwrap();
            released.await.unwrap();
            done.send(()).unwrap();
            Ok(answer(ResultCode::Success))
        }
    });
    let (gone, is_gone) = oneshot::channel();
    let gone = Arc::new(Mutex::new(Some(Gone(Some(gone)))));
    // Dropped with the request: when the server noticed that nobody waits any more.
    let router: Router = router.build().unwrap();
    let router = router.layer(axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
        let gone = gone.lock().unwrap().take();
        async move {
            let _gone = gone;
            next.run(request).await
        }
    }));
    let mut socket = connect(router).await;
    let (head, body) = request();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    has_started.await.unwrap();
    drop(socket);
    is_gone.await.unwrap();
    release.send(()).unwrap();
    is_done.await.unwrap();
}

/// Tells when it is dropped.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(gone) = self.0.take() {
            let _ = gone.send(());
        }
    }
}
