//! What a database can do without us: one durable insert after the other, by its plain driver, and the same
//! insert through the store.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use mpp_server::store::{Store, StoreConfig, StoreError};
use rusqlite::Connection;
use tokio_postgres::{Client, NoTls};

use super::load::{Done, Run, drive};

/// A row about as wide as a payment's.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS bench_inserts
    (id TEXT NOT NULL PRIMARY KEY, amount BIGINT NOT NULL, filling TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO bench_inserts (id, amount, filling) VALUES ($1, $2, $3)";
const SQLITE_INSERT: &str = "INSERT INTO bench_inserts (id, amount, filling) VALUES (?1, ?2, ?3)";
const AMOUNT: i64 = 1250;

fn filling() -> String {
    "0123456789".repeat(50)
}

/// The plain driver: one commit an insert.
pub enum Plain {
    /// One connection, for SQLite has one writer: write-ahead log, `synchronous=FULL`, as the store's.
    Sqlite(Connection, u64),
    /// As many connections as the server has that write; autocommit.
    Postgres(Vec<Writer>),
}

/// A connection to PostgreSQL.
pub struct Writer {
    client: Client,
    insert: tokio_postgres::Statement,
    name: usize,
    count: u64,
}

impl Plain {
    /// On the database at `url`, whose table it makes.
    ///
    /// # Errors
    /// Of the database.
    pub async fn open(url: &str, writers: usize) -> Result<Self> {
        match url.strip_prefix("sqlite:") {
            Some(path) => {
                let connection = Connection::open(path)?;
                connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
                connection.pragma_update(None, "synchronous", "full")?;
                connection.execute_batch(TABLE)?;
                Ok(Self::Sqlite(connection, 0))
            }
            None => {
                let mut open = Vec::with_capacity(writers);
                for name in 0..writers {
                    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
                    tokio::spawn(connection);
                    if name == 0 {
                        client.batch_execute(TABLE).await?;
                    }
                    let insert = client.prepare(INSERT).await?;
                    open.push(Writer { client, insert, name, count: 0 });
                }
                Ok(Self::Postgres(open))
            }
        }
    }

    /// Inserts for so long.
    ///
    /// # Errors
    /// Of the database.
    pub async fn run(&mut self, time: Duration) -> Result<Run> {
        let filling = filling();
        match self {
            Self::Sqlite(connection, count) => {
                let (start, mut latencies) = (Instant::now(), Vec::new());
                while start.elapsed() < time {
                    let begun = Instant::now();
                    *count += 1;
                    connection.prepare_cached(SQLITE_INSERT)?.execute((format!("plain-{count}"), AMOUNT, &filling))?;
                    latencies.push(begun.elapsed());
                }
                Ok(Run { latencies, took: start.elapsed(), ..Run::default() })
            }
            Self::Postgres(writers) => {
                let filling = &filling;
                drive(writers, time, async |writer: &mut Writer| {
                    writer.count += 1;
                    let id = format!("plain-{}-{}", writer.name, writer.count);
                    writer.client.execute(&writer.insert, &[&id, &AMOUNT, filling]).await?;
                    Ok(Done::Counted(None))
                })
                .await
            }
        }
    }
}

/// The same insert through the store, by `at_once` callers.
pub struct Stored {
    store: Store,
    callers: Vec<(usize, u64)>,
}

impl Stored {
    /// On the database at `url`, which [`Plain`] opened before.
    ///
    /// # Errors
    /// Of the database.
    pub fn open(url: &str, writers: usize, at_once: usize) -> Result<Self> {
        let config = StoreConfig { writers, ..StoreConfig::default() };
        // Opening blocks, and makes a runtime of its own.
        let url = url.to_owned();
        let opening = std::thread::spawn(move || Store::open_with(&url, &config));
        let store = opening.join().ok().context("the store panicked")??;
        Ok(Self { store, callers: (0..at_once).map(|name| (name, 0)).collect() })
    }

    /// Inserts for so long.
    ///
    /// # Errors
    /// Of the store.
    pub async fn run(&mut self, time: Duration) -> Result<Run> {
        let (store, filling) = (&self.store, &filling());
        drive(&mut self.callers, time, async |(name, count): &mut (usize, u64)| {
            *count += 1;
            let (id, filling) = (format!("stored-{name}-{count}"), filling.clone());
            let insert =
                store.write(move |tx| tx.execute(INSERT, &[(&id).into(), AMOUNT.into(), (&filling).into()]).map(drop));
            insert.await.map_err(|error: StoreError| error)?;
            Ok(Done::Counted(None))
        })
        .await
    }
}

/// Waits for all of them at once.
///
/// # Errors
/// The first error.
pub(super) async fn all<T>(work: impl IntoIterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    try_join_all(work).await
}

#[cfg(test)]
mod tests {
    use mpp_server::testing::Database;

    use super::*;

    #[tokio::test]
    async fn both_ways_insert_what_they_count() {
        let database = Database::sqlite().unwrap();
        let store = Stored::open(&database.url, 1, 1).unwrap();
        drop(store);
        let mut plain = Plain::open(&database.url, 1).await.unwrap();
        let mut stored = Stored::open(&database.url, 1, 4).unwrap();
        let time = Duration::from_millis(50);
        let counted = plain.run(time).await.unwrap().latencies.len() + stored.run(time).await.unwrap().latencies.len();
        let Plain::Sqlite(connection, _) = plain else { panic!("another database") };
        let there: i64 = connection.query_row("SELECT COUNT(*) FROM bench_inserts", [], |row| row.get(0)).unwrap();
        assert_eq!(there, i64::try_from(counted).unwrap());
    }
}
