//! SQLite: one thread writes, several read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::migrate::migrate;
use super::queue::{Job, Queue, Wish};
use super::tx::{Done, Link, Statement, Tx};
use super::value::{Cell, Row, Value};

/// Another process may hold the file for this long. It is looked at after each pause: SQLite's own pauses
/// grow to a tenth of a second, and a process that pauses so long finds the file held again by one that
/// writes all the time.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Jobs that share one commit, and how long they may take together. The first of them waits for the last.
const GROUP: usize = 128;
const GROUP_TIME: Duration = Duration::from_millis(20);
/// Pages in the log before they are moved into the database: 16 MB, so that a page that changes often is
/// moved once for many commits.
const CHECKPOINT_PAGES: i64 = 4096;
/// In KiB, negative as SQLite wants it.
const CACHE_KIB: i64 = -65_536;

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    /// Gone with its connection, so there is only one.
    Memory,
}

/// A connection with its statements.
pub(super) struct Session {
    connection: Connection,
    file: OpenedFile,
    /// Statements as SQLite wants them.
    texts: HashMap<&'static str, Cow<'static, str>>,
}

impl Session {
    /// Opens `place` for writing and makes its schema.
    pub(super) fn writer(place: &Place) -> Result<Self, StoreError> {
        let mut session = Self::open(place)?;
        session.transaction("BEGIN IMMEDIATE", |session| migrate(session))?;
        Ok(session)
    }

    /// Opens `place` for reading.
    pub(super) fn reader(place: &Place) -> Result<Self, StoreError> {
        let session = Self::open(place)?;
        session.connection.pragma_update(None, "query_only", true)?;
        Ok(session)
    }

    fn open(place: &Place) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let (mut connection, file) = match place {
            Place::File(path) => {
                make_private(path);
                (Connection::open_with_flags(path, flags)?, OpenedFile::at(path))
            }
            Place::Memory => (Connection::open_in_memory_with_flags(flags)?, OpenedFile::default()),
        };
        connection.busy_handler(Some(wait_for_others))?;
        let journal = write_ahead(&connection)?;
        if *place != Place::Memory && journal != "wal" {
            return Err(StoreError::Setup { reason: "the file cannot have a write-ahead log" });
        }
        for (name, value) in [("synchronous", 2), ("foreign_keys", 1), ("wal_autocheckpoint", CHECKPOINT_PAGES)] {
            connection.pragma_update(None, name, value)?;
            let set: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
            if set != value {
                return Err(StoreError::Setup { reason: name });
            }
        }
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Self { connection, file, texts: HashMap::new() })
    }

    fn transaction<T>(
        &mut self,
        begin: &str,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.batch(begin)?;
        let done = work(self).and_then(|done| self.batch("COMMIT").map(|()| done));
        if done.is_err() {
            self.roll_back();
        }
        done
    }

    fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.raw_execute()?;
        Ok(())
    }

    /// Ends a transaction that failed; SQLite may have ended it already.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.control("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
    }

    fn run_one(&mut self, statement: &Statement<'_>) -> Result<Done, StoreError> {
        let text = self.texts.entry(statement.sql).or_insert_with(|| translate(statement.sql));
        let mut prepared = self.connection.prepare_cached(text)?;
        for (number, value) in statement.values.iter().enumerate() {
            match value {
                Value::Text(text) => prepared.raw_bind_parameter(number + 1, text)?,
                other => prepared.raw_bind_parameter(number + 1, other.integer()?)?,
            }
        }
        let columns = prepared.column_count();
        if columns == 0 {
            return Ok(Done { rows: Vec::new(), changed: prepared.raw_execute()? as u64 });
        }
        let mut found = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let cells: Result<_, StoreError> = (0..columns).map(|column| cell(row.get_ref(column)?)).collect();
            rows.push(Row::new(cells?));
        }
        let changed = rows.len() as u64;
        Ok(Done { rows, changed })
    }
}

impl Link for Session {
    fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Done>, StoreError> {
        statements.iter().map(|statement| self.run_one(statement)).collect()
    }

    fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

/// What tells a file from another of its name: a database that is moved, deleted or restored while it is open
/// goes on under its old connections, for nobody to find.
#[derive(Default)]
struct OpenedFile {
    path: PathBuf,
    /// Device and number, where the system has them.
    identity: Option<(u64, u64)>,
}

impl OpenedFile {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }

