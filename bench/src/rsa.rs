//! The card's private operation: ours, and OpenSSL's with the same key.

use anyhow::{Context, Result, ensure};
use nfcwallet_core::card::IccKey;
use nfcwallet_core::card::profile::IccKeyParts;
use nfcwallet_core::secret::SecretBytes;
use openssl::bn::{BigNum, BigNumRef};
use openssl::rsa::{Padding, Rsa};
use zeroize::Zeroizing;

/// The lengths of keys that are measured, in bits; the middle one is the sandbox's.
pub const KEY_BITS: [u32; 3] = [1024, 1152, 1408];

/// One raw private operation (CRT, blinded, verified with the public exponent, no padding).
pub trait PrivateOperation {
    /// Signs the same block again, 6A BB .. BB as in signed data of EMV (Book 2, A2.1).
    ///
    /// # Errors
    /// If the operation fails.
    fn sign(&mut self) -> Result<Vec<u8>>;
}

/// A fresh key of `bits` with public exponent 3, as the sandbox's cards have.
///
/// # Errors
/// Of OpenSSL.
pub fn key(bits: u32) -> Result<IccKeyParts> {
    let key = Rsa::generate_with_e(bits, BigNum::from_u32(3)?.as_ref())?;
    let half = i32::try_from(bits / 16)?;
    let prime = |number: Option<&BigNumRef>| -> Result<SecretBytes> {
        Ok(SecretBytes::new(number.context("a key has two primes")?.to_vec_padded(half)?))
    };
    let (prime_p, prime_q) = (prime(key.p())?, prime(key.q())?);
    Ok(IccKeyParts { modulus: key.n().to_vec(), exponent: vec![3], prime_p, prime_q })
}

/// By the wallet's card.
///
/// # Errors
/// If the parts are not a key.
pub fn ours(parts: &IccKeyParts) -> Result<impl PrivateOperation + use<>> {
    Ok(Ours { key: IccKey::parse(parts)?, seed: 0 })
}

struct Ours {
    key: IccKey,
    seed: u64,
}

impl PrivateOperation for Ours {
    fn sign(&mut self) -> Result<Vec<u8>> {
        let mut block = block(self.key.len());
        let mut seed = Zeroizing::new([0; 32]);
        self.seed += 1;
        seed.iter_mut().zip(self.seed.to_le_bytes()).for_each(|(to, from)| *to = from);
        self.key.apply(&mut block, &seed)?;
        Ok(block)
    }
}

/// By OpenSSL.
///
/// # Errors
/// Of OpenSSL.
pub fn openssl(parts: &IccKeyParts) -> Result<impl PrivateOperation + use<>> {
    let number = |bytes: &[u8]| BigNum::from_slice(bytes);
    let (n, e) = (number(&parts.modulus)?, number(&parts.exponent)?);
    let (p, q) = (number(parts.prime_p.expose())?, number(parts.prime_q.expose())?);
    let mut context = openssl::bn::BigNumContext::new()?;
    let one = BigNum::from_u32(1)?;
    let minus_one = |prime: &BigNumRef| -> Result<BigNum> {
        let mut less = BigNum::new()?;
        less.checked_sub(prime, &one)?;
        Ok(less)
    };
    let (p1, q1) = (minus_one(&p)?, minus_one(&q)?);
    let (mut phi, mut d, mut dp, mut dq, mut qinv) =
        (BigNum::new()?, BigNum::new()?, BigNum::new()?, BigNum::new()?, BigNum::new()?);
    phi.checked_mul(&p1, &q1, &mut context)?;
    d.mod_inverse(&e, &phi, &mut context)?;
    dp.nnmod(&d, &p1, &mut context)?;
    dq.nnmod(&d, &q1, &mut context)?;
    qinv.mod_inverse(&q, &p, &mut context)?;
    let key = Rsa::from_private_components(n, e, d, p, q, dp, dq, qinv)?;
    ensure!(key.check_key()?, "OpenSSL does not take the key");
    let block = block(usize::try_from(key.size())?);
    Ok(OpenSsl { key, block })
}

struct OpenSsl {
    key: Rsa<openssl::pkey::Private>,
    block: Vec<u8>,
}

impl PrivateOperation for OpenSsl {
    fn sign(&mut self) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.block.len()];
        let written = self.key.private_encrypt(&self.block, &mut signature, Padding::NONE)?;
        ensure!(written == signature.len(), "the signature has {written} bytes");
        Ok(signature)
    }
}

fn block(length: usize) -> Vec<u8> {
    let mut block = vec![0xBB; length];
    block.splice(..1, [0x6A]);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_make_the_same_signature() {
        for bits in KEY_BITS {
            let parts = key(bits).unwrap();
            let signature = ours(&parts).unwrap().sign().unwrap();
            assert_eq!(signature.len() * 8, usize::try_from(bits).unwrap());
            assert_eq!(signature, openssl(&parts).unwrap().sign().unwrap());
        }
    }
}
