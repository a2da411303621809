//! The certificate chain, checked the way a terminal does it, by code of our own.
//!
//! The terminal of `pos` uses another implementation; the two must agree. EMV Book 2, 5.3, 6.4 and 6.6.

use rsa::hazmat::rsa_encrypt;
use rsa::{BoxedUint, RsaPublicKey};
use sha1::{Digest, Sha1};

use super::authority::{CaPublicKey, Certificate, left_padded};

/// A public key out of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredKey {
    /// Big-endian.
    pub modulus: Vec<u8>,
    /// Big-endian.
    pub exponent: Vec<u8>,
    /// What names the owner: issuer identifier (4 bytes) or PAN (10 bytes), filled with F.
    pub owner: Vec<u8>,
    /// Last month of validity, MMYY.
    pub expiry_mmyy: [u8; 2],
    /// The whole recovered block, 6A to BC.
    pub block: Vec<u8>,
}

/// What a card signed in answer to GENERATE AC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredAnswer {
    /// Fresh with every tap.
    pub dynamic_number: Vec<u8>,
    /// Tag 9F27 as signed.
    pub cid: u8,
    /// Tag 9F26, which travels only inside the signature.
    pub cryptogram: [u8; 8],
    /// SHA-1 over PDOL data, CDOL1 data and the answer without its signature.
    pub transaction_hash: [u8; 20],
    /// Relay resistance data, or nothing.
    pub trailing: Vec<u8>,
    /// The whole recovered block, 6A to BC.
    pub block: Vec<u8>,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The key cannot be used.
    #[error("{what}: the key that signed it cannot be used")]
    Key {
        /// Which signature.
        what: &'static str,
    },
    /// Not made by this key, or not for this use.
    #[error("{what}: does not open under the key")]
    Format {
        /// Which signature.
        what: &'static str,
    },
    /// Opened, but the hash is over other data.
    #[error("{what}: the hash is over other data")]
    Hash {
        /// Which signature.
        what: &'static str,
    },
    /// A length in the block does not fit the data around it.
    #[error("{what}: a length does not fit")]
    Length {
        /// Which signature.
        what: &'static str,
    },
}

/// Opens an issuer certificate with the authority's key.
///
/// # Errors
/// [`ChainError`].
pub fn recover_issuer_key(ca: &CaPublicKey, certificate: &Certificate) -> Result<RecoveredKey, ChainError> {
    let layout = Layout { what: "issuer certificate", format: 0x02, owner: 4 };
    layout.recover(&ca.modulus, &ca.exponent, certificate, &[])
}

/// Opens an ICC certificate with the issuer's key; `static_data` are the signed records and the AIP.
///
/// # Errors
/// [`ChainError`].
pub fn recover_icc_key(
    issuer: &RecoveredKey,
    certificate: &Certificate,
    static_data: &[u8],
) -> Result<RecoveredKey, ChainError> {
    let layout = Layout { what: "ICC certificate", format: 0x04, owner: 10 };
    layout.recover(&issuer.modulus, &issuer.exponent, certificate, static_data)
}

/// Opens tag 9F4B with the card's key. `transaction_data` is PDOL data, CDOL1 data and the objects of
/// the answer, in order, without 9F4B.
///
/// # Errors
/// [`ChainError`].
pub fn recover_answer(
    icc: &RecoveredKey,
    signature: &[u8],
    unpredictable_number: [u8; 4],
    transaction_data: &[u8],
) -> Result<RecoveredAnswer, ChainError> {
    const WHAT: &str = "signed dynamic data";
    let opened = open(WHAT, &icc.modulus, &icc.exponent, signature, &unpredictable_number)?;
    let mut fields = Fields { what: WHAT, left: &opened.signed };
    if fields.array()? != [0x05, 0x01] {
        return Err(ChainError::Format { what: WHAT });
    }
    let [length] = fields.array()?;
    let mut dynamic = Fields { what: WHAT, left: fields.take(usize::from(length))? };
    if fields.left.iter().any(|fill| *fill != 0xBB) {
        return Err(ChainError::Format { what: WHAT });
    }
    let [number_length] = dynamic.array()?;
    if !(2..=8).contains(&number_length) {
        return Err(ChainError::Length { what: WHAT });
    }
    let answer = RecoveredAnswer {
        dynamic_number: dynamic.take(usize::from(number_length))?.to_vec(),
        cid: u8::from_be_bytes(dynamic.array()?),
        cryptogram: dynamic.array()?,
        transaction_hash: dynamic.array()?,
        trailing: dynamic.left.to_vec(),
        block: opened.block,
    };
    if Sha1::digest(transaction_data).as_slice() != answer.transaction_hash {
        return Err(ChainError::Hash { what: WHAT });
    }
    Ok(answer)
}

