//! A host for tests: keys in memory behind real encryption, failures and pauses on demand.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::host::{
    ActivationListener, Anchor, BoxFuture, Clock, Deadlines, Delivered, DeviceFingerprint, DeviceInfo, DeviceKeyStore,
    DevicePublicKey, DeviceState, Entropy, Host, HostCalls, HostError, KeyStoreError, Monitor, MonitorEvent,
    NFCRequestProxy, OsEntropy, PermitDecision, Reply, RequestType, RiskControl, Signature, Spawner, Stored,
    TransactionListener, TransactionPermit, Unwrapped, Wrapped,
};
use crate::payment::{TapFailure, TapId, TransactionInformation, TransactionRecord};

/// Key store of a device. Clones are the same device.
#[derive(Clone, Default)]
pub(crate) struct TestKeys(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    wrapping: Option<[u8; 32]>,
    anchor: Option<Vec<u8>>,
    anchor_writes: Vec<Vec<u8>>,
    fail: Option<KeyStoreError>,
    fail_anchor: Option<KeyStoreError>,
    zeroes: bool,
    gate: Option<(Sender<()>, Receiver<()>)>,
    before_anchor_write: Option<Hook>,
}

type Hook = Box<dyn FnMut() + Send>;

/// Holds the next anchor write until it is opened.
pub(crate) struct Gate {
    pub(crate) reached: Receiver<()>,
    pub(crate) open: Sender<()>,
}

impl TestKeys {
    /// Every call fails with this until told otherwise.
    pub(crate) fn fail(&self, error: Option<KeyStoreError>) {
        self.keys().fail = error;
    }

    /// Every call that writes the anchor fails with this until told otherwise.
    pub(crate) fn fail_anchor(&self, error: Option<KeyStoreError>) {
        self.keys().fail_anchor = error;
    }

    /// Unwrapping answers zeroes, as a binding does that loses an exception.
    pub(crate) fn answer_zeroes(&self, zeroes: bool) {
        self.keys().zeroes = zeroes;
    }

    pub(crate) fn anchor_bytes(&self) -> Option<Vec<u8>> {
        self.keys().anchor.clone()
    }

    pub(crate) fn put_anchor(&self, anchor: Option<Vec<u8>>) {
        self.keys().anchor = anchor;
    }

    /// How often the anchor was written.
    pub(crate) fn anchor_writes(&self) -> usize {
        self.keys().anchor_writes.len()
    }

    /// The same device as it is now, for what would have happened after a kill.
    pub(crate) fn fork(&self) -> Self {
        let keys = self.keys();
        let (wrapping, anchor) = (keys.wrapping, keys.anchor.clone());
        Self(Arc::new(Mutex::new(Keys { wrapping, anchor, ..Keys::default() })))
    }

    /// Runs before each write of the anchor.
    pub(crate) fn before_anchor_write(&self, hook: Option<Hook>) {
        self.keys().before_anchor_write = hook;
    }

    pub(crate) fn hold_next_anchor_write(&self) -> Gate {
        let (reached_sender, reached) = channel();
        let (open, opened) = channel();
        self.keys().gate = Some((reached_sender, opened));
        Gate { reached, open }
    }

    /// A wallet's view of the device.
    pub(crate) fn calls(&self) -> Arc<HostCalls> {
        self.calls_within(Duration::from_secs(5))
    }

    pub(crate) fn calls_within(&self, key_store: Duration) -> Arc<HostCalls> {
        let quiet = Arc::new(Quiet);
        let host = Host {
            proxy: quiet.clone(),
            key_store: Arc::new(self.clone()),
            device: quiet.clone(),
            permit: quiet.clone(),
            transactions: quiet.clone(),
            activation: quiet.clone(),
            monitor: quiet.clone(),
            clock: Arc::new(StdClock(Instant::now())),
            spawner: quiet,
            entropy: Arc::new(OsEntropy),
        };
        Arc::new(HostCalls::new(host, Deadlines { key_store, ..Deadlines::default() }))
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap()
    }

