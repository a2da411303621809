//! What the app gives to the wallet: its services as interfaces, with typed answers.
//!
//! Rules that hold for every one, on every platform:
//!
//! * It is called on threads of the wallet, also from several at once, never with a lock of the wallet
//!   held, and it may call back into the wallet.
//! * It may block up to its deadline; afterwards the wallet goes on with a typed error and ignores a late
//!   answer.
//! * It reports failures with the error of its interface. Any other exception counts as a failure too: its
//!   first line is kept.
//! * An answer is always a value with something in it. A binding that loses an exception hands back zeroed
//!   bytes, and those can be read as `()`, `false`, 0 or "", but never as one of these values.
//! * It must not hold the wallet strongly: the wallet holds it.

mod device;
mod key_store;
mod listeners;
mod proxy;

use std::sync::Arc;

use nfcwallet_core::host as core;

pub use device::{DeviceFingerprint, DeviceInfo, DeviceState, IntegrityVerdict};
pub use key_store::{Anchor, DeviceKeyStore, DevicePublicKey, KeyStoreError, Signature, Stored, Unwrapped, Wrapped};
pub(crate) use listeners::activation_listener;
pub use listeners::{
    ActivationListener, Delivered, Monitor, MonitorEvent, PermitDecision, RiskControl, TransactionListener,
    TransactionPermit,
};
pub use proxy::{NFCRequestProxy, Reply, RequestType};

/// Everything that the app implements, in one place.
#[derive(Clone, uniffi::Record)]
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
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    /// The app's interfaces and what this crate adds to them.
    pub(crate) fn with_platform(self, clock: Arc<dyn core::Clock>, spawner: Arc<dyn core::Spawner>) -> core::Host {
        core::Host {
            proxy: Arc::new(proxy::FromApp(self.proxy)),
            key_store: Arc::new(key_store::FromApp(self.key_store)),
            device: Arc::new(device::FromApp(self.device)),
            permit: Arc::new(listeners::PermitFromApp(self.permit)),
            transactions: Arc::new(listeners::TransactionsFromApp(self.transactions)),
            activation: activation_listener(self.activation),
            monitor: Arc::new(listeners::MonitorFromApp(self.monitor)),
            clock,
            spawner,
            entropy: Arc::new(core::OsEntropy),
        }
    }
}

/// How a host interface reports that it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[uniffi::export(Debug, Display)]
pub enum HostError {
    /// The device is offline (proxy only).
    #[error("offline")]
    Offline,
    /// The interface reports a failure.
    #[error("{reason}")]
    Failed {
        /// In the host's words; no secret, no user data: it travels into errors and logs.
        reason: String,
    },
    /// The interface threw something else. Made by this library; hosts throw the others.
    #[error("unexpected: {reason}")]
    Unexpected {
        /// Its first line.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for HostError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unexpected { reason: first_line(&error.reason) }
    }
}

impl From<HostError> for core::HostError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Offline => Self::Offline,
            HostError::Failed { reason } => Self::Failed { reason },
            HostError::Unexpected { reason } => Self::Unexpected { reason },
        }
    }
}

/// A whole stack trace comes from some languages: the rest is for a debug log.
fn first_line(reason: &str) -> String {
    tracing::debug!(reason, "a host interface threw something unexpected");
    reason.lines().next().unwrap_or_default().chars().take(REASON_LIMIT).collect()
}

/// Characters that are kept of a reason.
const REASON_LIMIT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_unexpected_exception_the_first_line_is_kept() {
        let trace = "java.lang.IllegalStateException: closed\n\tat app.Proxy.send(Proxy.kt:7)".to_owned();
        let error = HostError::from(uniffi::UnexpectedUniFFICallbackError { reason: trace });
        assert_eq!(error, HostError::Unexpected { reason: "java.lang.IllegalStateException: closed".to_owned() });
        let reason = "java.lang.IllegalStateException: closed".to_owned();
        assert_eq!(core::HostError::from(error), core::HostError::Unexpected { reason });
    }

    #[test]
    fn a_reason_without_end_is_cut() {
        assert_eq!(first_line(&"é".repeat(1_000)).chars().count(), REASON_LIMIT);
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn offline_stays_offline() {
        assert_eq!(core::HostError::from(HostError::Offline), core::HostError::Offline);
    }
}