/// Where the two certificates differ.
struct Layout {
    what: &'static str,
    format: u8,
    owner: usize,
}

impl Layout {
    fn recover(
        &self,
        modulus: &[u8],
        exponent: &[u8],
        certificate: &Certificate,
        tail: &[u8],
    ) -> Result<RecoveredKey, ChainError> {
        let what = self.what;
        let remainder = certificate.remainder.as_deref().unwrap_or_default();
        let hashed = [remainder, &certificate.exponent, tail].concat();
        let opened = open(what, modulus, exponent, &certificate.certificate, &hashed)?;
        let mut fields = Fields { what, left: &opened.signed };
        let [format] = fields.array()?;
        let owner = fields.take(self.owner)?.to_vec();
        let expiry_mmyy = fields.array()?;
        let _serial: [u8; 3] = fields.array()?;
        if format != self.format || fields.array()? != [0x01, 0x01] {
            return Err(ChainError::Format { what });
        }
        let [length, exponent_length] = fields.array()?;
        let certified = whole_modulus(fields.left, remainder, usize::from(length));
        match certified {
            Some(modulus) if usize::from(exponent_length) == certificate.exponent.len() => Ok(RecoveredKey {
                modulus,
                exponent: certificate.exponent.clone(),
                owner,
                expiry_mmyy,
                block: opened.block,
            }),
            _ => Err(ChainError::Length { what }),
        }
    }
}

/// The leftmost part and the remainder: filled with BB and no remainder, or full and an exact one.
fn whole_modulus(left: &[u8], remainder: &[u8], length: usize) -> Option<Vec<u8>> {
    match left.split_at_checked(length) {
        Some((modulus, fill)) => {
            (remainder.is_empty() && fill.iter().all(|byte| *byte == 0xBB)).then(|| modulus.to_vec())
        }
        None => (left.len() + remainder.len() == length).then(|| [left, remainder].concat()),
    }
}

struct Opened {
    block: Vec<u8>,
    /// Between the header and the hash.
    signed: Vec<u8>,
}

/// Signature with message recovery (EMV Book 2, A2.1).
fn open(
    what: &'static str,
    modulus: &[u8],
    exponent: &[u8],
    signature: &[u8],
    tail: &[u8],
) -> Result<Opened, ChainError> {
    let block = recover_block(what, modulus, exponent, signature)?;
    let [0x6A, inner @ .., 0xBC] = block.as_slice() else {
        return Err(ChainError::Format { what });
    };
    let (signed, hash) = inner.split_last_chunk::<20>().ok_or(ChainError::Format { what })?;
    if Sha1::new().chain_update(signed).chain_update(tail).finalize().as_slice() != hash {
        return Err(ChainError::Hash { what });
    }
    Ok(Opened { signed: signed.to_vec(), block })
}

/// The block under a signature, as long as the modulus; whether it is one (6A to BC), and what its hash
/// covers, is not looked at.
///
/// # Errors
/// [`ChainError::Key`] for a key of another size than 376 to 2040 bits, [`ChainError::Format`] for a
/// signature that is none of this key. `what` names the signature in them.
pub fn recover_block(
    what: &'static str,
    modulus: &[u8],
    exponent: &[u8],
    signature: &[u8],
) -> Result<Vec<u8>, ChainError> {
    let n = BoxedUint::from_be_slice_vartime(modulus);
    let e = BoxedUint::from_be_slice_vartime(exponent);
    let key = RsaPublicKey::new_with_size_limits(n, e, 376..=2040).map_err(|_| ChainError::Key { what })?;
    let precision = rsa::traits::PublicKeyParts::n_bits_precision(&key);
    let number = BoxedUint::from_be_slice(signature, precision).map_err(|_| ChainError::Format { what })?;
    if signature.len() != modulus.len() || signature >= modulus {
        return Err(ChainError::Format { what });
    }
    let recovered = rsa_encrypt(&key, &number).map_err(|_| ChainError::Key { what })?;
    Ok(left_padded(&recovered.to_be_bytes_trimmed_vartime(), modulus.len()))
}

/// Fields of fixed lengths, one after the other.
struct Fields<'a> {
    what: &'static str,
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ChainError> {
        let (field, left) = self.left.split_at_checked(length).ok_or(ChainError::Length { what: self.what })?;
        self.left = left;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ChainError> {
        let (field, left) = self.left.split_first_chunk().ok_or(ChainError::Length { what: self.what })?;
        self.left = left;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests;
