//! The commands that pages show, run in a shell.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{PROGRAM, Served, ended};

/// Where a shell finds the program first.
fn path() -> String {
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    format!("{programs}:{}", std::env::var("PATH").unwrap())
}

/// What each line of the page's example prints, run in a shell.
#[test]
fn the_examples_of_the_page_on_profiles_print_what_it_shows() {
    let page = include_str!("../../../docs/profile.md");
    let (_, rest) = page.split_once("```console\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut examples = 0;
    for example in block.split("$ ").filter(|example| !example.is_empty()) {
        let (command, shown) = example.split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        let done = shell.args(["-c", command]).env("PATH", path()).current_dir(folder.path()).output().unwrap();
        let (told, errors) = ended(&done, i32::from(shown.starts_with("refused")));
        assert_eq!((told.as_str(), errors.as_str()), (shown, ""), "{command}");
        examples += 1;
    }
    assert!(examples >= 3, "{block}");
}

/// Whether this machine has what the page on the sandbox asks for: jq, and a curl that knows `--json`.
fn has_tools() -> bool {
    let ask = "jq --version && curl --help all | grep -q -- --json";
    let asked = Command::new("sh").args(["-c", ask]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Every line of the page, in one shell and in the page's order, against the servers that its first line starts.
#[test]
fn the_commands_of_the_page_on_the_sandbox_work_from_top_to_bottom() {
    if !has_tools() {
        assert!(std::env::var_os("CI").is_none(), "docs/sandbox.md needs jq, and curl 7.82 or newer");
        eprintln!("NOT CHECKED: docs/sandbox.md needs jq, and curl 7.82 or newer");
        return;
    }
    let page = include_str!("../../../docs/sandbox.md");
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let mut lines = blocks.flat_map(str::lines);
    assert_eq!(lines.next(), Some("nfcwallet-sandbox serve"));
    let lines: Vec<&str> = lines.collect();
    assert!(lines.len() > 50, "{lines:#?}");

    let served = Served::start_with(&[]);
    // Where the commands look for it.
    std::os::unix::fs::symlink(".", served.folder.path().join(".nfcwallet-sandbox")).unwrap();
    // After each line what it ended with, between two characters that no line prints.
    let script: String = lines.iter().map(|line| format!("{line}\nprintf '\\036%s\\037' $?\n")).collect();
    let mut shell = Command::new("sh");
    let done = shell.args(["-c", &script]).env("PATH", path()).current_dir(served.folder.path()).output().unwrap();
    let (told, errors) = ended(&done, 0);
    let answers: Vec<&str> = told.split_terminator('\u{1f}').collect();
    assert_eq!(answers.len(), lines.len(), "{told}{errors}");
    for (line, answer) in lines.iter().zip(answers) {
        let (answer, code) = answer.split_once('\u{1e}').unwrap();
        assert_eq!(code, if line.contains("# ends with 1:") { "1" } else { "0" }, "{line}\n{answer}{errors}");
        assert!(!answer.contains("\"error\":"), "{line}\n{answer}");
    }
    assert!(told.contains(r#""shortfall":[{"currency":"EUR","minor":400}]"#), "{told}");
}
