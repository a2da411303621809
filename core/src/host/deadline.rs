//! Calls on the host under a deadline.
//!
//! Interfaces run on worker threads of the wallet, so that one that hangs costs its deadline and a
//! thread, never the tap or the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use zeroize::Zeroizing;

use super::together::{Together, at_the_end, together};
use super::workers::{Beside, NoAnswer, Pending, Workers};
use super::{
    Anchor, BoxFuture, Clock, DeviceFingerprint, DevicePublicKey, DeviceState, Entropy, Host, HostError, KeyStoreError,
    PermitDecision, Reply, RequestType, RiskControl, Signature, Stored, Unwrapped, Wrapped,
};
use crate::error::{NetworkProblem, WalletError};
use crate::payment::TransactionInformation;

/// Answers of the relay above this size are refused unread.
pub(crate) const REPLY_LIMIT: usize = 256 * 1024;

/// Calls that hang keep a thread each; beyond this many, further calls of the same interface fail at
/// once. Each interface has as many of its own, so that none that hangs takes a thread from another.
const WORKER_LIMIT: usize = 16;

/// The burn of a tap, and the one before it that a slow disk still writes.
const OWN_WORKER_LIMIT: usize = 2;

/// How long each interface may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// `NFCRequestProxy::send_request`.
    pub proxy: Duration,
    /// Every method of `DeviceKeyStore`.
    pub key_store: Duration,
    /// `DeviceInfo::fingerprint`.
    pub fingerprint: Duration,
    /// `DeviceInfo::state`.
    pub device_state: Duration,
    /// `TransactionPermit::is_allowed`.
    pub permit: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            proxy: Duration::from_secs(15),
            key_store: Duration::from_secs(5),
            fingerprint: Duration::from_secs(2),
            device_state: Duration::from_millis(100),
            permit: Duration::from_millis(100),
        }
    }
}

/// The host, called under deadlines.
pub struct HostCalls {
    host: Host,
    deadlines: Deadlines,
    workers: Arc<Workers>,
    device_workers: Arc<Workers>,
    permit_workers: Arc<Workers>,
    proxy_workers: Arc<Workers>,
    /// For the wallet's own work, which hangs at most with the disk.
    own_workers: Arc<Workers>,
}

impl std::fmt::Debug for HostCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostCalls")
    }
}

impl HostCalls {
    /// Wraps `host`. Starts no thread yet.
    #[must_use]
    pub fn new(host: Host, deadlines: Deadlines) -> Self {
        let workers = || Arc::new(Workers::new(WORKER_LIMIT));
        let own_workers = Arc::new(Workers::new(OWN_WORKER_LIMIT));
        let (device_workers, permit_workers, proxy_workers) = (workers(), workers(), workers());
        Self { host, deadlines, workers: workers(), device_workers, permit_workers, proxy_workers, own_workers }
    }

