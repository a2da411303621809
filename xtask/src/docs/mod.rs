//! `cargo xtask docs`: the pages that the code writes.
//!
//! The error glossary comes from the doc comments of the code: `source` reads them into a model, `page`
//! `stories` finds a scenario for each, and `page` writes all of it as Markdown. The page of taps comes from taps that the sandbox's example `tap_page`
//! runs; the example also judges the page, here and in its tests.

mod page;
mod source;
mod stories;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Cmd;

const TAP_PAGE: &str = "docs/flows/tap.md";
const PAGE: &str = "docs/errors.md";
const CALLS: &str = "core/src/error.rs";
const TAPS: &str = "core/src/payment/transaction.rs";
/// Where the one error stands that the core does not have.
const BINDINGS: &str = "bindings/src/error.rs";
const SCENARIOS: &str = "tests/scenarios";

/// Writes all pages, or, with `check`, fails if one is not what the code says.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    glossary(root, check)?;
    let command = Cmd::cargo("run --quiet --package nfcwallet-sandbox --example tap_page --").arg(TAP_PAGE);
    let command = if check { command.arg("--check") } else { command };
    ensure!(command.run(root)?, "{TAP_PAGE} is out of date, or a tap went otherwise than it should; see above");
    println!("{TAP_PAGE} is {}", if check { "current" } else { "written" });
    Ok(())
}

/// Writes the glossary, or, with `check`, fails if it is not what would be written.
pub(crate) fn glossary(root: &Path, check: bool) -> Result<()> {
    let calls = source::Source::read(&root.join(CALLS))?;
    let taps = source::Source::read(&root.join(TAPS))?;
    let bindings = source::Source::read(&root.join(BINDINGS))?;
    let wanted = page::write(&calls, &taps, &bindings, &stories::Stories::read(&root.join(SCENARIOS))?)?;
    let path = root.join(PAGE);
    if !check {
        fs::write(&path, wanted).with_context(|| format!("cannot write {PAGE}"))?;
        println!("{PAGE} is written");
        return Ok(());
    }
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    if found != wanted {
        bail!("{PAGE} is out of date; write it anew with `cargo xtask docs`");
    }
    println!("{PAGE} is current");
    Ok(())
}
