//! Swift: a toolchain where there is none, and the Swift package over the bindings.

mod package;
mod toolchain;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::report::{Outcome, Unavailable, is_ci};

/// Makes Swift available and says where; where that may not be, says so in a line.
pub(crate) fn install(root: &Path) -> Result<()> {
    match toolchain::ready(root) {
        Ok(toolchain) => println!("Swift is {toolchain}"),
        Err(error) => println!("{}", skipped(error)?),
    }
    Ok(())
}

/// The step of `cargo xtask test`: toolchain, library, generated code, tests, scenarios.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    package::check(root).or_else(|error| skipped(error).map(Outcome::NotRun))
}

/// The program that `cargo xtask bench ffi` measures, over the library and the generated code that are there.
pub(crate) fn border_phone(root: &Path) -> Result<PathBuf> {
    package::border_phone(root)
}

/// The words for a machine on which Swift may not run. In continuous integration that is a failure, and
/// every other error is one everywhere.
fn skipped(error: anyhow::Error) -> Result<String> {
    match error.is::<Unavailable>() && !is_ci() {
        true => Ok(format!("Swift was skipped: {error:#}")),
        false if is_ci() => bail!("{error:#}; with CI=true Swift must run"),
        false => Err(error),
    }
}
