//! Thousands of payments and activations in a row in one process: what grows?
//!
//! First one token pays and is replenished, again and again; then tokens are deleted, activated anew
//! and paid with. Beside each round the wallet's folder and its process are measured from outside.
//! What has grown at the end is found by halves: the largest value of the second half may exceed that
//! of the first half by a stated slack only. So a start that fills caches, logs and the history is no
//! drift, and a few bytes a round are.

use std::fs;
use std::io;
use std::path::Path;

use rand_chacha::ChaCha12Rng;
use serde::Serialize;
use serde_json::Value;

use super::patient::{Patient, Stop};
use super::rounds::Broken;
use super::{Kind, books};
use crate::phone::{Call, Phone};

/// Windows that a stage is divided into.
const WINDOWS: u64 = 10;

/// Fewer rounds show no drift.
pub const FEWEST_ROUNDS: u64 = 40;

/// A token has 65,535 counters.
pub const MOST_ROUNDS: u64 = 50_000;

/// The wallet tells at most so many transactions at once.
const PAGE: u64 = 100;

/// Pages of the file and of its log that come and go.
const STORE_SLACK: u64 = 64 * 1024;

/// A token that was paid with leaves the highest counter that it burnt, for ever: its reference and two
/// numbers (`core/src/storage/migrations`, table `counter`).
const STORE_PER_TOKEN: u64 = 128;

/// What an allocator keeps, and gives to somebody else another time.
const MEMORY_SLACK: u64 = 4 * 1024 * 1024;

/// Threads and connections that a pool starts and ends as it likes.
const POOL_SLACK: u64 = 4;

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A tap and a replenishment, with one token.
    Pay,
    /// Delete, activate, and a tap with the new token.
    Activate,
}

/// The largest values of one window, and its median tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// What was repeated.
    pub stage: Stage,
    /// Rounds of the stage that were done at the end of the window.
    pub rounds: u64,
    /// Bytes of the wallet's folder: database and log.
    pub store_bytes: u64,
    /// Resident memory of the process in bytes.
    pub memory_bytes: u64,
    /// Open files and connections of the process.
    pub handles: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Inside the wallet, all APDUs of a tap together, in microseconds: the median of the window.
    pub tap_us: u64,
}

/// Did one quantity stay where it was?
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was repeated.
    pub stage: Stage,
    /// Which quantity.
    pub what: &'static str,
    /// Its largest value in the first half of the stage.
    pub first_half: u64,
    /// Its largest value in the second half.
    pub second_half: u64,
    /// By so much the second half may exceed the first.
    pub slack: u64,
    /// It did not exceed it by more.
    pub is_flat: bool,
}

/// Does `rounds` rounds of each stage with one process. Calls `advance` with the rounds done, of twice
/// as many.
pub(super) fn endure(
    patient: &Patient<'_>,
    rounds: u64,
    samples: &mut Vec<Sample>,
    advance: &dyn Fn(u64),
) -> Result<(), Broken> {
    // Full soon, so that it is seen to be pruned.
    let history = (rounds / WINDOWS).clamp(1, PAGE - 1);
    let mut rng = super::rounds::rng(patient.plan.seed, Kind::Drift, 0);
    let told = |round| move |stop| (round, stop_text(stop));
    let options = ["--history-limit".to_owned(), history.to_string()];
    let phone = patient.start(&options).map_err(told(0))?;
    let phone = phone.ok_or((0, "the store is busy without reason".to_owned()))?;
    patient.recover(&phone).map_err(told(0))?;
    for (stage, before) in [(Stage::Pay, 0), (Stage::Activate, rounds)] {
        let mut window = Window::default();
        for round in 1..=rounds {
            let tap_us = once(patient, &phone, stage, &mut rng).map_err(told(before + round))?;
            let measured = measure(&patient.directory.join("wallet"), phone.process_id());
            window.add(measured.map_err(|error| (before + round, format!("nothing to measure: {error}")))?, tap_us);
            // Events that nobody waits for would make this process grow.
            drop(phone.events());
            if round * WINDOWS / rounds > (round - 1) * WINDOWS / rounds {
                samples.push(std::mem::take(&mut window).sample(stage, round));
                books::no_double_spend(patient.sandbox).map_err(|finding| (before + round, format!("{finding:?}")))?;
            }
            advance(before + round);
        }
        history_is_pruned(&phone, history).map_err(|promise| (before + rounds, promise))?;
        patient.audit(&phone).map_err(told(before + rounds))?;
    }
    match verdicts(samples).into_iter().find(|verdict| !verdict.is_flat) {
        Some(verdict) => Err((2 * rounds, verdict.to_string())),
        None => Ok(()),
    }
}

