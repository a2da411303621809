//! A test certification authority and the issuer under it: RSA keys and EMV certificates.
//!
//! Keys are made at start (or from a seed) and belong to no scheme: the index is one that none uses. Two
//! chains of other lengths come ready made, since making them takes a second ([`Authority::short`],
//! [`Authority::long`]). Layouts: EMV Book 2, 5.1 and 6.1.

use std::sync::{Arc, OnceLock};

use nfcwallet_core::card::profile::IccKeyParts;
use nfcwallet_core::secret::SecretBytes;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};
use rsa::hazmat::rsa_decrypt_and_check;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, RsaPrivateKey};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::{IssuerError, Pan, test_keys};

/// The RID of the test authority's certificates.
pub const RID: [u8; 5] = [0xA0, 0x00, 0x00, 0x00, 0x04];
/// Tag 8F: an index that no scheme uses.
pub const CA_INDEX: u8 = 0xEE;
/// Tag 8F of [`Authority::short`].
const SHORT_INDEX: u8 = 0xEC;
/// Tag 8F of [`Authority::long`].
const LONG_INDEX: u8 = 0xED;
/// The first digits of every test token; also the issuer identifier of the issuer's certificate.
pub const ISSUER_PREFIX: &str = "541333";
/// The issuer's certificate is good until this month (MMYY).
const ISSUER_EXPIRY: [u8; 2] = [0x12, 0x49];
/// SHA-1 and RSA, the only ones that EMV's RSA certificates know.
const ALGORITHMS: [u8; 2] = [0x01, 0x01];
/// Public exponent of all keys: with 3 the phone checks its own signature fastest.
const EXPONENT: [u8; 1] = [0x03];

/// In bits: tag 9F46 of this length fills a record of 254 bytes.
const LONGEST_ISSUER_KEY: usize = 1976;

/// How long the keys are, in bits: multiples of 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySizes {
    /// The authority's key, at most 1984: its certificates must fit a record.
    pub ca_bits: usize,
    /// The issuer's key, at most 1976: tag 9F46 takes one byte more of a record than tag 90.
    pub issuer_bits: usize,
}

impl Default for KeySizes {
    fn default() -> Self {
        Self { ca_bits: 1408, issuer_bits: 1408 }
    }
}

/// What a terminal must know of the authority. In JSON every field is hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CaPublicKeyHex", into = "CaPublicKeyHex")]
pub struct CaPublicKey {
    /// Registered application provider.
    pub rid: [u8; 5],
    /// Tag 8F.
    pub index: u8,
    /// Big-endian.
    pub modulus: Vec<u8>,
    /// Big-endian.
    pub exponent: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct CaPublicKeyHex {
    rid: String,
    index: String,
    modulus: String,
    exponent: String,
}

impl From<CaPublicKey> for CaPublicKeyHex {
    fn from(key: CaPublicKey) -> Self {
        Self {
            rid: hex::encode_upper(key.rid),
            index: hex::encode_upper([key.index]),
            modulus: hex::encode_upper(key.modulus),
            exponent: hex::encode_upper(key.exponent),
        }
    }
}

impl TryFrom<CaPublicKeyHex> for CaPublicKey {
    type Error = hex::FromHexError;

    fn try_from(key: CaPublicKeyHex) -> Result<Self, Self::Error> {
        let (mut rid, mut index) = ([0; 5], [0; 1]);
        hex::decode_to_slice(key.rid, &mut rid)?;
        hex::decode_to_slice(key.index, &mut index)?;
        let [index] = index;
        Ok(Self { rid, index, modulus: hex::decode(key.modulus)?, exponent: hex::decode(key.exponent)? })
    }
}

/// A certified public key as a card carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Tag 90 or 9F46.
    pub certificate: Vec<u8>,
    /// Tag 92 or 9F48; absent when the whole modulus fits the certificate.
    pub remainder: Option<Vec<u8>>,
    /// Tag 9F32 or 9F47.
    pub exponent: Vec<u8>,
}

/// What an ICC certificate says besides the key.
#[derive(Debug, Clone)]
pub struct IccSubject<'a> {
    /// The token's number.
    pub pan: &'a Pan,
    /// Last month of validity, MMYY.
    pub expiry_mmyy: [u8; 2],
    /// Any three bytes.
    pub serial: [u8; 3],
    /// Signed records and AIP (EMV Book 3, 10.3).
    pub static_data: &'a [u8],
}

/// The authority's key, the issuer's key, and the issuer's certificate.
pub struct Authority {
    index: u8,
    ca: RsaKey,
    issuer: RsaKey,
    issuer_certificate: Certificate,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority(index {:02X}, keys redacted)", self.index)
    }
}

