//! Deciding payments that were left in process.

use alipayplus::ResultCode;
use alipayplus::business_time::BusinessCalendar;

use super::payment::{self, Payment, PaymentStatus};
use super::{Held, hold, pay, write};
use crate::notices;
use crate::store::{StoreError, Tx};

/// What somebody, or something, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The account decides, as it is now.
    Accept,
    /// `RISK_REJECT`.
    Reject,
}

const OVERDUE: &str = "SELECT payment_request_id FROM payments WHERE status = 'PROCESSING' AND expires_at <= $1
    ORDER BY expires_at LIMIT $2";

/// Decides a payment that is in process, and notes that it has to be told. `None` if there is no such
/// payment; one that is decided stays as it is.
pub(super) fn run(
    tx: &mut Tx<'_>,
    payment_request_id: &str,
    decision: Decision,
    calendar: &BusinessCalendar,
    now: i64,
) -> Result<Option<Payment>, StoreError> {
    let Held { mut user, payment, .. } = hold(tx, payment_request_id, None)?;
    let Some(mut payment) = payment else { return Ok(None) };
    if payment.status != PaymentStatus::Processing {
        return Ok(Some(payment));
    }
    let result = match decision {
        Decision::Accept => pay::charge(&payment, user.as_mut(), calendar, now),
        Decision::Reject => pay::open_order(&payment, now).and(Err(ResultCode::RiskReject)),
    };
    let is_paid = result.is_ok();
    payment.decide(result, now);
    let (changes, notice) = (payment.changes(), notices::first(payment_request_id, now));
    let rows = [payment::update(&changes), notices::insert(&notice)];
    let entry = is_paid.then(|| pay::entry(&payment, now)).flatten();
    write(tx, &rows, user.as_ref().filter(|_| is_paid), entry.as_slice())?;
    Ok(Some(payment))
}

/// Payments in process whose time is over.
pub(super) fn overdue(tx: &mut Tx<'_>, now: i64, limit: u64) -> Result<Vec<String>, StoreError> {
    let rows = tx.query_all(OVERDUE, &[now.into(), limit.into()])?;
    rows.into_iter().map(|mut row| row.text()).collect()
}
