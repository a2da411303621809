//! A phone of this program's own: this executable again, as a child process.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nfcwallet_sandbox::phone::{Call, CallError, Phone, PhoneProgram};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A refilling takes one round trip; one that has not happened by then will not.
const REFILL_PATIENCE: Duration = Duration::from_secs(15);

/// Where a phone keeps its things and whom it talks to.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) directory: PathBuf,
    pub(crate) mpp: SocketAddr,
    pub(crate) trust_key: String,
}

/// Status and page, as the app asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) status: i64,
    pub(crate) page: String,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {} ({}), page {}", self.status, meaning(self.status), self.page)
    }
}

/// The stock of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Stock {
    pub(crate) usable: u32,
    pub(crate) threshold: u32,
    pub(crate) target: u32,
}

impl Holder {
    /// Starts the phone, with further options of `phone`.
    pub(crate) fn start(&self, further: Vec<OsString>) -> Result<Phone> {
        let path = std::env::current_exe().context("this program does not know its own path")?;
        let program = PhoneProgram { path, arguments: vec!["phone".into()] };
        let mut options: Vec<OsString> = vec![
            "--directory".into(),
            self.directory.clone().into(),
            "--mpp".into(),
            self.mpp.to_string().into(),
            "--trust-key".into(),
            self.trust_key.clone().into(),
            // A busy machine must not decline in the app's name; a phone in the field has 100 ms.
            "--tap-deadline-ms".into(),
            "1000".into(),
        ];
        options.extend(further);
        let phone = Phone::start(&program, &options);
        phone.with_context(|| format!("the phone in {} did not start", self.directory.display()))
    }
}

/// A call whose answer has a form of its own.
pub(crate) fn ask<T: DeserializeOwned>(phone: &Phone, call: Call) -> Result<T> {
    let answer = phone.call(call)?;
    let form = |error: serde_json::Error| CallError::Malformed(error.to_string());
    Ok(serde_json::from_value(answer).map_err(form)?)
}

/// Status and page now.
pub(crate) fn status(phone: &Phone) -> Result<Status> {
    ask(phone, Call::Status)
}

/// The stock now.
pub(crate) fn stock(phone: &Phone) -> Result<Stock> {
    ask(phone, Call::Credentials)
}

/// Waits until the wallet has refilled its stock by itself.
pub(crate) fn wait_for_refill(phone: &Phone) -> Result<Stock> {
    let until = Instant::now() + REFILL_PATIENCE;
    loop {
        let stock = stock(phone)?;
        if stock.usable == stock.target {
            return Ok(stock);
        }
        ensure!(
            Instant::now() < until,
            "the wallet did not refill its stock within {} s: {} of {} credentials",
            REFILL_PATIENCE.as_secs(),
            stock.usable,
            stock.target
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a status code means, in few words.
pub(crate) fn meaning(status: i64) -> &'static str {
    match status {
        -3 => "key store unusable",
        -2 => "no user connected",
        -1 => "query failed",
        0 => "no token",
        1 => "no credentials",
        2 => "ready",
        3 => "locked",
        11 => "activating",
        21 => "prepared, awaits confirmation",
        _ => "unknown",
    }
}

/// What a code of a tap means, in few words.
pub(crate) fn tap_meaning(code: u32) -> &'static str {
    match code {
        10_000 => "cryptogram handed out",
        10_002 => "device unsafe",
        10_003 => "the user must prove presence",
        10_006 => "no user connected",
        10_007 => "no credentials",
        10_008 => "token unavailable",
        10_009 => "no token",
        19_001 => "declined by the app",
        19_002 => "field lost",
        19_003 => "the app's permit was late",
        19_004 => "the terminal broke the protocol",
        19_005 => "storage unusable",
        19_006 => "this kind of payment is not allowed",
        19_007 => "another amount than the one authenticated for",
        19_011..=19_014 => "declined by the app, for a reason of its own",
        _ => "unknown",
    }
}

/// A reference in hex, and as text where it is one.
pub(crate) fn reference_in_words(reference: [u8; 8]) -> String {
    let text = std::str::from_utf8(&reference).unwrap_or_default().trim_end_matches('\0');
    let hex = hex::encode_upper(reference);
    let readable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if readable { format!("{hex} ({text})") } else { hex }
}
