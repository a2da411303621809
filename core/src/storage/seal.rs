//! Sealed columns: AES-256-GCM under the data key, bound to their place.
//!
//! Envelope: version 1 ‖ nonce (12 bytes) ‖ ciphertext and tag. Additional data: table 00 row 00
//! column 00 instance id. Bytes that were moved to another row, column or wallet do not open.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::StoreError;
use crate::host::Entropy;
use crate::secret::Secret;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// Where a sealed value lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a str,
    pub(super) column: &'static str,
}

/// Seals and opens under the data key. The cipher holds the expanded key and zeroizes it on drop.
pub(super) struct Sealer {
    cipher: Aes256Gcm,
    instance: [u8; 16],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(redacted)")
    }
}

impl Sealer {
    pub(super) fn new(key: &Secret<32>, instance: [u8; 16]) -> Self {
        Self { cipher: Aes256Gcm::new(key.expose().into()), instance }
    }

    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8], nonces: &mut Nonces) -> Result<Vec<u8>, StoreError> {
        let nonce = nonces.next()?;
        let aad = self.additional_data(place);
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: &aad })
            .map_err(|_| StoreError::Bug("seal"))?;
        let mut envelope = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens what was sealed for this very place. The key was proven right when the store was
    /// opened, so a failure means that the bytes were changed or moved.
    pub(super) fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = StoreError::Corrupt("a sealed value does not open");
        let Some((&VERSION, rest)) = envelope.split_first() else { return Err(damaged) };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE_BYTES>() else { return Err(damaged) };
        let aad = self.additional_data(place);
        self.cipher
            .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| damaged)
    }

    /// Table and column are fixed names without a zero byte, so the encoding has one reading
    /// whatever the row is called.
    fn additional_data(&self, place: Place<'_>) -> Vec<u8> {
        let mut aad = Vec::with_capacity(place.table.len() + place.row.len() + place.column.len() + 19);
        for part in [place.table, place.row, place.column] {
            aad.extend_from_slice(part.as_bytes());
            aad.push(0);
        }
        aad.extend_from_slice(&self.instance);
        aad
    }
}

/// Nonces of one transaction: HMAC-SHA256 of a counter under 32 fresh random bytes.
///
/// The host's source of randomness is asked once, before the transaction, because no host code may
/// run under the connection's lock.
pub(super) struct Nonces {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Nonces {
    pub(super) fn draw(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        Self { seed, counter: 0 }
    }

    fn next(&mut self) -> Result<[u8; NONCE_BYTES], StoreError> {
        let digest = hmac_sha256(&*self.seed, &self.counter.to_be_bytes())?;
        self.counter += 1;
        digest.first_chunk().copied().ok_or(StoreError::Bug("nonce"))
    }
}

/// HMAC-SHA256 (RFC 2104).
pub(super) fn hmac_sha256(key: &[u8], data: &[u8]) -> Result<[u8; 32], StoreError> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| StoreError::Bug("hmac_key"))?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::OsEntropy;

    const HERE: Place<'static> = Place { table: "credential", row: "ref/7", column: "session_key" };

    fn sealer() -> Sealer {
        Sealer::new(&Secret::new([7; 32]), [9; 16])
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let envelope = sealer().seal(HERE, b"secret", &mut Nonces::draw(&OsEntropy)).unwrap();
        assert_eq!(sealer().open(HERE, &envelope).unwrap().as_slice(), b"secret");
        for elsewhere in
            [Place { table: "token", ..HERE }, Place { row: "ref/8", ..HERE }, Place { column: "profile", ..HERE }]
        {
            assert!(sealer().open(elsewhere, &envelope).is_err());
        }
        assert!(Sealer::new(&Secret::new([7; 32]), [8; 16]).open(HERE, &envelope).is_err());
        assert!(Sealer::new(&Secret::new([6; 32]), [9; 16]).open(HERE, &envelope).is_err());
    }

    #[test]
    fn a_changed_or_shortened_envelope_does_not_open() {
        let envelope = sealer().seal(HERE, b"secret", &mut Nonces::draw(&OsEntropy)).unwrap();
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            assert!(sealer().open(HERE, &changed).is_err(), "byte {at}");
            assert!(sealer().open(HERE, &envelope[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn no_nonce_repeats_within_or_between_transactions() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let mut nonces = Nonces::draw(&OsEntropy);
            for _ in 0..100 {
                assert!(seen.insert(nonces.next().unwrap()));
            }
        }
    }
}
