//! Signatures of the device key, as key stores give them: DER (Android Keystore, Secure Enclave) or
//! raw r‖s (CryptoKit). On the wire they are raw, 64 bytes.
//!
//! A signature is checked before it is sent: a key store that is broken must show as a failure of
//! the key store on this phone, not as a refusal by the service.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};

use crate::error::{KeyStoreProblem, WalletError};

/// Length of an uncompressed P-256 point (SEC 1, 2.3.3).
pub(super) const PUBLIC_KEY_LENGTH: usize = 65;

/// A key that verifies ECDSA P-256 with SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    sec1: [u8; PUBLIC_KEY_LENGTH],
    key: VerifyingKey,
}

/// Why a key store cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    /// The key is not a point, or not in this form.
    #[error("the device key is not an uncompressed P-256 point of 65 bytes")]
    Key,
    /// Neither DER nor 64 raw bytes, or r or s out of range.
    #[error("the signature is neither DER nor 64 bytes r and s")]
    Encoding,
    /// Well-formed, but not by this key over this message.
    #[error("the signature does not match the device key")]
    Mismatch,
}

impl From<SignatureError> for WalletError {
    fn from(error: SignatureError) -> Self {
        Self::KeyStore { reason: KeyStoreProblem::Failed { reason: error.to_string() } }
    }
}

impl PublicKey {
    /// Reads an uncompressed point; any other form is refused, because the bytes are an identity.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let sec1: [u8; PUBLIC_KEY_LENGTH] = bytes.try_into().map_err(|_| SignatureError::Key)?;
        if sec1.first() != Some(&0x04) {
            return Err(SignatureError::Key);
        }
        let key = VerifyingKey::from_sec1_bytes(&sec1).map_err(|_| SignatureError::Key)?;
        Ok(Self { sec1, key })
    }

    /// The 65 bytes.
    pub(super) fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        &self.sec1
    }

    /// Is this raw signature by this key over `message`? A high s is as good as a low one.
    pub(super) fn verifies_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }

    /// Reads a signature of either form, checks it, and gives its raw form.
    pub(super) fn normalise(&self, message: &[u8], signature: &[u8]) -> Result<[u8; 64], SignatureError> {
        // A DER signature may be 64 bytes long by chance, so both forms are tried.
        let forms = [Signature::from_slice(signature), Signature::from_der(signature)];
        if forms.iter().all(Result::is_err) {
            return Err(SignatureError::Encoding);
        }
        let good = forms.into_iter().flatten().find(|form| self.key.verify(message, form).is_ok());
        good.map(|signature| signature.to_bytes().into()).ok_or(SignatureError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer;

    use super::*;

    fn key_pair() -> (SigningKey, PublicKey) {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let public = PublicKey::parse(&signing.verifying_key().to_sec1_bytes()).unwrap();
        (signing, public)
    }

    #[test]
    fn der_and_raw_give_the_same_raw_signature() {
        let (signing, public) = key_pair();
        let signature: Signature = signing.sign(b"message");
        let raw: [u8; 64] = signature.to_bytes().into();
        assert_eq!(public.normalise(b"message", &raw), Ok(raw));
        assert_eq!(public.normalise(b"message", signature.to_der().as_bytes()), Ok(raw));
    }

    #[test]
    fn high_and_low_s_are_both_accepted() {
        let (signing, public) = key_pair();
        let signature: Signature = signing.sign(b"message");
        let other = Signature::from_scalars(signature.r(), -*signature.s()).unwrap();
        assert_ne!(signature, other);
        for form in [signature, other] {
            let raw: [u8; 64] = form.to_bytes().into();
            assert_eq!(public.normalise(b"message", form.to_der().as_bytes()), Ok(raw));
            assert!(public.verifies_raw(b"message", &raw));
        }
    }

    #[test]
    fn a_broken_key_store_is_named() {
        let (signing, public) = key_pair();
        let signature: Signature = signing.sign(b"another message");
        assert_eq!(public.normalise(b"message", &signature.to_bytes()), Err(SignatureError::Mismatch));
        assert_eq!(public.normalise(b"message", &[0; 64]), Err(SignatureError::Encoding));
        assert_eq!(public.normalise(b"message", &[]), Err(SignatureError::Encoding));
        assert_eq!(PublicKey::parse(&[0; 65]), Err(SignatureError::Key));
        assert_eq!(PublicKey::parse(signing.verifying_key().to_sec1_point(true).as_bytes()), Err(SignatureError::Key));
        assert!(matches!(
            WalletError::from(SignatureError::Mismatch),
            WalletError::KeyStore { reason: KeyStoreProblem::Failed { .. } }
        ));
    }
}
