//! Criterion measures, and each single time is kept for the percentiles.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use criterion::Criterion;

use crate::Samples;

const WARM_UP: Duration = Duration::from_millis(100);
const MEASUREMENT: Duration = Duration::from_millis(300);
/// Enough for a p99; an APDU of 100 ns would fill the memory otherwise.
const KEPT: usize = 200_000;

/// A Criterion that compares with the run before (`target/criterion`).
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default().warm_up_time(WARM_UP).measurement_time(MEASUREMENT).sample_size(50).without_plots()
}

/// Measures `operation` on what `prepare` makes, which does not count. Times are of single operations:
/// one reading of the clock (some 20 ns) is in each.
///
/// # Errors
/// Of `prepare`, and if nothing was measured.
pub fn timed<T, U>(
    criterion: &mut Criterion,
    name: &str,
    mut prepare: impl FnMut() -> Result<T>,
    mut operation: impl FnMut(&mut T) -> U,
) -> Result<Samples> {
    let times = RefCell::new(Vec::with_capacity(KEPT));
    let mut fault = Ok(());
    let begun = Instant::now();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                let mut prepared = match prepare() {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        fault = Err(error);
                        return Duration::from_secs(1);
                    }
                };
                let start = Instant::now();
                let made = black_box(operation(black_box(&mut prepared)));
                let took = start.elapsed();
                drop(made);
                sum += took;
                let mut times = times.borrow_mut();
                if begun.elapsed() > WARM_UP && times.len() < KEPT {
                    times.push(took);
                }
            }
            sum
        });
    });
    fault?;
    Samples::new(times.into_inner())
}
