//! `cargo xtask test kotlin`: the tests of the Kotlin package, then every scenario with its phone.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::process::Cmd;
use crate::report::{Outcome, Unavailable, is_ci};
use crate::{bindings, debian, test};

const PACKAGES: [&str; 2] = ["openjdk-17-jdk-headless", "maven"];

/// A shell script over the jars that Maven makes.
const PHONE: &str = "bindings/kotlin/phone";

/// The measured phone, a shell script over the same jars.
const BORDER: &str = "bindings/kotlin/border";

/// A trust key that nobody has the other half of: the curve's own generator (SEC 2, 2.4.2).
const NOBODYS_KEY: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// What Maven says where it cannot fetch what it needs.
const UNREACHABLE: [&str; 3] = ["Could not transfer artifact", "Could not find artifact", "Unknown host"];

/// Builds the library, its Kotlin side and the package; runs both kinds of tests. Where the tools are not
/// to be had, the step has not run; in continuous integration it has failed then.
pub(crate) fn check(root: &Path) -> Result<Outcome> {
    let outcome = run(root);
    match outcome {
        Err(error) if is_ci() && error.is::<Unavailable>() => Ok(Outcome::Failed(format!("{error:#}"))),
        outcome => outcome,
    }
}

/// The program that `cargo xtask bench ffi` measures, over the library and the generated code that are there.
pub(crate) fn border_phone(root: &Path) -> Result<PathBuf> {
    install(root)?;
    let output = package("-DskipTests").run_and_keep_stdout(root)?;
    fetched(output.success, &output.stdout)?;
    ensure!(output.success, "the Kotlin package did not build, see above");
    Ok(root.join(BORDER))
}

fn install(root: &Path) -> Result<()> {
    let is_there = || ["javac", "mvn"].iter().all(|tool| Cmd::new(*tool, "-version").read(root).is_ok());
    debian::install(root, &PACKAGES, "a JDK 17 with Maven", is_there)
}

fn run(root: &Path) -> Result<Outcome> {
    install(root)?;
    bindings::make_quick(root)?;
    let till = Cmd::cargo("build --quiet --package nfcwallet-tests --bin till");
    ensure!(till.run(root)?, "the till could not be built; repeat with: {till}");
    let units = match maven(root)? {
        Outcome::Passed(remark) => remark,
        other => return Ok(other),
    };
    archive(root)?;
    let scenarios = Cmd::cargo("test --package nfcwallet-tests --test scenarios -- --test-threads 2")
        .env("NFCWALLET_PHONE", &root.join(PHONE).display().to_string());
    Ok(match test::tests(&scenarios, root)? {
        Outcome::Passed(told) => Outcome::Passed(format!("{units}; scenarios: {told}")),
        other => other,
    })
}

/// Compiles with warnings as errors, runs the tests, makes the jars.
fn maven(root: &Path) -> Result<Outcome> {
    let output = package("").run_and_keep_stdout(root)?;
    judge(output.success, &output.stdout)
}

fn package(options: &str) -> Cmd {
    Cmd::new("mvn", "--batch-mode --no-transfer-progress --file bindings/kotlin/pom.xml package").args(options)
}

/// An error where Maven could not fetch what it needs.
fn fetched(success: bool, stdout: &str) -> Result<()> {
    if !success && UNREACHABLE.iter().any(|words| stdout.contains(words)) {
        bail!(Unavailable("Maven cannot fetch the packages that the Kotlin build needs, see above".to_owned()));
    }
    Ok(())
}

/// By Maven's end, and by the last sum that its test runner wrote.
fn judge(success: bool, stdout: &str) -> Result<Outcome> {
    fetched(success, stdout)?;
    let sum = stdout.lines().filter_map(|line| line.split_once("Tests run: ")).next_back();
    let Some((_, counts)) = sum else {
        return Ok(Outcome::Failed("Maven ran no test, see above".to_owned()));
    };
    let count = counts.split(',').next().unwrap_or_default();
    Ok(match success && count != "0" {
        true => Outcome::Passed(format!("{count} JUnit tests")),
        false => Outcome::Failed(format!("Tests run: {counts}; see above")),
    })
}

/// An archive of the phone's classes: it starts hundreds of times.
fn archive(root: &Path) -> Result<()> {
    let program = root.join(PHONE).display().to_string();
    // Nobody listens there: this phone opens its wallet, is told that it is offline, and ends.
    let phone = Cmd::new(program, "--archive --directory target/kotlin-archive --mpp 127.0.0.1:9 --user nobody");
    phone.args("--trust-key").arg(NOBODYS_KEY).read(root).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sum_counts() {
        let text = "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 1 s -- in A\n\
            [INFO] Tests run: 7, Failures: 0, Errors: 0, Skipped: 0\n[INFO] BUILD SUCCESS\n";
        assert_eq!(judge(true, text).unwrap(), Outcome::Passed("7 JUnit tests".to_owned()));
        assert!(matches!(judge(false, text).unwrap(), Outcome::Failed(_)));
    }

    #[test]
    fn a_build_without_tests_has_failed() {
        assert!(matches!(judge(true, "[INFO] BUILD SUCCESS").unwrap(), Outcome::Failed(_)));
        let none = "[INFO] Tests run: 0, Failures: 0, Errors: 0, Skipped: 0\n";
        assert!(matches!(judge(true, none).unwrap(), Outcome::Failed(_)));
    }

    #[test]
    fn a_build_that_cannot_fetch_has_not_run() {
        let error = judge(false, "[ERROR] Could not transfer artifact org.x:y:pom:1\n").unwrap_err();
        assert!(error.is::<Unavailable>());
    }
}
