//! For tests: a clock that stands still, and databases that are thrown away.
//!
//! Only with the feature `testing`. No `unwrap`: what fails here fails with a reason.

mod database;
mod postgres;

use std::sync::atomic::{AtomicI64, Ordering};

pub use database::{Database, databases};
pub use postgres::{PostgresError, ThrowAwayPostgres};

use crate::clock::Clock;

/// A clock that a test sets.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now_ms`.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(now_ms) }
    }

    /// Moves it.
    pub fn advance_ms(&self, by: i64) {
        self.now_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets it.
    pub fn set_ms(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}
