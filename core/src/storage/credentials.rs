//! Single-use credentials: stock, burn, usage.
//!
//! A burn takes the lowest counter and nothing else; the rollback guard leans on that (see
//! `anchor.rs`). Spending deletes the row, so a spent credential has no key to be found.

use rusqlite::params;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::records::{Stock, TokenPhase, UserKey};
use super::seal::Place;
use super::tx::Tx;
use crate::card::hooks::BurningCredential;
use crate::error::WalletError;
use crate::secret::Secret;
use crate::token_service::operations::{UsageEntry, UsageOutcome, WireCredential};

/// What is at the front of the stock.
pub(super) enum Front {
    /// Nothing is left.
    Empty,
    /// Locked, disconnected or not active since the tap began.
    Forbidden,
    /// Expired, damaged, or at or below the highest burnt counter: must be discarded first.
    Unusable,
    /// Good for EMV mode only.
    WithoutChecksumKey,
    /// Spent in this transaction; free to leave once it has committed.
    Burnt(BurningCredential),
}

/// What a burnt credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// GENERATE AC.
    Cryptogram,
    /// COMPUTE CRYPTOGRAPHIC CHECKSUM. A credential without a key for it is neither spent nor skipped,
    /// and serves the next tap in EMV mode.
    Checksum,
}

/// A token and the credential that its next burn would take.
struct TokenFront {
    reference: String,
    /// Active, not suspended, and its user connected. A lock counts from its first commit on.
    payable: bool,
    highest_burnt: Option<u16>,
    credential: Option<SealedCredential>,
}

struct SealedCredential {
    atc: u16,
    expires_at_ms: i64,
    /// [`Keys`], sealed.
    keys: Vec<u8>,
}

/// The keys of one credential, sealed together: the session key (16 bytes) and, where the card has
/// mag-stripe mode, the key for it (16 more).
struct Keys {
    session_key: Secret<16>,
    cvc3_key: Option<Secret<16>>,
}

impl Keys {
    fn encode(credential: &WireCredential) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(32));
        plain.extend_from_slice(credential.session_key.expose());
        if let Some(key) = &credential.cvc3_key {
            plain.extend_from_slice(key.expose());
        }
        plain
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        let (session_key, rest) = plain.split_at_checked(16)?;
        let cvc3_key = match rest {
            [] => None,
            rest => Some(Secret::from_slice(rest)?),
        };
        Some(Self { session_key: Secret::from_slice(session_key)?, cvc3_key })
    }
}

