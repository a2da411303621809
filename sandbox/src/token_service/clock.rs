//! The service's clock: the machine's, moved by an offset that tests set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 plus an offset.
#[derive(Debug, Default)]
pub struct ServiceClock {
    offset_ms: AtomicI64,
}

impl ServiceClock {
    /// The time now.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        // A machine whose clock stands before 1970 counts as 1970.
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(machine.as_millis()).unwrap_or(i64::MAX).saturating_add(self.offset_ms())
    }

    /// How far the service is ahead of the machine.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    /// Sets the offset.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
    }

    /// Moves the service's time by `step_ms` on top of the present offset.
    pub fn advance_ms(&self, step_ms: i64) {
        let moved = |offset: i64| Some(offset.saturating_add(step_ms));
        // The closure always answers, so the update cannot fail.
        let _ = self.offset_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_moves_the_service_and_nothing_else() {
        let clock = ServiceClock::default();
        let before = clock.now_ms();
        clock.set_offset_ms(86_400_000);
        clock.advance_ms(1_000);
        assert_eq!(clock.offset_ms(), 86_401_000);
        assert!(clock.now_ms() >= before + 86_401_000);
    }
}
