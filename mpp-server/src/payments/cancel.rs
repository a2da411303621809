//! `cancelPayment`: give back what was taken.
//!
//! Any payment may be cancelled until 00:30 (UTC+8) of the day after it was first asked for. One that is
//! not known yet is remembered: when it comes, it is closed. One that was refused stays refused. One that
//! was refunded in part, or in whole, gives back what is left, so that the user has all of it once: the
//! facts let a cancel fail for nothing but its window, and name no code for "refunded".

use alipayplus::business_time::BusinessCalendar;
use alipayplus::{Amount, ResultCode};

use super::command::PaymentKey;
use super::payment::{self, Payment, PaymentStatus};
use super::{Held, hold, write};
use crate::accounts::User;
use crate::ledger::{Account, Cause, Entry};
use crate::notices;
use crate::store::{StoreError, Tx};

pub(super) fn run(
    tx: &mut Tx<'_>,
    key: &PaymentKey,
    calendar: &BusinessCalendar,
    now: i64,
) -> Result<ResultCode, StoreError> {
    let Held { mut user, payment, .. } = hold(tx, &key.payment_request_id, None)?;
    let Some(mut payment) = payment else {
        write(tx, &[payment::insert(&Payment::cancelled(key, now).values())], None, &[])?;
        return Ok(ResultCode::Success);
    };
    if !payment.is_of(key) {
        return Ok(ResultCode::OrderNotExist);
    }
    if payment.cancelled_at_ms.is_some() {
        return Ok(ResultCode::Success);
    }
    if !calendar.may_cancel(payment.created_at_ms, now) {
        return Ok(ResultCode::CancelWindowExceed);
    }
    let entry = match give_back(&payment, user.as_mut(), calendar, now) {
        Ok(entry) => entry,
        Err(code) => return Ok(code),
    };
    payment.cancelled_at_ms = Some(now);
    if payment.status != PaymentStatus::Failed {
        payment.status = PaymentStatus::Closed;
        payment.result_code = Some(ResultCode::OrderIsClosed);
    }
    let (changes, id) = (payment.changes(), [(&key.payment_request_id).into()]);
    write(tx, &[payment::update(&changes), notices::stop(&id)], user.as_ref(), entry.as_slice())?;
    Ok(ResultCode::Success)
}

/// What the user paid and has not back. The payment does not count for the limits of its day any more.
fn give_back(
    payment: &Payment,
    user: Option<&mut User>,
    calendar: &BusinessCalendar,
    now: i64,
) -> Result<Option<Entry>, ResultCode> {
    match payment.status {
        PaymentStatus::Success | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded => {}
        PaymentStatus::Processing | PaymentStatus::Failed | PaymentStatus::Closed => return Ok(None),
    }
    // A paid payment is not closed without giving back.
    let (Some(order), Some(user)) = (&payment.order, user) else { return Err(ResultCode::ProcessFail) };
    let left = order.charged.value.saturating_sub(order.refunded_charged);
    user.credit(left).ok_or(ResultCode::ProcessFail)?;
    let paid_at = payment.payment_time_ms.unwrap_or(payment.created_at_ms);
    user.uncount(order.charged.value, calendar.start_of(calendar.day_of(paid_at)));
    let (from, to) = (Account::Settlement, Account::User(&order.customer_id));
    let cause = Cause::Cancel(&payment.key.payment_request_id);
    let amount = Amount::new(order.charged.currency, left);
    Ok((left > 0).then(|| Entry::new(cause, from, to, amount, now)))
}
