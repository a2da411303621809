//! The program as its users meet it: the demo, a tap by hand, a phone that is killed, the pages' examples.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by panicking")]

mod demo;
#[cfg(unix)]
mod pages;
mod pipes;
mod taps;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nfcwallet_core::wallet::RemoteConfig;
use nfcwallet_sandbox::phone::{Call, Event, Phone, PhoneProgram};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_sandbox::token_service::{DecisionPolicy, Policy};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfcwallet-sandbox");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// What it said, if it ended with `code`.
fn ended(output: &Output, code: i32) -> (String, String) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{}\n{told}{errors}", output.status);
    (told, errors)
}

/// `serve` on a folder of its own.
struct Served {
    folder: tempfile::TempDir,
    process: Child,
}

impl Served {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--data"]).arg(folder.path()).args(arguments);
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut served = Self { folder, process };
        // The object is printed once everything listens; the stream stays open.
        let output = served.process.stdout.as_mut().unwrap();
        let mut objects = serde_json::Deserializer::from_reader(output).into_iter::<Value>();
        let printed = objects.next().unwrap().unwrap();
        let written = std::fs::read(served.file()).unwrap();
        assert_eq!(printed, serde_json::from_slice::<Value>(&written).unwrap());
        served
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("serve.json")
    }

    fn tap(&self, arguments: &[&str]) -> Output {
        let data = ["tap", "--data", self.folder.path().to_str().unwrap()];
        run(&[&data, arguments].concat())
    }

    fn kill(mut self) -> tempfile::TempDir {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // Nothing is left to kill when this is dropped.
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_tap_by_hand_makes_its_phone_ready_and_pays_over_http() {
    let served = Served::start();
    let first = served.tap(&["--amount", "12.50"]);
    let (told, _) = ended(&first, 0);
    for words in ["connecting alice", "activating", "12.50 EUR: approved by the issuer", "19 credentials left"] {
        assert!(told.contains(words), "{words}: {told}");
    }

    let second = served.tap(&["--amount", "3", "--cash-back", "1", "--json"]);
    let paid: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(
        (&paid["amount"], &paid["outcome"], &paid["code"]),
        (&json!("3.00"), &json!("approved"), &json!(10_000))
    );
    assert_eq!((&paid["cda_verified"], &paid["cryptogram_verified"]), (&json!(true), &json!(true)));
    assert_eq!(paid["credentials_left"], 18);
}

#[test]
fn a_tap_is_paid_from_an_account_that_survives_a_restart() {
    let balance = |served: &Served, amount: &str| {
        let output = served.tap(&["--amount", amount, "--json"]);
        ended(&output, 0);
        let paid: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(paid["payment_id"].is_string() && paid["result_code"] == "SUCCESS", "{paid}");
        paid["balance"].as_str().unwrap().to_owned()
    };
    let served = Served::start_with(&["--opening-balance", "20"]);
    assert_eq!(balance(&served, "12.50"), "7.50");
    let served = Served::start_in(served.kill(), &[]);
    assert_eq!(balance(&served, "2.50"), "5.00");
    let (told, _) = ended(&served.tap(&["--amount", "5.01"]), 1);
    for words in ["declined by the payment provider", "USER_BALANCE_NOT_ENOUGH", "balance 5.00 EUR", "top-up"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let served_file: Value = serde_json::from_slice(&std::fs::read(served.file()).unwrap()).unwrap();
    let key = Path::new(served_file["open_api"]["keys"].as_str().unwrap()).join("acquirer.key");
    assert!(std::fs::read_to_string(key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn only_an_approved_tap_ends_well() {
    let served = Served::start();
    let high = served.tap(&["--amount", "80.00"]);
    let (told, _) = ended(&high, 1);
    assert!(told.contains("see phone"), "{told}");
    ended(&served.tap(&["--amount", "80.00", "--authenticate"]), 0);
    let gate = ["--amount", "0", "--merchant-category", "4111"];
    let (told, _) = ended(&served.tap(&gate), 1);
    assert!(told.contains("add --transit"), "{told}");
    ended(&served.tap(&[gate.as_slice(), &["--transit"]].concat()), 0);
}

#[test]
fn a_reader_speaks_the_mode_it_is_told() {
    let served = Served::start_with(&["--card", "mag_stripe"]);
    let by_track = ["--amount", "12.50", "--mode", "mag-stripe"];
    let (told, _) = ended(&served.tap(&by_track), 1);
    assert!(told.contains("see phone"), "{told}");
    let (told, _) = ended(&served.tap(&[by_track.as_slice(), &["--authenticate"]].concat()), 0);
    assert!(told.contains("approved by the issuer") && told.contains("the checksum is right"), "{told}");
    assert!(told.contains("code 10000 from the wallet (checksum handed out)"), "{told}");
    let (told, _) = ended(&served.tap(&["--amount", "12.50"]), 0);
    assert!(told.contains("the cryptogram is right") && told.contains("18 credentials left"), "{told}");
    let (told, _) = ended(&served.tap(&["--amount", "12.50", "--relay-resistance"]), 0);
    assert!(told.contains("no relay exchange took place: the card does not offer it"), "{told}");

    let served = Served::start_with(&["--card", "relay-resistance"]);
    let by_track = served.tap(&["--amount", "1", "--mode", "mag-stripe", "--json"]);
    let refused: Value = serde_json::from_slice(&by_track.stdout).unwrap();
    assert_eq!((by_track.status.code(), &refused["outcome"]), (Some(1), &json!("not_accepted")));
    let resisted = served.tap(&["--amount", "1", "--relay-resistance", "--json"]);
    let paid: Value = serde_json::from_slice(&resisted.stdout).unwrap();
    assert_eq!((&paid["outcome"], &paid["relay_resisted"]), (&json!("approved"), &json!(true)));
    let (_, says) = ended(&run(&["serve", "--card", "wood"]), 2);
    assert!(says.contains("wood") && says.contains("mag-stripe"), "{says}");
}

#[test]
fn a_tap_without_servers_says_how_to_start_them() {
    let folder = tempfile::tempdir().unwrap();
    let says = |folder: &Path| {
        let output = run(&["tap", "--amount", "1", "--data", folder.to_str().unwrap()]);
        ended(&output, 1).1
    };
    let never = says(folder.path());
    assert!(never.contains("no servers run") && never.contains("nfcwallet-sandbox serve --data"), "{never}");
    let left_over = Served::start().kill();
    let stale = says(left_over.path());
    assert!(stale.contains("left over") && stale.contains("nfcwallet-sandbox serve --data"), "{stale}");
}

#[test]
fn one_folder_is_served_once() {
    let served = Served::start();
    let second = run(&["serve", "--data", served.folder.path().to_str().unwrap()]);
    let (_, says) = ended(&second, 1);
    assert!(says.contains("is served already"), "{says}");
    assert!(served.file().exists());
}

#[test]
fn a_wrong_amount_is_refused_by_name() {
    for (amount, currency, words) in
        [("-1", "EUR", "amount: `-1` is negative"), ("1.5", "JPY", "limit 0 in JPY"), ("1", "ABC", "currency: `ABC`")]
    {
        let output = run(&["tap", "--amount", amount, "--currency", currency]);
        let (_, says) = ended(&output, 2);
        assert!(says.contains(words), "{says}");
    }
}

#[test]
fn wrong_arguments_end_otherwise_than_a_tap_that_was_not_paid() {
    for (arguments, words) in [
        (&["--amount", "12,50"][..], "amount: `12,50` is no amount"),
        (&["--amount", "1", "--currency", "XXY"], "currency: `XXY`"),
        (&["--amount", "1", "--cash-back", "2"], "cash-back: 2.00 EUR is more"),
        (&["--amount", "1", "--user", "../x"], "user: `../x` cannot be used"),
        (&["--amount", "1", "--mode", "paper"], "mag-stripe"),
    ] {
        let output = run(&[&["tap"], arguments].concat());
        let (_, says) = ended(&output, 2);
        assert!(says.contains(words), "{says}");
    }
}

#[test]
fn serve_says_what_comes_next_and_what_becomes_of_cards_that_exist() {
    let mut served = Served::start();
    // On standard error, which is no terminal here; standard output is the object's.
    let mut errors = BufReader::new(served.process.stderr.take().unwrap()).lines();
    let data = served.folder.path().to_str().unwrap().to_owned();
    let ready = format!("ready; Ctrl-C stops; now: nfcwallet-sandbox tap --amount 10 --data {data}");
    assert_eq!(errors.next().unwrap().unwrap(), ready);
    ended(&served.tap(&["--amount", "1"]), 0);

    let folder = served.kill();
    let mut again = Served::start_in(folder, &["--card", "mag-stripe"]);
    let mut errors = BufReader::new(again.process.stderr.take().unwrap()).lines();
    assert!(errors.next().unwrap().unwrap().starts_with("cards issued here before: 1; they keep their shape."));
    let by_track = ["--amount", "1", "--mode", "mag-stripe", "--authenticate"];
    let (told, _) = ended(&again.tap(&by_track), 1);
    assert!(told.contains("the card has no mag-stripe mode") && told.contains("take another --user"), "{told}");
    // It broke nothing off: the reader asked for nothing.
    assert!(!told.contains("field lost"), "{told}");
    ended(&again.tap(&[by_track.as_slice(), &["--user", "bob"]].concat()), 0);
}

/// A phone of a sandbox in this process.
fn phone(sandbox: &Sandbox, folder: &Path) -> Phone {
    let program = PhoneProgram { path: PROGRAM.into(), arguments: vec!["phone".into()] };
    let options = [
        "--directory".into(),
        folder.as_os_str().to_owned(),
        "--mpp".into(),
        sandbox.addresses().mpp.to_string().into(),
        "--trust-key".into(),
        hex::encode(sandbox.trust_key()).into(),
    ];
    Phone::start(&program, &options).unwrap()
}

fn percent(event: &Event) -> Option<u8> {
    match event {
        Event::Progress { percent, .. } => Some(*percent),
        _ => None,
    }
}

#[test]
fn the_bar_never_falls_when_the_phone_is_killed() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let mut config = RemoteConfig::default();
    (config.nfc_issue_config.apply_token_times, config.nfc_issue_config.apply_token_interval) = (1_000, 20);
    let config = Some(config);
    sandbox.service().set_policy(Policy {
        decision: DecisionPolicy::Delayed { polls: 900 },
        config,
        ..Policy::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let first = phone(&sandbox, folder.path());
    first.call(Call::Connect { user: "ann".to_owned() }).unwrap();
    first.begin(Call::Activate { silent: false }).unwrap();
    // The bar is well within its longest phase.
    first.wait_for(|event| percent(event) >= Some(16)).unwrap();
    let shown = first.events().iter().filter_map(percent).max().unwrap_or(16);
    first.kill();

    let second = phone(&sandbox, folder.path());
    second.call(Call::Connect { user: "ann".to_owned() }).unwrap();
    let resumed = second.wait_for(|event| percent(event).is_some()).unwrap();
    assert!(percent(&resumed) >= Some(shown), "{resumed:?} after {shown} %");
    let Event::Progress { elapsed_ms, .. } = resumed else { panic!("no progress") };
    // Some 60 polls of 20 ms each had passed.
    assert!(Duration::from_millis(elapsed_ms) >= Duration::from_secs(1), "{elapsed_ms} ms");
}

#[test]
fn a_phone_answers_every_line_and_its_exit_code_says_whether_it_opened() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mpp = format!("http://{}", sandbox.addresses().mpp);
    let told = |trust_key: &str, code| {
        let mut command = Command::new(PROGRAM);
        command.args(["phone", "--mpp", &mpp, "--trust-key", trust_key, "--directory"]).arg(folder.path());
        let mut phone = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A phone that did not open no longer listens.
        drop(
            phone
                .stdin
                .take()
                .unwrap()
                .write_all(b"nonsense\n\xFF\n{\"id\":3,\"call\":\"foo\"}\n{\"id\":7,\"call\":\"status\"}"),
        );
        ended(&phone.wait_with_output().unwrap(), code)
    };
    let lines: Vec<Value> = {
        let (told, _) = told(&hex::encode(sandbox.trust_key()), 0);
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["ready", "not_understood", "not_understood", "", ""]);
    assert_eq!((&lines[3]["id"], &lines[3]["error"]["code"]), (&json!(3), &json!(10_011)));
    assert_eq!((&lines[4]["id"], &lines[4]["ok"]["status"]), (&json!(7), &json!(-2)));
    assert!(told("00", 1).0.contains("not_opened"));
    assert!(told("zz", 2).1.contains("--trust-key"));
}

#[test]
fn a_folder_that_cannot_be_served_is_named_once_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |data: &Path| ended(&run(&["serve", "--data", data.to_str().unwrap()]), 1).1;
    let file = folder.path().join("afile");
    std::fs::write(&file, b"x").unwrap();
    let says = serve(&file);
    assert!(says.contains(file.to_str().unwrap()), "{says}");
    assert_eq!(says.matches("os error").count(), 1, "{says}");

    for name in ["issuer.db", "service.db", "gateway.db"] {
        let data = folder.path().join(format!("data-of-{name}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join(name), [b'x'; 4_096]).unwrap();
        let says = serve(&data);
        assert!(says.contains(data.join(name).to_str().unwrap()) && says.contains("delete its whole folder"), "{says}");
        assert_eq!(says.matches("not a database").count(), 1, "{says}");
    }
}

#[test]
fn a_log_level_that_is_none_is_a_usage_error() {
    let log = |level: &str, arguments: &[&str]| {
        Command::new(PROGRAM).env("NFCWALLET_LOG", level).args(arguments).output().unwrap()
    };
    let (_, says) = ended(&log("bogus", &["tap", "--amount", "1"]), 2);
    assert!(says.contains("NFCWALLET_LOG=bogus is neither a level"), "{says}");

    let served = Served::start();
    let data = served.folder.path().to_str().unwrap();
    let (_, says) = ended(&log("debug", &["tap", "--amount", "1", "--data", data]), 0);
    assert!(says.contains("nfcwallet_core") && !says.contains("hyper") && !says.contains("reqwest"), "{says}");
    assert!(!says.contains('\u{1b}'), "colours in a file: {says}");
}

#[test]
fn a_profile_is_judged_as_a_wallet_would() {
    for card in ["two_applications", "mag_stripe_only", "relay_resistance"] {
        let example = run(&["profile", "--example", "--card", card]);
        let (text, _) = ended(&example, 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (told, _) = ended(&run(&["profile", file.path().to_str().unwrap()]), 0);
        assert!(told.starts_with("accepted: A0000000041010"), "{card}: {told}");
    }
    ended(&run(&["profile"]), 2);
    let (_, says) = ended(&run(&["profile", "no-such-file"]), 1);
    assert!(says.contains("no-such-file"), "{says}");
}

/// One request to the control API, and the answer's JSON.
fn control(served: &Served, method: &str, path: &str, body: &str) -> Value {
    let addresses: Value = serde_json::from_slice(&std::fs::read(served.file()).unwrap()).unwrap();
    let mut stream = std::net::TcpStream::connect(addresses["control"].as_str().unwrap()).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_profile_that_is_refused_later_shows_in_the_phones_log() {
    let served = Served::start();
    ended(&served.tap(&["--amount", "1"]), 0);
    let state = control(&served, "GET", "/control/state", "");
    let token = state["service"]["tokens"][0]["token_reference"].as_str().unwrap();
    let path = format!("/control/tokens/{token}/personalise");
    assert_eq!(control(&served, "POST", &path, r#"{"currencies":[]}"#), json!({ "done": true }));
    let mut tap = Command::new(PROGRAM);
    tap.env("NFCWALLET_LOG", "warn").args(["tap", "--amount", "1", "--data"]).arg(served.folder.path());
    let (_, says) = ended(&tap.output().unwrap(), 0);
    assert!(says.contains("new card profile refused error=currencies: is empty"), "{says}");
}
