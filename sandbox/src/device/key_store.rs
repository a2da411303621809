//! A key store in software that behaves like hardware, its failures included.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use nfcwallet_core::host::{
    Anchor, DeviceKeyStore, DevicePublicKey, Entropy, KeyStoreError, OsEntropy, Signature, Stored, Unwrapped, Wrapped,
};
use nfcwallet_core::secret::Secret;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{self, SigningKey};
use zeroize::Zeroizing;

use super::key_files::{KeyFiles, Keys};
use crate::token_service::locked;

/// Length of an AES-GCM nonce in front of the wrapped key.
const NONCE: usize = 12;

/// The anchor's limit.
const ANCHOR_LIMIT: usize = 64;

/// The methods of the key store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCall {
    /// `public_key`
    PublicKey,
    /// `sign`
    Sign,
    /// `wrap`
    Wrap,
    /// `unwrap`
    Unwrap,
    /// `renew`
    Renew,
    /// `anchor`
    Anchor,
    /// `set_anchor`
    SetAnchor,
}

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// It fails with this, and does nothing.
    Error(KeyStoreError),
    /// It works, after this long.
    Slow(Duration),
    /// It panics.
    Panic,
}

#[derive(Debug)]
struct Injected {
    call: Option<KeyCall>,
    fault: KeyFault,
    times: Option<u32>,
}

/// Keys in a folder, so that a process that was killed finds them again.
pub struct SoftKeyStore {
    files: Mutex<KeyFiles>,
    locked: Mutex<bool>,
    injected: Mutex<Vec<Injected>>,
    calls: Mutex<Vec<KeyCall>>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for SoftKeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SoftKeyStore")
    }
}

