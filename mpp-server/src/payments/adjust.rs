//! `adjustRefund`: money comes back that no payment covers. The facts let it fail only for what is wrong
//! with the request, so a frozen or closed account takes it too.

use alipayplus::{Amount, ResultCode};

use super::command::{AdjustRefund, Scenario, check_amounts};
use super::refund::{self, RefundApi, RefundRecord, refused};
use super::{RefundAnswer, first_rows, write};
use crate::accounts::{self, User};
use crate::ledger::{Account, Cause, Entry};
use crate::store::{Statement, StoreError, Tx};

pub(super) fn run(
    tx: &mut Tx<'_>,
    adjust: &AdjustRefund,
    refund_id: &str,
    now: i64,
) -> Result<RefundAnswer, StoreError> {
    let payment = adjust.payment_request_id.as_ref().filter(|_| adjust.scenario == Scenario::Exceed);
    let of_user = [payment.into(), (&adjust.acquirer_id).into(), adjust.customer_id.as_ref().into()];
    let [user, earlier] = first_rows(tx.run(&[
        Statement::new(accounts::HOLD_BY_PAYMENT_OR_ID, &of_user),
        Statement::new(refund::FIND, &[RefundApi::AdjustRefund.as_str().into(), (&adjust.refund_request_id).into()]),
    ])?);
    if let Some(earlier) = earlier.map(RefundRecord::read).transpose()? {
        let is_same = earlier.is_of(&adjust.acquirer_id, &adjust.psp_id, &adjust.key_parameters);
        return Ok(if is_same { earlier.answer() } else { refused(ResultCode::RepeatReqInconsistent) });
    }
    let amounts = check_amounts([adjust.amount].into_iter().chain(adjust.from_amount));
    let is_for_nobody = payment.is_none() && adjust.customer_id.is_none();
    if amounts.is_err() || is_for_nobody {
        return Ok(refused(ResultCode::ParamIllegal));
    }
    let mut user = user.map(User::read).transpose()?;
    let credited = credit(adjust, user.as_mut());
    let record = RefundRecord {
        refund_request_id: adjust.refund_request_id.clone(),
        acquirer_id: adjust.acquirer_id.clone(),
        psp_id: adjust.psp_id.clone(),
        key_parameters: adjust.key_parameters.clone(),
        result: credited.as_ref().map_or_else(Clone::clone, |_| ResultCode::Success),
        refund_id: credited.is_ok().then(|| refund_id.to_owned()),
        refund_time_ms: now,
        payment_request_id: adjust.payment_request_id.clone(),
        customer_id: user.as_ref().map(|user| user.customer_id.clone()),
        amount: adjust.amount,
        credited: credited.as_ref().ok().copied(),
    };
    let values = record.values(RefundApi::AdjustRefund);
    let cause = Cause::AdjustRefund(&adjust.refund_request_id);
    let to = Account::User(record.customer_id.as_deref().unwrap_or_default());
    let entry = credited.as_ref().ok().map(|amount| Entry::new(cause, Account::Settlement, to, *amount, now));
    write(tx, &[refund::insert(&values)], user.as_ref().filter(|_| entry.is_some()), entry.as_slice())?;
    Ok(record.answer())
}

fn credit(adjust: &AdjustRefund, user: Option<&mut User>) -> Result<Amount, ResultCode> {
    let user = user.ok_or(ResultCode::UserNotExist)?;
    let amount = adjust.from_amount.unwrap_or(adjust.amount);
    if user.currency != amount.currency {
        return Err(ResultCode::CurrencyNotSupport);
    }
    user.credit(amount.value).ok_or(ResultCode::ProcessFail)?;
    Ok(amount)
}
