//! The way between a wallet and the token service: app, payment provider's server, gateway.
//!
//! ```text
//! wallet -> HttpProxy -> POST /wallet/relay (MPP server) -> POST /aps/api/v1/mobile/sdkProxy (gateway) -> Upstream
//! ```
//!
//! Owns the hops and the faults on them. Bodies are opaque here: they go through unread and
//! unchanged, and only the user is added, from the login and never from the request. The sandbox's
//! gateway listens on loopback only and does not ask for the signed headers of the field.

mod app_proxy;
mod faults;
mod gateway;
mod mpp_server;
#[cfg(test)]
mod tests;

pub use app_proxy::{HttpProxy, OFFLINE_HEADER};
pub use faults::{Fault, FaultRule, Faults};
pub use gateway::Gateway;
pub use mpp_server::{MppServer, RelaySeen};

use nfcwallet_core::host::RequestType;

/// What stands behind the gateway.
pub trait Upstream: Send + Sync {
    /// Answers one request of a user. Blocks; called on a worker thread.
    fn exchange(&self, kind: RequestType, customer_id: &str, body: &[u8]) -> Vec<u8>;
}
