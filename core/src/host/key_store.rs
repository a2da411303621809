//! Keys in the device's hardware (Android Keystore, Secure Enclave).

use zeroize::Zeroizing;

use crate::error::{KeyStoreProblem, WalletError};

/// The device's P-256 public key, SEC1 uncompressed (65 bytes, first byte 04).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePublicKey {
    /// The 65 bytes.
    pub bytes: Vec<u8>,
}

/// An ECDSA P-256 signature over SHA-256 of the message: DER, or raw r‖s of 64 bytes. The wallet
/// reads both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The encoded signature.
    pub bytes: Vec<u8>,
}

/// A wrapped key: opaque to the wallet, kept in its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The ciphertext, at most 4 KiB.
    pub bytes: Vec<u8>,
}

/// An unwrapped key.
#[derive(Clone)]
pub struct Unwrapped {
    /// The plain key.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unwrapped(redacted)")
    }
}

/// The rollback anchor: a few bytes kept outside the database, in a place that a backup does not
/// copy and that an app restart keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// What was last stored; `None` if never.
    pub bytes: Option<Vec<u8>>,
}

/// Receipt for a durable write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The bytes will be there after a power cut.
    Durably,
}

/// How the key store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The device must be unlocked first.
    #[error("locked")]
    Locked,
    /// The key was invalidated (new fingerprint, lock screen removed).
    #[error("invalidated")]
    Invalidated,
    /// The key does not exist.
    #[error("not found")]
    NotFound,
    /// The user cancelled the prompt.
    #[error("cancelled by the user")]
    UserCancelled,
    /// Anything else.
    #[error("{reason}")]
    Failed {
        /// In the host's words; no secret.
        reason: String,
    },
    /// No answer within the deadline (set by the wallet, not by hosts).
    #[error("no answer in time")]
    TimedOut,
    /// The key store panicked (set by the wallet, not by hosts).
    #[error("panicked")]
    Panicked,
}

impl From<KeyStoreError> for WalletError {
    fn from(error: KeyStoreError) -> Self {
        let reason = match error {
            KeyStoreError::Locked => KeyStoreProblem::Locked,
            KeyStoreError::Invalidated => KeyStoreProblem::Invalidated,
            KeyStoreError::NotFound => KeyStoreProblem::NotFound,
            KeyStoreError::UserCancelled => KeyStoreProblem::UserCancelled,
            KeyStoreError::Failed { reason } => KeyStoreProblem::Failed { reason },
            KeyStoreError::TimedOut => KeyStoreProblem::TimedOut,
            KeyStoreError::Panicked => KeyStoreProblem::Failed { reason: "panicked".to_owned() },
        };
        Self::KeyStore { reason }
    }
}

/// Keys that never leave the hardware, and the rollback anchor.
///
/// Called on a worker thread of the wallet; may block up to 5 s. Never called between GENERATE AC
/// and its answer. `sign` is idempotent; so is everything else under equal arguments.
pub trait DeviceKeyStore: Send + Sync {
    /// The device key, made at the first call.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError>;

    /// Signs SHA-256 of `message` with the device key (ECDSA P-256).
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError>;

    /// Wraps a 32-byte storage key under a hardware key, made at the first call.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError>;

    /// Opens what `wrap` made.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError>;

    /// Throws the device key, the wrapping key and the anchor away and makes new keys at the next
    /// use. Called when the user re-activates after the old keys became useless.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn renew(&self) -> Result<Stored, KeyStoreError>;

    /// The rollback anchor.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn anchor(&self) -> Result<Anchor, KeyStoreError>;

    /// Replaces the rollback anchor (at most 64 bytes), durably, before it returns.
    ///
    /// # Errors
    /// As [`KeyStoreError`] names them.
    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError>;
}
