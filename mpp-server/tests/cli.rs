//! The program itself, from its first command to a payment; and what it writes into its log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use alipayplus::payment::mpp::Pay;
use common::{CLIENT_ID, Gateway, Keys, amount, ask, client, pay, with};
use serde_json::{Value, json};
use tempfile::TempDir;

const USER: &str = "customer-8842";
const PASSWORD: &str = "correct horse battery";
/// A card's number and a reference, as a careless app may put them where they do not belong.
const PAN: &str = "5413330089020011";

/// `mpp-server` in `folder`, without this process's own settings.
fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpp-server"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MPP_SERVER")) {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder, arguments).output().unwrap()
}

fn run_with_input(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = program(folder, arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server process that ends with the test.
struct Server {
    child: Child,
    addresses: Value,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = program(folder, arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let log = || std::fs::read_to_string(folder.join("log")).unwrap();
        let addresses = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}{}", log()));
        Self { child, addresses }
    }

    fn url(&self, side: &str, path: &str) -> String {
        format!("{}{path}", self.addresses[side].as_str().unwrap())
    }

    /// SIGTERM, and the exit code.
    fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
    }
}

/// A folder with a key, a configuration and a user with 100.00 EUR.
fn prepared(keys: &Keys, gateway: &Gateway) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("gateway.pub"), &keys.gateway.public_pem).unwrap();
    std::fs::write(at.join("mpp.key"), &*keys.mpp.private_pem).unwrap();
    let config = format!(
        "[identity]\nclient_id = \"{CLIENT_ID}\"\nsigning_key_file = \"mpp.key\"\n[gateway]\nurl = \"http://{}\"\n\
         [gateway.key_files]\n1 = \"gateway.pub\"\n[notices]\nall = true\npoll_ms = 10\n",
        gateway.address
    );
    std::fs::write(at.join("mpp-server.toml"), config).unwrap();
    let add = ["user", "add", USER, "--currency", "EUR", "--balance", "100.00", "--password-stdin"];
    let added = run_with_input(at, &add, &format!("{PASSWORD}\n"));
    assert_eq!(text(&added.stdout), format!("{USER} ACTIVE 100.00 EUR\n"), "{}", text(&added.stderr));
    folder
}

#[tokio::test]
async fn a_payment_is_made_and_the_log_names_nobody() {
    for format in ["text", "json"] {
        let keys = Keys::new();
        let gateway = Gateway::start(&keys).await;
        let folder = prepared(&keys, &gateway);
        let server = Server::start(folder.path(), &["serve", "--log-level", "trace", "--log-format", format]);

        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let login = http.post(server.url("app", "/login")).json(&json!({ "user": USER, "password": PASSWORD }));
        let session: Value = login.send().await.unwrap().json().await.unwrap();
        let token = session["token"].as_str().unwrap();
        let body = json!({ "type": "APPLY", "body": format!("opaque {PAN}") });
        let relayed = http.post(server.url("app", "/wallet/relay")).bearer_auth(token).json(&body);
        assert_eq!(relayed.send().await.unwrap().status(), 200);
        let partner = server.url("partner", "");
        let asks = client(&keys, partner.trim_start_matches("http://").parse().unwrap());
        let tap = with(pay("PAYMENT-77", USER, 5_00), "passThroughInfo", json!("4F524445522D3031"));
        let paid = ask::<Pay>(&asks, tap.clone()).await;
        assert!(paid.result.is_success());
        // And what goes wrong.
        drop(ask::<Pay>(&asks, with(tap.clone(), "paymentAmount", amount(6_00))).await);
        drop(http.post(server.url("app", "/login")).json(&json!({ "user": USER, "password": PAN })).send().await);
        drop(http.post(server.url("app", "/login")).body(format!("{{\"user\":{PAN}")).send().await);
        drop(http.post(server.url("partner", PAY_PATH)).body(tap.to_string()).send().await);
        drop(http.get(server.url("app", &format!("/payments/by-reference/{PAN}"))).bearer_auth(token).send().await);
        while gateway.notices().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let metrics = http.get(server.url("ops", "/metrics")).send().await.unwrap().text().await.unwrap();
        let health = http.get(server.url("ops", "/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200);

        let rival = run(folder.path(), &["audit"]);
        let agree = "the books in sqlite:mpp-server.db agree\n";
        assert_eq!((rival.status.code(), text(&rival.stdout).as_str()), (Some(0), agree));
        assert_eq!(server.terminate(), Some(0));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(log.contains("listening") && log.contains("stopped"), "{log}");
        assert!(log.lines().count() > 20, "trace says more than this:\n{log}");
        let payment_id = paid.payment_id.as_deref().unwrap();
        let private = keys.mpp.private_pem.lines().nth(3).unwrap();
        for secret in [USER, PASSWORD, PAN, token, "4F524445522D3031", "PAYMENT-77", payment_id, private, "opaque"] {
            for (place, text) in [("log", &log), ("metrics", &metrics)] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} is in the {place}");
            }
        }
    }
}

const PAY_PATH: &str = <Pay as alipayplus::Api>::PATH;

#[test]
fn a_new_key_is_written_once_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), &["keys", "new"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("keys/mpp.key") && text(&made.stdout).contains("MIIB"));
    let before = std::fs::read(folder.path().join("keys/mpp.key")).unwrap();
    let again = run(folder.path(), &["keys", "new"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(folder.path().join("keys/mpp.key")).unwrap(), before);
}

