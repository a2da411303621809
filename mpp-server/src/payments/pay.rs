//! `pay`: take the money, or say why not.

use alipayplus::ResultCode;
use alipayplus::business_time::BusinessCalendar;

use super::command::{Pay, check_amounts};
use super::payment::{self, Payment, PaymentOrder};
use super::risk::Verdict;
use super::{Notify, PayAnswer, Policy, first_rows, rate, write};
use crate::accounts::{self, User};
use crate::ledger::{Account, Cause, Entry};
use crate::notices;
use crate::store::{Statement, StoreError, Tx};

/// A payment that is asked for.
pub(super) struct Asked {
    pub(super) pay: Pay,
    pub(super) payment_id: String,
    pub(super) verdict: Verdict,
    pub(super) policy: Policy,
    pub(super) now: i64,
}

/// A repeat is compared before anything else. The first run of a job does not look for an earlier payment:
/// nearly all payments are new, and if this one is not, its key is taken, nothing is written, and the job
/// runs again. Then the user's row is held before the look, so that a payment of the same user that is
/// about to be written is seen.
pub(super) fn run(tx: &mut Tx<'_>, asked: &Asked, run: u32) -> Result<PayAnswer, StoreError> {
    let Asked { pay, now, .. } = asked;
    let (user, id) = ([(&pay.customer_id).into()], [(&pay.key.payment_request_id).into()]);
    let looks = [Statement::new(accounts::HOLD, &user), Statement::new(payment::FIND, &id)];
    let is_hopeful = run == 0 && check_money(pay).is_ok();
    let looks = looks.into_iter().take(if is_hopeful { 1 } else { 2 });
    let [user, earlier] = first_rows(tx.run(&looks.collect::<Vec<_>>())?);
    if let Some(earlier) = earlier.map(Payment::read).transpose()? {
        return Ok(repeated(&earlier, pay));
    }
    if let Err(code) = check_money(pay) {
        return Ok(PayAnswer::of(code));
    }
    let mut user = user.map(User::read).transpose()?;
    let mut payment = Payment::new(pay, &asked.payment_id, *now);
    let charged = charge(&payment, user.as_mut(), &asked.policy.calendar, *now);
    let decided = match (asked.verdict, charged) {
        (Verdict::Review, Ok(())) => None,
        (Verdict::Reject, Ok(())) => Some(Err(ResultCode::RiskReject)),
        (_, charged) => Some(charged),
    };
    let is_paid = decided == Some(Ok(()));
    let is_told = decided.is_some() && asked.policy.notify == Notify::Always;
    if let Some(result) = decided {
        payment.decide(result, *now);
    }
    let values = payment.values();
    let mut rows = vec![payment::insert(&values)];
    let notice = notices::first(&pay.key.payment_request_id, *now);
    if is_told {
        rows.push(notices::insert(&notice));
    }
    let entry = is_paid.then(|| entry(&payment, *now)).flatten();
    write(tx, &rows, user.as_ref().filter(|_| is_paid), entry.as_slice())?;
    Ok(PayAnswer::about(&payment))
}

/// The same answer again, or what has become of the payment since; another payment under the same id is
/// refused.
fn repeated(earlier: &Payment, pay: &Pay) -> PayAnswer {
    match &earlier.order {
        None => PayAnswer::of(earlier.result()),
        Some(order) if earlier.is_of(&pay.key) && order.key_parameters == pay.key_parameters => {
            PayAnswer::about(earlier)
        }
        Some(_) => PayAnswer::of(ResultCode::RepeatReqInconsistent),
    }
}

/// The amounts can be moved, and the quote belongs to them.
fn check_money(pay: &Pay) -> Result<(), ResultCode> {
    check_amounts([pay.amount, pay.charged()])?;
    if let Some(quote) = &pay.quote
        && !rate::agrees(quote, pay.amount, pay.charged())?
    {
        tracing::warn!("a payment's amounts differ from its quote by more than one unit");
    }
    Ok(())
}

/// Takes the money from `user`, or says why not (open-api facts, 4.2). Nothing is changed then.
pub(super) fn charge(
    payment: &Payment,
    user: Option<&mut User>,
    calendar: &BusinessCalendar,
    now: i64,
) -> Result<(), ResultCode> {
    let order = open_order(payment, now)?;
    let user = user.ok_or(ResultCode::UserNotExist)?;
    user.check_usable()?;
    if user.currency != order.charged.currency {
        return Err(ResultCode::CurrencyNotSupport);
    }
    user.debit(order.charged.value, calendar.start_of(calendar.day_of(now)))
}

/// What `payment` asks for, unless its time is over.
pub(super) fn open_order(payment: &Payment, now: i64) -> Result<&PaymentOrder, ResultCode> {
    let is_open = |order: &&PaymentOrder| order.expires_at_ms.is_none_or(|expires| now < expires);
    payment.order.as_deref().filter(is_open).ok_or(ResultCode::OrderIsClosed)
}

/// The user's money becomes that of Alipay+.
pub(super) fn entry(payment: &Payment, now: i64) -> Option<Entry> {
    let order = payment.order.as_ref()?;
    let (from, to) = (Account::User(&order.customer_id), Account::Settlement);
    Some(Entry::new(Cause::Pay(&payment.key.payment_request_id), from, to, order.charged, now))
}
