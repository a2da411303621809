//! What time it is at the service.
//!
//! Learnt from each answer and kept against the monotonic clock, so that a wall clock that is set
//! (by the user, the network, a change of zone) moves nothing in this process. A new process starts
//! from the wall clock and the last known distance.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::host::Clock;

/// A distance within this of the stored one is not worth a write.
const STORE_FROM_MS: u64 = 1_000;

/// What time it is at the service, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceTime {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    /// Learnt from an answer in this process. Otherwise guessed from the phone's wall clock: good
    /// enough to refuse by, never to destroy by.
    pub learnt: bool,
}

/// The service's clock.
#[derive(Debug, Default)]
pub(super) struct ServiceClock {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    learnt: Option<Learnt>,
    stored_offset_ms: Option<i64>,
}

/// It was `service_ms` at the service when the monotonic clock showed `at`.
#[derive(Debug, Clone, Copy)]
struct Learnt {
    service_ms: i64,
    at: Duration,
}

impl ServiceClock {
    /// Starts from what an earlier process stored.
    pub(super) fn new(stored: Option<&[u8]>) -> Self {
        let stored_offset_ms = stored.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
        Self { state: Mutex::new(State { learnt: None, stored_offset_ms }) }
    }

    /// The time, and whether it is known or guessed.
    pub(super) fn time(&self, clock: &dyn Clock) -> ServiceTime {
        let learnt = self.state.lock().unwrap_or_else(PoisonError::into_inner).learnt.is_some();
        ServiceTime { now_ms: self.now_ms(clock), learnt }
    }

    /// Milliseconds since 1970, at the service.
    pub(super) fn now_ms(&self, clock: &dyn Clock) -> i64 {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.learnt {
            Some(learnt) => learnt.service_ms.saturating_add(milliseconds(clock.monotonic().saturating_sub(learnt.at))),
            None => clock.wall_ms().saturating_add(state.stored_offset_ms.unwrap_or(0)),
        }
    }

    /// Falls back from the last known distance to the wall clock alone: the distance may be that of a
    /// wall clock which was wrong and has been set right since. False if there is no other guess.
    pub(super) fn forget_guess(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.learnt.is_none() && state.stored_offset_ms.take().is_some()
    }

    /// Takes the time from an authenticated answer to a request that was sent at `sent`. Gives the
    /// bytes to store, if they are worth it.
    pub(super) fn learn(&self, clock: &dyn Clock, server_time_ms: i64, sent: Duration) -> Option<[u8; 8]> {
        // The service read its clock somewhere between sending and now; the middle halves the error.
        let (now, wall_ms) = (clock.monotonic(), clock.wall_ms());
        let service_ms = server_time_ms.saturating_add(milliseconds(now.saturating_sub(sent) / 2));
        let offset_ms = service_ms.saturating_sub(wall_ms);

        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.learnt = Some(Learnt { service_ms, at: now });
        if state.stored_offset_ms.is_some_and(|stored| stored.abs_diff(offset_ms) < STORE_FROM_MS) {
            return None;
        }
        state.stored_offset_ms = Some(offset_ms);
        Some(offset_ms.to_be_bytes())
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::BoxFuture;

    #[derive(Clone, Copy)]
    struct Phone {
        wall_ms: i64,
        monotonic_ms: u64,
    }

    impl Clock for Phone {
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic_ms)
        }
        fn wall_ms(&self) -> i64 {
            self.wall_ms
        }
        fn sleep(&self, _: Duration) -> BoxFuture<()> {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn a_stored_distance_that_leads_nowhere_is_forgotten_and_a_learnt_time_is_not() {
        let service = ServiceClock::new(Some(&5_000_i64.to_be_bytes()));
        let phone = Phone { wall_ms: 1_000_000, monotonic_ms: 500 };
        assert_eq!(service.now_ms(&phone), 1_005_000);
        assert!(service.forget_guess());
        assert_eq!(service.now_ms(&phone), 1_000_000);
        assert!(!service.forget_guess());
        assert!(service.learn(&phone, 2_000_000, phone.monotonic()).is_some());
        assert!(!service.forget_guess());
        assert_eq!(service.now_ms(&phone), 2_000_000);
    }

    #[test]
    fn setting_the_wall_clock_moves_nothing_once_learnt() {
        let service = ServiceClock::new(None);
        let phone = Phone { wall_ms: 1_000_000, monotonic_ms: 500 };
        assert_eq!(service.now_ms(&phone), 1_000_000);
        service.learn(&phone, 5_000_000, phone.monotonic());
        assert_eq!(service.now_ms(&Phone { wall_ms: -7, monotonic_ms: 2_500 }), 5_002_000);
    }

    #[test]
    fn a_new_process_starts_from_the_stored_distance() {
        let phone = Phone { wall_ms: 1_000_000, monotonic_ms: 900_000 };
        let stored = ServiceClock::new(None).learn(&phone, 5_000_000, phone.monotonic()).unwrap();
        let after_reboot = Phone { wall_ms: 1_060_000, monotonic_ms: 3 };
        assert_eq!(ServiceClock::new(Some(&stored)).now_ms(&after_reboot), 5_060_000);
        assert_eq!(ServiceClock::new(Some(b"torn")).now_ms(&after_reboot), 1_060_000);
    }

    #[test]
    fn half_the_way_there_and_back_is_added() {
        let service = ServiceClock::new(None);
        let phone = Phone { wall_ms: 0, monotonic_ms: 10_000 };
        service.learn(&phone, 1_000, Duration::from_millis(9_000));
        assert_eq!(service.now_ms(&phone), 1_500);
    }

    #[test]
    fn a_small_change_is_not_written_again() {
        let service = ServiceClock::new(None);
        let phone = Phone { wall_ms: 0, monotonic_ms: 0 };
        assert!(service.learn(&phone, 10_000, Duration::ZERO).is_some());
        assert!(service.learn(&phone, 10_999, Duration::ZERO).is_none());
        assert!(service.learn(&phone, 11_001, Duration::ZERO).is_some());
    }

    #[test]
    fn an_absurd_time_does_not_overflow() {
        let service = ServiceClock::new(Some(&i64::MAX.to_be_bytes()));
        let phone = Phone { wall_ms: i64::MAX, monotonic_ms: u64::MAX };
        assert_eq!(service.now_ms(&phone), i64::MAX);
        service.learn(&phone, i64::MIN, Duration::ZERO);
        service.learn(&phone, i64::MAX, Duration::ZERO);
        assert_eq!(service.now_ms(&phone), i64::MAX);
    }
}