#[test]
fn the_example_is_a_configuration_that_a_server_can_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let example = run(folder.path(), &["config", "--example"]);
    std::fs::write(folder.path().join("mpp-server.toml"), &example.stdout).unwrap();
    let unchecked = run(folder.path(), &["config", "--check"]);
    assert_eq!(unchecked.status.code(), Some(1));
    assert!(text(&unchecked.stderr).contains("identity.signing_key_file"), "{}", text(&unchecked.stderr));
    run(folder.path(), &["keys", "new"]);
    run(folder.path(), &["keys", "new", "--private", "keys/gateway.key", "--public", "keys/gateway.pub"]);
    let checked = run(folder.path(), &["config", "--check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(!folder.path().join("mpp-server.db").exists());
    for (field, reason) in [
        ("gateway.url=http://gateway.example", "plain http"),
        ("gateway.key_files.1=keys/mpp.pub", "our own public key"),
        ("store.ca_file=keys/gateway.pub", "SQLite calls nobody"),
        ("listen.ops=0.0.0.0:8081", "has the port of listen.partner"),
    ] {
        let refused = run(folder.path(), &["config", "--check", "--set", field]);
        assert_eq!(refused.status.code(), Some(1), "{field}");
        assert!(text(&refused.stderr).contains(reason), "{field}: {}", text(&refused.stderr));
    }
}

#[test]
fn wrong_arguments_are_2_and_failures_are_1() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["fly"][..],
        &["user"],
        &["config"],
        &["--set", "log.level"],
        &["openapi", "bank"],
        &["--app", "x"],
        &["user", "add", "ann", "--currency", "EURO"],
        &["user", "add", "ann", "--currency", "EUR", "--balance", "-1"],
        &["user", "add", "ann bee", "--currency", "EUR"],
        &["user", "top-up", "ann", "a lot"],
        &["user", "limits", "ann", "--day", "few"],
    ] {
        assert_eq!(run(folder.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
    for (failing, reason) in [
        (&["serve"][..], "identity.client_id"),
        (&["user", "show", "nobody"], "the file mpp-server.db is not there"),
        (&["user", "add", "ann", "--currency", "EUR", "--balance", "1.234"], "at most 2 digits"),
        (&["user", "add", "ann", "--currency", "EUR", "--balance", "92233720368547759"], "92233720368547759 is more"),
        (&["user", "show", "nobody"], "no user has this customer id"),
        (&["audit", "--database", "postgres://db.example/x", "--set", "store.ca_file=missing.pem"], "missing.pem"),
        (&["audit", "--database", "postgres://localhost/x", "--set", "store.ca_file=a.pem"], "write sslmode=require"),
        (&["user", "show", "ann", "--database", "sqlite:no/such/folder/mpp.db"], "store.url: the file"),
        (&["audit", "--database", "mysql:x"], "store.url"),
        (&["serve", "--set", "gateway.timeout_ms=1"], "gateway.timeout_ms is 1"),
        (&["audit", "--config", "missing.toml"], "missing.toml cannot be read"),
    ] {
        let failed = run(folder.path(), failing);
        assert_eq!(failed.status.code(), Some(1), "{failing:?}");
        assert!(text(&failed.stderr).contains(reason), "{failing:?}: {}", text(&failed.stderr));
    }
    let help = text(&run(folder.path(), &["--help"]).stdout);
    for word in ["serve", "keys", "user", "audit", "config", "openapi", "MPP_SERVER__", "docs/mpp-server.md"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn an_operator_keeps_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let done = run(folder.path(), arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    let limited = ["user", "add", "ann", "--currency", "EUR", "--set", "limits.EUR.per_payment=5000"];
    assert!(said(&limited).ends_with("ann ACTIVE 0.00 EUR\nlimit of a payment: 50.00 EUR\n"));
    let topped_up = "ann ACTIVE 12.50 EUR\nlimit of a payment: 50.00 EUR\n";
    assert_eq!(said(&["user", "top-up", "ann", "12.50", "--id", "t1"]), topped_up);
    assert_eq!(said(&["user", "top-up", "ann", "12.50", "--id", "t1"]), topped_up);
    let nothing = run(folder.path(), &["user", "top-up", "ann", "0.00"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("the amount is 0"), "{}", text(&nothing.stderr));
    assert!(said(&["user", "freeze", "ann"]).starts_with("ann FROZEN 12.50 EUR\n"));
    assert!(said(&["user", "show", "ann"]).starts_with("ann FROZEN 12.50 EUR\n"));
    assert!(said(&["user", "unfreeze", "ann"]).starts_with("ann ACTIVE"));
    let limits = "ann ACTIVE 12.50 EUR\nlimit of a payment: 50.00 EUR\nlimit of a day: 80.00 EUR\n";
    assert_eq!(said(&["user", "limits", "ann", "--day", "80"]), limits);
    let limits = "ann ACTIVE 12.50 EUR\nlimit of a day: 80.00 EUR\nlimit of a day: 3 payments\n";
    assert_eq!(said(&["user", "limits", "ann", "--payment", "none", "--day-count", "3"]), limits);
    assert_eq!(said(&["audit"]), "the books in sqlite:mpp-server.db agree\n");
    assert_eq!(run_with_input(folder.path(), &["user", "password", "ann"], "").status.code(), Some(1));
    assert_eq!(run_with_input(folder.path(), &["user", "password", "ann"], "new\n").status.code(), Some(0));
}

#[test]
fn a_description_can_be_printed() {
    let folder = tempfile::tempdir().unwrap();
    for side in ["app", "partner"] {
        let mut printed = String::new();
        run(folder.path(), &["openapi", side]).stdout.as_slice().read_to_string(&mut printed).unwrap();
        let description: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(description["openapi"], "3.1.0");
    }
}

#[test]
fn a_reader_that_goes_early_is_no_failure() {
    for arguments in [["openapi", "partner"], ["config", "--example"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpp-server"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}
