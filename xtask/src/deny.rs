//! `cargo deny`: licences, sources, bans and advisories, by `deny.toml`.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::process::Cmd;
use crate::report::Outcome;

const VERSION: &str = "0.20.2";

/// Licences, banned crates and sources. Needs no network once the tool is there.
pub(crate) fn offline_checks(root: &Path) -> Result<Outcome> {
    install(root)?;
    Ok(Outcome::of(check("licenses bans sources").run(root)?))
}

/// Known vulnerabilities, where the database can be reached.
pub(crate) fn advisories(root: &Path) -> Result<Outcome> {
    install(root)?;
    let output = check("advisories").run_and_keep(root)?;
    Ok(judge(output.success, &output.stderr))
}

/// A database that cannot be fetched says nothing about the crates.
fn judge(success: bool, stderr: &str) -> Outcome {
    match success {
        true => Outcome::passed(),
        false if stderr.contains("failed to fetch advisory database") => {
            Outcome::NotRun("the advisory database cannot be reached; nothing was checked".to_owned())
        }
        false => Outcome::Failed("cargo deny reports advisories, see above".to_owned()),
    }
}

fn check(what: &str) -> Cmd {
    Cmd::new("target/tools/bin/cargo-deny", "check --hide-inclusion-graph").args(what)
}

/// Builds the tool into `target/tools` if it is not there; takes some minutes, once. It works for a second
/// at a time, so it is not optimised, which would take twice as long.
fn install(root: &Path) -> Result<()> {
    let found = Cmd::new("target/tools/bin/cargo-deny", "--version").read(root);
    if found.is_ok_and(|text| text.trim() == format!("cargo-deny {VERSION}")) {
        return Ok(());
    }
    println!("cargo-deny {VERSION} is not in target/tools: building it, once; about two minutes");
    let install = format!("install --debug --locked --root target/tools --force cargo-deny@{VERSION}");
    let install = Cmd::cargo(&install).env("CARGO_PROFILE_DEV_DEBUG", "0");
    ensure!(install.run(root)?, "cargo-deny could not be installed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_database_is_not_a_clean_bill() {
        let stderr = "2026-01-01 [ERROR] failed to fetch advisory database https://example.org with cli";
        assert!(matches!(judge(false, stderr), Outcome::NotRun(_)));
    }

    #[test]
    fn a_reported_vulnerability_fails() {
        assert!(matches!(judge(false, "error[vulnerability]: a bad thing"), Outcome::Failed(_)));
        assert_eq!(judge(true, ""), Outcome::passed());
    }
}
