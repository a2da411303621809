//! The database: transactions that are on disk when their caller hears of them.
//!
//! Owns connections, threads, the schema and the one dialect of SQL that SQLite and PostgreSQL share:
//! placeholders `$1`, columns TEXT and BIGINT (0 or 1 for a flag), `ON CONFLICT DO NOTHING`, `RETURNING`,
//! `CHECK`. Knows no room above it.
//!
//! A job is a function from [`Tx`] to a result. It may run several times and must do nothing but read and
//! write through its `Tx`. All jobs wait in one queue. On SQLite one thread takes those that wait into one
//! commit; on PostgreSQL several threads run one job a transaction, and a job that loses a race runs
//! again. Several processes may use one database. So that no two jobs wait for each other, rows are held in
//! one order: `users`, `payments`, `refunds`, `notices`, `journal`.
//!
//! ```
//! use mpp_server::store::{Store, StoreError};
//!
//! # futures_executor_of_this_example(async {
//! let store = Store::open("sqlite::memory:")?;
//! let users = store.read(|tx| {
//!     let row = tx.query_one("SELECT COUNT(*) FROM users", &[])?;
//!     row.ok_or(StoreError::Column { expected: "there" })?.int()
//! });
//! assert_eq!(users.await, Ok(0));
//! # Ok::<(), StoreError>(())
//! # });
//! # fn futures_executor_of_this_example(story: impl Future<Output = Result<(), StoreError>>) {
//! #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(story).unwrap();
//! # }
//! ```

mod error;
mod migrate;
mod postgres;
mod queue;
mod sqlite;
mod tls;
mod tx;
mod value;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use error::StoreError;
use queue::{Queue, Task};
pub use tx::{Done, Statement, Tx};
pub use value::{Row, Value};

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Connections of PostgreSQL that write. SQLite has one. Default 8.
    pub writers: usize,
    /// Connections that read. Default 4.
    pub readers: usize,
    /// The certificate authorities of a PostgreSQL server on another machine, as PEM. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// Jobs that may wait; more hear [`StoreError::Busy`] at once. Default 10,000.
    pub waiting: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { writers: 8, readers: 4, ca_file: None, waiting: 10_000 }
    }
}