    /// The host itself, for its listeners.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Time.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.host.clock
    }

    /// Randomness.
    #[must_use]
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.host.entropy
    }

    /// Starts the wallet's own work on a thread of the wallet and returns at once.
    pub(crate) fn beside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
        self.own_workers.beside(work)
    }

    /// While the returned value lives, what this thread hands to others waits for its end, or until
    /// this thread waits for something: one APDU wakes one thread.
    pub(crate) fn together(&self) -> Option<Together> {
        together(&self.own_workers)
    }

    /// Starts background work. A spawner that panics loses the task, not the caller.
    pub fn spawn(&self, task: BoxFuture<()>) {
        let spawner = Arc::clone(&self.host.spawner);
        at_the_end(Box::new(move || {
            if catch_unwind(AssertUnwindSafe(|| spawner.spawn(task))).is_err() {
                tracing::error!("the spawner panicked: background work was lost");
            }
        }));
    }

    /// The end of a deadline. A clock that panics, as a timer does whose executor the app has shut
    /// down, would never tell it: the call ends there, as one that took too long.
    fn too_late(&self, limit: Duration) -> BoxFuture<()> {
        let clock = Arc::clone(&self.host.clock);
        let wait = AssertUnwindSafe(async move { clock.deadline(limit).await });
        Box::pin(wait.catch_unwind().map(|waited| {
            if waited.is_err() {
                tracing::error!("the clock panicked: a call was given up before its deadline");
            }
        }))
    }

    /// Sends a request through the proxy and checks the answer's size.
    ///
    /// # Errors
    /// [`WalletError::Network`] for every failure of the way, [`WalletError::Host`] if the proxy
    /// panics.
    pub async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, WalletError> {
        let limit = self.deadlines.proxy;
        let timed_out = WalletError::Network { reason: NetworkProblem::TimedOut { limit } };
        let proxy = Arc::clone(&self.host.proxy);
        let call = async move { proxy.send_request(kind, body).await };
        let Some(answer) = self.proxy_workers.poll(call) else { return Err(timed_out) };
        let reply = match select(answer, self.too_late(limit)).await {
            Either::Left((Ok(Ok(Ok(reply))), _)) => reply,
            Either::Left((Ok(Ok(Err(error))), _)) => return Err(network_error(error)),
            Either::Left((Ok(Err(NoAnswer::Panicked)), _)) => {
                return Err(WalletError::Host { interface: "NFCRequestProxy", reason: "panicked".to_owned() });
            }
            Either::Left((Ok(Err(NoAnswer::TimedOut { .. })) | Err(_), _)) | Either::Right(_) => {
                return Err(timed_out);
            }
        };
        match reply.body.len() {
            0 => Err(WalletError::Network { reason: NetworkProblem::Empty }),
            bytes if bytes > REPLY_LIMIT => {
                Err(WalletError::Network { reason: NetworkProblem::TooLarge { bytes, limit: REPLY_LIMIT } })
            }
            _ => Ok(reply),
        }
    }

    /// The device key.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`].
    pub fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        self.key_store(|keys| keys.public_key())
    }

    /// Signs with the device key, without blocking the executor.
    ///
    /// # Errors
    /// As the key store names them.
    pub async fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        let keys = Arc::clone(&self.host.key_store);
        let Some(answer) = self.workers.poll(async move { keys.sign(message) }) else {
            return Err(KeyStoreError::TimedOut);
        };
        match select(answer, self.too_late(self.deadlines.key_store)).await {
            Either::Left((Ok(Ok(result)), _)) => result,
            Either::Left((Ok(Err(reason)), _)) => Err(reason.into()),
            Either::Left((Err(_), _)) | Either::Right(_) => Err(KeyStoreError::TimedOut),
        }
    }

    /// Wraps the storage key. Blocks.
    ///
    /// # Errors
    /// As the key store names them.
    pub fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        self.key_store(move |keys| keys.wrap(key))
    }

    /// Unwraps the storage key. Blocks.
    ///
    /// # Errors
    /// As the key store names them.
    pub fn unwrap_key(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        self.key_store(move |keys| keys.unwrap(wrapped))
    }

    /// Throws the hardware keys away. Blocks.
    ///
    /// # Errors
    /// As the key store names them.
    pub fn renew_keys(&self) -> Result<Stored, KeyStoreError> {
        self.key_store(|keys| keys.renew())
    }

    /// The rollback anchor. Blocks.
    ///
    /// # Errors
    /// As the key store names them.
    pub fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        self.key_store(|keys| keys.anchor())
    }

    /// Replaces the rollback anchor. Blocks.
    ///
    /// # Errors
    /// As the key store names them.
    pub fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        self.key_store(move |keys| keys.set_anchor(bytes))
    }

    /// Starts replacing the rollback anchor and returns at once; the answer is waited for with
    /// [`Pending::wait`].
    #[must_use]
    pub fn start_set_anchor(&self, bytes: Vec<u8>) -> Pending<Result<Stored, KeyStoreError>> {
        let keys = Arc::clone(&self.host.key_store);
        self.workers.pending(self.deadlines.key_store, move || keys.set_anchor(bytes))
    }

    /// The device's fingerprint. Blocks.
    ///
    /// # Errors
    /// [`WalletError::Host`].
    pub fn fingerprint(&self) -> Result<DeviceFingerprint, WalletError> {
        let device = Arc::clone(&self.host.device);
        self.device_workers
            .pending(self.deadlines.fingerprint, move || device.fingerprint())
            .wait()
            .map_err(HostError::from)
            .and_then(|answer| answer)
            .map_err(|error| WalletError::Host { interface: "DeviceInfo", reason: error.to_string() })
    }

    /// Starts asking for the device's state and returns at once.
    #[must_use]
    pub fn start_device_state(&self) -> Pending<Result<DeviceState, HostError>> {
        let device = Arc::clone(&self.host.device);
        self.device_workers.pending(self.deadlines.device_state, move || device.state())
    }

    /// The device's state. Blocks for 100 ms at most.
    ///
    /// # Errors
    /// [`WalletError::Host`].
    pub fn device_state(&self) -> Result<DeviceState, WalletError> {
        self.start_device_state()
            .wait()
            .map_err(HostError::from)
            .and_then(|answer| answer)
            .map_err(|error| WalletError::Host { interface: "DeviceInfo", reason: error.to_string() })
    }

    /// Asks the app for its decision on a tap. Blocks for 100 ms at most.
    ///
    /// # Errors
    /// [`HostError::TimedOut`], [`HostError::Panicked`], or what the app reported.
    pub fn permit(
        &self,
        auth_before: bool,
        transaction: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError> {
        let permit = Arc::clone(&self.host.permit);
        self.permit_workers
            .pending(self.deadlines.permit, move || permit.is_allowed(auth_before, transaction, risk))
            .wait()
            .map_err(HostError::from)
            .and_then(|answer| answer)
    }

    fn key_store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn super::DeviceKeyStore) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let keys = Arc::clone(&self.host.key_store);
        self.workers
            .pending(self.deadlines.key_store, move || call(&*keys))
            .wait()
            .map_err(KeyStoreError::from)
            .and_then(|a| a)
    }
}

fn network_error(error: HostError) -> WalletError {
    let reason = match error {
        HostError::Offline => NetworkProblem::Offline,
        HostError::Failed { reason } => NetworkProblem::Failed(reason),
        HostError::TimedOut { limit_ms } => NetworkProblem::TimedOut { limit: Duration::from_millis(limit_ms) },
        bug @ (HostError::Panicked | HostError::Unexpected { .. }) => {
            return WalletError::Host { interface: "NFCRequestProxy", reason: bug.to_string() };
        }
    };
    WalletError::Network { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_of_the_proxy_is_told_from_a_bad_network() {
        let thrown = HostError::Unexpected { reason: "NullPointerException".to_owned() };
        let reason = "unexpected: NullPointerException".to_owned();
        assert_eq!(network_error(thrown), WalletError::Host { interface: "NFCRequestProxy", reason });
        assert_eq!(network_error(HostError::Offline), WalletError::Network { reason: NetworkProblem::Offline });
    }
}
