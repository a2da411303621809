//! A clock that a test of the app moves.

use std::sync::Arc;
use std::time::Duration;

use nfcwallet_core::host::{self, Clock};
use tokio::runtime::Handle;

use crate::clock::DeviceClock;

/// A clock for tests of an app: the device's clocks, plus what was skipped and what the test added.
///
/// Pauses of up to 10 s (the polls of an activation) are skipped; longer ones (the back-off after a failed
/// replenishment) wait until `advance` has moved the clock past them. Deadlines of host interfaces take the
/// time that they take. Not for an app that ships: `Wallet.with_test_clock` is its only use.
#[derive(Debug, Default, uniffi::Object)]
pub struct TestClock(host::TestClock);

#[uniffi::export]
impl TestClock {
    /// A clock that shows the device's time.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Both clocks go on by `by_ms` milliseconds.
    pub fn advance(&self, by_ms: u64) {
        self.0.advance(Duration::from_millis(by_ms));
    }

    /// The wall clock is off by `offset_ms` milliseconds from now on, which the monotonic clock never notices.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        self.0.set_wall_offset(offset_ms);
    }
}

impl TestClock {
    /// The clock as the wallet reads it.
    pub(crate) fn on(&self, runtime: Handle) -> Arc<dyn Clock> {
        self.0.over(Arc::new(DeviceClock(runtime)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime;

    #[test]
    fn polls_are_skipped_and_long_pauses_wait_for_the_test() {
        let runtime = runtime::handle().unwrap();
        let ours = TestClock::new();
        let clock = ours.on(runtime.clone());
        let before = clock.monotonic();
        runtime.block_on(clock.sleep(Duration::from_secs(2)));
        assert!(clock.monotonic() - before >= Duration::from_secs(2));
        let sleeper = runtime.spawn(clock.sleep(Duration::from_secs(30)));
        assert!(!sleeper.is_finished());
        ours.advance(30_000);
        runtime.block_on(sleeper).unwrap();
    }

    #[test]
    fn the_wall_clock_alone_can_be_wrong() {
        let ours = TestClock::new();
        let clock = ours.on(runtime::handle().unwrap());
        let (wall, monotonic) = (clock.wall_ms(), clock.monotonic());
        ours.set_wall_offset(-3_600_000);
        assert!(clock.wall_ms() - wall < -3_500_000);
        assert!(clock.monotonic() - monotonic < Duration::from_secs(60));
    }
}