    fn cipher(&self) -> Result<Aes256Gcm, KeyStoreError> {
        let mut keys = self.keys();
        if let Some(error) = keys.fail.clone() {
            return Err(error);
        }
        let wrapping = keys.wrapping.get_or_insert_with(|| {
            let mut bytes = [0; 32];
            OsEntropy.fill(&mut bytes);
            bytes
        });
        Ok(Aes256Gcm::new((&*wrapping).into()))
    }
}

impl DeviceKeyStore for TestKeys {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn sign(&self, _: Vec<u8>) -> Result<Signature, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        let mut nonce = [0; 12];
        OsEntropy.fill(&mut nonce);
        let sealed = self.cipher()?.encrypt(&Nonce::from(nonce), key.as_slice()).unwrap();
        Ok(Wrapped { bytes: [nonce.as_slice(), &sealed].concat() })
    }

    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        if self.keys().zeroes {
            return Ok(Unwrapped { bytes: Zeroizing::new(vec![0; 32]) });
        }
        let (nonce, sealed) = wrapped.bytes.split_first_chunk::<12>().ok_or(KeyStoreError::NotFound)?;
        let plain = self.cipher()?.decrypt(&Nonce::from(*nonce), sealed).map_err(|_| KeyStoreError::NotFound)?;
        Ok(Unwrapped { bytes: Zeroizing::new(plain) })
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        let mut keys = self.keys();
        if let Some(error) = keys.fail.clone() {
            return Err(error);
        }
        (keys.wrapping, keys.anchor) = (None, None);
        Ok(Stored::Durably)
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        let keys = self.keys();
        match keys.fail.clone() {
            Some(error) => Err(error),
            None => Ok(Anchor { bytes: keys.anchor.clone() }),
        }
    }

    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        let gate = self.keys().gate.take();
        if let Some((reached, opened)) = gate {
            reached.send(()).unwrap();
            // A test that has ended opens every gate.
            let _ = opened.recv();
        }
        let mut keys = self.keys();
        if let Some(error) = keys.fail.clone().or_else(|| keys.fail_anchor.clone()) {
            return Err(error);
        }
        if let Some(hook) = &mut keys.before_anchor_write {
            hook();
        }
        keys.anchor = Some(bytes.clone());
        keys.anchor_writes.push(bytes);
        Ok(Stored::Durably)
    }
}

struct StdClock(Instant);

impl Clock for StdClock {
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall_ms(&self) -> i64 {
        0
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(pause);
            // Nobody waits any more.
            let _: Result<(), ()> = sender.send(());
        });
        Box::pin(async move { receiver.await.unwrap_or_default() })
    }
}

/// The rest of a host, which the store never calls.
struct Quiet;

#[async_trait]
impl NFCRequestProxy for Quiet {
    async fn send_request(&self, _: RequestType, _: Vec<u8>) -> Result<Reply, HostError> {
        Err(HostError::Offline)
    }
}

impl DeviceInfo for Quiet {
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError> {
        Err(HostError::Panicked)
    }

    fn state(&self) -> Result<DeviceState, HostError> {
        Err(HostError::Panicked)
    }
}

impl TransactionPermit for Quiet {
    fn is_allowed(&self, _: bool, _: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
        Ok(PermitDecision::Decline)
    }
}

impl TransactionListener for Quiet {
    fn on_start(&self, _: TapId) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_complete(&self, _: TapId, _: TransactionRecord) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_failed(&self, _: TapId, _: TapFailure, _: Option<TransactionInformation>) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_auth_required(&self, _: TapId, _: TransactionInformation) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}

impl ActivationListener for Quiet {
    fn on_progress(&self, _: crate::activation::ActivationProgress) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}

impl Monitor for Quiet {
    fn track(&self, _: MonitorEvent) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}

impl Spawner for Quiet {
    fn spawn(&self, _: BoxFuture<()>) {}
}
