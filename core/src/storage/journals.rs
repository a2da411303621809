//! What lets long work resume after a kill, and the history of taps.

use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::records::{ReplenishRequest, UserKey};
use super::seal::Place;
use super::tx::Tx;
use crate::error::WalletError;

impl Tx<'_> {
    /// The journal of an unfinished activation.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] without the key; those of the store.
    pub fn journal<T: DeserializeOwned>(&self, user: UserKey) -> Result<Option<T>, WalletError> {
        let sql = "SELECT entry FROM activation_journal WHERE user = ?1";
        match self.first(sql, params![user.0], |row| row.get::<_, Vec<u8>>(0))? {
            Some(sealed) => Ok(Some(self.open_json(journal_place(&user.0.to_string()), &sealed)?)),
            None => Ok(None),
        }
    }

    /// Is an activation unfinished? Needs no key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn has_journal(&self, user: UserKey) -> Result<bool, WalletError> {
        let sql = "SELECT 1 FROM activation_journal WHERE user = ?1";
        Ok(self.first(sql, params![user.0], |_| Ok(()))?.is_some())
    }

    /// Replaces the journal.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] without the key; those of the store.
    pub fn put_journal<T: Serialize>(&self, user: UserKey, entry: &T) -> Result<(), WalletError> {
        let sealed = self.seal_json(journal_place(&user.0.to_string()), entry)?;
        let sql = "INSERT INTO activation_journal (user, entry) VALUES (?1, ?2) \
                   ON CONFLICT (user) DO UPDATE SET entry = excluded.entry";
        self.execute(sql, params![user.0, sealed])?;
        Ok(())
    }

    /// The activation has ended.
    ///
    /// # Errors
    /// Those of the store.
    pub fn clear_journal(&self, user: UserKey) -> Result<(), WalletError> {
        self.execute("DELETE FROM activation_journal WHERE user = ?1", params![user.0])?;
        Ok(())
    }

    /// The replenishment that was begun and not answered.
    ///
    /// # Errors
    /// Those of the store.
    pub fn replenish_request(&self, user: UserKey) -> Result<Option<ReplenishRequest>, WalletError> {
        let sql = "SELECT request_id, count FROM replenish_request WHERE user = ?1";
        Ok(self
            .first(sql, params![user.0], |row| Ok(ReplenishRequest { request_id: row.get(0)?, count: row.get(1)? }))?)
    }

    /// Notes a replenishment before it is sent.
    ///
    /// # Errors
    /// Those of the store.
    pub fn set_replenish_request(&self, user: UserKey, request: ReplenishRequest) -> Result<(), WalletError> {
        let sql = "INSERT INTO replenish_request (user, request_id, count) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (user) DO UPDATE SET request_id = excluded.request_id, count = excluded.count";
        self.execute(sql, params![user.0, request.request_id, request.count])?;
        Ok(())
    }

    /// The replenishment was answered; in the same commit as its credentials.
    ///
    /// # Errors
    /// Those of the store.
    pub fn clear_replenish_request(&self, user: UserKey) -> Result<(), WalletError> {
        self.execute("DELETE FROM replenish_request WHERE user = ?1", params![user.0])?;
        Ok(())
    }

    /// Adds a row to the user's history, forgets what is beyond the limit, and returns the row's
    /// number; `None` if no history is kept.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] without the key; those of the store.
    pub fn append_history<T: Serialize>(&self, user: UserKey, entry: &T) -> Result<Option<i64>, WalletError> {
        let limit = i64::from(self.history_limit);
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM history WHERE user = ?1";
        let number: i64 = self.first(sql, params![user.0], |row| row.get(0))?.unwrap_or(1);
        // Numbers have no gaps, so the oldest are found without counting.
        self.execute("DELETE FROM history WHERE user = ?1 AND number <= ?2", params![user.0, number - limit])?;
        if limit == 0 {
            return Ok(None);
        }
        let sealed = self.seal_json(history_place(&history_row(user, number)), entry)?;
        let sql = "INSERT INTO history (user, number, entry) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![user.0, number, sealed])?;
        Ok(Some(number))
    }

    /// The user's history with numbers below `before` (`None`: from the newest), newest first.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] without the key; those of the store.
    pub fn history<T: DeserializeOwned>(
        &self,
        user: UserKey,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, T)>, WalletError> {
        let sql = "SELECT number, entry FROM history WHERE user = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";
        let rows = self.all(sql, params![user.0, before.unwrap_or(i64::MAX), limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let open = |(number, sealed): (i64, Vec<u8>)| -> Result<_, StoreError> {
            Ok((number, self.open_json(history_place(&history_row(user, number)), &sealed)?))
        };
        Ok(rows.into_iter().map(open).collect::<Result<_, _>>()?)
    }
}

fn history_row(user: UserKey, number: i64) -> String {
    format!("{}/{number}", user.0)
}

fn journal_place(row: &str) -> Place<'_> {
    Place { table: "activation_journal", row, column: "entry" }
}

fn history_place(row: &str) -> Place<'_> {
    Place { table: "history", row, column: "entry" }
}
