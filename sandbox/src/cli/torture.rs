//! `torture`: what `nfcwallet_sandbox::torture` does, for people and for machines.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nfcwallet_sandbox::phone::PhoneProgram;
use nfcwallet_sandbox::torture::drift::{FEWEST_ROUNDS, MOST_ROUNDS, Stage, tap_time_percent};
use nfcwallet_sandbox::torture::{self, Kind, Part, Plan, Violation};
use serde::Serialize;
use tempfile::TempDir;

use super::screen::{self, Screen, Target};
use super::serve::StopSignal;

/// What a shell expects of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Where no bar can move.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Options of `torture`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example, about a minute:\n  nfcwallet-sandbox torture --kills 300 --power-cuts 300 --processes 10\n\n\
                  docs/reliability.md explains the columns. Exit code 1 means that a promise was broken; the seed and the last steps are printed, and the \
                  wallet's folder is kept. The same seed draws the same breaks; what they meet also depends on \
                  the machine's own timing (docs/reliability.md)."
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
    /// Tap and replenish so many times in a row, then delete and activate so many times, in one
    /// process, and measure what grows: 0 for none, else 40 to 50000
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = rounds)]
    drift: u64,
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

fn rounds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number == 0 || (FEWEST_ROUNDS..=MOST_ROUNDS).contains(&number) => Ok(number),
        _ => Err(format!("is neither 0 nor {FEWEST_ROUNDS} to {MOST_ROUNDS}")),
    }
}

impl TortureOptions {
    /// Ends the program with a usage error if there is nothing to do.
    fn or_usage_error(&self) {
        if [self.kills, self.power_cuts, self.processes, self.drift] == [0; 4] {
            let text = "nothing to do: --kills, --power-cuts, --processes and --drift are all 0\n";
            clap::Error::raw(ErrorKind::ValueValidation, text).exit();
        }
    }
}

/// Wallets that find no place to write would look like broken promises.
fn make_or_usage_error(folder: &Path) {
    if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)) {
        let text = format!("--folder: {} cannot be made and written to: {error}\n", folder.display());
        clap::Error::raw(ErrorKind::Io, text).exit();
    }
}

pub(crate) fn run(options: &TortureOptions) -> Result<ExitCode> {
    options.or_usage_error();
    ensure!(options.drift == 0 || cfg!(target_os = "linux"), "--drift reads /proc, which only Linux has");
    let seed = options.seed.map_or_else(super::drawn_seed, Ok)?;
    let temporary = TempDir::with_prefix("nfcwallet-torture-").context("no temporary folder")?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    make_or_usage_error(&folder);
    let path = std::env::current_exe().context("this program does not know its own path")?;
    let plan = Plan {
        kills: options.kills,
        power_cuts: options.power_cuts,
        processes: Duration::from_secs(options.processes),
        drift: options.drift,
        seed,
        program: PhoneProgram { path, arguments: vec!["phone".into()] },
        folder,
    };
    tidy_up_when_interrupted(temporary.path().to_owned())?;
    let screen = Screen::new(Target::beside_report(options.json, false), false);
    screen.line(&format!(
        "{} kills, {} power cuts, {} s of two processes, {} rounds of drift; seed {seed}",
        plan.kills, plan.power_cuts, options.processes, plan.drift
    ));
    let watch = Watch::new(options.json);
    let parts = torture::run(&plan, &|kind, done, total| watch.show(kind, done, total))?;
    watch.bar.finish_and_clear();
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

/// On a signal the wallets end with their standard inputs, which end with this process; the temporary
/// folder would stay.
fn tidy_up_when_interrupted(folder: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no threads")?;
    let stop = {
        let _context = runtime.enter();
        StopSignal::new()?
    };
    let wait = move || {
        runtime.block_on(stop.wait());
        // Nobody is left to tell if it cannot be removed.
        drop(std::fs::remove_dir_all(&folder));
        std::process::exit(INTERRUPTED);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("no threads")?;
    Ok(())
}

/// How far it has come, on standard error: a bar for a person, else a line now and then.
struct Watch {
    bar: ProgressBar,
    tells_lines: bool,
    shown: Mutex<Shown>,
}

struct Shown {
    kind: Option<Kind>,
    told: Instant,
}

impl Watch {
    /// A program that reads the report is told nothing else.
    fn new(json: bool) -> Self {
        let is_live = std::io::stderr().is_terminal();
        let target = if is_live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = "  {msg:<14} {bar:40.cyan} {pos}/{len}  {elapsed} gone, {eta} to go";
        // A template that does not parse would show nothing; the default bar shows enough.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style);
        let shown = Mutex::new(Shown { kind: None, told: Instant::now() });
        Self { bar, tells_lines: !is_live && !json, shown }
    }

    fn show(&self, kind: Kind, done: u64, total: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.begins(kind) {
            self.bar.reset();
            self.bar.set_length(total);
            self.bar.set_message(kind.to_string());
        }
        self.bar.set_position(done.min(total));
        if self.tells_lines && shown.is_due(Instant::now()) {
            // Nobody is left to tell if standard error is closed.
            drop(writeln!(std::io::stderr(), "{kind}: {} of {total}", done.min(total)));
        }
    }
}

impl Shown {
    fn begins(&mut self, kind: Kind) -> bool {
        self.kind.replace(kind) != Some(kind)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.saturating_duration_since(self.told) >= LINE_EVERY;
        if is_due {
            self.told = now;
        }
        is_due
    }
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
    for part in parts {
        tell_drift(screen, part);
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

/// Windows and verdicts; nothing for the other parts.
fn tell_drift(screen: &Screen, part: &Part) {
    if part.samples.is_empty() {
        return;
    }
    screen.line(&format!(
        "\n{:<10} {:>7} {:>12} {:>12} {:>8} {:>8} {:>12}",
        "drift", "rounds", "store KiB", "memory KiB", "handles", "threads", "tap p50 ms"
    ));
    for sample in &part.samples {
        screen.line(&format!(
            "{:<10} {:>7} {:>12} {:>12} {:>8} {:>8} {:>12.2}",
            sample.stage.to_string(),
            sample.rounds,
            sample.store_bytes / 1_024,
            sample.memory_bytes / 1_024,
            sample.handles,
            sample.threads,
            Duration::from_micros(sample.tap_us).as_secs_f64() * 1e3
        ));
    }
    for verdict in &part.verdicts {
        screen.fact(&verdict.to_string());
    }
    for stage in [Stage::Pay, Stage::Activate] {
        if let Some(percent) = tap_time_percent(stage, &part.samples) {
            screen
                .fact(&format!("{stage}: the last window's taps took {percent} % of the first one's (reported only)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_every_thirty_seconds() {
        let began = Instant::now();
        let mut shown = Shown { kind: None, told: began };
        let mut is_due = |seconds| shown.is_due(began + Duration::from_secs(seconds));
        assert_eq!([0, 29, 30, 31, 59, 60].map(&mut is_due), [false, false, true, false, false, true]);
        assert!(shown.begins(Kind::Kill) && !shown.begins(Kind::Kill) && shown.begins(Kind::Drift));
    }
}
