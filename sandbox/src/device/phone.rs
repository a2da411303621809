//! The parts of a simulated phone, put together.

use std::path::Path;
use std::sync::Arc;

use nfcwallet_core::host::{Entropy, Host, KeyStoreError, NFCRequestProxy, OsEntropy};
use tokio::runtime::Handle;

use super::{Recorder, SimDevice, SimPermit, SoftKeyStore, TokioClock, TokioSpawner};

/// A phone with an app on it. The parts stay in a test's hands; [`SimPhone::host`] gives them to a
/// wallet, as often as the app is "started".
#[derive(Clone)]
pub struct SimPhone {
    /// The way to the network.
    pub proxy: Arc<dyn NFCRequestProxy>,
    /// Keys, in a folder.
    pub key_store: Arc<SoftKeyStore>,
    /// What the device says.
    pub device: Arc<SimDevice>,
    /// The app's decision on taps.
    pub permit: Arc<SimPermit>,
    /// What the app hears.
    pub recorder: Arc<Recorder>,
    /// Time.
    pub clock: Arc<TokioClock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where background work runs.
    pub runtime: Handle,
}

impl std::fmt::Debug for SimPhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimPhone")
    }
}

impl SimPhone {
    /// A healthy phone with real time and randomness, whose hardware keys live in `keys`.
    ///
    /// # Errors
    /// [`KeyStoreError::Failed`] if the folder cannot be used.
    pub fn new(keys: &Path, proxy: Arc<dyn NFCRequestProxy>, runtime: Handle) -> Result<Self, KeyStoreError> {
        Ok(Self {
            proxy,
            key_store: Arc::new(SoftKeyStore::open(keys)?),
            device: Arc::new(SimDevice::new("simulated phone")),
            permit: Arc::default(),
            recorder: Arc::default(),
            clock: Arc::new(TokioClock::new(runtime.clone())),
            entropy: Arc::new(OsEntropy),
            runtime,
        })
    }

    /// What the app hands to the wallet.
    #[must_use]
    pub fn host(&self) -> Host {
        Host {
            proxy: self.proxy.clone(),
            key_store: self.key_store.clone(),
            device: self.device.clone(),
            permit: self.permit.clone(),
            transactions: self.recorder.clone(),
            activation: self.recorder.clone(),
            monitor: self.recorder.clone(),
            clock: self.clock.clone(),
            spawner: Arc::new(TokioSpawner(self.runtime.clone())),
            entropy: self.entropy.clone(),
        }
    }
}
