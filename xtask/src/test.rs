//! `cargo xtask test`: what a change must not break.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process::Cmd;
use crate::report::{Outcome, Report};
use crate::{
    bindings, checks, debian, deny, dependencies, docs, fuzz, kotlin, open_api, pcsc, postgres, pyemv, python_phone,
    swift, torture, traces,
};

/// One step, in the order in which they run: quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// rustfmt
    Fmt,
    /// clippy without a warning, on every target
    Clippy,
    /// no HTTP, socket, runtime, binding or platform crate below the core; crates lean on what they may
    Layers,
    /// length of source files, paths of somebody's machine
    Files,
    /// docs/dependencies.md explains every direct dependency
    Dependencies,
    /// docs/errors.md is what the doc comments say
    Glossary,
    /// cargo deny: licences, bans, sources
    Deny,
    /// cargo deny: known vulnerabilities, where the database can be reached
    Advisories,
    /// every unit, scenario and end-to-end test; the server's on SQLite and on PostgreSQL
    Tests,
    /// the state that taps and background work share, under many orders of their threads
    Interleavings,
    /// taps of real cards that others published, where they are at hand
    Traces,
    /// cryptograms of our card, computed anew by the Python package pyemv
    Pyemv,
    /// signatures and calls of the Open API, against the official Python client
    OpenApi,
    /// both sides of the server against their OpenAPI descriptions, by schemathesis
    Schemathesis,
    /// the wallet in a PC/SC reader, read by pyscard and opensc-tool
    Pcsc,
    /// the bindings' surface as bindings/api.txt lists it, fit for Kotlin, Swift and Python
    Bindings,
    /// scenarios with a phone in Python, over the library's Python side
    Python,
    /// the Kotlin package's tests on the JVM, and every scenario with a phone in Kotlin
    Kotlin,
    /// the Swift package: its tests, and every scenario with a phone in Swift
    Swift,
    /// the API documentation, without a warning
    Rustdoc,
    /// the sandbox's demo, manual activation
    Demo,
    /// the sandbox's demo, silent activation
    DemoSilent,
    /// a minute of fuzzing for each target
    Fuzz,
    /// kills, power cuts, two processes, and hundreds of rounds in a row; about four minutes
    Torture,
}

/// Runs `only`, or every step, and prints the table.
pub(crate) fn run(root: &Path, only: &[Step]) -> Result<ExitCode> {
    let mut report = Report::default();
    for step in Step::value_variants().iter().filter(|step| only.is_empty() || only.contains(step)) {
        let name = step.name();
        let repeat = step.command().map_or(format!("cargo xtask test {name}"), |command| command.to_string());
        report.step(&name, repeat, || step.run(root));
    }
    print!("{}", report.summary());
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The command that is the step, where it is one.
    fn command(self) -> Option<Cmd> {
        let command = match self {
            Self::Fmt => Cmd::cargo("fmt --all --check"),
            Self::Clippy => Cmd::cargo("clippy --workspace --all-targets -- -D warnings"),
            Self::Tests => Cmd::cargo("test --workspace --no-fail-fast"),
            Self::Interleavings => {
                Cmd::cargo("test --package nfcwallet-core --lib --features interleavings interleavings")
            }
            Self::Rustdoc => Cmd::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
            Self::Demo => demo(""),
            Self::DemoSilent => demo("--silent"),
            Self::Torture => torture::command(),
            Self::Layers
            | Self::Files
            | Self::Dependencies
            | Self::Glossary
            | Self::Deny
            | Self::Advisories
            | Self::Traces
            | Self::Pyemv
            | Self::OpenApi
            | Self::Schemathesis
            | Self::Pcsc
            | Self::Bindings
            | Self::Python
            | Self::Kotlin
            | Self::Swift
            | Self::Fuzz => return None,
        };
        Some(command)
    }

    fn run(self, root: &Path) -> Result<Outcome> {
        match self {
            Self::Layers => checks::layers(root),
            Self::Files => checks::files(root),
            Self::Dependencies => dependencies::check(root),
            Self::Glossary => docs::glossary(root, true).map(|()| Outcome::passed()),
            Self::Deny => deny::offline_checks(root),
            Self::Advisories => deny::advisories(root),
            Self::Fuzz => fuzz::step(root),
            Self::Traces => traces::check(root),
            Self::Pyemv => pyemv::check(root),
            Self::OpenApi => open_api::check(root),
            Self::Schemathesis => open_api::described(root),
            Self::Pcsc => pcsc::check(root),
            Self::Bindings => bindings::check(root),
            Self::Python => python_phone::check(root),
            Self::Kotlin => kotlin::check(root),
            Self::Swift => swift::check(root),
            Self::Torture => torture::check(root),
            Self::Fmt
            | Self::Clippy
            | Self::Rustdoc
            | Self::Tests
            | Self::Interleavings
            | Self::Demo
            | Self::DemoSilent => {
                let command = self.command().context("this step is a command")?;
                match self {
                    Self::Tests => {
                        postgres::install(root)?;
                        install_shell_tools(root)?;
                        tests(&command, root)
                    }
                    Self::Interleavings => tests(&command, root),
                    Self::Demo | Self::DemoSilent => demo_is_ok(&command, root),
                    _ => Ok(Outcome::of(command.run(root)?)),
                }
            }
        }
    }
}

