//! What every room works with: the host, the store, the service, the configuration, the events.

use std::sync::Arc;

use crate::config::Configuration;
use crate::host::{EventQueue, HostCalls, MonitorEvent};
use crate::storage::{Store, UserKey};
use crate::token_service::{Answer, Operation, RequestId, Sessions, TokenServiceClient};
use crate::{Result, WalletError};

/// Shared by all rooms of one wallet.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) calls: Arc<HostCalls>,
    pub(crate) store: Arc<Store>,
    pub(crate) service: TokenServiceClient,
    pub(crate) sessions: Sessions,
    pub(crate) configuration: Configuration,
    /// To listeners of activations.
    pub(crate) events: EventQueue,
    /// To the listener of taps.
    pub(crate) tap_events: EventQueue,
    /// To the monitor.
    pub(crate) monitor_events: EventQueue,
}

/// The connected user: the row in the store, and the name for the service.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) key: UserKey,
    pub(crate) id: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(redacted)")
    }
}

impl Context {
    /// The connected user.
    ///
    /// # Errors
    /// [`WalletError::NotConnected`], or a failure of the store.
    pub(crate) fn user(&self) -> Result<User> {
        let connected = self.store.read(|tx| tx.connected())?;
        connected.map(|(key, id)| User { key, id }).ok_or(WalletError::NotConnected)
    }

    /// One operation for `user`, under a request id of the caller's.
    pub(crate) async fn ask(&self, user: &User, operation: &Operation, request_id: RequestId) -> Result<Answer> {
        self.service.call(&user.id, operation, request_id).await
    }

    /// One operation that may be asked anew at any time (a poll, a query).
    pub(crate) async fn query(&self, user: &User, operation: &Operation) -> Result<Answer> {
        self.ask(user, operation, RequestId::random(self.calls.entropy())).await
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.calls.entropy().fill(&mut bytes);
        bytes
    }

    /// Queues a measurement for the app's monitor.
    pub(crate) fn track(&self, event: MonitorEvent) {
        let monitor = Arc::clone(&self.calls.host().monitor);
        self.monitor_events.push(move || monitor.track(event));
    }
}

/// The service answered another question than the one asked.
pub(crate) fn unexpected_answer() -> WalletError {
    WalletError::Protocol { reason: "the answer does not fit the operation" }
}
