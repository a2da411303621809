//! Rules for the source of the bindings that no compiler knows.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => waiting.push(path),
                false => found.push((path.clone(), fs::read_to_string(path).unwrap())),
            }
        }
    }
    assert!(found.len() > 15, "the sources were not found");
    found
}

/// Each exported block: what stands in its attribute, and its text up to the brace in the first column.
fn exported_blocks(text: &str) -> Vec<(&str, &str)> {
    let after = text.split("\n#[uniffi::export").skip(1);
    after
        .filter_map(|rest| {
            let (attribute, block) = rest.split_once("]\n")?;
            Some((attribute, block.split_once("\n}").map_or(block, |(block, _)| block)))
        })
        .collect()
}

/// A forgotten one shows only when the call runs: "there is no reactor running".
#[test]
fn every_exported_async_call_has_the_runtime() {
    let mut calls = 0;
    for (path, text) in sources() {
        for (attribute, block) in exported_blocks(&text).into_iter().filter(|(_, block)| block.contains("async fn")) {
            // Where the app's own side runs the call, it brings its own.
            let is_of_the_app = attribute.contains("foreign");
            assert!(
                is_of_the_app || attribute.contains("async_runtime = \"tokio\""),
                "{}: an async call without the runtime:\n{block}",
                path.display()
            );
            calls += block.matches("async fn").count();
        }
    }
    assert!(calls >= 10, "only {calls} async calls were found");
}

/// A task that is spawned without a handle needs a runtime around it, which calls of other languages have not.
#[test]
fn nothing_is_spawned_without_a_runtime() {
    for (path, text) in sources() {
        assert!(!text.contains("tokio::spawn"), "{} spawns without a runtime", path.display());
    }
}

/// The macros write unsafe code, so the lint that forbids it is off here.
#[test]
fn nobody_writes_unsafe_code_by_hand() {
    for (path, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found: Vec<&str> =
            code.filter(|line| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "unsafe")).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}
