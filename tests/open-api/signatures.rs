//! Signatures of drawn messages, as JSON lines for a client that nobody here wrote, and the judgement on
//! that client's own lines. The README beside it says what a line holds.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use alipayplus::signature::{SignatureHeader, SignedContent, SigningKey, VerifyingKey};
use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Keys that sign, and messages that each of them signs.
const KEYS: usize = 4;
const MESSAGES: usize = 75;
/// Characters of the longest body that is drawn.
const LONGEST: u64 = 40_000;

/// Makes and judges signatures.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes drawn messages with our signatures.
    Make {
        /// Repeats the messages of a run, under new keys; random by default.
        #[arg(long)]
        seed: Option<u64>,
        /// The file to write.
        #[arg(long)]
        output: PathBuf,
    },
    /// Verifies the signatures of a file, and refuses those that are said to be wrong.
    Judge {
        /// The file.
        input: PathBuf,
    },
}

/// A message and its signature.
#[derive(Serialize, Deserialize)]
struct Line {
    /// `signed`, or `changed` if the signature is another message's.
    kind: String,
    /// PEM of PKCS#8; ours only.
    #[serde(default)]
    private_key: String,
    /// X.509 SubjectPublicKeyInfo, base64.
    public_key: String,
    path: String,
    client_id: String,
    time: String,
    body: String,
    /// What is signed; ours only.
    #[serde(default)]
    content: String,
    /// The value of `Signature`.
    header: String,
}

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Make { seed, output } => make(seed.map_or_else(drawn_seed, Ok)?, &output),
        Command::Judge { input } => judge(&input),
    }
}

fn make(seed: u64, output: &Path) -> Result<()> {
    println!("seed {seed}");
    std::fs::create_dir_all(output.parent().context("the output is a file in a folder")?)?;
    let mut out = BufWriter::new(File::create(output)?);
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    for _ in 0..KEYS {
        let key = SigningKey::generate()?;
        for _ in 0..MESSAGES {
            writeln!(out, "{}", serde_json::to_string(&signed(&key, &mut rng)?)?)?;
        }
    }
    // The last line: without it the file was cut.
    writeln!(out, "{}", json!({ "kind": "end", "seed": seed, "lines": KEYS * MESSAGES }))?;
    out.flush()?;
    println!("{} messages in {}", KEYS * MESSAGES, output.display());
    Ok(())
}

fn signed(key: &SigningKey, rng: &mut ChaCha20Rng) -> Result<Line> {
    let (path, client_id, time, body) = (path(rng), client_id(rng), time(rng), body(rng));
    let content = SignedContent { uri: &path, client_id: &client_id, time: &time, body: body.as_bytes() };
    let version = 1 + u32::try_from(below(rng, 3))?;
    let header = SignatureHeader::new(version, key.sign(&content)?).to_string();
    let public_key = key.verifying_key().to_pem().lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(Line {
        kind: "signed".to_owned(),
        private_key: key.to_pkcs8_pem()?.to_string(),
        public_key,
        content: String::from_utf8(content.to_bytes())?,
        path,
        client_id,
        time,
        body,
        header,
    })
}

/// With a query now and then, and with what a URL must escape.
fn path(rng: &mut ChaCha20Rng) -> String {
    const NAMES: [&str; 6] = ["pay", "inquiryPayment", "refund", "sdkProxy", "%E2%82%AC%20x", "a.b~c_d-e+f"];
    const QUERIES: [&str; 5] = ["", "", "?a=1&b=2", "?x=%2B%3D+%26", "?"];
    let version = 1 + below(rng, 9);
    format!("/aps/api/v{version}/payments/{}{}", pick(rng, &NAMES), pick(rng, &QUERIES))
}

fn client_id(rng: &mut ChaCha20Rng) -> String {
    let length = 1 + below(rng, 50);
    let letters: String = (0..length).map(|_| char::from(*pick(rng, b"ABCXYZabcxyz0189_-"))).collect();
    format!("SANDBOX_{letters}")
}

