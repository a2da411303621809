//! Time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nfcwallet_core::host::{BoxFuture, Clock};
use tokio::runtime::Handle;

/// The device's clocks, and timers of the runtime.
#[derive(Debug)]
pub(crate) struct DeviceClock(pub(crate) Handle);

impl Clock for DeviceClock {
    fn monotonic(&self) -> Duration {
        since_boot()
    }

    fn wall_ms(&self) -> i64 {
        wall_ms()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        timer(&self.0, pause)
    }
}

/// A timer of the runtime that may be polled on any thread.
pub(crate) fn timer(runtime: &Handle, pause: Duration) -> BoxFuture<()> {
    let _context = runtime.enter();
    Box::pin(tokio::time::sleep(pause))
}

/// Milliseconds since 1970. A device whose clock stands before that counts as 1970.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Time since the device started, also while it slept: a proof of presence must not outlive the user's nap.
#[cfg(unix)]
pub(crate) fn since_boot() -> Duration {
    use nix::time::ClockId;

    // Linux and Android, clock_gettime(2): CLOCK_MONOTONIC does not count sleep.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    const COUNTS_SLEEP: ClockId = ClockId::CLOCK_BOOTTIME;
    // Apple, clock_gettime_nsec_np(3): this one is mach_continuous_time, which does.
    #[cfg(target_vendor = "apple")]
    const COUNTS_SLEEP: ClockId = ClockId::from_raw(nix::libc::CLOCK_MONOTONIC_RAW);
    #[cfg(not(any(target_os = "android", target_os = "linux", target_vendor = "apple")))]
    const COUNTS_SLEEP: ClockId = ClockId::CLOCK_MONOTONIC;

    COUNTS_SLEEP.now().map_or_else(|_| since_first_use(), Duration::from)
}

/// No platform that the wallet ships to, but one on which it compiles.
#[cfg(not(unix))]
pub(crate) fn since_boot() -> Duration {
    since_first_use()
}

/// From an hour on, so that nothing depends on a young clock.
fn since_first_use() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    Duration::from_secs(3_600) + START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_forward_from_the_start_of_the_device() {
        let (first, second) = (since_boot(), since_boot());
        assert!(Duration::ZERO < first && first <= second);
        #[cfg(target_os = "linux")]
        {
            // proc(5): uptime in seconds, with the time asleep.
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
            assert!((since_boot().as_secs_f64() - seconds).abs() < 5.0);
        }
    }
}
