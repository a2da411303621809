//! Time, background work and randomness of the simulated phone.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nfcwallet_core::host::{BoxFuture, Clock, Entropy, Spawner};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::runtime::Handle;

use crate::token_service::locked;

/// Real time on a tokio runtime, which a test may move and whose pauses it may shorten.
#[derive(Debug)]
pub struct TokioClock {
    runtime: Handle,
    started: Instant,
    pause_divisor: u32,
    moved: Mutex<Moved>,
}

#[derive(Debug, Default)]
struct Moved {
    monotonic: Duration,
    wall_ms: i64,
}

impl TokioClock {
    /// Real time. Futures of this clock may be polled on any executor while `runtime` lives.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, started: Instant::now(), pause_divisor: 1, moved: Mutex::default() }
    }

    /// Divides pauses between polls, not deadlines and not the clock's own pace. 0 counts as 1.
    #[must_use]
    pub fn with_shorter_pauses(mut self, divisor: u32) -> Self {
        self.pause_divisor = divisor.max(1);
        self
    }

    /// Moves both clocks forward, as time passing does.
    pub fn advance(&self, step: Duration) {
        let mut moved = locked(&self.moved);
        moved.monotonic = moved.monotonic.saturating_add(step);
        moved.wall_ms = moved.wall_ms.saturating_add(milliseconds(step));
    }

    /// Sets how far the wall clock is off, which the monotonic clock never notices.
    pub fn set_wall_offset_ms(&self, offset_ms: i64) {
        locked(&self.moved).wall_ms = offset_ms;
    }

    fn sleep_for(&self, pause: Duration) -> BoxFuture<()> {
        let _context = self.runtime.enter();
        Box::pin(tokio::time::sleep(pause))
    }
}

impl Clock for TokioClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed().saturating_add(locked(&self.moved).monotonic)
    }

    fn wall_ms(&self) -> i64 {
        // A machine whose clock stands before 1970 counts as 1970.
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        milliseconds(machine).saturating_add(locked(&self.moved).wall_ms)
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        self.sleep_for(pause / self.pause_divisor)
    }

    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        self.sleep_for(limit)
    }
}

/// Background work on a tokio runtime.
#[derive(Debug, Clone)]
pub struct TokioSpawner(pub Handle);

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.0.spawn(task));
    }
}

/// Randomness that repeats under the same seed. For tests only.
pub struct SeededEntropy(Mutex<ChaCha20Rng>);

impl SeededEntropy {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl std::fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeededEntropy")
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        locked(&self.0).fill_bytes(bytes);
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn pauses_shrink_and_deadlines_do_not() {
        let runtime = runtime();
        let clock = TokioClock::new(runtime.handle().clone()).with_shorter_pauses(1_000_000);
        let race =
            futures_util::future::select(clock.deadline(Duration::from_secs(60)), clock.sleep(Duration::from_secs(60)));
        // Polled outside of the runtime, as a wallet may.
        let first = std::thread::scope(|scope| {
            scope
                .spawn(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(race))
                .join()
                .unwrap()
        });
        assert!(matches!(first, futures_util::future::Either::Right(_)));
    }

    #[test]
    fn advancing_moves_both_clocks_and_an_offset_only_the_wall() {
        let runtime = runtime();
        let clock = TokioClock::new(runtime.handle().clone());
        let (before, wall_before) = (clock.monotonic(), clock.wall_ms());
        clock.advance(Duration::from_secs(3_600));
        assert!(clock.monotonic() >= before + Duration::from_secs(3_600));
        assert!(clock.wall_ms() >= wall_before + 3_600_000);
        clock.set_wall_offset_ms(-86_400_000);
        assert!(clock.wall_ms() < wall_before);
        assert!(clock.monotonic() >= before + Duration::from_secs(3_600));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| {
            let mut bytes = [0; 32];
            SeededEntropy::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}
