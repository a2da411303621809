//! A wallet on a disk that fails: whatever operation it is, nothing is paid that is not durable, and
//! the wallet goes on once the disk does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::sync::Arc;
use std::time::Duration;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{BoxFuture, Deadlines, Host, Spawner};
use nfcwallet_core::{Wallet, WalletConfig, WalletError};
use nfcwallet_faults::{Disk, Fault, FaultKind, Folder};
use nfcwallet_sandbox::checkout::{Payment, PaymentOutcome};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use tempfile::TempDir;

/// Background work that begins late enough to be told from the tap.
struct Later(tokio::runtime::Handle);

impl Spawner for Later {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            task.await;
        });
    }
}

/// An active wallet on a disk that does what it is told.
struct Desk {
    sandbox: Sandbox,
    wallet: Wallet,
    disk: Folder,
    phone: SimPhone,
    folder: TempDir,
    taps: u32,
}

impl Desk {
    fn new() -> Self {
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("wallet");
        std::fs::create_dir(&directory).unwrap();
        let disk = Disk::install().unwrap().folder(&directory);
        let proxy = Arc::new(sandbox.proxy("alice").unwrap());
        let phone = SimPhone::new(&folder.path().join("hardware"), proxy, sandbox.runtime().clone()).unwrap();
        // What a tap decides counts here, and not how fast a busy machine is.
        let patience = Duration::from_secs(10);
        let deadlines = Deadlines { permit: patience, device_state: patience, ..Deadlines::default() };
        let config = WalletConfig::new(directory, "sandbox-mpp", sandbox.trust_key());
        let config = WalletConfig { deadlines, ..config };
        let host = Host { spawner: Arc::new(Later(sandbox.runtime().clone())), ..phone.host() };
        let wallet = Wallet::init(config, host).unwrap();
        sandbox.runtime().block_on(wallet.connect("alice")).unwrap();
        sandbox.runtime().block_on(wallet.activate(ActivationMode::Manual, phone.recorder.clone())).unwrap();
        let desk = Self { sandbox, wallet, disk, phone, folder, taps: 0 };
        desk.wait_until_quiet();
        desk
    }

    /// Nothing is written any more in the background.
    fn wait_until_quiet(&self) {
        let mut last = self.disk.counts();
        let mut quiet = 0;
        while quiet < 5 {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.disk.counts();
            quiet = if now == last { quiet + 1 } else { 0 };
            last = now;
        }
    }

    /// One tap, and how many syncs there were between GENERATE AC and its answer.
    fn tap(&mut self) -> (Payment, u64) {
        self.taps += 1;
        let now_ms = self.sandbox.service().clock().now_ms();
        let purchase = Purchase::new(100, 978, now_ms, self.taps.to_be_bytes());
        let mut syncs = 0;
        let mut link = |apdu: &[u8]| {
            let before = self.disk.counts().syncs;
            let answer = self.wallet.process_apdu(apdu);
            if apdu.starts_with(&[0x80, 0xAE]) {
                syncs = self.disk.counts().syncs - before;
            }
            Ok(answer)
        };
        let payment = self.sandbox.checkout().pay(&mut link, &purchase).unwrap();
        (payment, syncs)
    }

    fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.sandbox.runtime().block_on(call)
    }

    fn activate(&self) -> Result<(), WalletError> {
        self.run(self.wallet.activate(ActivationMode::Manual, self.phone.recorder.clone()))
    }

    fn usable(&self) -> u32 {
        self.wallet.credentials().unwrap().usable
    }

    fn no_counter_was_used_twice(&self) {
        let ledger = self.sandbox.issuer().ledger();
        assert_eq!(ledger.violations().unwrap(), []);
        assert!(ledger.entries().unwrap().iter().all(|entry| entry.verified));
    }
}

#[test]
fn a_burn_is_durable_with_one_sync_and_before_the_answer() {
    let mut desk = Desk::new();
    for _ in 0..3 {
        let (payment, syncs) = desk.tap();
        assert_eq!((payment.outcome, syncs), (PaymentOutcome::Approved, 1));
        desk.wait_until_quiet();
    }
}

#[test]
fn an_error_at_any_operation_of_a_tap_costs_at_most_one_credential() {
    for kind in [FaultKind::Io, FaultKind::Full, FaultKind::ReadOnly] {
        let mut desk = Desk::new();
        let (mut refused, mut paid) = (0, 0);
        // A tap and what follows it are about 15 writes and syncs.
        for operation in 1..=18 {
            let before = desk.usable();
            desk.disk.fail(Fault { kind, from: operation, count: 1 });
            let (payment, _) = desk.tap();
            desk.wait_until_quiet();
            desk.disk.restore_power();
            match payment.outcome {
                PaymentOutcome::Approved => paid += 1,
                PaymentOutcome::Declined(_) => refused += 1,
                other => panic!("{kind:?} at operation {operation}: {other}"),
            }
            // A refused tap spends nothing, or one if its bytes may have reached the disk; the stock may
            // have been filled up since.
            assert!(desk.usable() + 1 >= before, "{kind:?} at operation {operation}: {before} to {}", desk.usable());
            let (after, _) = desk.tap();
            assert_eq!(after.outcome, PaymentOutcome::Approved, "after {kind:?} at operation {operation}");
            desk.wait_until_quiet();
        }
        assert!(refused > 0 && paid > 0, "{kind:?}: {refused} refused, {paid} paid");
        desk.no_counter_was_used_twice();
    }
}

