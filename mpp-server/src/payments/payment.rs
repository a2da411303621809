//! A payment's row.

use alipayplus::{Amount, Currency, ResultCode};

use super::command::{Merchant, Pay, PaymentKey, Quote};
use crate::store::{Row, Statement, StoreError, Value};

/// What has become of a payment.
///
/// A payment is asked for and decided in one commit, or left [`Self::Processing`] to be decided later.
/// `Processing` becomes `Success`, `Failed` or `Closed`; `Success` becomes `PartiallyRefunded` and then
/// `Refunded`; a cancel makes `Closed` of all but `Failed`. Nothing leads out of `Failed` and `Closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Not decided yet. No money has moved.
    Processing,
    /// Paid.
    Success,
    /// Refused. No money has moved.
    Failed,
    /// Cancelled or expired: all money is back.
    Closed,
    /// Paid, and part of it refunded.
    PartiallyRefunded,
    /// Paid, and all of it refunded.
    Refunded,
}

impl PaymentStatus {
    const ALL: [Self; 6] =
        [Self::Processing, Self::Success, Self::Failed, Self::Closed, Self::PartiallyRefunded, Self::Refunded];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Closed => "CLOSED",
            Self::PartiallyRefunded => "PARTIALLY_REFUNDED",
            Self::Refunded => "REFUNDED",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A payment.
#[derive(Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its names and who asked for it.
    pub key: PaymentKey,
    /// What has become of it.
    pub status: PaymentStatus,
    /// Why it failed or was closed.
    pub(super) result_code: Option<ResultCode>,
    /// When it was cancelled.
    pub cancelled_at_ms: Option<i64>,
    /// When it was first asked for.
    pub created_at_ms: i64,
    /// When it was decided (`paymentTime`).
    pub payment_time_ms: Option<i64>,
    /// What was asked for; `None` if it was cancelled before it came.
    pub order: Option<Box<PaymentOrder>>,
}

/// What a payment was asked for with, and what has come back of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentOrder {
    pub(super) key_parameters: String,
    /// `paymentId`: this server's name for it, 32 characters.
    pub payment_id: String,
    /// Who pays.
    pub customer_id: String,
    /// `paymentAmount`.
    pub amount: Amount,
    /// What the user pays: `payToAmount`, or the same.
    pub charged: Amount,
    /// The rate between the two.
    pub quote: Option<Quote>,
    /// The tap's.
    pub reference: Option<String>,
    /// To whom.
    pub merchant: Merchant,
    /// From then on nothing is paid.
    pub expires_at_ms: Option<i64>,
    /// `paymentNotifyUrl`.
    pub notify_url: Option<String>,
    /// How much of `amount` is refunded, in its smallest unit.
    pub refunded_amount: u64,
    /// How much of `charged` is refunded, in its smallest unit.
    pub refunded_charged: u64,
    /// Refunds that were granted.
    pub refunds: u64,
}

macro_rules! columns {
    () => {
        "payment_request_id, acquirer_id, psp_id, status, result_code, cancelled_at, created_at, payment_time, \
         key_parameters, payment_id, customer_id, currency, amount, charged_currency, charged, quote_id, \
         quote_pair, quote_price, reference, merchant_name, merchant_mcc, expires_at, notify_url, \
         refunded_amount, refunded_charged, refunds"
    };
}

