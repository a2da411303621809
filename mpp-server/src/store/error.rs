//! What can go wrong in the database, by what the caller can do about it.

use rusqlite::ErrorCode;

/// Why the store did not do what it was asked for. No variant holds a value of a row.
///
/// All but [`Self::Unknown`] mean that nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The commit was sent and its answer is missing: it may have happened. Ask again by the same id.
    #[error("nobody knows whether the database committed")]
    Unknown,
    /// Others hold what is needed, or too many jobs wait. Try again.
    #[error("the database is busy")]
    Busy,
    /// The database does not answer. Try again.
    #[error("the database cannot be reached")]
    Unreachable,
    /// There is no TLS to the database that can be trusted. Another machine is spoken to in no other way.
    #[error("no safe connection to the database: {reason}")]
    Tls {
        /// What rustls or the file of certificate authorities says.
        reason: String,
    },
    /// The disk is full. Free space.
    #[error("the database's disk is full")]
    Full,
    /// The database's file is not where it was opened: moved, deleted, or another one is in its place.
    #[error("the database's file was taken away while it was open: stop, put it back or restore it, and start")]
    Gone,
    /// The file or the server lets nobody write.
    #[error("the database is read-only")]
    ReadOnly,
    /// The file is damaged, or is no database.
    #[error("the database is damaged")]
    Corrupt,
    /// The disk failed.
    #[error("the database's disk failed")]
    Disk,
    /// Another job wrote the same key first. The store repeats the job by itself a few times.
    #[error("another job wrote the same key first")]
    Conflict,
    /// A newer program made the schema. It was left untouched; update this program.
    #[error("the schema has version {found}, newest known is {known}")]
    NewerSchema {
        /// The version that was found.
        found: i64,
        /// The newest version of this program.
        known: i64,
    },
    /// A migration that ran is not the one that this program has under that number.
    #[error("migration {version} is not the one that made this database")]
    ChangedMigration {
        /// Its number.
        version: i64,
    },
    /// The address is none of `sqlite:path`, `sqlite::memory:`, `postgres://…`.
    #[error("the address of the database is wrong: {reason}")]
    Address {
        /// What is wrong, without the address, for it may hold a password.
        reason: &'static str,
    },
    /// The database does not keep what it acknowledges, or breaks another promise that is needed.
    #[error("the database is not set up right: {reason}")]
    Setup {
        /// The setting.
        reason: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A bug: the database does not accept a statement.
    #[error("the database refuses a statement: {code}")]
    Statement {
        /// SQLite's extended result code, or PostgreSQL's SQLSTATE.
        code: String,
    },
    /// A bug, or rows changed by hand: a column does not hold what it should.
    #[error("a column is not {expected}")]
    Column {
        /// What it should be.
        expected: &'static str,
    },
    /// A number is larger than a signed 64-bit integer.
    #[error("a number is too large to be stored")]
    Range,
    /// A bug: the job panicked.
    #[error("a job panicked")]
    Panicked,
}

impl StoreError {
    /// The same job may succeed if it runs again at once.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::Conflict | Self::Unreachable)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(error, _) = error else {
            return Self::Statement { code: "not a statement for these values".to_owned() };
        };
        match error.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::ReadOnly => Self::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt,
            ErrorCode::CannotOpen => Self::Setup {
                reason: "its file cannot be opened or made; is the folder there, and may this user write to it?",
            },
            ErrorCode::SystemIoFailure => Self::Disk,
            ErrorCode::ConstraintViolation if is_taken_key(error.extended_code) => Self::Conflict,
            _ => Self::Statement { code: error.extended_code.to_string() },
        }
    }
}

fn is_taken_key(extended_code: i32) -> bool {
    [rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE].contains(&extended_code)
}

impl From<tokio_postgres::Error> for StoreError {
    /// For statements. What an error of a commit means is for the commit to say.
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            return if error.is_closed() || std::error::Error::source(&error).is_some_and(|e| e.is::<std::io::Error>()) {
                Self::Unreachable
            } else {
                Self::Statement { code: "not a statement for these values".to_owned() }
            };
        };
        let code = state.code();
        match (code.get(..2).unwrap_or_default(), code) {
            // serialization_failure, deadlock_detected, lock_not_available, query_canceled, too_many_connections
            (_, "40001" | "40P01" | "55P03" | "57014" | "53300") => Self::Busy,
            (_, "53100") => Self::Full,
            (_, "25006") => Self::ReadOnly,
            (_, "23505") => Self::Conflict,
            // connection exceptions, and a server that is ending or starting
            ("08", _) | (_, "57P01" | "57P02" | "57P03") => Self::Unreachable,
            ("28", _) => Self::Setup { reason: "wrong user or password, or this user may not come from here" },
            (_, "3D000") => Self::Setup { reason: "there is no such database; make it first (createdb)" },
            ("58", _) => Self::Disk,
            ("XX", _) => Self::Corrupt,
            _ => Self::Statement { code: code.to_owned() },
        }
    }
}
