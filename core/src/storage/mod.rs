//! SQLite, migrations, sealing, rollback guard.
//!
//! Owns every byte on disk. May touch `host` (key store, entropy) and the plain types of other rooms.
//!
//! * `file`: the directory, its lock, the database, migrations, quarantine.
//! * `seal`: sealed columns. `keys`: the data key and the anchor at open; starting over.
//! * `anchor`: what the host's anchor says of the file. `guard`: moving it around commits.
//! * `tx`: one transaction; `users`, `tokens`, `credentials`, `journals`: its tables. `burn`: a tap's.
//!
//! A tap, from the store's side: [`Store::start_arming`] at the first SELECT, [`Store::start_burn`] at
//! GENERATE AC, [`Burn::wait`] before the answer leaves, [`Store::settle`] on another thread once the
//! terminal has it. Everything else is a closure over a [`Tx`]:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use nfcwallet_core::host::HostCalls;
//! # use nfcwallet_core::storage::{Store, StoreConfig};
//! # fn example(calls: Arc<HostCalls>) -> Result<(), nfcwallet_core::WalletError> {
//! let config = StoreConfig { directory: "wallet".into(), history_limit: 1_000 };
//! let store = Store::open(&config, calls)?;
//! let user = store.write(|tx| tx.connect_user("user-1"))?;
//! let stock = store.read(|tx| tx.stock(user, 1_760_000_000_000))?;
//! # drop(stock); Ok(())
//! # }
//! ```

mod anchor;
mod burn;
mod credentials;
mod error;
mod file;
mod guard;
mod journals;
mod keys;
mod records;
mod seal;
mod service_cache;
mod tokens;
mod tx;
mod users;

#[cfg(test)]
pub(crate) mod test_host;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};

pub use burn::Burn;
pub use credentials::Purpose;
pub use guard::ArmTicket;
pub use records::{ChangeKind, Health, PendingChange, ReplenishRequest, Stock, TokenPhase, TokenRecord, UserKey};
pub use tx::Tx;

use crate::error::{KeyStoreProblem, WalletError};
use crate::host::HostCalls;
use crate::sync::owned::{Mutex, MutexGuard};
use crate::token_service::ServiceTime;
use error::StoreError;
use file::{DirectoryLock, close_untouched};
use guard::{Guard, Standing, Turn};
use keys::log_unsettled;
use seal::Nonces;
use tx::{KeyState, Mode, Transaction, TxParts};

/// After so many commits the log is moved into the database, by a call that no terminal waits for.
/// A burn writes about five pages, so the log stays near a megabyte.
const COMMITS_PER_CHECKPOINT: u64 = 64;

/// Where the store is and how much it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// A folder of its own that no backup copies; made if missing.
    pub directory: PathBuf,
    /// How many taps are kept for each user.
    pub history_limit: u32,
}

/// The wallet's one file, locked for this process.
///
/// Every method takes one short lock; none calls the host with a lock held. Methods that say "blocks"
/// wait for the host's key store; they, and only they, may take longer than a commit.
pub struct Store {
    /// A lock that may be taken on one thread and given back on another: a burn's commit is.
    inner: Arc<Mutex<Inner>>,
    guard: Arc<Guard>,
    calls: Arc<HostCalls>,
    instance: [u8; 16],
    history_limit: u32,
    commits: Arc<AtomicU64>,
    checkpointed: AtomicU64,
}

struct Inner {
    database: Database,
    key: KeyState,
}

