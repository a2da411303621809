//! Calls on the host under a deadline.
//!
//! Synchronous interfaces run on worker threads of the wallet, so that one that hangs costs its
//! deadline and a thread, never the tap or the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use zeroize::Zeroizing;

use super::{
    Anchor, BoxFuture, Clock, DeviceFingerprint, DevicePublicKey, DeviceState, Entropy, Host, HostError, KeyStoreError,
    PermitDecision, Reply, RequestType, RiskControl, Signature, Stored, Unwrapped, Wrapped,
};
use crate::error::{NetworkProblem, WalletError};
use crate::payment::TransactionInformation;

/// Answers of the relay above this size are refused unread.
pub(crate) const REPLY_LIMIT: usize = 256 * 1024;

/// Calls that hang keep a thread each; beyond this many, further calls fail at once.
const WORKER_LIMIT: usize = 16;

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
        Self { host, deadlines, workers: Arc::default() }
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

    /// Starts background work.
    pub fn spawn(&self, task: BoxFuture<()>) {
        self.host.spawner.spawn(task);
    }

    /// Sends a request through the proxy and checks the answer's size.
    ///
    /// # Errors
    /// [`WalletError::Network`] for every failure of the way, [`WalletError::Host`] if the proxy
    /// panics.
    pub async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, WalletError> {
        let limit = self.deadlines.proxy;
        let request = AssertUnwindSafe(self.host.proxy.send_request(kind, body)).catch_unwind();
        let reply = match select(Box::pin(request), self.host.clock.deadline(limit)).await {
            Either::Left((Ok(Ok(reply)), _)) => reply,
            Either::Left((Ok(Err(error)), _)) => return Err(network_error(error)),
            Either::Left((Err(_), _)) => {
                return Err(WalletError::Host { interface: "NFCRequestProxy", reason: "panicked".to_owned() });
            }
            Either::Right(_) => return Err(WalletError::Network { reason: NetworkProblem::TimedOut { limit } }),
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
        let (sender, receiver) = oneshot::channel();
        // A caller that gave up has dropped the receiver; the late answer is ignored.
        let call = move || drop(sender.send(catch_unwind(AssertUnwindSafe(|| keys.sign(message)))));
        if !self.workers.run(Box::new(call)) {
            return Err(KeyStoreError::TimedOut);
        }
        match select(receiver, self.host.clock.deadline(self.deadlines.key_store)).await {
            Either::Left((Ok(Ok(result)), _)) => result,
            Either::Left((Ok(Err(_)), _)) => Err(KeyStoreError::Panicked),
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
        self.pending(self.deadlines.key_store, move || keys.set_anchor(bytes))
    }

    /// The device's fingerprint. Blocks.
    ///
    /// # Errors
    /// [`WalletError::Host`].
    pub fn fingerprint(&self) -> Result<DeviceFingerprint, WalletError> {
        let device = Arc::clone(&self.host.device);
        self.pending(self.deadlines.fingerprint, move || device.fingerprint())
            .wait()
            .map_err(HostError::from)
            .and_then(|answer| answer)
            .map_err(|error| WalletError::Host { interface: "DeviceInfo", reason: error.to_string() })
    }

    /// Starts asking for the device's state and returns at once.
    #[must_use]
    pub fn start_device_state(&self) -> Pending<Result<DeviceState, HostError>> {
        let device = Arc::clone(&self.host.device);
        self.pending(self.deadlines.device_state, move || device.state())
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
        self.pending(self.deadlines.permit, move || permit.is_allowed(auth_before, transaction, risk))
            .wait()
            .map_err(HostError::from)
            .and_then(|answer| answer)
    }

    fn key_store<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn super::DeviceKeyStore) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let keys = Arc::clone(&self.host.key_store);
        self.pending(self.deadlines.key_store, move || call(&*keys)).wait().map_err(KeyStoreError::from).and_then(|a| a)
    }

    fn pending<T: Send + 'static>(&self, limit: Duration, call: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (sender, receiver) = channel();
        let accepted = self.workers.run(Box::new(move || {
            // A caller that gave up has dropped the receiver; the late answer is ignored.
            drop(sender.send(catch_unwind(AssertUnwindSafe(call)).map_err(|_| NoAnswer::Panicked)));
        }));
        Pending { receiver: accepted.then_some(receiver), started: Instant::now(), limit }
    }
}

