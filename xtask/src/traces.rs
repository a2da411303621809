//! `cargo xtask test traces`: our issuer, terminal and `explain` over taps of real cards that others
//! published.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::Cmd;
use crate::report::Outcome;
use crate::test::TestCounts;

/// Somebody else's data: they are read where they lie, and are no part of this repository.
const TRACES: [&str; 2] = ["trace-cda-tc.json", "trace-magstripe-ccc.json"];

/// The tests that read them have this word in their names.
const TESTS: &str = "published";

/// Runs the tests that read the traces, or says that there are none: without them those tests pass
/// and check nothing.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let folder = folder(root, std::env::var_os("NFCWALLET_SHARED").map(PathBuf::from));
    if let Some(missing) = TRACES.iter().map(|name| folder.join(name)).find(|path| !path.is_file()) {
        let missing = missing.display();
        return Ok(Outcome::NotRun(format!("no published trace at {missing}; NFCWALLET_SHARED names the folder")));
    }
    let command = Cmd::cargo("test --package nfcwallet-sandbox --lib").arg(TESTS);
    let output = command.run_and_keep_stdout(root)?;
    let counts = TestCounts::read(&output.stdout);
    Ok(match output.success && counts.passed > 0 {
        true => Outcome::Passed(counts.to_string()),
        false => Outcome::Failed(format!("{counts}; see above")),
    })
}

/// As `sandbox/src/issuer/published.rs` looks for them.
fn folder(root: &Path, shared: Option<PathBuf>) -> PathBuf {
    shared.unwrap_or_else(|| root.join("../shared")).join("vectors/emv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_lie_beside_the_repository_or_where_the_environment_says() {
        let root = Path::new("repository");
        assert_eq!(folder(root, None), Path::new("repository/../shared/vectors/emv"));
        assert_eq!(folder(root, Some("elsewhere".into())), Path::new("elsewhere/vectors/emv"));
    }
}
