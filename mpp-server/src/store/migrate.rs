//! The schema: numbered files, forward only, the same for both databases.

use sha2::{Digest, Sha256};

use super::tx::{Link, Statement};
use super::{StoreError, Value};

struct Migration {
    version: i64,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 2] = [
    Migration { version: 1, sql: include_str!("migrations/0001_begin.sql") },
    Migration { version: 2, sql: include_str!("migrations/0002_sessions.sql") },
];

const MAKE_BOOK: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY,
    checksum TEXT NOT NULL
)";
const READ_BOOK: &str = "SELECT version, checksum FROM schema_migrations ORDER BY version";
const WRITE_BOOK: &str = "INSERT INTO schema_migrations (version, checksum) VALUES ($1, $2)";

/// Brings the schema to this program's version. `link` is inside of a transaction that nobody else can
/// be in at the same time; on an error it must be rolled back, and the database is as it was.
///
/// # Errors
/// [`StoreError::NewerSchema`] and [`StoreError::ChangedMigration`], or what the database says.
pub(super) fn migrate(link: &mut dyn Link) -> Result<(), StoreError> {
    link.batch(MAKE_BOOK)?;
    let done = link.run(&[Statement::new(READ_BOOK, &[])])?;
    let mut version = 0;
    for mut row in done.into_iter().flat_map(|done| done.rows) {
        version = row.int()?;
        check(version, &row.text()?)?;
    }
    for next in MIGRATIONS.iter().filter(|next| next.version > version) {
        link.batch(next.sql)?;
        let checksum = checksum(next.sql);
        link.run(&[Statement::new(WRITE_BOOK, &[Value::Int(next.version), Value::Text(&checksum)])])?;
    }
    Ok(())
}

fn check(version: i64, recorded: &str) -> Result<(), StoreError> {
    let known = MIGRATIONS.iter().find(|known| known.version == version);
    match known {
        Some(known) if checksum(known.sql) == recorded => Ok(()),
        Some(_) => Err(StoreError::ChangedMigration { version }),
        None => Err(StoreError::NewerSchema { found: version, known: MIGRATIONS.len() as i64 }),
    }
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(sql))
}