impl Tx<'_> {
    /// Adds credentials to the user's token and returns how many. Guarded writes only.
    ///
    /// One whose counter is not above the highest burnt one can never be used; it is reported as
    /// discarded instead.
    ///
    /// # Errors
    /// [`WalletError::Protocol`] for a counter that is there twice, [`WalletError::NoToken`],
    /// [`WalletError::KeyStore`] without the key; those of the store. Nothing is stored then.
    pub fn add_credentials(&self, user: UserKey, credentials: &[WireCredential]) -> Result<u32, WalletError> {
        self.require_guard()?;
        let reference = self.reference(user)?.ok_or(StoreError::NoToken)?;
        let highest_burnt = self.highest_burnt(&reference)?;
        let mut added = 0;
        let mut seen = std::collections::BTreeSet::new();
        for credential in credentials {
            if !seen.insert(credential.atc) || self.has_counter(user, &reference, credential.atc)? {
                return Err(StoreError::DuplicateCounter.into());
            }
            if Some(credential.atc) <= highest_burnt {
                self.note_usage(user, &reference, credential.atc, UsageOutcome::Discarded)?;
                continue;
            }
            let sealed = self.seal(place(&row_name(&reference, credential.atc)), &Keys::encode(credential))?;
            let sql = "INSERT INTO credential (user, atc, expires_at_ms, session_key) VALUES (?1, ?2, ?3, ?4)";
            self.execute(sql, params![user.0, credential.atc, credential.expires_at_ms, sealed])?;
            added += 1;
        }
        Ok(added)
    }

    /// What can be burnt at `service_now_ms`. Needs no key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn stock(&self, user: UserKey, service_now_ms: i64) -> Result<Stock, WalletError> {
        let sql = "SELECT count(*), min(expires_at_ms) FROM credential WHERE user = ?1 AND expires_at_ms > ?2";
        let stock = self.first(sql, params![user.0, service_now_ms], |row| {
            Ok(Stock { usable: row.get(0)?, next_expiry_ms: row.get(1)? })
        })?;
        Ok(stock.unwrap_or_default())
    }

    /// Is there anything for `discard_expired` to do?
    ///
    /// # Errors
    /// Those of the store.
    pub fn has_expired(&self, user: UserKey, service_now_ms: i64) -> Result<bool, WalletError> {
        let sql = "SELECT 1 FROM credential WHERE user = ?1 AND expires_at_ms <= ?2";
        Ok(self.first(sql, params![user.0, service_now_ms], |_| Ok(()))?.is_some())
    }

    /// Discards what has expired and returns how many. Guarded writes only.
    ///
    /// # Errors
    /// Those of the store.
    pub fn discard_expired(&self, user: UserKey, service_now_ms: i64) -> Result<u32, WalletError> {
        self.require_guard()?;
        let Some(reference) = self.reference(user)? else { return Ok(0) };
        let sql = "DELETE FROM credential WHERE user = ?1 AND expires_at_ms <= ?2 RETURNING atc";
        let expired = self.all(sql, params![user.0, service_now_ms], |row| row.get::<_, u16>(0))?;
        for &atc in &expired {
            self.note_usage(user, &reference, atc, UsageOutcome::Discarded)?;
        }
        Ok(u32::try_from(expired.len()).unwrap_or(u32::MAX))
    }

    /// What the service has not heard of yet, by token; also of tokens that are gone.
    ///
    /// # Errors
    /// Those of the store.
    pub fn unreported_usage(&self, user: UserKey) -> Result<Vec<(String, Vec<UsageEntry>)>, WalletError> {
        let sql = "SELECT reference, atc, outcome FROM usage WHERE user = ?1 ORDER BY reference, atc";
        let rows = self.all(sql, params![user.0], |row| {
            let outcome = if row.get::<_, i64>(2)? == 1 { UsageOutcome::Used } else { UsageOutcome::Discarded };
            Ok((row.get::<_, String>(0)?, UsageEntry { atc: row.get(1)?, outcome }))
        })?;
        let mut tokens: Vec<(String, Vec<UsageEntry>)> = Vec::new();
        for (reference, entry) in rows {
            match tokens.last_mut() {
                Some((last, entries)) if *last == reference => entries.push(entry),
                _ => tokens.push((reference, vec![entry])),
            }
        }
        Ok(tokens)
    }

    /// The service has acknowledged these.
    ///
    /// # Errors
    /// Those of the store.
    pub fn usage_reported(&self, token_reference: &str, atcs: &[u16]) -> Result<(), WalletError> {
        for &atc in atcs {
            let sql = "DELETE FROM usage WHERE reference = ?1 AND atc = ?2";
            self.execute(sql, params![token_reference, atc])?;
        }
        Ok(())
    }

    /// Burns the credential at the front of the stock, if it is usable.
    pub(super) fn burn_front(&self, user: UserKey, service_now_ms: i64, purpose: Purpose) -> Result<Front, StoreError> {
        self.require_guard()?;
        self.sealer()?;
        let Some(front) = self.front(user)? else { return Ok(Front::Empty) };
        if !front.payable {
            return Ok(Front::Forbidden);
        }
        let Some(credential) = &front.credential else { return Ok(Front::Empty) };
        let Some(Keys { session_key, cvc3_key }) = self.usable_keys(&front, credential, service_now_ms) else {
            return Ok(Front::Unusable);
        };
        if purpose == Purpose::Checksum && cvc3_key.is_none() {
            return Ok(Front::WithoutChecksumKey);
        }
        self.spend(user, &front.reference, credential.atc, UsageOutcome::Used)?;
        Ok(Front::Burnt(BurningCredential { atc: credential.atc, session_key, cvc3_key }))
    }

    /// Discards from the front until a usable one is there.
    pub(super) fn discard_unusable_front(&self, user: UserKey, service_now_ms: i64) -> Result<(), StoreError> {
        self.require_guard()?;
        while let Some(front) = self.front(user)? {
            let Some(credential) = &front.credential else { break };
            if self.usable_keys(&front, credential, service_now_ms).is_some() {
                break;
            }
            self.delete_credential(user, credential.atc)?;
            self.note_usage(user, &front.reference, credential.atc, UsageOutcome::Discarded)?;
        }
        Ok(())
    }

    /// Gives up the credential that a lost commit could have burnt.
    pub(super) fn give_up_front(&self, user: UserKey) -> Result<(), StoreError> {
        self.require_guard()?;
        match self.front(user)? {
            Some(TokenFront { reference, credential: Some(credential), .. }) => {
                self.spend(user, &reference, credential.atc, UsageOutcome::Discarded)
            }
            _ => Ok(()),
        }
    }

    /// All that a burn has to know, in one statement: a terminal waits for it.
    fn front(&self, user: UserKey) -> Result<Option<TokenFront>, StoreError> {
        let sql = "SELECT token.reference, \
                   phase = ?2 AND suspended_by = 0 AND pending_kind IS NULL AND store.connected IS token.user, \
                   highest_burnt_atc, atc, expires_at_ms, session_key \
                   FROM token JOIN store LEFT JOIN counter ON counter.reference = token.reference \
                   LEFT JOIN credential ON credential.user = token.user \
                   AND atc = (SELECT min(atc) FROM credential WHERE user = ?1) \
                   WHERE token.user = ?1";
        self.first(sql, params![user.0, TokenPhase::Active.number()], |row| {
            let credential = match row.get(3)? {
                Some(atc) => Some(SealedCredential { atc, expires_at_ms: row.get(4)?, keys: row.get(5)? }),
                None => None,
            };
            Ok(TokenFront { reference: row.get(0)?, payable: row.get(1)?, highest_burnt: row.get(2)?, credential })
        })
    }

    /// `None` if the credential is expired, spent, changed or moved.
    fn usable_keys(&self, front: &TokenFront, credential: &SealedCredential, service_now_ms: i64) -> Option<Keys> {
        if credential.expires_at_ms <= service_now_ms || Some(credential.atc) <= front.highest_burnt {
            return None;
        }
        let plain = self.open(place(&row_name(&front.reference, credential.atc)), &credential.keys).ok()?;
        Keys::decode(&plain)
    }

    /// Deletes the credential with its key, notes what became of it, and raises the highest burnt
    /// counter. The store's own sum follows with the generation.
    fn spend(&self, user: UserKey, reference: &str, atc: u16, outcome: UsageOutcome) -> Result<(), StoreError> {
        self.delete_credential(user, atc)?;
        self.note_usage(user, reference, atc, outcome)?;
        let sql = "INSERT INTO counter (reference, highest_burnt_atc, spent) VALUES (?1, ?2, 1) \
                   ON CONFLICT (reference) DO UPDATE \
                   SET highest_burnt_atc = max(highest_burnt_atc, excluded.highest_burnt_atc), spent = spent + 1";
        self.execute(sql, params![reference, atc])?;
        Ok(())
    }

    fn delete_credential(&self, user: UserKey, atc: u16) -> Result<(), StoreError> {
        match self.execute("DELETE FROM credential WHERE user = ?1 AND atc = ?2", params![user.0, atc])? {
            1 => Ok(()),
            _ => Err(StoreError::Bug("credential_row")),
        }
    }

    fn note_usage(&self, user: UserKey, reference: &str, atc: u16, outcome: UsageOutcome) -> Result<(), StoreError> {
        let outcome = match outcome {
            UsageOutcome::Used => 1,
            UsageOutcome::Discarded => 2,
        };
        let sql = "INSERT INTO usage (reference, atc, user, outcome) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![reference, atc, user.0, outcome])?;
        Ok(())
    }

    fn highest_burnt(&self, reference: &str) -> Result<Option<u16>, StoreError> {
        let sql = "SELECT highest_burnt_atc FROM counter WHERE reference = ?1";
        self.first(sql, params![reference], |row| row.get(0))
    }

    fn has_counter(&self, user: UserKey, reference: &str, atc: u16) -> Result<bool, StoreError> {
        let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM credential WHERE user = ?1 AND atc = ?3) \
                   OR EXISTS (SELECT 1 FROM usage WHERE reference = ?2 AND atc = ?3)";
        Ok(self.first(sql, params![user.0, reference, atc], |_| Ok(()))?.is_some())
    }
}

fn row_name(reference: &str, atc: u16) -> String {
    format!("{reference}/{atc}")
}

fn place(row: &str) -> Place<'_> {
    Place { table: "credential", row, column: "session_key" }
}
