//! Money: double entry, in whole units, once.
//!
//! Owns the table `journal`, its view `postings` and the audit. One row of the journal is one whole entry:
//! its amount leaves one account and reaches another, so that no entry can be unbalanced. Its name is made
//! of the request that caused it, so that no request can move money twice. Rows are never changed.
//!
//! Only users' accounts have a balance of their own (`users.balance`), guarded against falling below zero.
//! The balances of the accounts that every payment touches are the sums of their postings: a row for them
//! would make all payments wait for each other.

mod audit;

use alipayplus::Amount;

pub use audit::{Audit, Finding, Found, audit};

use crate::store::{Statement, Value};

/// One side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account<'a> {
    /// What the provider owes a user, by customer id.
    User(&'a str),
    /// What the provider owes Alipay+ for payments, less refunds.
    Settlement,
    /// Where users' money comes from.
    TopUp,
    /// Roundings that the provider bears.
    Rounding,
}

impl Account<'_> {
    fn name(self) -> String {
        match self {
            Self::User(customer_id) => format!("user:{customer_id}"),
            Self::Settlement => "settlement".to_owned(),
            Self::TopUp => "top-up".to_owned(),
            Self::Rounding => "rounding".to_owned(),
        }
    }
}

/// Why money moves, by the id of the request. It names the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A top-up's id.
    TopUp(&'a str),
    /// `paymentRequestId`.
    Pay(&'a str),
    /// `paymentRequestId`.
    Cancel(&'a str),
    /// `refundRequestId` of `refund`.
    Refund(&'a str),
    /// What the last refund's sum and what is left of the payment differ by.
    RefundRounding(&'a str),
    /// `refundRequestId` of `adjustRefund`.
    AdjustRefund(&'a str),
}

impl Cause<'_> {
    /// The name of the entry.
    #[must_use]
    pub fn entry(self) -> String {
        match self {
            Self::TopUp(id) => format!("top-up:{id}"),
            Self::Pay(id) => format!("pay:{id}"),
            Self::Cancel(id) => format!("cancel:{id}"),
            Self::Refund(id) => format!("refund:{id}"),
            Self::RefundRounding(id) => format!("refund-rounding:{id}"),
            Self::AdjustRefund(id) => format!("adjust-refund:{id}"),
        }
    }
}

/// `amount` goes from one account to another.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    debit: String,
    credit: String,
    amount: Amount,
    booked_at_ms: i64,
}

const BOOK: &str = "INSERT INTO journal (entry, debit, credit, currency, amount, booked_at)
    VALUES ($1, $2, $3, $4, $5, $6)";

impl Entry {
    /// `amount` must not be 0: the database refuses it. `from` and `to` must differ.
    pub(crate) fn new(cause: Cause<'_>, from: Account<'_>, to: Account<'_>, amount: Amount, booked_at_ms: i64) -> Self {
        Self { name: cause.entry(), debit: from.name(), credit: to.name(), amount, booked_at_ms }
    }

    pub(crate) fn values(&self) -> [Value<'_>; 6] {
        [
            (&self.name).into(),
            (&self.debit).into(),
            (&self.credit).into(),
            self.amount.currency.code().into(),
            self.amount.value.into(),
            self.booked_at_ms.into(),
        ]
    }
}

/// Writes an entry with its [`Entry::values`].
pub(crate) fn book<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(BOOK, values)
}
