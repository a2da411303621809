//! The torture of the sandbox's program: many breaks, one report.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::Cmd;
use crate::report::Outcome;

/// The command of this run: its seed is drawn once, and shown before anything breaks.
pub(crate) fn command() -> Cmd {
    // Growth is measured in /proc.
    let drift = if cfg!(target_os = "linux") { "--drift 200" } else { "" };
    Cmd::cargo("run --release --package nfcwallet-sandbox -- torture --kills 300 --power-cuts 300 --processes 120")
        .args(drift)
        .args(&format!("--json --seed {}", seed()))
}

/// Runs it, and fails with the promise that was broken and the seed that broke it.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let output = command().run_and_keep_stdout(root)?;
    let outcome = read(&output.stdout).with_context(|| format!("the torture printed no report; seed {}", seed()))?;
    Ok(match (output.success, outcome) {
        (false, Outcome::Passed(_)) => Outcome::Failed(format!("it failed after a good report; seed {}", seed())),
        (_, outcome) => outcome,
    })
}

/// Short enough to be typed again.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    // The standard library draws the keys of its hash maps from the system.
    *SEED.get_or_init(|| RandomState::new().build_hasher().finish() >> 32)
}

/// What the report says.
fn read(report: &str) -> Result<Outcome> {
    let report: Value = serde_json::from_str(report)?;
    let seed = report.get("seed").and_then(Value::as_u64).context("the report has no seed")?;
    let parts = report.get("parts").and_then(Value::as_array).context("the report has no parts")?;
    if let Some(violation) = parts.iter().filter_map(|part| part.get("violation")).find(|found| !found.is_null()) {
        let promise = violation.get("promise").and_then(Value::as_str).unwrap_or("a promise was broken");
        let round = violation.get("round").and_then(Value::as_u64).unwrap_or_default();
        return Ok(Outcome::Failed(format!("seed {seed}, round {round}: {promise}")));
    }
    let count = |name: &str| parts.iter().filter_map(|part| part.get("tally")?.get(name)?.as_u64()).sum::<u64>();
    let told = format!("{} breaks, {} taps, {} audits, seed {seed}", count("breaks"), count("taps"), count("audits"));
    Ok(match (report.get("ok").and_then(Value::as_bool), count("audits")) {
        (Some(true), 1..) => Outcome::Passed(told),
        (Some(true), _) => Outcome::Failed(format!("the books were never compared: {told}")),
        _ => Outcome::Failed(format!("the report is not ok: {told}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"ok":true,"seed":7,"parts":[
        {"kind":"kill","tally":{"breaks":300,"taps":90,"audits":75},"violation":null},
        {"kind":"drift","tally":{"breaks":0,"taps":400,"audits":2},"violation":null}]}"#;

    #[test]
    fn a_good_report_is_told_in_sums() {
        let told = "300 breaks, 490 taps, 77 audits, seed 7";
        assert_eq!(read(GOOD).unwrap(), Outcome::Passed(told.to_owned()));
    }

    #[test]
    fn a_violation_fails_with_its_seed() {
        let report = r#"{"ok":false,"seed":9,"parts":[{"violation":{"promise":"counter 4 came after 5","round":3}}]}"#;
        assert_eq!(read(report).unwrap(), Outcome::Failed("seed 9, round 3: counter 4 came after 5".to_owned()));
    }

    #[test]
    fn a_report_of_nothing_is_no_success() {
        assert!(matches!(read(r#"{"ok":true,"seed":1,"parts":[]}"#).unwrap(), Outcome::Failed(_)));
        assert!(matches!(read(&GOOD.replacen("true", "false", 1)).unwrap(), Outcome::Failed(_)));
        assert!(read("{}").is_err() && read("").is_err());
    }

    #[test]
    fn the_command_that_repeats_a_run_has_its_seed() {
        assert_eq!(command().to_string(), command().to_string());
        assert!(command().to_string().contains(&format!("--seed {}", seed())));
    }
}
