//! HTTPS, with the `openssl` command as the other side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use alipayplus::client::{CallOptions, Cause, Client, Outcome};
use alipayplus::payment::mpp::InquiryPayment;
use common::{CALLER, SERVER, client_id, inquiry, ring, signing};

/// A server that shows a certificate of its own, and answers one request with HTTP status 503.
struct TlsServer {
    process: Child,
    port: u16,
}

impl TlsServer {
    /// `None` without `openssl`, which a machine of continuous integration must have.
    fn start(folder: &Path) -> Option<Self> {
        let make = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
                    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                    -addext basicConstraints=critical,CA:FALSE";
        match Command::new("openssl").args(make.split_whitespace()).current_dir(folder).output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => {
                assert!(std::env::var("CI").is_err(), "openssl cannot be run: {error}");
                eprintln!("NOT TESTED: openssl cannot be run: {error}");
                return None;
            }
        }
        let serve = "s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem";
        let mut command = Command::new("openssl");
        command.args(serve.split(' ')).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let accept = output.find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned)).unwrap();
        // It prints what it decrypts, and encrypts what it is given.
        std::thread::spawn(move || {
            if output.any(|line| line.starts_with("POST ")) {
                let _ = input.write_all(b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n");
                let _ = input.flush();
            }
            for _ in output {}
        });
        Some(Self { process, port: accept.trim().parse().unwrap() })
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn cause(client: Client) -> Cause<alipayplus::payment::mpp::InquiryPaymentAnswer> {
    match client.call::<InquiryPayment>(&inquiry(), CallOptions::default()).await.unwrap() {
        Outcome::Unknown(unknown) => unknown.last,
        Outcome::Final(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_certificate_counts_only_if_somebody_trusted_vouches_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = TlsServer::start(folder.path()) else { return };
    let builder = |host: &str| {
        let client = Client::builder(&format!("https://{host}:{}", server.port), client_id());
        client.signing_keys(signing(&CALLER)).peer_keys(ring(&SERVER))
    };
    let root = std::fs::read(folder.path().join("cert.pem")).unwrap();

    assert_eq!(cause(builder("127.0.0.1").build().unwrap()).await, Cause::NotConnected);
    let trusting = builder("127.0.0.1").root_certificate_pem(root).build().unwrap();
    assert_eq!(cause(trusting).await, Cause::HttpStatus(503));
}
