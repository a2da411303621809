//! Everything the issuer must remember: tokens, issued credentials, and every cryptogram ever seen.
//!
//! One SQLite database, in memory or in a file. It holds no key except the test seed.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Decision, DeclineReason, IssuerError, Pan};

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS seed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seed BLOB NOT NULL CHECK (length(seed) = 32)
) STRICT;
CREATE TABLE IF NOT EXISTS token (
    reference TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    pan TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS credential (
    token TEXT NOT NULL REFERENCES token (reference),
    atc INTEGER NOT NULL CHECK (atc BETWEEN 0 AND 65535),
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (token, atc)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mag_stripe (
    token TEXT PRIMARY KEY REFERENCES token (reference)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cryptogram (
    id INTEGER PRIMARY KEY,
    seen_at_ms INTEGER NOT NULL,
    token TEXT REFERENCES token (reference),
    atc INTEGER NOT NULL,
    cryptogram BLOB NOT NULL CHECK (length(cryptogram) = 8),
    unpredictable_number BLOB NOT NULL CHECK (length(unpredictable_number) = 4),
    amount_minor INTEGER,
    currency INTEGER,
    reference BLOB CHECK (length(reference) = 8),
    verified INTEGER NOT NULL,
    decision TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS cryptogram_by_token ON cryptogram (token, atc);
";

/// The issuer's memory.
pub struct Ledger {
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

/// A token that this issuer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Named by the token service.
    pub reference: String,
    /// Whose it is.
    pub user: String,
    /// Its number.
    pub pan: Pan,
}

/// One cryptogram that reached the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// When, in milliseconds since 1970.
    pub seen_at_ms: i64,
    /// The token; `None` if the number is unknown.
    pub token: Option<String>,
    /// Tag 9F36.
    pub atc: u16,
    /// Tag 9F26; of a payment by tracks the unpredictable number and the checksum's digits.
    pub cryptogram: [u8; 8],
    /// Tag 9F37 (or 9F6A).
    pub unpredictable_number: [u8; 4],
    /// Tag 9F02.
    pub amount_minor: Option<u64>,
    /// Tag 5F2A.
    pub currency: Option<u16>,
    /// The app's reference.
    pub reference: Option<[u8; 8]>,
    /// It was the card's.
    pub verified: bool,
    /// What was answered.
    pub decision: Decision,
}

/// A promise of the wallet or of the terminal that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The token.
    pub token: String,
    /// The counter.
    pub atc: u16,
    /// How.
    pub kind: ViolationKind,
}

/// How a counter was seen twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// The card made two different good cryptograms with one counter: a double spend.
    TwoCryptograms,
    /// The same good cryptogram arrived more than once: a replay on the way.
    Replayed,
}

/// What happens to a good cryptogram, decided together with writing it down.
pub(crate) struct Fresh<'a> {
    pub(crate) token: &'a str,
    pub(crate) now_ms: i64,
}

