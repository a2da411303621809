//! The way out to the network.

use std::sync::Arc;

use async_trait::async_trait;
use nfcwallet_core::host as core;

use super::HostError;

/// The five request types of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
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

#[uniffi::export]
impl RequestType {
    /// The name that travels: `GET_PK`, `APPLY`, `TRANSFER`, `SYNC_TOKEN`, `NOTIFY`.
    pub fn wire_name(&self) -> String {
        core::RequestType::from(*self).as_str().to_owned()
    }
}

impl From<core::RequestType> for RequestType {
    fn from(kind: core::RequestType) -> Self {
        use core::RequestType as From;
        match kind {
            From::GetPk => Self::GetPk,
            From::Apply => Self::Apply,
            From::Transfer => Self::Transfer,
            From::SyncToken => Self::SyncToken,
            From::Notify => Self::Notify,
        }
    }
}

impl From<RequestType> for core::RequestType {
    fn from(kind: RequestType) -> Self {
        use RequestType as From;
        match kind {
            From::GetPk => Self::GetPk,
            From::Apply => Self::Apply,
            From::Transfer => Self::Transfer,
            From::SyncToken => Self::SyncToken,
            From::Notify => Self::Notify,
        }
    }
}

/// The service's answer, as it came.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Reply {
    /// The bytes, unchanged. At most 256 KiB; empty counts as a failure.
    pub body: Vec<u8>,
}

/// Carries requests to the token service: the app sends `body` to its own server, which adds the logged-in
/// user and passes it on. It is the wallet's only way out to the network.
///
/// Called on a worker thread of the wallet, also from several at once; it may block or suspend, and may call
/// back into the wallet. Deadline 15 s (`Deadlines.proxy_ms`); after it, or when the wallet's call was
/// cancelled, the pending call is cancelled in the way of its language. The wallet may send the same request
/// again under the same request id, so the app need not retry; a request is idempotent at the service.
#[uniffi::export(foreign)]
#[async_trait]
pub trait NFCRequestProxy: Send + Sync {
    /// Sends `body` and returns the answer's body unchanged. `kind` and `body` are opaque to the app and its
    /// server. Throws `Offline` when the device has no network, `Failed` for anything else that kept the
    /// answer away.
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError>;
}

/// The app's proxy, as the wallet calls it.
pub(super) struct FromApp(pub(super) Arc<dyn NFCRequestProxy>);

#[async_trait]
impl core::NFCRequestProxy for FromApp {
    async fn send_request(&self, kind: core::RequestType, body: Vec<u8>) -> Result<core::Reply, core::HostError> {
        let reply = self.0.send_request(kind.into(), body).await?;
        Ok(core::Reply { body: reply.body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_type_keeps_its_name_on_its_way_there_and_back() {
        for kind in core::RequestType::ALL {
            let ours = RequestType::from(kind);
            assert_eq!(ours.wire_name(), kind.as_str());
            assert_eq!(core::RequestType::from(ours), kind);
        }
    }
}
