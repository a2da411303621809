//! A tap as a closed state machine: pre-check, permit, CDCVM, events, history.
//!
//! Owns the order of a tap and its one terminal event. May touch `card`, `credentials`, `host`.

mod transaction;

pub use transaction::{TapFailure, TapId, TransactionInformation, TransactionKind, TransactionRange};
