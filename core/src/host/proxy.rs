//! The way out to the network.

use async_trait::async_trait;

use super::HostError;

/// The five request types of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// Fetch the service's public keys.
    GetPk,
    /// Apply for a token.
    Apply,
    /// Sessions, provisioning, replenishment and reports.
    Transfer,
    /// Token status and its changes.
    SyncToken,
    /// Retrieve messages.
    Notify,
}

impl RequestType {
    /// All of them, in the field's order.
    pub const ALL: [Self; 5] = [Self::GetPk, Self::Apply, Self::Transfer, Self::SyncToken, Self::Notify];

    /// The name that travels: `GET_PK`, `APPLY`, `TRANSFER`, `SYNC_TOKEN`, `NOTIFY`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetPk => "GET_PK",
            Self::Apply => "APPLY",
            Self::Transfer => "TRANSFER",
            Self::SyncToken => "SYNC_TOKEN",
            Self::Notify => "NOTIFY",
        }
    }

    /// Reads the travelling name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The service's answer, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The bytes, unchanged. At most 256 KiB; empty counts as a failure.
    pub body: Vec<u8>,
}

/// Carries requests to the token service: the app sends `body` to its own server, which adds the
/// logged-in user and passes it on.
///
/// Polled on a worker thread of the wallet, so it may block; what needs a runtime around it (sockets
/// and timers of an async library) must enter or spawn on its own. Dropped when the wallet gives up.
/// Deadline 15 s ([`super::Deadlines`]); the field's gateway gives up after 10 s. The wallet may send the same request again under the same
/// request id, so the app need not retry. `kind` and `body` are opaque and must not be changed.
#[async_trait]
pub trait NFCRequestProxy: Send + Sync {
    /// Sends `body` and returns the answer's body unchanged.
    ///
    /// # Errors
    /// [`HostError::Offline`] when the device has no network, [`HostError::Failed`] for anything
    /// else that kept the answer away.
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError>;
}
