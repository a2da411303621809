//! The measured phone in Rust: what the others are held against.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use nfcwallet_core::host::{Deadlines, HostError, NFCRequestProxy, Reply, RequestType};
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::lines::{Opened, Request, Timed};
use super::{MPP, PATIENCE};

/// Opens the wallet that the arguments name, and does what standard input says.
///
/// # Errors
/// If the wallet does not open, or a line is no request.
pub fn run(arguments: &[String]) -> Result<()> {
    let [data, keys, trust_key] = arguments else { anyhow::bail!("expected: data folder, keys folder, trust key") };
    let runtime = Runtime::new()?;
    let network = Arc::new(NoNetwork::default());
    let phone = SimPhone::new(Path::new(keys), network.clone(), runtime.handle().clone())?;
    let deadlines = Deadlines { permit: PATIENCE, device_state: PATIENCE, ..Deadlines::default() };
    let config = WalletConfig { deadlines, ..WalletConfig::new(data.into(), MPP, hex::decode(trust_key)?) };
    let start = Instant::now();
    let wallet = Arc::new(Wallet::init(config, phone.host())?);
    say(&Opened { load_ns: None, open_ns: nanos(start) })?;
    for line in std::io::stdin().lock().lines() {
        let told = match serde_json::from_str(&line?)? {
            Request::Prewarm => {
                let start = Instant::now();
                wallet.prewarm();
                Timed { nanos: vec![nanos(start)], ..Timed::default() }
            }
            Request::Apdus { apdus, rounds, apart_ms } => answer(&wallet, &apdus, rounds, apart_ms)?,
            // On a thread of the runtime, where the bindings poll such calls too.
            Request::Sync { rounds } => {
                let calls = sync(Arc::clone(&wallet), Arc::clone(&network), rounds);
                runtime.block_on(runtime.spawn(calls))??
            }
        };
        say(&told)?;
    }
    // As a platform ends a process: without farewell.
    std::process::exit(0)
}

fn answer(wallet: &Wallet, apdus: &[String], rounds: usize, apart_ms: u64) -> Result<Timed> {
    let apdus = apdus.iter().map(hex::decode).collect::<Result<Vec<_>, _>>()?;
    let mut timed = Timed::default();
    for _ in 0..rounds {
        let mut end = Vec::new();
        for apdu in &apdus {
            if apart_ms > 0 {
                thread::sleep(Duration::from_millis(apart_ms));
            }
            let start = Instant::now();
            end = wallet.process_apdu(apdu);
            timed.nanos.push(nanos(start));
        }
        timed.ends.push(hex::encode(end));
    }
    Ok(timed)
}

async fn sync(wallet: Arc<Wallet>, network: Arc<NoNetwork>, rounds: usize) -> Result<Timed> {
    let before = network.0.load(Ordering::Relaxed);
    let mut timed = Timed::default();
    for _ in 0..rounds {
        let start = Instant::now();
        let outcome = wallet.sync_token().await;
        timed.nanos.push(nanos(start));
        ensure!(outcome.is_err(), "a sync without a network succeeded");
    }
    timed.requests = network.0.load(Ordering::Relaxed) - before;
    Ok(timed)
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn say(line: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}

/// Counts who asks.
#[derive(Default)]
struct NoNetwork(AtomicUsize);

#[async_trait]
impl NFCRequestProxy for NoNetwork {
    async fn send_request(&self, _: RequestType, _: Vec<u8>) -> Result<Reply, HostError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(HostError::Offline)
    }
}
