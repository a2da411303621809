//! Time, background work and randomness, passed in so that the wallet needs no runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// An owned future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Time.
pub trait Clock: Send + Sync {
    /// Time since some fixed point, counting also while the device sleeps (Android
    /// `elapsedRealtime`). Never goes back within a process.
    fn monotonic(&self) -> Duration;

    /// The phone's wall clock, milliseconds since 1970. May be wrong or jump.
    fn wall_ms(&self) -> i64;

    /// Completes after `pause`: paces polls and back-off.
    fn sleep(&self, pause: Duration) -> BoxFuture<()>;

    /// Completes after `limit`: guards a call to the host. The same as `sleep`, except on a test
    /// clock that skips pauses but must not skip the time a real answer takes.
    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        self.sleep(limit)
    }
}

/// Runs background work of the wallet (automatic replenishment, resumed activations).
pub trait Spawner: Send + Sync {
    /// Starts `task`; it must be polled until it completes.
    fn spawn(&self, task: BoxFuture<()>);
}

/// Randomness for keys, nonces and identifiers.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`. A source that cannot must panic rather than return predictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[allow(clippy::panic, reason = "a device without randomness must not pay")]
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            panic!("the operating system has no randomness: {error}");
        }
    }
}
