//! Permits that call back into the wallet from within.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nfcwallet_core::host::{Host, HostError, PermitDecision, RiskControl, TransactionPermit};
use nfcwallet_core::payment::{CdcvmMethod, FieldLoss, TapFailure, TransactionInformation, TransactionOutcome};
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::{Wallet, WalletError};
use nfcwallet_sandbox::issuer::CardShape;

use crate::desk::{Desk, Till, select_ppse};

type Act = Box<dyn Fn(&Wallet) -> PermitDecision + Send>;

/// Calls `act` with the wallet; notes how long it took.
#[derive(Default)]
struct CallingBack {
    act: Mutex<Option<(Wallet, Act)>>,
    took: Mutex<Option<Duration>>,
}

impl TransactionPermit for CallingBack {
    fn is_allowed(&self, _: bool, _: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
        let Some((wallet, act)) = self.act.lock().unwrap().take() else { return Ok(PermitDecision::Proceed) };
        let started = Instant::now();
        let decision = act(&wallet);
        *self.took.lock().unwrap() = Some(started.elapsed());
        Ok(decision)
    }
}

/// One tap whose permit does `act`: the till, the failures told, and the wallet.
fn tap(desk: &Desk, act: impl Fn(&Wallet) -> PermitDecision + Send + 'static) -> (Till, Wallet) {
    let permit = Arc::new(CallingBack::default());
    let wallet = desk.ready(Host { permit: permit.clone(), ..desk.phone.host() });
    *permit.act.lock().unwrap() = Some((wallet.clone(), Box::new(act)));
    let till = desk.pay(&wallet, 100);
    let took = permit.took.lock().unwrap().expect("the permit came back in time");
    assert!(took < Duration::from_millis(80), "the call back waited {took:?}");
    (till, wallet)
}

#[test]
fn a_permit_that_ends_the_field_keeps_its_own_answer() {
    let desk = Desk::new();
    let (till, wallet) = tap(&desk, |wallet| {
        wallet.field_lost(FieldLoss::LinkLost);
        PermitDecision::CustomDecline(2)
    });
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(desk.failures(1), [TapFailure::CustomDecline(2)]);
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
}

#[test]
fn a_tap_that_ends_while_the_app_decides_burns_nothing() {
    let desk = Desk::new();
    let (till, wallet) = tap(&desk, |wallet| {
        wallet.field_lost(FieldLoss::LinkLost);
        PermitDecision::Proceed
    });
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(desk.failures(1), [TapFailure::LinkLost]);
    assert_eq!(wallet.credentials().unwrap().usable, 20);
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
}

#[test]
fn a_permit_may_disconnect() {
    let desk = Desk::new();
    let runtime = desk.sandbox.runtime().clone();
    let (till, wallet) = tap(&desk, move |wallet| {
        runtime.block_on(wallet.disconnect()).unwrap();
        PermitDecision::Proceed
    });
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(desk.failures(1), [TapFailure::LinkLost]);
    assert_eq!(wallet.token_status(), TokenStatus::Disconnected);
}

#[test]
fn a_permit_may_shut_the_wallet_down() {
    let desk = Desk::new();
    let (till, wallet) = tap(&desk, |wallet| {
        wallet.shutdown();
        PermitDecision::Proceed
    });
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(desk.failures(1), [TapFailure::LinkLost]);
    assert_eq!(wallet.credentials().unwrap_err(), WalletError::ShutDown);
    let again = desk.open(desk.phone.host());
    assert_eq!(again.credentials().unwrap().usable, 20);
}

