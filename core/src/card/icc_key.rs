//! The card's RSA key and the raw private operation behind CDA.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use rsa::hazmat::{rsa_decrypt, rsa_encrypt};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPrivateKey};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::profile::IccKeyParts;

/// An RSA private key, parsed and tried once.
///
/// * Timing: the exponentiations of the `rsa` crate take the same time for all exponents and bases
///   of one size, and the base is blinded besides. The blinding pair is squared after each use and
///   drawn anew after `BLINDING_USES`, because the inversion in a new one costs a third of a
///   signature.
/// * Faults: the result is raised to the public exponent and compared with the input before it
///   leaves. A faulty half of a CRT signature would give the factors away (Boneh, DeMillo, Lipton).
pub struct IccKey {
    key: RsaPrivateKey,
    len: usize,
    blinding: Mutex<Option<Blinding>>,
}

/// As OpenSSL has it.
const BLINDING_USES: u32 = 32;

/// r to the public exponent, and the inverse of r.
#[derive(Clone)]
struct Blinding {
    factor: BoxedUint,
    inverse: BoxedUint,
    uses: u32,
}

impl IccKey {
    /// Reads and tries a key.
    ///
    /// # Errors
    /// [`IccKeyError`].
    pub fn parse(parts: &IccKeyParts) -> Result<Self, IccKeyError> {
        let trial = Self::read(parts)?;
        // Catches a composite "prime", which all checks of `read` let pass.
        trial.apply(&mut vec![0x6A; trial.len], &Zeroizing::new([0x6A; 32])).map_err(|_| IccKeyError::Primes)?;
        // The trial's blinding was no secret.
        Ok(Self { blinding: Mutex::new(None), ..trial })
    }

    /// Reads a key whose parts belong together.
    pub(super) fn read(parts: &IccKeyParts) -> Result<Self, IccKeyError> {
        let len = parts.modulus.len();
        // The top bit must be set: a block starts with 6A and has to be smaller than the modulus.
        if parts.modulus.first().is_none_or(|byte| *byte < 0x80) {
            return Err(IccKeyError::Modulus);
        }
        if !matches!(parts.exponent[..], [3] | [1, 0, 1]) {
            return Err(IccKeyError::Exponent);
        }
        let bits = u32::try_from(len).ok().and_then(|len| len.checked_mul(8)).ok_or(IccKeyError::Modulus)?;
        let p = prime(parts.prime_p.expose(), bits / 2)?;
        let q = prime(parts.prime_q.expose(), bits / 2)?;
        let exponent = BoxedUint::from_be_slice_vartime(&parts.exponent);
        let key = RsaPrivateKey::from_p_q(p, q, exponent).map_err(|_| IccKeyError::Primes)?;
        if *key.n_bytes() != *parts.modulus {
            return Err(IccKeyError::Mismatch);
        }
        Ok(Self { key, len, blinding: Mutex::new(None) })
    }

    /// Length of the modulus in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Replaces `block` by `block ^ d mod n`. `seed` must be fresh; the blinding may come from it.
    ///
    /// # Errors
    /// [`SignatureError`] if `block` is not as long as the modulus or not below it, or if the result
    /// does not verify. `block` is unchanged then and must not be sent.
    pub fn apply(&self, block: &mut [u8], seed: &Zeroizing<[u8; 32]>) -> Result<(), SignatureError> {
        if block.len() != self.len {
            return Err(SignatureError);
        }
        let input = BoxedUint::from_be_slice(block, self.key.n_bits_precision()).map_err(|_| SignatureError)?;
        let blinding = self.next_blinding(seed)?;
        let blinded = input.mul_mod(&blinding.factor, self.key.n());
        let raised = rsa_decrypt(None::<&mut SeededRng>, &self.key, &blinded).map_err(|_| SignatureError)?;
        let output = raised.mul_mod(&blinding.inverse, self.key.n());
        if rsa_encrypt(&self.key, &output).map_err(|_| SignatureError)? != input {
            return Err(SignatureError);
        }
        let bytes = output.to_be_bytes();
        let skip = bytes.len().checked_sub(self.len).ok_or(SignatureError)?;
        for (to, from) in block.iter_mut().zip(bytes.iter().skip(skip)) {
            *to = *from;
        }
        Ok(())
    }

    /// The pair for one operation: the last one squared, or a new one.
    fn next_blinding(&self, seed: &Zeroizing<[u8; 32]>) -> Result<Blinding, SignatureError> {
        // A panic elsewhere cannot leave a half-written pair behind: it is replaced as a whole.
        let mut kept = self.blinding.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match kept.take() {
            Some(last) if last.uses < BLINDING_USES => Blinding {
                factor: last.factor.square_mod(self.key.n()),
                inverse: last.inverse.square_mod(self.key.n()),
                uses: last.uses + 1,
            },
            _ => self.draw_blinding(seed)?,
        };
        *kept = Some(next.clone());
        Ok(next)
    }

    fn draw_blinding(&self, seed: &Zeroizing<[u8; 32]>) -> Result<Blinding, SignatureError> {
        let mut bytes = Zeroizing::new(vec![0; self.len]);
        SeededRng::new(seed).fill(&mut bytes);
        // The modulus has its top bit set, so a number without it is smaller.
        if let Some(first) = bytes.first_mut() {
            *first &= 0x7F;
        }
        let mut number = BoxedUint::from_be_slice(&bytes, self.key.n_bits_precision()).map_err(|_| SignatureError)?;
        let factor = rsa_encrypt(&self.key, &number).map_err(|_| SignatureError)?;
        let inverse = number.invert_mod(self.key.n()).into_option().ok_or(SignatureError)?;
        number.zeroize();
        Ok(Blinding { factor, inverse, uses: 1 })
    }
}

