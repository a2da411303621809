//! Random taps on our card, as JSON lines for a program that nobody here wrote.
//!
//! The card is the wallet core's card application with the issuer's single-use keys; this program is
//! the terminal and draws everything that a terminal may send. `check.py` beside it computes each
//! cryptogram anew from the issuer's master key. The README says what a line holds.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod checksum;
mod link;
mod tap;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::token_service::operations::WireCredential;
use nfcwallet_sandbox::issuer::{
    AuthorisationRequest, Authority, CardAuthentication, CardShape, Issuer, IssuerConfig, KeySizes, Numbering, Pan,
    Personalisation,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use checksum::MagStripeCard;
use tap::{Made, Plan, Terminal};

/// Lengths of card numbers; above 16 digits the keys derive by option B.
const DIGITS: std::ops::RangeInclusive<u8> = 13..=19;
/// Transactions of each card.
const TRANSACTIONS: usize = 30;
/// Mag-stripe records of each card, and checksums of each record.
const RECORDS: usize = 6;
const CHECKSUMS: usize = 5;
/// The issuer's clock, and when its credentials end.
const NOW_MS: i64 = 1_780_000_000_000;
const LATER_MS: i64 = NOW_MS + 86_400_000;

/// Writes random taps on our card as JSON lines.
#[derive(Parser)]
struct Options {
    /// Repeats a run; random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// The file to write.
    #[arg(long)]
    output: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() & u128::from(u64::MAX))?,
    };
    println!("seed {seed}");
    let folder = options.output.parent().context("the output is a file in a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut out = BufWriter::new(File::create(&options.output)?);
    let lines = write_all(seed, &mut out)?;
    // The last line: without it the file was cut.
    writeln!(out, "{}", json!({ "kind": "end", "seed": seed, "lines": lines }))?;
    out.flush()?;
    println!("{lines} taps in {}", options.output.display());
    Ok(())
}

fn write_all(seed: u64, out: &mut impl Write) -> Result<usize> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let authority = Arc::new(Authority::from_seed(bytes(&mut rng), KeySizes::default())?);
    let mut lines = 0;
    for digits in DIGITS {
        // A card without EMV mode makes no cryptograms; one with tracks of its own gets no drawn ones.
        let drawable = |shape: &CardShape| shape.offers_emv_mode() && *shape != CardShape::MagStripe;
        for shape in CardShape::ALL.into_iter().filter(drawable) {
            let cardholder = Cardholder::draw(&authority, digits, shape, &mut rng)?;
            for line in cardholder.lines(&mut rng)? {
                writeln!(out, "{line}")?;
                lines += 1;
            }
        }
    }
    Ok(lines)
}

/// One card of an issuer of its own.
struct Cardholder {
    issuer: Issuer,
    sequence: u8,
    shape: CardShape,
    profile: Profile,
    card: Arc<Card>,
}

const TOKEN: &str = "token";

impl Cardholder {
    fn draw(authority: &Arc<Authority>, digits: u8, shape: CardShape, rng: &mut ChaCha20Rng) -> Result<Self> {
        let sequence = u8::try_from(below(rng, 100))?;
        let config = IssuerConfig {
            seed: Some(bytes(rng)),
            personalisation: Personalisation { shape, ..Personalisation::default() },
            numbering: Numbering { digits, sequence },
            ..IssuerConfig::default()
        };
        let issuer = Issuer::under(Arc::clone(authority), config)?;
        let profile = issuer.personalise(TOKEN, "user")?;
        let card = Arc::new(Card::compile(&profile)?);
        Ok(Self { issuer, sequence, shape, profile, card })
    }

