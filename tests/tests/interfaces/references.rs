//! The app's reference: for one payment, and for no other.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nfcwallet_core::host::{Host, HostError, PermitDecision, RiskControl, TransactionPermit};
use nfcwallet_core::payment::{CdcvmMethod, FieldLoss, TapFailure, TransactionInformation, TransactionOutcome};
use nfcwallet_core::{Wallet, WalletError};

use crate::desk::{Desk, Till, select_ppse};

const ORDER: Till = Till::Online(*b"ORDER--1");

#[test]
fn a_refused_tap_takes_its_reference_with_it() {
    let desk = Desk::new();
    let wallet = desk.ready(desk.phone.host());
    wallet.set_transaction_reference(b"ORDER--1").unwrap();
    desk.phone.permit.answer(Ok(PermitDecision::Decline));
    assert!(matches!(desk.pay(&wallet, 100), Till::Other(_)));
    desk.phone.permit.answer(Ok(PermitDecision::Proceed));
    assert_ne!(desk.pay(&wallet, 777), ORDER);
}

#[test]
fn a_lost_tap_takes_its_reference_with_it() {
    let desk = Desk::new();
    let wallet = desk.ready(desk.phone.host());
    wallet.set_transaction_reference(b"ORDER--1").unwrap();
    assert!(wallet.process_apdu(&select_ppse()).ends_with(&[0x90, 0x00]));
    wallet.field_lost(FieldLoss::LinkLost);
    assert_ne!(desk.pay(&wallet, 100), ORDER);
}

#[test]
fn the_second_tap_after_see_phone_carries_the_reference() {
    let desk = Desk::new();
    let wallet = desk.ready(desk.phone.host());
    wallet.set_transaction_reference(b"ORDER--1").unwrap();
    desk.pay(&wallet, 8_000);
    assert_eq!(desk.failures(1), [TapFailure::CdcvmRequired]);
    wallet.authenticate(CdcvmMethod::Fingerprint).unwrap();
    assert_eq!(desk.pay(&wallet, 8_000), ORDER);
    let outcome = desk.completed().outcome;
    assert!(
        matches!(outcome, TransactionOutcome::Complete { atc: 1, reference, cdcvm: true } if reference == *b"ORDER--1")
    );
}

#[test]
fn another_payment_after_see_phone_does_not_carry_it() {
    let desk = Desk::new();
    let wallet = desk.ready(desk.phone.host());
    wallet.set_transaction_reference(b"ORDER--1").unwrap();
    desk.pay(&wallet, 8_000);
    // A coffee needs nobody's finger.
    assert!(matches!(desk.pay(&wallet, 300), Till::Online(reference) if Till::Online(reference) != ORDER));
    wallet.authenticate(CdcvmMethod::Fingerprint).unwrap();
    assert_ne!(desk.pay(&wallet, 8_000), ORDER);
}

/// Overruns its deadline, then sets a reference.
struct Late {
    wallet: Mutex<Option<Wallet>>,
    go: Mutex<Receiver<()>>,
    done: Mutex<Sender<Result<(), WalletError>>>,
}

impl TransactionPermit for Late {
    fn is_allowed(&self, _: bool, _: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
        let Some(wallet) = self.wallet.lock().unwrap().take() else { return Ok(PermitDecision::Proceed) };
        self.go.lock().unwrap().recv().unwrap();
        let outcome = wallet.set_transaction_reference(b"ORDER--1");
        self.done.lock().unwrap().send(outcome).unwrap();
        Ok(PermitDecision::Proceed)
    }
}

#[test]
fn a_permit_that_is_late_leaves_no_reference_behind() {
    let desk = Desk::new();
    let (go, wait) = channel();
    let (tell, done) = channel();
    let permit = Arc::new(Late { wallet: Mutex::new(None), go: Mutex::new(wait), done: Mutex::new(tell) });
    let wallet = desk.ready(Host { permit: permit.clone(), ..desk.phone.host() });
    *permit.wallet.lock().unwrap() = Some(wallet.clone());
    desk.pay(&wallet, 100);
    assert_eq!(desk.failures(1), [TapFailure::PermitTimeout]);
    go.send(()).unwrap();
    let refused = done.recv_timeout(Duration::from_secs(10)).unwrap().unwrap_err();
    assert_eq!(refused.code(), 10_011);
    assert_ne!(desk.pay(&wallet, 777), ORDER);
}
