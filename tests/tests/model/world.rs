//! A phone, its wallet, and everybody around them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nfcwallet_core::host::{Clock, Deadlines, Host, KeyStoreError, OsEntropy};
use nfcwallet_core::payment::{FieldLoss, TapId, TransactionOutcome};
use nfcwallet_core::{Wallet, WalletConfig, WalletError};
use nfcwallet_faults::{Disk, Fault, FaultKind, Folder};
use nfcwallet_sandbox::checkout::PaymentOutcome;
use nfcwallet_sandbox::device::{AppEvent, KeyCall, KeyFault, Recorder, SimDevice, SimPermit, SoftKeyStore};
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::phone::Event;
use nfcwallet_sandbox::pos::{LinkLost, Purchase};
use nfcwallet_sandbox::relay::HttpProxy;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_sandbox::token_service::TokenView;
use nfcwallet_tests::invariants::Watch;
use tempfile::TempDir;

use crate::op::{Amount, DiskTrouble, KeyTrouble, Reader, User};
use crate::phone::{Keys, Life, Line, Time, Work};

/// Longer than any call takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Likewise, and short enough to be waited for.
const KEY_STORE_DEADLINE: Duration = Duration::from_secs(3);

/// Background work that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    folder: TempDir,
    disk: Folder,
    keys: Arc<SoftKeyStore>,
    pub(crate) time: Arc<Time>,
    recorder: Arc<Recorder>,
    sessions: BTreeMap<User, HttpProxy>,
    session: Arc<Mutex<HttpProxy>>,
    life: Arc<Life>,
    /// None while the store cannot be opened.
    pub(crate) wallet: Option<Wallet>,
    watch: Watch,
    /// Taps that have begun and not ended.
    running: BTreeSet<TapId>,
    taps: u32,
    ledger_read: usize,
    /// What the service was told of each credential.
    reported: BTreeMap<(String, u16), String>,
}

/// What came of a tap.
#[derive(Debug)]
pub(crate) struct Tapped {
    pub(crate) outcome: PaymentOutcome,
    /// The wallet's last word: its code, 10000 for a cryptogram.
    pub(crate) code: Option<u32>,
}

impl World {
    pub(crate) fn new() -> Self {
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let patient = SandboxConfig { gateway_expiry: DEADLINE, relay_timeout: DEADLINE, ..SandboxConfig::default() };
        let sandbox = Sandbox::start_with(patient, issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("wallet");
        std::fs::create_dir(&directory).unwrap();
        let disk = Disk::install().unwrap().folder(&directory);
        let keys = Arc::new(SoftKeyStore::open(&folder.path().join("hardware")).unwrap());
        let sessions = User::ALL.map(|user| (user, sandbox.proxy(user.name()).unwrap()));
        let session = Arc::new(Mutex::new(sessions[0].1.clone()));
        let time = Arc::new(Time::new(sandbox.service().clock().now_ms(), sandbox.runtime().clone()));
        let mut world = Self {
            sandbox,
            folder,
            disk,
            keys,
            time,
            recorder: Arc::default(),
            sessions: sessions.into(),
            session,
            life: Arc::default(),
            wallet: None,
            watch: Watch::default(),
            running: BTreeSet::new(),
            taps: 0,
            ledger_read: 0,
            reported: BTreeMap::new(),
        };
        world.open().unwrap();
        world
    }

    /// Starts the app.
    pub(crate) fn open(&mut self) -> Result<(), WalletError> {
        self.life = Arc::default();
        let mut config = WalletConfig::new(self.folder.path().join("wallet"), "sandbox-mpp", self.sandbox.trust_key());
        config.replenish_threshold = 2;
        config.target_stock = 4;
        config.deadlines = Deadlines {
            proxy: DEADLINE,
            key_store: KEY_STORE_DEADLINE,
            fingerprint: DEADLINE,
            device_state: DEADLINE,
            permit: DEADLINE,
        };
        self.wallet = Some(Wallet::init(config, self.host())?);
        Ok(())
    }

    fn host(&self) -> Host {
        let runtime = self.sandbox.runtime().clone();
        Host {
            proxy: Arc::new(Line { life: Arc::clone(&self.life), session: Arc::clone(&self.session) }),
            key_store: Arc::new(Keys { life: Arc::clone(&self.life), device: Arc::clone(&self.keys) }),
            device: Arc::new(SimDevice::new("model")),
            permit: Arc::new(SimPermit::default()),
            transactions: self.recorder.clone(),
            activation: self.recorder.clone(),
            monitor: self.recorder.clone(),
            clock: self.time.clone(),
            spawner: Arc::new(Work { life: Arc::clone(&self.life), runtime }),
            entropy: Arc::new(OsEntropy),
        }
    }

    /// The app's user logs in at the app's server.
    pub(crate) fn log_in(&self, user: User) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = self.sessions[&user].clone();
    }