/// Reads a payment.
pub(crate) const FIND: &str = concat!("SELECT ", columns!(), " FROM payments WHERE payment_request_id = $1");
/// Reads a payment and keeps the row until the commit.
pub(super) const HOLD: &str = concat!("SELECT ", columns!(), " FROM payments WHERE payment_request_id = $1 FOR UPDATE");
/// Reads payment `$1`, or by our name for it `$2`, of acquirer `$3` if that is not null.
pub(super) const BY_EITHER_NAME: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE (payment_request_id = $1 OR payment_id = $2) AND (acquirer_id = $3 OR $3 IS NULL)"
);
/// A user's payments before a moment and an id, newest first.
pub(super) const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE customer_id = $1 AND (created_at < $2 OR (created_at = $2 AND payment_request_id < $3)) \
     ORDER BY created_at DESC, payment_request_id DESC LIMIT $4"
);
/// A user's payments with a tap's reference, newest first.
pub(super) const BY_REFERENCE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE reference = $1 AND customer_id = $2 ORDER BY created_at DESC, payment_request_id DESC LIMIT 1"
);
/// A user's payment by this server's name for it.
pub(super) const BY_PAYMENT_ID: &str =
    concat!("SELECT ", columns!(), " FROM payments WHERE payment_id = $1 AND customer_id = $2");

const INSERT: &str = concat!(
    "INSERT INTO payments (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
     $22, $23, $24, $25, $26)"
);
const UPDATE: &str = "UPDATE payments SET status = $2, result_code = $3, cancelled_at = $4, payment_time = $5, \
    refunded_amount = $6, refunded_charged = $7, refunds = $8 WHERE payment_request_id = $1";

/// Writes a new payment by [`Payment::values`].
pub(super) fn insert<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(INSERT, values)
}

/// Writes what a held payment became, by [`Payment::changes`].
pub(super) fn update<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(UPDATE, values)
}

impl Payment {
    /// A payment as it is asked for.
    pub(super) fn new(pay: &Pay, payment_id: &str, now: i64) -> Self {
        let order = PaymentOrder {
            key_parameters: pay.key_parameters.clone(),
            payment_id: payment_id.to_owned(),
            customer_id: pay.customer_id.clone(),
            amount: pay.amount,
            charged: pay.charged(),
            quote: pay.quote.clone(),
            reference: pay.reference.clone(),
            merchant: pay.merchant.clone(),
            expires_at_ms: pay.expires_at_ms,
            notify_url: pay.notify_url.clone(),
            refunded_amount: 0,
            refunded_charged: 0,
            refunds: 0,
        };
        Self {
            key: pay.key.clone(),
            status: PaymentStatus::Processing,
            result_code: None,
            cancelled_at_ms: None,
            created_at_ms: now,
            payment_time_ms: None,
            order: Some(Box::new(order)),
        }
    }

    /// A payment that is cancelled before it comes.
    pub(super) fn cancelled(key: &PaymentKey, now: i64) -> Self {
        Self {
            key: key.clone(),
            status: PaymentStatus::Closed,
            result_code: Some(ResultCode::OrderIsClosed),
            cancelled_at_ms: Some(now),
            created_at_ms: now,
            payment_time_ms: None,
            order: None,
        }
    }

    /// `paymentResult`: what an inquiry, a notice and a repeated `pay` say.
    #[must_use]
    pub fn result(&self) -> ResultCode {
        match self.status {
            PaymentStatus::Processing => ResultCode::PaymentInProcess,
            PaymentStatus::Success | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => ResultCode::Success,
            PaymentStatus::Failed | PaymentStatus::Closed => {
                self.result_code.clone().unwrap_or(ResultCode::OrderIsClosed)
            }
        }
    }

    /// Decides it: `Ok` is paid.
    pub(super) fn decide(&mut self, result: Result<(), ResultCode>, now: i64) {
        self.payment_time_ms = Some(now);
        match result {
            Ok(()) => self.status = PaymentStatus::Success,
            Err(code) => {
                let closed = code == ResultCode::OrderIsClosed;
                self.status = if closed { PaymentStatus::Closed } else { PaymentStatus::Failed };
                self.result_code = Some(code);
            }
        }
    }

    /// It is the payment that `key` means.
    pub(super) fn is_of(&self, key: &PaymentKey) -> bool {
        self.key == *key
    }

