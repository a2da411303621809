//! What can happen to a phone's files while its process does not run.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::unit::PhoneUnit;

/// The wallet's own folder. The other one, `hardware`, stands for what no backup copies.
const WALLET: &str = "wallet";
const SAVED: &str = "saved";

/// Does `action` to the wallet's files.
///
/// # Errors
/// An unknown action, or what the operating system said.
pub fn act(unit: &PhoneUnit, other: Option<&Path>, action: &str) -> io::Result<()> {
    let wallet = unit.directory().join(WALLET);
    let saved = unit.directory().join(SAVED);
    match action {
        "save" => replace(&wallet, &saved),
        "restore" => replace(&saved, &wallet),
        "copy_to_other_phone" => {
            let other = other.ok_or_else(|| io::Error::other("no other phone is named in `to`"))?;
            replace(&wallet, &other.join(WALLET))
        }
        "drop_wallet" => std::fs::remove_dir_all(&wallet),
        "corrupt" => corrupt(&wallet.join("wallet.db")),
        "newer_schema" => newer_schema(&wallet.join("wallet.db")),
        other => Err(io::Error::other(format!("unknown action {other}"))),
    }
}

/// Every file of the wallet with its bytes, to see whether one was touched.
///
/// # Errors
/// What the operating system said.
pub fn fingerprint(unit: &PhoneUnit) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(unit.directory().join(WALLET))? {
        let path = entry?.path();
        files.push((path.clone(), std::fs::read(&path)?));
    }
    files.sort();
    Ok(files)
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Overwrites the middle of the file, and drops the log that could mend it.
fn corrupt(database: &Path) -> io::Result<()> {
    let mut bytes = std::fs::read(database)?;
    let middle = bytes.len() / 4..bytes.len();
    if let Some(middle) = bytes.get_mut(middle) {
        middle.fill(0xA5);
    }
    if let Some(header) = bytes.get_mut(..64) {
        header.fill(0x5A);
    }
    std::fs::write(database, bytes)?;
    for log in ["-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{log}", database.display()));
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn newer_schema(database: &Path) -> io::Result<()> {
    let connection = Connection::open(database).map_err(io::Error::other)?;
    connection.pragma_update(None, "user_version", 9_999).map_err(io::Error::other)
}
