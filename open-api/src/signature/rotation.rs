//! Keys that come and go.

use std::sync::{Arc, PoisonError, RwLock};

use super::{SignatureError, SignatureHeader, SignedContent, SigningKey};

/// From when until when a key counts: milliseconds since 1970. Without a bound it counts for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first moment.
    pub from_ms: Option<i64>,
    /// The first moment after it.
    pub until_ms: Option<i64>,
}

impl Validity {
    /// Always.
    pub const ALWAYS: Self = Self { from_ms: None, until_ms: None };

    /// From a moment on.
    #[must_use]
    pub const fn from(from_ms: i64) -> Self {
        Self { from_ms: Some(from_ms), until_ms: None }
    }

    /// Until a moment.
    #[must_use]
    pub const fn until(until_ms: i64) -> Self {
        Self { from_ms: None, until_ms: Some(until_ms) }
    }

    /// Whether `now_ms` is inside.
    #[must_use]
    pub fn contains(self, now_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| from <= now_ms) && self.until_ms.is_none_or(|until| now_ms < until)
    }
}

/// A key with its version and its time.
#[derive(Debug)]
pub(super) struct Dated<K> {
    pub(super) version: u32,
    pub(super) validity: Validity,
    pub(super) key: Arc<K>,
}

/// A clone shares the key.
impl<K> Clone for Dated<K> {
    fn clone(&self) -> Self {
        Self { version: self.version, validity: self.validity, key: Arc::clone(&self.key) }
    }
}

/// Our own keys. Several may be valid at once while a new one is introduced; the newest signs: the one with
/// the latest beginning, and of two that begin together the one with the higher version.
///
/// Clones share the keys: one that is added later, or withdrawn, is known to all.
#[derive(Debug, Clone, Default)]
pub struct SigningKeys {
    keys: Arc<RwLock<Vec<Dated<SigningKey>>>>,
}

impl SigningKeys {
    /// None yet: nothing can be signed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one that is always valid.
    #[must_use]
    pub fn single(version: u32, key: SigningKey) -> Self {
        let keys = Self::new();
        keys.add(version, Validity::ALWAYS, key);
        keys
    }

    /// Adds a key, in place of the one with the same version if there is one.
    pub fn add(&self, version: u32, validity: Validity, key: SigningKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|one| one.version != version);
        keys.push(Dated { version, validity, key: Arc::new(key) });
    }

    /// Withdraws a key.
    pub fn remove(&self, version: u32) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|one| one.version != version);
    }

    /// The version of the key that signs at `now_ms`.
    #[must_use]
    pub fn current_version(&self, now_ms: i64) -> Option<u32> {
        self.current(now_ms).map(|key| key.version)
    }

    /// Signs with the newest key.
    ///
    /// # Errors
    /// [`SignatureError::NoSigningKey`] if none is valid at `now_ms`, and those of [`SigningKey::sign`].
    pub fn sign(&self, content: &SignedContent<'_>, now_ms: i64) -> Result<SignatureHeader, SignatureError> {
        let current = self.current(now_ms).ok_or(SignatureError::NoSigningKey)?;
        Ok(SignatureHeader::new(current.version, current.key.sign(content)?))
    }

    /// A copy, so that no signature is made under the lock.
    fn current(&self, now_ms: i64) -> Option<Dated<SigningKey>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let valid = keys.iter().filter(|key| key.validity.contains(now_ms));
        valid.max_by_key(|key| (key.validity.from_ms, key.version)).cloned()
    }
}
