//! Lines that are no good requests: what every phone says to them, whatever language it is written in
//! (`docs/phone-protocol.md`, "Calls").

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nfcwallet_sandbox::phone::PhoneProgram;
use serde_json::{Value, json};

/// A trust key that nobody has the other half of: the curve's own generator (SEC 2, 2.4.2).
const NOBODYS_KEY: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// Each has an id, and something else that is wrong with it.
const NOT_UNDERSTOOD: [&str; 23] = [
    r#"{}"#,
    r#"{"call":"foo"}"#,
    r#"{"call":7}"#,
    r#"{"call":null}"#,
    r#"{"call":"connect"}"#,
    r#"{"call":"connect","user":7}"#,
    r#"{"call":"activate","silent":"yes"}"#,
    r#"{"call":"apdu"}"#,
    r#"{"call":"apdu","hex":7}"#,
    r#"{"call":"apdu","hex":"0"}"#,
    r#"{"call":"apdu","hex":"zz"}"#,
    r#"{"call":"reference"}"#,
    r#"{"call":"reference","hex":"xyz"}"#,
    r#"{"call":"transactions"}"#,
    r#"{"call":"transactions","limit":"all"}"#,
    r#"{"call":"transactions","limit":-1}"#,
    r#"{"call":"host","nfc_on":7}"#,
    r#"{"call":"host","key_store":"sideways"}"#,
    r#"{"call":"hold"}"#,
    r#"{"call":"hold","request_type":"APPLY","nth":1,"when":"sometimes"}"#,
    r#"{"call":"hold","request_type":"APPLY","nth":"first","when":"after"}"#,
    r#"{"call":"clock","advance_ms":"long"}"#,
    r#"{"call":"clock","advance_ms":1}"#,
];

/// Without an id to answer under.
const NO_REQUEST: [&[u8]; 11] = [
    b"nonsense",
    b"",
    b"[]",
    b"7",
    br#""text""#,
    br#"{"call":"status"}"#,
    br#"{"id":"3","call":"status"}"#,
    br#"{"id":-3,"call":"status"}"#,
    br#"{"id":true,"call":"status"}"#,
    br#"{"id":1,"call":"status""#,
    b"{\"id\":1,\"call\":\"connect\",\"user\":\"\xFF\"}",
];

/// Each bad line is told, and none of them keeps the phone from the next one.
///
/// # Errors
/// What the phone said instead.
pub fn every_line_is_answered(program: &PhoneProgram) -> Result<(), String> {
    let requests = NOT_UNDERSTOOD.iter().enumerate().map(|(id, request)| with_id(id, request));
    let mut lines: Vec<Vec<u8>> = requests.collect::<Result<_, _>>()?;
    lines.extend(NO_REQUEST.iter().map(|line| line.to_vec()));
    // Deeper than any parser that calls itself stands.
    lines.push(b"[".repeat(100_000));
    lines.push(br#"{"id":1000,"call":"status"}"#.to_vec());
    let told = tell(program, NOBODYS_KEY, &lines.join(&b'\n'))?;
    expect(told.status.code() == Some(0), "the phone did not end well", &told)?;
    let said = read(&told)?;
    for (id, request) in NOT_UNDERSTOOD.iter().enumerate() {
        let answers = said.iter().filter(|line| line["id"] == json!(id)).collect::<Vec<_>>();
        let refused = matches!(answers[..], [line] if line["error"]["code"] == 10_011 && !is_blank(&line["error"]["text"])
            && line["error"]["advice"] == "ReportBug");
        expect(refused, &format!("to {request} under the id {id} it said {answers:?}"), &told)?;
    }
    let events = said.iter().filter(|line| line["event"] == "not_understood").collect::<Vec<_>>();
    let wanted = NO_REQUEST.len() + 1;
    expect(events.len() == wanted, &format!("{} lines were not understood, not {wanted}", events.len()), &told)?;
    expect(events.iter().all(|event| !is_blank(&event["reason"])), "an event has no reason", &told)?;
    let last = said.iter().find(|line| line["id"] == 1_000);
    expect(last.is_some_and(|line| line["ok"]["status"] == -2), "it did not go on to the last line", &told)
}

/// A wallet that does not open is told in one line, and shows in the exit code.
///
/// # Errors
/// What the phone did instead.
pub fn a_wallet_that_does_not_open_is_told_in_one_line(program: &PhoneProgram) -> Result<(), String> {
    let told = tell(program, "00", b"")?;
    let said = read(&told)?;
    let is_told = matches!(&said[..], [line] if line["event"] == "not_opened" && line["error"]["code"] == 10_011);
    expect(is_told, "its only line should be `not_opened` with 10011", &told)?;
    expect(told.status.code() == Some(1), "it should end with exit code 1", &told)
}

fn with_id(id: usize, request: &str) -> Result<Vec<u8>, String> {
    let mut line: Value = serde_json::from_str(request).map_err(|error| error.to_string())?;
    line["id"] = json!(id);
    Ok(line.to_string().into_bytes())
}

/// Nobody listens at its server's address: such a phone is offline.
fn tell(program: &PhoneProgram, trust_key: &str, lines: &[u8]) -> Result<Output, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let run = |directory: &Path| {
        let mut phone = Command::new(&program.path)
            .args(&program.arguments)
            .args(["--mpp", "127.0.0.1:9", "--trust-key", trust_key, "--directory"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = phone.stdin.take() {
            // A phone that did not open no longer listens.
            drop(input.write_all(lines));
        }
        phone.wait_with_output()
    };
    run(folder.path()).map_err(|error| error.to_string())
}

fn read(told: &Output) -> Result<Vec<Value>, String> {
    let lines = String::from_utf8_lossy(&told.stdout);
    lines.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))).collect()
}

fn is_blank(text: &Value) -> bool {
    text.as_str().is_none_or(str::is_empty)
}

fn expect(holds: bool, problem: &str, told: &Output) -> Result<(), String> {
    let (said, wrote) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    if holds { Ok(()) } else { Err(format!("{problem}; {}\n{said}\n{wrote}", told.status)) }
}