/// Each quantity of each stage.
#[must_use]
pub fn verdicts(samples: &[Sample]) -> Vec<Verdict> {
    [Stage::Pay, Stage::Activate].iter().flat_map(|stage| verdicts_of(*stage, samples)).collect()
}

/// The median tap of the last window in percent of the first one's: reported, and no verdict, since the
/// machine has other things to do.
#[must_use]
pub fn tap_time_percent(stage: Stage, samples: &[Sample]) -> Option<u64> {
    let mut of_stage = samples.iter().filter(|sample| sample.stage == stage);
    let first = of_stage.next()?;
    let last = of_stage.next_back()?;
    (last.tap_us * 100).checked_div(first.tap_us)
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pay => "pay",
            Self::Activate => "activate",
        })
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stage, what, first_half, second_half, slack, is_flat } = self;
        let word = if *is_flat { "flat" } else { "drifts" };
        write!(
            f,
            "{stage}: {what} {word}: at most {first_half} in the first half, {second_half} in the second, slack {slack}"
        )
    }
}

/// Its name, its value, and its slack.
type Quantity = (&'static str, fn(&Sample) -> u64, u64);

fn verdicts_of(stage: Stage, samples: &[Sample]) -> Vec<Verdict> {
    let samples: Vec<Sample> = samples.iter().filter(|sample| sample.stage == stage).copied().collect();
    let (first, second) = samples.split_at(samples.len() / 2);
    let (Some(from), Some(until)) = (first.last(), second.last()) else { return Vec::new() };
    let tokens = if stage == Stage::Activate { until.rounds - from.rounds } else { 0 };
    let quantities: [Quantity; 4] = [
        ("bytes of the store", |sample| sample.store_bytes, STORE_SLACK + tokens * STORE_PER_TOKEN),
        ("bytes of memory", |sample| sample.memory_bytes, MEMORY_SLACK),
        ("open handles", |sample| sample.handles, POOL_SLACK),
        ("threads", |sample| sample.threads, POOL_SLACK),
    ];
    let verdict = |(what, of, slack): Quantity| {
        let largest = |half: &[Sample]| half.iter().map(of).max().unwrap_or(0);
        let (first_half, second_half) = (largest(first), largest(second));
        Verdict { stage, what, first_half, second_half, slack, is_flat: second_half <= first_half + slack }
    };
    quantities.into_iter().map(verdict).collect()
}

/// One round. How long the wallet took over the tap, in microseconds.
fn once(patient: &Patient<'_>, phone: &Phone, stage: Stage, rng: &mut ChaCha12Rng) -> Result<u64, Stop> {
    match stage {
        Stage::Pay => {
            let tap_us = patient.paid_tap(phone, rng)?;
            let brought = patient.demand(phone, Call::Replenish)?;
            match brought.get("count").and_then(Value::as_u64) {
                Some(1) => Ok(tap_us),
                other => Err(Stop::Broken(format!("one credential was missing, and {other:?} came"))),
            }
        }
        Stage::Activate => {
            patient.demand(phone, Call::Delete)?;
            patient.demand(phone, Call::Activate { silent: false })?;
            patient.count(|tally| tally.activations += 1);
            patient.paid_tap(phone, rng)
        }
    }
}

fn history_is_pruned(phone: &Phone, limit: u64) -> Result<(), String> {
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let page = phone.call(Call::Transactions { limit: wanted }).map_err(|error| error.to_string())?;
    let kept = page.get("transactions").and_then(Value::as_array).map_or(0, Vec::len);
    match u64::try_from(kept) {
        Ok(kept) if kept == limit => Ok(()),
        _ => Err(format!("the history has {kept} rows, its limit is {limit}")),
    }
}

/// From outside of the process, as they are now.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    store_bytes: u64,
    memory_bytes: u64,
    handles: u64,
    threads: u64,
}

fn measure(folder: &Path, process: u32) -> io::Result<Measured> {
    let mut store_bytes = 0;
    for entry in fs::read_dir(folder)? {
        store_bytes += entry?.metadata()?.len();
    }
    let process = Path::new("/proc").join(process.to_string());
    let status = fs::read_to_string(process.join("status"))?;
    let number = |name: &str| {
        // proc_pid_status(5): a name, a colon, the number, and for memory kB.
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        number.ok_or_else(|| io::Error::other(format!("no {name}")))
    };
    let (memory_bytes, threads) = (number("VmRSS")? * 1_024, number("Threads")?);
    let handles = u64::try_from(fs::read_dir(process.join("fd"))?.count()).unwrap_or(u64::MAX);
    Ok(Measured { store_bytes, memory_bytes, handles, threads })
}

