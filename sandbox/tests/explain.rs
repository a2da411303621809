//! A wallet's real tap in words, and the program that tells them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use nfcwallet_core::activation::{ActivationMode, ActivationProgress};
use nfcwallet_core::host::{ActivationListener, Delivered, HostError};
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::explain::render::{self, Style};
use nfcwallet_sandbox::explain::{self, Explanation, FoundKeys, Options, Tone, input};
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::pos::{Exchange, Purchase, pretty};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfcwallet-sandbox");

/// What a terminal recorded of an approved tap and of one that wants its user, and whom it trusts.
struct Taps {
    approved: Vec<Exchange>,
    see_phone: Vec<Exchange>,
    ca_keys: Vec<CaPublicKey>,
}

struct Silent;

impl ActivationListener for Silent {
    fn on_progress(&self, _: ActivationProgress) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}

/// One wallet for all tests.
fn taps() -> &'static Taps {
    static TAPS: OnceLock<Taps> = OnceLock::new();
    TAPS.get_or_init(|| {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let runtime = sandbox.runtime().clone();
        let folder = tempfile::tempdir().unwrap();
        let proxy = Arc::new(sandbox.proxy("alice").unwrap());
        let phone = SimPhone::new(&folder.path().join("hardware"), proxy, runtime.clone()).unwrap();
        let config = WalletConfig::new(folder.path().join("wallet"), "mpp", sandbox.trust_key());
        let wallet = Wallet::init(config, phone.host()).unwrap();
        runtime.block_on(wallet.connect("alice")).unwrap();
        runtime.block_on(wallet.activate(ActivationMode::Manual, Arc::new(Silent))).unwrap();
        wallet.set_transaction_reference(b"ORDER-01").unwrap();
        let tap = |minor| {
            let purchase = Purchase::new(minor, 978, sandbox.service().clock().now_ms(), [0xCA, 0xFE, 0x00, 0x01]);
            sandbox.checkout().pay(&mut |apdu| Ok(wallet.process_apdu(apdu)), &purchase).unwrap()
        };
        let (approved, see_phone) = (tap(12_50), tap(80_00));
        assert!(approved.outcome.is_approved());
        let ca_keys = vec![sandbox.issuer().ca_public_key()];
        Taps { approved: approved.trace, see_phone: see_phone.trace, ca_keys }
    })
}

fn told(trace: &[Exchange], ca_keys: &[CaPublicKey]) -> (Explanation, String) {
    let options = Options { ca_keys: ca_keys.to_vec(), ..Options::default() };
    let explanation = explain::explain(&input::trace(trace), &options);
    let text = render::text(&explanation, Style::default());
    (explanation, text)
}

/// Every line is there, in this order; columns may grow.
fn assert_lines(text: &str, expected: &[&str]) {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    for line in expected {
        assert!(lines.any(|told| told == *line), "`{line}` is missing, or not in its place:\n{text}");
    }
}

