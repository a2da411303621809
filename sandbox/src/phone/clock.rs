//! A clock that skips the pauses of polling and obeys its driver for everything longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nfcwallet_core::host::{BoxFuture, Clock};
use tokio::sync::Notify;

/// Pauses up to this long (polls of an activation) are skipped; longer ones (back-off) wait for the
/// driver to move the clock.
const SKIPPED: Duration = Duration::from_secs(10);

/// Real time plus what was skipped and what the driver added.
#[derive(Debug)]
pub struct TestClock {
    start: Instant,
    state: Arc<(Mutex<Offsets>, Notify)>,
}

#[derive(Debug, Default)]
struct Offsets {
    ahead: Duration,
    wall_ms: i64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { start: Instant::now(), state: Arc::default() }
    }
}

impl TestClock {
    /// Both clocks go on by `by`.
    pub fn advance(&self, by: Duration) {
        self.offsets().ahead += by;
        self.state.1.notify_waiters();
    }

    /// The wall clock is off by `offset_ms` from now on.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        self.offsets().wall_ms = offset_ms;
    }

    fn offsets(&self) -> std::sync::MutexGuard<'_, Offsets> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn monotonic(&self) -> Duration {
        // From 1 h on, so that nothing depends on a young clock.
        Duration::from_secs(3_600) + self.start.elapsed() + self.offsets().ahead
    }

    fn wall_ms(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let offsets = self.offsets();
        let ahead = i64::try_from(offsets.ahead.as_millis()).unwrap_or(i64::MAX);
        i64::try_from(real).unwrap_or(i64::MAX).saturating_add(ahead).saturating_add(offsets.wall_ms)
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        if pause <= SKIPPED {
            self.advance(pause);
            // Others get a turn, as they would during a real pause.
            return Box::pin(tokio::time::sleep(Duration::from_millis(1)));
        }
        let until = self.offsets().ahead + pause;
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            loop {
                let moved = state.1.notified();
                if state.0.lock().unwrap_or_else(PoisonError::into_inner).ahead >= until {
                    return;
                }
                moved.await;
            }
        })
    }

    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn polls_are_skipped_and_long_pauses_wait_for_the_driver() {
        let clock = Arc::new(TestClock::default());
        let before = clock.monotonic();
        clock.sleep(Duration::from_secs(2)).await;
        assert!(clock.monotonic() - before >= Duration::from_secs(2));
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(30)));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(30));
        sleeper.await.unwrap();
    }
}
