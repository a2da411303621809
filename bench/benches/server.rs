//! The provider's server under load. `cargo xtask bench server` builds it and runs this.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nfcwallet_bench::print;
use nfcwallet_bench::server::process::{EMPTY_HANDLER, serve_nothing};
use nfcwallet_bench::server::{Effort, measure};

const EFFORT: Effort = Effort {
    turns: 4,
    pay: Duration::from_secs(2),
    inserts: Duration::from_secs(1),
    at_once: 64,
    payments: 60_000,
    relays: 500,
};

fn main() -> Result<()> {
    // Cargo adds --bench to what it runs for `cargo bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match arguments.split_first() {
        Some((first, rest)) if first == EMPTY_HANDLER => serve_nothing(rest),
        _ => measured(&arguments),
    }
}

fn measured(arguments: &[String]) -> Result<()> {
    let mut program = None;
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--server" => program = Some(PathBuf::from(value)),
            [name, value] if name == "--data-directory" => {
                // Databases are made in the folder for temporary files.
                let chosen = tempfile::env::override_temp_dir(value.as_ref());
                chosen.ok().context("the folder for temporary files was chosen before")?;
            }
            other => bail!("expected --server PROGRAM or --data-directory FOLDER, not {other:?}"),
        }
    }
    let program = program.context("--server PROGRAM is missing")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    print(&runtime.block_on(measure(&program, EFFORT))?);
    Ok(())
}
