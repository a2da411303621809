//! Prints what a built library of the bindings exports. Fails if that breaks a rule of a language.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use std::process::ExitCode;

use anyhow::{Context, Result};
use nfcwallet_bindgen::{rules, surface};

fn main() -> Result<ExitCode> {
    let path = std::env::args_os().nth(1).context("which library? give its path")?;
    let library = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let items = uniffi_bindgen::macro_metadata::extract_from_bytes(&library)?;
    print!("{}", surface::list(&items));
    let complaints = rules::complaints(&items);
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
