//! What a phone that cannot pay is told to do.

use nfcwallet_core::Advice;
use nfcwallet_core::wallet::Condition;

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
