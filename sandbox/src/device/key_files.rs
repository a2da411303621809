//! The key store's files: replaced whole, durably, or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use nfcwallet_core::secret::Secret;
use serde::{Deserialize, Serialize};

/// What the "hardware" keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Keys {
    /// P-256 scalar.
    pub(crate) device: Option<Secret<32>>,
    /// AES-256 key.
    pub(crate) wrapping: Option<Secret<32>>,
    /// The keys were invalidated; only `renew` helps.
    pub(crate) invalidated: bool,
}

/// A folder with `keys.json` and `anchor.bin`.
#[derive(Debug)]
pub(crate) struct KeyFiles {
    folder: PathBuf,
}

impl KeyFiles {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    pub(crate) fn keys(&self) -> io::Result<Keys> {
        match self.read("keys.json")? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            None => Ok(Keys::default()),
        }
    }

    pub(crate) fn set_keys(&self, keys: &Keys) -> io::Result<()> {
        self.replace("keys.json", &serde_json::to_vec(keys).map_err(io::Error::other)?)
    }

    pub(crate) fn anchor(&self) -> io::Result<Option<Vec<u8>>> {
        self.read("anchor.bin")
    }

    pub(crate) fn set_anchor(&self, bytes: &[u8]) -> io::Result<()> {
        self.replace("anchor.bin", bytes)
    }

    pub(crate) fn remove_anchor(&self) -> io::Result<()> {
        match fs::remove_file(self.folder.join("anchor.bin")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => File::open(&self.folder)?.sync_all(),
        }
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Write aside, fsync, rename, fsync the folder: after a crash there is the old or the new file.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let aside = self.folder.join(format!("{name}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }
}
