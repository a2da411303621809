//! Whole taps through the wallet, in the rhythm of a terminal.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nfcwallet_core::Wallet;
use nfcwallet_sandbox::issuer::CardShape;

use crate::Samples;
use crate::conversation::{Cryptogram, SELECT_PPSE, Step, conversation};
use crate::phone::{self, Handset};

/// The slowest speed of the radio (ISO 14443-2), bits per second.
const RADIO_BITS_PER_SECOND: u32 = 106_000;

/// Between two customers; the wallet settles meanwhile.
const BETWEEN_TAPS: Duration = Duration::from_millis(30);

/// What the taps showed.
#[derive(Debug)]
pub struct Taps {
    /// SELECT of the directory: the tap begins.
    pub first_select: Samples,
    /// SELECT of the application, GET PROCESSING OPTIONS, READ RECORD, one by one, back to back.
    pub plain_apdu: Samples,
    /// GENERATE AC: rules, permit, burn, cryptogram, signature.
    pub generate_ac: Samples,
    /// The wallet's share of a whole tap.
    pub whole: Samples,
    /// APDUs of a tap.
    pub apdus: usize,
    /// Bytes of its commands and answers.
    pub bytes: usize,
    /// Taps that were declined, and are not among the times: on a busy machine the app's answer may
    /// miss its deadline of 100 ms.
    pub declined: usize,
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
/// If the first tap is not paid, or fewer than half of them.
pub fn taps(folder: &Path, cryptogram: Cryptogram, runs: usize) -> Result<Taps> {
    // Without a network: the service does not know this token, and would have it removed.
    let phone = Handset::offline(folder)?;
    let profile = phone::profile(CardShape::Phone)?;
    phone.stock_made_up(&profile, u16::try_from(runs)? + 50)?;
    let wallet = phone.wallet(phone.config())?;
    let commands = conversation(&profile, cryptogram)?;
    // The first tap reads and compiles; that is the cold start's business.
    let (_, bytes) = pay(&wallet, &commands, cryptogram)?.context("the first tap was declined")?;
    let mut all = Vec::with_capacity(runs);
    for _ in 0..runs {
        all.extend(pay(&wallet, &commands, cryptogram)?.map(|(times, _)| times));
    }
    let declined = runs - all.len();
    ensure!(declined <= all.len(), "{declined} of {runs} taps were declined");
    let column = |at: usize| all.iter().filter_map(|times| times.get(at).copied()).collect();
    let taps = Taps {
        first_select: Samples::new(column(0))?,
        plain_apdu: plain_apdus(&wallet, &commands, runs * 10)?,
        generate_ac: Samples::new(column(commands.len() - 1))?,
        whole: Samples::new(all.iter().map(|times| times.iter().sum()).collect())?,
        apdus: commands.len(),
        bytes,
        declined,
    };
    wallet.shutdown();
    Ok(taps)
}

/// One tap: the time of each APDU, and the bytes on the air; `None` if it was declined.
fn pay(wallet: &Wallet, commands: &[Step], cryptogram: Cryptogram) -> Result<Option<(Vec<Duration>, usize)>> {
    thread::sleep(BETWEEN_TAPS);
    let mut times = Vec::with_capacity(commands.len());
    let mut bytes = 0;
    let mut last = Vec::new();
    for (name, command) in commands {
        thread::sleep(airtime(command.len(), RADIO_BITS_PER_SECOND));
        let start = Instant::now();
        last = wallet.process_apdu(command);
        times.push(start.elapsed());
        ensure!(last.ends_with(&[0x90, 0x00]), "{name} is answered {}", hex::encode(&last));
        bytes += command.len() + last.len();
        thread::sleep(airtime(last.len(), RADIO_BITS_PER_SECOND));
    }
    Ok(cryptogram.is_in(&last).then_some((times, bytes)))
}

/// The APDUs between the first SELECT and GENERATE AC, back to back within one tap.
fn plain_apdus(wallet: &Wallet, commands: &[Step], rounds: usize) -> Result<Samples> {
    let plain = commands.get(1..commands.len() - 1).context("a tap has a beginning and an end")?;
    thread::sleep(BETWEEN_TAPS);
    let begun = wallet.process_apdu(SELECT_PPSE);
    ensure!(begun.ends_with(&[0x90, 0x00]), "the tap did not begin: {}", hex::encode(begun));
    let mut times = Vec::with_capacity(rounds * plain.len());
    for _ in 0..rounds {
        for (name, command) in plain {
            let start = Instant::now();
            let answer = wallet.process_apdu(command);
            times.push(start.elapsed());
            ensure!(answer.ends_with(&[0x90, 0x00]), "{name} is answered {}", hex::encode(answer));
        }
    }
    Samples::new(times)
}

fn airtime(bytes: usize, bits_per_second: u32) -> Duration {
    let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    Duration::from_secs(1).saturating_mul(bits) / bits_per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_taps_are_paid_taps() {
        let folder = tempfile::tempdir().unwrap();
        for cryptogram in [Cryptogram::Signed, Cryptogram::Unsigned] {
            let taps = taps(folder.path(), cryptogram, 2).unwrap();
            assert_eq!((taps.whole.count() + taps.declined, taps.apdus), (2, 7));
            assert!(taps.whole.p50() >= taps.generate_ac.p50());
        }
    }

    #[test]
    fn airtime_is_bytes_over_speed() {
        assert_eq!(airtime(106, 106_000), Duration::from_millis(8));
    }
}