#[test]
fn a_tap_of_our_wallet_is_told_from_the_directory_to_the_signature() {
    let taps = taps();
    let (explanation, text) = told(&taps.approved, &taps.ca_keys);
    for tone in [Tone::Unknown, Tone::Malformed, Tone::Bad, Tone::Warning] {
        assert!(!explanation.has(tone), "{tone:?}: {text}");
    }
    assert_lines(
        &text,
        &[
            "> SELECT PPSE 20 bytes",
            "4F Application Identifier (ADF Name) A0000000041010 Mastercard credit or debit",
            "> SELECT A0000000041010 13 bytes",
            "9F1D Terminal Risk Management Data 8 bytes",
            "device type 3134 \"14\": phone, application in the host processor (HCE)",
            "> GET PROCESSING OPTIONS 19 bytes",
            "data 11 bytes, as the PDOL asks",
            "B1b3 04 contactless: on-device CVM (CDCVM)",
            "9F35 Terminal Type 21 merchant, attended, online only",
            "B1b2 02 on-device cardholder verification (CDCVM) supported",
            "records 10010301 SFI 2, records 1 to 3, record 1 signed",
            "> READ RECORD 2.1 5 bytes",
            "8C Card Risk Management Data Object List 1 (CDOL1) asks for 13 objects, 45 bytes",
            "> GENERATE AC ARQC + CDA 51 bytes",
            "9F02 Amount, Authorised (Numeric) 000000001250 12.50 EUR",
            "9F37 Unpredictable Number CAFE0001",
            "9F34 Cardholder Verification Method (CVM) Results 3F0002 no CVM performed",
            "9F15 Merchant Category Code 5411 supermarkets",
            "9F27 Cryptogram Information Data (CID) 80 ARQC: online authorisation asked for",
            "9F36 Application Transaction Counter (ATC) 0001 1",
            "cryptogram version number (CVN) 14 CVN 20: EMV common session key (counter alone)",
            "B2b7 40 CDA returned in the first GENERATE AC",
            "B4b2 02 domestic transaction",
            "second half of the counters, or the app's transaction reference 4F524445522D3031 \"ORDER-01\"",
            "+ certificates and signature",
            "check hash OK",
            "certified number is the card's number (5A)",
            "check hash OK",
            "= the tap",
            "application A0000000041010 Mastercard credit or debit",
            "amount 12.50 EUR, purchase",
            "cardholder no CVM performed",
            "outcome ARQC: online authorisation asked for",
            "signature (CDA) verified",
            "over the air 1019 bytes in 7 exchanges: 118 out, 901 in",
        ],
    );
    assert_eq!(text.matches("hash OK").count(), 3, "{text}");
}

#[test]
fn a_tap_that_wants_its_user_says_see_phone() {
    let taps = taps();
    let (explanation, text) = told(&taps.see_phone, &taps.ca_keys);
    assert_lines(
        &text,
        &[
            "B2b8 80 CVM limit exceeded",
            "DF4B POS Cardholder Interaction Information 000100",
            "B2b1 01 CDCVM required on the phone",
            "outcome see phone, then tap again (AAC: declined)",
            "signature (CDA) not checked: an AAC is not signed",
        ],
    );
    assert_eq!(explanation.taps[0].cda_verified, None);
}

#[test]
fn no_line_holds_the_cards_number() {
    let taps = taps();
    let pan = |text: &str| {
        let record = taps.approved.iter().find(|exchange| exchange.name == "READ RECORD 2.1").unwrap();
        let record = hex::encode_upper(&record.response);
        let place = record.find("5A08").unwrap() + 4;
        text.contains(&record[place..place + 16])
    };
    let hidden = told(&taps.approved, &taps.ca_keys);
    assert!(!pan(&hidden.1) && !pan(&serde_json::to_string(&hidden.0).unwrap()));
    let options = Options { show_pan: true, ca_keys: taps.ca_keys.clone(), ..Options::default() };
    let shown = explain::explain(&input::trace(&taps.approved), &options);
    assert!(pan(&render::text(&shown, Style::default())));
}

#[test]
fn a_changed_answer_is_told_as_wrong() {
    let taps = taps();
    let mut trace = taps.approved.clone();
    // The last byte of the reference in 9F10, before the status word.
    let answer = &mut trace.last_mut().unwrap().response;
    let place = answer.len() - 3;
    answer[place] ^= 1;
    let (explanation, text) = told(&trace, &taps.ca_keys);
    assert_eq!(explanation.taps[0].cda_verified, Some(false));
    assert!(text.contains("hash not OK: signed dynamic data: the hash is over other data"), "{text}");
    assert!(!explanation.is_malformed());
}

#[test]
fn every_exchange_of_a_run_is_annotated() {
    let taps = taps();
    let options = Options { ca_keys: taps.ca_keys.clone(), ..Options::default() };
    let annotated = explain::annotate(&taps.approved, &options);
    let names: Vec<_> = annotated.exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(names, taps.approved.iter().map(|exchange| exchange.name.as_str()).collect::<Vec<_>>());
    for exchange in &annotated.exchanges {
        assert!(exchange.command.first().is_some_and(|line| line.starts_with("CLA")), "{exchange:?}");
        assert!(exchange.response.last().is_some_and(|line| line.ends_with("9000  done")), "{exchange:?}");
        assert!(exchange.command.iter().chain(&exchange.response).all(|line| !line.contains('\u{1b}')));
    }
    assert!(annotated.conclusion.iter().any(|line| line.ends_with("verified")), "{:?}", annotated.conclusion);
}

