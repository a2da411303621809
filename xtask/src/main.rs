//! Every job of this repository: `cargo xtask test`, `bench`, `bindings`, `fuzz`, `docs`.
//!
//! Needs the Rust toolchain and a C compiler; anything else a job needs, it installs itself.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod bindings;
mod checks;
mod debian;
mod deny;
mod dependencies;
mod docs;
mod fuzz;
mod kotlin;
mod library_size;
mod open_api;
mod pcsc;
mod postgres;
mod process;
mod pyemv;
mod python;
mod python_phone;
mod report;
mod swift;
mod test;
mod torture;
mod traces;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every job of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Check everything that a change must not break; continuous integration runs exactly this.
    ///
    /// Runs every step, also after one that failed, and ends with a table and the line
    /// `xtask: N passed, N failed`. Fails if a step failed.
    Test {
        /// Only these steps; all of them by default.
        steps: Vec<test::Step>,
    },
    /// Measure the budgets of the wallet as ratios to what this machine can do, in one run.
    ///
    /// Builds with the release profile and prints one table: p50, p99, instructions, reference, ratio
    /// and bar (met, MISSED, or NOT RUN with the reason). Nothing is asserted. All parts but `ffi` take
    /// about eight minutes after the first build, which takes five more.
    ///
    /// Needs OpenSSL's headers and valgrind; on Debian, run by root, both are installed with apt-get.
    /// Without valgrind the instructions are NOT RUN. gungraun-runner is built into target/tools, once.
    /// Criterion compares with the run before it, in target/criterion.
    Bench(bench::Options),
    /// Build the library that apps ship, and write its Kotlin, Swift and Python sides, into
    /// target/bindings: `lib` (shared and static), `kotlin`, `swift` (with header and module map) and
    /// `python`. The first build takes some minutes.
    Bindings(bindings::Options),
    /// Look for bytes that break a promise of the wallet, with the targets of fuzz/ (docs/fuzzing.md).
    ///
    /// Each target runs at the lowest priority, two of them at once; its output goes to
    /// target/fuzz/logs. Ends with one line a target. Fails if one crashed, and says how to repeat it.
    Fuzz(fuzz::Options),
    /// Write docs/errors.md from the doc comments of the error types, and docs/flows/tap.md from taps
    /// that it runs.
    Docs {
        /// Write nothing; fail if a page is not what the code says.
        #[arg(long)]
        check: bool,
    },
    /// Make Swift available: on Linux without it, in a Debian root of its own (2.6 GB) in the user's
    /// cache folder.
    ///
    /// That takes root, and Debian or a system derived from it. Elsewhere one line says that Swift was
    /// skipped and why; with CI=true that is a failure.
    SwiftToolchain,
}

fn main() -> ExitCode {
    let root = repository();
    let outcome = match Cli::parse().job {
        Job::Test { steps } => test::run(&root, &steps),
        Job::Bench(options) => bench::run(&root, &options).map(|()| ExitCode::SUCCESS),
        Job::Bindings(options) => bindings::run(&root, &options).map(|()| ExitCode::SUCCESS),
        Job::Fuzz(options) => fuzz::run(&root, &options).map(|()| ExitCode::SUCCESS),
        Job::Docs { check } => docs::run(&root, check).map(|()| ExitCode::SUCCESS),
        Job::SwiftToolchain => swift::install(&root).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The folder of the workspace, wherever the command was called from.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
