//! The torture command as its users meet it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nfcwallet-sandbox");

fn torture(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("torture").args(arguments).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_plan_of_nothing_is_a_usage_error() {
    let nothing = torture(&["--kills", "0", "--power-cuts", "0", "--processes", "0"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(said(&nothing.stderr).contains("nothing to do"), "{}", said(&nothing.stderr));
    assert!(nothing.stdout.is_empty());
}

#[test]
fn too_few_rounds_of_drift_are_a_usage_error() {
    for rounds in ["39", "50001", "many"] {
        let refused = torture(&["--drift", rounds]);
        assert_eq!(refused.status.code(), Some(2), "{rounds}");
        assert!(said(&refused.stderr).contains("neither 0 nor 40 to 50000"), "{}", said(&refused.stderr));
    }
}

#[test]
fn a_small_torture_reports_each_part_as_json() {
    let done = torture(&["--kills", "4", "--power-cuts", "4", "--processes", "1", "--seed", "11", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done.stdout), said(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["ok"], &report["seed"]), (&true.into(), &11.into()));
    let kinds: Vec<_> = report["parts"].as_array().unwrap().iter().map(|part| &part["kind"]).collect();
    assert_eq!(kinds, ["kill", "power_cut", "processes"]);
    assert!(report["parts"].as_array().unwrap().iter().all(|part| part["tally"]["audits"].as_u64() > Some(0)));
}

#[test]
#[cfg(target_os = "linux")]
fn rounds_in_a_row_are_measured_and_judged() {
    let done = torture(&["--kills", "0", "--power-cuts", "0", "--processes", "0", "--drift", "40", "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done.stdout), said(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let part = &report["parts"][0];
    assert_eq!((&part["tally"]["taps"], &part["tally"]["activations"]), (&80.into(), &41.into()));
    assert_eq!(part["samples"].as_array().unwrap().len(), 20);
    assert_eq!(part["verdicts"].as_array().unwrap().len(), 8);
}

#[test]
fn a_folder_that_cannot_be_made_or_written_to_is_a_usage_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for folder in [file.path().to_owned(), file.path().join("below")] {
        let refused = torture(&["--kills", "1", "--folder", folder.to_str().unwrap()]);
        let says = said(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{says}");
        assert_eq!(says.matches(folder.to_str().unwrap()).count(), 1, "{says}");
        assert!(refused.stdout.is_empty(), "{}", said(&refused.stdout));
    }
}

/// A promise is broken where one can be made to look so: the store cannot be written.
#[test]
fn a_report_is_printed_when_a_promise_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    // In the place of the wallet's folder is a file.
    std::fs::write(folder.path().join("kill-0"), b"in the way").unwrap();
    let path = folder.path().to_str().unwrap();
    let broken = torture(&["--kills", "3", "--power-cuts", "3", "--processes", "0", "--folder", path, "--json"]);
    assert_eq!(broken.status.code(), Some(1), "{}{}", said(&broken.stdout), said(&broken.stderr));
    let report: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(report["ok"], false);
    // It ends with the first violation.
    assert_eq!(report["parts"].as_array().unwrap().len(), 1);
    let violation = &report["parts"][0]["violation"];
    assert_eq!(violation["seed"], report["seed"]);
    assert!(violation["promise"].as_str().is_some_and(|promise| !promise.is_empty()), "{violation}");
}

/// The processes whose command line names `word`.
#[cfg(target_os = "linux")]
fn processes_that_name(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.map(|line| said(&line)).filter(|line| line.contains(word)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_torture_leaves_no_process_and_no_folder() {
    use std::time::{Duration, Instant};

    for signal in ["-INT", "-KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let wallets = folder.path().join("wallets");
        std::fs::create_dir(&wallets).unwrap();
        let mut torture = Command::new(PROGRAM);
        torture.args(["torture", "--kills", "0", "--power-cuts", "0", "--processes", "300", "--json"]);
        let mut running = torture.arg("--folder").arg(&wallets).env("TMPDIR", folder.path()).spawn().unwrap();
        let name = wallets.join("processes-0").to_str().unwrap().to_owned();
        let until = Instant::now() + Duration::from_secs(60);
        while processes_that_name(&name).is_empty() {
            assert!(Instant::now() < until, "no wallet was started");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Its wallets are no children of this process, and get no signal.
        Command::new("kill").arg(signal).arg(running.id().to_string()).status().unwrap();
        let code = running.wait().unwrap().code();
        let until = Instant::now() + Duration::from_secs(10);
        while !processes_that_name(&name).is_empty() {
            assert!(Instant::now() < until, "after {signal} a wallet lives on: {:?}", processes_that_name(&name));
            std::thread::sleep(Duration::from_millis(20));
        }
        if signal == "-INT" {
            assert_eq!(code, Some(130));
            assert_eq!(folder.path().read_dir().unwrap().count(), 1, "the temporary folder is still there");
        }
    }
}
