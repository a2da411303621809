//! A clock that a test moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;

use super::{BoxFuture, Clock};

/// Pauses up to this long (polls of an activation) are skipped; longer ones (back-off) wait for the test.
const SKIPPED: Duration = Duration::from_secs(10);

/// What a skipped pause takes all the same: others get a turn, as they would during a real one.
const TURN: Duration = Duration::from_millis(1);

/// A clock for tests of an app: another clock, plus what was skipped and what the test added.
///
/// Pauses of up to 10 s (the polls of an activation) are skipped; longer ones (the back-off after a failed
/// replenishment) wait until [`Self::advance`] has moved the clock past them. Deadlines of host interfaces take
/// the time that they take. Clones are the same clock.
///
/// ```
/// # use std::sync::Arc;
/// # use nfcwallet_core::host::{Clock, TestClock};
/// # fn host_clock(real: Arc<dyn Clock>) {
/// let test = TestClock::default();
/// let clock: Arc<dyn Clock> = test.over(real); // for the `Host`
/// test.advance(std::time::Duration::from_secs(60));
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct TestClock(Arc<Mutex<Moved>>);

#[derive(Debug, Default)]
struct Moved {
    ahead: Duration,
    wall_ms: i64,
    /// Pauses that wait for the test: until how far ahead, and whom to wake.
    waiting: Vec<(Duration, oneshot::Sender<()>)>,
}

impl TestClock {
    /// Both clocks go on by `by`.
    pub fn advance(&self, by: Duration) {
        let mut moved = self.moved();
        moved.ahead = moved.ahead.saturating_add(by);
        let now = moved.ahead;
        let all = std::mem::take(&mut moved.waiting);
        let (due, waiting): (Vec<_>, Vec<_>) = all.into_iter().partition(|(until, _)| *until <= now);
        moved.waiting = waiting;
        drop(moved);
        for (_, sleeper) in due {
            // One that was given up hears nothing.
            let _: Result<(), ()> = sleeper.send(());
        }
    }

    /// The wall clock is off by `offset_ms` milliseconds from now on, which the monotonic clock never notices.
    pub fn set_wall_offset(&self, offset_ms: i64) {
        self.moved().wall_ms = offset_ms;
    }

    /// The moved clock, as a wallet reads it.
    #[must_use]
    pub fn over(&self, real: Arc<dyn Clock>) -> Arc<dyn Clock> {
        Arc::new(Over { test: self.clone(), real })
    }

    fn moved(&self) -> MutexGuard<'_, Moved> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Over {
    test: TestClock,
    real: Arc<dyn Clock>,
}

impl Clock for Over {
    fn monotonic(&self) -> Duration {
        self.real.monotonic().saturating_add(self.test.moved().ahead)
    }

    fn wall_ms(&self) -> i64 {
        let moved = self.test.moved();
        let ahead = i64::try_from(moved.ahead.as_millis()).unwrap_or(i64::MAX);
        self.real.wall_ms().saturating_add(ahead).saturating_add(moved.wall_ms)
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        if pause <= SKIPPED {
            self.test.advance(pause);
            return self.real.sleep(TURN);
        }
        let (sender, woken) = oneshot::channel();
        let mut moved = self.test.moved();
        let until = moved.ahead.saturating_add(pause);
        moved.waiting.retain(|(_, sleeper)| !sleeper.is_canceled());
        moved.waiting.push((until, sender));
        drop(moved);
        Box::pin(async move {
            // The sender lives in the clock, which this pause outlives only if nobody can move it any more.
            if woken.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        self.real.deadline(limit)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// A clock that stands, and whose pauses are over at once.
    struct Standing;

    impl Clock for Standing {
        fn monotonic(&self) -> Duration {
            Duration::from_secs(100)
        }

        fn wall_ms(&self) -> i64 {
            1_000_000
        }

        fn sleep(&self, pause: Duration) -> BoxFuture<()> {
            assert!(pause <= TURN, "a pause of {pause:?} takes its time");
            Box::pin(std::future::ready(()))
        }

        fn deadline(&self, _: Duration) -> BoxFuture<()> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn polls_are_skipped_and_long_pauses_wait_for_the_test() {
        let test = TestClock::default();
        let clock = test.over(Arc::new(Standing));
        assert!(clock.sleep(Duration::from_secs(2)).now_or_never().is_some());
        assert_eq!((clock.monotonic(), clock.wall_ms()), (Duration::from_secs(102), 1_002_000));
        let mut sleeper = clock.sleep(Duration::from_secs(30));
        let given_up = clock.sleep(Duration::from_secs(20));
        assert!((&mut sleeper).now_or_never().is_none());
        drop(given_up);
        test.advance(Duration::from_secs(29));
        assert!((&mut sleeper).now_or_never().is_none());
        test.advance(Duration::from_secs(1));
        assert!(sleeper.now_or_never().is_some());
    }

    #[test]
    fn the_wall_clock_alone_can_be_wrong() {
        let test = TestClock::default();
        let clock = test.over(Arc::new(Standing));
        test.set_wall_offset(-600_000);
        assert_eq!((clock.monotonic(), clock.wall_ms()), (Duration::from_secs(100), 400_000));
    }

    #[test]
    fn deadlines_are_not_skipped() {
        let clock = TestClock::default().over(Arc::new(Standing));
        assert!(clock.deadline(Duration::from_secs(1)).now_or_never().is_none());
    }
}
