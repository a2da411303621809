//! `cargo xtask test python`: scenarios with a phone written in Python over the library's Python side.
//!
//! Only those that say "activation", which cross the whole border, and the two about the protocol's lines:
//! Kotlin and Swift tell all of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{self, Cmd};
use crate::report::Outcome;
use crate::{bindings, python, test};

const REQUIREMENTS: &str = "bindings/python/requirements.txt";

/// What a driver starts.
const PROGRAM: &str = "target/bindings/python/phone";

/// Builds and generates, and lets the scenario runner drive the phone.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let python = python::venv(root, "bindings", Path::new(REQUIREMENTS))?;
    bindings::make_quick(root)?;
    make_program(root, &python)?;
    let told = |names: &str| {
        let scenarios = Cmd::cargo("test --package nfcwallet-tests --test scenarios --").args(names);
        test::tests(&scenarios.env("NFCWALLET_PHONE", &root.join(PROGRAM).display().to_string()), root)
    };
    match told("_line")? {
        Outcome::Passed(lines) => Ok(match told("activation")? {
            Outcome::Passed(stories) => Outcome::Passed(format!("lines: {lines}; stories: {stories}")),
            other => other,
        }),
        other => Ok(other),
    }
}

/// A program that runs the phone with `python`, the generated module beside it.
fn make_program(root: &Path, python: &Path) -> Result<()> {
    let module = root.join("target/bindings/python");
    let phone = root.join("bindings/python/phone.py");
    let text = format!(
        "#!/bin/sh\nPYTHONPATH='{}' exec '{}' '{}' \"$@\"\n",
        module.display(),
        python.display(),
        phone.display()
    );
    let program = root.join(PROGRAM);
    fs::write(&program, text).with_context(|| format!("cannot write {PROGRAM}"))?;
    process::make_executable(&program)
}
