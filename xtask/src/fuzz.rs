//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, by the stable compiler.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::debian;
use crate::process::Cmd;
use crate::report::{Outcome, Unavailable};

/// Binaries of the package `nfcwallet-fuzz`.
const TARGETS: [&str; 9] = ["profile", "tap", "envelope", "key_set", "request", "open_api", "apdu", "dol", "tlv"];

/// Their coverage guides the fuzzer. The cryptography below them would only slow it down.
const GUIDING: [&str; 5] = ["alipayplus", "nfcwallet-core", "nfcwallet-fuzz", "nfcwallet-sandbox", "serde_json"];

/// Each access to memory is checked in these, where unsafe code is possible; allocations and copies are
/// checked everywhere.
const CHECKED: [&str; 4] = ["base64", "hex", "nfcwallet-fuzz", "serde_json"];

/// What `cargo fuzz` passes, too.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// What `cargo fuzz` passes, too.
const CHECKS: &str = "-Zsanitizer=address";

/// How many targets run at once.
const JOBS: usize = 2;

/// One input may take this long on a busy machine; a slower one counts as a hang.
const INPUT_LIMIT_S: u32 = 25;

/// How long a target is fuzzed unless told otherwise.
pub(crate) const DEFAULT_SECONDS: u32 = 60;

/// What to fuzz, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these targets; all of them by default.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// How long each target is fuzzed, in seconds.
    #[arg(long, default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Afterwards, add to `fuzz/corpus` the inputs that reach code which none of those there reaches.
    #[arg(long)]
    keep: bool,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let targets: Vec<&str> = TARGETS
        .into_iter()
        .filter(|name| options.targets.is_empty() || options.targets.iter().any(|one| one == name))
        .collect();
    match fuzz(root, &targets, options.seconds)? {
        Outcome::Passed(_) => {}
        Outcome::NotRun(why) => bail!("not run: {why}"),
        Outcome::Failed(why) => bail!("{why}"),
    }
    if options.keep {
        targets.iter().try_for_each(|target| keep(root, target))?;
    }
    Ok(())
}

/// The step of `cargo xtask test`: every target, briefly.
pub(crate) fn step(root: &Path) -> Result<Outcome> {
    fuzz(root, &TARGETS, DEFAULT_SECONDS)
}

fn fuzz(root: &Path, targets: &[&str], seconds: u32) -> Result<Outcome> {
    prepare(root)?;
    let binaries = build(root)?;
    let waiting: Mutex<VecDeque<&str>> = Mutex::new(targets.iter().copied().collect());
    let runs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(target) = next(&waiting) {
                    let run = Run::of(root, &binaries, target, seconds);
                    if let Ok(run) = &run {
                        println!("{run}");
                    }
                    runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
                }
            });
        }
    });
    let runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    judge(runs.into_iter().collect::<Result<Vec<_>>>()?)
}

fn next<'a>(waiting: &Mutex<VecDeque<&'a str>>) -> Option<&'a str> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The table at the end; a crash fails.
fn judge(mut runs: Vec<Run>) -> Result<Outcome> {
    runs.sort_by_key(|run| TARGETS.iter().position(|target| *target == run.target));
    println!();
    for run in &runs {
        println!("{run}");
    }
    for run in runs.iter().filter(|run| !run.success) {
        run.explain();
    }
    let failed = runs.iter().filter(|run| !run.success).count();
    let executions: u64 = runs.iter().map(|run| run.statistics.executions).sum();
    Ok(match failed {
        0 => Outcome::Passed(format!("{} targets, {executions} inputs, no crash", runs.len())),
        _ => Outcome::Failed(format!("{failed} of {} targets failed, see above", runs.len())),
    })
}

/// libFuzzer is C++, and the sanitizer's runtime comes with the compiler for Linux only.
fn prepare(root: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        bail!(Unavailable("the sanitizer's runtime comes with the compiler for Linux with glibc only".to_owned()));
    }
    let has_compiler = || Cmd::new("c++", "--version").read(root).is_ok();
    debian::install(root, &["g++"], "a C++ compiler, for libFuzzer,", has_compiler)
}

