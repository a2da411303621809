//! The stock of single-use credentials: count, expiry, replenishment, usage reports.
//!
//! Owns when to ask for more and under which request id. May touch `storage`, `token_service`.
//! Burning is the store's one commit ([`crate::storage::Store::burn_next`]), called by a tap.

mod replenish;
mod usage;

use std::time::Duration;

pub(crate) use replenish::{Replenishing, Wish};

use crate::Result;
use crate::context::{Context, User};

/// What is left, for the app's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialStock {
    /// Credentials that can be spent now.
    pub usable: u32,
    /// When the first of them expires, by the service's clock, milliseconds since 1970.
    pub next_expiry_ms: Option<i64>,
    /// Below this many the wallet replenishes by itself.
    pub threshold: u32,
    /// Up to this many.
    pub target: u32,
    /// How long until the next automatic attempt, after one that failed.
    pub retry_in: Option<Duration>,
}

/// Counts the stock of `user`.
pub(crate) fn stock(context: &Context, user: &User, replenishing: &Replenishing) -> Result<CredentialStock> {
    let now_ms = context.service.service_now_ms();
    let stock = context.store.read(|tx| tx.stock(user.key, now_ms))?;
    Ok(CredentialStock {
        usable: stock.usable,
        next_expiry_ms: stock.next_expiry_ms,
        threshold: context.configuration.app().replenish_threshold,
        target: context.configuration.app().target_stock,
        retry_in: replenishing.retry_in(context.calls.clock().monotonic()),
    })
}
