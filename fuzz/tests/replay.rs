//! Runs every target on every input that is kept: `corpus`, found by fuzzing, and `regressions`, each of
//! which once broke a promise. Needs no libFuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use nfcwallet_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The targets share a phone and a service.
    arguments.test_threads = Some(1);
    let folders = TARGETS.iter().flat_map(|target| ["corpus", "regressions"].map(|kind| (kind, target)));
    let mut trials: Vec<Trial> = folders
        .map(|(kind, target)| Trial::test(format!("{kind}/{}", target.name), || replay(&folder(kind, target), target)))
        .collect();
    trials.push(Trial::test("every_target_has_a_corpus_and_every_folder_a_target", folders_are_targets));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn replay(folder: &Path, target: &Target) -> Result<(), Failed> {
    for file in files(folder)? {
        let input = fs::read(&file)?;
        if catch_unwind(|| (target.run)(&input)).is_err() {
            return Err(format!("{} breaks a promise of `{}`, see above", file.display(), target.name).into());
        }
    }
    Ok(())
}

fn folders_are_targets() -> Result<(), Failed> {
    for target in &TARGETS {
        if files(&folder("corpus", target))?.is_empty() {
            return Err(format!("`{}` has no corpus", target.name).into());
        }
    }
    for kind in ["corpus", "regressions"] {
        for entry in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(kind))? {
            if !TARGETS.iter().any(|target| entry == folder(kind, target)) {
                return Err(format!("{} belongs to no target", entry.display()).into());
            }
        }
    }
    Ok(())
}

fn folder(kind: &str, target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target.name)
}

/// What is in a folder; a folder that is not there is empty.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut found = entries.collect::<Result<Vec<_>, std::io::Error>>()?;
    found.sort();
    Ok(found)
}
