//! Hardware that takes its time.

use std::time::Duration;

use nfcwallet_sandbox::device::{KeyCall, KeyFault};

use crate::desk::{Desk, Till};

#[test]
fn a_key_store_slower_than_the_radio_delays_a_tap_and_refuses_none() {
    let desk = Desk::patient();
    let wallet = desk.ready(desk.phone.host());
    let before = wallet.credentials().unwrap().usable;
    desk.phone.key_store.inject(Some(KeyCall::SetAnchor), KeyFault::Slow(Duration::from_millis(400)), None);
    for paid in 1..=3 {
        let till = desk.pay(&wallet, 100);
        assert!(matches!(till, Till::Online(_)), "{till:?}");
        assert_eq!(wallet.credentials().unwrap().usable, before - paid);
    }
    desk.phone.key_store.mend();
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
}

#[test]
fn a_key_store_slower_than_its_deadline_refuses_the_tap_and_spends_nothing() {
    let mut desk = Desk::patient();
    desk.deadlines.key_store = Duration::from_millis(300);
    let wallet = desk.ready(desk.phone.host());
    let before = wallet.credentials().unwrap().usable;
    desk.phone.key_store.inject(Some(KeyCall::SetAnchor), KeyFault::Slow(Duration::from_secs(1)), Some(1));
    let till = desk.pay(&wallet, 100);
    assert!(matches!(till, Till::Other(_)), "{till:?}");
    assert_eq!(wallet.credentials().unwrap().usable, before);
    // Its late write must land before the next tap can arm.
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
    let ledger = desk.sandbox.issuer().ledger();
    assert_eq!(ledger.violations().unwrap(), []);
}