#[derive(Debug, Default)]
struct Window {
    largest: Measured,
    taps_us: Vec<u64>,
}

impl Window {
    fn add(&mut self, now: Measured, tap_us: u64) {
        let largest = &mut self.largest;
        *largest = Measured {
            store_bytes: largest.store_bytes.max(now.store_bytes),
            memory_bytes: largest.memory_bytes.max(now.memory_bytes),
            handles: largest.handles.max(now.handles),
            threads: largest.threads.max(now.threads),
        };
        self.taps_us.push(tap_us);
    }

    fn sample(mut self, stage: Stage, rounds: u64) -> Sample {
        self.taps_us.sort_unstable();
        let tap_us = self.taps_us.get(self.taps_us.len() / 2).copied().unwrap_or_default();
        let Measured { store_bytes, memory_bytes, handles, threads } = self.largest;
        Sample { stage, rounds, store_bytes, memory_bytes, handles, threads, tap_us }
    }
}

fn stop_text(stop: Stop) -> String {
    match stop {
        Stop::Gone => "the process ended by itself".to_owned(),
        Stop::Broken(promise) => promise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(stage: Stage, change: impl Fn(u64, &mut Sample)) -> Vec<Sample> {
        let sample = |window: u64| {
            let mut sample = Sample {
                stage,
                rounds: window * 1_000,
                store_bytes: 4_000_000,
                memory_bytes: 30_000_000,
                handles: 20,
                threads: 12,
                tap_us: 3_000,
            };
            change(window, &mut sample);
            sample
        };
        (1..=WINDOWS).map(sample).collect()
    }

    fn drifting(samples: &[Sample]) -> Vec<&'static str> {
        verdicts(samples).into_iter().filter(|verdict| !verdict.is_flat).map(|verdict| verdict.what).collect()
    }

    #[test]
    fn a_start_that_fills_caches_is_no_drift() {
        let warm = samples(Stage::Pay, |window, sample| {
            sample.store_bytes = 1_000_000 * window.min(4);
            sample.memory_bytes = 10_000_000 * window.min(3);
        });
        assert_eq!(drifting(&warm), Vec::<&str>::new());
        assert_eq!(verdicts(&warm).len(), 4);
    }

    #[test]
    fn twenty_bytes_a_round_are_found() {
        let leaky = samples(Stage::Pay, |window, sample| sample.store_bytes += 20 * window * 1_000);
        assert_eq!(drifting(&leaky), ["bytes of the store"]);
    }

    #[test]
    fn a_leak_of_memory_handles_or_threads_is_found() {
        assert_eq!(
            drifting(&samples(Stage::Activate, |w, s| s.memory_bytes += 1_000 * w * 1_000)),
            ["bytes of memory"]
        );
        assert_eq!(drifting(&samples(Stage::Activate, |w, s| s.handles += w)), ["open handles"]);
        assert_eq!(drifting(&samples(Stage::Pay, |w, s| s.threads += w)), ["threads"]);
    }

    #[test]
    fn a_counter_of_each_spent_token_stays_and_more_than_that_does_not() {
        let counters = samples(Stage::Activate, |window, sample| sample.store_bytes += 100 * window * 1_000);
        assert_eq!(drifting(&counters), Vec::<&str>::new());
        let more = samples(Stage::Activate, |window, sample| sample.store_bytes += 200 * window * 1_000);
        assert_eq!(drifting(&more), ["bytes of the store"]);
    }

    #[test]
    fn the_time_of_a_tap_is_told_in_percent_of_the_first_window() {
        let slower = samples(Stage::Pay, |window, sample| sample.tap_us = 1_000 * window);
        assert_eq!(tap_time_percent(Stage::Pay, &slower), Some(1_000));
        assert_eq!(tap_time_percent(Stage::Activate, &slower), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_handles_and_threads() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("wallet.db"), [0; 100]).unwrap();
        let measured = measure(folder.path(), std::process::id()).unwrap();
        assert_eq!(measured.store_bytes, 100);
        assert!(measured.memory_bytes > 100_000 && measured.handles > 0 && measured.threads > 0, "{measured:?}");
    }
}
