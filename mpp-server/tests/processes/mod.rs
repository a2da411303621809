//! Servers as processes of their own, and a gateway that calls them with signed requests.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use alipayplus::client::{CallOptions, Client, Outcome};
use alipayplus::payment::mpp::{CancelPaymentRequest, PayRequest, RefundRequest};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, Validity};
use alipayplus::{Amount, Api, Currency};
use mpp_server::testing::{Database, PostgresError};
use tempfile::TempDir;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_mpp-server");
const CLIENT: &str = "SANDBOX_MPP";
/// Before an unanswered request is sent again.
const PAUSE: Duration = Duration::from_millis(15);

/// One installation: a database, keys, and a folder.
pub(crate) struct Place {
    pub(crate) url: String,
    folder: TempDir,
    gateway_key: String,
    server_key: SigningKey,
    _database: Database,
}

impl Place {
    pub(crate) fn new(database: Database) -> Self {
        let folder = tempfile::Builder::new().prefix("mpp-place-").tempdir().unwrap();
        let (server_key, gateway_key) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("mpp.key", &server_key.to_pkcs8_pem().unwrap());
        write("gateway.pub", &gateway_key.verifying_key().to_pem());
        let gateway_key = gateway_key.to_pkcs8_pem().unwrap().to_string();
        Self { url: database.url.clone(), folder, gateway_key, server_key, _database: database }
    }

    /// Adds a user by the program, as an operator does.
    pub(crate) fn add_user(&self, user: &str, balance: &str) {
        self.run(&["user", "add", user, "--currency", "EUR", "--balance", balance]);
    }

    /// The program's own audit of the books, which must be clean.
    pub(crate) fn assert_clean_books(&self) {
        let output = self.run(&["audit"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("the books in ") && said.ends_with(" agree\n"), "{output:?}");
    }

    /// Runs a command of the program, which must end well.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).output().unwrap();
        assert!(output.status.success(), "mpp-server {arguments:?}: {output:?}");
        output
    }

    /// A server of this place, not waited for.
    pub(crate) fn spawn(&self) -> Server {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command();
        command.args(["serve", "--app=127.0.0.1:0", "--partner=127.0.0.1:0", "--ops=127.0.0.1:0"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Server { child, partner: String::new() }
    }

    /// A server of this place that listens.
    pub(crate) fn start(&self) -> Server {
        let mut server = self.spawn();
        self.wait_until_it_listens(&mut server);
        server
    }

    /// Until a spawned server has said where it listens.
    pub(crate) fn wait_until_it_listens(&self, server: &mut Server) {
        let mut line = String::new();
        BufReader::new(server.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("no server: {}", std::fs::read_to_string(self.log()).unwrap_or_default());
        });
        server.partner = addresses["partner"].as_str().unwrap().to_owned();
    }

    /// The gateway, as a client of `server`.
    pub(crate) fn gateway(&self, server: &Server) -> Client {
        let id = ClientId::parse(CLIENT).unwrap();
        let known = KeyRing::new().with(id.clone(), 1, Validity::ALWAYS, self.server_key.verifying_key().clone());
        let key = SigningKey::from_text(&self.gateway_key).unwrap();
        Client::builder(&server.partner, id).signing_key(1, key).peer_keys(known).build().unwrap()
    }

    fn command(&self) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path());
        command.env("MPP_SERVER__STORE__URL", &self.url);
        command.env("MPP_SERVER__IDENTITY__CLIENT_ID", CLIENT);
        command.env("MPP_SERVER__IDENTITY__SIGNING_KEY_FILE", path("mpp.key"));
        command.env("MPP_SERVER__GATEWAY__KEY_FILES__1", path("gateway.pub"));
        // Nothing is told in these stories, so nobody has to listen there.
        command.env("MPP_SERVER__GATEWAY__URL", "http://127.0.0.1:9");
        command.env("MPP_SERVER__LOG__LEVEL", "warn");
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

/// A process that serves; SIGKILL when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://…`, for the gateway.
    pub(crate) partner: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A place on PostgreSQL; where there is none, a line on standard error says so.
pub(crate) fn postgres() -> Option<Place> {
    match Database::postgres() {
        Ok(database) => Some(Place::new(database)),
        Err(error @ PostgresError::Missing) if std::env::var_os("CI").is_none() => {
            eprintln!("not tested on PostgreSQL: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn sqlite() -> Place {
    Place::new(Database::sqlite().unwrap())
}

/// Asks until there is a final answer.
pub(crate) async fn ask<A: Api>(gateway: &Client, request: &A::Request) -> A::Answer {
    loop {
        match gateway.call::<A>(request, CallOptions::default()).await.unwrap() {
            Outcome::Final(answer) => return answer,
            Outcome::Unknown(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

pub(crate) fn euro(minor: u64) -> Amount {
    Amount::new(Currency::from_code("EUR").unwrap(), minor)
}

pub(crate) fn pay(id: &str, user: &str, minor: u64) -> PayRequest {
    let mut request = PayRequest {
        acquirer_id: "ACQUIRER".to_owned(),
        psp_id: "PSP".to_owned(),
        payment_request_id: id.to_owned(),
        payment_amount: euro(minor),
        pay_to_amount: euro(minor),
        ..PayRequest::default()
    };
    request.order.reference_order_id = format!("order-{id}");
    request.order.order_description = "Tea".to_owned();
    request.order.order_amount = euro(minor);
    request.payment_method.customer_id = Some(user.to_owned());
    request.payment_factor.is_in_store_payment = Some(true);
    request
}

pub(crate) fn cancel(id: &str) -> CancelPaymentRequest {
    let name = |name: &str| name.to_owned();
    CancelPaymentRequest { acquirer_id: name("ACQUIRER"), psp_id: name("PSP"), payment_request_id: id.to_owned() }
}

/// Of the payment `id`, which the server calls `payment_id`.
pub(crate) fn refund(id: &str, payment_id: &str, refund_id: &str, minor: u64) -> RefundRequest {
    RefundRequest {
        acquirer_id: "ACQUIRER".to_owned(),
        psp_id: "PSP".to_owned(),
        payment_request_id: id.to_owned(),
        payment_id: payment_id.to_owned(),
        refund_request_id: refund_id.to_owned(),
        refund_amount: euro(minor),
        ..RefundRequest::default()
    }
}