enum Database {
    /// In this order, so that the database is closed before the next wallet is let in.
    Open(Connection, DirectoryLock),
    /// Found damaged and set aside; the directory stays ours until `close`.
    SetAside {
        _lock: DirectoryLock,
    },
    Closed,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// How a commit failed.
enum CommitError {
    /// Nothing was written.
    Refused(WalletError),
    /// Undone, but its bytes may be in the log.
    Uncertain(WalletError),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the store, or makes it. Blocks for the host's key store.
    ///
    /// A key store that cannot serve is no error: the store opens, [`health`](Self::health) says
    /// what is wrong, and what needs the key fails with the same reason.
    ///
    /// # Errors
    /// [`WalletError::StoreBusy`], [`StoreFull`](WalletError::StoreFull),
    /// [`StoreUnusable`](WalletError::StoreUnusable), [`StoreTooNew`](WalletError::StoreTooNew), all
    /// with the file untouched; [`StoreCorrupt`](WalletError::StoreCorrupt) after it was set aside as
    /// `wallet.db.corrupt-N`: the next call starts with an empty store.
    pub fn open(config: &StoreConfig, calls: Arc<HostCalls>) -> Result<Self, WalletError> {
        let lock = DirectoryLock::take(&config.directory)?;
        let connection = lock.open_database(calls.entropy())?;
        let instance = connection.query_row("SELECT instance FROM store", [], |row| row.get(0));
        let inner =
            Inner { database: Database::Open(connection, lock), key: KeyState::Unavailable(KeyStoreProblem::NotFound) };
        let mut store = Self {
            inner: Arc::new(Mutex::new(inner)),
            guard: Arc::new(Guard::new(Arc::clone(&calls))),
            calls,
            instance: [0; 16],
            history_limit: config.history_limit,
            commits: Arc::default(),
            checkpointed: AtomicU64::new(0),
        };
        store.instance =
            instance.map_err(StoreError::from).map_err(|error| store.lock().set_aside_if_corrupt(error.into()))?;
        let turn = store.guard.turn()?;
        store.attach(&turn)?;
        drop(turn);
        Ok(store)
    }

    /// Can the store be paid from?
    #[must_use]
    pub fn health(&self) -> Health {
        match self.guard.standing() {
            Standing::RolledBack => Health::RolledBack,
            Standing::Closed => {
                Health::KeyUnavailable(KeyStoreProblem::Failed { reason: "the store is closed".to_owned() })
            }
            Standing::Unavailable(reason) => Health::KeyUnavailable(reason),
            Standing::Good => match &self.lock().key {
                KeyState::Open(_) => Health::Good,
                KeyState::Unavailable(reason) => Health::KeyUnavailable(reason.clone()),
            },
        }
    }

    /// The instance id: names this installation to the service. `renew` keeps it.
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
        self.instance
    }

    /// Reads. Nothing else runs on the store meanwhile, so all of it is of one moment.
    ///
    /// # Errors
    /// What `body` returns; [`WalletError::ShutDown`] after `close`.
    pub fn read<T>(&self, body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>) -> Result<T, WalletError> {
        self.transact(Mode::Read, body)
    }

    /// Changes in one durable commit; nothing is changed if `body` fails.
    ///
    /// # Errors
    /// What `body` returns; those of the store.
    pub fn write<T>(&self, body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>) -> Result<T, WalletError> {
        self.transact(Mode::Write, body)
    }

    /// Changes in one durable commit that a rolled-back file cannot undo unnoticed: for everything
    /// that adds or takes credentials. Blocks for the host's key store, before and after.
    ///
    /// # Errors
    /// What `body` returns; [`WalletError::StoreRolledBack`]; [`WalletError::KeyStore`] if the anchor
    /// could not be armed; those of the store. Nothing is changed then.
    pub fn write_guarded<T>(&self, body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>) -> Result<T, WalletError> {
        let turn = self.guard.turn()?;
        turn.check_standing()?;
        let generation = turn.arm(None)?;
        let result = self.commit_guarded(&turn, generation, body);
        log_unsettled(turn.rest());
        drop(turn);
        self.checkpoint_if_due();
        result
    }

