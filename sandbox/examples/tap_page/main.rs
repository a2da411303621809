//! Writes `docs/flows/tap.md` from taps that it runs, or checks the page against them.
//!
//! `cargo run -p nfcwallet-sandbox --example tap_page -- docs/flows/tap.md [--check]`
//!
//! `story` runs the taps, `words` picks what is said of their bytes, `page` writes, `check` judges a page
//! that was written before. Servers have a fixed seed; the wallet's randomness is the machine's, so each
//! run gives other bytes. Therefore a page is not compared with the next one: its bytes must have the
//! form of a run's, play a tap through the terminal's kernel again, and bear the signatures that they
//! claim; and everything else on it must be what is written for these bytes.

mod check;
mod page;
mod story;
#[cfg(test)]
mod tests;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    /// The page.
    page: PathBuf,
    /// Write nothing; fail if the page is not what the code says.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let Arguments { page: path, check } = Arguments::parse();
    let story = story::run()?;
    if check {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return check::page(&text, &story)
            .with_context(|| format!("{} is wrong; write it anew with `cargo xtask docs`", path.display()));
    }
    let text = page::write(&story)?;
    check::page(&text, &story).context("the page does not pass its own check")?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
