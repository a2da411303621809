//! What an operator sees: log, metrics, health, and a stop that loses nothing.
//!
//! Nothing here names a user, a payment, a token or a key: metrics count by API and result, log records
//! tell the same. It may look at the store, to say whether it answers.

pub mod health;
pub mod log;
pub mod metrics;
pub mod stop;
