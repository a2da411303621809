//! The public object: init, connect, disconnect, status, page.
//!
//! Owns nothing but the wiring. May touch every room.

mod config;

pub use config::{IssueConfig, PollBudget, RemoteConfig, TransactionConfig, WalletConfig};

/// placeholder
pub struct Wallet;
