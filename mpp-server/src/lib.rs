//! The reference server of a payment provider (MPP).
//!
//! One folder is one room. `store` owns the database and its transactions; `ledger` owns money; both
//! know no HTTP. `accounts` owns users and their limits, `payments` what a payment may become, `notices`
//! what has to be told. `app` and `gateway` are the two sides of HTTP.

pub mod accounts;
pub mod clock;
mod ids;
pub mod ledger;
pub mod notices;
pub mod payments;
pub mod store;
#[cfg(test)]
mod stories;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
