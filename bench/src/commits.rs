//! What the store's promises cost in commits: timed on a real disk, counted on one that counts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{Clock, Deadlines, Host, HostCalls, HostError, NFCRequestProxy, Reply, RequestType};
use nfcwallet_core::storage::{Purpose, Store, StoreConfig, UserKey};
use nfcwallet_core::token_service::ServiceTime;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_faults::{Disk, Folder};
use nfcwallet_sandbox::token_service::TokenService;

use crate::Samples;
use crate::phone::{Phone, USER};

/// Longer than arming takes: in a tap, the radio hides it.
pub const ARMING: Duration = Duration::from_millis(20);

/// Longer than a wallet takes to find its stock empty.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than a credential lives.
const UNTIL_EXPIRED: Duration = Duration::from_secs(31 * 86_400);

/// The burns of `runs` taps without anything else of a tap: from the choice of the credential to its
/// durable end. The anchor was armed before, as it is while the terminal reads records.
///
/// # Errors
/// Of the store.
pub fn burns(folder: &Path, runs: u16) -> Result<Samples> {
    let phone = Phone::new(folder)?;
    let (store, user) = stocked(&phone, u32::from(runs) + 1)?;
    let mut times = Vec::new();
    // The first one finds a log that is still to be made.
    for run in 0..=runs {
        let took = burn(&phone, &store, user, |burn| {
            let start = Instant::now();
            burn().map(|()| start.elapsed())
        })?;
        if run > 0 {
            times.push(took);
        }
    }
    store.close();
    Samples::new(times)
}

/// The waits of burns for the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Burns that waited for one sync: the commit.
    pub once: u64,
    /// Burns that waited for two: the first commit after the log was moved into the database starts the
    /// log over, and SQLite syncs its header before.
    pub twice: u64,
    /// Burns that waited for another number of syncs.
    pub otherwise: u64,
}

/// Counts what `runs` burns wait for. From here on every database of this process lies on the counting
/// disk: time nothing after it.
///
/// # Errors
/// Of the store and the disk.
pub fn waits_of_burns(folder: &Path, runs: u16) -> Result<Waits> {
    let phone = Phone::new(folder)?;
    let disk = counting_disk(&phone)?;
    let (store, user) = stocked(&phone, runs.into())?;
    let mut waits = Waits::default();
    for _ in 0..runs {
        let syncs = burn(&phone, &store, user, |burn| {
            let before = disk.counts().syncs;
            burn().map(|()| disk.counts().syncs - before)
        })?;
        match syncs {
            1 => waits.once += 1,
            2 => waits.twice += 1,
            _ => waits.otherwise += 1,
        }
    }
    store.close();
    Ok(waits)
}

/// What it took to get a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Credentials that came.
    pub credentials: u32,
    /// Requests for credentials that the service saw.
    pub round_trips: u64,
    /// Syncs from the service's answer to the next request, or to the end of the call: one a commit.
    pub commits: u64,
}

/// Fills an empty stock up to `count`, 2 to 100. From here on every database of this process lies on
/// the counting disk: time nothing after it.
///
/// # Errors
/// Of the wallet and the disk.
pub fn batch(folder: &Path, count: u32) -> Result<Batch> {
    let phone = Phone::new(folder)?;
    let disk = counting_disk(&phone)?;
    let first = phone.handset.wallet(phone.handset.config())?;
    phone.handset.runtime.block_on(async {
        first.connect(USER).await?;
        first.activate(ActivationMode::Manual, phone.handset.parts.recorder.clone()).await
    })?;
    first.shutdown();
    // All of them expire, by the clocks of both sides.
    phone.handset.parts.clock.advance(UNTIL_EXPIRED);
    phone.service.clock().advance_ms(i64::try_from(UNTIL_EXPIRED.as_millis())?);
    let link = Arc::new(CountingLink::new(&phone, disk.clone()));
    let host = Host { proxy: link.clone(), ..phone.handset.parts.host() };
    let wallet =
        Wallet::init(WalletConfig { replenish_threshold: 1, target_stock: count, ..phone.handset.config() }, host)?;
    // The wallet learns the time, gives up what has expired, and fails to fetch more.
    phone.handset.runtime.block_on(wallet.connect(USER))?;
    link.wait_for_a_refusal()?;
    link.is_open.store(true, Ordering::SeqCst);
    let before = batches(&phone.service);
    let credentials = phone.handset.runtime.block_on(wallet.replenish()).context("the replenishment failed")?;
    let round_trips = batches(&phone.service) - before;
    let commits = link.commits_of_the_answer();
    wallet.shutdown();
    Ok(Batch { credentials, round_trips, commits })
}

