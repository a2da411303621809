//! One transaction: what the typed methods of the tables stand on.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::seal::{Nonces, Place, Sealer};
use crate::error::KeyStoreProblem;

/// Whether the data key is in memory.
pub(super) enum KeyState {
    Open(Box<Sealer>),
    Unavailable(KeyStoreProblem),
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
    /// Counted by the rollback guard; the only mode that may change the stock.
    Guarded,
}

/// A transaction of the store. Its methods are the tables; several in one closure are one commit.
///
/// Holds the connection's lock: no call on the host, on a listener or on the `Store` itself from
/// within.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) key: &'a KeyState,
    pub(super) instance: [u8; 16],
    pub(super) history_limit: u32,
    mode: Mode,
    nonces: RefCell<Option<Nonces>>,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({:?})", self.mode)
    }
}

/// A transaction of SQLite, rolled back unless it commits. As rusqlite's own, but with statements that
/// are prepared once.
pub(super) struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    pub(super) fn begin(connection: &'a Connection) -> Result<Self, StoreError> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(connection))
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Leaves it open: whoever has the connection next takes it up with [`left_open`](Self::left_open).
    pub(super) fn leave_open(self) {
        std::mem::forget(self);
    }

    /// The one that was left open on this connection.
    pub(super) fn left_open(connection: &'a Connection) -> Self {
        Self(connection)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // A commit that failed may have ended the transaction, or not.
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction was not rolled back");
        }
    }
}

/// What every transaction needs besides the connection.
pub(super) struct TxParts {
    pub(super) mode: Mode,
    /// `None` if nothing will be sealed.
    pub(super) nonces: Option<Nonces>,
    pub(super) instance: [u8; 16],
    pub(super) history_limit: u32,
}

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a Connection, key: &'a KeyState, parts: TxParts) -> Self {
        let TxParts { mode, nonces, instance, history_limit } = parts;
        Self { connection, key, instance, history_limit, mode, nonces: RefCell::new(nonces) }
    }

    /// The instance id: names this installation to the service, and never changes.
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
        self.instance
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// All rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
    }

    /// Changes rows and returns how many.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        if self.mode == Mode::Read {
            return Err(StoreError::Bug("write_in_read"));
        }
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// Fails in a transaction that the rollback guard does not count.
    pub(super) fn require_guard(&self) -> Result<(), StoreError> {
        match self.mode {
            Mode::Guarded => Ok(()),
            Mode::Read | Mode::Write => Err(StoreError::Bug("unguarded_change_of_the_stock")),
        }
    }

    pub(super) fn sealer(&self) -> Result<&Sealer, StoreError> {
        match self.key {
            KeyState::Open(sealer) => Ok(sealer),
            KeyState::Unavailable(reason) => Err(StoreError::KeyStore(reason.clone())),
        }
    }

    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonces = self.nonces.borrow_mut();
        self.sealer()?.seal(place, plain, nonces.as_mut().ok_or(StoreError::Bug("seal_in_read"))?)
    }

    pub(super) fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.sealer()?.open(place, envelope)
    }

    pub(super) fn seal_json<T: Serialize>(&self, place: Place<'_>, value: &T) -> Result<Vec<u8>, StoreError> {
        self.seal(place, &plain_json(value)?)
    }

    pub(super) fn open_json<T: DeserializeOwned>(&self, place: Place<'_>, envelope: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(&self.open(place, envelope)?)
            .map_err(|_| StoreError::Corrupt("a sealed value is unreadable"))
    }
}

/// JSON in a buffer that never moves: a growing one would leave copies of secrets behind.
fn plain_json<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let unwritable = |_| StoreError::Bug("store_json");
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(unwritable)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *plain, value).map_err(unwritable)?;
    Ok(plain)
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
