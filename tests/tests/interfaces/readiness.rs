//! What a phone that cannot pay is told to do.

use std::sync::Arc;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::Host;
use nfcwallet_core::wallet::Condition;
use nfcwallet_core::{Advice, WalletError};
use nfcwallet_sandbox::device::SimDevice;

use crate::desk::Desk;

#[test]
fn a_locked_device_is_told_to_unlock_and_not_to_start_anew() {
    let desk = Desk::new();
    let wallet = desk.open(desk.phone.host());
    wallet.shutdown();
    desk.phone.key_store.set_locked(true);
    let wallet = desk.open(desk.phone.host());
    let report = wallet.readiness();
    let [condition @ Condition::Token { advice, .. }] = report.blocking.as_slice() else { panic!("{report:?}") };
    assert_eq!(*advice, Advice::Authenticate);
    assert_eq!(condition.next_step(), "unlock the device, then ask again");
}

#[test]
fn a_device_without_a_fingerprint_or_with_an_endless_one_gets_no_token() {
    let desk = Desk::new();
    for fingerprint in [String::new(), "x".repeat(257)] {
        let device = Arc::new(SimDevice::new(fingerprint));
        let wallet = desk.open(Host { device, ..desk.phone.host() });
        desk.run(wallet.connect("alice")).unwrap();
        let activated = desk.run(wallet.activate(ActivationMode::Manual, desk.phone.recorder.clone()));
        assert!(matches!(activated, Err(WalletError::InvalidInput { field: "fingerprint", .. })), "{activated:?}");
        wallet.shutdown();
    }
    assert!(desk.sandbox.service().state().unwrap().applications.is_empty());
}