    pub(crate) fn read(mut row: Row) -> Result<Self, StoreError> {
        let status = StoreError::Column { expected: "a payment's status" };
        Ok(Self {
            key: PaymentKey { payment_request_id: row.text()?, acquirer_id: row.text()?, psp_id: row.text()? },
            status: PaymentStatus::from_name(&row.text()?).ok_or(status)?,
            result_code: row.optional_text()?.map(ResultCode::from),
            cancelled_at_ms: row.optional_int()?,
            created_at_ms: row.int()?,
            payment_time_ms: row.optional_int()?,
            order: PaymentOrder::read(row)?.map(Box::new),
        })
    }

    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let PaymentKey { acquirer_id, psp_id, payment_request_id } = &self.key;
        let order = self.order.as_ref();
        let quote = order.and_then(|order| order.quote.as_ref());
        vec![
            payment_request_id.into(),
            acquirer_id.into(),
            psp_id.into(),
            self.status.as_str().into(),
            self.result_code.as_ref().map(ResultCode::as_str).into(),
            self.cancelled_at_ms.into(),
            self.created_at_ms.into(),
            self.payment_time_ms.into(),
            order.map(|order| &order.key_parameters).into(),
            order.map(|order| &order.payment_id).into(),
            order.map(|order| &order.customer_id).into(),
            order.map(|order| order.amount.currency.code()).into(),
            order.map(|order| order.amount.value).into(),
            order.map(|order| order.charged.currency.code()).into(),
            order.map(|order| order.charged.value).into(),
            quote.and_then(|quote| quote.id.as_ref()).into(),
            quote.map(|quote| &quote.pair).into(),
            quote.map(|quote| &quote.price).into(),
            order.and_then(|order| order.reference.as_ref()).into(),
            order.and_then(|order| order.merchant.name.as_ref()).into(),
            order.and_then(|order| order.merchant.mcc.as_ref()).into(),
            order.and_then(|order| order.expires_at_ms).into(),
            order.and_then(|order| order.notify_url.as_ref()).into(),
            order.map_or(0, |order| order.refunded_amount).into(),
            order.map_or(0, |order| order.refunded_charged).into(),
            order.map_or(0, |order| order.refunds).into(),
        ]
    }

    pub(super) fn changes(&self) -> [Value<'_>; 8] {
        let order = self.order.as_ref();
        [
            (&self.key.payment_request_id).into(),
            self.status.as_str().into(),
            self.result_code.as_ref().map(ResultCode::as_str).into(),
            self.cancelled_at_ms.into(),
            self.payment_time_ms.into(),
            order.map_or(0, |order| order.refunded_amount).into(),
            order.map_or(0, |order| order.refunded_charged).into(),
            order.map_or(0, |order| order.refunds).into(),
        ]
    }
}

impl PaymentOrder {
    /// The rest of the row after the columns of the payment itself.
    fn read(mut row: Row) -> Result<Option<Self>, StoreError> {
        let Some(key_parameters) = row.optional_text()? else { return Ok(None) };
        Ok(Some(Self {
            key_parameters,
            payment_id: row.text()?,
            customer_id: row.text()?,
            amount: amount(&mut row)?,
            charged: amount(&mut row)?,
            quote: {
                let (id, pair, price) = (row.optional_text()?, row.optional_text()?, row.optional_text()?);
                pair.zip(price).map(|(pair, price)| Quote { id, pair, price })
            },
            reference: row.optional_text()?,
            merchant: Merchant { name: row.optional_text()?, mcc: row.optional_text()? },
            expires_at_ms: row.optional_int()?,
            notify_url: row.optional_text()?,
            refunded_amount: row.unsigned()?,
            refunded_charged: row.unsigned()?,
            refunds: row.unsigned()?,
        }))
    }
}

/// Two columns: a currency and a number of its smallest unit.
pub(super) fn amount(row: &mut Row) -> Result<Amount, StoreError> {
    let currency = Currency::from_code(&row.text()?).ok_or(StoreError::Column { expected: "a currency" })?;
    Ok(Amount::new(currency, row.unsigned()?))
}

impl std::fmt::Debug for Payment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payment").field("status", &self.status).finish_non_exhaustive()
    }
}
