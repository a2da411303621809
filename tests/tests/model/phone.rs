//! The parts of a phone whose time moves only when it is told, and whose processes can be killed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use nfcwallet_core::host::{
    Anchor, BoxFuture, Clock, DeviceKeyStore, DevicePublicKey, HostError, KeyStoreError, NFCRequestProxy, Reply,
    RequestType, Signature, Spawner, Stored, Unwrapped, Wrapped,
};
use nfcwallet_sandbox::device::SoftKeyStore;
use nfcwallet_sandbox::relay::HttpProxy;
use tokio::runtime::Handle;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Pauses up to this are polls of the service and pass at once; longer ones wait for [`Time::pass`].
const POLL: Duration = Duration::from_secs(10);

/// The phone's clocks.
pub(crate) struct Time {
    monotonic: watch::Sender<Duration>,
    wall_ms: AtomicI64,
    runtime: Handle,
}

impl Time {
    /// An hour after the phone's start, so that the clock has somewhere to fall back to.
    pub(crate) fn new(wall_ms: i64, runtime: Handle) -> Self {
        Self { monotonic: watch::Sender::new(Duration::from_hours(1)), wall_ms: AtomicI64::new(wall_ms), runtime }
    }

    pub(crate) fn pass(&self, seconds: u32) {
        self.monotonic.send_modify(|now| *now += Duration::from_secs(seconds.into()));
        self.set_wall(self.wall_ms() + i64::from(seconds) * 1_000);
    }

    pub(crate) fn fall_back(&self, seconds: u32) {
        self.monotonic.send_modify(|now| *now = now.saturating_sub(Duration::from_secs(seconds.into())));
    }

    pub(crate) fn set_wall(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }

    /// Until the phone's clock shows it.
    fn until(&self, due: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut now = self.monotonic.subscribe();
        async move {
            // The clock is gone with the phone; nobody waits any more.
            let _ = now.wait_for(|now| *now >= due).await;
        }
    }

    fn really(&self, pause: Duration) -> tokio::time::Sleep {
        let _context = self.runtime.enter();
        tokio::time::sleep(pause)
    }
}

impl Clock for Time {
    fn monotonic(&self) -> Duration {
        *self.monotonic.borrow()
    }

    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        if pause <= POLL {
            Box::pin(self.really(pause / 1_000))
        } else {
            Box::pin(self.until(self.monotonic() + pause))
        }
    }

    /// A call that hangs does so in real time; a terminal that is silent, in the phone's.
    fn deadline(&self, limit: Duration) -> BoxFuture<()> {
        let (told, really) = (self.until(self.monotonic() + limit), self.really(limit));
        Box::pin(async move {
            tokio::select! {
                () = told => {}
                () = really => {}
            }
        })
    }
}

/// One process of the phone: after its end nothing of it reaches anything.
#[derive(Debug, Default)]
pub(crate) struct Life {
    dead: AtomicBool,
    /// Calls of the key store that run, requests that are out, tasks that nobody has polled yet, and
    /// polls that run.
    busy: AtomicU64,
    /// Everything that was ever done.
    done: AtomicU64,
}

impl Life {
    pub(crate) fn end(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Something runs just now; else how much has been done.
    pub(crate) fn at_rest(&self) -> Option<u64> {
        (self.busy.load(Ordering::SeqCst) == 0).then(|| self.done.load(Ordering::SeqCst))
    }

    fn is_over(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn begin(self: &Arc<Self>) -> Doing {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Doing(Arc::clone(self))
    }
}

/// Something that is being done.
struct Doing(Arc<Life>);

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::SeqCst);
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Background work that ends with its process.
pub(crate) struct Work {
    pub(crate) life: Arc<Life>,
    pub(crate) runtime: Handle,
}

impl Spawner for Work {
    fn spawn(&self, task: BoxFuture<()>) {
        let first = Some(self.life.begin());
        drop(self.runtime.spawn(Task { task, first, life: Arc::clone(&self.life) }));
    }
}

struct Task {
    task: BoxFuture<()>,
    /// Until the first poll.
    first: Option<Doing>,
    life: Arc<Life>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let polling = self.life.begin();
        drop(self.first.take());
        if self.life.is_over() {
            return Poll::Ready(());
        }
        let polled = self.task.as_mut().poll(context);
        drop(polling);
        polled
    }
}

/// The app's way to its server, in the name of the user who is logged in.
pub(crate) struct Line {
    pub(crate) life: Arc<Life>,
    pub(crate) session: Arc<Mutex<HttpProxy>>,
}

#[async_trait]
impl NFCRequestProxy for Line {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        let _doing = self.life.begin();
        if self.life.is_over() {
            return Err(HostError::Offline);
        }
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.send_request(kind, body).await
    }
}

/// The device's key store, as one process sees it.
pub(crate) struct Keys {
    pub(crate) life: Arc<Life>,
    pub(crate) device: Arc<SoftKeyStore>,
}

impl Keys {
    fn call<T>(&self, call: impl FnOnce(&SoftKeyStore) -> Result<T, KeyStoreError>) -> Result<T, KeyStoreError> {
        let _doing = self.life.begin();
        if self.life.is_over() {
            return Err(KeyStoreError::Failed { reason: "the process is gone".to_owned() });
        }
        call(&self.device)
    }
}

impl DeviceKeyStore for Keys {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        self.call(DeviceKeyStore::public_key)
    }

    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        self.call(|device| device.sign(message))
    }

    fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        self.call(|device| device.wrap(key))
    }

    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        self.call(|device| DeviceKeyStore::unwrap(device, wrapped))
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        self.call(DeviceKeyStore::renew)
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        self.call(DeviceKeyStore::anchor)
    }

    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        self.call(|device| device.set_anchor(bytes))
    }
}
