//! Keys in the device's hardware (Android Keystore, Secure Enclave).

use std::sync::Arc;

use nfcwallet_core::host as core;
use zeroize::Zeroizing;

use super::first_line;

/// The device's P-256 public key.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DevicePublicKey {
    /// SEC1 uncompressed: 65 bytes, the first is 04.
    pub bytes: Vec<u8>,
}

/// An ECDSA P-256 signature over SHA-256 of the message.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Signature {
    /// DER, or raw r and s of 64 bytes: the wallet reads both.
    pub bytes: Vec<u8>,
}

/// A wrapped key: opaque to the wallet, kept in its database.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Wrapped {
    /// The ciphertext, at most 4 KiB.
    pub bytes: Vec<u8>,
}

/// An unwrapped key. A secret: the host wipes its own copy where its language can.
#[derive(Clone, uniffi::Record)]
pub struct Unwrapped {
    /// The plain key, as it was given to `wrap`.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Unwrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unwrapped(redacted)")
    }
}

/// The rollback anchor: a few bytes kept outside the database, in a place that a backup does not copy and
/// that an app restart keeps.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Anchor {
    /// What was last stored; absent if never.
    pub bytes: Option<Vec<u8>>,
}

/// Receipt for a durable write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum Stored {
    /// The bytes will be there after a power cut.
    Durably,
}

/// How the key store reports that it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[uniffi::export(Debug, Display)]
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
        /// In the host's words; no secret: it travels into errors and logs.
        reason: String,
    },
    /// The key store threw something else. Made by this library; hosts throw the others.
    #[error("unexpected: {reason}")]
    Unexpected {
        /// Its first line.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for KeyStoreError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unexpected { reason: first_line(&error.reason) }
    }
}

impl From<KeyStoreError> for core::KeyStoreError {
    fn from(error: KeyStoreError) -> Self {
        match error {
            KeyStoreError::Locked => Self::Locked,
            KeyStoreError::Invalidated => Self::Invalidated,
            KeyStoreError::NotFound => Self::NotFound,
            KeyStoreError::UserCancelled => Self::UserCancelled,
            KeyStoreError::Failed { reason } => Self::Failed { reason },
            unexpected @ KeyStoreError::Unexpected { .. } => Self::Failed { reason: unexpected.to_string() },
        }
    }
}

/// Keys that never leave the hardware, and the rollback anchor.
///
/// Called on a worker thread of the wallet, also from several at once; may call back into the wallet. May
/// block: deadline 5 s a call (`Deadlines.key_store_ms`). Never called between GENERATE AC and its answer.
/// `sign` is idempotent; so is everything else under equal arguments.
///
/// Each method throws `Locked`, `Invalidated`, `NotFound` or `UserCancelled` where that is the reason, and
/// `Failed` for any other.
#[uniffi::export(foreign)]
pub trait DeviceKeyStore: Send + Sync {
    /// The device key, made at the first call.
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError>;

    /// Signs SHA-256 of `message` with the device key (ECDSA P-256).
    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError>;

    /// Wraps a 32-byte storage key under a hardware key, made at the first call. `key` is a secret.
    fn wrap(&self, key: Vec<u8>) -> Result<Wrapped, KeyStoreError>;

    /// Opens what `wrap` made.
    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError>;

    /// Throws the device key, the wrapping key and the anchor away and makes new keys at the next use. Called
    /// when the user re-activates after the old keys became useless.
    fn renew(&self) -> Result<Stored, KeyStoreError>;

    /// The rollback anchor.
    fn anchor(&self) -> Result<Anchor, KeyStoreError>;

    /// Replaces the rollback anchor (at most 64 bytes), durably, before it returns.
    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError>;
}

/// The app's key store, as the wallet calls it.
pub(super) struct FromApp(pub(super) Arc<dyn DeviceKeyStore>);

impl core::DeviceKeyStore for FromApp {
    fn public_key(&self) -> Result<core::DevicePublicKey, core::KeyStoreError> {
        Ok(core::DevicePublicKey { bytes: self.0.public_key()?.bytes })
    }

    fn sign(&self, message: Vec<u8>) -> Result<core::Signature, core::KeyStoreError> {
        Ok(core::Signature { bytes: self.0.sign(message)?.bytes })
    }

    fn wrap(&self, mut key: Zeroizing<Vec<u8>>) -> Result<core::Wrapped, core::KeyStoreError> {
        Ok(core::Wrapped { bytes: self.0.wrap(std::mem::take(&mut *key))?.bytes })
    }

    fn unwrap(&self, wrapped: core::Wrapped) -> Result<core::Unwrapped, core::KeyStoreError> {
        let opened = self.0.unwrap(Wrapped { bytes: wrapped.bytes })?;
        Ok(core::Unwrapped { bytes: Zeroizing::new(opened.bytes) })
    }

    fn renew(&self) -> Result<core::Stored, core::KeyStoreError> {
        Ok(self.0.renew()?.into())
    }

    fn anchor(&self) -> Result<core::Anchor, core::KeyStoreError> {
        Ok(core::Anchor { bytes: self.0.anchor()?.bytes })
    }

    fn set_anchor(&self, bytes: Vec<u8>) -> Result<core::Stored, core::KeyStoreError> {
        Ok(self.0.set_anchor(bytes)?.into())
    }
}

impl From<Stored> for core::Stored {
    fn from(receipt: Stored) -> Self {
        match receipt {
            Stored::Durably => Self::Durably,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_store_is_told_from_a_lost_key() {
        let of = core::KeyStoreError::from;
        assert_eq!(of(KeyStoreError::Locked), core::KeyStoreError::Locked);
        assert_eq!(of(KeyStoreError::Invalidated), core::KeyStoreError::Invalidated);
        assert_eq!(of(KeyStoreError::NotFound), core::KeyStoreError::NotFound);
        assert_eq!(of(KeyStoreError::UserCancelled), core::KeyStoreError::UserCancelled);
        let thrown = uniffi::UnexpectedUniFFICallbackError { reason: "NoSuchMethodError\n at".to_owned() };
        let reason = "unexpected: NoSuchMethodError".to_owned();
        assert_eq!(of(thrown.into()), core::KeyStoreError::Failed { reason });
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", Unwrapped { bytes: vec![7; 32] }), "Unwrapped(redacted)");
    }
}
