//! A tap as a closed state machine: pre-check, permit, CDCVM, events, history.
//!
//! Owns the order of a tap and its one terminal event. May touch `card`, `storage` (the burn), `token`
//! (the status), `host`. Nothing here waits for the network.

mod cdcvm;
mod decision;
mod history;
mod reference;
mod report;
mod tap;
mod taps;
mod transaction;

pub use cdcvm::{CDCVM_WINDOW, CdcvmMethod};
pub(crate) use history::page;
pub use history::{TransactionOutcome, TransactionPage, TransactionRecord};
pub use taps::FieldLoss;
pub(crate) use taps::{AfterTap, HistoryRow, SILENCE, Taps};
pub use transaction::{TapFailure, TapId, TransactionInformation, TransactionKind, TransactionRange};
