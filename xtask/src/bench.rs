//! `cargo xtask bench`: the budgets of the wallet, measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::process::Cmd;
use crate::report::Unavailable;
use crate::{bindings, debian, kotlin, library_size, swift};

/// The runner must have the version of the crate `gungraun` in `Cargo.toml`.
const RUNNER_VERSION: &str = "0.20.0";

/// Names of what callgrind measures; see `counted.rs` of the benchmarks.
const SUBJECTS: &str = "target/tmp/bench-subjects.json";
const INSTRUCTIONS: &str = "target/tmp/bench-instructions.jsonl";

/// What to measure, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this part; all but `ffi` by default.
    part: Option<Part>,
    /// Where the stores are kept while they are measured: a folder on the disk in question.
    /// By default a folder below `target`. A Swift in a root of its own sees the repository and the
    /// folder for temporary files alone.
    #[arg(long)]
    data_directory: Option<PathBuf>,
}

/// A part of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// APDUs, whole taps with and without CDA and burn, profile validation, RSA beside OpenSSL:
    /// times by Criterion and in a tap's rhythm, instructions by callgrind; about four minutes
    Card,
    /// Cold starts and replenishing; about a minute
    Store,
    /// Does the time of the RSA operation depend on secrets? A statistical test; about two minutes
    Leak,
    /// What Kotlin and Swift add to an APDU, a tap, an async call and a cold start, and how large the
    /// shipped library is; two minutes, after builds that take ten, once. Installs what
    /// `cargo xtask test kotlin swift` does
    Ffi,
}

/// Measures, after installing what the yardsticks need.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let part = match options.part {
        Some(Part::Ffi) => return border(root, options),
        Some(Part::Card) => "card",
        Some(Part::Store) => "store",
        Some(Part::Leak) => "leak",
        None => "",
    };
    install_openssl(root)?;
    let mut bench = benchmark("wallet").args(part);
    if matches!(options.part, None | Some(Part::Card)) {
        bench = match count_instructions(root)? {
            Ok(()) => bench.args("--instructions").arg(root.join(INSTRUCTIONS).display().to_string()),
            Err(why) => bench.args("--no-instructions").arg(why),
        };
    }
    measure(root, options, bench)
}

fn measure(root: &Path, options: &Options, mut bench: Cmd) -> Result<()> {
    if let Some(folder) = &options.data_directory {
        fs::create_dir_all(folder)?;
        bench = bench.args("--data-directory").arg(fs::canonicalize(folder)?.display().to_string());
    }
    ensure!(bench.run(root)?, "the benchmarks failed; repeat with: {bench}");
    Ok(())
}

/// A program that is measured in another language, once it is built.
type Build = fn(&Path) -> Result<PathBuf>;

/// The shipped library from outside. A language that is not to be had is skipped, with the reason.
fn border(root: &Path, options: &Options) -> Result<()> {
    let library = bindings::make_shipped(root)?;
    // With the profile of the library: what differs is the border alone.
    let mut bench = Cmd::cargo("bench --quiet --profile bindings --package nfcwallet-bench --bench border --");
    let languages: [(&str, Build); 2] = [("Kotlin", kotlin::border_phone), ("Swift", swift::border_phone)];
    for (language, build) in languages {
        bench = match build(root) {
            Ok(program) => bench.arg(format!("--{language}")).arg(program.display().to_string()),
            Err(error) if error.is::<Unavailable>() => bench.args("--skipped").arg(format!("{language}: {error:#}")),
            Err(error) => return Err(error),
        };
    }
    measure(root, options, bench)?;
    library_size::report(root, &library)
}

fn benchmark(name: &str) -> Cmd {
    Cmd::cargo("bench --quiet --package nfcwallet-bench --features openssl --bench").args(name).args("--")
}

/// Lets callgrind count, into a file. The inner error says why that is not possible here.
fn count_instructions(root: &Path) -> Result<Result<(), String>> {
    let has_valgrind = || Cmd::new("valgrind", "--version").read(root).is_ok();
    if let Err(error) = debian::install(root, &["valgrind"], "valgrind", has_valgrind) {
        return match error.downcast::<Unavailable>() {
            Ok(Unavailable(why)) => Ok(Err(why)),
            Err(other) => Err(other),
        };
    }
    install_runner(root)?;
    let subjects = root.join(SUBJECTS).display().to_string();
    fs::create_dir_all(root.join("target/tmp"))?;
    let write = benchmark("wallet").args("write-subjects").arg(&subjects);
    ensure!(write.run(root)?, "the measured keys could not be made; repeat with: {write}");
    let count = benchmark("instructions")
        .args("--output-format=json")
        .env("NFCWALLET_BENCH_SUBJECTS", &subjects)
        .env("GUNGRAUN_RUNNER", &root.join("target/tools/bin/gungraun-runner").display().to_string());
    println!("$ {count}");
    fs::write(root.join(INSTRUCTIONS), count.read(root)?)?;
    Ok(Ok(()))
}

/// Builds the tool into `target/tools` if it is not there; takes some minutes, once.
fn install_runner(root: &Path) -> Result<()> {
    let found = Cmd::new("target/tools/bin/gungraun-runner", "--version").read(root);
    if found.is_ok_and(|text| text.trim() == format!("gungraun-runner {RUNNER_VERSION}")) {
        return Ok(());
    }
    println!("gungraun-runner {RUNNER_VERSION} is not in target/tools: building it, once; about three minutes");
    let install = format!("install --locked --root target/tools --force gungraun-runner@{RUNNER_VERSION}");
    ensure!(Cmd::cargo(&install).run(root)?, "gungraun-runner could not be installed");
    Ok(())
}

/// The yardstick for RSA is the system's OpenSSL.
fn install_openssl(root: &Path) -> Result<()> {
    debian::install(root, &["libssl-dev", "pkg-config"], "OpenSSL's headers with pkg-config", || {
        Cmd::new("pkg-config", "--exists openssl").read(root).is_ok()
    })
}
