//! Time, passed in.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::wire::{DateTime, EPOCH};

/// What [`Clock::sleep`] returns.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where the client and the server layer take the time from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: milliseconds since 1970, UTC. For what is written on the wire and compared with it.
    fn wall_ms(&self) -> i64;

    /// Time since some fixed point, which never goes back. For deadlines of our own.
    fn monotonic(&self) -> Duration;

    /// Completes after `pause`.
    fn sleep(&self, pause: Duration) -> Sleep<'_>;
}

/// The machine's clocks, and tokio's timer.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, pause: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// A clock for tests: it stands still, and a pause passes at once by moving it.
#[derive(Debug)]
pub struct ManualClock {
    wall_at_start_ms: i64,
    moved: Mutex<(Duration, Vec<Duration>)>,
}

impl ManualClock {
    /// Stands at `wall_ms`, milliseconds since 1970.
    #[must_use]
    pub fn at(wall_ms: i64) -> Self {
        Self { wall_at_start_ms: wall_ms, moved: Mutex::default() }
    }

    /// Moves on by `time`.
    pub fn advance(&self, time: Duration) {
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.0 = moved.0.saturating_add(time);
    }

    /// The pauses that were asked for, in order.
    #[must_use]
    pub fn pauses(&self) -> Vec<Duration> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        let moved = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        self.wall_at_start_ms.saturating_add(moved)
    }

    fn monotonic(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn sleep(&self, pause: Duration) -> Sleep<'_> {
        self.advance(pause);
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).1.push(pause);
        Box::pin(std::future::ready(()))
    }
}

/// A time as the headers carry it: ISO 8601 in UTC, with as many digits of the second as needed, for
/// example `2025-02-20T08:51:49.09Z`.
#[must_use]
pub fn to_header(wall_ms: i64) -> String {
    let time = DateTime::from_ms(wall_ms).map_or(EPOCH, DateTime::civil);
    format!("{time}Z")
}

/// Milliseconds since 1970 of a header's time: ISO 8601 with any zone, or the milliseconds themselves in
/// digits, as one client sends them. `None` for anything else. Only for freshness: what is signed is the
/// text.
#[must_use]
pub fn from_header(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().and_then(DateTime::from_ms).map(DateTime::ms);
    }
    text.parse().ok().map(DateTime::ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_of_a_time_is_read() {
        let cases = [
            ("2025-02-20T08:51:49.09Z", 1_740_041_509_090),
            ("2025-02-20T08:51:49+00:00", 1_740_041_509_000),
            ("2019-04-04T12:08:56+05:30", 1_554_359_936_000),
            ("1740041509090", 1_740_041_509_090),
        ];
        for (text, ms) in cases {
            assert_eq!(from_header(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_no_time() {
        for text in ["", "yesterday", "2025-02-20T08:51:49", "-5", "99999999999999999999", "9999999999999999"] {
            assert_eq!(from_header(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_the_samples_have_it() {
        assert_eq!(to_header(1_740_041_509_090), "2025-02-20T08:51:49.09Z");
        assert_eq!(to_header(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(to_header(i64::MAX), "1970-01-01T00:00:00Z");
    }
}
