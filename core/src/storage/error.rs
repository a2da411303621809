//! Everything that can go wrong in the store, and the one place where it becomes public.

use std::io;

use rusqlite::ErrorCode;

use crate::error::{KeyStoreProblem, TokenProblem, WalletError};
use crate::host::KeyStoreError;

/// How the store failed, exactly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another process or wallet holds the directory or the file.
    #[error("in use by another wallet")]
    Busy,
    /// No space, or no quota.
    #[error("the disk is full")]
    Full,
    /// The operating system refuses.
    #[error("{0}")]
    Unusable(&'static str),
    /// The bytes are not what this library wrote.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    /// Written by a newer library.
    #[error("schema {found}, known up to {known}")]
    TooNew { found: u32, known: u32 },
    /// Older than the host's anchor, or another device's.
    #[error("rolled back or copied")]
    RolledBack,
    /// The host's key store cannot serve.
    #[error("key store: {0}")]
    KeyStore(KeyStoreProblem),
    /// `close` was called.
    #[error("closed")]
    Closed,
    /// The token of a change is not there.
    #[error("no token")]
    NoToken,
    /// The token of a burn is locked, not active, or not the connected user's.
    #[error("not payable")]
    NotPayable,
    /// The service sent a counter twice.
    #[error("the service sent a counter twice")]
    DuplicateCounter,
    /// The service named two users' tokens alike.
    #[error("the token reference belongs to another user")]
    ForeignReference,
    /// A broken invariant of this library.
    #[error("internal error {0}")]
    Bug(&'static str),
}

impl From<StoreError> for WalletError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::StoreBusy,
            StoreError::Full => Self::StoreFull,
            StoreError::Unusable(reason) => Self::StoreUnusable { reason },
            StoreError::Corrupt(_) => Self::StoreCorrupt,
            StoreError::TooNew { found, known } => Self::StoreTooNew { found, known },
            StoreError::RolledBack => Self::StoreRolledBack,
            StoreError::KeyStore(reason) => Self::KeyStore { reason },
            StoreError::NotPayable => Self::TokenUnavailable { reason: TokenProblem::OutcomeUnknown },
            StoreError::Closed => Self::ShutDown,
            StoreError::NoToken => Self::NoToken,
            StoreError::DuplicateCounter => Self::Protocol { reason: "a credential counter was sent twice" },
            StoreError::ForeignReference => Self::Protocol { reason: "the token reference belongs to another user" },
            StoreError::Bug(code) => Self::Bug { code },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            E::SqliteFailure(failure, _) | E::SqlInputError { error: failure, .. } => from_code(failure.code),
            // A value of the wrong type or range in a row of a STRICT table was not written by us.
            E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) => {
                Self::Corrupt("a value of the wrong type")
            }
            E::QueryReturnedNoRows => Self::Corrupt("a row is missing"),
            E::QueryReturnedMoreThanOneRow => Self::Corrupt("a row is there twice"),
            E::InvalidPath(_) | E::NulError(_) => Self::Unusable("the path is not a file name"),
            E::ToSqlConversionFailure(_) => Self::Bug("store_value"),
            // The rest are mistakes in this library's SQL; the enum may grow.
            _ => Self::Bug("store_sql"),
        }
    }
}

fn from_code(code: ErrorCode) -> StoreError {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => StoreError::Busy,
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::DatabaseCorrupt => StoreError::Corrupt("sqlite: malformed"),
        ErrorCode::NotADatabase => StoreError::Corrupt("sqlite: not a database"),
        ErrorCode::ConstraintViolation => StoreError::Bug("store_constraint"),
        ErrorCode::ReadOnly => StoreError::Unusable("read-only"),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            StoreError::Unusable("permission denied")
        }
        ErrorCode::CannotOpen => StoreError::Unusable("cannot be opened"),
        ErrorCode::SystemIoFailure => StoreError::Unusable("input or output failed"),
        ErrorCode::OutOfMemory => StoreError::Unusable("out of memory"),
        ErrorCode::NoLargeFileSupport => StoreError::Unusable("the file is too large for the system"),
        ErrorCode::OperationAborted
        | ErrorCode::OperationInterrupted
        | ErrorCode::InternalMalfunction
        | ErrorCode::NotFound
        | ErrorCode::SchemaChanged
        | ErrorCode::TooBig
        | ErrorCode::TypeMismatch
        | ErrorCode::ApiMisuse
        | ErrorCode::ParameterOutOfRange
        | ErrorCode::Unknown => StoreError::Bug("store_sqlite"),
        // The enum may grow.
        _ => StoreError::Bug("store_sqlite"),
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as K;
        match error.kind() {
            K::StorageFull | K::QuotaExceeded => Self::Full,
            K::ReadOnlyFilesystem => Self::Unusable("read-only"),
            K::PermissionDenied => Self::Unusable("permission denied"),
            K::NotADirectory | K::AlreadyExists => Self::Unusable("not a directory"),
            K::NotFound => Self::Unusable("not found"),
            K::IsADirectory => Self::Unusable("a directory is in the place of a file"),
            _ => Self::Unusable("input or output failed"),
        }
    }
}

impl From<KeyStoreError> for StoreError {
    fn from(error: KeyStoreError) -> Self {
        Self::KeyStore(problem(error))
    }
}

/// The public name of a key store failure.
pub(super) fn problem(error: KeyStoreError) -> KeyStoreProblem {
    match WalletError::from(error) {
        WalletError::KeyStore { reason } => reason,
        other => KeyStoreProblem::Failed { reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(code: i32) -> WalletError {
        let failure = rusqlite::ffi::Error::new(code);
        StoreError::from(rusqlite::Error::SqliteFailure(failure, None)).into()
    }

    #[test]
    fn each_answer_of_sqlite_has_its_public_error() {
        use rusqlite::ffi;
        assert_eq!(public(ffi::SQLITE_FULL), WalletError::StoreFull);
        assert_eq!(public(ffi::SQLITE_BUSY), WalletError::StoreBusy);
        assert_eq!(public(ffi::SQLITE_CORRUPT), WalletError::StoreCorrupt);
        assert_eq!(public(ffi::SQLITE_NOTADB), WalletError::StoreCorrupt);
        assert_eq!(public(ffi::SQLITE_READONLY), WalletError::StoreUnusable { reason: "read-only" });
        assert_eq!(public(ffi::SQLITE_CANTOPEN), WalletError::StoreUnusable { reason: "cannot be opened" });
        assert_eq!(public(ffi::SQLITE_IOERR_FSYNC), WalletError::StoreUnusable { reason: "input or output failed" });
        assert_eq!(public(ffi::SQLITE_CONSTRAINT), WalletError::Bug { code: "store_constraint" });
    }

    #[test]
    fn a_full_disk_under_the_files_is_told_from_a_read_only_one() {
        let public = |kind: io::ErrorKind| WalletError::from(StoreError::from(io::Error::from(kind)));
        assert_eq!(public(io::ErrorKind::StorageFull), WalletError::StoreFull);
        assert_eq!(public(io::ErrorKind::ReadOnlyFilesystem), WalletError::StoreUnusable { reason: "read-only" });
    }
}
