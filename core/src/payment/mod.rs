//! A tap as a closed state machine: pre-check, permit, CDCVM, events, history.
//!
//! Owns the order of a tap and its one terminal event. May touch `card`, `storage` (the burn), `token`
//! (the status), `host`. Nothing here waits for the network.

mod cdcvm;
mod decision;
mod history;
mod leftovers;
mod reference;
mod report;
mod tap;
mod taps;
mod terminal;
mod transaction;

pub use cdcvm::{CDCVM_WINDOW, CdcvmMethod};
pub(crate) use history::page;
pub use history::{TransactionOutcome, TransactionPage, TransactionRecord};
pub(crate) use leftovers::{LeftoverQueue, Leftovers};
pub use taps::FieldLoss;
pub(crate) use taps::{AfterTap, SILENCE, Silence, Taps};
pub use terminal::{RiskManagement, TerminalCapabilities, TerminalInformation, TerminalOperator, TerminalType};
pub use transaction::{TapFailure, TapId, TransactionInformation, TransactionKind, TransactionRange};
