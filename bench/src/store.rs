//! Cold starts and replenishing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{Clock, Deadlines, HostCalls};
use nfcwallet_core::payment::{
    TerminalInformation, TransactionInformation, TransactionKind, TransactionOutcome, TransactionRange,
    TransactionRecord,
};
use nfcwallet_core::storage::{Store, StoreConfig};
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;

use crate::Samples;
use crate::conversation::SELECT_PPSE;
use crate::phone::{Handset, Offline, Phone, USER};

/// The argument that makes a benchmark program answer one APDU and end; see [`cold_process`].
pub const COLD_PROCESS: &str = "cold-process";

/// From the start of a process to its first answer, with `credentials` and `history` rows in the store.
/// Each run gets a fresh copy of a store that was left in order: what a killed tap leaves to be repaired
/// is not measured. The program must call [`cold_process`] when its first argument is [`COLD_PROCESS`].
///
/// # Errors
/// If a process fails.
pub fn cold_start(folder: &Path, credentials: u32, history: u32, runs: usize) -> Result<Samples> {
    let phone = Phone::new(folder)?;
    phone.stock(credentials)?;
    pay_often(&phone.handset, history)?;
    let trust_key = hex::encode(phone.handset.config().service_trust_key);
    let program = std::env::current_exe()?;
    let mut times = Vec::with_capacity(runs);
    for run in 0..=runs {
        let copy = tempfile::tempdir_in(folder)?;
        let [data, keys] = ["data", "keys"].map(|name| copy.path().join(name));
        for (from, to) in phone.handset.folders().iter().zip([&data, &keys]) {
            copy_folder(from, to)?;
        }
        let start = Instant::now();
        let mut process = Command::new(&program);
        process.arg(COLD_PROCESS).args([&data, &keys]).arg(&trust_key).stdin(Stdio::null());
        let status = process.status()?;
        let took = start.elapsed();
        ensure!(status.success(), "the cold process ended with {status}");
        // The first run brings the program into memory.
        if run > 0 {
            times.push(took);
        }
    }
    Samples::new(times)
}

/// Opens the wallet that the arguments name and answers one SELECT.
///
/// # Errors
/// If the wallet does not open or refuses the tap.
pub fn cold_process(args: &[String]) -> Result<()> {
    let [data, keys, trust_key] = args else { anyhow::bail!("expected: data folder, keys folder, trust key") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let phone = SimPhone::new(Path::new(keys), Arc::new(Offline), runtime.handle().clone())?;
    let config = WalletConfig::new(data.into(), "bench-mpp", hex::decode(trust_key)?);
    let wallet = Wallet::init(config, phone.host())?;
    let answer = wallet.process_apdu(SELECT_PPSE);
    ensure!(answer.ends_with(&[0x90, 0x00]), "the first SELECT is answered {}", hex::encode(answer));
    // As a platform ends a process: without farewell.
    std::process::exit(0)
}

/// Leaves the history of `taps` taps.
fn pay_often(phone: &Handset, taps: u32) -> Result<()> {
    let [directory, _] = phone.folders();
    let calls = Arc::new(HostCalls::new(phone.parts.host(), Deadlines::default()));
    let store = Store::open(&StoreConfig { directory, history_limit: taps }, calls)?;
    let user = store.read(|tx| tx.connected_key())?.context("nobody is connected")?;
    let paid = |tap: u32| TransactionRecord {
        time_ms: phone.parts.clock.wall_ms(),
        transaction: TransactionInformation {
            amount_minor: u64::from(tap),
            other_amount_minor: 0,
            currency: 978,
            currency_exponent: Some(2),
            kind: TransactionKind::Purchase,
            terminal_country: 276,
            merchant_category: Some(5_411),
            merchant_name: Some("Corner shop".to_owned()),
            range: TransactionRange::LowValue,
            date: Some("260131".to_owned()),
            terminal: TerminalInformation::default(),
        },
        outcome: TransactionOutcome::Complete { atc: 1, reference: [7; 8], cdcvm: false },
    };
    store.write(|tx| (1..=taps).try_for_each(|tap| tx.append_history(user, &paid(tap)).map(drop)))?;
    store.close();
    Ok(())
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What a replenishment took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replenishment {
    /// How many credentials came.
    pub credentials: u32,
    /// The operations that the service saw, by name.
    pub operations: BTreeMap<String, u64>,
    /// From the call to the return, with a service that answers at once.
    pub took: Duration,
}

/// Fills a stock of 20 up to 100, in a process that has no session of the service yet.
///
/// # Errors
/// If the activation or the replenishment fails.
pub fn replenish(folder: &Path) -> Result<Replenishment> {
    let phone = Phone::new(folder)?;
    let first = phone.handset.wallet(phone.handset.config())?;
    phone.handset.runtime.block_on(async {
        first.connect(USER).await?;
        first.activate(ActivationMode::Manual, phone.handset.parts.recorder.clone()).await
    })?;
    first.shutdown();
    let wallet = phone.handset.wallet(WalletConfig { target_stock: 100, ..phone.handset.config() })?;
    let before = phone.service.operations_seen();
    let start = Instant::now();
    let credentials = phone.handset.runtime.block_on(wallet.replenish()).context("the replenishment failed")?;
    let took = start.elapsed();
    let mut operations = phone.service.operations_seen();
    for (operation, count) in &mut operations {
        *count -= before.get(operation).copied().unwrap_or(0);
    }
    operations.retain(|_, count| *count > 0);
    wallet.shutdown();
    Ok(Replenishment { credentials, operations, took })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replenishment_brings_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let measured = replenish(folder.path()).unwrap();
        assert_eq!(measured.credentials, 80);
        assert_eq!(measured.operations.get("replenish"), Some(&1), "{:?}", measured.operations);
    }
}
