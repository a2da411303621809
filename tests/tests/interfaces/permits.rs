//! Permits that call back into the wallet from within.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfcwallet_core::host::{Host, HostError, PermitDecision, RiskControl, TransactionPermit};
use nfcwallet_core::payment::{FieldLoss, TapFailure, TransactionInformation};
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::{Wallet, WalletError};

use crate::desk::{Desk, Till};

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
