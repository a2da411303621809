//! Every job of this repository: `cargo xtask test`, `bench`, `docs`.
//!
//! Needs the Rust toolchain and a C compiler; anything else a job needs, it installs itself.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod checks;
mod debian;
mod deny;
mod dependencies;
mod docs;
mod pcsc;
mod process;
mod pyemv;
mod python;
mod report;
mod test;
mod torture;

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
    /// Nothing is asserted: the table shows each value, its reference, the ratio and the bar.
    Bench(bench::Options),
    /// Write docs/errors.md from the doc comments of the error types.
    Docs {
        /// Write nothing; fail if the page is not what would be written.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let root = repository();
    let outcome = match Cli::parse().job {
        Job::Test { steps } => test::run(&root, &steps),
        Job::Bench(options) => bench::run(&root, &options).map(|()| ExitCode::SUCCESS),
        Job::Docs { check } => docs::run(&root, check).map(|()| ExitCode::SUCCESS),
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
