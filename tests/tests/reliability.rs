//! `docs/reliability.md` names tests; each of them must exist.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/reliability.md");

/// The rows of the promises.
fn promises() -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| R"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every function of the workspace that stands below a `#[test]`.
fn rust_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut waiting: Vec<_> =
        ["core", "sandbox", "faults", "tests"].iter().map(|room| repository().join(room)).collect();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                tests.extend(tests_in(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    tests
}

fn tests_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if let Some(name) =
            line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next())
        {
            if is_test {
                found.push(name.to_owned());
            }
            is_test = false;
        } else if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        }
    }
    found
}

#[test]
fn every_test_that_this_page_names_exists() {
    let tests = rust_tests();
    let mut missing = Vec::new();
    for row in promises() {
        let names = code(row[3]);
        assert!(names.len() > 2, "{} has no tests", row[0]);
        for name in names.into_iter().filter(|name| !name.starts_with("torture")) {
            let exists = match name.ends_with(".json") {
                true => repository().join("tests/scenarios").join(name).is_file(),
                false => tests.contains(name),
            };
            if !exists {
                missing.push(format!("{}: {name}", row[0]));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_promise_has_a_row_with_its_command() {
    let names: Vec<_> = promises().iter().map(|row| row[0].to_owned()).collect();
    let wanted: Vec<_> = (1..=11).map(|number| format!("R{number}")).collect();
    assert_eq!(names, wanted);
    for row in promises() {
        assert_eq!(row.len(), 5, "{row:?}");
        let command = code(row[4])[0];
        assert!(
            command.starts_with("cargo test -p ") || command.starts_with("nfcwallet-sandbox torture "),
            "{command}"
        );
        // Test programs and links that are named are there.
        if let Some((_, rest)) = command.split_once("--test ") {
            let program = repository().join("tests/tests").join(rest.split(' ').next().unwrap());
            assert!(program.with_extension("rs").is_file() || program.join("main.rs").is_file(), "{command}");
        }
        for link in row[2].split("](").skip(1).filter_map(|link| link.split(')').next()) {
            assert!(repository().join("docs").join(link).is_file(), "{link}");
        }
    }
}

#[test]
fn a_test_is_found_by_its_attribute_and_a_helper_is_not() {
    let source =
        "fn helper() {}\n#[test]\n#[cfg(unix)]\nfn first() {}\n#[tokio::test]\nasync fn second() {}\nfn other() {}";
    assert_eq!(tests_in(source), ["first", "second"]);
}