fn program(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("explain").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn with_stdin(arguments: &[&str], text: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    let mut process = command
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The handle goes out of scope, which ends the input.
    process.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    process.wait_with_output().unwrap()
}

/// What it said, if it ended with `code`.
fn ended(output: &Output, code: i32) -> (String, String) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, errors) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{}\n{told}{errors}", output.status);
    (told, errors)
}

/// A folder with the trace as `tap --verbose` prints it, and the key.
fn folder() -> tempfile::TempDir {
    let taps = taps();
    let folder = tempfile::tempdir().unwrap();
    let story = format!("status 2 (ready)\n{:#}12.50 EUR: approved\n", pretty(&taps.approved));
    std::fs::write(folder.path().join("tap.txt"), story.replace("> ", "    > ")).unwrap();
    std::fs::write(folder.path().join("ca.json"), serde_json::to_vec(&taps.ca_keys).unwrap()).unwrap();
    folder
}

#[test]
fn hex_files_and_pipes_are_explained() {
    let (told, _) = ended(&program(&["9F:36:02", "0x00 07"]), 0);
    assert!(told.contains("Application Transaction Counter (ATC)  0007  7"), "{told}");
    assert!(!told.contains('\u{1b}'), "{told}");
    let (coloured, _) = ended(&program(&["--color", "always", "9F36020007"]), 0);
    assert!(coloured.contains("\u{1b}[36m9F36"), "{coloured:?}");

    let folder = folder();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (told, _) = ended(&program(&["--file", &file("tap.txt"), "--ca-key", &file("ca.json")]), 0);
    assert!(told.contains("signature (CDA)  verified"), "{told}");
    assert!(told.contains("note: 2 lines are not hex and passed over, the first is line 1"), "{told}");
    let text = std::fs::read_to_string(file("tap.txt")).unwrap();
    for arguments in [&[][..], &["--file", "-"]] {
        let (piped, _) = ended(&with_stdin(arguments, &text), 0);
        assert!(piped.contains("outcome          ARQC"), "{piped}");
    }
    let json = ended(&program(&["--json", "--file", &file("tap.txt"), "--ca-key", &file("ca.json")]), 0).0;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["taps"][0]["cda_verified"], &json["taps"][0]["exchanges"]), (&true.into(), &7.into()));
}

/// As another sandbox has it: another key under the same RID and index.
fn anothers(keys: &[CaPublicKey]) -> Vec<CaPublicKey> {
    let another = |key: &CaPublicKey| {
        let mut key = key.clone();
        key.modulus[5] ^= 1;
        key
    };
    keys.iter().map(another).collect()
}

#[test]
fn a_key_that_was_found_is_named_and_its_failure_is_no_wrong_signature() {
    let taps = taps();
    let folder = folder();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let serves = |keys: &[CaPublicKey]| {
        let served = serde_json::json!({ "ca_keys": keys, "pid": 1 });
        std::fs::write(file("serve.json"), serde_json::to_vec(&served).unwrap()).unwrap();
    };
    let data = folder.path().to_str().unwrap();
    serves(&taps.ca_keys);
    let (told, _) = ended(&program(&["--file", &file("tap.txt"), "--data", data]), 0);
    let origin = format!("A000000004 EE, found in {}", file("serve.json"));
    assert!(told.contains("signature (CDA)  verified") && told.contains(&origin), "{told}");

    let others = anothers(&taps.ca_keys);
    serves(&others);
    let (told, _) = ended(&program(&["--file", &file("tap.txt"), "--data", data]), 0);
    let reason = format!(
        "signature (CDA)  not checked: the key EE found in {} is another one; give the right one with --ca-key",
        file("serve.json")
    );
    assert!(told.contains(&reason) && !told.contains("WRONG"), "{told}");
    // A key that was given is meant.
    std::fs::write(file("other.json"), serde_json::to_vec(&others).unwrap()).unwrap();
    let (told, _) = ended(&program(&["--file", &file("tap.txt"), "--ca-key", &file("other.json")]), 0);
    assert!(told.contains("signature (CDA)  WRONG: issuer certificate: does not open under the key"), "{told}");
}

