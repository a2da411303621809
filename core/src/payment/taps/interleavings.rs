//! Taps under many orders of the threads around them: the reader's, a field that is lost, a second
//! reader, the work after a tap, the end of the wallet.
//!
//! Store, guard and card are the real ones. Whatever the order, each tap has one start and one end, in
//! that order and before the next tap's start, and a cryptogram that left is a completed tap and one
//! credential less.

use std::collections::BTreeSet;
use std::sync::Mutex as StdMutex;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

use super::*;
use crate::card::test_card;
use crate::config::{Configuration, RemoteConfig, WalletConfig};
use crate::context::ServiceContact;
use crate::host::{
    Deadlines, Delivered, DeviceFingerprint, DeviceInfo, DeviceState, EventQueue, Host, HostCalls, HostError,
    IntegrityVerdict, PermitDecision, RiskControl, TransactionListener, TransactionPermit,
};
use crate::payment::{TransactionInformation, TransactionRecord};
use crate::secret::Secret;
use crate::storage::test_host::TestKeys;
use crate::storage::{Store, StoreConfig, TokenPhase, TokenRecord};
use crate::sync::{Passing, begin};
use crate::token_service::operations::WireCredential;
use crate::token_service::{ClientSettings, Sessions, TokenServiceClient};

/// Orders that are tried by each scheduler: each opens a store of its own.
const ORDERS: usize = 150;

/// Errors that need one thread to stand still for long at so few moments are found by the second
/// scheduler.
const MOMENTS: usize = 3;

const STOCK: u16 = 3;

const PPSE: &str = "00A40400 0E 325041592E5359532E4444463031 00";
/// One tap. 12.34 GBP in the United Kingdom, merchant category 5411.
const TAP: [&str; 4] = [
    PPSE,
    "00A40400 07 A0000000041010 00",
    "80A80000 0D 83 0B 4400000000000000 0826 22 00",
    concat!(
        "80AE9000 2D 000000001234 000000000000 0826 0000008000 0826 260131 00 AABBCCDD",
        "22 0000 0000000000000000 1F0302 5411 00"
    ),
];

/// What the app hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Start(TapId),
    Complete(TapId),
    Failed(TapId, TapFailure),
}

/// An app that agrees to everything.
#[derive(Default)]
struct App(StdMutex<Vec<Heard>>);

impl App {
    fn hear(&self, heard: Heard) -> std::result::Result<Delivered, HostError> {
        self.0.lock().unwrap().push(heard);
        Ok(Delivered::Done)
    }
}

impl TransactionListener for App {
    fn on_start(&self, tap: TapId) -> std::result::Result<Delivered, HostError> {
        self.hear(Heard::Start(tap))
    }

    fn on_complete(&self, tap: TapId, _: TransactionRecord) -> std::result::Result<Delivered, HostError> {
        self.hear(Heard::Complete(tap))
    }

    fn on_failed(
        &self,
        tap: TapId,
        failure: TapFailure,
        _: Option<TransactionInformation>,
    ) -> std::result::Result<Delivered, HostError> {
        self.hear(Heard::Failed(tap, failure))
    }

    fn on_auth_required(&self, _: TapId, _: TransactionInformation) -> std::result::Result<Delivered, HostError> {
        panic!("a low amount asks for nobody")
    }
}

struct Willing;

impl TransactionPermit for Willing {
    fn is_allowed(
        &self,
        _: bool,
        _: TransactionInformation,
        _: RiskControl,
    ) -> std::result::Result<PermitDecision, HostError> {
        Ok(PermitDecision::Proceed)
    }
}

impl DeviceInfo for Willing {
    fn fingerprint(&self) -> std::result::Result<DeviceFingerprint, HostError> {
        Err(HostError::Offline)
    }

    fn state(&self) -> std::result::Result<DeviceState, HostError> {
        let integrity = IntegrityVerdict::Safe;
        Ok(DeviceState { nfc_on: true, default_payment_app: true, screen_on: true, unlocked: true, integrity })
    }
}

