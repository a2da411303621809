//! Callers, and callees, that stop in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::client::{CallOptions, Cause, Client, Outcome as CallOutcome, Unknown};
use alipayplus::payment::mpp::InquiryPayment;
use alipayplus::server::{ApiRouter, Identity, Outcome, ServerOptions};
use alipayplus::signature::{ClientId, SignatureHeader, SignedContent};
use alipayplus::{Api, ResultCode, wire};
use axum::Router;
use axum::response::Response;
use common::{CALLER, CLIENT, SERVER, answer, client_id, clock, inquiry, key, ring, signing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

const BROKE_OFF: &str = "the body broke off";

fn router(options: ServerOptions) -> ApiRouter {
    let identity = Identity { client_id: ClientId::parse("US").unwrap(), keys: signing(&SERVER) };
    ApiRouter::new(identity, ring(&CALLER), ServerOptions { clock: clock(), ..options })
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn connect(router: Router) -> TcpStream {
    TcpStream::connect(serve(router).await).await.unwrap()
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

/// Whoever sends fewer bytes than it said is gone, or hears that nobody knows; a whole request of the same
/// bytes is answered afterwards.
#[tokio::test]
async fn a_body_that_breaks_off_reaches_no_handler() {
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let called = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&called);
    let router = router(ServerOptions::default()).api::<InquiryPayment, _, _>(None, move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok(answer(ResultCode::Success)) }
    });
    let router: Router = router.build().unwrap();
    let address = serve(router.layer(axum::middleware::map_response(move |response: Response| {
        told.send(response.extensions().get::<Outcome>().unwrap().result.clone()).unwrap();
        std::future::ready(response)
    })))
    .await;
    let (head, body) = request();
    // More is said to come than the whole request has: what is there would be a request by itself.
    let longer =
        head.replace(&format!("content-length: {}", body.len()), &format!("content-length: {}", body.len() + 1));
    assert_ne!(longer, head);
    for (head, part) in [(&head, &body[..0]), (&head, &body[..body.len() - 1]), (&longer, &body[..])] {
        for waits in [true, false] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&[head.as_bytes(), part].concat()).await.unwrap();
            socket.shutdown().await.unwrap();
            if waits {
                let mut text = String::new();
                socket.read_to_string(&mut text).await.unwrap();
                assert!(text.is_empty() || text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            }
            drop(socket);
            let result = outcomes.recv().await.unwrap();
            assert_eq!((result.result_code, result.result_message.as_str()), (ResultCode::UnknownException, BROKE_OFF));
        }
    }
    assert_eq!(called.load(Ordering::SeqCst), 0);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    assert_eq!(outcomes.recv().await.unwrap().result_code, ResultCode::Success);
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

/// Also where all that is missing is a byte that nobody needs, and whatever the answer says.
#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown_and_never_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::builder(&format!("http://{address}"), client_id()).signing_keys(signing(&CALLER));
    let client = client.peer_keys(ring(&SERVER)).clock(clock()).build().unwrap();
    for code in [ResultCode::Success, ResultCode::OrderNotExist] {
        let whole = whole_answer(&code);
        let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for end in [0, 12, head - 2, head, head + 1, whole.len() - 1, whole.len()] {
            let request = inquiry();
            let call = client.call::<InquiryPayment>(&request, CallOptions::default());
            let peer = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                // The whole request: what is left unread would reset the connection.
                let mut request = vec![0; 64 * 1024];
                let mut filled = 0;
                while !request[..filled].ends_with(b"}") {
                    filled += socket.read(&mut request[filled..]).await.unwrap();
                }
                socket.write_all(&whole[..end]).await.unwrap();
            };
            let (outcome, ()) = tokio::join!(call, peer);
            if end == whole.len() {
                assert_eq!(outcome, Ok(CallOutcome::Final(answer(code.clone()))));
            } else {
                let unknown = Unknown { last: Cause::Interrupted, attempts: 1, may_have_arrived: true };
                assert_eq!(outcome, Ok(CallOutcome::Unknown(unknown)), "{code} up to {end} of {}", whole.len());
            }
        }
    }
}

/// A signed answer as it is on the wire.
fn whole_answer(code: &ResultCode) -> Vec<u8> {
    let body = wire::to_bytes(&answer(code.clone())).unwrap();
    let (uri, time) = (InquiryPayment::PATH, "2025-02-20T08:51:49Z");
    let content = SignedContent { uri, client_id: CLIENT, time, body: &body };
    let signature = SignatureHeader::new(1, key(&SERVER).sign(&content).unwrap());
    let head = format!(
        "HTTP/1.1 200 OK\r\nresponse-time: {time}\r\nsignature: {signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
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
