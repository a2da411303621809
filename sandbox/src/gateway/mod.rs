//! The gateway's acquiring side: events of the card scheme become calls of the Open API.
//!
//! `events` is what the scheme tells; `conversion` is the one table of what that comes to; `books` remember;
//! `requests` are the calls as they travel; `dispatch` makes them, again and again where nobody answers,
//! against the payment provider behind [`Mpp`]; `fx` knows the rates. Only `http` touches HTTP: it is the
//! signed side of the room, and passes time and the provider in.
//!
//! Facts: `pay` for an authorisation, `cancelPayment` and `refund` for what becomes of it. What the vendor
//! does not publish is this project's choice, with a switch; `docs/conversion.md` says which is which.

mod books;
mod conversion;
mod dispatch;
mod events;
mod fx;
pub mod http;
mod mpp;
mod outcome;
mod playing;
mod requests;
mod scheme_book;
mod taking;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nfcwallet_core::host::Clock;
use tokio::sync::Notify;

pub use books::{Account, Books, Call, CallState, Payment, Sum};
pub use conversion::{
    Ask, CallKind, ConversionConfig, Moved, OverCapture, PaymentState, Plan, Row, RowId, SameDay, Source, Standing,
    Switch, SwitchError, TABLE, Trigger, markdown,
};
pub use dispatch::Verdict;
pub use events::{Authorisation, Clearing, Expiry, Merchant, Refund, Reversal, SchemeEvent, SchemeId};
pub use fx::Rates;
pub use mpp::{CallOutcome, Mpp};
pub use playing::Played;
pub use scheme_book::{SchemeAuth, SchemeBook};

/// How the gateway behaves, each with its default.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `acquirerId`, at most 64 characters.
    pub acquirer_id: String,
    /// `pspId`, at most 64 characters.
    pub psp_id: String,
    /// The switches of the table.
    pub conversion: ConversionConfig,
    /// The rates; none by default.
    pub rates: Rates,
    /// Within how many milliseconds `pay` must have a final result. Default 20,000 (our choice; a terminal
    /// waits).
    pub payment_expiry_ms: i64,
    /// How many milliseconds one call may take. Default 10,000 (our choice).
    pub call_timeout_ms: i64,
    /// After how many milliseconds a call without a final answer is made again; the last one repeats.
    /// Default 4, 4, 30, 60, 60, 60, 300, 300 s, then hourly.
    pub repeats_ms: Vec<i64>,
    /// `inquire_before_cancel`: ask once for the result when `pay` expires, as the vendor recommends.
    /// Default true.
    pub inquire_before_cancel: bool,
    /// How many calls are under way at once. Default 16.
    pub concurrent_calls: usize,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            acquirer_id: "SANDBOX_ACQUIRER".to_owned(),
            psp_id: "SANDBOX_MPP".to_owned(),
            conversion: ConversionConfig::default(),
            rates: Rates::none(),
            payment_expiry_ms: 20_000,
            call_timeout_ms: 10_000,
            repeats_ms: [4, 4, 30, 60, 60, 60, 300, 300, 3600].into_iter().map(|s: i64| s * 1000).collect(),
            inquire_before_cancel: true,
            concurrent_calls: 16,
        }
    }
}

impl GatewayConfig {
    /// Turns one switch of the table.
    pub fn turn(&mut self, switch: Switch) {
        match switch {
            Switch::SameDay(same_day) => self.conversion.same_day = same_day,
            Switch::AuthExpiryDays(days) => self.conversion.auth_expiry_days = days,
            Switch::OverCapture(over_capture) => self.conversion.over_capture = over_capture,
            Switch::InquireBeforeCancel(inquire) => self.inquire_before_cancel = inquire,
        }
    }
}

/// Why the gateway did not do what it was asked. Nothing of it was written down.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A name of the scheme breaks its rule.
    #[error("an id has {length} characters, or one that is no letter, digit, dot, colon or dash; limit 1 to 40")]
    Id {
        /// Its length.
        length: usize,
    },
    /// An amount is out of range.
    #[error("an amount is {value} of the smallest unit, limit 1 to 1000000000000")]
    Amount {
        /// The amount.
        value: u64,
    },
    /// A converted amount is out of range.
    #[error("an amount cannot be converted")]
    Conversion(#[from] alipayplus::model::quote::ConversionError),
    /// An event, or an authorisation, that was seen before came with another content.
    #[error("event {id} was seen before with another content")]
    Changed {
        /// Which one.
        id: SchemeId,
    },
    /// No row of the table fits: a fault of the table.
    #[error("no row of the conversion table fits")]
    NoRow,
    /// A request breaks a rule of its page: a field of the event is too long, or missing.
    #[error("a request cannot be made")]
    Request(#[from] alipayplus::FieldError),
    /// The file of the books cannot be opened, or is no database.
    #[error(
        "the gateway's books {}: {reason}; if the file is damaged, delete its whole folder or take another one",
        .path.display()
    )]
    File {
        /// Which one.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The database failed.
    #[error("the gateway's books: {0}")]
    Books(String),
    /// The database is of another version of the sandbox.
    #[error("the gateway's books have schema {found}, this sandbox knows {known}; delete the file")]
    Version {
        /// Version of the file.
        found: i64,
        /// Version of the sandbox.
        known: i64,
    },
    /// The database holds what this sandbox never writes.
    #[error("the gateway's books hold {what} that nobody writes")]
    Damaged {
        /// What it is.
        what: &'static str,
    },
    /// Something in the database is no JSON of its kind, or cannot be written as such.
    #[error("the gateway's books")]
    Json(#[from] serde_json::Error),
}

impl From<rusqlite::Error> for GatewayError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Books(error.to_string())
    }
}

/// The gateway.
pub struct Gateway {
    config: GatewayConfig,
    books: Arc<Books>,
    mpp: Arc<dyn Mpp>,
    clock: Arc<dyn Clock>,
    /// Calls under way in this process, so that two tasks do not make one call at once.
    under_way: Arc<Mutex<HashSet<i64>>>,
    /// Wakes whoever waits for an answer, or for work.
    changed: Notify,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

impl Gateway {
    /// A gateway that goes on where `books` stand.
    #[must_use]
    pub fn new(config: GatewayConfig, books: Arc<Books>, mpp: Arc<dyn Mpp>, clock: Arc<dyn Clock>) -> Self {
        Self { config, books, mpp, clock, under_way: Arc::default(), changed: Notify::new() }
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &GatewayConfig {
        &self.config
    }

    /// Its books.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }
}
