//! A phone without network, disk or time: the wallet's client of the service, whose answers a target
//! makes up.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use async_trait::async_trait;
use nfcwallet_core::WalletError;
use nfcwallet_core::host::{
    Anchor, BoxFuture, Clock, Deadlines, DeviceKeyStore, DevicePublicKey, Entropy, Host, HostCalls, HostError,
    KeyStoreError, NFCRequestProxy, Reply, RequestType, Signature, Spawner, Stored, Unwrapped, Wrapped,
};
use nfcwallet_core::token_service::{CacheKey, ClientSettings, ServiceCache, TokenServiceClient};
use nfcwallet_sandbox::device::{Recorder, SimDevice, SimPermit};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use zeroize::Zeroizing;

use crate::service;

/// What answers a request. `None`: the phone is offline.
type Service = Box<dyn FnMut(RequestType, &[u8]) -> Option<Vec<u8>> + Send>;

/// One phone for all inputs, so that its worker threads are started once.
static PHONE: LazyLock<Arc<Phone>> = LazyLock::new(Arc::default);
static CALLS: LazyLock<Arc<HostCalls>> = LazyLock::new(|| Arc::new(HostCalls::new(PHONE.host(), Deadlines::default())));

#[derive(Default)]
struct Phone {
    service: Mutex<Option<Service>>,
    wall_ms: AtomicI64,
    random: AtomicU64,
    device_key: Mutex<Option<SigningKey>>,
}

/// What the client remembered.
#[derive(Default)]
pub(crate) struct Cache(Mutex<BTreeMap<&'static str, Vec<u8>>>);

/// Starts the phone anew with a wall clock that shows `wall_ms`.
pub(crate) fn restart(wall_ms: i64) {
    PHONE.wall_ms.store(wall_ms, Ordering::SeqCst);
    PHONE.random.store(1, Ordering::SeqCst);
}

/// From now on `service` answers.
pub(crate) fn answer_with(service: impl FnMut(RequestType, &[u8]) -> Option<Vec<u8>> + Send + 'static) {
    *lock(&PHONE.service) = Some(Box::new(service));
}

/// The wallet's client, in a process that remembers `cache`.
pub(crate) fn client(cache: &Arc<Cache>) -> TokenServiceClient {
    let settings =
        ClientSettings { mpp_id: "mpp".to_owned(), trust_key: service::trust_key(), instance_id: [0x1D; 16] };
    TokenServiceClient::new(Arc::clone(&CALLS), cache.clone(), settings).unwrap()
}

/// Waits for a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Phone {
    fn host(self: &Arc<Self>) -> Host {
        let recorder = Arc::new(Recorder::default());
        Host {
            proxy: self.clone(),
            key_store: self.clone(),
            device: Arc::new(SimDevice::new("phone")),
            permit: Arc::new(SimPermit::default()),
            transactions: recorder.clone(),
            activation: recorder.clone(),
            monitor: recorder,
            clock: self.clone(),
            spawner: self.clone(),
            entropy: self.clone(),
        }
    }
}

#[async_trait]
impl NFCRequestProxy for Phone {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        let body = lock(&self.service).as_mut().and_then(|service| service(kind, &body));
        body.map(|body| Reply { body }).ok_or(HostError::Offline)
    }
}

impl DeviceKeyStore for Phone {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        let mut key = lock(&self.device_key);
        let key = key.get_or_insert_with(|| SigningKey::from_slice(&[0x53; 32]).unwrap());
        Ok(DevicePublicKey { bytes: key.verifying_key().to_sec1_point(false).as_bytes().to_vec() })
    }

    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        let key = lock(&self.device_key).clone().ok_or(KeyStoreError::NotFound)?;
        let signature: p256::ecdsa::Signature = key.sign(&message);
        Ok(Signature { bytes: signature.to_bytes().to_vec() })
    }

    fn wrap(&self, _: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
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

impl Clock for Phone {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1_000)
    }

    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    /// Time stands still: no deadline is ever reached.
    fn sleep(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

impl Spawner for Phone {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(task);
    }
}

impl Entropy for Phone {
    /// Repeats itself after each restart, so that a crash can be repeated.
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            let state = self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or_default();
            *byte = state.to_be_bytes()[0];
        }
    }
}

impl Cache {
    pub(crate) fn saved(&self, key: CacheKey) -> Option<Vec<u8>> {
        lock(&self.0).get(name(key)).cloned()
    }
}

impl ServiceCache for Cache {
    fn load(&self, key: CacheKey) -> Option<Vec<u8>> {
        self.saved(key)
    }

    fn save(&self, key: CacheKey, value: &[u8]) -> Result<(), WalletError> {
        lock(&self.0).insert(name(key), value.to_vec());
        Ok(())
    }
}

fn name(key: CacheKey) -> &'static str {
    match key {
        CacheKey::KeySet => "key set",
        CacheKey::ClockOffset => "clock offset",
    }
}