    /// Discards what has expired and returns how many; nothing by a time that is only guessed. Blocks
    /// for the host only if there is any.
    ///
    /// # Errors
    /// As `write_guarded`.
    pub fn discard_expired(&self, user: UserKey, time: ServiceTime) -> Result<u32, WalletError> {
        if time.learnt && self.read(|tx| tx.has_expired(user, time.now_ms))? {
            self.write_guarded(|tx| tx.discard_expired(user, time.now_ms))
        } else {
            Ok(0)
        }
    }

    /// A tap of this user begins: starts to arm the rollback anchor on a worker of the host, so that
    /// the cost overlaps the radio. Never waits. Give the ticket to [`burn_next`](Self::burn_next),
    /// or drop it when the tap ends; then call [`settle`](Self::settle) on another thread.
    pub fn start_arming(&self, user: UserKey) -> ArmTicket {
        self.guard.start_arming(user)
    }

    /// After a tap, whether it burnt or not: settles the rollback anchor, and tidies the log where
    /// that is due. Blocks for the host's key store; not for the thread of the tap. Does nothing
    /// while another tap runs.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`]: the anchor stays armed, which is safe; the next guarded write or
    /// `settle` catches up, and a kill before that costs at most one credential.
    pub fn settle(&self) -> Result<(), WalletError> {
        let turn = self.guard.turn()?;
        let settled = turn.rest();
        drop(turn);
        self.checkpoint_if_due();
        Ok(settled?)
    }

    /// The platform is about to freeze the process: moves the log into the database. Keeps the lock
    /// and the key.
    ///
    /// # Errors
    /// Those of the store; nothing is lost then.
    pub fn suspend(&self) -> Result<(), WalletError> {
        self.checkpoint()
    }

    /// Settles the anchor, closes the file, forgets the key and lets the next wallet in; everything
    /// after this is [`WalletError::ShutDown`]. Dropping the store does the same. Blocks for the
    /// host's key store, up to its deadline: a write of the anchor that a hung host makes even later
    /// is not waited for.
    pub fn close(&self) {
        // The anchor's last write lands before another wallet writes its own; none follows.
        match self.guard.turn() {
            Ok(turn) => {
                log_unsettled(turn.rest_for_good());
                turn.stand(Standing::Closed);
            }
            Err(error) => tracing::warn!(%error, "closed while the anchor is being written"),
        }
        let mut inner = self.lock();
        inner.key = KeyState::Unavailable(KeyStoreProblem::NotFound);
        inner.database = Database::Closed;
    }

    /// Commits that changed something, since the store was opened: for benchmarks and tests.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Commits from `generation`, for which the host's anchor is armed, to the next one.
    fn commit_guarded<T>(
        &self,
        turn: &Turn,
        generation: u64,
        body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        match self.commit(Mode::Guarded, |tx| counted(tx, generation, body)) {
            Ok(value) => {
                turn.committed();
                Ok(value)
            }
            Err(CommitError::Refused(error)) => Err(error),
            Err(CommitError::Uncertain(error)) => {
                turn.commit_failed();
                Err(error)
            }
        }
    }

    fn transact<T>(&self, mode: Mode, body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>) -> Result<T, WalletError> {
        self.commit(mode, body).map_err(|error| match error {
            CommitError::Refused(error) | CommitError::Uncertain(error) => error,
        })
    }

