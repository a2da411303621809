//! The reference server of a payment provider (MPP): it relays wallets' requests to the Alipay+ gateway,
//! pays from accounts, answers inquiries, cancels, refunds, and keeps a ledger.
//!
//! One folder is one room. `store` owns the database and its transactions; `ledger` owns money; both
//! know no HTTP. `accounts` owns users and their limits, `payments` what a payment may become, `notices`
//! what has to be told. `app` and `gateway` are the two sides of HTTP, `config` is what can be set,
//! `operation` what an operator sees. [`MppServer`] puts them together.

pub mod accounts;
pub mod app;
pub mod clock;
pub mod config;
mod gateway;
mod identity;
mod ids;
pub mod keys;
pub mod ledger;
pub mod notices;
pub mod openapi;
pub mod operation;
pub mod payments;
mod server;
pub mod store;
#[cfg(test)]
mod stories;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use server::{Addresses, Hooks, MppServer, Running, StartError, default_limits};
