//! The Swift package in `bindings/swift`: built, tested, and driven through the scenarios.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::toolchain::{self, Lifetime, Toolchain};
use crate::bindings;
use crate::process::{self, Cmd};
use crate::report::{Outcome, Unavailable};
use crate::test::TestCounts;

const PACKAGE: &str = "bindings/swift";
/// The pages for people, and the tests that run their code.
const PAGES: [&str; 6] = [
    "README.md",
    "bindings/swift/README.md",
    "bindings/swift/Sources/NFCWallet/NFCWallet.docc/GettingStarted.md",
    "bindings/swift/Sources/NFCWallet/NFCWallet.docc/TapsAndLifecycle.md",
    "bindings/swift/Sources/NFCWallet/NFCWallet.docc/Errors.md",
    "docs/integrate-ios.md",
];
const PAGE_TESTS: [&str; 2] = [
    "bindings/swift/Tests/NFCWalletTests/QuickStartTests.swift",
    "bindings/swift/Tests/NFCWalletTests/IntegrationTests.swift",
];
/// Compiles the articles; says what it takes.
const ARTICLES: &str = "xtask/src/swift/articles.sh";
/// Everything that is built goes here.
const FOLDER: &str = "target/swift";
/// Files of `target/bindings/swift`, and the places in the package where they are compiled.
const GENERATED: [(&str, &str); 3] = [
    ("NFCWalletBindings.swift", "NFCWalletBindings/NFCWalletBindings.swift"),
    ("NFCWalletFFI/NFCWalletFFI.h", "NFCWalletFFI/NFCWalletFFI.h"),
    ("NFCWalletFFI/module.modulemap", "NFCWalletFFI/module.modulemap"),
];
/// What people wrote.
const HAND_WRITTEN: &str = "Package.swift Sources/NFCWallet Sources/NFCWalletSoftware Sources/nfcwallet-phone \
    Sources/nfcwallet-border Tests";

/// The package must hold more tests than this, and there are more scenarios.
const TESTS_AT_LEAST: u64 = 20;
const SCENARIOS_AT_LEAST: u64 = 85;

/// Library, generated code, package, its tests, all scenarios with its phone.
pub(super) fn check(root: &Path) -> Result<Outcome> {
    needs_linux()?;
    let mut times = Times::default();
    let toolchain = times.of("toolchain", || toolchain::ready(root))?;
    let package = Package { root, toolchain };
    times.of("library", || {
        bindings::make_quick(root)?;
        package.put_generated_code()?;
        let servers = Cmd::cargo("build --quiet --package nfcwallet-sandbox --bin nfcwallet-sandbox");
        ensure!(servers.run(root)?, "the sandbox did not build; repeat with: {servers}");
        Ok(())
    })?;
    pages(root)?;
    times.of("format", || package.run("swift format lint --strict --recursive", HAND_WRITTEN))?;
    times.of("build", || package.run("swift build --build-tests --scratch-path", &package.built()))?;
    let articles = times.of("articles", || package.articles())?;
    println!("{articles}");
    let tests = times.of("tests", || package.tests())?;
    let stories = times.of("scenarios", || package.scenarios())?;
    println!("{times}");
    Ok(judge(tests, &stories, &articles, &times))
}

/// Every page shows code that a test runs.
fn pages(root: &Path) -> Result<()> {
    let tests = PAGE_TESTS.iter().map(|test| read(root, test)).collect::<Result<Vec<_>>>()?.concat();
    for page in PAGES {
        let text = read(root, page)?;
        ensure!(text.contains(SWIFT_CODE), "{page} shows no Swift");
        let strange = strange_code(&text, &tests);
        ensure!(strange.is_empty(), "{page} shows what {} do not run: {}", PAGE_TESTS.join(", "), strange.join("; "));
    }
    Ok(())
}

