//! `cargo xtask test open-api` and `schemathesis`: the server side, judged by programs that nobody here wrote.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::process::{Cmd, Output};
use crate::python;
use crate::report::{Outcome, Unavailable};

const REQUIREMENTS: &str = "tests/open-api/requirements.txt";
const CHECK: &str = "tests/open-api/check.py";
const DESCRIBED: &str = "tests/open-api/described.py";
const OURS: &str = "target/open-api/ours.jsonl";
const THEIRS: &str = "target/open-api/theirs.jsonl";
const SANDBOX: &str = "target/debug/nfcwallet-sandbox";
const SERVER: &str = "target/debug/mpp-server";

/// The official client needs it.
const PYTHON: (u32, u32) = (3, 11);

/// How many of each a run must have compared at the least; the checks count each kind by itself.
const SIGNATURES: u64 = 300;
const JUDGED: u64 = 240;
const PAYMENTS: u64 = 30;
const APP_REQUESTS: u64 = 300;
const GATEWAY_REQUESTS: u64 = 500;

/// The official client and our signatures, each judged by the other; then that client at the sandbox's gateway.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let python = python(root)?;
    let example = |word: &str| Cmd::cargo("run --quiet --package nfcwallet-tests --example signatures --").args(word);
    let make = example("make --output").arg(OURS);
    ensure!(make.run(root)?, "the signatures could not be made; repeat with: {make}");
    let signatures = run(root, &python, CHECK, &format!("signatures {OURS} {THEIRS}"))?;
    let judged = example("judge").arg(THEIRS).run_and_keep_stdout(root)?;
    build(root, "nfcwallet-sandbox")?;
    let payments = run(root, &python, CHECK, &format!("payments --sandbox {SANDBOX}"))?;
    Ok(judge(&[
        (signatures, "signatures: ", &[(" of ours verified", SIGNATURES)]),
        (judged, "judged: ", &[(" verified", JUDGED), (" refused", JUDGED)]),
        (payments, "payments: ", &[(" answers and balances", PAYMENTS)]),
    ]))
}

/// Everything that the OpenAPI descriptions of the server allow, and much that they do not.
pub(crate) fn described(root: &Path) -> Result<Outcome> {
    let python = python(root)?;
    build(root, "mpp-server")?;
    let asked = run(root, &python, DESCRIBED, &format!("--server {SERVER}"))?;
    let counts: &[_] = &[(" requests of the app", APP_REQUESTS), (" of the gateway", GATEWAY_REQUESTS)];
    Ok(judge(&[(asked, "schemathesis: ", counts)]))
}

fn python(root: &Path) -> Result<PathBuf> {
    let version = Cmd::new("python3", "-c").arg("import sys; print(*sys.version_info[:2])").read(root);
    // Where there is none, the environment below says what to do.
    if let Some(old) = version.ok().as_deref().and_then(too_old) {
        return Err(Unavailable(old).into());
    }
    python::venv(root, "open-api", Path::new(REQUIREMENTS))
}

/// Why this version, two numbers, is not enough.
fn too_old(version: &str) -> Option<String> {
    let (major, minor) = version.trim().split_once(' ')?;
    let version = (major.parse().ok()?, minor.parse().ok()?);
    let (needed, here) = (PYTHON, version);
    (here < needed)
        .then(|| format!("the official client needs Python {}.{}, here is {}.{}", needed.0, needed.1, here.0, here.1))
}

fn run(root: &Path, python: &Path, script: &str, arguments: &str) -> Result<Output> {
    Cmd::new(python.display().to_string(), "-W ignore").arg(script).args(arguments).run_and_keep_stdout(root)
}

fn build(root: &Path, package: &str) -> Result<()> {
    let build = Cmd::cargo("build --quiet --package").arg(package);
    ensure!(build.run(root)?, "{package} could not be built; repeat with: {build}");
    Ok(())
}

/// What ran, how its last line begins, and how many of what that line must count.
type Part<'a> = (Output, &'a str, &'a [(&'a str, u64)]);

/// By the ends of the programs and by their last lines.
fn judge(parts: &[Part<'_>]) -> Outcome {
    let mut told = Vec::new();
    for (output, name, counts) in parts {
        let Some(said) = output.stdout.lines().last().and_then(|line| line.strip_prefix(name)) else {
            return Outcome::Failed(format!("{name}the check broke off, see above"));
        };
        let enough = counts.iter().all(|(what, least)| count(said, what).is_some_and(|count| count >= *least));
        if !output.success || !enough {
            let wanted: Vec<_> = counts.iter().map(|(what, least)| format!("{least}{what}")).collect();
            return Outcome::Failed(format!("{name}{said}; wanted {} and no complaint", wanted.join(", ")));
        }
        told.push(format!("{name}{said}"));
    }
    Outcome::Passed(told.join("; "))
}

/// The number before `what`.
fn count(said: &str, what: &str) -> Option<u64> {
    let (before, _) = said.split_once(what)?;
    before.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(success: bool, stdout: &str) -> Output {
        Output { success, stdout: stdout.to_owned(), stderr: String::new() }
    }

    fn judged(success: bool, line: &str) -> Outcome {
        judge(&[(said(success, line), "judged: ", &[(" verified", 240), (" refused", 240)])])
    }

    #[test]
    fn only_enough_of_each_and_a_good_end_pass() {
        assert!(matches!(judged(true, "240  kind\njudged: 240 verified and 241 refused\n"), Outcome::Passed(_)));
        for line in ["judged: 239 verified and 240 refused", "judged: 240 verified and 239 refused"] {
            assert!(matches!(judged(true, line), Outcome::Failed(_)), "{line}");
        }
        assert!(matches!(judged(false, "judged: 240 verified and 240 refused"), Outcome::Failed(_)));
        assert!(matches!(judged(true, "judged: all verified"), Outcome::Failed(_)));
        assert!(matches!(judged(true, ""), Outcome::Failed(_)));
    }

    #[test]
    fn each_part_must_pass() {
        let good = || (said(true, "a: 3 things"), "a: ", [(" things", 3)]);
        let (first, name, counts) = good();
        let bad = (said(true, "b: 2 things"), "b: ", [(" things", 3)]);
        let outcome = judge(&[(first, name, &counts), (bad.0, bad.1, &bad.2)]);
        assert_eq!(outcome, Outcome::Failed("b: 2 things; wanted 3 things and no complaint".to_owned()));
    }

    #[test]
    fn a_python_that_is_too_old_is_named() {
        assert_eq!(too_old("3 9\n").unwrap(), "the official client needs Python 3.11, here is 3.9");
        assert_eq!((too_old("3 11\n"), too_old("4 0\n"), too_old("none")), (None, None, None));
    }
}
