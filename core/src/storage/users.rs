//! Users and the one that is connected; settings; applied messages.

use rusqlite::params;

use super::error::StoreError;
use super::records::UserKey;
use super::seal::{Place, hmac_sha256};
use super::tx::{KeyState, Tx};
use crate::error::WalletError;

/// How many ids of applied messages are remembered.
const MESSAGES_KEPT: i64 = 500;

impl Tx<'_> {
    /// Finds or makes the row of `user` and marks it as the connected one.
    ///
    /// Works without the data key: the row is found by its tag. The id itself is then sealed by the
    /// next `connect_user` that has the key, so repeat the call after `Store::renew`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn connect_user(&self, user: &str) -> Result<UserKey, WalletError> {
        let tag = hmac_sha256(&self.instance, user.as_bytes())?;
        self.execute("INSERT INTO user (tag) VALUES (?1) ON CONFLICT (tag) DO NOTHING", params![tag])?;
        let (id, sealed) = self
            .first("SELECT id, name IS NOT NULL FROM user WHERE tag = ?1", params![tag], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
            })?
            .ok_or(StoreError::Bug("user_row"))?;
        if !sealed && matches!(self.key, KeyState::Open(_)) {
            let name = self.seal(place(&id.to_string()), user.as_bytes())?;
            self.execute("UPDATE user SET name = ?2 WHERE id = ?1", params![id, name])?;
        }
        self.execute("UPDATE store SET connected = ?1 WHERE connected IS NOT ?1", params![id])?;
        Ok(UserKey(id))
    }

    /// Nobody is connected any more; everything of the user stays.
    ///
    /// # Errors
    /// Those of the store.
    pub fn disconnect(&self) -> Result<(), WalletError> {
        self.execute("UPDATE store SET connected = NULL WHERE connected IS NOT NULL", [])?;
        Ok(())
    }

    /// The connected user and their id. `None` also if the id was lost with an old key: connect
    /// again.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] while the id cannot be opened; those of the store.
    pub fn connected(&self) -> Result<Option<(UserKey, String)>, WalletError> {
        let sql = "SELECT user.id, user.name FROM store JOIN user ON user.id = store.connected";
        let row = self.first(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))?;
        let Some((id, Some(sealed))) = row else { return Ok(None) };
        let name = self.open(place(&id.to_string()), &sealed)?;
        let name = std::str::from_utf8(&name).map_err(|_| StoreError::Corrupt("a user id is not text"))?;
        Ok(Some((UserKey(id), name.to_owned())))
    }

    /// The connected user, without the id: needs no key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn connected_key(&self) -> Result<Option<UserKey>, WalletError> {
        let connected = self.first("SELECT connected FROM store", [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(connected.flatten().map(UserKey))
    }

    /// A setting: key set, remote configuration, clock offset. Not sealed; no secrets here.
    ///
    /// # Errors
    /// Those of the store.
    pub fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, WalletError> {
        Ok(self.first("SELECT value FROM setting WHERE key = ?1", params![key], |row| row.get(0))?)
    }

    /// Replaces a setting.
    ///
    /// # Errors
    /// Those of the store.
    pub fn set_setting(&self, key: &str, value: &[u8]) -> Result<(), WalletError> {
        let sql = "INSERT INTO setting (key, value) VALUES (?1, ?2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value";
        self.execute(sql, params![key, value])?;
        Ok(())
    }

    /// Was this message of the inbox applied? The last 500 are remembered.
    ///
    /// # Errors
    /// Those of the store.
    pub fn message_applied(&self, id: &str) -> Result<bool, WalletError> {
        Ok(self.first("SELECT 1 FROM message WHERE id = ?1", params![id], |_| Ok(()))?.is_some())
    }

    /// Remembers the message; in the same commit as what it changed.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mark_message(&self, id: &str) -> Result<(), WalletError> {
        self.execute("INSERT INTO message (id) VALUES (?1) ON CONFLICT (id) DO NOTHING", params![id])?;
        let sql = "DELETE FROM message WHERE seq <= (SELECT max(seq) FROM message) - ?1";
        self.execute(sql, params![MESSAGES_KEPT])?;
        Ok(())
    }
}

fn place(row: &str) -> Place<'_> {
    Place { table: "user", row, column: "name" }
}
