//! Payments: what is asked, what is answered, and what a payment may become.
//!
//! Owns the tables `payments` and `refunds`; moves money through `accounts` and `ledger`, and leaves what
//! has to be told in `notices`, all in one transaction. Knows no HTTP and no JSON.
//!
//! Every command is idempotent by its id: a repeat with the same key parameters hears what the first one
//! heard, or what has become of the payment since; one with others hears `REPEAT_REQ_INCONSISTENT`. An
//! answer is given when it is on disk. Rows are held in one order: the user's, then the payment's, then
//! what is inserted; so no two commands wait for each other.

mod adjust;
mod cancel;
mod command;
mod decide;
mod history;
mod pay;
mod payment;
mod rate;
mod refund;
mod risk;

use std::sync::Arc;

use alipayplus::ResultCode;
use alipayplus::business_time::BusinessCalendar;

pub use command::{AdjustRefund, Merchant, Pay, PaymentKey, Quote, Refund, Scenario, tap_reference};
pub use decide::Decision;
pub use history::{Cursor, HistoryItem, Mark, Page};
pub use payment::{Payment, PaymentOrder, PaymentStatus};
pub use refund::RefundRecord;
pub use risk::{NoRisk, Risk, Verdict};

pub(crate) use payment::FIND;

use crate::accounts::{self, User};
use crate::clock::Clock;
use crate::ids::make_id;
use crate::ledger::{self, Entry};
use crate::store::{Done, Row, Statement, Store, StoreError, Tx, Value};

/// Which payments are told by `notifyPayment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notify {
    /// Those that the answer of `pay` left in process.
    #[default]
    LeftOpen,
    /// All of them, also what `pay` answered already.
    Always,
}

/// What may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// When days begin, until when a payment may be cancelled, and until when refunded. By default a
    /// wallet's: 30 minutes after its day, and 366 days.
    pub calendar: BusinessCalendar,
    /// Which payments are told.
    pub notify: Notify,
}

/// What `pay` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayAnswer {
    /// The outcome.
    pub result: ResultCode,
    /// The payment, unless the request was refused as such.
    pub payment: Option<Payment>,
}

impl PayAnswer {
    fn of(result: ResultCode) -> Self {
        Self { result, payment: None }
    }

    fn about(payment: &Payment) -> Self {
        Self { result: payment.result(), payment: Some(payment.clone()) }
    }
}

/// What `refund` and `adjustRefund` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundAnswer {
    /// The outcome.
    pub result: ResultCode,
    /// The refund, unless the request was refused as such.
    pub refund: Option<RefundRecord>,
}

/// The payments of a store.
#[derive(Clone)]
pub struct Payments {
    store: Store,
    clock: Arc<dyn Clock>,
    risk: Arc<dyn Risk>,
    policy: Policy,
}

impl Payments {
    /// The payments of `store`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, risk: Arc<dyn Risk>, policy: Policy) -> Self {
        Self { store, clock, risk, policy }
    }

    /// Takes the money, says why not, or leaves the payment in process.
    ///
    /// # Errors
    /// What the database says; so for all calls. Ask again with the same command then: to the caller it
    /// is [`result_of`] the error.
    pub async fn pay(&self, pay: Pay) -> Result<PayAnswer, StoreError> {
        if let Err(code) = pay.check() {
            return Ok(PayAnswer::of(code));
        }
        let verdict = self.risk.assess(&pay);
        let (policy, now) = (self.policy, self.clock.now_ms());
        let asked = pay::Asked { pay, payment_id: make_id()?, verdict, policy, now };
        let mut runs = 0..;
        self.store.write(move |tx| pay::run(tx, &asked, runs.next().unwrap_or(u32::MAX))).await
    }

    /// The payment that `key` means; `None` is `ORDER_NOT_EXIST`. [`Payment::result`] is its
    /// `paymentResult`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn inquiry(&self, key: PaymentKey) -> Result<Option<Payment>, StoreError> {
        if key.check().is_err() {
            return Ok(None);
        }
        let found = self.store.read(move |tx| {
            let row = tx.query_one(payment::FIND, &[(&key.payment_request_id).into()])?;
            let payment = row.map(Payment::read).transpose()?;
            Ok(payment.filter(|payment| payment.is_of(&key)))
        });
        found.await
    }

    /// Cancels a payment, also one that has not come yet.
    ///
    /// # Errors
    /// What the database says.
    pub async fn cancel(&self, key: PaymentKey) -> Result<ResultCode, StoreError> {
        if let Err(code) = key.check() {
            return Ok(code);
        }
        let (calendar, now) = (self.policy.calendar, self.clock.now_ms());
        self.store.write(move |tx| cancel::run(tx, &key, &calendar, now)).await
    }

    /// Gives back part or all of a payment.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refund(&self, refund: Refund) -> Result<RefundAnswer, StoreError> {
        if let Err(result) = refund.check() {
            return Ok(RefundAnswer { result, refund: None });
        }
        let (calendar, now) = (self.policy.calendar, self.clock.now_ms());
        let asked = refund::Asked { refund, refund_id: make_id()?, calendar, now };
        self.store.write(move |tx| refund::run(tx, &asked)).await
    }

    /// Gives a user money that no payment covers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn adjust_refund(&self, adjust: AdjustRefund) -> Result<RefundAnswer, StoreError> {
        if let Err(result) = adjust.check() {
            return Ok(RefundAnswer { result, refund: None });
        }
        let (refund_id, now) = (make_id()?, self.clock.now_ms());
        self.store.write(move |tx| adjust::run(tx, &adjust, &refund_id, now)).await
    }

    /// Decides a payment that was left in process; it will be told. `None` if nobody asked for it; one that
    /// is decided already stays as it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn decide(&self, payment_request_id: &str, decision: Decision) -> Result<Option<Payment>, StoreError> {
        let (id, calendar, now) = (payment_request_id.to_owned(), self.policy.calendar, self.clock.now_ms());
        self.store.write(move |tx| decide::run(tx, &id, decision, &calendar, now)).await
    }

    /// Closes at most `limit` payments in process whose time is over; they will be told. To be called from
    /// time to time, by any number of processes. How many were found.
    ///
    /// # Errors
    /// What the database says of the last one that could not be closed; the others are closed then.
    pub async fn close_overdue(&self, limit: u64) -> Result<usize, StoreError> {
        let now = self.clock.now_ms();
        let overdue = self.store.read(move |tx| decide::overdue(tx, now, limit)).await?;
        let mut outcome = Ok(overdue.len());
        for id in &overdue {
            if let Err(error) = self.decide(id, Decision::Reject).await {
                outcome = Err(error);
            }
        }
        outcome
    }
}