/// A wallet's part that pays.
struct Desk {
    taps: Taps,
    context: Context,
    app: Arc<App>,
    user: UserKey,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let app = Arc::<App>::default();
        let host = Host {
            transactions: app.clone(),
            permit: Arc::new(Willing),
            device: Arc::new(Willing),
            ..TestKeys::default().calls().host().clone()
        };
        let calls = Arc::new(HostCalls::new(host, Deadlines::default()));
        let directory = folder.path().to_owned();
        let config = StoreConfig { directory: directory.clone(), history_limit: 10 };
        let store = Arc::new(Store::open(&config, Arc::clone(&calls)).unwrap());
        let user = issue(&store);
        let trust_key = p256::SecretKey::from_slice(&[1; 32]).unwrap().public_key().to_sec1_bytes().to_vec();
        let settings =
            ClientSettings { mpp_id: "mpp-1".to_owned(), trust_key: trust_key.clone(), instance_id: store.identity() };
        let context = Context {
            service: TokenServiceClient::new(Arc::clone(&calls), Arc::clone(&store) as _, settings).unwrap(),
            calls,
            store,
            sessions: Sessions::default(),
            configuration: Configuration::new(
                WalletConfig::new(directory, "mpp-1", trust_key),
                RemoteConfig::default(),
            ),
            contact: ServiceContact::default(),
            events: EventQueue::default(),
            tap_events: EventQueue::default(),
            monitor_events: EventQueue::default(),
        };
        Arc::new(Self { taps: Taps::new(Arc::default()), context, app, user, _folder: folder })
    }

    /// One APDU. What is left to do is done on a thread of its own, as by the host's executor.
    fn send(self: &Arc<Self>, apdu: &str) -> Vec<u8> {
        let answered = self.taps.process(&self.context, &test_card::hex(apdu));
        self.see_to(answered.after);
        answered.answer
    }

    fn see_to(self: &Arc<Self>, after: AfterTap) {
        if let AfterTap::TapEnded(left) = after {
            let desk = Arc::clone(self);
            thread::spawn(move || desk.taps.clean_up(&desk.context, left.rows));
        }
    }

    /// A tap until the terminal gives up; true if it got a cryptogram.
    fn tap(self: &Arc<Self>) -> bool {
        self.got_cryptogram(&TAP)
    }

    fn got_cryptogram(self: &Arc<Self>, apdus: &[&str]) -> bool {
        let answers = apdus.iter().map(|apdu| self.send(apdu));
        answers.filter(|answer| answer.windows(4).any(|bytes| bytes == [0x9F, 0x27, 0x01, 0x80])).count() > 0
    }

    fn lose_field(self: &Arc<Self>) {
        let after = self.taps.end(&self.context);
        self.see_to(after);
    }

    fn usable(&self) -> u32 {
        self.context.store.read(|tx| tx.stock(self.user, 0)).unwrap().usable
    }
}

fn issue(store: &Store) -> UserKey {
    let user = store.write(|tx| tx.connect_user("user-1")).unwrap();
    let token = TokenRecord {
        reference: "token-1".to_owned(),
        phase: TokenPhase::Active,
        suspended_by: BTreeSet::new(),
        pending: None,
    };
    let credential =
        |atc| WireCredential { atc, session_key: Secret::new([7; 16]), cvc3_key: None, expires_at_ms: 1_000_000_000 };
    let credentials: Vec<_> = (1..=STOCK).map(credential).collect();
    let added = store.write_guarded(|tx| {
        tx.put_token(user, &token, &test_card::profile())?;
        tx.add_credentials(user, &credentials)
    });
    assert_eq!(added, Ok(u32::from(STOCK)));
    user
}