impl Ledger {
    /// In memory.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn in_memory() -> Result<Self, IssuerError> {
        Ok(Self::from_connection(Connection::open_in_memory()?)?)
    }

    /// In a file, which is made if it does not exist.
    ///
    /// # Errors
    /// [`IssuerError::LedgerFile`].
    pub fn open(path: &Path) -> Result<Self, IssuerError> {
        let opened = Connection::open(path).and_then(Self::from_connection);
        opened.map_err(|error| IssuerError::LedgerFile { path: path.to_owned(), reason: error.to_string() })
    }

    fn from_connection(connection: Connection) -> Result<Self, rusqlite::Error> {
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// The seed in the file, or `offered` if the file has none yet.
    pub(crate) fn seed_or(&self, offered: [u8; 32]) -> Result<[u8; 32], IssuerError> {
        let connection = self.lock();
        connection.execute("INSERT OR IGNORE INTO seed (id, seed) VALUES (1, ?1)", [offered])?;
        Ok(connection.query_row("SELECT seed FROM seed", [], |row| row.get(0))?)
    }

    /// Notes a new token. False if the reference or the number is taken.
    pub(crate) fn add_token(&self, token: &TokenRecord) -> Result<bool, IssuerError> {
        let added = self.lock().execute(
            "INSERT OR IGNORE INTO token (reference, user, pan) VALUES (?1, ?2, ?3)",
            params![token.reference, token.user, token.pan.expose()],
        )?;
        Ok(added == 1)
    }

    /// The token `reference`.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn token(&self, reference: &str) -> Result<Option<TokenRecord>, IssuerError> {
        self.find_token("SELECT reference, user, pan FROM token WHERE reference = ?1", reference)
    }

    /// The token with this number.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn token_by_pan(&self, pan: &Pan) -> Result<Option<TokenRecord>, IssuerError> {
        self.find_token("SELECT reference, user, pan FROM token WHERE pan = ?1", pan.expose())
    }

    fn find_token(&self, sql: &str, key: &str) -> Result<Option<TokenRecord>, IssuerError> {
        let row = self
            .lock()
            .query_row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))
            .optional()?;
        row.map(|(reference, user, pan)| Ok(TokenRecord { reference, user, pan: Pan::parse(&pan)? })).transpose()
    }

    /// Notes credentials, all or none. The same call repeated changes nothing; a counter that was
    /// issued with another expiry is refused.
    pub(crate) fn add_credentials(&self, token: &str, atcs: &[u16], expires_at_ms: i64) -> Result<(), IssuerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for &atc in atcs {
            transaction.execute(
                "INSERT OR IGNORE INTO credential (token, atc, expires_at_ms) VALUES (?1, ?2, ?3)",
                params![token, atc, expires_at_ms],
            )?;
            let issued: i64 = transaction.query_row(
                "SELECT expires_at_ms FROM credential WHERE token = ?1 AND atc = ?2",
                params![token, atc],
                |row| row.get(0),
            )?;
            if issued != expires_at_ms {
                return Err(IssuerError::CounterIssued { atc });
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Notes whether the token's card has mag-stripe mode.
    pub(crate) fn set_mag_stripe(&self, token: &str, has_mode: bool) -> Result<(), IssuerError> {
        let sql = match has_mode {
            true => "INSERT OR IGNORE INTO mag_stripe (token) VALUES (?1)",
            false => "DELETE FROM mag_stripe WHERE token = ?1",
        };
        self.lock().execute(sql, [token])?;
        Ok(())
    }

    /// The token's card has mag-stripe mode.
    pub(crate) fn has_mag_stripe(&self, token: &str) -> Result<bool, IssuerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM mag_stripe WHERE token = ?1)";
        Ok(self.lock().query_row(sql, [token], |row| row.get(0))?)
    }

    /// The issued counters of the token whose decimal digits end in these; first those that were never
    /// seen with a good cryptogram, then by their size.
    pub(crate) fn counters_ending_in(&self, token: &str, digits: &str) -> Result<Vec<u16>, IssuerError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT atc FROM credential WHERE token = ?1 AND substr('00000' || atc, -length(?2)) = ?2
             ORDER BY EXISTS (SELECT 1 FROM cryptogram
                              WHERE cryptogram.token = ?1 AND cryptogram.atc = credential.atc AND verified), atc",
        )?;
        let counters = statement.query_map(params![token, digits], |row| row.get(0))?;
        Ok(counters.collect::<Result<_, _>>()?)
    }

    /// How many credentials the token was ever given.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn credentials_issued(&self, token: &str) -> Result<u32, IssuerError> {
        Ok(self.lock().query_row("SELECT count(*) FROM credential WHERE token = ?1", [token], |row| row.get(0))?)
    }

    /// Writes `entry` down with the decision that its counter allows, as one step: of two requests
    /// with one counter, exactly one finds it fresh. Without `fresh` the entry's own decision stands.
    pub(crate) fn record(&self, mut entry: LedgerEntry, fresh: Option<Fresh<'_>>) -> Result<Decision, IssuerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        if let Some(fresh) = fresh
            && let Some(reason) = counter_problem(&transaction, &fresh, entry.atc)?
        {
            entry.decision = Decision::Declined(reason);
        }
        insert(&transaction, &entry)?;
        transaction.commit()?;
        Ok(entry.decision)
    }

    /// Every cryptogram ever seen, oldest first.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn entries(&self) -> Result<Vec<LedgerEntry>, IssuerError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT seen_at_ms, token, atc, cryptogram, unpredictable_number, amount_minor, currency, reference,
                    verified, decision
             FROM cryptogram ORDER BY id",
        )?;
        let entries = statement.query_map([], read_entry)?.collect::<Result<_, _>>()?;
        Ok(entries)
    }

    /// Every counter that was seen twice with good cryptograms. Forged ones prove nothing against the
    /// card and are left out; find them among [`Self::entries`].
    ///
    /// # Errors
    /// [`IssuerError::Ledger`].
    pub fn violations(&self) -> Result<Vec<Violation>, IssuerError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT token, atc, count(DISTINCT cryptogram) FROM cryptogram
             WHERE verified AND token IS NOT NULL GROUP BY token, atc HAVING count(*) > 1 ORDER BY token, atc",
        )?;
        let rows = statement.query_map([], |row| {
            let kind = match row.get::<_, u32>(2)? {
                1 => ViolationKind::Replayed,
                _ => ViolationKind::TwoCryptograms,
            };
            Ok(Violation { token: row.get(0)?, atc: row.get(1)?, kind })
        })?;
        let violations = rows.collect::<Result<_, _>>()?;
        Ok(violations)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Every write is one SQL transaction, so a panicking holder leaves nothing half done.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counter_problem(
    connection: &Connection,
    fresh: &Fresh<'_>,
    atc: u16,
) -> Result<Option<DeclineReason>, rusqlite::Error> {
    let expiry: Option<i64> = connection
        .query_row(
            "SELECT expires_at_ms FROM credential WHERE token = ?1 AND atc = ?2",
            params![fresh.token, atc],
            |row| row.get(0),
        )
        .optional()?;
    let used: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM cryptogram WHERE token = ?1 AND atc = ?2 AND verified)",
        params![fresh.token, atc],
        |row| row.get(0),
    )?;
    Ok(match expiry {
        None => Some(DeclineReason::CounterNotIssued),
        Some(_) if used => Some(DeclineReason::CounterUsed),
        Some(expiry) if expiry <= fresh.now_ms => Some(DeclineReason::CredentialExpired),
        Some(_) => None,
    })
}

fn insert(connection: &Connection, entry: &LedgerEntry) -> Result<(), IssuerError> {
    let decision = serde_json::to_string(&entry.decision).map_err(|_| IssuerError::Ledger("decision".to_owned()))?;
    connection.execute(
        "INSERT INTO cryptogram (seen_at_ms, token, atc, cryptogram, unpredictable_number, amount_minor, currency,
                                 reference, verified, decision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            entry.seen_at_ms,
            entry.token,
            entry.atc,
            entry.cryptogram,
            entry.unpredictable_number,
            entry.amount_minor.map(u64::cast_signed),
            entry.currency,
            entry.reference,
            entry.verified,
            decision
        ],
    )?;
    Ok(())
}

fn read_entry(row: &Row<'_>) -> Result<LedgerEntry, rusqlite::Error> {
    let decision: String = row.get(9)?;
    let decision = serde_json::from_str(&decision)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(9, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(LedgerEntry {
        seen_at_ms: row.get(0)?,
        token: row.get(1)?,
        atc: row.get(2)?,
        cryptogram: row.get(3)?,
        unpredictable_number: row.get(4)?,
        amount_minor: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        currency: row.get(6)?,
        reference: row.get(7)?,
        verified: row.get(8)?,
        decision,
    })
}
