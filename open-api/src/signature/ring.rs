//! The keys of the others.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::rotation::Dated;
use super::{ClientId, SignatureError, SignatureHeader, SignedContent, Validity, VerifyingKey};

/// For each client id, the public keys with which its other side signs.
///
/// A client id names a relation between a partner and Alipay+, and is the same in both directions. To a
/// gateway, the keys under it are the partner's; to the partner, they are Alipay+'s. Several versions may
/// be valid at once while a key is replaced; a signature names the one that it wants.
///
/// Clones share the keys: one that is added later, or withdrawn, is known to all.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    clients: Arc<RwLock<HashMap<ClientId, Vec<Dated<VerifyingKey>>>>>,
}

impl KeyRing {
    /// Without anybody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, in place of the one with the same version if there is one.
    pub fn add(&self, client_id: ClientId, version: u32, validity: Validity, key: VerifyingKey) {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let keys = clients.entry(client_id).or_default();
        keys.retain(|one| one.version != version);
        keys.push(Dated { version, validity, key: Arc::new(key) });
    }

    /// The same, to write a ring down in one expression.
    #[must_use]
    pub fn with(self, client_id: ClientId, version: u32, validity: Validity, key: VerifyingKey) -> Self {
        self.add(client_id, version, validity, key);
        self
    }

    /// Withdraws one key of a client. The client stays known.
    pub fn remove(&self, client_id: &ClientId, version: u32) {
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = clients.get_mut(client_id) {
            keys.retain(|one| one.version != version);
        }
    }

    /// Forgets a client.
    pub fn remove_client(&self, client_id: &ClientId) {
        self.clients.write().unwrap_or_else(PoisonError::into_inner).remove(client_id);
    }

    /// The client's key of `version`.
    ///
    /// # Errors
    /// [`SignatureError::ClientUnknown`], or [`SignatureError::KeyUnknown`] if it has no such key that is
    /// valid at `now_ms`.
    pub fn find(&self, client_id: &ClientId, version: u32, now_ms: i64) -> Result<Arc<VerifyingKey>, SignatureError> {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || SignatureError::ClientUnknown { client_id: client_id.clone() };
        let keys = clients.get(client_id).ok_or_else(unknown)?;
        let key = keys.iter().find(|key| key.version == version && key.validity.contains(now_ms));
        let key = key.map(|key| Arc::clone(&key.key));
        key.ok_or_else(|| SignatureError::KeyUnknown { client_id: client_id.clone(), version })
    }

    /// That `header` is the signature of `content` by `client_id`, with a key that is valid at `now_ms`.
    /// `content.client_id` is expected to be the same name.
    ///
    /// # Errors
    /// Those of [`Self::find`], and [`SignatureError::Mismatch`].
    pub fn verify(
        &self,
        client_id: &ClientId,
        content: &SignedContent<'_>,
        header: &SignatureHeader,
        now_ms: i64,
    ) -> Result<(), SignatureError> {
        self.find(client_id, header.key_version(), now_ms)?.verify(content, header.signature())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SigningKey, SigningKeys};

    const VECTORS: &str = include_str!("../../tests/vectors/signatures.json");
    const CONTENT: SignedContent<'static> = SignedContent { uri: "/", client_id: "ann", time: "now", body: b"{}" };

    fn key() -> SigningKey {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
        SigningKey::from_text(vectors["privateKeyPkcs8B64_TEST_ONLY"].as_str().unwrap()).unwrap()
    }

    fn ann() -> ClientId {
        ClientId::parse("ann").unwrap()
    }

    #[test]
    fn the_newest_valid_key_signs() {
        let keys = SigningKeys::new();
        keys.add(1, Validity::until(300), key());
        keys.add(3, Validity::from(100), key());
        keys.add(2, Validity { from_ms: Some(200), until_ms: Some(250) }, key());
        for (now, version) in [(99, Some(1)), (100, Some(3)), (200, Some(2)), (250, Some(3)), (300, Some(3))] {
            assert_eq!(keys.current_version(now), version, "{now}");
        }
        keys.remove(3);
        assert_eq!(keys.current_version(300), None);
        assert_eq!(keys.sign(&CONTENT, 300), Err(SignatureError::NoSigningKey));
    }

    #[test]
    fn two_keys_verify_while_one_replaces_the_other() {
        let ring = KeyRing::new();
        ring.add(ann(), 1, Validity::until(200), key().verifying_key().clone());
        ring.add(ann(), 2, Validity::from(100), key().verifying_key().clone());
        let verify = |version, now| {
            let header = SignatureHeader::new(version, key().sign(&CONTENT).unwrap());
            ring.verify(&ann(), &CONTENT, &header, now)
        };
        let unknown = |version| Err(SignatureError::KeyUnknown { client_id: ann(), version });
        assert_eq!((verify(1, 99), verify(2, 99)), (Ok(()), unknown(2)));
        assert_eq!((verify(1, 150), verify(2, 150)), (Ok(()), Ok(())));
        assert_eq!((verify(1, 200), verify(2, 200)), (unknown(1), Ok(())));
    }

    #[test]
    fn a_stranger_and_a_client_without_that_key_are_told_apart() {
        let ring = KeyRing::new().with(ann(), 1, Validity::ALWAYS, key().verifying_key().clone());
        let bob = ClientId::parse("bob").unwrap();
        let error = ring.find(&bob, 1, 0).unwrap_err();
        assert_eq!(error.result_code(), crate::ResultCode::InvalidClient);
        ring.remove(&ann(), 1);
        assert_eq!(ring.find(&ann(), 1, 0).unwrap_err().result_code(), crate::ResultCode::KeyNotFound);
        ring.remove_client(&ann());
        assert_eq!(ring.find(&ann(), 1, 0).unwrap_err(), SignatureError::ClientUnknown { client_id: ann() });
    }
}
