//! Time, passed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the server's time comes from. Milliseconds since 1970, UTC.
pub trait Clock: Send + Sync {
    /// Now. Called from any thread, quick.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
