//! `cargo xtask test kotlin`: the tests of the Kotlin package, then every scenario with its phone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Cmd;
use crate::report::{Outcome, Unavailable, is_ci};
use crate::{bindings, debian, test};

/// Debian 12 and Ubuntu have the first, Debian 13 has the second.
const PACKAGES: [&str; 2] = ["openjdk-17-jdk-headless|openjdk-21-jdk-headless|openjdk-25-jdk-headless", "maven"];

/// The version of Java that the package is compiled for.
const JAVA: u32 = 17;

/// A shell script over the jars that Maven makes.
const PHONE: &str = "bindings/kotlin/phone";

/// The measured phone, a shell script over the same jars.
const BORDER: &str = "bindings/kotlin/border";

/// JNA as Android links it: Maven puts it here.
const JNA: &str = "bindings/kotlin/android/sample/target/jna.aar";
const ALIGNED: &str = "target/kotlin-alignment";
const CHECK_ALIGNMENT: &str = "bindings/kotlin/android/check-alignment.sh";

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
    // Without the sample, which is compiled against the whole of Android.
    let output = package("-DskipTests --projects generated,wallet").run_and_keep_stdout(root)?;
    fetched(output.success, &output.stdout)?;
    ensure!(output.success, "the Kotlin package did not build, see above");
    Ok(root.join(BORDER))
}

fn install(root: &Path) -> Result<()> {
    let is_there = || {
        let javac = Cmd::new("javac", "-version").read(root).ok();
        javac.and_then(|version| java_version(&version)) >= Some(JAVA) && Cmd::new("mvn", "-version").read(root).is_ok()
    };
    debian::install(root, &PACKAGES, "a JDK (17 or newer) with Maven", is_there)
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
    alignment(root)?;
    archive(root)?;
    let scenarios = Cmd::cargo("test --package nfcwallet-tests --test scenarios -- --test-threads 2")
        .env("NFCWALLET_PHONE", &root.join(PHONE).display().to_string());
    Ok(match test::tests(&scenarios, root)? {
        Outcome::Passed(told) => Outcome::Passed(format!("{units}; scenarios: {told}")),
        other => other,
    })
}

/// 17 of `javac 17.0.15`. Before Java 9 it went to standard error.
fn java_version(said: &str) -> Option<u32> {
    said.trim().strip_prefix("javac ")?.split(['.', '-']).next()?.parse().ok()
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

/// The check that `package.sh` makes of our libraries, on JNA's, which go into the same app.
fn alignment(root: &Path) -> Result<()> {
    let folder = root.join(ALIGNED);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {ALIGNED}"))?;
    let unpack = Cmd::new("jar", "--extract --file").arg(root.join(JNA).display().to_string());
    unpack.args("jni/arm64-v8a/libjnidispatch.so jni/x86_64/libjnidispatch.so").read(&folder)?;
    let check = Cmd::new(CHECK_ALIGNMENT, "");
    let jna = ["arm64-v8a", "x86_64"].map(|abi| folder.join("jni").join(abi).join("libjnidispatch.so"));
    let all = jna.iter().fold(check, |check, library| check.arg(library.display().to_string()));
    ensure!(all.run(root)?, "a library of JNA does not fit pages of 16 KB");
    Ok(())
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

    /// Linked in the two ways that a library for Android can be.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_check_tells_libraries_for_pages_of_16_kb_from_others() {
        let root = crate::repository();
        let folder = tempfile::tempdir().unwrap();
        let is_aligned = |page: &str| {
            let library = folder.path().join(page).display().to_string();
            // As package.sh asks the linker.
            let link = Cmd::new("cc", "-shared -nostdlib -x c /dev/null -o").arg(&library);
            assert!(link.arg(format!("-Wl,-z,max-page-size={page}")).run(&root).unwrap());
            Cmd::new(root.join(CHECK_ALIGNMENT).display().to_string(), "").arg(library).read(&root).is_ok()
        };
        assert!(is_aligned("16384") && is_aligned("65536") && !is_aligned("4096"));
        assert!(Cmd::new(root.join(CHECK_ALIGNMENT).display().to_string(), "/dev/null").read(&root).is_err());
    }

    #[test]
    fn the_version_of_a_compiler_is_read() {
        assert_eq!(java_version("javac 17.0.15\n"), Some(17));
        assert_eq!(java_version("javac 21-ea\n"), Some(21));
        assert!(java_version("javac 1.8.0_402") < Some(JAVA) && java_version("") < Some(JAVA));
    }

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
