//! Readers that loop, and what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nfcwallet_core::Wallet;
use nfcwallet_core::host::{
    BoxFuture, DeviceFingerprint, DeviceInfo, DeviceState, Host, HostError, IntegrityVerdict, Spawner,
};
use nfcwallet_core::payment::{FieldLoss, TapFailure};
use nfcwallet_sandbox::device::{AppEvent, TokioSpawner};

use crate::desk::{Desk, Till, select_ppse};

/// Counts the questions to the device.
#[derive(Default)]
struct Counting(AtomicUsize);

impl DeviceInfo for Counting {
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError> {
        Ok(DeviceFingerprint { text: "phone".to_owned() })
    }

    fn state(&self) -> Result<DeviceState, HostError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(DeviceState {
            nfc_on: true,
            default_payment_app: true,
            screen_on: true,
            unlocked: true,
            integrity: IntegrityVerdict::Safe,
        })
    }
}

/// Counts the tasks that live, and the most that ever did.
struct Watching {
    inner: TokioSpawner,
    alive: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Spawner for Watching {
    fn spawn(&self, task: BoxFuture<()>) {
        let alive = Arc::clone(&self.alive);
        self.most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.inner.spawn(Box::pin(async move {
            task.await;
            alive.fetch_sub(1, Ordering::SeqCst);
        }));
    }
}

impl Watching {
    fn new(desk: &Desk) -> Arc<Self> {
        let inner = TokioSpawner(desk.sandbox.runtime().clone());
        Arc::new(Self { inner, alive: Arc::default(), most: AtomicUsize::new(0) })
    }

    /// Forgets what it saw before; the activation's tasks have ended by now.
    fn restart(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.alive.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < until, "tasks of the activation do not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.most.store(0, Ordering::SeqCst);
    }
}

fn select_credit() -> Vec<u8> {
    hex("00A4040007A000000004101000")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// How many taps were told of: begun, ended.
fn told(events: &[AppEvent]) -> (usize, usize) {
    let begun = events.iter().filter(|event| matches!(event, AppEvent::Started(_))).count();
    let ended = |event: &&AppEvent| matches!(event, AppEvent::Failed(..) | AppEvent::Completed(..));
    (begun, events.iter().filter(ended).count())
}

fn commands_until(wallet: &Wallet, commands: &[Vec<u8>]) {
    for command in commands {
        assert!(wallet.process_apdu(command).ends_with(&[0x90, 0x00]));
    }
}

#[test]
fn a_reader_that_selects_ten_thousand_times_costs_one_tap() {
    let desk = Desk::patient();
    let (device, spawner) = (Arc::new(Counting::default()), Watching::new(&desk));
    let wallet = desk.ready(Host { device: device.clone(), spawner: spawner.clone(), ..desk.phone.host() });
    spawner.restart();
    let asked_before = device.0.load(Ordering::SeqCst);
    for _ in 0..10_000 {
        commands_until(&wallet, &[select_ppse(), select_credit()]);
    }
    desk.hears("the start", |events| told(events).0 > 0);
    assert_eq!(told(&desk.phone.recorder.events()), (1, 0));
    assert_eq!(device.0.load(Ordering::SeqCst) - asked_before, 1);
    assert!(spawner.most.load(Ordering::SeqCst) <= 2, "{} tasks", spawner.most.load(Ordering::SeqCst));
    // The same tap is then paid.
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
    desk.completed();
    assert_eq!(told(&desk.phone.recorder.events()), (1, 1));
}

#[test]
fn taps_that_end_as_fast_as_they_can_share_their_background_work() {
    let desk = Desk::patient();
    let spawner = Watching::new(&desk);
    let wallet = desk.ready(Host { spawner: spawner.clone(), ..desk.phone.host() });
    spawner.restart();
    for _ in 0..500 {
        commands_until(&wallet, &[select_ppse(), select_credit()]);
        wallet.field_lost(FieldLoss::LinkLost);
    }
    // One watches for silence, one cleans up after ended taps, one may look at the stock.
    assert!(spawner.most.load(Ordering::SeqCst) <= 3, "{} tasks", spawner.most.load(Ordering::SeqCst));
    desk.hears("all taps", |events| told(events) == (500, 500));
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
}

#[test]
fn a_tap_whose_reader_starts_again_after_a_lock_is_refused_once() {
    let desk = Desk::patient();
    let wallet = desk.ready(desk.phone.host());
    commands_until(&wallet, &[select_ppse(), select_credit()]);
    desk.run(wallet.lock()).unwrap();
    for _ in 0..3 {
        assert_eq!(wallet.process_apdu(&select_ppse()), [0x6A, 0x82]);
    }
    assert_eq!(desk.failures(1), [TapFailure::TokenUnavailable]);
    assert_eq!(told(&desk.phone.recorder.events()), (1, 1));
}
