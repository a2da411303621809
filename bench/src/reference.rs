//! What this machine can do: the references that the wallet is held against.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Samples, measure, measure_apart};

/// As much as the smallest durable change of a store: a flag and a counter in one row.
const CHANGE: [u8; 64] = [0x5A; 64];

/// The argument that makes a benchmark program end at once.
pub const EMPTY_PROCESS: &str = "empty-process";

/// One durable append: 64 bytes at the end of a file, then `fdatasync`. The file grows, so the
/// file system also writes its size.
///
/// # Errors
/// Of the file system.
pub fn durable_append(folder: &Path, runs: usize) -> Result<Samples> {
    let (_guard, mut file) = scratch_file(folder)?;
    measure(runs / 10, runs, || write_durably(&mut file))
}

/// As [`durable_append`], with a pause before each.
///
/// # Errors
/// Of the file system.
pub fn durable_append_apart(folder: &Path, pause: Duration, runs: usize) -> Result<Samples> {
    let (_guard, mut file) = scratch_file(folder)?;
    measure_apart(pause, runs, || write_durably(&mut file))
}

/// One durable overwrite: the next 64 bytes of a file that has its size and its blocks already, then
/// `fdatasync`. No metadata changes: the least that a durable change costs on this disk.
///
/// # Errors
/// Of the file system.
pub fn durable_overwrite(folder: &Path, runs: usize) -> Result<Samples> {
    let warm_up = runs / 10;
    let (_guard, mut file) = filled_file(folder, warm_up + runs)?;
    measure(warm_up, runs, || write_durably(&mut file))
}

/// As [`durable_overwrite`], with a pause before each.
///
/// # Errors
/// Of the file system.
pub fn durable_overwrite_apart(folder: &Path, pause: Duration, runs: usize) -> Result<Samples> {
    let (_guard, mut file) = filled_file(folder, runs)?;
    measure_apart(pause, runs, || write_durably(&mut file))
}

fn write_durably(file: &mut File) -> Result<()> {
    file.write_all(&CHANGE)?;
    Ok(file.sync_data()?)
}

/// Room for so many changes.
fn filled_file(folder: &Path, changes: usize) -> Result<(tempfile::TempDir, File)> {
    let (guard, mut file) = scratch_file(folder)?;
    file.write_all(&CHANGE.map(|_| 0).repeat(changes))?;
    file.sync_all()?;
    file.rewind()?;
    Ok((guard, file))
}

/// A file that is gone with the returned guard.
fn scratch_file(folder: &Path) -> Result<(tempfile::TempDir, File)> {
    let guard = tempfile::tempdir_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(guard.path().join("file"))?;
    Ok((guard, file))
}

/// From the start of this program to its end, doing nothing: what any process costs. The program
/// must return from `main` at once when its first argument is [`EMPTY_PROCESS`].
///
/// # Errors
/// If the program cannot be started or fails.
pub fn empty_process(runs: usize) -> Result<Samples> {
    process(&[EMPTY_PROCESS], runs)
}

/// From the start of this program with these arguments to its end.
///
/// # Errors
/// If the program cannot be started or fails.
pub fn process(args: &[&str], runs: usize) -> Result<Samples> {
    let program = std::env::current_exe()?;
    measure(runs / 10, runs, || {
        let status = Command::new(&program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "the process with {args:?} ended with {status}");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_measured_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(durable_append(folder.path(), 3).unwrap().count(), 3);
        assert_eq!(durable_append_apart(folder.path(), Duration::from_millis(1), 3).unwrap().count(), 3);
        assert_eq!(durable_overwrite(folder.path(), 3).unwrap().count(), 3);
        let apart = durable_overwrite_apart(folder.path(), Duration::from_millis(1), 3);
        assert_eq!(apart.unwrap().count(), 3);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = durable_append(Path::new("not/there"), 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot write to not/there");
    }
}
