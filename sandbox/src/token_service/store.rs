//! The service's database.
//!
//! It is a sandbox: answers are kept in plain text so that a repeated request gets the same answer,
//! and those contain session keys of test cards. A real service would seal them.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::issuer::IssuerError;
use nfcwallet_core::token_service::operations::Refusal;

/// Version of the schema below; a file of another version is not opened.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE bindings(
  instance TEXT NOT NULL, user TEXT NOT NULL, device_key BLOB NOT NULL, session_polls INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(instance, user)) STRICT;
CREATE TABLE applications(
  seq INTEGER PRIMARY KEY, application_id TEXT NOT NULL UNIQUE, instance TEXT NOT NULL, user TEXT NOT NULL,
  silent INTEGER NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL DEFAULT '', polls_left INTEGER NOT NULL DEFAULT 0,
  applied_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE sessions(
  session_id TEXT PRIMARY KEY, instance TEXT NOT NULL, user TEXT NOT NULL, expires_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE tokens(
  seq INTEGER PRIMARY KEY, token_reference TEXT NOT NULL UNIQUE, application_id TEXT NOT NULL, instance TEXT NOT NULL,
  user TEXT NOT NULL, state TEXT NOT NULL, reported INTEGER NOT NULL DEFAULT 0, profile TEXT NOT NULL,
  next_atc INTEGER NOT NULL DEFAULT 1, activation_polls INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE suspensions(
  token_reference TEXT NOT NULL, party TEXT NOT NULL, PRIMARY KEY(token_reference, party)) STRICT;
CREATE TABLE credentials(
  token_reference TEXT NOT NULL, atc INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL, outcome TEXT,
  PRIMARY KEY(token_reference, atc)) STRICT;
CREATE TABLE messages(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance TEXT NOT NULL, user TEXT NOT NULL, content TEXT NOT NULL,
  acknowledged INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE answers(
  instance TEXT NOT NULL, user TEXT NOT NULL, request_id TEXT NOT NULL, operation TEXT NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY(instance, user, request_id)) STRICT;
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
";

/// The tables that [`Store::clear`] empties; `settings` stays.
const TABLES: [&str; 8] =
    ["bindings", "applications", "sessions", "tokens", "suspensions", "credentials", "messages", "answers"];

/// Why the service's database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the token service's database: {0}")]
    Database(String),
    /// The file cannot be opened, or is no database.
    #[error(
        "the token service's database {}: {reason}; if it is damaged, delete its whole folder or take another one",
        .path.display()
    )]
    File {
        /// Which one.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The seed of the service's keys is damaged.
    #[error("the token service's database holds no key seed; delete the file")]
    Seed,
    /// The file is of another version of the sandbox.
    #[error("the token service's database has schema {found}, this sandbox knows {SCHEMA_VERSION}; delete the file")]
    Version {
        /// Version of the file.
        found: i64,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Why an operation has no answer of its own: nothing of it is kept.
#[derive(Debug)]
pub(crate) enum Failure {
    /// By the rules.
    Refused(Refusal),
    /// A fault of the service; the wallet sees `internal`.
    Broken(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<IssuerError> for Failure {
    fn from(error: IssuerError) -> Self {
        Self::Broken(error.reason)
    }
}

/// A refusal by policy.
pub(crate) fn declined(code: &str) -> Failure {
    Failure::Refused(Refusal::Declined { code: code.to_owned() })
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
}

impl Store {
    /// Opens `path`, or a database in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let Some(path) = path else { return Self::on(Connection::open_in_memory()?) };
        Connection::open(path).map_err(StoreError::from).and_then(Self::on).map_err(|error| match error {
            StoreError::Database(reason) => StoreError::File { path: path.to_owned(), reason },
            other => other,
        })
    }

    fn on(connection: Connection) -> Result<Self, StoreError> {
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => {
                connection.execute_batch(&format!("BEGIN;{SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"))?;
            }
            SCHEMA_VERSION => {}
            found => return Err(StoreError::Version { found }),
        }
        Ok(Self { connection })
    }

    /// Begins a transaction that rolls back unless it is committed.
    pub(crate) fn begin(&mut self) -> Result<Transaction<'_>, rusqlite::Error> {
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// The seed of the service's keys: the one in the file, or `offered`, which is kept from now on.
    pub(crate) fn seed_or(&mut self, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let work = self.begin()?;
        work.execute("INSERT OR IGNORE INTO settings VALUES('key_seed', ?1)", [hex::encode(offered)])?;
        let text: String = work.query_row("SELECT value FROM settings WHERE name='key_seed'", [], |row| row.get(0))?;
        work.commit()?;
        let mut seed = [0; 32];
        hex::decode_to_slice(text, &mut seed).map_err(|_| StoreError::Seed)?;
        Ok(seed)
    }

    /// Forgets everybody and everything, except the settings.
    pub(crate) fn clear(&mut self) -> Result<(), rusqlite::Error> {
        let work = self.begin()?;
        for table in TABLES {
            work.execute(&format!("DELETE FROM {table}"), [])?;
        }
        work.commit()
    }
}

/// A fresh identifier: `prefix`, then 16 random bytes in hex.
pub(crate) fn fresh_id(prefix: &str) -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(format!("{prefix}-{}", hex::encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.db");
        drop(Store::open(Some(&path)).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version=7").unwrap();
        assert!(matches!(Store::open(Some(&path)), Err(StoreError::Version { found: 7 })));
    }
}