    fn commit<T>(&self, mode: Mode, body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>) -> Result<T, CommitError> {
        // Before the lock: entropy comes from the host.
        let parts = self.parts(mode);
        let mut inner = self.lock();
        let before = inner.changes();
        let result = inner.run(mode, parts, body);
        if result.is_ok() && inner.changes() != before {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        result.map_err(|error| match error {
            CommitError::Refused(error) => CommitError::Refused(inner.set_aside_if_corrupt(error)),
            CommitError::Uncertain(error) => CommitError::Uncertain(inner.set_aside_if_corrupt(error)),
        })
    }

    fn parts(&self, mode: Mode) -> TxParts {
        // Reading seals nothing.
        let nonces = (mode != Mode::Read).then(|| Nonces::draw(self.calls.entropy()));
        TxParts { mode, nonces, instance: self.instance, history_limit: self.history_limit }
    }

    fn checkpoint_if_due(&self) {
        let since = self.commits().saturating_sub(self.checkpointed.load(Ordering::Relaxed));
        if since >= COMMITS_PER_CHECKPOINT
            && let Err(error) = self.checkpoint()
        {
            tracing::warn!(%error, "the log was not moved into the database");
        }
    }

    /// The log file keeps its size and is written over from its start, which costs a burn less than
    /// appending to a short one.
    fn checkpoint(&self) -> Result<(), WalletError> {
        self.transact(Mode::Read, |tx| {
            tx.first("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            Ok(())
        })?;
        self.checkpointed.store(self.commits(), Ordering::Relaxed);
        Ok(())
    }

    fn set_key(&self, change: impl FnOnce(&mut KeyState)) {
        change(&mut self.lock().key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside a transaction rolls it back while unwinding; the lock knows no poison.
        self.inner.lock_blocking()
    }
}

/// `body` in a transaction that counts the generation on from `generation`.
fn counted<T>(
    tx: &Tx<'_>,
    generation: u64,
    body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>,
) -> Result<T, WalletError> {
    let value = body(tx)?;
    let from = i64::try_from(generation).map_err(|_| StoreError::Bug("generation_size"))?;
    let sql = "UPDATE store SET generation = generation + 1, \
               spent = (SELECT coalesce(sum(spent), 0) FROM counter) WHERE generation = ?1";
    match tx.execute(sql, params![from])? {
        1 => Ok(value),
        _ => Err(StoreError::Bug("generation").into()),
    }
}

impl Inner {
    fn connection(&mut self) -> Result<(&mut Connection, &KeyState), StoreError> {
        match &mut self.database {
            Database::Open(connection, _) => Ok((connection, &self.key)),
            Database::SetAside { .. } => Err(StoreError::Corrupt("set aside")),
            Database::Closed => Err(StoreError::Closed),
        }
    }

    fn changes(&mut self) -> u64 {
        self.connection().map_or(0, |(connection, _)| connection.total_changes())
    }

    fn open_transaction<T>(
        &mut self,
        body: impl FnOnce(&Connection, &KeyState) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        let (connection, key) = self.connection()?;
        body(connection, key)
    }

    fn run<T>(
        &mut self,
        mode: Mode,
        parts: TxParts,
        body: impl FnOnce(&Tx<'_>) -> Result<T, WalletError>,
    ) -> Result<T, CommitError> {
        let refused = |error: StoreError| CommitError::Refused(error.into());
        let (connection, key) = self.connection().map_err(refused)?;
        if mode == Mode::Read {
            return body(&Tx::new(connection, key, parts)).map_err(CommitError::Refused);
        }
        let transaction = Transaction::begin(connection).map_err(refused)?;
        let value = body(&Tx::new(connection, key, parts)).map_err(CommitError::Refused)?;
        match transaction.commit() {
            Ok(()) => Ok(value),
            Err(error) => Err(CommitError::Uncertain(error.into())),
        }
    }

    /// A damaged file is closed and set aside at once, byte for byte, so that nothing is paid from it.
    fn set_aside_if_corrupt(&mut self, error: WalletError) -> WalletError {
        if error != WalletError::StoreCorrupt {
            return error;
        }
        match std::mem::replace(&mut self.database, Database::Closed) {
            Database::Open(connection, lock) => {
                close_untouched(connection);
                self.key = KeyState::Unavailable(KeyStoreProblem::NotFound);
                let renamed = lock.quarantine();
                self.database = Database::SetAside { _lock: lock };
                renamed.map_or_else(WalletError::from, |()| error)
            }
            other => {
                self.database = other;
                error
            }
        }
    }
}
