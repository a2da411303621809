//! `card` as its users meet it, in a small reader that speaks as vpcd does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test says what it expects")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use nfcwallet_sandbox::checkout::{Checkout, HttpAcquirer, Payment};
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::pos::{LinkLost, Purchase};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfcwallet-sandbox");
const ATR: [u8; 5] = [0x3B, 0x80, 0x80, 0x01, 0x01];
const PPSE: &[u8] = b"\x00\xA4\x04\x00\x0E2PAY.SYS.DDF01\x00";
const AID: &[u8] = b"\x00\xA4\x04\x00\x07\xA0\x00\x00\x00\x04\x10\x10\x00";

/// The program, and what it prints.
struct CardProcess {
    /// Takes the card's own folder, which a killed card leaves behind.
    folder: TempDir,
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl CardProcess {
    fn start(reader: SocketAddr, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(PROGRAM)
            .env("TMPDIR", folder.path())
            .args(["card", "--json", "--vpcd", &reader.to_string()])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { folder, process, lines }
    }

    /// The next line of this kind.
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the card ended before `{kind}`");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }
}

impl Drop for CardProcess {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The reader's end of a slot.
struct Slot(TcpStream);

impl Slot {
    fn send(&mut self, body: &[u8]) {
        let length = u16::try_from(body.len()).unwrap();
        self.0.write_all(&[&length.to_be_bytes(), body].concat()).unwrap();
    }

    fn ask(&mut self, body: &[u8]) -> Vec<u8> {
        self.send(body);
        let mut length = [0; 2];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut answer).unwrap();
        answer
    }

    fn atr(&mut self) -> Vec<u8> {
        self.ask(&[4])
    }

    fn power_on(&mut self) {
        self.send(&[1]);
    }

    fn reset(&mut self) {
        self.send(&[2]);
    }

    fn select(&mut self) {
        for command in [PPSE, AID] {
            assert!(self.ask(command).ends_with(&[0x90, 0x00]));
        }
    }

    fn pay(&mut self, checkout: &Checkout, amount_minor: u64) -> Payment {
        let purchase = Purchase::new(amount_minor, 978, 1_790_000_000_000, [1, 2, 3, 4]);
        let mut link = |command: &[u8]| Ok::<_, LinkLost>(self.ask(command));
        checkout.pay(&mut link, &purchase).unwrap()
    }
}

/// The terminal of which the card's first line tells.
fn checkout(inserted: &Value, runtime: &Runtime) -> Checkout {
    let ca_keys: Vec<CaPublicKey> = serde_json::from_value(inserted["ca_keys"].clone()).unwrap();
    let control = serde_json::from_value(inserted["control"].clone()).unwrap();
    Checkout::new(ca_keys, Arc::new(HttpAcquirer::new(control, runtime.handle().clone()).unwrap()))
}

#[test]
fn a_wallet_in_a_reader_pays_is_reset_and_comes_back() {
    let reader = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut card = CardProcess::start(reader.local_addr().unwrap(), &[]);
    let mut slot = Slot(reader.accept().unwrap().0);
    assert_eq!(slot.atr(), ATR);
    let inserted = card.event("inserted");
    let runtime = Runtime::new().unwrap();
    let checkout = checkout(&inserted, &runtime);

    slot.power_on();
    let paid = slot.pay(&checkout, 1_250);
    assert!(paid.outcome.is_approved(), "{:?}", paid.outcome);
    assert_eq!((paid.cda_verified, paid.cryptogram_verified), (Some(true), Some(true)));
    let complete = card.event("complete");
    assert_eq!((&complete["amount_minor"], &complete["currency"]), (&json!(1_250), &json!(978)));

    // A reset after the card was selected: that tap is lost.
    slot.reset();
    slot.select();
    slot.reset();
    assert_eq!(card.event("failed")["code"], 19_002);
    assert!(!slot.pay(&checkout, 8_000).outcome.is_approved());
    assert_eq!(card.event("failed")["code"], 10_003);

    // The reader goes away in the middle of a message, and comes back.
    slot.0.write_all(&[0, 9, 0]).unwrap();
    drop(slot);
    assert!(card.event("removed")["reason"].as_str().unwrap().contains("in the middle of a message"));
    let mut slot = Slot(reader.accept().unwrap().0);
    assert_eq!(slot.atr(), ATR);
    card.event("inserted");
    assert!(slot.pay(&checkout, 99).outcome.is_approved());
}

#[test]
fn an_authenticating_user_pays_high_amounts_at_every_tap() {
    let reader = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut card = CardProcess::start(reader.local_addr().unwrap(), &["--authenticate"]);
    let mut slot = Slot(reader.accept().unwrap().0);
    slot.atr();
    let runtime = Runtime::new().unwrap();
    let checkout = checkout(&card.event("inserted"), &runtime);
    for _ in 0..2 {
        slot.reset();
        assert!(slot.pay(&checkout, 8_000).outcome.is_approved());
        assert_eq!(card.event("complete")["amount_minor"], 8_000);
    }
}

#[test]
#[cfg(unix)]
fn a_signal_takes_the_card_out_cleanly() {
    let reader = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut card = CardProcess::start(reader.local_addr().unwrap(), &[]);
    let mut slot = Slot(reader.accept().unwrap().0);
    slot.atr();
    card.event("inserted");
    let stopped = Command::new("kill").arg(card.process.id().to_string()).status().unwrap();
    assert!(stopped.success());
    assert_eq!(card.process.wait().unwrap().code(), Some(0));
    assert_eq!(slot.0.read(&mut [0]).unwrap(), 0);
    assert_eq!(std::fs::read_dir(card.folder.path()).unwrap().count(), 0, "its folder is gone");
    let mut complaints = String::new();
    card.process.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!(complaints, "");
}

#[test]
fn a_card_without_a_reader_says_what_to_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    for (reader, words) in [(nobody.as_str(), "start pcscd with the driver vpcd"), ("here", "`here` is no HOST:PORT")] {
        let output = Command::new(PROGRAM).args(["card", "--vpcd", reader]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
