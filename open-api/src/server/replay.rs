//! Remembers what was seen.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

/// What a [`ReplayGuard`] knows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Not seen before. Now it is.
    First,
    /// Seen before.
    Again,
    /// Not seen before, and not remembered: there is no room.
    Full,
}

/// Remembers requests for as long as they are fresh. Servers that share their work must share it as well.
pub trait ReplayGuard: Send + Sync + 'static {
    /// Notes a request by SHA-256 of what it signed. It is asked once for each verified request, from many
    /// threads, must not wait long, and may forget the request at `until_ms`. Both times are milliseconds
    /// since 1970.
    fn note(&self, request: [u8; 32], now_ms: i64, until_ms: i64) -> Replay;
}

/// Remembers in the memory of this process, up to a number of requests.
#[derive(Debug)]
pub struct MemoryReplayGuard {
    capacity: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: HashSet<[u8; 32]>,
    by_end: BTreeSet<(i64, [u8; 32])>,
}

impl MemoryReplayGuard {
    /// Remembers at most `capacity` requests, about 150 bytes each. When all of them are still fresh, the
    /// next one is [`Replay::Full`]: forgetting one would let it in again.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, seen: Mutex::default() }
    }
}

impl ReplayGuard for MemoryReplayGuard {
    fn note(&self, request: [u8; 32], now_ms: i64, until_ms: i64) -> Replay {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, old)) = seen.by_end.first().copied()
            && until <= now_ms
        {
            seen.by_end.pop_first();
            seen.requests.remove(&old);
        }
        if seen.requests.contains(&request) {
            return Replay::Again;
        }
        if seen.requests.len() >= self.capacity {
            return Replay::Full;
        }
        seen.requests.insert(request);
        seen.by_end.insert((until_ms, request));
        Replay::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_remembered_until_its_time_and_room_is_bounded() {
        let guard = MemoryReplayGuard::new(2);
        assert_eq!(guard.note([1; 32], 0, 10), Replay::First);
        assert_eq!(guard.note([1; 32], 9, 10), Replay::Again);
        assert_eq!(guard.note([2; 32], 9, 20), Replay::First);
        assert_eq!(guard.note([3; 32], 9, 20), Replay::Full);
        assert_eq!(guard.note([3; 32], 10, 20), Replay::First);
        assert_eq!(guard.note([2; 32], 19, 20), Replay::Again);
        assert_eq!(guard.note([2; 32], 20, 30), Replay::First);
    }
}
