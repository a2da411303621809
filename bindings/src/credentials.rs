//! The stock of single-use credentials.

use nfcwallet_core::credentials as core;

use crate::millis;

/// What is left, for the app's screen.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct CredentialStock {
    /// Credentials that can be spent now.
    pub usable: u32,
    /// When the first of them expires, by the service's clock, milliseconds since 1970.
    pub next_expiry_ms: Option<i64>,
    /// Below this many the wallet replenishes by itself.
    pub threshold: u32,
    /// Up to this many.
    pub target: u32,
    /// Milliseconds until the next automatic attempt, after one that failed.
    pub retry_in_ms: Option<u64>,
}

impl From<core::CredentialStock> for CredentialStock {
    fn from(stock: core::CredentialStock) -> Self {
        Self {
            usable: stock.usable,
            next_expiry_ms: stock.next_expiry_ms,
            threshold: stock.threshold,
            target: stock.target,
            retry_in_ms: stock.retry_in.map(millis),
        }
    }
}