    /// Ends the app in order.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        if let Some(wallet) = self.wallet.take() {
            wallet.shutdown();
            drop(wallet);
        }
        self.settle()?;
        self.life.end();
        self.forget_taps()
    }

    /// The process is gone from one moment to the next, with the phone's power if there is a seed.
    pub(crate) fn kill(&mut self, power_cut: Option<u64>) -> Result<(), String> {
        self.life.end();
        match power_cut {
            Some(seed) => self.disk.cut_power(seed),
            None => self.disk.fail(Fault { kind: FaultKind::Io, from: 1, count: u64::MAX }),
        }
        // Nothing of this reaches disk or key store any more; it frees the folder for the next process.
        if let Some(wallet) = self.wallet.take() {
            wallet.shutdown();
        }
        self.settle()?;
        self.disk.restore_power();
        self.forget_taps()
    }

    fn forget_taps(&mut self) -> Result<(), String> {
        self.see_events()?;
        // The next process counts its taps from 1 again.
        self.watch.restarted();
        Ok(())
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.sandbox.runtime().block_on(future)
    }

    /// Nothing goes on any more but what waits for the clock.
    pub(crate) fn settle(&self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let now = || self.life.at_rest().map(|done| (done, self.disk.counts(), self.recorder.events().len()));
        let (mut last, mut quiet) = (now(), 0);
        while quiet < 3 {
            if Instant::now() > until {
                return Err("the background work never ends".to_owned());
            }
            std::thread::sleep(Duration::from_millis(4));
            let next = now();
            quiet = if next.is_some() && next == last { quiet + 1 } else { 0 };
            last = next;
        }
        Ok(())
    }

    pub(crate) fn disk_fails(&self, trouble: DiskTrouble) {
        let DiskTrouble { kind, from, count } = trouble;
        self.disk.fail(Fault { kind, from, count });
    }

    pub(crate) fn keys_fail(&self, trouble: KeyTrouble) {
        let failed = || KeyFault::Error(KeyStoreError::Failed { reason: "as told".to_owned() });
        match trouble {
            KeyTrouble::Locked => self.keys.set_locked(true),
            KeyTrouble::Fails(call) => self.keys.inject(call, failed(), None),
            KeyTrouble::Panics(call) => self.keys.inject(Some(call), KeyFault::Panic, None),
            KeyTrouble::Slow => self.keys.inject(None, KeyFault::Slow(Duration::from_millis(40)), None),
            KeyTrouble::Late => {
                let late = KeyFault::Slow(KEY_STORE_DEADLINE + Duration::from_millis(300));
                self.keys.inject(Some(KeyCall::SetAnchor), late, Some(1));
            }
            KeyTrouble::Invalidated => self.keys.invalidate().unwrap(),
        }
    }

    pub(crate) fn mend(&self) {
        self.sandbox.faults().clear();
        self.disk.restore_power();
        self.keys.mend();
        self.keys.set_locked(false);
    }

    /// The phone's wall clock, off by so much.
    pub(crate) fn set_wall_off(&self, seconds: i64) {
        self.time.set_wall(self.sandbox.service().clock().now_ms() + seconds * 1_000);
    }

    pub(crate) fn pass(&self, seconds: u32) {
        self.sandbox.service().clock().advance_ms(i64::from(seconds) * 1_000);
        self.time.pass(seconds);
    }

    /// One tap, until the phone is out of the field or the reader has been silent for long.
    pub(crate) fn tap(&mut self, amount: Amount, reader: Reader) -> Result<Tapped, String> {
        let wallet = self.wallet.clone().ok_or("no wallet")?;
        self.taps += 1;
        let minor = match amount {
            Amount::Low => 100,
            Amount::High => 8_000,
        };
        let now_ms = self.sandbox.service().clock().now_ms();
        let purchase = Purchase::new(minor, 978, now_ms, self.taps.to_be_bytes());
        let mut answers = 0;
        let mut link = |apdu: &[u8]| {
            let (Reader::LostAfter(limit) | Reader::SilentAfter(limit)) = reader else {
                return Ok(wallet.process_apdu(apdu));
            };
            answers += 1;
            // The last answer is made and never arrives.
            let answer = wallet.process_apdu(apdu);
            if answers >= limit { Err(LinkLost) } else { Ok(answer) }
        };
        let payment = self.sandbox.checkout().pay(&mut link, &purchase).map_err(|error| error.to_string())?;
        match reader {
            Reader::SilentAfter(_) => {
                self.settle()?;
                self.time.pass(6);
                self.sandbox.service().clock().advance_ms(6_000);
            }
            Reader::Whole | Reader::LostAfter(_) => wallet.field_lost(FieldLoss::LinkLost),
        }
        self.settle()?;
        let code = self.see_events()?;
        if payment.cda_verified == Some(false) || payment.cryptogram_verified == Some(false) {
            return Err(format!("a cryptogram or a signature is wrong: {payment:?}"));
        }
        Ok(Tapped { outcome: payment.outcome, code })
    }

    /// Looks at every event since the last time; the code of the last tap that ended. A tap that runs
    /// must end: its last event may be on its way.
    pub(crate) fn see_events(&mut self) -> Result<Option<u32>, String> {
        let until = Instant::now() + PATIENCE;
        let mut last = self.see_new_events()?;
        while let Some(tap) = self.running.first() {
            if Instant::now() > until {
                return Err(format!("tap {} began and never ended", tap.0));
            }
            std::thread::sleep(Duration::from_millis(4));
            last = self.see_new_events()?.or(last);
        }
        Ok(last)
    }

    fn see_new_events(&mut self) -> Result<Option<u32>, String> {
        let mut last = None;
        for event in self.recorder.take() {
            let told = match event {
                AppEvent::Started(tap) => {
                    self.running.insert(tap);
                    Event::Start { tap: tap.0 }
                }
                AppEvent::AuthRequired(tap, _) => Event::AuthRequired { tap: tap.0 },
                AppEvent::Completed(tap, record) => {
                    let TransactionOutcome::Complete { atc, reference, .. } = record.outcome else {
                        return Err(format!("a completed tap with {:?}", record.outcome));
                    };
                    self.running.remove(&tap);
                    last = Some(10_000);
                    let (amount_minor, currency) = (record.transaction.amount_minor, record.transaction.currency);
                    Event::Complete { tap: tap.0, amount_minor, currency, atc, reference: hex::encode(reference) }
                }
                AppEvent::Failed(tap, failure, _) => {
                    self.running.remove(&tap);
                    last = Some(failure.code());
                    Event::Failed {
                        tap: tap.0,
                        code: failure.code(),
                        advice: failure.advice().map(|advice| format!("{advice:?}")),
                    }
                }
                AppEvent::Progress(_) | AppEvent::Activated | AppEvent::Measured(_) => continue,
            };
            self.watch.see(&told)?;
        }
        Ok(last)
    }

    /// The user's newest token, and how many were given up by now.
    pub(crate) fn token(&self, user: User) -> Result<Option<TokenView>, String> {
        let state = self.sandbox.service().state().map_err(|error| error.to_string())?;
        Ok(state.tokens.into_iter().rev().find(|token| token.user == user.name() && token.state != "deleted"))
    }

    /// The users whose tokens made a cryptogram since the last time, by the issuer's ledger.
    pub(crate) fn payers(&mut self) -> Result<Vec<String>, String> {
        let ledger = self.sandbox.issuer().ledger();
        let entries = ledger.entries().map_err(|error| error.to_string())?;
        let violations = ledger.violations().map_err(|error| error.to_string())?;
        if !violations.is_empty() {
            return Err(format!("counters were used twice: {violations:?}"));
        }
        let mut users = Vec::new();
        for entry in entries.iter().skip(self.ledger_read) {
            let reference = entry.token.as_ref().ok_or("a cryptogram of nobody's token")?;
            let token = ledger.token(reference).map_err(|error| error.to_string())?.ok_or("unknown token")?;
            if !entry.verified {
                return Err(format!("counter {} of {reference} came with a wrong cryptogram", entry.atc));
            }
            users.push(token.user);
        }
        self.ledger_read = entries.len();
        Ok(users)
    }

    /// What was reported of a credential stays what was reported, and agrees with the ledger.
    pub(crate) fn see_reports(&mut self) -> Result<(), String> {
        let state = self.sandbox.service().state().map_err(|error| error.to_string())?;
        let entries = self.sandbox.issuer().ledger().entries().map_err(|error| error.to_string())?;
        let seen: BTreeSet<(Option<&str>, u16)> =
            entries.iter().map(|entry| (entry.token.as_deref(), entry.atc)).collect();
        for token in state.tokens {
            let reference = token.token_reference;
            let credentials = self.sandbox.service().credentials(&reference).map_err(|error| error.to_string())?;
            for credential in credentials {
                let Some(outcome) = credential.outcome else { continue };
                let atc = credential.atc;
                if outcome == "discarded" && seen.contains(&(Some(&reference), atc)) {
                    return Err(format!("counter {atc} of {reference} was used and reported as discarded"));
                }
                let earlier = self.reported.insert((reference.clone(), atc), outcome.clone());
                if let Some(earlier) = earlier.filter(|earlier| *earlier != outcome) {
                    return Err(format!("counter {atc} of {reference} was {earlier}, and is {outcome} now"));
                }
            }
        }
        Ok(())
    }

    /// How many cryptograms of this token the issuer saw.
    pub(crate) fn cryptograms(&self, token: &str) -> Result<usize, String> {
        let entries = self.sandbox.issuer().ledger().entries().map_err(|error| error.to_string())?;
        Ok(entries.iter().filter(|entry| entry.token.as_deref() == Some(token)).count())
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.time.monotonic()
    }
}
