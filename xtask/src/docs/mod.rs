//! `cargo xtask docs`: the error glossary, from the doc comments of the code.
//!
//! `source` reads the code into a model, `page` writes the model as Markdown.

mod page;
mod source;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const PAGE: &str = "docs/errors.md";
const CALLS: &str = "core/src/error.rs";
const TAPS: &str = "core/src/payment/transaction.rs";

/// Writes the page, or, with `check`, fails if it is not what would be written.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let calls = source::Source::read(&root.join(CALLS))?;
    let taps = source::Source::read(&root.join(TAPS))?;
    let wanted = page::write(&calls, &taps)?;
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