impl Authority {
    /// Makes both keys and the issuer's certificate. Blocks for 100 to 500 ms.
    ///
    /// # Errors
    /// [`IssuerError::Key`] for sizes out of range.
    pub fn generate(rng: &mut impl CryptoRng, sizes: KeySizes) -> Result<Self, IssuerError> {
        if sizes.issuer_bits > LONGEST_ISSUER_KEY {
            let reason = format!("is {} bits, limit {LONGEST_ISSUER_KEY} for an issuer's", sizes.issuer_bits);
            return Err(IssuerError::Key { reason });
        }
        Self::with_keys(CA_INDEX, RsaKey::generate(rng, sizes.ca_bits)?, RsaKey::generate(rng, sizes.issuer_bits)?)
    }

    /// A chain of short keys, the same in all sandboxes: authority and issuer 1152 bits.
    ///
    /// # Errors
    /// [`IssuerError::Key`]; not for the keys of this library.
    pub fn short() -> Result<Arc<Self>, IssuerError> {
        static SHORT: OnceLock<Arc<Authority>> = OnceLock::new();
        Self::prepared(&SHORT, SHORT_INDEX, &test_keys::SHORT)
    }

    /// A chain of the longest keys whose certificates fit records, the same in all sandboxes: authority
    /// 1984 bits, issuer 1976.
    ///
    /// # Errors
    /// As [`Self::short`].
    pub fn long() -> Result<Arc<Self>, IssuerError> {
        static LONG: OnceLock<Arc<Authority>> = OnceLock::new();
        Self::prepared(&LONG, LONG_INDEX, &test_keys::LONG)
    }

    fn prepared(
        place: &'static OnceLock<Arc<Self>>,
        index: u8,
        keys: &test_keys::TestKeys,
    ) -> Result<Arc<Self>, IssuerError> {
        if let Some(authority) = place.get() {
            return Ok(Arc::clone(authority));
        }
        let made = Self::with_keys(index, RsaKey::from_primes(keys.ca)?, RsaKey::from_primes(keys.issuer)?)?;
        Ok(Arc::clone(place.get_or_init(|| Arc::new(made))))
    }

    fn with_keys(index: u8, ca: RsaKey, issuer: RsaKey) -> Result<Self, IssuerError> {
        let [length, exponent_length] = key_lengths(&issuer)?;
        let mut head = vec![0x02];
        head.extend(super::pan::pack_digits(&format!("{ISSUER_PREFIX:F<8}")));
        head.extend(ISSUER_EXPIRY);
        head.extend([0x00, 0x00, 0x01]);
        head.extend(ALGORITHMS);
        head.extend([length, exponent_length]);
        let issuer_certificate = ca.certify(&head, &issuer, &[])?;
        Ok(Self { index, ca, issuer, issuer_certificate })
    }

    /// Makes the keys that belong to `seed`: the same ones each time.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn from_seed(seed: [u8; 32], sizes: KeySizes) -> Result<Self, IssuerError> {
        Self::generate(&mut ChaCha20Rng::from_seed(seed), sizes)
    }

    /// One authority for the whole process, made at the first call; for tests that start many issuers.
    ///
    /// # Errors
    /// [`IssuerError::Randomness`] where the operating system has none.
    pub fn shared() -> Result<Arc<Self>, IssuerError> {
        static SHARED: OnceLock<Arc<Authority>> = OnceLock::new();
        if let Some(authority) = SHARED.get() {
            return Ok(Arc::clone(authority));
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| IssuerError::Randomness)?;
        let made = Self::from_seed(seed, KeySizes::default())?;
        // Two threads may both make one; the first to arrive is everybody's.
        Ok(Arc::clone(SHARED.get_or_init(|| Arc::new(made))))
    }

    /// What terminals must know to check this authority's cards.
    #[must_use]
    pub fn ca_public_key(&self) -> CaPublicKey {
        CaPublicKey { rid: RID, index: self.index, modulus: self.ca.modulus(), exponent: EXPONENT.to_vec() }
    }

    /// The issuer's public key, certified by the authority.
    #[must_use]
    pub fn issuer_certificate(&self) -> &Certificate {
        &self.issuer_certificate
    }

    /// Certifies the key of a card (EMV Book 2, table 14).
    ///
    /// # Errors
    /// [`IssuerError::Key`] if the key is too long for EMV's length byte.
    pub fn certify_icc(&self, key: &IccKey, subject: &IccSubject<'_>) -> Result<Certificate, IssuerError> {
        let [length, exponent_length] = key_lengths(&key.0)?;
        let mut head = vec![0x04];
        head.extend(subject.pan.certificate_field());
        head.extend(subject.expiry_mmyy);
        head.extend(subject.serial);
        head.extend(ALGORITHMS);
        head.extend([length, exponent_length]);
        self.issuer.certify(&head, &key.0, subject.static_data)
    }
}

