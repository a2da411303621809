//! The token of a user and its profile.

use std::collections::BTreeSet;

use rusqlite::params;

use super::error::StoreError;
use super::records::{ChangeKind, PendingChange, TokenPhase, TokenRecord, UserKey};
use super::seal::Place;
use super::tx::Tx;
use crate::card::profile::Profile;
use crate::error::WalletError;
use crate::token::Suspender;

const SUSPENDERS: [(Suspender, i64); 3] = [(Suspender::User, 1), (Suspender::Issuer, 2), (Suspender::Scheme, 4)];

impl Tx<'_> {
    /// The token of this user. Needs no key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn token(&self, user: UserKey) -> Result<Option<TokenRecord>, WalletError> {
        let sql = "SELECT reference, phase, suspended_by, pending_kind, pending_request FROM token WHERE user = ?1";
        let row = self.first(sql, params![user.0], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Option<i64>>(3)?,
                row.get::<_, Option<[u8; 16]>>(4)?,
            ))
        })?;
        let Some((reference, phase, suspended_by, kind, request_id)) = row else { return Ok(None) };
        let phase = TokenPhase::ALL.into_iter().find(|known| known.number() == phase);
        let kind = kind.map(|number| ChangeKind::ALL.into_iter().find(|known| known.number() == number));
        let pending = match (kind, request_id) {
            (None, None) => None,
            (Some(Some(kind)), Some(request_id)) => Some(PendingChange { kind, request_id }),
            _ => return Err(StoreError::Corrupt("a pending change is half there").into()),
        };
        let phase = phase.ok_or(StoreError::Corrupt("a token phase is unknown"))?;
        Ok(Some(TokenRecord { reference, phase, suspended_by: from_bits(suspended_by), pending }))
    }

    /// The card of this user.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`] without the key; those of the store.
    pub fn profile(&self, user: UserKey) -> Result<Option<Profile>, WalletError> {
        let sql = "SELECT reference, profile FROM token WHERE user = ?1";
        let row = self.first(sql, params![user.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        match row {
            Some((reference, sealed)) => Ok(Some(self.open_json(place(&reference), &sealed)?)),
            None => Ok(None),
        }
    }

    /// Stores a token, in place of the user's former one, whose credentials go with it. Guarded
    /// writes only.
    ///
    /// # Errors
    /// [`WalletError::Protocol`] if the reference is another user's; [`WalletError::KeyStore`] without
    /// the key; those of the store.
    pub fn put_token(&self, user: UserKey, token: &TokenRecord, profile: &Profile) -> Result<(), WalletError> {
        self.require_guard()?;
        self.remove_token(user)?;
        let sql = "SELECT 1 FROM token WHERE reference = ?1";
        if self.first(sql, params![token.reference], |_| Ok(()))?.is_some() {
            return Err(StoreError::ForeignReference.into());
        }
        let sealed = self.seal_json(place(&token.reference), profile)?;
        let sql = "INSERT INTO token (user, reference, phase, suspended_by, pending_kind, pending_request, profile) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (phase, bits) = (token.phase.number(), to_bits(&token.suspended_by));
        let (kind, request) = split(token.pending);
        self.execute(sql, params![user.0, token.reference, phase, bits, kind, request, sealed])?;
        Ok(())
    }

    /// Replaces the card, for example after a message of the service.
    ///
    /// # Errors
    /// [`WalletError::NoToken`]; [`WalletError::KeyStore`] without the key; those of the store.
    pub fn set_profile(&self, user: UserKey, profile: &Profile) -> Result<(), WalletError> {
        let reference = self.reference(user)?.ok_or(StoreError::NoToken)?;
        let sealed = self.seal_json(place(&reference), profile)?;
        let changed = self.execute("UPDATE token SET profile = ?2 WHERE user = ?1", params![user.0, sealed])?;
        one(changed)
    }

    /// Moves the token on.
    ///
    /// # Errors
    /// [`WalletError::NoToken`]; those of the store.
    pub fn set_token_phase(&self, user: UserKey, phase: TokenPhase) -> Result<(), WalletError> {
        one(self.execute("UPDATE token SET phase = ?2 WHERE user = ?1", params![user.0, phase.number()])?)
    }

    /// Replaces who suspends the token.
    ///
    /// Not confined to guarded writes, so that a lock takes hold while the host's key store is
    /// locked; use one where it is not.
    ///
    /// # Errors
    /// [`WalletError::NoToken`]; those of the store.
    pub fn set_suspensions(&self, user: UserKey, suspended_by: &BTreeSet<Suspender>) -> Result<(), WalletError> {
        let bits = to_bits(suspended_by);
        one(self.execute("UPDATE token SET suspended_by = ?2 WHERE user = ?1", params![user.0, bits])?)
    }

    /// Sets or clears the change whose outcome is unknown.
    ///
    /// # Errors
    /// [`WalletError::NoToken`]; those of the store.
    pub fn set_pending(&self, user: UserKey, pending: Option<PendingChange>) -> Result<(), WalletError> {
        let (kind, request) = split(pending);
        let sql = "UPDATE token SET pending_kind = ?2, pending_request = ?3 WHERE user = ?1";
        one(self.execute(sql, params![user.0, kind, request])?)
    }

    /// Wipes the credentials' keys, then the card, then the token. Usage that the service has not
    /// heard of stays, and so does the highest burnt counter.
    ///
    /// Not confined to guarded writes, so that a token can be wiped while the host's key store is
    /// locked. True if there was one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn remove_token(&self, user: UserKey) -> Result<bool, WalletError> {
        self.execute("DELETE FROM credential WHERE user = ?1", params![user.0])?;
        self.execute("DELETE FROM replenish_request WHERE user = ?1", params![user.0])?;
        Ok(self.execute("DELETE FROM token WHERE user = ?1", params![user.0])? > 0)
    }

    /// Wipes the credentials' keys; card and token stay. Not confined to guarded writes, as
    /// `remove_token`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn wipe_credentials(&self, user: UserKey) -> Result<(), WalletError> {
        self.execute("DELETE FROM credential WHERE user = ?1", params![user.0])?;
        Ok(())
    }

    /// The card as it is stored: other bytes mean another card.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sealed_profile(&self, user: UserKey) -> Result<Option<Vec<u8>>, WalletError> {
        Ok(self.first("SELECT profile FROM token WHERE user = ?1", params![user.0], |row| row.get(0))?)
    }

    /// The token's reference alone.
    pub(super) fn reference(&self, user: UserKey) -> Result<Option<String>, StoreError> {
        let sql = "SELECT reference FROM token WHERE user = ?1";
        self.first(sql, params![user.0], |row| row.get(0))
    }
}

fn place(reference: &str) -> Place<'_> {
    Place { table: "token", row: reference, column: "profile" }
}

fn one(changed: usize) -> Result<(), WalletError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::NoToken.into()) }
}

fn split(pending: Option<PendingChange>) -> (Option<i64>, Option<[u8; 16]>) {
    (pending.map(|change| change.kind.number()), pending.map(|change| change.request_id))
}

fn to_bits(suspended_by: &BTreeSet<Suspender>) -> i64 {
    SUSPENDERS.iter().filter(|(party, _)| suspended_by.contains(party)).map(|(_, bit)| bit).sum()
}

fn from_bits(bits: i64) -> BTreeSet<Suspender> {
    SUSPENDERS.iter().filter(|(_, bit)| bits & bit != 0).map(|(party, _)| *party).collect()
}
