//! `init` beside the end of the wallet before, and beside a key store that hangs.

use std::time::{Duration, Instant};

use nfcwallet_core::WalletError;
use nfcwallet_core::token::TokenStatus;
use nfcwallet_sandbox::device::KeyFault;

use crate::desk::Desk;

#[test]
fn an_init_during_a_shutdown_gives_a_living_wallet() {
    let desk = Desk::new();
    for round in 0..50 {
        let wallet = desk.open(desk.phone.host());
        let ending = wallet.clone();
        let end = std::thread::spawn(move || ending.shutdown());
        while wallet.credentials() != Err(WalletError::ShutDown) {
            std::hint::spin_loop();
        }
        let next = desk.open(desk.phone.host());
        assert_eq!(next.token_status(), TokenStatus::Disconnected, "round {round}");
        end.join().unwrap();
        // The end of the one before does not forget its successor.
        wallet.shutdown();
        desk.run(next.connect("alice")).unwrap();
        assert_eq!(desk.open(desk.phone.host()).token_status(), TokenStatus::NoToken);
        desk.run(next.disconnect()).unwrap();
        next.shutdown();
    }
}

#[test]
fn a_directory_that_opens_slowly_holds_up_no_other() {
    let (slow, quick) = (Desk::new(), Desk::new());
    slow.phone.key_store.inject(None, KeyFault::Slow(Duration::from_secs(2)), Some(1));
    let (config, host) = (slow.config(), slow.phone.host());
    let opening = std::thread::spawn(move || nfcwallet_core::Wallet::init(config, host).map(drop));
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    let _wallet = quick.open(quick.phone.host());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(!opening.is_finished());
    opening.join().unwrap().unwrap();
}
