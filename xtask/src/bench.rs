//! `cargo xtask bench`: the budgets of the wallet, measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::debian;
use crate::process::Cmd;

/// What to measure, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this part; both by default.
    part: Option<Part>,
    /// Where the stores are kept while they are measured: a folder on the disk in question.
    /// By default a folder below `target`.
    #[arg(long)]
    data_directory: Option<PathBuf>,
}

/// A part of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// APDUs and whole taps
    Card,
    /// burns, cold starts, replenishing
    Store,
}

/// Measures, after installing what the yardstick needs.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    install_openssl(root)?;
    let mut bench = Cmd::cargo("bench --quiet --package nfcwallet-bench --features openssl --bench wallet --");
    if let Some(part) = options.part {
        bench = bench.args(match part {
            Part::Card => "card",
            Part::Store => "store",
        });
    }
    if let Some(folder) = &options.data_directory {
        fs::create_dir_all(folder)?;
        bench = bench.args("--data-directory").arg(fs::canonicalize(folder)?.display().to_string());
    }
    ensure!(bench.run(root)?, "the benchmarks failed; repeat with: {bench}");
    Ok(())
}

/// The yardstick for RSA is the system's OpenSSL.
fn install_openssl(root: &Path) -> Result<()> {
    debian::install(root, &["libssl-dev", "pkg-config"], "OpenSSL's headers with pkg-config", || {
        Cmd::new("pkg-config", "--exists openssl").read(root).is_ok()
    })
}
