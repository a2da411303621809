//! `cargo xtask test pyemv`: the card's cryptograms, computed anew by an issuer that nobody here wrote.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::process::Cmd;
use crate::python;
use crate::report::Outcome;

const REQUIREMENTS: &str = "tests/pyemv/requirements.txt";
const CHECK: &str = "tests/pyemv/check.py";
const LINES: &str = "target/pyemv/cryptograms.jsonl";

/// How many cryptograms, and how many checksums, `check.py` must have compared at the least; it counts
/// each kind by itself.
const AT_LEAST: u64 = 1_000;

/// Writes random transactions of our card, and lets `pyemv` judge them.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let python = python::venv(root, "pyemv", Path::new(REQUIREMENTS))?;
    let write = Cmd::cargo("run --quiet --package nfcwallet-tests --example cryptograms -- --output").arg(LINES);
    ensure!(write.run(root)?, "the transactions could not be made; repeat with: {write}");
    let check = Cmd::new(python.display().to_string(), "-W ignore").arg(CHECK).arg(LINES);
    let output = check.run_and_keep_stdout(root)?;
    Ok(judge(output.success, &output.stdout))
}

/// By the end of the program and by its last line, `pyemv: N cryptograms and N checksums equal, …`.
fn judge(success: bool, stdout: &str) -> Outcome {
    let said = stdout.lines().last().and_then(|line| line.strip_prefix("pyemv: "));
    let counts = said.and_then(|said| {
        let (cryptograms, rest) = said.split_once(" cryptograms and ")?;
        let (checksums, _) = rest.split_once(" checksums equal")?;
        Some([cryptograms.parse::<u64>().ok()?, checksums.parse().ok()?])
    });
    let enough = counts.is_some_and(|counts| counts.iter().all(|count| *count >= AT_LEAST));
    match said {
        Some(said) if success && enough => Outcome::Passed(said.to_owned()),
        Some(said) => Outcome::Failed(format!("{said}; wanted {AT_LEAST} of each equal and no complaint")),
        None => Outcome::Failed("the check broke off, see above".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thousand_equal_of_each_and_a_good_end_pass() {
        let line = |cryptograms: u64, checksums: u64| {
            format!("   12  kind\npyemv: {cryptograms} cryptograms and {checksums} checksums equal, 0 complaints\n")
        };
        assert!(matches!(judge(true, &line(1_000, 1_000)), Outcome::Passed(said) if said.starts_with("1000 crypto")));
        assert!(matches!(judge(true, &line(999, 1_000)), Outcome::Failed(_)));
        assert!(matches!(judge(true, &line(1_000, 999)), Outcome::Failed(_)));
        assert!(matches!(judge(false, &line(5_000, 5_000)), Outcome::Failed(_)));
        assert!(matches!(judge(true, "pyemv: many cryptograms\n"), Outcome::Failed(_)));
        assert!(matches!(judge(true, ""), Outcome::Failed(_)));
    }
}
