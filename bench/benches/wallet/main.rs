//! The budgets of the wallet, as ratios of one run on one machine. `cargo xtask bench` runs it.

mod card;
mod command_line;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use command_line::{Command, Options};
use nfcwallet_bench::counted::{Counts, Subjects, write_subjects};
use nfcwallet_bench::{Row, commits, leak, print, reference, rsa, store};

/// The length of the card's key in the profiles of the sandbox.
const ICC_KEY_BITS: u32 = 1152;

/// Comparisons for each finding of a leak.
const LEAK_SAMPLES: usize = 60_000;

fn main() -> Result<()> {
    // Cargo adds --bench to what it runs for `cargo bench`.
    let args = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match Command::parse(args)? {
        Command::EmptyProcess => Ok(()),
        Command::ColdProcess(args) => store::cold_process(&args),
        Command::WriteSubjects(file) => {
            let keys = rsa::KEY_BITS.into_iter().map(rsa::key).collect::<Result<_>>()?;
            write_subjects(&file, &Subjects::new(keys)?)
        }
        Command::Measure(options) => measure(&options),
    }
}

fn measure(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.data_directory)?;
    let counts = options.instructions.as_deref().map(Counts::read).transpose()?;
    let mut rows = Vec::new();
    if options.card {
        rows.extend(card::rows(options, counts.unwrap_or_default())?);
    }
    if options.store {
        rows.extend(store_rows(options)?);
    }
    if options.leak {
        rows.extend(leak_rows()?);
    }
    print(&rows);
    Ok(())
}

fn store_rows(options: &Options) -> Result<Vec<Row>> {
    let append = reference::durable_append(&options.data_directory, 500)?;
    let append_apart = reference::durable_append_apart(&options.data_directory, commits::ARMING, 200)?;
    let overwrite = reference::durable_overwrite(&options.data_directory, 500)?;
    let empty = reference::empty_process(200)?;
    let folder = &options.data_directory;
    let cold = store::cold_start(folder, 1_000, 0, 100)?;
    let cold_with_history = store::cold_start(folder, 1_000, 10_000, 100)?;
    let burn = commits::burns(folder, 300)?;
    let replenished = store::replenish(folder)?;
    let name = format!("replenish of {}", replenished.credentials);
    let requests = replenished.operations.get("replenish").copied().unwrap_or(0);
    let took = format!("{:.1} ms, operations {:?}", replenished.took.as_secs_f64() * 1e3, replenished.operations);
    let mut rows = vec![
        Row::of("reference: 64 bytes appended, fdatasync", &append),
        Row::of("the append again, 20 ms after other work, as a burn is", &append_apart),
        Row::of("reference: 64 bytes overwritten, fdatasync", &overwrite),
        Row::of("reference: an empty process", &empty),
        Row::of("cold: process start to first answer, 1,000 credentials", &cold).at_most_above(
            cold.p50(),
            empty.p50(),
            Duration::from_millis(10),
        ),
        Row::of("the same with 10,000 rows of history", &cold_with_history).at_most_above(
            cold_with_history.p50(),
            empty.p50(),
            Duration::from_millis(10),
        ),
        Row::of("burn: choice and commit, nothing else of a tap", &burn).at_most_times(burn.p50(), append.p50(), 2.0),
        Row::of("the same, over the reference in its rhythm", &burn).at_most_times(burn.p50(), append_apart.p50(), 2.0),
        Row::exactly(&format!("{name}: round trips besides the session"), requests, 1),
        Row::noted(&name, took),
    ];
    // Last: from here on databases lie on a disk that counts, and none is timed any more.
    rows.extend(commit_rows(folder)?);
    Ok(rows)
}

fn commit_rows(folder: &Path) -> Result<Vec<Row>> {
    let waits = commits::waits_of_burns(folder, 256)?;
    let mut rows = vec![
        Row::exactly("256 burns that waited for one sync, or two at a new log", waits.once + waits.twice, 256),
        Row::exactly("256 burns that found the log to be started anew", waits.twice, 4),
    ];
    for count in [10, 50, 100] {
        let batch = commits::batch(folder, count)?;
        let name = format!("replenish of {}", batch.credentials);
        rows.push(Row::exactly(&format!("{name}: round trips"), batch.round_trips, 1));
        rows.push(Row::exactly(&format!("{name}: commits of its answer"), batch.commits, 1));
    }
    Ok(rows)
}

fn leak_rows() -> Result<Vec<Row>> {
    let findings = leak::findings(|| rsa::key(ICC_KEY_BITS), LEAK_SAMPLES)?;
    Ok(findings
        .iter()
        .map(|finding| {
            let differs = finding.t.abs() > leak::THRESHOLD;
            let verdict = match (differs, finding.control) {
                (true, false) => "a difference: MISSED",
                (false, false) => "no difference found",
                (true, true) => "seen, as it must be",
                (false, true) => "NOT SEEN: this run proves nothing",
            };
            let name = format!("time of the private operation: {}", finding.name);
            Row::noted(&name, format!("t = {:+.1} over {} samples, |t| ≤ 4.5: {verdict}", finding.t, finding.samples))
        })
        .collect())
}
