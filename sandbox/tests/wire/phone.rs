//! A phone as small as the token service client needs it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nfcwallet_core::WalletError;
use nfcwallet_core::activation::ActivationProgress;
use nfcwallet_core::host::*;
use nfcwallet_core::payment::{TapFailure, TapId, TransactionInformation, TransactionRecord};
use nfcwallet_core::token_service::{CacheKey, ClientSettings, ServiceCache, TokenServiceClient};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature as EcdsaSignature, SigningKey};

use super::service::{START_MS, Service};

/// How the key store signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Raw,
    Der,
    /// Well-formed, but over something else.
    Wrong,
    /// What a binding hands back that lost an exception.
    Zeroes,
    Locked,
}

pub(crate) struct Phone {
    pub(crate) signing: Mutex<Signing>,
    pub(crate) device_key: Mutex<SigningKey>,
    pub(crate) wall_ms: Mutex<i64>,
    pub(crate) monotonic: Mutex<Duration>,
    pub(crate) saved: Mutex<HashMap<CacheKey, Vec<u8>>>,
    pub(crate) disk_is_full: Mutex<bool>,
    service: Arc<Service>,
}

impl Phone {
    pub(crate) fn new(service: &Arc<Service>) -> Arc<Self> {
        Arc::new(Self {
            signing: Mutex::new(Signing::Raw),
            device_key: Mutex::new(SigningKey::from_slice(&[3; 32]).unwrap()),
            wall_ms: Mutex::new(START_MS),
            monotonic: Mutex::new(Duration::from_secs(9)),
            saved: Mutex::default(),
            disk_is_full: Mutex::new(false),
            service: Arc::clone(service),
        })
    }

    /// A process of the app that pins the service's trust key.
    pub(crate) fn client(self: &Arc<Self>) -> TokenServiceClient {
        self.client_that_pins(self.service.keys.lock().unwrap().trust_key())
    }

    pub(crate) fn client_that_pins(self: &Arc<Self>, trust_key: Vec<u8>) -> TokenServiceClient {
        let settings = ClientSettings { mpp_id: "mpp-1".to_owned(), trust_key, instance_id: [0xA1; 16] };
        let host = Host {
            proxy: Arc::clone(self) as Arc<dyn NFCRequestProxy>,
            key_store: Arc::clone(self) as Arc<dyn DeviceKeyStore>,
            device: Arc::new(Unused),
            permit: Arc::new(Unused),
            transactions: Arc::new(Unused),
            activation: Arc::new(Unused),
            monitor: Arc::new(Unused),
            clock: Arc::clone(self) as Arc<dyn Clock>,
            spawner: Arc::new(Unused),
            entropy: Arc::new(OsEntropy),
        };
        let calls = Arc::new(HostCalls::new(host, Deadlines::default()));
        TokenServiceClient::new(calls, Arc::clone(self) as Arc<dyn ServiceCache>, settings).unwrap()
    }

    /// Time passes on all clocks.
    pub(crate) fn wait(&self, milliseconds: i64) {
        *self.wall_ms.lock().unwrap() += milliseconds;
        *self.monotonic.lock().unwrap() += Duration::from_millis(milliseconds.unsigned_abs());
        *self.service.now_ms.lock().unwrap() += milliseconds;
    }
}

#[async_trait]
impl NFCRequestProxy for Phone {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        self.service.serve(kind, body).map(|body| Reply { body })
    }
}

impl ServiceCache for Phone {
    fn load(&self, key: CacheKey) -> Option<Vec<u8>> {
        self.saved.lock().unwrap().get(&key).cloned()
    }

    fn save(&self, key: CacheKey, value: &[u8]) -> Result<(), WalletError> {
        if *self.disk_is_full.lock().unwrap() {
            return Err(WalletError::StoreFull);
        }
        self.saved.lock().unwrap().insert(key, value.to_vec());
        Ok(())
    }
}

impl Clock for Phone {
    fn monotonic(&self) -> Duration {
        *self.monotonic.lock().unwrap()
    }

    fn wall_ms(&self) -> i64 {
        *self.wall_ms.lock().unwrap()
    }

    // No test here waits for a deadline.
    fn sleep(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

impl DeviceKeyStore for Phone {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        let key = self.device_key.lock().unwrap();
        Ok(DevicePublicKey { bytes: key.verifying_key().to_sec1_point(false).as_bytes().to_vec() })
    }

    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        let key = self.device_key.lock().unwrap();
        let signature: EcdsaSignature = key.sign(&message);
        let bytes = match *self.signing.lock().unwrap() {
            Signing::Raw => signature.to_bytes().to_vec(),
            Signing::Der => signature.to_der().as_bytes().to_vec(),
            Signing::Wrong => Signer::<EcdsaSignature>::sign(&*key, b"something else").to_bytes().to_vec(),
            Signing::Zeroes => vec![0; 64],
            Signing::Locked => return Err(KeyStoreError::Locked),
        };
        Ok(Signature { bytes })
    }

    fn wrap(&self, _: zeroize::Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn unwrap(&self, _: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn set_anchor(&self, _: Vec<u8>) -> Result<Stored, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }
}

/// What the client must never call.
struct Unused;

impl DeviceInfo for Unused {
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError> {
        panic!("not asked for here")
    }

    fn state(&self) -> Result<DeviceState, HostError> {
        panic!("not asked for here")
    }
}

impl TransactionPermit for Unused {
    fn is_allowed(&self, _: bool, _: TransactionInformation, _: RiskControl) -> Result<PermitDecision, HostError> {
        panic!("not asked for here")
    }
}

impl TransactionListener for Unused {
    fn on_start(&self, _: TapId) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }

    fn on_complete(&self, _: TapId, _: TransactionRecord) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }

    fn on_failed(&self, _: TapId, _: TapFailure, _: Option<TransactionInformation>) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }

    fn on_auth_required(&self, _: TapId, _: TransactionInformation) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }
}

impl ActivationListener for Unused {
    fn on_progress(&self, _: ActivationProgress) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }
}

impl Monitor for Unused {
    fn track(&self, _: MonitorEvent) -> Result<Delivered, HostError> {
        panic!("not asked for here")
    }
}

impl Spawner for Unused {
    fn spawn(&self, _: BoxFuture<()>) {
        panic!("not asked for here")
    }
}
