//! `adjustRefund`: money comes back that no payment covers. The facts let it fail only for what is wrong
//! with the request, so a frozen or closed account takes it too.

use alipayplus::{Amount, ResultCode};

use super::command::{AdjustRefund, Scenario, check_amounts};
use super::payment::{self, Payment};
use super::refund::{self, RefundApi, RefundRecord, refused};
use super::{RefundAnswer, first_rows, rate, user_of, write};
use crate::accounts::{self, User};
use crate::ledger::{Account, Cause, Entry};
use crate::store::{Statement, StoreError, Tx, Value};

pub(super) fn run(
    tx: &mut Tx<'_>,
    adjust: &AdjustRefund,
    refund_id: &str,
    now: i64,
) -> Result<RefundAnswer, StoreError> {
    let request_id = adjust.payment_request_id.as_ref().filter(|_| adjust.scenario == Scenario::Exceed);
    let no_other = adjust.scenario == Scenario::Exceed && request_id.is_none();
    let payment_id = adjust.payment_id.as_ref().filter(|_| no_other);
    let of_payment: [Value<'_>; 3] = [request_id.into(), payment_id.into(), adjust.acquirer_id.as_ref().into()];
    let [name, other_name, acquirer] = of_payment;
    let of_user = [name, other_name, acquirer, adjust.customer_id.as_ref().into()];
    let [user, payment, earlier] = first_rows(tx.run(&[
        Statement::new(accounts::HOLD_BY_PAYMENT_OR_ID, &of_user),
        Statement::new(payment::BY_EITHER_NAME, &of_payment),
        Statement::new(refund::FIND, &[RefundApi::AdjustRefund.as_str().into(), (&adjust.refund_request_id).into()]),
    ])?);
    let acquirer_id = adjust.acquirer_id.as_deref().unwrap_or_default();
    if let Some(earlier) = earlier.map(RefundRecord::read).transpose()? {
        let is_same = earlier.is_of(acquirer_id, &adjust.psp_id, &adjust.key_parameters);
        return Ok(if is_same { earlier.answer() } else { refused(ResultCode::RepeatReqInconsistent) });
    }
    let amounts = check_amounts([adjust.amount].into_iter().chain(adjust.from_amount));
    let is_for_nobody = request_id.is_none() && payment_id.is_none() && adjust.customer_id.is_none();
    if amounts.is_err() || is_for_nobody {
        return Ok(refused(ResultCode::ParamIllegal));
    }
    let payment = payment.map(Payment::read).transpose()?;
    let mut user = user_of(tx, payment.as_ref(), user.map(User::read).transpose()?)?;
    let credited = credit(adjust, payment.as_ref(), user.as_mut());
    let record = RefundRecord {
        refund_request_id: adjust.refund_request_id.clone(),
        acquirer_id: acquirer_id.to_owned(),
        psp_id: adjust.psp_id.clone(),
        key_parameters: adjust.key_parameters.clone(),
        result: credited.as_ref().map_or_else(Clone::clone, |_| ResultCode::Success),
        refund_id: credited.is_ok().then(|| refund_id.to_owned()),
        refund_time_ms: now,
        payment_request_id: payment.map(|payment| payment.key.payment_request_id).or(adjust.payment_request_id.clone()),
        customer_id: user.as_ref().map(|user| user.customer_id.clone()),
        amount: adjust.amount,
        credited: credited.as_ref().ok().copied(),
    };
    let values = record.values(RefundApi::AdjustRefund);
    let cause = Cause::AdjustRefund(&adjust.refund_request_id);
    let to = Account::User(record.customer_id.as_deref().unwrap_or_default());
    let entry = credited
        .as_ref()
        .ok()
        .filter(|amount| amount.value > 0)
        .map(|amount| Entry::new(cause, Account::Settlement, to, *amount, now));
    write(tx, &[refund::insert(&values)], user.as_ref().filter(|_| entry.is_some()), entry.as_slice())?;
    Ok(record.answer())
}

fn credit(adjust: &AdjustRefund, payment: Option<&Payment>, user: Option<&mut User>) -> Result<Amount, ResultCode> {
    let user = user.ok_or(ResultCode::UserNotExist)?;
    let order = payment.and_then(|payment| payment.order.as_ref());
    let amount = match (adjust.from_amount, order) {
        (Some(amount), _) => amount,
        (None, Some(order)) if adjust.amount.currency == order.amount.currency => {
            let value = rate::at_rate(order.charged, adjust.amount.value, order.amount.value);
            Amount::new(order.charged.currency, value.ok_or(ResultCode::ProcessFail)?)
        }
        (None, _) => adjust.amount,
    };
    if user.currency != amount.currency {
        return Err(ResultCode::CurrencyNotSupport);
    }
    user.credit(amount.value).ok_or(ResultCode::ProcessFail)?;
    Ok(amount)
}