impl Drop for Blinding {
    fn drop(&mut self) {
        self.factor.zeroize();
        self.inverse.zeroize();
    }
}

impl std::fmt::Debug for IccKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IccKey({} bits, redacted)", self.len * 8)
    }
}

/// Two odd factors of equal length: what the CRT code is made for, and what its arithmetic needs to
/// be free of underflow.
fn prime(bytes: &[u8], bits: u32) -> Result<BoxedUint, IccKeyError> {
    let number = BoxedUint::from_be_slice(bytes, bits).map_err(|_| IccKeyError::Primes)?;
    if number.bits() == bits && bytes.last().is_some_and(|byte| byte & 1 == 1) {
        Ok(number)
    } else {
        Err(IccKeyError::Primes)
    }
}

/// The private operation failed or its result did not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature could not be made")]
pub struct SignatureError;

/// Why parts are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IccKeyError {
    /// Empty or with leading zeros.
    #[error("the modulus has leading zeros")]
    Modulus,
    /// Neither 3 nor 65537.
    #[error("the exponent is neither 03 nor 010001")]
    Exponent,
    /// The factors are no primes, not of equal length, or do not fit the exponent.
    #[error("the factors are not two primes of equal length that fit the exponent")]
    Primes,
    /// Key of another modulus.
    #[error("the modulus is not the product of the factors")]
    Mismatch,
}

/// Deterministic random numbers from a seed: SHA-256 over seed and counter.
///
/// One draw from the host's generator feeds a whole signature, before anything is spent.
pub(super) struct SeededRng {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl SeededRng {
    pub(super) fn new(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self { seed: seed.clone(), counter: 0 }
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let mut block: [u8; 32] =
                Sha256::new().chain_update(&self.seed[..]).chain_update(self.counter.to_be_bytes()).finalize().into();
            self.counter = self.counter.wrapping_add(1);
            for (to, from) in chunk.iter_mut().zip(block) {
                *to = from;
            }
            block.zeroize();
        }
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::test_card;
    use crate::secret::SecretBytes;

    fn parts() -> IccKeyParts {
        test_card::icc_key()
    }

    #[test]
    fn a_signature_verifies_and_blinding_does_not_show() {
        let key = IccKey::parse(&parts()).unwrap();
        let block: Vec<u8> = (0..key.len()).map(|n| if n == 0 { 0x6A } else { n as u8 }).collect();
        let mut factors = Vec::new();
        // Past the last use of the first pair and of the second.
        for seed in 0..=u8::try_from(2 * BLINDING_USES).unwrap() {
            let mut signed = block.clone();
            key.apply(&mut signed, &Zeroizing::new([seed; 32])).unwrap();
            assert_eq!(test_card::public_operation(&parts(), &signed), block);
            let used = key.blinding.lock().unwrap().as_ref().unwrap().factor.clone();
            assert!(!factors.contains(&used), "each signature has its own blinding");
            factors.push(used);
        }
    }

    #[test]
    fn a_block_that_is_not_below_the_modulus_is_refused() {
        let key = IccKey::parse(&parts()).unwrap();
        let seed = Zeroizing::new([0; 32]);
        let mut too_large = vec![0xFF; key.len()];
        assert_eq!(key.apply(&mut too_large, &seed), Err(SignatureError));
        let mut too_short = vec![0x6A; key.len() - 1];
        assert_eq!(key.apply(&mut too_short, &seed), Err(SignatureError));
    }

    #[test]
    fn a_key_whose_parts_do_not_belong_together_is_refused() {
        let good = parts();
        let mut other_modulus = good.clone();
        other_modulus.modulus[5] ^= 1;
        assert_eq!(IccKey::parse(&other_modulus).err(), Some(IccKeyError::Mismatch));
        let zero_prime = IccKeyParts { prime_p: SecretBytes::new(vec![0; 72]), ..good.clone() };
        assert_eq!(IccKey::parse(&zero_prime).err(), Some(IccKeyError::Primes));
        let equal = IccKeyParts { prime_q: good.prime_p.clone(), ..good.clone() };
        assert_eq!(IccKey::parse(&equal).err(), Some(IccKeyError::Primes));
        let exponent = IccKeyParts { exponent: vec![17], ..good.clone() };
        assert_eq!(IccKey::parse(&exponent).err(), Some(IccKeyError::Exponent));
        let empty = IccKeyParts { modulus: vec![], ..good };
        assert_eq!(IccKey::parse(&empty).err(), Some(IccKeyError::Modulus));
    }

    #[test]
    fn a_wrong_result_never_leaves() {
        let faulty = IccKey::read(&test_card::faulty_icc_key()).unwrap();
        let mut block = vec![0x6A; faulty.len()];
        assert_eq!(faulty.apply(&mut block, &Zeroizing::new([1; 32])), Err(SignatureError));
        assert_eq!(block, vec![0x6A; faulty.len()]);
        assert_eq!(IccKey::parse(&test_card::faulty_icc_key()).err(), Some(IccKeyError::Primes));
    }

    #[test]
    fn debug_shows_only_the_size() {
        assert_eq!(format!("{:?}", IccKey::parse(&parts()).unwrap()), "IccKey(1152 bits, redacted)");
    }
}