/// Builds all targets; answers the folder of the binaries.
///
/// The stable compiler is told to accept the sanitizer's flag, which is all that `cargo fuzz` does
/// besides. A build script may see that and choose otherwise, hence the folder of its own.
fn build(root: &Path) -> Result<PathBuf> {
    let version = Cmd::new("rustc", "-vV").read(root)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut build = Cmd::cargo("-Zprofile-rustflags build --package nfcwallet-fuzz --bins --features libfuzzer")
        .args("--profile fuzz --target-dir target/fuzz --target")
        .arg(host)
        .env("RUSTC_BOOTSTRAP", "1");
    for (package, flags) in instrumented() {
        build = build.args("--config").arg(format!("profile.fuzz.package.{package}.rustflags={flags:?}"));
    }
    ensure!(build.run(root)?, "the targets could not be built; repeat with: {build}");
    Ok(root.join("target/fuzz").join(host).join("fuzz"))
}

/// Compiler flags by package.
fn instrumented() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut flags: BTreeMap<_, Vec<_>> = GUIDING.map(|package| (package, COVERAGE.to_vec())).into();
    for package in CHECKED {
        flags.entry(package).or_default().push(CHECKS);
    }
    flags
}

/// How fuzzing one target went.
#[derive(Debug)]
struct Run {
    target: String,
    success: bool,
    took: Duration,
    statistics: Statistics,
    /// As it was run, for a shell.
    binary: PathBuf,
    log: PathBuf,
    crash: Option<PathBuf>,
}

/// What libFuzzer says at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statistics {
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
}

impl Run {
    /// Runs a target for `seconds` at the lowest priority. What it finds is kept in `target/fuzz/corpus`
    /// for the next run.
    fn of(root: &Path, binaries: &Path, target: &str, seconds: u32) -> Result<Self> {
        let found = root.join("target/fuzz/corpus").join(target);
        let crashes = root.join("fuzz/artifacts").join(target);
        let log = root.join("target/fuzz/logs").join(format!("{target}.log"));
        for folder in [&found, &crashes, log.parent().unwrap_or(root)] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let known = kept(root, target);
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let binary = binaries.join(target);
        let started = Instant::now();
        let status = Command::new("nice")
            .args(["-n", "19"])
            .arg(&binary)
            .arg(&found)
            .args(known)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_LIMIT_S}"))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .args(["-print_final_stats=1", "-detect_leaks=0"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .current_dir(root)
            .status()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let success = status.success();
        Ok(Self {
            target: target.to_owned(),
            success,
            took: started.elapsed(),
            statistics: Statistics::read(&text),
            binary,
            log,
            crash: if success { None } else { written(&text) },
        })
    }

    /// What happened, and how to see it again.
    fn explain(&self) {
        println!("\n{} failed; its last words, from {}:", self.target, self.log.display());
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let words: Vec<&str> = text.lines().filter(|line| !is_status(line)).collect();
        for line in words.iter().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:")).take(20) {
            println!("  {line}");
        }
        match &self.crash {
            Some(file) => {
                println!("the input: {}\nrepeat with: {} {}", file.display(), self.binary.display(), file.display())
            }
            None => println!("it left no input: see the log"),
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Statistics { executions, coverage } = self.statistics;
        let end = match (&self.crash, self.success) {
            (Some(_), _) => "1 crash",
            (None, true) => "0 crashes",
            (None, false) => "FAILED",
        };
        let seconds = self.took.as_secs();
        write!(f, "fuzz {:<9} {executions:>10} inputs, coverage {coverage:>5}, {seconds:>5} s, {end}", self.target)
    }
}

