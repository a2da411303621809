//! One fresh database of each kind, for a test that must hold on all.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::postgres::{PostgresError, ThrowAwayPostgres};

/// The address of a PostgreSQL server that tests may make databases on.
const SERVER_VARIABLE: &str = "MPP_TEST_POSTGRES";

/// An empty database.
#[derive(Debug)]
pub struct Database {
    /// For [`crate::store::Store::open`].
    pub url: String,
    _folder: Option<TempDir>,
}

impl Database {
    /// An SQLite file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sqlite() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mpp-sqlite-").tempdir()?;
        let path = folder.path().join("mpp.db");
        Ok(Self { _folder: Some(folder), ..Self::at(&path) })
    }

    /// An SQLite file in a folder of the caller's.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { url: format!("sqlite:{}", path.display()), _folder: None }
    }

    /// A database on the server at `MPP_TEST_POSTGRES`, or on one that is started for this process.
    ///
    /// # Errors
    /// [`PostgresError`].
    pub fn postgres() -> Result<Self, PostgresError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = server_url()?;
        let name = format!("mpp_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        create_database(format!("{server}/postgres"), format!("CREATE DATABASE {name}"))?;
        Ok(Self { url: format!("{server}/{name}"), _folder: None })
    }
}

/// A fresh database of each kind. Without PostgreSQL only SQLite, and a line on standard error that says
/// so; in continuous integration (`CI` is set) that is an error.
///
/// # Errors
/// [`PostgresError`].
pub fn databases() -> Result<Vec<Database>, PostgresError> {
    let sqlite = Database::sqlite()?;
    match Database::postgres() {
        Ok(postgres) => Ok(vec![sqlite, postgres]),
        Err(PostgresError::Missing) if std::env::var_os("CI").is_none() => {
            eprintln!("not tested on PostgreSQL: {}", PostgresError::Missing);
            Ok(vec![sqlite])
        }
        Err(error) => Err(error),
    }
}

/// The server is started once, and ends with the process that started it.
fn server_url() -> Result<String, PostgresError> {
    static SERVER: OnceLock<Option<ThrowAwayPostgres>> = OnceLock::new();
    if let Ok(url) = std::env::var(SERVER_VARIABLE) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let mut failure = None;
    let server = SERVER.get_or_init(|| ThrowAwayPostgres::start().map_err(|error| failure = Some(error)).ok());
    match (server, failure) {
        (Some(server), _) => Ok(server.url()),
        (None, Some(error)) => Err(error),
        (None, None) => Err(PostgresError::Missing),
    }
}

/// On a thread of its own, for the caller's may belong to an asynchronous runtime.
fn create_database(server: String, sql: String) -> Result<(), PostgresError> {
    let failed = PostgresError::Failed("CREATE DATABASE");
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let work = async {
            let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            client.batch_execute(&sql).await.ok()
        };
        runtime.block_on(work)
    });
    worker.join().ok().flatten().ok_or(failed)
}
