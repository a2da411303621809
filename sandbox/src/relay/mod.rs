//! The way between a wallet and the payment provider's server: the app's proxy, and the road.
//!
//! ```text
//! wallet -> HttpProxy -> Road -> POST /wallet/relay (mpp-server) -> sdkProxy, signed (gateway) -> Upstream
//! ```
//!
//! Owns the first hop and the faults on it; the relay itself is `mpp-server`'s, `sdkProxy` the gateway's.
//! Bodies are opaque here: they go through unread and unchanged.

mod app_proxy;
mod faults;
mod road;
#[cfg(test)]
mod tests;

pub use app_proxy::{HttpProxy, OFFLINE_HEADER};
pub use faults::{Fault, FaultRule, Faults};
pub use road::{RelaySeen, Road};

use nfcwallet_core::host::RequestType;

/// What stands behind the gateway.
pub trait Upstream: Send + Sync {
    /// Answers one request of a user. Blocks; called on a worker thread.
    fn exchange(&self, kind: RequestType, customer_id: &str, body: &[u8]) -> Vec<u8>;
}