    fn check(&self) -> Result<(), StoreError> {
        let is_there = self.identity.is_none() || self.identity == identity(&self.path);
        if is_there { Ok(()) } else { Err(StoreError::Gone) }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<(u64, u64)> {
    None
}

/// Makes the file, if it is not there, for its owner alone; SQLite gives its log the same rights. What goes
/// wrong here goes wrong again when SQLite opens it, and is told then.
fn make_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// The journal's mode, after asking for a write-ahead log. While a server beside this one gives a new file
/// its log, SQLite says busy at once and asks no handler.
fn write_ahead(connection: &Connection) -> Result<String, StoreError> {
    let began = Instant::now();
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match mode.map_err(StoreError::from) {
            Err(StoreError::Busy) if began.elapsed() < BUSY_LIMIT => std::thread::sleep(BUSY_PAUSE),
            other => return other,
        }
    }
}

/// Whether to look again, after so many looks in vain.
fn wait_for_others(looks: i32) -> bool {
    if BUSY_PAUSE * u32::try_from(looks).unwrap_or(u32::MAX) >= BUSY_LIMIT {
        return false;
    }
    std::thread::sleep(BUSY_PAUSE);
    true
}

fn cell(value: ValueRef<'_>) -> Result<Cell, StoreError> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Int(number)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| StoreError::Column { expected: "text" })?;
            Ok(Cell::Text(text.to_owned()))
        }
        ValueRef::Real(_) | ValueRef::Blob(_) => Err(StoreError::Column { expected: "text or a number" }),
    }
}

/// `$1` is a name in SQLite, and names are numbered as they come; `?1` is a number. The writer is alone
/// from its first statement, so there is nothing to hold `FOR UPDATE`.
fn translate(sql: &'static str) -> Cow<'static, str> {
    Cow::Owned(sql.trim_end_matches(" FOR UPDATE").replace('$', "?"))
}

/// Serves writes until the queue is closed and empty.
pub(super) fn write_all(mut session: Session, queue: &Queue) {
    while let Some(first) = queue.take() {
        commit_group(&mut session, queue, first);
    }
}

/// Serves reads until the queue is closed and empty.
pub(super) fn read_all(mut session: Session, queue: &Queue) {
    while let Some(mut job) = queue.take() {
        let failure = match session.file.check().and_then(|()| session.control("BEGIN")) {
            Ok(()) => {
                let mut tx = Tx::new(&mut session);
                job.run(&mut tx);
                tx.into_failure()
            }
            Err(error) => Some(error),
        };
        session.roll_back();
        job.answer(failure.map_or(Ok(()), Err));
    }
}

type Ended = (Box<dyn Job>, Result<(), StoreError>);

/// Takes the jobs that wait, up to [`GROUP`], into one transaction: they share its sync, which is most of
/// what a commit costs. Each job has a savepoint, so that one that fails is undone alone. All hear their
/// answers after the commit, also those that were undone: they may have seen what others had written.
fn commit_group(session: &mut Session, queue: &Queue, first: Box<dyn Job>) {
    if let Err(error) = session.control("BEGIN IMMEDIATE") {
        return first.answer(Err(error));
    }
    let began = Instant::now();
    let mut ended = Vec::new();
    let mut next = Some(first);
    while let Some(mut job) = next {
        let mut outcome = run_in_savepoint(session, &mut *job);
        // A job may hope that its key is new, and look in its second run.
        if outcome == Err(StoreError::Conflict) {
            outcome = run_in_savepoint(session, &mut *job);
        }
        ended.push((job, outcome));
        if session.connection.is_autocommit() {
            return all_lost(ended);
        }
        let is_full = ended.len() >= GROUP || began.elapsed() >= GROUP_TIME;
        next = if is_full { None } else { queue.try_take() };
    }
    // What is written to a file that was taken away would be lost with it.
    match session.file.check().and_then(|()| session.control("COMMIT")) {
        Ok(()) => ended.into_iter().for_each(|(job, outcome)| job.answer(outcome)),
        Err(error) => {
            // A commit that found the file held by others, or gone, has not begun. After any other failure
            // the log may hold it, and a start after a power cut may find it there.
            let error = match error {
                StoreError::Busy | StoreError::Gone => error,
                _ => StoreError::Unknown,
            };
            session.roll_back();
            ended.into_iter().for_each(|(job, _)| job.answer(Err(error.clone())));
        }
    }
}

fn run_in_savepoint(session: &mut Session, job: &mut dyn Job) -> Result<(), StoreError> {
    session.control("SAVEPOINT job")?;
    let mut tx = Tx::new(session);
    let wish = job.run(&mut tx);
    let failure = tx.into_failure();
    if session.connection.is_autocommit() {
        return Err(failure.unwrap_or(StoreError::Disk));
    }
    if wish == Wish::RollBack || failure.is_some() {
        session.control("ROLLBACK TO job")?;
    }
    session.control("RELEASE job")?;
    failure.map_or(Ok(()), Err)
}

/// SQLite rolls the whole transaction back by itself when the disk is full or fails.
fn all_lost(mut ended: Vec<Ended>) {
    let reason = ended.pop().map(|(job, outcome)| {
        let reason = outcome.err().unwrap_or(StoreError::Disk);
        job.answer(Err(reason.clone()));
        reason
    });
    for (job, _) in ended {
        job.answer(Err(reason.clone().unwrap_or(StoreError::Disk)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_waited_for_and_not_for_ever() {
        assert!(wait_for_others(0) && wait_for_others(9_999));
        assert!(!wait_for_others(10_000) && !wait_for_others(i32::MAX));
    }
}