/// The measured phone, built as an app that ships.
pub(super) fn border_phone(root: &Path) -> Result<PathBuf> {
    needs_linux()?;
    let package = Package { root, toolchain: toolchain::ready(root)? };
    package.put_generated_code()?;
    let built = format!("{FOLDER}/release");
    package.run(
        "swift build --configuration release --product nfcwallet-border --scratch-path",
        &format!("../../{built}"),
    )?;
    package.launcher("border", &format!("{built}/release/nfcwallet-border"))
}

fn needs_linux() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!(Unavailable(
            "the step links the library of Linux; bindings/swift/README.md says what runs on a Mac".to_owned()
        ));
    }
    Ok(())
}

/// By the tests that ran; a package that has lost its tests is no good one.
fn judge(tests: u64, stories: &TestCounts, articles: &str, times: &Times) -> Outcome {
    match tests >= TESTS_AT_LEAST && stories.passed >= SCENARIOS_AT_LEAST {
        true => Outcome::Passed(format!("{tests} tests, {} scenarios; {articles}; {times}", stories.passed)),
        false => Outcome::Failed(format!(
            "{tests} tests and {} scenarios, wanted {TESTS_AT_LEAST} and {SCENARIOS_AT_LEAST}",
            stories.passed
        )),
    }
}

struct Package<'a> {
    root: &'a Path,
    toolchain: Toolchain,
}

impl Package<'_> {
    /// Only what differs, so that the compiler has nothing to do where nothing changed.
    fn put_generated_code(&self) -> Result<()> {
        for (from, to) in GENERATED {
            let from = self.root.join("target/bindings/swift").join(from);
            let to = self.root.join(PACKAGE).join("build").join(to);
            let code = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|old| old == code) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(self.root)).context("cannot make folders of generated code")?;
            fs::write(&to, code).with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(())
    }

    fn run(&self, words: &str, more: &str) -> Result<()> {
        let command = self.command()?.args(words).args(more);
        ensure!(command.run(self.root)?, "`{words}` failed, see above");
        Ok(())
    }

    /// The articles for DocC, with every link to a symbol: what was done with them.
    fn articles(&self) -> Result<String> {
        let script = self.root.join(ARTICLES).display().to_string();
        let command = self.command()?.args("sh").arg(script).arg(self.built()).arg(format!("../../{FOLDER}/articles"));
        Ok(command.read(self.root)?.trim().to_owned())
    }

    /// How many tests of the package passed; an error if one did not.
    fn tests(&self) -> Result<u64> {
        let sandbox = self.root.join("target/debug/nfcwallet-sandbox");
        let command = self.command()?.arg(format!("NFCWALLET_SANDBOX={}", sandbox.display()));
        let command = command.args("swift test --skip-build --scratch-path").args(&self.built());
        let output = command.run_and_keep(self.root)?;
        ensure!(output.success, "a test of the Swift package failed, see above");
        Ok(tests_passed(&format!("{}{}", output.stdout, output.stderr)))
    }

    /// Every scenario, with the phone in Swift.
    fn scenarios(&self) -> Result<TestCounts> {
        let launcher = self.launcher("phone", &format!("{}/debug/nfcwallet-phone", self.built_folder()))?;
        let command = Cmd::cargo("test --package nfcwallet-tests --test scenarios")
            .env("NFCWALLET_PHONE", &launcher.display().to_string());
        let output = command.run_and_keep_stdout(self.root)?;
        ensure!(output.success, "a scenario failed with the phone in Swift, see above; repeat with: {command}");
        Ok(TestCounts::read(&output.stdout))
    }

    /// A script `name` that is the `phone` of this path: killed, nothing of it is left.
    fn launcher(&self, name: &str, phone: &str) -> Result<PathBuf> {
        let phone = self.root.join(phone);
        let command = self.toolchain.command(self.root, self.root, Lifetime::OfItself);
        let command = command.arg("env").arg(self.library("LD_LIBRARY_PATH")).arg(phone.display().to_string());
        let path = self.root.join(FOLDER).join(name);
        let script = format!("#!/bin/sh\nexec {command} \"$@\"\n");
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        process::make_executable(&path)?;
        Ok(path)
    }

    /// `env`, in the package's folder; more variables and the command follow.
    fn command(&self) -> Result<Cmd> {
        let home = self.root.join(FOLDER).join("home");
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let command = self.toolchain.command(self.root, &self.root.join(PACKAGE), Lifetime::OfAll);
        let command = command.arg("env").arg(format!("HOME={}", home.display()));
        Ok(command.arg(self.library("LIBRARY_PATH")).arg(self.library("LD_LIBRARY_PATH")))
    }

    fn library(&self, variable: &str) -> String {
        format!("{variable}={}", self.root.join("target/bindings/lib").display())
    }

    /// Where the compiler puts what it makes, as it is reached from the package.
    fn built(&self) -> String {
        format!("../../{}", self.built_folder())
    }

    fn built_folder(&self) -> String {
        format!("{FOLDER}/build")
    }
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))
}

