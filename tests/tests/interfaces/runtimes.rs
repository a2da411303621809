//! Clocks, generators and spawners that panic during a tap.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nfcwallet_core::host::{BoxFuture, Entropy, Host, OsEntropy, Spawner};
use nfcwallet_core::payment::TapFailure;
use nfcwallet_sandbox::device::TokioSpawner;

use crate::desk::{Desk, Till};

/// Outside a runtime, as `tokio::spawn` is on a platform's binder thread.
struct Stranded(TokioSpawner, AtomicBool);

impl Spawner for Stranded {
    fn spawn(&self, task: BoxFuture<()>) {
        assert!(!self.1.load(Ordering::SeqCst), "there is no reactor running");
        self.0.spawn(task);
    }
}

#[test]
fn a_spawner_that_panics_costs_no_tap() {
    let desk = Desk::new();
    let spawner = Arc::new(Stranded(TokioSpawner(desk.sandbox.runtime().clone()), AtomicBool::new(false)));
    let wallet = desk.ready(Host { spawner: spawner.clone(), ..desk.phone.host() });
    spawner.1.store(true, Ordering::SeqCst);
    assert!(matches!(desk.pay(&wallet, 100), Till::Online(_)));
    desk.completed();
    assert_eq!(wallet.credentials().unwrap().usable, 19);
}

thread_local! {
    /// How often the generator still works on this thread; 0 for always.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Panics at the draw that [`LEFT`] says, on the thread of the taps only.
struct Failing;

impl Entropy for Failing {
    fn fill(&self, bytes: &mut [u8]) {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        assert_ne!(left, 1, "no randomness");
        OsEntropy.fill(bytes);
    }
}

#[test]
fn a_generator_that_panics_ends_the_tap_before_the_burn() {
    let desk = Desk::new();
    let wallet = desk.ready(Host { entropy: Arc::new(Failing), ..desk.phone.host() });
    let mut failed = 0;
    loop {
        LEFT.set(failed + 1);
        let till = desk.pay(&wallet, 100);
        if LEFT.replace(0) > 0 {
            assert!(matches!(till, Till::Online(_)), "after {failed}: {till:?}");
            break;
        }
        failed += 1;
        assert!(matches!(till, Till::Other(_)), "draw {failed}: {till:?}");
        assert_eq!(desk.failures(failed), vec![TapFailure::Internal; failed]);
        assert_eq!(wallet.credentials().unwrap().usable, 20, "draw {failed} cost a credential");
    }
    // The card draws three times, the tap once for its reference.
    assert!(failed >= 4, "{failed}");
    assert_eq!(wallet.credentials().unwrap().usable, 19);
}