impl SoftKeyStore {
    /// Opens the folder, or makes it. Keys are made at their first use.
    ///
    /// # Errors
    /// [`KeyStoreError::Failed`] if the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, KeyStoreError> {
        Self::open_with(folder, Arc::new(OsEntropy))
    }

    /// As `open`, with keys and nonces from `entropy`.
    ///
    /// # Errors
    /// [`KeyStoreError::Failed`] if the folder cannot be used.
    pub fn open_with(folder: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, KeyStoreError> {
        Ok(Self {
            files: Mutex::new(KeyFiles::open(folder).map_err(failed)?),
            locked: Mutex::new(false),
            injected: Mutex::default(),
            calls: Mutex::default(),
            entropy,
        })
    }

    /// Locks or unlocks the device: signing and unwrapping fail with `Locked` while it is locked.
    pub fn set_locked(&self, now_locked: bool) {
        *locked(&self.locked) = now_locked;
    }

    /// Destroys the keys, as a new fingerprint or a removed screen lock does. Survives a restart;
    /// only `renew` ends it.
    ///
    /// # Errors
    /// [`KeyStoreError::Failed`] if the folder cannot be written.
    pub fn invalidate(&self) -> Result<(), KeyStoreError> {
        let gone = Keys { invalidated: true, ..Keys::default() };
        locked(&self.files).set_keys(&gone).map_err(failed)
    }

    /// Makes a method fail, or all if `call` is `None`; so many times, or until [`Self::mend`].
    pub fn inject(&self, call: Option<KeyCall>, fault: KeyFault, times: Option<u32>) {
        locked(&self.injected).push(Injected { call, fault, times });
    }

    /// Forgets every injected fault.
    pub fn mend(&self) {
        locked(&self.injected).clear();
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<KeyCall> {
        locked(&self.calls).clone()
    }

    fn enter(&self, call: KeyCall) -> Result<(), KeyStoreError> {
        locked(&self.calls).push(call);
        match self.take_fault(call) {
            Some(KeyFault::Error(error)) => return Err(error),
            Some(KeyFault::Slow(pause)) => std::thread::sleep(pause),
            #[allow(clippy::panic, reason = "a test asked for it")]
            Some(KeyFault::Panic) => panic!("injected"),
            None => {}
        }
        let needs_unlocked = matches!(call, KeyCall::Sign | KeyCall::Wrap | KeyCall::Unwrap);
        if needs_unlocked && *locked(&self.locked) { Err(KeyStoreError::Locked) } else { Ok(()) }
    }

    fn take_fault(&self, call: KeyCall) -> Option<KeyFault> {
        let mut injected = locked(&self.injected);
        let due = injected.iter_mut().find(|one| one.call.is_none_or(|wanted| wanted == call))?;
        let fault = due.fault.clone();
        if let Some(times) = &mut due.times {
            *times = times.saturating_sub(1);
        }
        injected.retain(|one| one.times != Some(0));
        Some(fault)
    }

    /// The key that `part` names, made and kept if `make` says so.
    fn key(
        &self,
        part: fn(&mut Keys) -> &mut Option<Secret<32>>,
        make: Option<&dyn Fn() -> Secret<32>>,
    ) -> Result<Secret<32>, KeyStoreError> {
        let files = locked(&self.files);
        let mut keys = files.keys().map_err(failed)?;
        if keys.invalidated {
            return Err(KeyStoreError::Invalidated);
        }
        match (part(&mut keys).clone(), make) {
            (Some(key), _) => Ok(key),
            (None, None) => Err(KeyStoreError::NotFound),
            (None, Some(make)) => {
                let key = make();
                *part(&mut keys) = Some(key.clone());
                files.set_keys(&keys).map_err(failed)?;
                Ok(key)
            }
        }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// A scalar in the range of the curve (all but about 2^-32 of the 32-byte strings are).
    fn device_scalar(&self) -> Secret<32> {
        loop {
            let scalar = self.random();
            if SigningKey::from_slice(&scalar).is_ok() {
                return Secret::new(scalar);
            }
        }
    }
}

impl DeviceKeyStore for SoftKeyStore {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        self.enter(KeyCall::PublicKey)?;
        let key = signing_key(&self.key(|keys| &mut keys.device, Some(&|| self.device_scalar()))?)?;
        Ok(DevicePublicKey { bytes: key.verifying_key().to_sec1_point(false).as_bytes().to_vec() })
    }

    /// Signs as Android's key store does: in DER.
    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        self.enter(KeyCall::Sign)?;
        let key = signing_key(&self.key(|keys| &mut keys.device, None)?)?;
        let signature: ecdsa::Signature = key.try_sign(&message).map_err(|_| failed("signing"))?;
        Ok(Signature { bytes: signature.to_der().as_bytes().to_vec() })
    }

    fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        self.enter(KeyCall::Wrap)?;
        let wrapping = self.key(|keys| &mut keys.wrapping, Some(&|| Secret::new(self.random())))?;
        let nonce: [u8; NONCE] = self.random();
        let sealed = cipher(&wrapping).encrypt(&Nonce::from(nonce), key.as_slice()).map_err(|_| failed("wrapping"))?;
        Ok(Wrapped { bytes: [nonce.as_slice(), &sealed].concat() })
    }

    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        self.enter(KeyCall::Unwrap)?;
        let wrapping = self.key(|keys| &mut keys.wrapping, None)?;
        let (nonce, sealed) =
            wrapped.bytes.split_first_chunk::<NONCE>().ok_or_else(|| failed("the wrapped key is too short"))?;
        let plain = cipher(&wrapping)
            .decrypt(&Nonce::from(*nonce), sealed)
            .map_err(|_| failed("the wrapped key does not open under this device's key"))?;
        Ok(Unwrapped { bytes: Zeroizing::new(plain) })
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        self.enter(KeyCall::Renew)?;
        let files = locked(&self.files);
        files.set_keys(&Keys::default()).map_err(failed)?;
        files.remove_anchor().map_err(failed)?;
        Ok(Stored::Durably)
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        self.enter(KeyCall::Anchor)?;
        Ok(Anchor { bytes: locked(&self.files).anchor().map_err(failed)? })
    }

    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        self.enter(KeyCall::SetAnchor)?;
        if bytes.len() > ANCHOR_LIMIT {
            return Err(failed(format!("the anchor is {} bytes, limit {ANCHOR_LIMIT}", bytes.len())));
        }
        locked(&self.files).set_anchor(&bytes).map_err(failed)?;
        Ok(Stored::Durably)
    }
}

fn signing_key(scalar: &Secret<32>) -> Result<SigningKey, KeyStoreError> {
    SigningKey::from_slice(scalar.expose()).map_err(|_| failed("the device key is damaged"))
}