/// In each of the forms that are in use.
fn time(rng: &mut ChaCha20Rng) -> String {
    let (hour, minute, second) = (below(rng, 24), below(rng, 60), below(rng, 60));
    let moment = format!("2025-02-20T{hour:02}:{minute:02}:{second:02}");
    match below(rng, 4) {
        0 => format!("{moment}Z"),
        1 => format!("{moment}.{:02}Z", below(rng, 100)),
        2 => format!("{moment}+05:30"),
        _ => (1_740_041_509_090 + below(rng, 1_000_000)).to_string(),
    }
}

/// JSON in several layouts, or any text: a signature is over bytes, whatever they mean.
fn body(rng: &mut ChaCha20Rng) -> String {
    let value = json!({
        "paymentRequestId": text(rng, 64),
        "order": { "orderDescription": text(rng, 256), "orderAmount": { "currency": "JPY", "value": "100" } },
        "passThroughInfo": text(rng, 300),
    });
    match below(rng, 8) {
        0 => String::new(),
        1 => "{}".to_owned(),
        2 => text(rng, 2_000),
        3 => text(rng, LONGEST),
        4 => format!("{value:#}\r\n"),
        5 => format!("\u{feff} {value} "),
        _ => value.to_string(),
    }
}

/// Characters of every length in UTF-8, also those that JSON, URLs and the signed text itself give a meaning.
fn text(rng: &mut ChaCha20Rng, most: u64) -> String {
    const SPECIAL: &[u8] = b".\n\r\t\"\\/+%=&?#{}[]: \0\x7f";
    let length = below(rng, most);
    let mut character = || match below(rng, 6) {
        0 => char::from(*pick(rng, SPECIAL)),
        1 => char::from_u32(0x80 + rng.next_u32() % 0x780).unwrap_or('é'),
        2 => char::from_u32(0x800 + rng.next_u32() % 0xF800).unwrap_or('中'),
        3 => char::from_u32(0x1_0000 + rng.next_u32() % 0x10_0000).unwrap_or('💶'),
        _ => char::from(b' ' + u8::try_from(rng.next_u32() % 95).unwrap_or(0)),
    };
    (0..length).map(|_| character()).collect()
}

fn judge(input: &Path) -> Result<()> {
    let (mut verified, mut refused) = (0, 0);
    for line in BufReader::new(File::open(input)?).lines() {
        let line = line?;
        let Ok(signed) = serde_json::from_str::<Line>(&line) else {
            let end: serde_json::Value = serde_json::from_str(&line)?;
            ensure!(end["kind"] == "end" && end["lines"] == verified + refused, "the file is cut: {end}");
            println!("judged: {verified} verified and {refused} refused");
            return Ok(());
        };
        let is_right = verify(&signed)?;
        ensure!(is_right == (signed.kind == "signed"), "verified: {is_right}, but it was {}: {line}", signed.kind);
        if is_right { verified += 1 } else { refused += 1 }
    }
    anyhow::bail!("the file is cut: it has no last line")
}

fn verify(line: &Line) -> Result<bool> {
    let header = SignatureHeader::parse(line.header.as_bytes())?;
    let Line { path: uri, client_id, time, body, .. } = line;
    let content = SignedContent { uri, client_id, time, body: body.as_bytes() };
    Ok(VerifyingKey::from_text(&line.public_key)?.verify(&content, header.signature()).is_ok())
}

fn drawn_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_nanos() & u128::from(u32::MAX))?)
}

/// From 0 to below `limit`.
fn below(rng: &mut ChaCha20Rng, limit: u64) -> u64 {
    rng.next_u64() % limit.max(1)
}

fn pick<'a, T>(rng: &mut ChaCha20Rng, among: &'a [T]) -> &'a T {
    let place = usize::try_from(below(rng, among.len() as u64)).unwrap_or(0);
    among.get(place).unwrap_or(&among[0])
}
