//! Rows of the books as values.

use alipayplus::model::Quote;
use alipayplus::{Amount, Currency};
use rusqlite::Row;

use super::super::conversion::{CallKind, PaymentState, RowId, Standing};
use super::super::events::SchemeId;
use super::super::requests::read;
use super::GatewayError;

/// A payment: one authorisation, or what was cleared beyond one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The authorisation, or the gateway's own name.
    pub auth_id: SchemeId,
    /// `paymentRequestId`.
    pub request_id: String,
    /// The payment provider's customer id.
    pub user: String,
    /// The merchant's currency.
    pub currency: Currency,
    /// What the user pays: `payToAmount`.
    pub pay_to: Amount,
    /// The rate, kept for refunds.
    pub quote: Option<Quote>,
    /// When `pay` must have a final result, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// When the authorisation expires by itself, in milliseconds since 1970.
    pub lapses_at_ms: i64,
    /// How it stands.
    pub standing: Standing,
    /// The terminal was, or will be, told "approved".
    pub approved: bool,
    /// The sum of all `refundFromAmount`, in the smallest unit of the user's currency.
    pub refunded_to: u64,
    /// The provider's `paymentId`.
    pub payment_id: Option<String>,
    /// Why it failed.
    pub code: Option<String>,
}

impl Payment {
    /// What `pay` asked for, in the merchant's currency.
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount::new(self.currency, self.standing.amount)
    }
}

impl Payment {
    /// Notes why it failed; the first reason counts.
    pub(crate) fn fail_with(&mut self, code: &alipayplus::ResultCode) {
        self.code.get_or_insert_with(|| code.as_str().to_owned());
    }
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallState {
    /// It is made until it has a final result.
    Due,
    /// It succeeded, or told what there is to know.
    Done,
    /// It failed for good.
    Failed,
    /// Something else made it needless.
    Dropped,
}

impl CallState {
    const ALL: [Self; 4] = [Self::Due, Self::Done, Self::Failed, Self::Dropped];

    /// In the books.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// A call to the payment provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its place in the books.
    pub seq: i64,
    /// Which API.
    pub kind: CallKind,
    /// Its idempotency id.
    pub request_id: String,
    /// The payment that it is about, if any.
    pub auth_id: Option<SchemeId>,
    /// The row of the table that asked for it.
    pub row: RowId,
    /// Over how much, in the merchant's currency; 0 for calls without an amount.
    pub amount: Amount,
    /// The request, as it is sent each time.
    pub request: String,
    /// How far it is.
    pub state: CallState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next, in milliseconds since 1970.
    pub next_at_ms: i64,
    /// The last result code.
    pub code: Option<String>,
}

impl Call {
    /// It is made now.
    pub(crate) fn is_due_at(&self, now_ms: i64) -> bool {
        self.state == CallState::Due && self.next_at_ms <= now_ms
    }
}

pub(super) const PAYMENT_COLUMNS: &str = "auth_id, beyond, request_id, user, currency, amount, pay_to_currency, pay_to, quote, authorised_at_ms, \
     expires_at_ms, lapses_at_ms, state, approved, taken, held, cleared, refunded, refunded_to, payment_id, code";

pub(super) const CALL_COLUMNS: &str =
    "seq, kind, request_id, auth_id, conversion, currency, minor, request, state, attempts, next_at_ms, code";

pub(super) fn read_payment(row: &Row<'_>) -> Result<Payment, GatewayError> {
    let standing = Standing {
        state: named(&row.get::<_, String>(12)?, PaymentState::ALL, PaymentState::name)?,
        beyond: row.get(1)?,
        taken: row.get(14)?,
        amount: minor(row, 5)?,
        held: minor(row, 15)?,
        cleared: minor(row, 16)?,
        refunded: minor(row, 17)?,
        authorised_at_ms: row.get(9)?,
    };
    let quote: Option<String> = row.get(8)?;
    Ok(Payment {
        auth_id: id(row.get(0)?)?,
        request_id: row.get(2)?,
        user: row.get(3)?,
        currency: currency(row, 4)?,
        pay_to: Amount::new(currency(row, 6)?, minor(row, 7)?),
        quote: quote.map(|quote| read(&quote)).transpose()?,
        expires_at_ms: row.get(10)?,
        lapses_at_ms: row.get(11)?,
        standing,
        approved: row.get(13)?,
        refunded_to: minor(row, 18)?,
        payment_id: row.get(19)?,
        code: row.get(20)?,
    })
}

pub(super) fn read_call(row: &Row<'_>) -> Result<Call, GatewayError> {
    let auth_id: Option<String> = row.get(3)?;
    Ok(Call {
        seq: row.get(0)?,
        kind: named(&row.get::<_, String>(1)?, CallKind::ALL, CallKind::name)?,
        request_id: row.get(2)?,
        auth_id: auth_id.map(id).transpose()?,
        row: row_id(&row.get::<_, String>(4)?)?,
        amount: Amount::new(currency(row, 5)?, minor(row, 6)?),
        request: row.get(7)?,
        state: named(&row.get::<_, String>(8)?, CallState::ALL, CallState::name)?,
        attempts: row.get(9)?,
        next_at_ms: row.get(10)?,
        code: row.get(11)?,
    })
}

pub(super) fn row_id(name: &str) -> Result<RowId, GatewayError> {
    RowId::parse(name).ok_or(GatewayError::Damaged { what: "a row of the table" })
}

fn named<T: Copy, const N: usize>(name: &str, all: [T; N], name_of: fn(T) -> &'static str) -> Result<T, GatewayError> {
    all.into_iter().find(|value| name_of(*value) == name).ok_or(GatewayError::Damaged { what: "a name" })
}

fn id(text: String) -> Result<SchemeId, GatewayError> {
    SchemeId::try_from(text)
}

fn currency(row: &Row<'_>, index: usize) -> Result<Currency, GatewayError> {
    Currency::from_code(&row.get::<_, String>(index)?).ok_or(GatewayError::Damaged { what: "a currency" })
}

fn minor(row: &Row<'_>, index: usize) -> Result<u64, GatewayError> {
    row.get::<_, i64>(index)?.try_into().map_err(|_| GatewayError::Damaged { what: "an amount" })
}