/// What the commands in docs/sandbox.md ask for.
fn install_shell_tools(root: &Path) -> Result<()> {
    let is_there = || ["jq", "curl"].iter().all(|program| Cmd::new(*program, "--version").read(root).is_ok());
    let installed = debian::install(root, &["jq", "curl"], "jq and curl", is_there);
    debian::or_say_what_is_not_tested(installed, "the commands of docs/sandbox.md")
}

fn demo(mode: &str) -> Cmd {
    Cmd::cargo("run --release --package nfcwallet-sandbox -- demo").args(mode).args("--json")
}

pub(crate) fn tests(command: &Cmd, root: &Path) -> Result<Outcome> {
    let output = command.run_and_keep_stdout(root)?;
    let counts = TestCounts::read(&output.stdout);
    Ok(match output.success {
        true => Outcome::Passed(counts.to_string()),
        false => Outcome::Failed(format!("{counts}; see above")),
    })
}

/// What the test programs say at their ends, summed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    failed: u64,
    ignored: u64,
}

impl TestCounts {
    pub(crate) fn read(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let count = |word: &str| {
                let (before, _) = line.split_once(word)?;
                before.split_whitespace().next_back()?.parse::<u64>().ok()
            };
            sum.passed += count(" passed").unwrap_or(0);
            sum.failed += count(" failed").unwrap_or(0);
            sum.ignored += count(" ignored").unwrap_or(0);
        }
        sum
    }
}

impl std::fmt::Display for TestCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tests passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

fn demo_is_ok(command: &Cmd, root: &Path) -> Result<Outcome> {
    let output = command.run_and_keep_stdout(root)?;
    Ok(match (output.success, says_ok(&output.stdout)) {
        (true, Ok(true)) => Outcome::passed(),
        (true, Ok(false)) => {
            Outcome::Failed("the demo ended well, but its last JSON value has no `ok: true`".to_owned())
        }
        (true, Err(error)) => Outcome::Failed(format!("the demo's output is not JSON: {error}")),
        (false, _) => Outcome::Failed("the demo failed, see above".to_owned()),
    })
}

/// True if the last JSON value of the output is an object with `"ok": true`.
fn says_ok(stdout: &str) -> serde_json::Result<bool> {
    let values = serde_json::Deserializer::from_str(stdout).into_iter::<serde_json::Value>();
    let last = values.collect::<serde_json::Result<Vec<_>>>()?.pop();
    Ok(last.and_then(|value| value.get("ok")?.as_bool()) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        let text = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            noise\n\
            test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(TestCounts::read(text), TestCounts { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn only_a_true_ok_at_the_end_of_the_demo_counts() {
        assert!(says_ok("{\"ok\": true}\n").unwrap());
        assert!(says_ok("{\"step\":1}\n{\"ok\":true}").unwrap());
        assert!(!says_ok("{\"ok\":true}\n{\"ok\":false}").unwrap());
        assert!(!says_ok("{\"ok\":\"true\"}").unwrap());
        assert!(!says_ok("").unwrap());
        assert!(says_ok("all well").is_err());
    }

    #[test]
    fn a_step_that_is_a_command_is_repeated_by_that_command() {
        assert_eq!(
            Step::DemoSilent.command().map(|command| command.to_string()).as_deref(),
            Some("cargo run --release --package nfcwallet-sandbox -- demo --silent --json")
        );
    }
}
