//! SQLite's own promises on the faulty disk: a check of the disk more than of SQLite.

use std::path::Path;

use nfcwallet_faults::{Disk, Fault, FaultKind};
use rusqlite::{Connection, ErrorCode};

fn open(folder: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(folder.join("a.db"))?;
    database.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 8;
         CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, y BLOB);",
    )?;
    Ok(database)
}

fn rows(database: &Connection) -> i64 {
    database.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap_or_default()
}

/// Inserts until something fails; how many commits were confirmed.
fn fill(database: &Connection, limit: i64) -> i64 {
    let start = rows(database);
    (0..limit)
        .take_while(|n| database.execute("INSERT INTO t VALUES (?1, zeroblob(900))", [start + n]).is_ok())
        .fold(0, |count, _| count + 1)
}

#[test]
fn no_confirmed_commit_is_lost_by_a_power_cut_and_no_half_one_stays() {
    let disk = Disk::install().unwrap();
    for seed in 0..1_000 {
        let directory = tempfile::tempdir().unwrap();
        let folder = disk.folder(directory.path());
        folder.cut_power_at(1 + seed % 97, seed);
        let confirmed = open(directory.path()).map_or(0, |database| fill(&database, 40));
        folder.cut_power(seed);
        folder.restore_power();
        let database = open(directory.path()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = rows(&database);
        assert!(found == confirmed || found == confirmed + 1, "seed {seed}: {confirmed} confirmed, {found} found");
        let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "seed {seed}");
    }
}

/// The disk does lose things: without syncs, confirmed commits go.
#[test]
fn without_syncs_a_power_cut_loses_commits() {
    let disk = Disk::install().unwrap();
    let lossy = (0..50).filter(|seed| {
        let directory = tempfile::tempdir().unwrap();
        let folder = disk.folder(directory.path());
        let database = open(directory.path()).unwrap();
        database.execute_batch("PRAGMA synchronous = OFF").unwrap();
        assert_eq!(fill(&database, 5), 5);
        folder.cut_power(*seed);
        drop(database);
        folder.restore_power();
        open(directory.path()).map_or(true, |database| rows(&database) < 5)
    });
    assert!(lossy.count() > 10);
}

#[test]
fn a_commit_in_the_log_is_one_sync() {
    let disk = Disk::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let folder = disk.folder(directory.path());
    let database = open(directory.path()).unwrap();
    fill(&database, 1);
    let before = folder.counts();
    fill(&database, 1);
    assert_eq!(folder.counts().syncs - before.syncs, 1);
}

#[test]
fn faults_have_their_own_codes_and_pass() {
    let disk = Disk::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let folder = disk.folder(directory.path());
    let database = open(directory.path()).unwrap();
    fill(&database, 3);
    for (kind, code) in [
        (FaultKind::Full, ErrorCode::DiskFull),
        (FaultKind::Io, ErrorCode::SystemIoFailure),
        (FaultKind::ReadOnly, ErrorCode::ReadOnly),
    ] {
        folder.fail(Fault { kind, from: 1, count: 1 });
        let error = database.execute("INSERT INTO t VALUES (99, NULL)", []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(code));
        assert_eq!(rows(&database), 3);
    }
    assert_eq!(fill(&database, 1), 1);
}

/// The disk takes only the folders that were named to it: others keep shared memory, and so their log.
#[test]
fn a_database_elsewhere_stays_with_the_file_system() {
    Disk::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let database = Connection::open(directory.path().join("elsewhere.db")).unwrap();
    let log: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    assert_eq!(log, "wal");
    database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
    assert_eq!(rows(&database), 1);
}
