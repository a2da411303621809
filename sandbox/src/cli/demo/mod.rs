//! `demo`: a wallet's whole life, each step checked.

mod report;
mod story;

use std::process::ExitCode;
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result};
use nfcwallet_sandbox::with_causes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Pace;
use super::screen::{self, Screen, Target};
use super::serve::StopSignal;
use report::Report;
use story::Story;

/// What a shell expects of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Options of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoOptions {
    /// How fast the token service answers
    #[arg(long, value_enum, default_value = "fast")]
    pace: Pace,
    /// Activate silently, ahead of time, and let the user confirm
    #[arg(long)]
    silent: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Repeat amounts, the terminal's unpredictable numbers and the servers' keys; drawn if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print every command and answer of each tap; with --json, tell the story on standard error
    #[arg(long)]
    verbose: bool,
}

pub(crate) fn run(options: DemoOptions) -> Result<ExitCode> {
    let runtime = Runtime::new().context("no threads")?;
    let stop = {
        let _context = runtime.enter();
        StopSignal::new()?
    };
    // Dropped at every end of this function, and with it everything that the demo wrote.
    let folder = TempDir::with_prefix("nfcwallet-demo-").context("no temporary folder")?;
    let json = options.json;
    let (sender, receiver) = sync_channel(1);
    let (told, ended) = tokio::sync::oneshot::channel();
    let phones = folder.path().to_owned();
    std::thread::Builder::new().name("story".to_owned()).spawn(move || {
        // Nobody listens any more after a signal.
        drop(sender.send(tell(&options, &phones)));
        let _ = told.send(());
    })?;
    let interrupted = runtime.block_on(async {
        tokio::select! {
            _ = ended => false,
            () = stop.wait() => true,
        }
    });
    if interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let report = receiver.recv().context("the demo panicked")??;
    if json {
        screen::report(&report)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells the story. A story that went wrong is a report too, and said on standard error.
fn tell(options: &DemoOptions, folder: &std::path::Path) -> Result<Report> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => super::drawn_seed()?,
    };
    let screen = Screen::new(Target::beside_report(options.json, options.verbose), options.verbose);
    let mut story = Story::new(options, seed, folder, &screen);
    let outcome = story.tell();
    let (report, step) = story.end();
    if let Err(error) = &outcome {
        let again = options.seed.map_or(format!("; try the same again with --seed {seed}"), |_| String::new());
        let why = with_causes(error.as_ref());
        screen::complain(&anyhow::anyhow!("step {step} failed: {why}{again}"));
    }
    Ok(report.finish(step, outcome.err().as_ref()))
}
