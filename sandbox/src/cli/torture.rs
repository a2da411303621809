//! `torture`: what `nfcwallet_sandbox::torture` does, for people and for machines.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nfcwallet_sandbox::phone::PhoneProgram;
use nfcwallet_sandbox::torture::{self, Kind, Part, Plan, Violation};
use serde::Serialize;
use tempfile::TempDir;

use super::screen::{self, Screen, Target};

/// Options of `torture`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example, about a minute:\n  nfcwallet-sandbox torture --kills 300 --power-cuts 300 --processes 10\n\n\
                        Exit code 1 means that a promise was broken; the seed and the last steps are printed, and the \
                        wallet's folder is kept."
)]
pub(crate) struct TortureOptions {
    /// Kill so many wallets (SIGKILL) while they work
    #[arg(long, value_name = "N", default_value_t = 100)]
    kills: u64,
    /// Cut the power of so many wallets' disks: unsynced writes are lost, torn and reordered
    #[arg(long, value_name = "N", default_value_t = 100)]
    power_cuts: u64,
    /// Let two processes share one wallet for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    processes: u64,
    /// Draw everything from this; drawn itself if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Keep the wallets' folders below this one; by default a temporary one
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    seed: u64,
    parts: &'a [Part],
}

pub(crate) fn run(options: &TortureOptions) -> Result<ExitCode> {
    let seed = options.seed.map_or_else(super::drawn_seed, Ok)?;
    let temporary = TempDir::with_prefix("nfcwallet-torture-").context("no temporary folder")?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let path = std::env::current_exe().context("this program does not know its own path")?;
    let plan = Plan {
        kills: options.kills,
        power_cuts: options.power_cuts,
        processes: Duration::from_secs(options.processes),
        seed,
        program: PhoneProgram { path, arguments: vec!["phone".into()] },
        folder,
    };
    let screen = Screen::new(Target::beside_report(options.json, false), false);
    screen.line(&format!(
        "{} kills, {} power cuts, {} s of two processes; seed {seed}",
        plan.kills, plan.power_cuts, options.processes
    ));
    let bar = bar(&screen);
    let shown = Mutex::new(None);
    let parts = torture::run(&plan, &|kind, done, total| show(&bar, &shown, kind, done, total))?;
    bar.finish_and_clear();
    let violation = parts.iter().find_map(|part| part.violation.as_ref());
    if options.json {
        screen::report(&Report { ok: violation.is_none(), seed, parts: &parts })?;
    } else {
        tell(&screen, &parts, violation);
    }
    Ok(match violation {
        None => ExitCode::SUCCESS,
        Some(_) => {
            // What is left of the wallet is evidence.
            drop(temporary.keep());
            ExitCode::FAILURE
        }
    })
}

fn bar(screen: &Screen) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(0),
        if screen.is_live() { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() },
    );
    let template = "  {msg:<14} {bar:40.cyan} {pos}/{len}  {elapsed} gone, {eta} to go";
    // A template that does not parse would show nothing; the default bar shows enough.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, shown: &Mutex<Option<Kind>>, kind: Kind, done: u64, total: u64) {
    let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *shown != Some(kind) {
        *shown = Some(kind);
        bar.reset();
        bar.set_length(total);
        bar.set_message(kind.to_string());
    }
    bar.set_position(done.min(total));
}

fn tell(screen: &Screen, parts: &[Part], violation: Option<&Violation>) {
    screen.line(&format!(
        "{:<14} {:>8} {:>8} {:>8} {:>7} {:>8} {:>11} {:>8} {:>6} {:>9}",
        "", "breaks", "at work", "starts", "busy", "paid", "activated", "audits", "lost", "seconds"
    ));
    for part in parts {
        let tally = part.tally;
        screen.line(&format!(
            "{:<14} {:>8} {:>8} {:>8} {:>7} {:>8} {:>11} {:>8} {:>6} {:>9.1}",
            part.kind.to_string(),
            tally.breaks,
            tally.at_work,
            tally.starts,
            tally.busy,
            tally.taps,
            tally.activations,
            tally.audits,
            tally.lost,
            part.seconds
        ));
    }
    match violation {
        None => screen.good(
            "no credential paid twice, no counter repeated, at most one credential was lost a break, and every wallet \
             opened again and went on",
        ),
        Some(violation) => {
            screen.line(&format!("BROKEN in round {}: {}", violation.round, violation.promise));
            screen.line(&format!("the wallet's folder: {}", violation.folder.display()));
            screen.line("the last steps:");
            for step in &violation.steps {
                screen.fact(step);
            }
            screen.line(&format!("try the same again with --seed {}", violation.seed));
        }
    }
}
