//! What the gateway must remember: events seen, payments, calls with their exact requests, and sums.
//!
//! One SQLite database, in memory or in a file. Every step is one transaction, so a gateway that is killed
//! between any two goes on where it stood.

mod accounts;
mod rows;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

pub use accounts::{Account, Sum};
pub use rows::{Call, CallState, Payment};
pub(super) use work::{NewCall, Work};

use super::GatewayError;
use super::conversion::RowId;
use super::events::{SchemeEvent, SchemeId};

/// Version of the schema below; a file of another version is not opened.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    auth_id TEXT,
    content TEXT NOT NULL,
    conversion TEXT NOT NULL,
    kept INTEGER NOT NULL
) STRICT;
CREATE INDEX event_kept ON event (auth_id) WHERE kept;
CREATE TABLE payment (
    auth_id TEXT PRIMARY KEY,
    beyond INTEGER NOT NULL,
    request_id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL,
    pay_to_currency TEXT NOT NULL,
    pay_to INTEGER NOT NULL,
    quote TEXT,
    authorised_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    lapses_at_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    approved INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    held INTEGER NOT NULL CHECK (held BETWEEN 0 AND amount),
    cleared INTEGER NOT NULL CHECK (cleared BETWEEN 0 AND held),
    refunded INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND amount),
    refunded_to INTEGER NOT NULL CHECK (refunded_to BETWEEN 0 AND pay_to),
    payment_id TEXT,
    code TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_pending ON payment (expires_at_ms) WHERE state = 'pending';
CREATE INDEX payment_open ON payment (lapses_at_ms) WHERE state = 'paid' AND held > cleared;
CREATE TABLE call (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    request_id TEXT NOT NULL,
    auth_id TEXT,
    conversion TEXT NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'done', 'failed', 'dropped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at_ms INTEGER NOT NULL,
    code TEXT
) STRICT;
CREATE UNIQUE INDEX call_once ON call (kind, request_id) WHERE kind <> 'inquiryPayment';
CREATE INDEX call_due ON call (next_at_ms) WHERE state = 'due';
CREATE INDEX call_of ON call (auth_id);
CREATE TABLE posting (
    seq INTEGER PRIMARY KEY,
    cause TEXT NOT NULL,
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL
) STRICT;
";

/// The gateway's memory.
pub struct Books {
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Books")
    }
}

impl Books {
    /// In memory.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn in_memory() -> Result<Self, GatewayError> {
        Self::on(Connection::open_in_memory()?)
    }

    /// In a file, which is made if it does not exist.
    ///
    /// # Errors
    /// [`GatewayError::File`], [`GatewayError::Version`].
    pub fn open(path: &Path) -> Result<Self, GatewayError> {
        Connection::open(path).map_err(GatewayError::from).and_then(Self::on).map_err(|error| match error {
            GatewayError::Books(reason) => GatewayError::File { path: path.to_owned(), reason },
            other => other,
        })
    }

    fn on(connection: Connection) -> Result<Self, GatewayError> {
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            0 => {
                connection.execute_batch(&format!("BEGIN;{SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"))?;
            }
            SCHEMA_VERSION => {}
            found => return Err(GatewayError::Version { found, known: SCHEMA_VERSION }),
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Runs `job` as one transaction; nothing of it stays if it fails.
    pub(super) fn write<T>(&self, job: impl FnOnce(&Work<'_>) -> Result<T, GatewayError>) -> Result<T, GatewayError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let work = Work::new(&transaction);
        let done = job(&work)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Reads from one state of the books.
    pub(super) fn read<T>(&self, job: impl FnOnce(&Work<'_>) -> Result<T, GatewayError>) -> Result<T, GatewayError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        job(&Work::new(&transaction))
    }

    /// Every payment.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn payments(&self) -> Result<Vec<Payment>, GatewayError> {
        self.read(|work| work.payments())
    }

    /// The payment of an authorisation.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn payment(&self, auth_id: &SchemeId) -> Result<Option<Payment>, GatewayError> {
        self.read(|work| work.payment(auth_id))
    }

    /// The payment with this `paymentRequestId` towards the payment provider.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn payment_by_request(&self, request_id: &str) -> Result<Option<Payment>, GatewayError> {
        self.read(|work| work.payment_by_request(request_id))
    }

    /// An event that was taken.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn event(&self, id: &SchemeId) -> Result<Option<SchemeEvent>, GatewayError> {
        Ok(self.read(|work| work.event(id))?.map(|(event, _)| event))
    }

    /// Every event that was taken, in their order.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn events(&self) -> Result<Vec<SchemeEvent>, GatewayError> {
        self.read(|work| work.events())
    }

    /// Every call, in the order in which it was asked for.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn calls(&self) -> Result<Vec<Call>, GatewayError> {
        self.read(|work| work.calls())
    }

    /// What people must look at: refunds that the payment provider refused for good.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn refused_refunds(&self) -> Result<Vec<Call>, GatewayError> {
        self.read(|work| work.refused_refunds())
    }

    /// The rows that events came to, in the order of the events.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn conversions(&self) -> Result<Vec<(String, RowId)>, GatewayError> {
        self.read(|work| work.conversions())
    }

    /// The sums of all accounts.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn sums(&self) -> Result<Vec<Sum>, GatewayError> {
        self.read(|work| work.sums())
    }

    /// What was cleared of authorisations and nobody was charged for, in the smallest unit of the merchant's
    /// currency. Those with nothing of it are left out.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn shortfalls(&self) -> Result<BTreeMap<SchemeId, u64>, GatewayError> {
        self.read(|work| work.shortfalls())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Every write is one SQL transaction, so a panicking holder leaves nothing half done.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