/// An open database. Clones are the same store; the last one closes it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    writes: Arc<Queue>,
    /// The same as `writes` for a database in memory, which has one connection.
    reads: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens `sqlite:path`, `sqlite::memory:` or `postgres://user:password@host/database`, and brings its
    /// schema to this version. Blocks until that is done.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then, unless it says so.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreConfig::default())
    }

    /// As [`Self::open`], with `config`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(url: &str, config: &StoreConfig) -> Result<Self, StoreError> {
        match Address::parse(url)? {
            Address::Sqlite(place) => Self::open_sqlite(&place, config),
            Address::Postgres(address) => Self::open_postgres(*address, config),
        }
    }

    /// That `url` is one that [`Self::open`] understands. Opens nothing.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn check_address(url: &str) -> Result<(), StoreError> {
        Address::parse(url).map(drop)
    }

    /// As [`Self::check_address`], and that what `config` names can be read. Calls nobody.
    ///
    /// # Errors
    /// [`StoreError::Address`], [`StoreError::Tls`].
    pub fn check(url: &str, config: &StoreConfig) -> Result<(), StoreError> {
        match Address::parse(url)? {
            Address::Sqlite(_) if config.ca_file.is_some() => {
                Err(StoreError::Address { reason: "store.ca_file is set, and SQLite calls nobody: leave it out" })
            }
            Address::Sqlite(_) => Ok(()),
            Address::Postgres(address) => postgres::Server::new(*address, config.ca_file.as_deref()).map(drop),
        }
    }

    /// Where `url` leads, for a person to read: without user and password.
    #[must_use]
    pub fn describe(url: &str) -> String {
        match Address::parse(url) {
            Ok(Address::Sqlite(_)) => url.to_owned(),
            Ok(Address::Postgres(config)) => postgres::describe(&config),
            Err(error) => error.to_string(),
        }
    }

    fn open_sqlite(place: &sqlite::Place, config: &StoreConfig) -> Result<Self, StoreError> {
        let session = sqlite::Session::writer(place)?;
        let store = match place {
            sqlite::Place::Memory => Self::of_one_queue(config),
            sqlite::Place::File(_) => Self::of_two_queues(config),
        };
        store.spawn("store-write", &store.shared.writes, move |queue| sqlite::write_all(session, queue))?;
        if *place != sqlite::Place::Memory {
            for _ in 0..config.readers.max(1) {
                let session = sqlite::Session::reader(place)?;
                store.spawn("store-read", &store.shared.reads, move |queue| sqlite::read_all(session, queue))?;
            }
        }
        Ok(store)
    }

    fn open_postgres(address: tokio_postgres::Config, config: &StoreConfig) -> Result<Self, StoreError> {
        let server = postgres::Server::new(address, config.ca_file.as_deref())?;
        // A thread of its own, for the caller's may belong to an asynchronous runtime.
        let to_prepare = server.clone();
        let prepared = std::thread::spawn(move || postgres::prepare(to_prepare)).join();
        prepared.map_err(|_| StoreError::Panicked)??;
        let store = Self::of_two_queues(config);
        let Shared { writes, reads, .. } = &*store.shared;
        let writers = (0..config.writers.max(1)).map(|_| ("store-write", postgres::Role::Writer, writes));
        let readers = (0..config.readers.max(1)).map(|_| ("store-read", postgres::Role::Reader, reads));
        for (name, role, queue) in writers.chain(readers) {
            let session = postgres::Session::new(server.clone(), role)?;
            store.spawn(name, queue, move |queue| postgres::serve_all(session, queue))?;
        }
        Ok(store)
    }

    fn of_one_queue(config: &StoreConfig) -> Self {
        let queue = Arc::new(Queue::new(config.waiting));
        Self { shared: Arc::new(Shared { writes: Arc::clone(&queue), reads: queue, threads: Mutex::default() }) }
    }

    fn of_two_queues(config: &StoreConfig) -> Self {
        let queue = || Arc::new(Queue::new(config.waiting));
        Self { shared: Arc::new(Shared { writes: queue(), reads: queue(), threads: Mutex::default() }) }
    }

    /// Runs `work` in a transaction and answers once it is on disk; rolls back if `work` fails. Goes on
    /// if the future is dropped.
    ///
    /// # Errors
    /// What `work` says, or what the database says as `E`. Only after [`StoreError::Unknown`] may
    /// something have been written.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        run(&self.shared.writes, work).await
    }

    /// Runs `work` in a transaction that sees one moment and writes nothing.
    ///
    /// # Errors
    /// What `work` says, or what the database says.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        run(&self.shared.reads, work).await
    }

    /// How many writes wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.writes.len()
    }

    /// Takes no more jobs, does those that wait, and returns when all threads have ended. Blocks.
    pub fn close(&self) {
        self.shared.close();
    }

    fn spawn(
        &self,
        name: &str,
        queue: &Arc<Queue>,
        work: impl FnOnce(&Queue) + Send + 'static,
    ) -> Result<(), StoreError> {
        let queue = Arc::clone(queue);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&queue));
        let thread = thread.map_err(|_| StoreError::Setup { reason: "no thread can be started" })?;
        self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

async fn run<T, E, F>(queue: &Queue, work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    let (task, answer) = Task::new(work);
    queue.push(Box::new(task));
    answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
}

impl Shared {
    fn close(&self) {
        self.writes.close();
        self.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let me = std::thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

enum Address {
    Sqlite(sqlite::Place),
    Postgres(Box<tokio_postgres::Config>),
}

impl Address {
    fn parse(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':') {
            Some(("sqlite", ":memory:")) => Ok(Self::Sqlite(sqlite::Place::Memory)),
            Some(("sqlite", "")) => Err(StoreError::Address { reason: "no path after `sqlite:`" }),
            Some(("sqlite", path)) => Ok(Self::Sqlite(sqlite::Place::File(path.into()))),
            Some(("postgres" | "postgresql", _)) => postgres::parse(url).map(Box::new).map(Self::Postgres),
            _ => Err(StoreError::Address { reason: "neither `sqlite:` nor `postgres:`" }),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