#[test]
fn a_key_that_was_given_goes_before_one_that_was_found() {
    let taps = taps();
    let found_keys = Some(FoundKeys { keys: anothers(&taps.ca_keys), place: "near by".to_owned() });
    let options = Options { ca_keys: taps.ca_keys.clone(), found_keys, ..Options::default() };
    let explanation = explain::explain(&input::trace(&taps.approved), &options);
    assert_eq!(explanation.taps[0].cda_verified, Some(true));
}

#[test]
fn the_exit_code_tells_malformed_from_wrong_usage() {
    let (told, _) = ended(&program(&["70055A085413339F36020001"]), 1);
    assert!(told.contains("byte 2: 5A") && told.contains("9F36  Application Transaction Counter"), "{told}");
    let (told, _) = ended(&program(&["9F360200070"]), 1);
    assert!(told.contains("byte 5: half a byte at the end"), "{told}");
    ended(&program(&["12345678"]), 1);
    // One rule for every form: what cannot be read as what it is said to be.
    for (arguments, words) in [
        (&["--as", "afl", "100103"][..], "cut short: 3 of 4 bytes"),
        (&["--as", "tvr", "0102"], "(2 bytes, expected 5)"),
        (&["--as", "aip", "1B8"], "half a byte at the end"),
        (&["--as", "cvr", "A0"], "1 byte, expected 6"),
        (&["9F02061234567890AB"], "not decimal digits"),
        (&["9A03261340"], "no date"),
    ] {
        let (told, _) = ended(&program(arguments), 1);
        assert!(told.contains(words), "{told}");
    }
    let (told, _) = ended(&with_stdin(&["-"], "hello\n9F360200070\n9F36020008\n"), 1);
    for words in [
        "byte 5: half a byte at the end of line 2",
        "0008  8",
        "1 line is not hex and passed over, the first is line 1",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    for (arguments, words) in [
        (&["hello"][..], "`hello` is not hex"),
        (&["--file", "no-such-file"], "no-such-file cannot be read"),
        (&["--file", "Cargo.toml"], "Cargo.toml: there is no hex in it: "),
        (&["--ca-key", "Cargo.toml", "6A82"], "Cargo.toml is no JSON"),
        (&[], "standard input: there is nothing in it; give hex as an argument, by --file, or on standard input"),
        (&["--as", "nonsense", "00"], "no form and no tag"),
        (&["--tag", "DF7F"], "the dictionary has no tag DF7F"),
        (&["--tag", "9FFF"], "`9FFF` is unfinished"),
        (&["--ca-key", "no-such-file", "6A82"], "no-such-file cannot be read: No such file"),
    ] {
        let (told, says) = ended(&program(arguments), 2);
        assert!(says.contains(words) && told.is_empty(), "{says}");
    }
}

#[test]
fn the_dictionary_is_listed_and_looked_up() {
    let (told, _) = ended(&program(&["--tags"]), 0);
    assert!(told.lines().count() > 200, "{told}");
    let (told, _) = ended(&program(&["--tag", "9f1d"]), 0);
    assert!(told.contains("Terminal Risk Management Data") && told.contains("CVM limit exceeded"), "{told}");
    let (help, _) = ended(&program(&["--help"]), 0);
    assert!(help.replace(['\n', ' '], "").contains(&explain::Form::words().replace(' ', "")), "{help}");
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}

/// The commands of a page, each with the lines that it is shown to print.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for line in block.lines() {
            match (line.strip_prefix("$ "), examples.last_mut()) {
                (Some(command), _) => examples.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => {
                    output.push_str(line);
                    output.push('\n');
                }
                (None, None) => panic!("output before a command: {line}"),
            }
        }
    }
    examples
}

#[test]
fn every_example_of_the_page_prints_what_it_shows() {
    let docs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = std::fs::read_to_string(docs.join("explain.md")).unwrap();
    let programs = Path::new(PROGRAM).parent().unwrap();
    let path = std::env::join_paths([programs.to_owned(), "/usr/bin".into(), "/bin".into()]).unwrap();
    let examples = examples(&page);
    assert!(examples.len() > 10, "{}", examples.len());
    for (command, expected) in examples {
        let output = Command::new("sh").args(["-c", &command]).current_dir(&docs).env("PATH", &path).output().unwrap();
        let (told, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert_eq!(told, expected, "{command}: {errors}");
    }
}