/// The RSA key of one card.
pub struct IccKey(RsaKey);

impl std::fmt::Debug for IccKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IccKey(redacted)")
    }
}

impl IccKey {
    /// The key that belongs to `seed`. Blocks for some 40 ms at 1152 bits.
    ///
    /// # Errors
    /// [`IssuerError::Key`] for a size out of range.
    pub fn from_seed(seed: [u8; 32], bits: usize) -> Result<Self, IssuerError> {
        RsaKey::generate(&mut ChaCha20Rng::from_seed(seed), bits).map(Self)
    }

    /// The form in which the card receives it.
    ///
    /// # Errors
    /// [`IssuerError::Key`]; not for a key made here.
    pub fn parts(&self) -> Result<IccKeyParts, IssuerError> {
        let [p, q] = self.0.0.primes() else {
            return Err(IssuerError::Key { reason: "does not have two primes".to_owned() });
        };
        let prime = |prime: &BoxedUint| SecretBytes::new(prime.to_be_bytes_trimmed_vartime().into_vec());
        Ok(IccKeyParts { modulus: self.0.modulus(), exponent: EXPONENT.to_vec(), prime_p: prime(p), prime_q: prime(q) })
    }

    /// Signs a whole block of the modulus's length, as the card would; for cards in tests.
    ///
    /// # Errors
    /// [`IssuerError::Key`] if the block has another length or is not below the modulus.
    pub fn sign_block(&self, block: &[u8]) -> Result<Vec<u8>, IssuerError> {
        self.0.sign_block(block)
    }
}

struct RsaKey(RsaPrivateKey);

impl RsaKey {
    fn generate(rng: &mut impl CryptoRng, bits: usize) -> Result<Self, IssuerError> {
        // 1984: a certificate of this length still fits a record of 254 bytes.
        if !(512..=1984).contains(&bits) || !bits.is_multiple_of(8) {
            return Err(IssuerError::Key { reason: format!("is {bits} bits, limit 512 to 1984 in steps of 8") });
        }
        let [exponent] = EXPONENT;
        RsaPrivateKey::new_with_exp_unchecked(rng, bits, BoxedUint::from(exponent)).map(Self).map_err(key_error)
    }

    fn from_primes([p, q]: [&str; 2]) -> Result<Self, IssuerError> {
        let prime = |text| {
            let bytes = hex::decode(text).map_err(|error| IssuerError::Key { reason: error.to_string() })?;
            Ok::<_, IssuerError>(BoxedUint::from_be_slice_vartime(&bytes))
        };
        let [exponent] = EXPONENT;
        RsaPrivateKey::from_p_q(prime(p)?, prime(q)?, BoxedUint::from(exponent)).map(Self).map_err(key_error)
    }

    fn modulus(&self) -> Vec<u8> {
        self.0.n_bytes().into_vec()
    }

    /// Signature with message recovery (EMV Book 2, A2.1): the head, as much of the subject's modulus
    /// as fits, and a hash that also covers what did not fit, the exponent and `tail`.
    fn certify(&self, head: &[u8], subject: &Self, tail: &[u8]) -> Result<Certificate, IssuerError> {
        let modulus = subject.modulus();
        // Header, hash and trailer are 22 bytes around the recoverable part.
        let room = self
            .modulus()
            .len()
            .checked_sub(22 + head.len())
            .ok_or_else(|| IssuerError::Key { reason: "is too short to certify another".to_owned() })?;
        let (left, remainder) = modulus.split_at(room.min(modulus.len()));
        let mut signed = head.to_vec();
        signed.extend_from_slice(left);
        signed.resize(head.len() + room, 0xBB);
        let hash = Sha1::new().chain_update(&signed).chain_update(remainder).chain_update(EXPONENT).chain_update(tail);
        let block = [&[0x6A], signed.as_slice(), hash.finalize().as_slice(), &[0xBC]].concat();
        Ok(Certificate {
            certificate: self.sign_block(&block)?,
            remainder: (!remainder.is_empty()).then(|| remainder.to_vec()),
            exponent: EXPONENT.to_vec(),
        })
    }

    fn sign_block(&self, block: &[u8]) -> Result<Vec<u8>, IssuerError> {
        let length = self.modulus().len();
        if block.len() != length {
            return Err(IssuerError::Key { reason: format!("signs {length} bytes, not {}", block.len()) });
        }
        let message = BoxedUint::from_be_slice(block, self.0.n_bits_precision())
            .map_err(|error| IssuerError::Key { reason: error.to_string() })?;
        // No blinding: nobody measures the time of a test issuer.
        let signature = rsa_decrypt_and_check(&self.0, None::<&mut ChaCha20Rng>, &message).map_err(key_error)?;
        Ok(left_padded(&signature.to_be_bytes_trimmed_vartime(), length))
    }
}

