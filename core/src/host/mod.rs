//! What the app gives to the wallet: its services as traits, with typed answers.
//!
//! Owns the traits, their answers, and the deadlines under which they are called. May touch nothing
//! of the wallet. Rules that hold for every trait here:
//!
//! * It may be called from any thread, never with a lock of the wallet held, and it may call back
//!   into the wallet.
//! * It may block up to its deadline; afterwards the wallet goes on with a typed error and ignores a
//!   late answer. The clock, the spawner and the generator have no deadline and must not block.
//! * A panic is caught and counts as a failure.
//! * An answer is always a value, never `()`: a binding that loses an exception hands back zeroed
//!   bytes, and those must not read as success.

mod deadline;
mod device;
mod events;
mod key_store;
mod listeners;
mod platform;
mod proxy;
mod test_clock;
mod together;
mod workers;

use std::sync::Arc;

pub use deadline::{Deadlines, HostCalls};
pub use device::{DeviceFingerprint, DeviceInfo, DeviceState, IntegrityVerdict};
pub use events::EventQueue;
pub use key_store::{Anchor, DeviceKeyStore, DevicePublicKey, KeyStoreError, Signature, Stored, Unwrapped, Wrapped};
pub use listeners::{
    ActivationListener, Delivered, Monitor, MonitorEvent, PermitDecision, RiskControl, TransactionListener,
    TransactionPermit,
};
pub use platform::{BoxFuture, Clock, Entropy, OsEntropy, Spawner};
pub use proxy::{NFCRequestProxy, Reply, RequestType};
pub use test_clock::TestClock;
pub(crate) use together::begin_now;
pub(crate) use workers::{Beside, is_called_too_late, is_inside_host_call};
pub use workers::{NoAnswer, Pending};

/// Everything the app implements, in one place.
#[derive(Clone)]
pub struct Host {
    /// The only way out to the network.
    pub proxy: Arc<dyn NFCRequestProxy>,
    /// Keys in the device's hardware.
    pub key_store: Arc<dyn DeviceKeyStore>,
    /// What the device says of itself.
    pub device: Arc<dyn DeviceInfo>,
    /// The app's decision on each tap.
    pub permit: Arc<dyn TransactionPermit>,
    /// Events of taps.
    pub transactions: Arc<dyn TransactionListener>,
    /// Progress of activations that the wallet resumes by itself, and the moment a token is active.
    pub activation: Arc<dyn ActivationListener>,
    /// Figures for the app's monitoring.
    pub monitor: Arc<dyn Monitor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Background work.
    pub spawner: Arc<dyn Spawner>,
    /// Randomness; [`OsEntropy`] except in tests that must repeat.
    pub entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

/// How a host interface failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The device is offline (proxy only).
    #[error("offline")]
    Offline,
    /// The interface reported a failure.
    #[error("{reason}")]
    Failed {
        /// In the host's words; no secret, no user data.
        reason: String,
    },
    /// No answer within the deadline.
    #[error("no answer within {limit_ms} ms")]
    TimedOut {
        /// The deadline in milliseconds.
        limit_ms: u64,
    },
    /// The interface panicked.
    #[error("panicked")]
    Panicked,
    /// The interface, in another language, threw something that is none of its errors: there, a panic.
    #[error("unexpected: {reason}")]
    Unexpected {
        /// What it threw, in a line.
        reason: String,
    },
}