fn network_error(error: HostError) -> WalletError {
    let reason = match error {
        HostError::Offline => NetworkProblem::Offline,
        HostError::Failed { reason } => NetworkProblem::Failed(reason),
        HostError::TimedOut { limit_ms } => NetworkProblem::TimedOut { limit: Duration::from_millis(limit_ms) },
        HostError::Panicked => NetworkProblem::Failed("the proxy panicked".to_owned()),
    };
    WalletError::Network { reason }
}

/// Why a synchronous interface gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It panicked.
    Panicked,
    /// Not within this limit.
    TimedOut {
        /// The deadline.
        limit: Duration,
    },
}

impl From<NoAnswer> for HostError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Panicked => Self::Panicked,
            NoAnswer::TimedOut { limit } => {
                Self::TimedOut { limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
            }
        }
    }
}

impl From<NoAnswer> for KeyStoreError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Panicked => Self::Panicked,
            NoAnswer::TimedOut { .. } => Self::TimedOut,
        }
    }
}

/// A call that was started on a worker; `wait` blocks for the rest of its deadline.
#[derive(Debug)]
pub struct Pending<T> {
    receiver: Option<Receiver<Result<T, NoAnswer>>>,
    started: Instant,
    limit: Duration,
}

impl<T> Pending<T> {
    /// Blocks until the answer or the deadline, which runs from the start of the call.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn wait(mut self) -> Result<T, NoAnswer> {
        let timed_out = NoAnswer::TimedOut { limit: self.limit };
        self.wait_at_most(Duration::MAX).unwrap_or(Err(timed_out))
    }

    /// Like [`wait`](Self::wait), but keeps the call: `None` if it is still running after `patience`,
    /// or at its deadline if that comes first. For calls whose late effect matters.
    pub fn wait_at_most(&mut self, patience: Duration) -> Option<Result<T, NoAnswer>> {
        let timed_out = NoAnswer::TimedOut { limit: self.limit };
        let Some(receiver) = &self.receiver else { return Some(Err(timed_out)) };
        let rest = self.limit.saturating_sub(self.started.elapsed());
        match receiver.recv_timeout(rest.min(patience)) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            // The call never began.
            Err(RecvTimeoutError::Disconnected) => Some(Err(timed_out)),
        }
    }
}

type Job = Box<dyn FnOnce() + Send + 'static>;

/// Threads for synchronous host calls: made when needed, kept for the next call.
#[derive(Default)]
struct Workers {
    state: Mutex<WorkerState>,
}

#[derive(Default)]
struct WorkerState {
    idle: Vec<Sender<Job>>,
    alive: usize,
}

impl Workers {
    /// Runs `job` on an idle or new thread. False if all threads hang.
    fn run(self: &Arc<Self>, mut job: Job) -> bool {
        loop {
            let idle = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match state.idle.pop() {
                    Some(worker) => worker,
                    None if state.alive == WORKER_LIMIT => return false,
                    None => {
                        state.alive += 1;
                        drop(state);
                        return self.start(job);
                    }
                }
            };
            match idle.send(job) {
                Ok(()) => return true,
                // The thread ended; take the job back and try the next one.
                Err(returned) => job = returned.0,
            }
        }
    }

    fn start(self: &Arc<Self>, first: Job) -> bool {
        let pool = Arc::downgrade(self);
        let body = move || {
            let mut job = first;
            loop {
                job();
                let (sender, receiver) = channel();
                match pool.upgrade() {
                    Some(pool) => pool.state.lock().unwrap_or_else(PoisonError::into_inner).idle.push(sender),
                    None => return,
                }
                match receiver.recv() {
                    Ok(next) => job = next,
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new().name("nfcwallet-host".to_owned()).spawn(body).is_ok()
    }
}