/// Plays `scene` in many orders; it answers how many cryptograms left, and how many credentials are left
/// if it knows.
fn in_many_orders(scene: fn(&Arc<Desk>) -> (usize, Option<u32>)) {
    // SQLite and the card's arithmetic want more stack than shuttle gives by default.
    let mut config = Config::new();
    config.stack_size = 2 << 20;
    let once = move || {
        begin(Passing::Never);
        let desk = Desk::new();
        let (cryptograms, usable) = scene(&desk);
        let app = Arc::clone(&desk.app);
        drop(desk);
        // The event thread lets go of the app when it has told it everything.
        while Arc::strong_count(&app) > 1 {
            thread::yield_now();
        }
        let heard = app.0.lock().unwrap();
        assert_eq!(completed_in_order(&heard), cryptograms, "{heard:?}");
        if let Some(usable) = usable {
            assert_eq!(usize::from(STOCK) - cryptograms, usize::try_from(usable).unwrap(), "{heard:?}");
        }
    };
    Runner::new(RandomScheduler::new(ORDERS), config.clone()).run(once);
    Runner::new(PctScheduler::new(MOMENTS, ORDERS), config).run(once);
}

/// How many taps were completed, if each has one start and one end, and no other begins in between. A
/// refusal before a start is an end alone.
fn completed_in_order(heard: &[Heard]) -> usize {
    let mut running = None;
    let mut ended = BTreeSet::new();
    for one in heard {
        match *one {
            Heard::Start(tap) => assert_eq!(running.replace(tap), None, "{heard:?}"),
            Heard::Failed(tap, TapFailure::StorageUnusable) if running.is_none() => assert!(ended.insert(tap)),
            Heard::Complete(tap) | Heard::Failed(tap, _) => {
                assert_eq!(running.take(), Some(tap), "{heard:?}");
                assert!(ended.insert(tap), "{heard:?}");
            }
        }
    }
    assert_eq!(running, None, "a tap without an end: {heard:?}");
    heard.iter().filter(|one| matches!(one, Heard::Complete(_))).count()
}

#[test]
fn a_field_that_is_lost_at_any_moment_ends_its_tap_once_and_spends_no_more_than_left() {
    in_many_orders(|desk| {
        // After both SELECTs, since another one would begin another tap; and no reader sends on after it.
        let (before, rest) = TAP.split_at(thread_rng().gen_range(2..=3));
        let beside = &rest[..1];
        desk.got_cryptogram(before);
        let reader = {
            let desk = Arc::clone(desk);
            thread::spawn(move || usize::from(desk.got_cryptogram(beside)))
        };
        desk.lose_field();
        let cryptograms = reader.join().unwrap();
        assert!(!desk.taps.is_running(), "the tap goes on without a field");
        (cryptograms, Some(desk.usable()))
    });
}

#[test]
fn the_events_of_the_next_tap_never_overtake_those_of_the_one_before() {
    in_many_orders(|desk| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let desk = Arc::clone(desk);
                thread::spawn(move || usize::from(desk.tap()))
            })
            .collect();
        let cryptograms = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        desk.lose_field();
        (cryptograms, Some(desk.usable()))
    });
}

#[test]
fn the_next_tap_pays_beside_the_work_after_the_last_one() {
    in_many_orders(|desk| {
        let cryptograms = (0..usize::from(STOCK)).filter(|_| desk.tap()).count();
        assert_eq!(cryptograms, usize::from(STOCK));
        (cryptograms, Some(desk.usable()))
    });
}

#[test]
fn a_wallet_that_ends_during_a_tap_tells_its_end_and_hangs_for_nobody() {
    in_many_orders(|desk| {
        let reader = {
            let desk = Arc::clone(desk);
            thread::spawn(move || usize::from(desk.tap()))
        };
        // As `Wallet::shutdown` does.
        desk.lose_field();
        desk.context.store.close();
        desk.taps.forget_card();
        let cryptograms = reader.join().unwrap();
        desk.lose_field();
        (cryptograms, None)
    });
}
