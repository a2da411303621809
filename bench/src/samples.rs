//! Times of one operation, repeated.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// The times of one operation, sorted; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Takes measured times.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(mut times: Vec<Duration>) -> Result<Self> {
        ensure!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Ok(Self(times))
    }

    /// The time that half of the runs did not exceed.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// The time that 95 of 100 runs did not exceed.
    #[must_use]
    pub fn p95(&self) -> Duration {
        self.percentile(95)
    }

    /// The time that 99 of 100 runs did not exceed.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// How many runs there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The times, the shortest first.
    #[must_use]
    pub fn into_times(self) -> Vec<Duration> {
        self.0
    }

    /// Nearest rank: the smallest time that at least `percent` of the runs did not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// Times `operation`, `runs` times, after `warm_up` runs that do not count.
///
/// # Errors
/// The first error of the operation, or `runs` = 0.
pub fn measure(warm_up: usize, runs: usize, mut operation: impl FnMut() -> Result<()>) -> Result<Samples> {
    for _ in 0..warm_up {
        operation()?;
    }
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        operation()?;
        times.push(start.elapsed());
    }
    Samples::new(times)
}

/// Like [`measure`], with a `pause` before each run that does not count: for what happens now and then,
/// on caches and a disk that have seen other work since.
///
/// # Errors
/// As [`measure`].
pub fn measure_apart(pause: Duration, runs: usize, mut operation: impl FnMut() -> Result<()>) -> Result<Samples> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        std::thread::sleep(pause);
        let start = Instant::now();
        operation()?;
        times.push(start.elapsed());
    }
    Samples::new(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let samples = Samples::new((1..=200).rev().map(Duration::from_micros).collect()).unwrap();
        let micros = [samples.p50(), samples.p95(), samples.p99()].map(|time| time.as_micros());
        assert_eq!(micros, [100, 190, 198]);
    }

    #[test]
    fn one_sample_is_all_its_percentiles() {
        let only = Duration::from_millis(3);
        let samples = Samples::new(vec![only]).unwrap();
        assert_eq!((samples.p50(), samples.p99()), (only, only));
    }

    #[test]
    fn no_samples_are_refused() {
        assert!(Samples::new(Vec::new()).is_err());
    }

    #[test]
    fn warm_up_runs_do_not_count() {
        let mut calls = 0;
        let samples = measure(2, 5, || {
            calls += 1;
            Ok(())
        });
        assert_eq!((samples.unwrap().count(), calls), (5, 7));
    }

    #[test]
    fn an_operation_that_fails_ends_the_measurement() {
        assert!(measure(0, 5, || anyhow::bail!("broken")).is_err());
    }
}
