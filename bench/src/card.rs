//! APDUs and whole taps, as a terminal sends them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nfcwallet_core::Wallet;
use nfcwallet_core::card::profile::Profile;

use crate::Samples;
use crate::phone::Phone;

/// The slowest speed of the radio (ISO 14443-2), bits per second.
const RADIO_BITS_PER_SECOND: u32 = 106_000;

/// Between two customers; the wallet settles meanwhile.
const BETWEEN_TAPS: Duration = Duration::from_millis(30);

/// SELECT of the contactless directory.
pub const SELECT_PPSE: &[u8] = b"\x00\xA4\x04\x00\x0E2PAY.SYS.DDF01\x00";

/// What the taps showed.
#[derive(Debug)]
pub struct Taps {
    /// SELECT of the directory: the tap begins.
    pub first_select: Samples,
    /// SELECT of the application, GET PROCESSING OPTIONS, READ RECORD, one by one.
    pub plain_apdu: Samples,
    /// GENERATE AC: rules, permit, burn, cryptogram, signature.
    pub generate_ac: Samples,
    /// The wallet's share of a whole tap.
    pub whole: Samples,
    /// APDUs of a tap.
    pub apdus: usize,
    /// Bytes of its commands and answers.
    pub bytes: usize,
}

impl Taps {
    /// How long the bytes of a tap are on the air, without the frames around them.
    #[must_use]
    pub fn airtime(&self, bits_per_second: u32) -> Duration {
        airtime(self.bytes, bits_per_second)
    }
}

/// Pays `runs` times, each byte taking the time that it takes on the radio at its slowest speed: what
/// the wallet does while the terminal sends costs nobody anything. Only the time inside
/// `process_apdu` counts.
///
/// # Errors
/// If a tap is not paid.
pub fn taps(folder: &Path, runs: usize) -> Result<Taps> {
    let phone = Phone::new(folder)?;
    let profile = phone.stock(u32::try_from(runs)? + 50)?;
    let wallet = phone.wallet(phone.config())?;
    let commands = commands(&profile)?;
    // The first tap reads and compiles; that is the cold start's business.
    let bytes = pay(&wallet, &commands)?.1;
    let mut all = Vec::with_capacity(runs);
    for _ in 0..runs {
        all.push(pay(&wallet, &commands)?.0);
    }
    let column = |at: usize| all.iter().filter_map(|times| times.get(at).copied()).collect();
    let taps = Taps {
        first_select: Samples::new(column(0))?,
        plain_apdu: plain_apdus(&wallet, &commands, runs * 10)?,
        generate_ac: Samples::new(column(commands.len() - 1))?,
        whole: Samples::new(all.iter().map(|times| times.iter().sum()).collect())?,
        apdus: commands.len(),
        bytes,
    };
    wallet.shutdown();
    Ok(taps)
}

/// One tap: the time of each APDU, and the bytes on the air.
fn pay(wallet: &Wallet, commands: &[Vec<u8>]) -> Result<(Vec<Duration>, usize)> {
    thread::sleep(BETWEEN_TAPS);
    let mut times = Vec::with_capacity(commands.len());
    let mut bytes = 0;
    let mut last = Vec::new();
    for command in commands {
        thread::sleep(airtime(command.len(), RADIO_BITS_PER_SECOND));
        let start = Instant::now();
        last = wallet.process_apdu(command);
        times.push(start.elapsed());
        ensure!(last.ends_with(&[0x90, 0x00]), "{} is answered {}", hex::encode(command), hex::encode(&last));
        bytes += command.len() + last.len();
        thread::sleep(airtime(last.len(), RADIO_BITS_PER_SECOND));
    }
    // ARQC with signed dynamic data; anything else was declined, and quicker.
    let holds = |object: &[u8]| last.windows(object.len()).any(|window| window == object);
    ensure!(holds(&[0x9F, 0x27, 1, 0x80]) && holds(&[0x9F, 0x4B, 0x81]), "the tap was not paid: {}", hex::encode(last));
    Ok((times, bytes))
}