/// What the other side of an Open API call hears of a database's error: that nobody knows, so that it asks
/// again.
#[must_use]
pub fn result_of(error: &StoreError) -> ResultCode {
    match error {
        StoreError::Busy => ResultCode::RequestTrafficExceedLimit,
        _ => ResultCode::UnknownException,
    }
}

/// Writes what a command changes and ends it, in one round trip: its own `rows`, then the user's, then the journal.
fn write(tx: &mut Tx<'_>, rows: &[Statement<'_>], user: Option<&User>, entries: &[Entry]) -> Result<(), StoreError> {
    let user: Option<[Value<'_>; 5]> = user.map(User::values);
    let entries: Vec<[Value<'_>; 6]> = entries.iter().map(Entry::values).collect();
    let mut statements = rows.to_vec();
    statements.extend(user.iter().map(|values| accounts::keep(values)));
    statements.extend(entries.iter().map(|values| ledger::book(values)));
    tx.finish(&statements)?;
    Ok(())
}

/// A payment and its user, both kept until the commit.
struct Held {
    user: Option<User>,
    payment: Option<Payment>,
    /// The first row of the further statement.
    other: Option<Row>,
}

/// Holds a payment and its user, and runs one statement more, in one round trip.
fn hold(tx: &mut Tx<'_>, payment_request_id: &str, other: Option<Statement<'_>>) -> Result<Held, StoreError> {
    let id = [payment_request_id.into()];
    let holds = [Statement::new(accounts::HOLD_BY_PAYMENT, &id), Statement::new(payment::HOLD, &id)];
    let statements: Vec<_> = holds.into_iter().chain(other).collect();
    let [user, payment, other] = first_rows(tx.run(&statements)?);
    let payment = payment.map(Payment::read).transpose()?;
    let user = user_of(tx, payment.as_ref(), user.map(User::read).transpose()?)?;
    Ok(Held { user, payment, other })
}

/// The user of `payment`, held, where `user` was looked for through the payment. On PostgreSQL each statement
/// sees what was committed before it, so a payment that came between two of them has been seen by the second
/// one alone. Its user is held late then, against the order; the store repeats a job that this locks out.
fn user_of(tx: &mut Tx<'_>, payment: Option<&Payment>, user: Option<User>) -> Result<Option<User>, StoreError> {
    let Some(order) = payment.and_then(|payment| payment.order.as_ref()) else { return Ok(user) };
    if user.as_ref().is_some_and(|user| user.customer_id == order.customer_id) {
        return Ok(user);
    }
    tx.query_one(accounts::HOLD, &[(&order.customer_id).into()])?.map(User::read).transpose()
}

/// The first row of each of `N` statements.
fn first_rows<const N: usize>(done: Vec<Done>) -> [Option<Row>; N] {
    let mut rows = done.into_iter().map(|done| done.rows.into_iter().next());
    std::array::from_fn(|_| rows.next().flatten())
}