    /// EMV mode and mag-stripe mode. No counter is used twice.
    fn lines(&self, rng: &mut ChaCha20Rng) -> Result<Vec<Value>> {
        let mut counters = BTreeSet::new();
        while counters.len() < TRANSACTIONS + RECORDS * CHECKSUMS {
            counters.insert(u16::try_from(1 + below(rng, 65_535))?);
        }
        let mut credentials = counters
            .into_iter()
            .map(|atc| self.issuer.credentials(TOKEN, atc, 1, LATER_MS)?.pop().context("one was asked for"));
        let mut lines = Vec::new();
        for credential in credentials.by_ref().take(TRANSACTIONS) {
            lines.push(self.transaction(credential?, rng)?);
        }
        let pan = self.pan()?;
        for _ in 0..RECORDS {
            let card = MagStripeCard::draw(&self.profile, &pan, self.sequence, rng)?;
            for credential in credentials.by_ref().take(CHECKSUMS) {
                let mut line = card.tap(credential?, rng)?;
                line["pan"] = pan.expose().into();
                line["pan_sequence"] = format!("{:02}", self.sequence).into();
                lines.push(line);
            }
        }
        Ok(lines)
    }

    fn pan(&self) -> Result<Pan> {
        let token = self.issuer.ledger().token(TOKEN)?.context("the token was just personalised")?;
        Ok(token.pan)
    }

    fn transaction(&self, credential: WireCredential, rng: &mut ChaCha20Rng) -> Result<Value> {
        let key = hex::encode_upper(credential.session_key.expose());
        let plan = Plan::draw(rng);
        let terminal = Terminal::draw(&self.profile, rng)?;
        let made = terminal.tap(&self.card, credential, plan, rng)?;
        let request = self.request(&terminal, &made)?;
        // One of eight arrives too late, for the issuer's other response code.
        let now_ms = if below(rng, 8) == 0 { LATER_MS } else { NOW_MS };
        let answer = self.issuer.authorise(&request, now_ms)?;
        // Our own issuer first; then somebody else's.
        ensure!(answer.cryptogram_verified == made.is_request(), "our issuer disagrees: {answer:?}");
        Ok(json!({
            "kind": "transaction",
            "shape": format!("{:?}", self.shape),
            "issuer_master_key": hex::encode_upper(self.issuer.issuer_master_key().expose()),
            "pan": request.pan.expose(),
            "pan_sequence": format!("{:02}", self.sequence),
            "session_key": key,
            "input": made.input(&terminal),
            "cid": hex::encode_upper([made.cid]),
            "signed": made.signed,
            "cryptogram": hex::encode_upper(made.cryptogram),
            "iad": hex::encode_upper(&made.iad),
            "response_code": answer.response_cryptogram.map(|_| hex::encode_upper(response_code(answer.is_approved()))),
            "response_cryptogram": answer.response_cryptogram.map(hex::encode_upper),
        }))
    }

    fn request(&self, terminal: &Terminal, made: &Made) -> Result<AuthorisationRequest> {
        Ok(AuthorisationRequest {
            pan: self.pan()?,
            pan_sequence: self.sequence,
            amount: terminal.array(0x9F02)?,
            other_amount: terminal.array(0x9F03)?,
            terminal_country: terminal.array(0x9F1A)?,
            terminal_verification_results: terminal.array(0x95)?,
            currency: terminal.array(0x5F2A)?,
            date: terminal.array(0x9A)?,
            kind: u8::from_be_bytes(terminal.array(0x9C)?),
            unpredictable_number: terminal.array(0x9F37)?,
            aip: made.aip,
            atc: made.atc,
            cid: made.cid,
            cryptogram: made.cryptogram,
            issuer_application_data: made.iad.clone(),
            cvm_results: [0x1F, 0x03, 0x02],
            card_authentication: if made.signed {
                CardAuthentication::Verified
            } else {
                CardAuthentication::NotPerformed
            },
            merchant_category: 5411,
            merchant_name: "Shop".to_owned(),
        })
    }
}

/// The issuer's code for "approved" and for "do not honour".
fn response_code(approved: bool) -> [u8; 2] {
    if approved { *b"00" } else { *b"05" }
}

/// 0 to `limit` - 1.
fn below(rng: &mut ChaCha20Rng, limit: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap_or(0) % limit.max(1)
}

fn bytes<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
