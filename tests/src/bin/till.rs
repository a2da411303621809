//! Servers and a terminal for tests in another language: a program starts this one, taps with its own
//! wallet, and never writes a terminal again.
//!
//! Speaks JSON lines. The first line is `{"mpp":…,"control":…,"trust_key":…}`. Then each line on standard
//! input is a tap in the words of a scenario's step (`{"amount":"1.00"}`). The terminal's commands come
//! as `{"apdu":HEX}`, each to be answered by `{"answer":HEX}`, or by `{"answer":null}` where the phone has
//! left the field. What became of the payment is the line `{"payment":{…}}`, with everything that the
//! issuer's ledger holds against the wallet. A line that is no tap gets `{"problem":…}`. It ends with its
//! standard input.

use std::io::{BufRead, Lines, StdinLock, Write};

use anyhow::{Context, Result};
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::pos::LinkLost;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::scenario::TapStep;
use nfcwallet_tests::till;
use serde::Deserialize;
use serde_json::{Value, json};

/// The other side's answer to a command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    answer: Option<String>,
}

fn main() -> Result<()> {
    let issuer = Issuer::under(Authority::shared()?, IssuerConfig::default())?;
    let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer)?;
    let addresses = sandbox.addresses();
    say(&json!({
        "mpp": addresses.mpp.to_string(),
        "control": addresses.control.to_string(),
        "trust_key": hex::encode(sandbox.trust_key()),
    }))?;
    let mut input = std::io::stdin().lock().lines();
    let mut taps = 0;
    while let Some(line) = input.next() {
        taps += 1;
        let told = serde_json::from_str(&line?).map_err(|error| error.to_string());
        let told = told.and_then(|step| tap(&sandbox, &mut input, &step, taps));
        say(&told.unwrap_or_else(|problem| json!({ "problem": problem })))?;
    }
    Ok(())
}

fn tap(sandbox: &Sandbox, input: &mut Lines<StdinLock>, step: &TapStep, number: u32) -> Result<Value, String> {
    let purchase = till::purchase(step, sandbox.service().clock().now_ms(), number)?;
    let mut link = |command: &[u8]| exchange(input, command).map_err(|_| LinkLost);
    let payment = sandbox.checkout().pay(&mut link, &purchase).map_err(|error| error.to_string())?;
    let violations = sandbox.issuer().ledger().violations().map_err(|error| error.to_string())?;
    let violations: Vec<String> = violations.iter().map(|violation| format!("{violation:?}")).collect();
    let mut told = till::told(&payment, None);
    told["violations"] = json!(violations);
    Ok(json!({ "payment": told }))
}

/// One command to the other side. Fails where the phone is gone, or the program behind it.
fn exchange(input: &mut Lines<StdinLock>, command: &[u8]) -> Result<Vec<u8>> {
    say(&json!({ "apdu": hex::encode_upper(command) }))?;
    let line = input.next().context("the input has ended")??;
    let answer: Answer = serde_json::from_str(&line)?;
    Ok(hex::decode(answer.answer.context("the phone has left the field")?)?)
}

fn say(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
