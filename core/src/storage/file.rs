//! The files: directory, lock, database, migrations, quarantine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::error::StoreError;
use crate::host::Entropy;

const DATABASE: &str = "wallet.db";
const LOCK: &str = "wallet.lock";

/// Numbered, forward only. The number of a file is the `user_version` it leads to.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_initial.sql")];

/// What all migrations together make, as SQLite prints it.
const SCHEMA: &str = include_str!("schema.sql");

/// The newest schema that this library knows.
pub(super) const KNOWN_VERSION: u32 = MIGRATIONS.len() as u32;

/// Another program on the file (a backup tool) may hold it for this long before the store gives up.
const BUSY_LIMIT: Duration = Duration::from_millis(200);

/// The lock file, held. Dropping it lets the next wallet in.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
    directory: PathBuf,
}

impl DirectoryLock {
    /// Creates the directory if needed and locks it; never waits.
    pub(super) fn take(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(directory.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, directory: directory.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Opens the database, or makes it. A damaged one is set aside before the error returns; every
    /// other error leaves it as it was.
    pub(super) fn open_database(&self, entropy: &dyn Entropy) -> Result<Connection, StoreError> {
        let path = self.directory.join(DATABASE);
        refuse_newer_header(&path)?;
        let opened = connect(&path, entropy);
        if let Err(StoreError::Corrupt(_)) = opened {
            self.quarantine()?;
        }
        opened
    }

    /// Renames the damaged files to the first free `wallet.db.corrupt-N`. The database must be
    /// closed.
    ///
    /// The log goes first: a database without its log is at worst older, which the anchor shows; a
    /// log without its database would be deleted by SQLite.
    pub(super) fn quarantine(&self) -> Result<(), StoreError> {
        let path = |name: &str, suffix: &str| self.directory.join(format!("{name}{suffix}"));
        let free = |name: &String| ["", "-wal", "-shm"].iter().all(|suffix| !path(name, suffix).exists());
        let name = (1u32..)
            .map(|number| format!("{DATABASE}.corrupt-{number}"))
            .find(free)
            .ok_or(StoreError::Unusable("too many damaged files"))?;
        for suffix in ["-wal", "-shm", ""] {
            match fs::rename(path(DATABASE, suffix), path(&name, suffix)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Closes without moving the log into the database, so that the bytes stay as they were found.
pub(super) fn close_untouched(connection: Connection) {
    // A connection that cannot be configured is closed all the same.
    drop(connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true));
    drop(connection);
}

/// Refuses a newer schema by the file's header, before SQLite touches anything (SQLite file format,
/// 1.3: magic at 0, `user_version` at 60). A version that still is in the log is seen by `connect`.
fn refuse_newer_header(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; 64];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {}
        // No file, or too short to have a header: SQLite decides.
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    match (header.starts_with(b"SQLite format 3\0"), header.last_chunk::<4>()) {
        (true, Some(version)) => refuse_newer(u32::from_be_bytes(*version)),
        _ => Ok(()),
    }
}

fn refuse_newer(found: u32) -> Result<(), StoreError> {
    match found {
        0..=KNOWN_VERSION => Ok(()),
        _ => Err(StoreError::TooNew { found, known: KNOWN_VERSION }),
    }
}

fn connect(path: &Path, entropy: &dyn Entropy) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(path, flags)?;
    match prepare(&mut connection, entropy) {
        Ok(()) => Ok(connection),
        Err(error) => {
            close_untouched(connection);
            Err(error)
        }
    }
}

fn prepare(connection: &mut Connection, entropy: &dyn Entropy) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_LIMIT)?;
    // SQLite opens a file without write permission all the same.
    if connection.is_readonly("main")? {
        return Err(StoreError::Unusable("read-only"));
    }
    // One connection only: SQLite keeps the file's lock and needs no shared-memory file. Set before
    // the first read.
    pragma(connection, "locking_mode", "exclusive", "exclusive")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let version = user_version(connection)?;
    refuse_newer(version)?;
    configure(connection)?;
    migrate(connection, version, entropy)?;
    if schema_of(connection)? != SCHEMA {
        return Err(StoreError::Corrupt("the schema is not this library's"));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    // Else SQLite plans some statements anew each time a value is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Every setting is read back: a misspelt or unsupported pragma is silently ignored by SQLite.
fn configure(connection: &Connection) -> Result<(), StoreError> {
    for (name, value, read_back) in [
        ("journal_mode", "wal", "wal"),
        // FULL: a commit is on the disk before it returns, and a burnt credential stays burnt.
        ("synchronous", "full", "2"),
        ("foreign_keys", "on", "1"),
        ("secure_delete", "on", "1"),
        ("temp_store", "memory", "2"),
        // Checkpoints cost two more syncs; they are made after a tap, never by it (`Store::settle`).
        ("wal_autocheckpoint", "0", "0"),
        // Apple only: fsync there does not reach the medium.
        ("fullfsync", "on", "1"),
        ("checkpoint_fullfsync", "on", "1"),
        ("cell_size_check", "on", "1"),
        ("trusted_schema", "off", "0"),
    ] {
        pragma(connection, name, value, read_back)?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str, value: &str, read_back: &str) -> Result<(), StoreError> {
    // Some of them answer to being set, some do not.
    connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    })?;
    let text = |row: &rusqlite::Row<'_>| {
        let value: rusqlite::types::Value = row.get(0)?;
        Ok(match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            _ => String::new(),
        })
    };
    let found = match connection.pragma_query_value(None, name, text) {
        // An unknown name has no value; that says nothing against the file.
        Err(rusqlite::Error::QueryReturnedNoRows) => String::new(),
        other => other?,
    };
    if found == read_back { Ok(()) } else { Err(StoreError::Unusable("a setting of the database did not take")) }
}

