//! `refund`: part or all of a payment comes back, at the payment's own rate.
//!
//! The user gets what Alipay+ says (`refundFromAmount`), or else the payment's share; what is above what is
//! left is refused. The refund that completes a payment gives exactly what is left, so that no unit is lost
//! to rounding; if Alipay+ says a few units more or less, the account of roundings bears them.

use alipayplus::business_time::BusinessCalendar;
use alipayplus::model::quote::step;
use alipayplus::{Amount, Currency, ResultCode};

use super::command::{Refund, check_amounts};
use super::payment::{self, Payment, PaymentOrder, PaymentStatus};
use super::{Held, RefundAnswer, hold, rate, write};
use crate::accounts::User;
use crate::ledger::{Account, Cause, Entry};
use crate::store::{Row, Statement, StoreError, Tx, Value};

/// A refund that was asked for and decided.
#[derive(Clone, PartialEq, Eq)]
pub struct RefundRecord {
    /// `refundRequestId`.
    pub refund_request_id: String,
    pub(super) acquirer_id: String,
    pub(super) psp_id: String,
    pub(super) key_parameters: String,
    /// Why it was refused, or `SUCCESS`.
    pub result: ResultCode,
    /// This server's name for it, if it was granted.
    pub refund_id: Option<String>,
    /// When it was decided.
    pub refund_time_ms: i64,
    /// The payment.
    pub payment_request_id: Option<String>,
    /// Who got the money.
    pub customer_id: Option<String>,
    /// `refundAmount`.
    pub amount: Amount,
    /// What the user got. May be 0 for a small part of a payment in a smaller currency.
    pub credited: Option<Amount>,
}

impl std::fmt::Debug for RefundRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefundRecord").field("result", &self.result).finish_non_exhaustive()
    }
}

/// Which call made a refund. Each has its own ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefundApi {
    Refund,
    AdjustRefund,
}

impl RefundApi {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::AdjustRefund => "adjustRefund",
        }
    }
}

macro_rules! columns {
    () => {
        "refund_request_id, acquirer_id, psp_id, key_parameters, result_code, refund_id, refund_time, \
         payment_request_id, customer_id, currency, amount, credited_currency, credited"
    };
}

/// Reads a refund by API and id.
pub(super) const FIND: &str = concat!("SELECT ", columns!(), " FROM refunds WHERE api = $1 AND refund_request_id = $2");
/// The refunds of a payment that were granted, oldest first.
pub(super) const OF_PAYMENT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM refunds WHERE payment_request_id = $1 AND api = 'refund' AND result_code = 'SUCCESS' \
     ORDER BY refund_time, refund_request_id"
);
/// What a user got back before a moment and an id, newest first.
pub(super) const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM refunds WHERE customer_id = $1 AND result_code = 'SUCCESS' \
     AND (refund_time < $2 OR (refund_time = $2 AND refund_request_id < $3)) \
     ORDER BY refund_time DESC, refund_request_id DESC LIMIT $4"
);
const INSERT: &str = concat!(
    "INSERT INTO refunds (api, ",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
);

impl RefundRecord {
    pub(super) fn read(mut row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            refund_request_id: row.text()?,
            acquirer_id: row.text()?,
            psp_id: row.text()?,
            key_parameters: row.text()?,
            result: ResultCode::from(row.text()?),
            refund_id: row.optional_text()?,
            refund_time_ms: row.int()?,
            payment_request_id: row.optional_text()?,
            customer_id: row.optional_text()?,
            amount: payment::amount(&mut row)?,
            credited: {
                let (currency, value) = (row.optional_text()?, row.optional_unsigned()?);
                let currency = currency.as_deref().and_then(Currency::from_code);
                currency.zip(value).map(|(currency, value)| Amount::new(currency, value))
            },
        })
    }

    pub(super) fn values(&self, api: RefundApi) -> [Value<'_>; 14] {
        [
            api.as_str().into(),
            (&self.refund_request_id).into(),
            (&self.acquirer_id).into(),
            (&self.psp_id).into(),
            (&self.key_parameters).into(),
            self.result.as_str().into(),
            self.refund_id.as_ref().into(),
            self.refund_time_ms.into(),
            self.payment_request_id.as_ref().into(),
            self.customer_id.as_ref().into(),
            self.amount.currency.code().into(),
            self.amount.value.into(),
            self.credited.map(|credited| credited.currency.code()).into(),
            self.credited.map(|credited| credited.value).into(),
        ]
    }

    pub(super) fn answer(self) -> RefundAnswer {
        RefundAnswer { result: self.result.clone(), refund: Some(self) }
    }
}

