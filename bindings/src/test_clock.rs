//! A clock that a test of the app moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nfcwallet_core::host::{BoxFuture, Clock};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::clock::{since_boot, timer, wall_ms};

/// Pauses up to this long (polls of an activation) are skipped; longer ones (back-off) wait for the test.
const SKIPPED: Duration = Duration::from_secs(10);

/// A clock for tests of an app: the device's clocks, plus what was skipped and what the test added.
///
/// Pauses of up to 10 s (the polls of an activation) are skipped; longer ones (the back-off after a failed
/// replenishment) wait until `advance` has moved the clock past them. Deadlines of host interfaces take the
/// time that they take. Not for an app that ships: `Wallet.with_test_clock` is its only use.
#[derive(Debug, Default, uniffi::Object)]
pub struct TestClock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    offsets: Mutex<Offsets>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Offsets {
    ahead: Duration,
    wall_ms: i64,
}

#[uniffi::export]
impl TestClock {
    /// A clock that shows the device's time.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Both clocks go on by `by_ms` milliseconds.
    pub fn advance(&self, by_ms: u64) {
        self.shared.advance(Duration::from_millis(by_ms));
    }

    /// The wall clock is off by `offset_ms` milliseconds from now on, which the monotonic clock never notices.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        self.shared.lock().wall_ms = offset_ms;
    }
}

impl TestClock {
    /// The clock as the wallet reads it.
    pub(crate) fn on(&self, runtime: Handle) -> Arc<dyn Clock> {
        Arc::new(Moved { shared: Arc::clone(&self.shared), runtime })
    }
}

impl Shared {
    fn advance(&self, by: Duration) {
        let mut offsets = self.lock();
        offsets.ahead = offsets.ahead.saturating_add(by);
        drop(offsets);
        self.moved.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Moved {
    shared: Arc<Shared>,
    runtime: Handle,
}

impl Clock for Moved {
    fn monotonic(&self) -> Duration {
        since_boot().saturating_add(self.shared.lock().ahead)
    }

    fn wall_ms(&self) -> i64 {
        let offsets = self.shared.lock();
        let ahead = i64::try_from(offsets.ahead.as_millis()).unwrap_or(i64::MAX);
        wall_ms().saturating_add(ahead).saturating_add(offsets.wall_ms)
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        if pause <= SKIPPED {
            self.shared.advance(pause);
            // Others get a turn, as they would during a real pause.
            return timer(&self.runtime, Duration::from_millis(1));
        }
        let until = self.shared.lock().ahead.saturating_add(pause);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            loop {
                let moved = shared.moved.notified();
                if shared.lock().ahead >= until {
                    return;
                }
                moved.await;
            }
        })
    }

    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        timer(&self.runtime, limit)
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