/// How Swift code begins on a page.
const SWIFT_CODE: &str = "```swift\n";

/// The first lines of a page's Swift code that is not in `test`, line for line, however deep.
fn strange_code(page: &str, test: &str) -> Vec<String> {
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let test = lines(test);
    let blocks = page.split(SWIFT_CODE).skip(1).filter_map(|rest| rest.split("```").next()).map(lines);
    blocks
        .filter(|block| !test.windows(block.len()).any(|window| window == block))
        .map(|block| block.first().cloned().unwrap_or_default())
        .collect()
}

/// By Swift Testing's last line: `Test run with 12 tests passed after 1.2 seconds.`
fn tests_passed(output: &str) -> u64 {
    let counts = output.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Test run with ")?;
        let (count, rest) = rest.split_once(" test")?;
        rest.contains(" passed after ").then(|| count.parse::<u64>().ok())?
    });
    counts.sum()
}

/// How long each part took.
#[derive(Debug, Default)]
struct Times(Vec<(&'static str, f64)>);

impl Times {
    fn of<T>(&mut self, what: &'static str, part: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let outcome = part();
        self.0.push((what, start.elapsed().as_secs_f64()));
        outcome
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(what, seconds)| format!("{what} {seconds:.0} s")).collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_passed_counts() {
        let passed = "✔ Test run with 12 tests passed after 1.2 seconds.\n";
        let failed = "✘ Test run with 12 tests failed after 1.2 seconds with 1 issue.\n";
        assert_eq!(tests_passed(passed), 12);
        assert_eq!(tests_passed(&format!("noise\n{passed}{passed}")), 24);
        assert_eq!(tests_passed(failed), 0);
        assert_eq!(tests_passed(""), 0);
    }

    #[test]
    fn code_of_the_page_that_no_test_runs_is_found() {
        let page = "Text\n```swift\nlet a = 1\nuse(a)\n```\n```swift\nlet b = 2\n```\n```sh\nls\n```\n";
        assert!(strange_code(page, "    let a = 1\n    use(a)\n    let b = 2\n").is_empty());
        assert_eq!(strange_code(page, "    let a = 1\n    let b = 2\n"), ["let a = 1"]);
    }

    #[test]
    fn a_package_without_its_tests_fails() {
        let stories = |passed: u64| TestCounts::read(&format!("test result: ok. {passed} passed; 0 failed;"));
        let times = Times::default();
        assert!(matches!(judge(TESTS_AT_LEAST, &stories(SCENARIOS_AT_LEAST), "", &times), Outcome::Passed(_)));
        assert!(matches!(judge(0, &stories(SCENARIOS_AT_LEAST), "", &times), Outcome::Failed(_)));
        assert!(matches!(judge(TESTS_AT_LEAST, &stories(0), "", &times), Outcome::Failed(_)));
    }
}