fn user_version(connection: &Connection) -> Result<u32, StoreError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    u32::try_from(version).map_err(|_| StoreError::Corrupt("the schema version is negative"))
}

fn migrate(connection: &mut Connection, version: u32, entropy: &dyn Entropy) -> Result<(), StoreError> {
    if version == KNOWN_VERSION {
        return Ok(());
    }
    if version == 0 && !schema_of(connection)?.is_empty() {
        return Err(StoreError::Corrupt("tables of another program"));
    }
    let (mut instance, mut epoch) = ([0u8; 16], [0u8; 8]);
    entropy.fill(&mut instance);
    entropy.fill(&mut epoch);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (number, sql) in (1u32..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", number)?;
    }
    if version == 0 {
        transaction.execute(
            "INSERT INTO store (id, instance, epoch, generation, spent, key_lost) VALUES (1, ?1, ?2, 0, 0, 0)",
            params![instance, epoch],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

/// The schema as SQLite keeps it.
fn schema_of(connection: &Connection) -> Result<String, StoreError> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    let statements = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(statements.iter().map(|sql| format!("{sql};\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::OsEntropy;

    fn fresh() -> (tempfile::TempDir, DirectoryLock, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let connection = lock.open_database(&OsEntropy).unwrap();
        (directory, lock, connection)
    }

    #[test]
    fn the_migrations_make_the_schema_that_is_checked_in() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, &OsEntropy).unwrap();
        let made = schema_of(&connection).unwrap();
        assert_eq!(made, SCHEMA, "schema.sql must read:\n{made}");
        assert!(made.matches("CREATE TABLE").count() == made.matches("STRICT").count());
    }

    #[test]
    fn the_settings_hold_on_an_open_database() {
        let (_directory, _lock, connection) = fresh();
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        let text = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
        assert_eq!((text("journal_mode"), number("synchronous")), ("wal".to_owned(), 2));
        assert_eq!((number("foreign_keys"), number("secure_delete"), number("temp_store")), (1, 1, 2));
    }

    #[test]
    fn a_setting_that_does_not_take_is_noticed() {
        let connection = Connection::open_in_memory().unwrap();
        // A database in memory cannot have a log.
        assert!(matches!(configure(&connection), Err(StoreError::Unusable(_))));
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let (_directory, _lock, connection) = fresh();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        pragma(&connection, "max_page_count", &pages.to_string(), &pages.to_string()).unwrap();
        let sql = "INSERT INTO setting (key, value) VALUES ('k', zeroblob(100000))";
        assert!(matches!(connection.execute(sql, []).map_err(StoreError::from), Err(StoreError::Full)));
    }

    #[test]
    fn a_read_only_database_is_told_apart() {
        let (directory, lock, connection) = fresh();
        drop((connection, lock));
        let path = directory.path().join(DATABASE);
        let mut read_only = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        assert!(matches!(prepare(&mut read_only, &OsEntropy), Err(StoreError::Unusable("read-only"))));
    }

    #[test]
    fn a_newer_version_that_is_still_in_the_log_is_refused_untouched() {
        let (directory, lock, connection) = fresh();
        connection.pragma_update(None, "user_version", KNOWN_VERSION + 1).unwrap();
        close_untouched(connection);
        let bytes = |name: &str| fs::read(directory.path().join(name)).unwrap();
        let before = (bytes(DATABASE), bytes("wallet.db-wal"));
        let error = lock.open_database(&OsEntropy).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found, known } if found == known + 1));
        assert_eq!((bytes(DATABASE), bytes("wallet.db-wal")), before);
    }

    #[test]
    fn tables_of_another_program_are_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DATABASE);
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        assert!(matches!(lock.open_database(&OsEntropy), Err(StoreError::Corrupt(_))));
        assert!(directory.path().join("wallet.db.corrupt-1").exists() && !path.exists());
    }
}