/// Writes a refund by [`RefundRecord::values`].
pub(super) fn insert<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(INSERT, values)
}

/// A refund that is asked for.
pub(super) struct Asked {
    pub(super) refund: Refund,
    pub(super) refund_id: String,
    pub(super) calendar: BusinessCalendar,
    pub(super) now: i64,
}

pub(super) fn run(tx: &mut Tx<'_>, asked: &Asked) -> Result<RefundAnswer, StoreError> {
    let Asked { refund, now, .. } = asked;
    let payment_request_id = &refund.key.payment_request_id;
    let id = [RefundApi::Refund.as_str().into(), (&refund.refund_request_id).into()];
    let Held { mut user, payment, other: earlier } = hold(tx, payment_request_id, Some(Statement::new(FIND, &id)))?;
    if let Some(earlier) = earlier.map(RefundRecord::read).transpose()? {
        let is_same = earlier.is_of(&refund.key.acquirer_id, &refund.key.psp_id, &refund.key_parameters)
            && earlier.payment_request_id.as_ref() == Some(payment_request_id);
        return Ok(if is_same { earlier.answer() } else { refused(ResultCode::RepeatReqInconsistent) });
    }
    if let Err(code) = check_amounts([refund.amount].into_iter().chain(refund.from_amount)) {
        return Ok(refused(code));
    }
    let granted = grant(asked, payment, user.as_mut());
    if granted.as_ref().err() == Some(&ResultCode::PaymentInProcess) {
        return Ok(refused(ResultCode::PaymentInProcess));
    }
    let record = record(asked, &granted);
    let values = record.values(RefundApi::Refund);
    match &granted {
        Ok(granted) => {
            let changes = granted.payment.changes();
            let entries = granted.split.entries(&record, *now);
            write(tx, &[insert(&values), payment::update(&changes)], user.as_ref(), &entries)?;
        }
        Err(_) => write(tx, &[insert(&values)], None, &[])?,
    }
    Ok(record.answer())
}

impl RefundRecord {
    /// A repeat of the same request.
    pub(super) fn is_of(&self, acquirer_id: &str, psp_id: &str, key_parameters: &str) -> bool {
        (self.acquirer_id.as_str(), self.psp_id.as_str(), self.key_parameters.as_str())
            == (acquirer_id, psp_id, key_parameters)
    }
}

/// Not kept: the request is refused as such, or may be asked again.
pub(super) fn refused(result: ResultCode) -> RefundAnswer {
    RefundAnswer { result, refund: None }
}

fn record(asked: &Asked, granted: &Result<Granted, ResultCode>) -> RefundRecord {
    let Refund { key, refund_request_id, amount, key_parameters, .. } = &asked.refund;
    let order = granted.as_ref().ok().and_then(|granted| granted.payment.order.as_ref());
    RefundRecord {
        refund_request_id: refund_request_id.clone(),
        acquirer_id: key.acquirer_id.clone(),
        psp_id: key.psp_id.clone(),
        key_parameters: key_parameters.clone(),
        result: granted.as_ref().map_or_else(Clone::clone, |_| ResultCode::Success),
        refund_id: granted.is_ok().then(|| asked.refund_id.clone()),
        refund_time_ms: asked.now,
        payment_request_id: Some(key.payment_request_id.clone()),
        customer_id: order.map(|order| order.customer_id.clone()),
        amount: *amount,
        credited: granted.as_ref().ok().map(|granted| granted.split.credited),
    }
}

/// What a refund makes of its payment, and of whose money.
struct Granted {
    payment: Payment,
    split: Split,
}

