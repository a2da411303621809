//! `profile`: what a wallet says of a card profile (docs/profile.md), without wallet or servers.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::{Application, Profile};
use nfcwallet_sandbox::issuer::{Authority, CardShape, Issuer, IssuerConfig, Personalisation};

use super::screen;

/// Under `profile --help`.
const EXAMPLE: &str = "Example:\n  nfcwallet-sandbox profile --example > card.json\n  nfcwallet-sandbox profile card.json\n\n\
Exit code 1 means that a wallet would refuse the profile. docs/profile.md has each field and its rules.";

/// Options of `profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ProfileOptions {
    /// The profile as JSON; - for standard input
    #[arg(required_unless_present = "example", conflicts_with = "example")]
    file: Option<PathBuf>,
    /// Print a profile that is accepted, with keys and a number of this sandbox's issuer, made anew
    #[arg(long)]
    example: bool,
    /// What card the example is
    #[arg(long, requires = "example", value_enum, value_name = "SHAPE", default_value = "phone")]
    card: CardShape,
}

pub(crate) fn run(options: &ProfileOptions) -> Result<ExitCode> {
    let Some(file) = &options.file else {
        screen::report(&example(options.card)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since: Duration| since.as_millis());
    let (verdict, code) = match admit(&read(file)?, i64::try_from(now).unwrap_or(i64::MAX)) {
        Ok(applications) => (format!("accepted: {}", applications.join(", ")), ExitCode::SUCCESS),
        Err(refusal) => (format!("refused: {refusal}"), ExitCode::FAILURE),
    };
    screen::print(&format!("{verdict}\n"))?;
    Ok(code)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("standard input cannot be read")?;
    Ok(text)
}

/// The applications that the card has, or why it is none.
fn admit(text: &[u8], now_ms: i64) -> Result<Vec<String>, String> {
    let profile: Profile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Card::admit(&profile, now_ms).map_err(|error| error.to_string())?;
    let name = |application: &Application| format!("{} ({})", hex::encode_upper(&application.aid), application.label);
    Ok(profile.applications.iter().map(name).collect())
}

fn example(shape: CardShape) -> Result<Profile> {
    let issuer = Issuer::under(Authority::shared()?, IssuerConfig::default())?;
    let personalisation = Personalisation { shape, ..Personalisation::default() };
    Ok(issuer.personalise_as("example", "example", &personalisation)?)
}
