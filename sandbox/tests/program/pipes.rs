//! Readers that have seen enough, as in `… | head -1`.

use std::process::{Command, Stdio};

use crate::{PROGRAM, Served, ended};

/// Nobody reads what it prints.
fn unread(arguments: &[&str], code: i32) {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let (_, says) = ended(&child.wait_with_output().unwrap(), code);
    assert_eq!(says, "", "{arguments:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    unread(&["demo", "--json"], 0);
    unread(&["demo", "--verbose"], 0);
    unread(&["explain", "--tags"], 0);
    unread(&["explain", "--tags", "--json"], 0);
    unread(&["explain", "--json", "9F3403010002"], 0);
    unread(&["profile", "--example"], 0);
    unread(&["torture", "--kills", "1", "--power-cuts", "0", "--processes", "0", "--json"], 0);

    let served = Served::start();
    let tap = |options: &[&str], code| {
        unread(&[&["tap", "--data", served.folder.path().to_str().unwrap(), "--json"], options].concat(), code);
    };
    tap(&["--amount", "1"], 0);
    tap(&["--amount", "80"], 1);
}

#[test]
fn servers_go_on_when_nobody_reads_their_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--data"]).arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    let served = Served { folder, process };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !served.file().exists() {
        assert!(std::time::Instant::now() < until, "serve.json never came");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    ended(&served.tap(&["--amount", "1"]), 0);
}