fn grant(asked: &Asked, payment: Option<Payment>, user: Option<&mut User>) -> Result<Granted, ResultCode> {
    let Asked { refund, calendar, now, .. } = asked;
    let payment = payment.filter(|payment| payment.is_of(&refund.key));
    let mut payment = payment.ok_or(ResultCode::OrderNotExist)?;
    match payment.status {
        PaymentStatus::Success | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {}
        PaymentStatus::Processing => return Err(ResultCode::PaymentInProcess),
        PaymentStatus::Failed | PaymentStatus::Closed => return Err(ResultCode::OrderIsClosed),
    }
    let order = payment.order.as_mut().ok_or(ResultCode::OrderIsClosed)?;
    if refund.payment_id.as_ref().is_some_and(|id| *id != order.payment_id) {
        return Err(ResultCode::OrderNotExist);
    }
    let paid_at = payment.payment_time_ms.unwrap_or(payment.created_at_ms);
    if !calendar.may_refund(paid_at, *now) {
        return Err(ResultCode::RefundWindowExceed);
    }
    let split = Split::of(refund, order)?;
    user.and_then(|user| user.credit(split.credited.value)).ok_or(ResultCode::ProcessFail)?;
    order.refunded_amount = order.refunded_amount.saturating_add(refund.amount.value);
    order.refunded_charged = order.refunded_charged.saturating_add(split.credited.value);
    order.refunds = order.refunds.saturating_add(1);
    let is_whole = order.refunded_amount == order.amount.value;
    payment.status = if is_whole { PaymentStatus::Refunded } else { PaymentStatus::PartiallyRefunded };
    Ok(Granted { payment, split })
}

/// Who gives what for a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Split {
    /// What the user gets.
    credited: Amount,
    /// What Alipay+ gives, in the smallest unit.
    settled: u64,
}

impl Split {
    fn of(refund: &Refund, order: &PaymentOrder) -> Result<Self, ResultCode> {
        let currency = order.charged.currency;
        let is_other = |amount: Amount| amount.currency != currency;
        if refund.amount.currency != order.amount.currency || refund.from_amount.is_some_and(is_other) {
            return Err(ResultCode::CurrencyNotSupport);
        }
        let refunded = order.refunded_amount.checked_add(refund.amount.value);
        let refunded = refunded.filter(|sum| *sum <= order.amount.value).ok_or(ResultCode::RefundAmountExceed)?;
        let left = order.charged.value.saturating_sub(order.refunded_charged);
        let is_last = refunded == order.amount.value;
        let share = rate::share(order.charged, refunded, order.amount.value).saturating_sub(order.refunded_charged);
        let expected = if is_last { left } else { share.min(left) };
        let settled = refund.from_amount.map_or(expected, |amount| amount.value);
        // Each refund may have been rounded by one unit by either side.
        let roundings = step(currency).saturating_mul(order.refunds.saturating_add(1));
        let is_near = settled.abs_diff(expected) <= roundings;
        if !is_near {
            tracing::warn!("a refund's amounts differ from the payment's rate by more than rounding");
        }
        let credited = if is_last && is_near { left } else { settled };
        if credited > left {
            return Err(ResultCode::RefundAmountExceed);
        }
        Ok(Self { credited: Amount::new(currency, credited), settled })
    }

    fn entries(self, record: &RefundRecord, now: i64) -> Vec<Entry> {
        let (id, user) = (&record.refund_request_id, record.customer_id.as_deref().unwrap_or_default());
        let (credited, currency) = (self.credited.value, self.credited.currency);
        let (direct, rounding) = (credited.min(self.settled), credited.abs_diff(self.settled));
        let sides = match credited > self.settled {
            true => (Account::Rounding, Account::User(user)),
            false => (Account::Settlement, Account::Rounding),
        };
        let entries = [
            (Cause::Refund(id), Account::Settlement, Account::User(user), direct),
            (Cause::RefundRounding(id), sides.0, sides.1, rounding),
        ];
        let moving = entries.into_iter().filter(|(.., value)| *value > 0);
        moving.map(|(cause, from, to, value)| Entry::new(cause, from, to, Amount::new(currency, value), now)).collect()
    }
}
