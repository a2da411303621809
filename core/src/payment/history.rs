//! Transactions kept on the phone.

use serde::{Deserialize, Serialize};

use super::TransactionInformation;
use crate::Result;
use crate::context::{Context, User};

/// One tap that reached the cryptogram, as the phone saw it. Whether money moved is known to the
/// app's server only, under `reference`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// By the service's clock, milliseconds since 1970.
    pub time_ms: i64,
    /// What the terminal said.
    pub transaction: TransactionInformation,
    /// The cryptogram left, or why not.
    pub outcome: TransactionOutcome,
}

/// How a tap ended on the phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TransactionOutcome {
    /// The cryptogram was handed to the terminal.
    Complete {
        /// Application transaction counter.
        atc: u16,
        /// The reference that reaches the app's server with the payment; not in mag-stripe mode, whose data
        /// have no room for it.
        reference: [u8; 8],
        /// The user had proved presence.
        cdcvm: bool,
    },
    /// Refused.
    Failed {
        /// As [`super::TapFailure::code`].
        code: u32,
    },
}

/// A page of the history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionPage {
    /// The transactions.
    pub transactions: Vec<TransactionRecord>,
    /// Ask with this for the next page; `None` at the end.
    pub next: Option<i64>,
}

/// Most rows of one page.
const PAGE_LIMIT: u32 = 100;

/// At most `limit` (100) transactions before `before`.
pub(crate) fn page(context: &Context, user: &User, before: Option<i64>, limit: u32) -> Result<TransactionPage> {
    let limit = limit.clamp(1, PAGE_LIMIT);
    let rows: Vec<(i64, TransactionRecord)> = context.store.read(|tx| tx.history(user.key, before, limit))?;
    let full = rows.len() == limit as usize;
    let next = rows.last().map(|(id, _)| *id).filter(|_| full);
    Ok(TransactionPage { transactions: rows.into_iter().map(|(_, record)| record).collect(), next })
}