/// The APDUs between the first SELECT and GENERATE AC, back to back within one tap.
fn plain_apdus(wallet: &Wallet, commands: &[Vec<u8>], rounds: usize) -> Result<Samples> {
    let plain = commands.get(1..commands.len() - 1).context("a tap has a beginning and an end")?;
    thread::sleep(BETWEEN_TAPS);
    let begun = wallet.process_apdu(SELECT_PPSE);
    ensure!(begun.ends_with(&[0x90, 0x00]), "the tap did not begin: {}", hex::encode(begun));
    let mut times = Vec::with_capacity(rounds * plain.len());
    for _ in 0..rounds {
        for command in plain {
            let start = Instant::now();
            let answer = wallet.process_apdu(command);
            times.push(start.elapsed());
            ensure!(answer.ends_with(&[0x90, 0x00]), "{} is answered {}", hex::encode(command), hex::encode(answer));
        }
    }
    Samples::new(times)
}

fn airtime(bytes: usize, bits_per_second: u32) -> Duration {
    let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    Duration::from_secs(1).saturating_mul(bits) / bits_per_second
}

/// What a terminal sends to the sandbox's card: directory, application, options, each record of the
/// file locator, and GENERATE AC for an ARQC with CDA, 1.00 in the card's own country and currency.
fn commands(profile: &Profile) -> Result<Vec<Vec<u8>>> {
    let application = profile.applications.first().context("the card has no application")?;
    let limit = profile.rules.cvm_limits.first().context("the card has no CVM limit")?;
    let country = numeric(profile.rules.issuer_country)?;
    let mut all = vec![SELECT_PPSE.to_vec(), command([0x00, 0xA4, 0x04, 0x00], &application.aid)?];
    // PDOL: 9F1D (no CVM limit exceeded), 9F1A, 9F35.
    let options = [&[0x83, 11, 0x44, 0, 0, 0, 0, 0, 0, 0][..], &country, &[0x22]].concat();
    all.push(command([0x80, 0xA8, 0, 0], &options)?);
    for record in &application.records {
        all.push(vec![0x00, 0xB2, record.number, record.sfi << 3 | 0b100, 0x00]);
    }
    let transaction = [
        &[0, 0, 0, 0, 0x01, 0x00][..], // 9F02
        &[0; 6],                       // 9F03
        &country,                      // 9F1A
        &[0, 0, 0, 0x80, 0],           // 95
        &numeric(limit.currency)?,     // 5F2A
        &[0x26, 0x01, 0x31],           // 9A
        &[0x00],                       // 9C
        &[0xAA, 0xBB, 0xCC, 0xDD],     // 9F37
        &[0x22],                       // 9F35
        &[0; 2],                       // 9F45
        &[0; 8],                       // 9F4C
        &[0x1F, 0x03, 0x02],           // 9F34
        &[0x54, 0x11],                 // 9F15
    ];
    all.push(command([0x80, 0xAE, 0x90, 0x00], &transaction.concat())?);
    Ok(all)
}

fn command(head: [u8; 4], data: &[u8]) -> Result<Vec<u8>> {
    Ok([&head[..], &[u8::try_from(data.len())?], data, &[0x00]].concat())
}

/// A three-digit code as two bytes of BCD.
fn numeric(code: u16) -> Result<Vec<u8>> {
    Ok(hex::decode(format!("{code:04}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_taps_are_paid_taps() {
        let folder = tempfile::tempdir().unwrap();
        let taps = taps(folder.path(), 2).unwrap();
        assert_eq!((taps.whole.count(), taps.apdus), (2, 7));
        assert!(taps.whole.p50() >= taps.generate_ac.p50());
    }

    #[test]
    fn airtime_is_bytes_over_speed() {
        assert_eq!(airtime(106, 106_000), Duration::from_millis(8));
    }
}