/// The number at the end of a field of `length` bytes.
pub(crate) fn left_padded(number: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![0; length.saturating_sub(number.len())];
    out.extend_from_slice(number);
    out
}

fn key_lengths(key: &RsaKey) -> Result<[u8; 2], IssuerError> {
    let length = u8::try_from(key.modulus().len())
        .map_err(|_| IssuerError::Key { reason: "is longer than 255 bytes".to_owned() })?;
    Ok([length, 1])
}

fn key_error(error: rsa::Error) -> IssuerError {
    IssuerError::Key { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::verify::{recover_icc_key, recover_issuer_key};

    fn subject<'a>(pan: &'a Pan, static_data: &'a [u8]) -> IccSubject<'a> {
        IccSubject { pan, expiry_mmyy: [0x12, 0x30], serial: [1, 2, 3], static_data }
    }

    fn pan() -> Pan {
        Pan::complete("541333900000001").unwrap()
    }

    #[test]
    fn sizes_that_do_not_fit_a_record_are_refused() {
        for bits in [0, 504, 1153, 1992, 4096] {
            assert!(matches!(IccKey::from_seed([0; 32], bits), Err(IssuerError::Key { .. })), "{bits}");
        }
    }

    #[test]
    fn an_issuers_key_whose_certificates_fit_no_record_is_refused() {
        let sizes = KeySizes { ca_bits: 1984, issuer_bits: 1984 };
        assert!(matches!(Authority::from_seed([3; 32], sizes), Err(IssuerError::Key { .. })));
    }

    #[test]
    fn the_chain_is_recovered_by_an_independent_program_for_all_sizes() {
        // (CA, issuer, ICC); with the last one both moduli fit their certificates.
        for (ca_bits, issuer_bits, icc_bits) in
            [(1408, 1408, 1152), (1152, 1152, 896), (1984, 1976, 1408), (1408, 1120, 768)]
        {
            let authority = Authority::from_seed([3; 32], KeySizes { ca_bits, issuer_bits }).unwrap();
            let icc = IccKey::from_seed([4; 32], icc_bits).unwrap();
            let (pan, static_data) = (pan(), b"signed records and AIP".as_slice());
            let certificate = authority.certify_icc(&icc, &subject(&pan, static_data)).unwrap();
            let issuer = authority.issuer_certificate();
            let ca = authority.ca_public_key();
            let theirs = emv::core::oda::CaPublicKey {
                rid: ca.rid,
                index: ca.index,
                modulus: ca.modulus.clone(),
                exponent: ca.exponent.clone(),
            };

            let today = [0x07, 0x26];
            let packed = pan.packed();
            let issuer_key = emv::core::oda::recover_issuer_public_key(
                &theirs,
                &issuer.certificate,
                issuer.remainder.as_deref(),
                &issuer.exponent,
                &packed,
                today,
            )
            .unwrap();
            let icc_key = emv::core::oda::recover_icc_public_key(
                &issuer_key,
                &certificate.certificate,
                certificate.remainder.as_deref(),
                &certificate.exponent,
                static_data,
                &packed,
                today,
            )
            .unwrap();

            assert_eq!(issuer_key.modulus, authority.issuer.modulus());
            assert_eq!(icc_key.modulus, icc.parts().unwrap().modulus);
            // Our own verifier agrees.
            let ours = recover_issuer_key(&ca, issuer).unwrap();
            assert_eq!(ours.modulus, issuer_key.modulus);
            assert_eq!(recover_icc_key(&ours, &certificate, static_data).unwrap().modulus, icc_key.modulus);
        }
    }

    #[test]
    fn the_default_sizes_give_the_remainders_that_terminals_expect() {
        let authority = Authority::shared().unwrap();
        let icc = IccKey::from_seed([4; 32], 1152).unwrap();
        let certificate = authority.certify_icc(&icc, &subject(&pan(), &[])).unwrap();
        assert_eq!(authority.issuer_certificate().remainder.as_ref().map(Vec::len), Some(36));
        assert_eq!(certificate.remainder.map(|rest| rest.len()), Some(10));
    }

    #[test]
    fn the_prepared_keys_have_their_lengths() {
        let lengths =
            |authority: Arc<Authority>| (authority.ca.modulus().len() * 8, authority.issuer.modulus().len() * 8);
        assert_eq!(lengths(Authority::short().unwrap()), (1152, 1152));
        assert_eq!(lengths(Authority::long().unwrap()), (1984, 1976));
    }

    #[test]
    fn a_seed_gives_the_same_keys_again() {
        let parts = |seed| IccKey::from_seed([seed; 32], 768).unwrap().parts().unwrap();
        assert_eq!(parts(1).prime_p.expose(), parts(1).prime_p.expose());
        assert_ne!(parts(1).modulus, parts(2).modulus);
    }
}
