//! The service's keys: the trust key that apps pin, and the HPKE keys that it vouches for.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::{Kem, Serializable};
use nfcwallet_core::host::{Entropy, OsEntropy};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};

/// DHKEM(P-256, HKDF-SHA256), RFC 9180, 7.1.
pub(super) type ServiceKem = hpke::kem::DhP256HkdfSha256;

/// For how long a new key is valid unless told otherwise.
pub const DEFAULT_KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How far a wallet's clock may be off: requests within this distance are fresh, and an expired key
/// still opens for this long.
pub const CLOCK_TOLERANCE_MS: i64 = 5 * 60 * 1000;

/// All keys of a service.
pub struct ServiceKeys {
    trust: SigningKey,
    seed: [u8; 32],
    key_life_ms: i64,
    issued_at_ms: i64,
    current: HpkeKey,
    previous: Option<HpkeKey>,
}

/// One HPKE key.
pub(super) struct HpkeKey {
    number: u32,
    private: <ServiceKem as Kem>::PrivateKey,
    public: Vec<u8>,
    not_before_ms: i64,
    not_after_ms: i64,
}

impl std::fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceKeys({}, redacted)", self.current.kid())
    }
}

impl ServiceKeys {
    /// Keys that nobody has seen before.
    #[must_use]
    pub fn random(now_ms: i64) -> Self {
        let mut seed = [0; 32];
        OsEntropy.fill(&mut seed);
        Self::from_seed(seed, now_ms)
    }

    /// The same trust key and the same series of HPKE keys for the same seed, so that a restarted
    /// sandbox is still the one that an app pins.
    #[must_use]
    pub fn from_seed(seed: [u8; 32], now_ms: i64) -> Self {
        Self::with_key_life(seed, now_ms, DEFAULT_KEY_LIFE)
    }

    /// As `from_seed`, with keys that are valid for `life`.
    #[must_use]
    pub fn with_key_life(seed: [u8; 32], now_ms: i64, life: Duration) -> Self {
        let key_life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        Self {
            trust: trust_key(&seed),
            seed,
            key_life_ms,
            issued_at_ms: now_ms,
            current: HpkeKey::derive(&seed, 1, now_ms, key_life_ms),
            previous: None,
        }
    }

    /// What apps pin as `WalletConfig::service_trust_key`: SEC1 uncompressed, 65 bytes.
    #[must_use]
    pub fn trust_key(&self) -> Vec<u8> {
        self.trust.verifying_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// The name of the key that wallets should use now.
    #[must_use]
    pub fn current_kid(&self) -> String {
        self.current.kid()
    }

    /// Makes a new current key. The one before it still opens until it expires or the next
    /// rotation; older ones are gone.
    pub fn rotate(&mut self, now_ms: i64) {
        // Two rotations within a millisecond must not leave wallets two equal choices.
        self.issued_at_ms = now_ms.max(self.issued_at_ms.saturating_add(1));
        let number = self.current.number.saturating_add(1);
        let next = HpkeKey::derive(&self.seed, number, self.issued_at_ms, self.key_life_ms);
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    /// The answer to `GET_PK`: the signed key set.
    #[must_use]
    pub fn key_set_answer(&self) -> Vec<u8> {
        let keys: Vec<_> = self.keys().map(HpkeKey::to_json).collect();
        let set = json!({ "issued_at_ms": self.issued_at_ms, "keys": keys }).to_string();
        let signature: Signature = self.trust.sign(&[b"nfcwallet/1 keys\0", set.as_bytes()].concat());
        json!({ "v": 1, "keys": STANDARD.encode(&set), "signature": STANDARD.encode(signature.to_bytes()) })
            .to_string()
            .into_bytes()
    }

    /// The private key of that name, unless it expired too long ago.
    pub(super) fn private_key(&self, kid: &str, now_ms: i64) -> Option<&<ServiceKem as Kem>::PrivateKey> {
        let key = self.keys().find(|key| key.kid() == kid)?;
        (now_ms < key.not_after_ms.saturating_add(CLOCK_TOLERANCE_MS)).then_some(&key.private)
    }

    fn keys(&self) -> impl Iterator<Item = &HpkeKey> {
        self.previous.iter().chain([&self.current])
    }
}

impl HpkeKey {
    fn derive(seed: &[u8; 32], number: u32, now_ms: i64, life_ms: i64) -> Self {
        let material: [u8; 32] = Sha256::new()
            .chain_update(b"hpke key")
            .chain_update(number.to_be_bytes())
            .chain_update(seed)
            .finalize()
            .into();
        let (private, public) = ServiceKem::derive_keypair(&material);
        Self {
            number,
            private,
            public: public.to_bytes().to_vec(),
            not_before_ms: now_ms,
            not_after_ms: now_ms.saturating_add(life_ms),
        }
    }

    fn kid(&self) -> String {
        format!("k{}", self.number)
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "kid": self.kid(),
            "public_key": hex::encode(&self.public),
            "not_before_ms": self.not_before_ms,
            "not_after_ms": self.not_after_ms,
        })
    }
}

/// One hash in 2^32 or so is no scalar; the next one is.
fn trust_key(seed: &[u8; 32]) -> SigningKey {
    let mut hash: [u8; 32] = Sha256::new().chain_update(b"trust key").chain_update(seed).finalize().into();
    loop {
        match SigningKey::from_slice(&hash) {
            Ok(key) => return key,
            Err(_) => hash = Sha256::digest(hash).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_keys_again() {
        let (one, two) = (ServiceKeys::from_seed([1; 32], 7), ServiceKeys::from_seed([1; 32], 7));
        assert_eq!(one.key_set_answer(), two.key_set_answer());
        assert_ne!(one.trust_key(), ServiceKeys::from_seed([2; 32], 7).trust_key());
        assert_ne!(ServiceKeys::random(7).trust_key(), ServiceKeys::random(7).trust_key());
        assert_eq!((one.trust_key().len(), one.trust_key()[0]), (65, 4));
    }

    #[test]
    fn the_previous_key_opens_until_it_expires_or_the_next_rotation() {
        let mut keys = ServiceKeys::with_key_life([1; 32], 0, Duration::from_secs(60));
        keys.rotate(10_000);
        assert_eq!(keys.current_kid(), "k2");
        assert!(keys.private_key("k1", 60_000 + CLOCK_TOLERANCE_MS - 1).is_some());
        assert!(keys.private_key("k1", 60_000 + CLOCK_TOLERANCE_MS).is_none());
        keys.rotate(10_000);
        assert!(keys.private_key("k1", 10_000).is_none());
        assert!(keys.private_key("k2", 10_000).is_some());
    }

    #[test]
    fn each_rotation_is_issued_later_than_the_one_before() {
        let mut keys = ServiceKeys::from_seed([1; 32], 50);
        keys.rotate(50);
        keys.rotate(20);
        assert_eq!(keys.issued_at_ms, 52);
        assert!(keys.previous.is_some_and(|previous| previous.not_before_ms < keys.current.not_before_ms));
    }
}