impl Statistics {
    fn read(log: &str) -> Self {
        let after = |line: &str, word: &str| line.split_once(word)?.1.split_whitespace().next()?.parse().ok();
        let last = |word: &str| log.lines().filter_map(|line| after(line, word)).next_back();
        let counted = last("stat::number_of_executed_units: ");
        // A target that crashed has no sum; its status lines count, too.
        let number = |line: &str| line.get(1..)?.split_whitespace().next()?.parse().ok();
        let seen = log.lines().filter(|line| is_status(line)).filter_map(number).next_back();
        Self { executions: counted.or(seen).unwrap_or(0), coverage: last("cov: ").unwrap_or(0) }
    }
}

/// `#1024  pulse  cov: 12 ...`
fn is_status(line: &str) -> bool {
    line.starts_with('#') && line.contains("exec/s:")
}

/// The input that libFuzzer wrote down last. It also writes down slow ones, and goes on.
fn written(log: &str) -> Option<PathBuf> {
    let path = |line: &str| Some(PathBuf::from(line.split_once("Test unit written to ")?.1.trim()));
    log.lines().filter_map(path).next_back()
}

/// The inputs of the repository.
fn kept(root: &Path, target: &str) -> Vec<PathBuf> {
    let folders = ["corpus", "regressions"].map(|kind| root.join("fuzz").join(kind).join(target));
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

/// Adds what was found and reaches new code to the inputs of the repository. Only whether an edge is
/// reached counts, not how often: that keeps them few.
fn keep(root: &Path, target: &str) -> Result<()> {
    let corpus = root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let merge = Cmd::new(build(root)?.join(target).display().to_string(), "-merge=1 -use_counters=0 -detect_leaks=0")
        .arg(corpus.display().to_string())
        .arg(root.join("target/fuzz/corpus").join(target).display().to_string());
    ensure!(merge.run(root)?, "the inputs of {target} were not merged");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #4096\tpulse  cov: 250 ft: 800 corp: 90/1024b lim: 40 exec/s: 2048 rss: 60Mb\n";

    #[test]
    fn the_sums_of_a_run_are_read() {
        let log = format!("{LOG}Done 5000 runs in 2 second(s)\nstat::number_of_executed_units: 5000\n");
        assert_eq!(Statistics::read(&log), Statistics { executions: 5_000, coverage: 250 });
    }

    #[test]
    fn a_run_that_crashed_has_its_last_status() {
        let log = format!("{LOG}thread panicked at x.rs\n==7== ERROR: libFuzzer: deadly signal\n");
        assert_eq!(Statistics::read(&log), Statistics { executions: 4_096, coverage: 250 });
        assert_eq!(Statistics::read(""), Statistics::default());
        let words = "artifact_prefix='x/'; Test unit written to x/crash-1\n";
        assert_eq!(written(&(log + words)), Some(PathBuf::from("x/crash-1")));
    }

    #[test]
    fn a_crash_fails_whatever_else_went_well() {
        let run = |success, crash| Run {
            target: "tlv".to_owned(),
            success,
            took: Duration::ZERO,
            statistics: Statistics::default(),
            binary: PathBuf::new(),
            log: PathBuf::new(),
            crash,
        };
        assert!(matches!(judge(vec![run(true, None)]), Ok(Outcome::Passed(_))));
        let crashed = run(false, Some(PathBuf::from("crash-1")));
        assert!(crashed.to_string().ends_with("1 crash"), "{crashed}");
        assert!(matches!(judge(vec![run(true, None), crashed]), Ok(Outcome::Failed(_))));
    }

    #[test]
    fn every_target_is_a_binary_of_the_package() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("fuzz");
        let files = fs::read_dir(package.join("fuzz_targets")).unwrap();
        let name = |file: PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
        let mut binaries: Vec<String> = files.filter_map(|entry| name(entry.unwrap().path())).collect();
        binaries.sort();
        let mut targets = TARGETS.to_vec();
        targets.sort_unstable();
        assert_eq!(binaries, targets);
    }
}