/// One tap whose permit begins `call`, waits until the wallet is no longer ready, and says yes.
fn tap_while<F>(call: impl Fn(Wallet) -> F + Send + 'static) -> (Desk, Wallet)
where
    F: Future<Output = ()> + Send + 'static,
{
    let desk = Desk::patient();
    let runtime = desk.sandbox.runtime().clone();
    let permit = Arc::new(CallingBack::default());
    let wallet = desk.ready(Host { permit: permit.clone(), ..desk.phone.host() });
    let act = move |wallet: &Wallet| {
        runtime.spawn(call(wallet.clone()));
        while wallet.token_status() == TokenStatus::Ready {
            std::thread::yield_now();
        }
        PermitDecision::Proceed
    };
    *permit.act.lock().unwrap() = Some((wallet.clone(), Box::new(act)));
    let till = desk.pay(&wallet, 100);
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    (desk, wallet)
}

#[test]
fn a_permit_may_lock_the_token_and_nothing_is_spent() {
    let (desk, wallet) = tap_while(|wallet| async move { drop(wallet.lock().await) });
    assert_eq!(desk.failures(1), [TapFailure::TokenUnavailable]);
    assert_eq!(wallet.credentials().unwrap().usable, 20);
}

#[test]
fn a_permit_may_delete_the_token_and_nothing_leaves() {
    let (desk, _wallet) = tap_while(|wallet| async move { drop(wallet.delete_token().await) });
    let told = desk.failures(1);
    assert!(matches!(told[..], [TapFailure::TokenUnavailable | TapFailure::InsufficientCredentials]), "{told:?}");
}

#[test]
fn a_permit_may_log_another_user_in() {
    let (desk, wallet) = tap_while(|wallet| async move { drop(wallet.connect("bob").await) });
    assert_eq!(desk.failures(1), [TapFailure::LinkLost]);
    desk.run(wallet.connect("alice")).unwrap();
    assert_eq!(wallet.credentials().unwrap().usable, 20);
}

#[test]
fn an_apdu_from_within_the_permit_gets_no_second_tap_and_declines_its_own() {
    let desk = Desk::patient();
    let (till, wallet) = tap(&desk, |wallet| {
        assert_eq!(wallet.process_apdu(&select_ppse()), [0x69, 0x85]);
        PermitDecision::Proceed
    });
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(desk.failures(1), [TapFailure::DeclinedByApp]);
    assert_eq!(wallet.credentials().unwrap().usable, 20);
    // The wallet lives on.
    assert!(matches!(desk.pay(&wallet, 101), Till::Online(_)));
}

#[test]
fn a_proof_given_within_the_permit_is_for_the_next_tap() {
    let desk = Desk::patient();
    let (till, wallet) = tap(&desk, |wallet| {
        wallet.authenticate(CdcvmMethod::Fingerprint).unwrap();
        PermitDecision::Proceed
    });
    assert!(matches!(till, Till::Online(_)), "{till:?}");
    assert!(!matches!(desk.completed().outcome, TransactionOutcome::Complete { cdcvm: true, .. }));
    assert!(matches!(desk.pay(&wallet, 8_000), Till::Online(_)));
    assert_eq!(wallet.authentication_remaining(), None);
}

/// Hangs until it is told to go on.
struct Hanging(Mutex<bool>, Condvar);

impl TransactionPermit for Hanging {
    fn is_allowed(&self, _: bool, _: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
        let _mended = self.1.wait_while(self.0.lock().unwrap(), |hangs| *hangs).unwrap();
        Ok(PermitDecision::Proceed)
    }
}

#[test]
fn permits_that_hang_cost_their_taps_and_nothing_else() {
    let mut desk = Desk::patient();
    desk.deadlines.permit = Duration::from_millis(100);
    let permit = Arc::new(Hanging(Mutex::new(true), Condvar::new()));
    let wallet = desk.ready(Host { permit: permit.clone(), ..desk.phone.host() });
    // More than an interface may have threads.
    for _ in 0..20 {
        assert!(matches!(desk.pay(&wallet, 100), Till::Other(_)));
    }
    assert_eq!(desk.failures(20), [TapFailure::PermitTimeout; 20]);
    // Key store, device and proxy have threads of their own.
    assert!(wallet.readiness().is_ready());
    assert_eq!(desk.run(wallet.sync_token()).unwrap(), TokenStatus::Ready);
    assert_eq!(wallet.credentials().unwrap().usable, 20);
    *permit.0.lock().unwrap() = false;
    permit.1.notify_all();
    let until = Instant::now() + Duration::from_secs(10);
    while !matches!(desk.pay(&wallet, 100), Till::Online(_)) {
        assert!(Instant::now() < until, "the permit is mended and no tap is paid");
    }
    // None of the late answers paid anything.
    assert_eq!(wallet.credentials().unwrap().usable, 19);
}

#[test]
fn the_merchants_name_reaches_permit_listener_and_history() {
    #[derive(Default)]
    struct Shown(Mutex<Vec<TransactionInformation>>);
    impl TransactionPermit for Shown {
        fn is_allowed(&self, _: bool, of: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
            self.0.lock().unwrap().push(of);
            Ok(PermitDecision::Proceed)
        }
    }
    let desk = Desk::with_cards(CardShape::MerchantName);
    let permit = Arc::new(Shown::default());
    let wallet = desk.ready(Host { permit: permit.clone(), ..desk.phone.host() });
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
    let told = desk.completed();
    let kept = wallet.transactions(None, 1).unwrap().transactions;
    let asked = permit.0.lock().unwrap().clone();
    assert_eq!(asked[0].merchant_name.as_deref(), Some("Sandbox Supermarket"));
    assert_eq!((&asked[0], &kept[..]), (&told.transaction, &[told.clone()][..]));
}