/// The store of a phone that was stocked, and its user.
fn stocked(phone: &Phone, credentials: u32) -> Result<(Store, UserKey)> {
    phone.stock(credentials)?;
    let [directory, _] = phone.handset.folders();
    let calls = Arc::new(HostCalls::new(phone.handset.parts.host(), Deadlines::default()));
    let store = Store::open(&StoreConfig { directory, history_limit: 1_000 }, calls)?;
    let user = store.read(|tx| tx.connected_key())?.context("nobody is connected")?;
    Ok((store, user))
}

/// Arms, lets `around` burn, settles.
fn burn<T>(
    phone: &Phone,
    store: &Store,
    user: UserKey,
    around: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<T>,
) -> Result<T> {
    let time = ServiceTime { now_ms: phone.handset.parts.clock.wall_ms(), learnt: true };
    let mut ticket = Some(store.start_arming(user));
    thread::sleep(ARMING);
    let measured = around(&mut || {
        let ticket = ticket.take().context("one burn a tap")?;
        let burning = store.start_burn(user, time, ticket, Purpose::Cryptogram, || true)?;
        let (_credential, durable) = burning.context("the stock is empty")?;
        Ok(durable.wait()?)
    })?;
    store.settle()?;
    Ok(measured)
}

fn counting_disk(phone: &Phone) -> Result<Folder> {
    let [data, _] = phone.handset.folders();
    std::fs::create_dir_all(&data)?;
    Ok(Disk::install()?.folder(&data))
}

/// Lets no request for credentials pass until it is open, and notes the syncs around the answer to one.
struct CountingLink {
    inner: Arc<dyn NFCRequestProxy>,
    service: Arc<TokenService>,
    disk: Folder,
    is_open: AtomicBool,
    refused: AtomicBool,
    /// When the batch was answered.
    at_answer: Mutex<Option<u64>>,
    /// When the request after that left.
    at_next: Mutex<Option<u64>>,
}

impl CountingLink {
    fn new(phone: &Phone, disk: Folder) -> Self {
        Self {
            inner: phone.handset.parts.proxy.clone(),
            service: phone.service.clone(),
            disk,
            is_open: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            at_answer: Mutex::default(),
            at_next: Mutex::default(),
        }
    }

    fn wait_for_a_refusal(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.refused.load(Ordering::SeqCst) {
            ensure!(Instant::now() < until, "the wallet does not ask for credentials");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn commits_of_the_answer(&self) -> u64 {
        let now = self.disk.counts().syncs;
        let from = self.at_answer.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(now);
        let until = self.at_next.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(now);
        until - from
    }

    fn note(&self, place: &Mutex<Option<u64>>) {
        let syncs = self.disk.counts().syncs;
        place.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(syncs);
    }

    fn is_answered(&self) -> bool {
        self.at_answer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

fn batches(service: &TokenService) -> u64 {
    service.operations_seen().get("replenish").copied().unwrap_or(0)
}

#[async_trait]
impl NFCRequestProxy for CountingLink {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        if kind == RequestType::Transfer && !self.is_open.load(Ordering::SeqCst) {
            self.refused.store(true, Ordering::SeqCst);
            return Err(HostError::Offline);
        }
        if self.is_answered() {
            self.note(&self.at_next);
        }
        let before = batches(&self.service);
        let reply = self.inner.send_request(kind, body).await;
        if batches(&self.service) > before {
            self.note(&self.at_answer);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_waits_for_its_commit_and_once_in_64_for_a_new_log() {
        let folder = tempfile::tempdir().unwrap();
        let waits = waits_of_burns(folder.path(), 140).unwrap();
        assert_eq!(waits, Waits { once: 137, twice: 3, otherwise: 0 });
        assert_eq!(burns(folder.path(), 3).unwrap().count(), 3);
    }

    #[test]
    fn a_batch_of_any_size_is_one_round_trip_and_one_commit() {
        let folder = tempfile::tempdir().unwrap();
        for credentials in [10, 50, 100] {
            let measured = batch(folder.path(), credentials).unwrap();
            assert_eq!(measured, Batch { credentials, round_trips: 1, commits: 1 });
        }
    }
}
