//! One key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey, RsaParameters};
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use zeroize::Zeroizing;

use super::{SignatureError, SignedContent, pem};

/// Bits of the smallest key that signs or verifies.
const MIN_BITS: u32 = 2048;
/// Bits of the largest.
const MAX_BITS: u32 = 8192;

/// An RSA key of 2048 to 8192 bits that signs. The library wipes it when it is dropped; `Debug` prints only
/// the [`fingerprint`](Self::fingerprint).
pub struct SigningKey {
    pair: KeyPair,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// A new key of 2048 bits, the size that partners exchange. Takes about a tenth of a second.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] if the system has no randomness or memory to give.
    pub fn generate() -> Result<Self, KeyError> {
        Self::new(KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Unusable)?)
    }

    /// PEM of PKCS#8, to be kept in a file that nobody else may read. Wiped when dropped.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] if the library cannot, for want of memory.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| KeyError::Unusable)?;
        Ok(pem::encode("PRIVATE KEY", der.as_ref()))
    }

    /// Reads a key in any of the forms in which partners keep it: PEM of PKCS#8 (`PRIVATE KEY`) or PKCS#1
    /// (`RSA PRIVATE KEY`), or the same without the lines at its ends.
    ///
    /// # Errors
    /// [`KeyError`] names the cause: encrypted, a public key, another algorithm, too small, not a key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let decoded = pem::decode(text)?;
        let der = decoded.der.as_slice();
        let pair = match decoded.label {
            Some("PRIVATE KEY") => KeyPair::from_pkcs8(der),
            Some("RSA PRIVATE KEY") => KeyPair::from_der(der),
            None => KeyPair::from_pkcs8(der).or_else(|error| KeyPair::from_der(der).map_err(|_| error)),
            Some(other) => return Err(KeyError::WrongKind { expected: "a private key", found: other.to_owned() }),
        };
        match pair {
            Ok(pair) => Self::new(pair),
            Err(_) if PublicKey::from_der(der).is_ok() => {
                Err(KeyError::WrongKind { expected: "a private key", found: "PUBLIC KEY".to_owned() })
            }
            Err(error) => Err(KeyError::rejected(error)),
        }
    }

    /// Reads a file with what [`Self::from_text`] takes.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be read, and the errors of [`Self::from_text`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::from_text(&read_file(path.as_ref())?)
    }

    fn new(pair: KeyPair) -> Result<Self, KeyError> {
        let verifying = VerifyingKey::from_der(pair.public_key().as_ref())?;
        Ok(Self { pair, verifying })
    }

    /// The signature of `content`, as long as the key: 256 bytes for 2048 bits. The same content gives the
    /// same bytes.
    ///
    /// # Errors
    /// [`SignatureError::SigningFailed`] if the library cannot, for want of memory.
    pub fn sign(&self, content: &SignedContent<'_>) -> Result<Vec<u8>, SignatureError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign_digest(&RSA_PKCS1_SHA256, &content.digest(), &mut signature)
            .map_err(|_| SignatureError::SigningFailed)?;
        Ok(signature)
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// That of the public half.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        self.verifying.fingerprint()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.fingerprint())
    }
}

/// An RSA key of 2048 to 8192 bits that verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    key: ParsedPublicKey,
    spki: Vec<u8>,
    fingerprint: String,
}

impl VerifyingKey {
    /// Reads a key: PEM of X.509 SubjectPublicKeyInfo (`PUBLIC KEY`) or PKCS#1 (`RSA PUBLIC KEY`), or the
    /// same without the lines at its ends, as the developer pages show it.
    ///
    /// # Errors
    /// [`KeyError`] names the cause: a private key, a certificate, another algorithm, too small, not a key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let decoded = pem::decode(text)?;
        match decoded.label {
            None | Some("PUBLIC KEY" | "RSA PUBLIC KEY") => Self::from_der(&decoded.der),
            Some(other) => Err(KeyError::WrongKind { expected: "a public key", found: other.to_owned() }),
        }
    }

    /// Reads a file with what [`Self::from_text`] takes.
    ///
    /// # Errors
    /// [`KeyError::File`] if it cannot be read, and the errors of [`Self::from_text`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::from_text(&read_file(path.as_ref())?)
    }

    /// Reads DER, of either form.
    ///
    /// # Errors
    /// [`KeyError`] as [`Self::from_text`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let public = match PublicKey::from_der(der) {
            Ok(public) => public,
            Err(_) if KeyPair::from_pkcs8(der).or_else(|_| KeyPair::from_der(der)).is_ok() => {
                return Err(KeyError::WrongKind { expected: "a public key", found: "PRIVATE KEY".to_owned() });
            }
            Err(error) => return Err(KeyError::rejected(error)),
        };
        let bits = RsaParameters::public_modulus_len(public.as_ref()).map_err(|_| KeyError::Unusable)?;
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(KeyError::Size { bits });
        }
        let spki: PublicKeyX509Der<'_> = public.as_der().map_err(|_| KeyError::Unusable)?;
        let spki = spki.as_ref().to_vec();
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki).map_err(KeyError::rejected)?;
        let hash = digest(&SHA256, &spki);
        let fingerprint = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key, spki, fingerprint })
    }

    /// That `signature` is the one of `content` by this key.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] if it is not.
    pub fn verify(&self, content: &SignedContent<'_>, signature: &[u8]) -> Result<(), SignatureError> {
        self.key.verify_digest_sig(&content.digest(), signature).map_err(|_| SignatureError::Mismatch)
    }

    /// X.509 SubjectPublicKeyInfo, DER: in base64, what partners upload.
    #[must_use]
    pub fn to_spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// PEM of the same.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki).to_string()
    }

    /// The first 8 bytes of SHA-256 of [`Self::to_spki_der`], in 16 hex digits: tells keys apart in a log.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint)
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let failed = |source| KeyError::File { path: path.display().to_string(), source };
    let file = File::open(path).map_err(failed)?;
    // Room for all of it: a buffer that grew would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(pem::MAX_BYTES + 2));
    let limit = u64::try_from(pem::MAX_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Why a text is no key that can be used. None of the variants repeats any of it but a PEM label.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the key is empty")]
    Empty,
    /// There is more in it than a key.
    #[error("the key is {bytes} bytes of text, limit {limit}")]
    TooLong {
        /// Bytes in it, or as many as were read.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// `-----BEGIN` without its end.
    #[error("the PEM block does not end as it begins")]
    PemBroken,
    /// Neither PEM nor base64.
    #[error("the key is not base64")]
    NotBase64,
    /// It is locked with a password. `openssl pkcs8 -topk8 -nocrypt` unlocks it.
    #[error("the key is encrypted; decrypt it first")]
    Encrypted,
    /// It is something else.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What it should be.
        expected: &'static str,
        /// What its PEM label says.
        found: String,
    },
    /// It is shorter than 2048 or longer than 8192 bits.
    #[error("the key has {bits} bits, allowed are 2048 to 8192")]
    Size {
        /// Its bits.
        bits: u32,
    },
    /// The cryptographic library does not take it.
    #[error("not an RSA key that can be used: {reason}")]
    Rejected {
        /// What the library says: `InvalidEncoding`, `WrongAlgorithm`, `TooSmall`, `InconsistentComponents`.
        reason: String,
    },
    /// The cryptographic library cannot work with it.
    #[error("the key cannot be used")]
    Unusable,
}

impl KeyError {
    fn rejected(error: aws_lc_rs::error::KeyRejected) -> Self {
        Self::Rejected { reason: error.to_string() }
    }
}