fn cipher(key: &Secret<32>) -> Aes256Gcm {
    Aes256Gcm::new(key.expose().into())
}

fn failed(reason: impl std::fmt::Display) -> KeyStoreError {
    KeyStoreError::Failed { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier;

    fn storage_key() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![7; 32])
    }

    #[test]
    fn a_restarted_process_finds_keys_and_anchor_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = SoftKeyStore::open(folder.path()).unwrap();
        let public = first.public_key().unwrap();
        let wrapped = first.wrap(storage_key()).unwrap();
        first.set_anchor(vec![1, 2, 3]).unwrap();
        drop(first);
        let second = SoftKeyStore::open(folder.path()).unwrap();
        assert_eq!(second.public_key().unwrap(), public);
        assert_eq!(*second.unwrap(wrapped).unwrap().bytes, *storage_key());
        assert_eq!(second.anchor().unwrap().bytes, Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_signature_verifies_under_the_public_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = SoftKeyStore::open(folder.path()).unwrap();
        assert_eq!(store.sign(b"early".to_vec()), Err(KeyStoreError::NotFound));
        let public = VerifyingKey::from_sec1_bytes(&store.public_key().unwrap().bytes).unwrap();
        let signature = store.sign(b"message".to_vec()).unwrap();
        let signature = ecdsa::Signature::from_der(&signature.bytes).unwrap();
        public.verify(b"message", &signature).unwrap();
        assert!(public.verify(b"massage", &signature).is_err());
    }

    #[test]
    fn another_device_does_not_open_a_wrapped_key() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (SoftKeyStore::open(here.path()).unwrap(), SoftKeyStore::open(there.path()).unwrap());
        let wrapped = here.wrap(storage_key()).unwrap();
        assert_eq!(there.unwrap(wrapped.clone()).err(), Some(KeyStoreError::NotFound));
        there.wrap(storage_key()).unwrap();
        assert!(matches!(there.unwrap(wrapped), Err(KeyStoreError::Failed { .. })));
    }

    #[test]
    fn invalidated_keys_stay_so_until_they_are_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let store = SoftKeyStore::open(folder.path()).unwrap();
        let old = store.public_key().unwrap();
        store.set_anchor(vec![1]).unwrap();
        store.invalidate().unwrap();
        let store = SoftKeyStore::open(folder.path()).unwrap();
        assert_eq!(store.public_key(), Err(KeyStoreError::Invalidated));
        assert_eq!(store.wrap(storage_key()), Err(KeyStoreError::Invalidated));
        store.renew().unwrap();
        assert_ne!(store.public_key().unwrap(), old);
        assert_eq!(store.anchor().unwrap().bytes, None);
    }

    #[test]
    fn a_locked_device_neither_signs_nor_unwraps() {
        let folder = tempfile::tempdir().unwrap();
        let store = SoftKeyStore::open(folder.path()).unwrap();
        let wrapped = store.wrap(storage_key()).unwrap();
        store.set_locked(true);
        assert_eq!(store.unwrap(wrapped.clone()).err(), Some(KeyStoreError::Locked));
        store.set_locked(false);
        assert!(store.unwrap(wrapped).is_ok());
    }

    #[test]
    fn an_injected_fault_strikes_its_call_as_often_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let store = SoftKeyStore::open(folder.path()).unwrap();
        let full = KeyStoreError::Failed { reason: "no space".to_owned() };
        store.inject(Some(KeyCall::SetAnchor), KeyFault::Error(full.clone()), Some(1));
        store.set_anchor(vec![0; ANCHOR_LIMIT]).unwrap_err();
        store.set_anchor(vec![0; ANCHOR_LIMIT]).unwrap();
        store.inject(None, KeyFault::Error(KeyStoreError::UserCancelled), None);
        assert_eq!(store.anchor(), Err(KeyStoreError::UserCancelled));
        store.mend();
        assert!(store.set_anchor(vec![0; ANCHOR_LIMIT + 1]).is_err());
        assert_eq!(store.anchor().unwrap().bytes, Some(vec![0; ANCHOR_LIMIT]));
        assert_eq!(store.calls().len(), 5);
    }
}