#[test]
fn a_disk_that_stays_full_refuses_every_tap_and_loses_nothing() {
    let mut desk = Desk::new();
    let before = desk.usable();
    desk.disk.fail(Fault { kind: FaultKind::Full, from: 1, count: u64::MAX });
    for _ in 0..3 {
        let (payment, _) = desk.tap();
        assert!(matches!(payment.outcome, PaymentOutcome::Declined(_)), "{}", payment.outcome);
        assert_eq!(payment.cryptogram_verified, None);
    }
    desk.disk.restore_power();
    assert_eq!(desk.usable(), before);
    assert_eq!(desk.tap().0.outcome, PaymentOutcome::Approved);
    desk.no_counter_was_used_twice();
}

#[test]
fn a_wallet_whose_disk_failed_at_any_operation_of_its_start_opens_when_it_works() {
    let desk = Desk::new();
    desk.wallet.shutdown();
    let config = || WalletConfig::new(desk.folder.path().join("wallet"), "sandbox-mpp", desk.sandbox.trust_key());
    for operation in 1..=12 {
        desk.disk.fail(Fault { kind: FaultKind::Io, from: operation, count: u64::MAX });
        // It may open, if it reads only.
        if let Ok(wallet) = Wallet::init(config(), desk.phone.host()) {
            wallet.shutdown();
        }
        desk.disk.restore_power();
        let wallet = Wallet::init(config(), desk.phone.host()).unwrap();
        assert_eq!(wallet.token_status().code(), 2, "after an error at operation {operation}");
        wallet.shutdown();
    }
}

#[test]
fn an_error_at_any_operation_of_a_replenishment_loses_no_credential() {
    for kind in [FaultKind::Io, FaultKind::Full, FaultKind::ReadOnly] {
        let mut desk = Desk::new();
        let mut failed = 0;
        // The request's number, the credentials, and what is settled are about ten writes and syncs.
        for operation in 1..=12 {
            assert_eq!(desk.tap().0.outcome, PaymentOutcome::Approved);
            desk.wait_until_quiet();
            desk.disk.fail(Fault { kind, from: operation, count: 1 });
            failed += u32::from(desk.run(desk.wallet.replenish()).is_err());
            desk.wait_until_quiet();
            desk.disk.restore_power();
            desk.run(desk.wallet.replenish()).unwrap();
            assert_eq!(desk.usable(), 20, "after {kind:?} at operation {operation}");
        }
        assert!(failed > 0, "{kind:?} never struck");
        desk.run(desk.wallet.connect("alice")).unwrap();
        let token = &desk.sandbox.service().state().unwrap().tokens[0];
        // Each batch was given out once, however often it was asked for.
        assert_eq!((token.issued, token.used + token.discarded), (32, 12), "{kind:?}");
        desk.no_counter_was_used_twice();
    }
}

#[test]
fn an_error_at_any_operation_of_an_activation_ends_in_one_token_that_pays() {
    let mut desk = Desk::new();
    let mut failed = 0;
    for operation in (1..=31).step_by(2) {
        desk.run(desk.wallet.delete_token()).unwrap();
        desk.wait_until_quiet();
        desk.disk.fail(Fault { kind: FaultKind::Io, from: operation, count: 1 });
        let first = desk.activate();
        failed += u32::from(first.is_err());
        desk.wait_until_quiet();
        desk.disk.restore_power();
        if first.is_err() {
            let again = desk.activate();
            let status = desk.wallet.token_status();
            assert_eq!(again, Ok(()), "after {first:?} at operation {operation}, {status:?}");
        }
        assert_eq!(desk.tap().0.outcome, PaymentOutcome::Approved, "after an error at operation {operation}");
        let tokens = desk.sandbox.service().state().unwrap().tokens;
        let left = tokens.iter().filter(|token| token.state != "deleted").count();
        assert_eq!(left, 1, "after an error at operation {operation}");
        desk.wait_until_quiet();
    }
    assert!(failed > 0);
    desk.no_counter_was_used_twice();
}

#[test]
fn an_error_at_any_operation_of_a_lock_or_a_delete_is_told_and_made_good_by_repeating() {
    let mut desk = Desk::new();
    let mut failed = 0;
    for operation in 1..=8 {
        desk.disk.fail(Fault { kind: FaultKind::Io, from: operation, count: 1 });
        let locked = desk.run(desk.wallet.lock());
        failed += u32::from(locked.is_err());
        desk.wait_until_quiet();
        desk.disk.restore_power();
        if locked.is_err() {
            desk.run(desk.wallet.lock()).unwrap();
        }
        assert_ne!(desk.tap().0.outcome, PaymentOutcome::Approved, "locked, error at operation {operation}");
        desk.run(desk.wallet.unlock()).unwrap();
        assert_eq!(desk.tap().0.outcome, PaymentOutcome::Approved, "unlocked, error at operation {operation}");
        desk.wait_until_quiet();
    }
    for operation in 1..=8 {
        desk.disk.fail(Fault { kind: FaultKind::Io, from: operation, count: 1 });
        let deleted = desk.run(desk.wallet.delete_token());
        failed += u32::from(deleted.is_err());
        desk.wait_until_quiet();
        desk.disk.restore_power();
        if deleted.is_err() {
            desk.run(desk.wallet.sync_token()).unwrap();
        }
        if desk.wallet.token_status().code() != 0 {
            desk.run(desk.wallet.delete_token()).unwrap();
        }
        assert_eq!(desk.wallet.token_status().code(), 0, "after an error at operation {operation}");
        desk.activate().unwrap();
        desk.wait_until_quiet();
    }
    assert!(failed > 0);
    desk.no_counter_was_used_twice();
}
