//! The reference server of a payment provider: it relays wallets' requests to the Alipay+ gateway, pays
//! from accounts, answers inquiries, cancels, refunds, and keeps a ledger.

pub mod config;
pub mod keys;
pub mod operation;
