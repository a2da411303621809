//! What has to be told: an outbox of `notifyPayment`.
//!
//! Owns the table `notices`. A notice is written in the transaction that decides its payment, so that none
//! is lost and none is told that did not happen; it never says that a payment is in process. It is sent
//! until somebody acknowledges it, the payment is cancelled, or a day is over. Several processes may send:
//! a lease gives each notice to one of them at a time.

mod schedule;

use std::sync::Arc;

use alipayplus::ResultStatus;

pub use schedule::Schedule;

use crate::clock::Clock;
use crate::ids::make_id;
use crate::payments::{self, Payment};
use crate::store::{Statement, Store, StoreError, Tx, Value};

/// How long a sender may take before another one may send the same notice, unless it needs more.
const LEASE_MS: i64 = 60_000;

const INSERT: &str = "INSERT INTO notices (payment_request_id, status, created_at, attempts, due_at, leased_until)
    VALUES ($1, 'WAITING', $2, 0, $2, 0)";
const STOP: &str = "UPDATE notices SET status = 'STOPPED' WHERE payment_request_id = $1 AND status = 'WAITING'";
// The conditions stand twice: a row that another sender took in between is seen as it is then.
const LEASE: &str = "UPDATE notices SET lease = $1, leased_until = $2
    WHERE status = 'WAITING' AND due_at <= $3 AND leased_until <= $3 AND payment_request_id IN
        (SELECT payment_request_id FROM notices WHERE status = 'WAITING' AND due_at <= $3 AND leased_until <= $3
            ORDER BY due_at, payment_request_id LIMIT $4)
    RETURNING payment_request_id, created_at, attempts";
const SETTLE: &str = "UPDATE notices SET status = $3, attempts = $4, due_at = $5, lease = NULL, leased_until = 0
    WHERE payment_request_id = $1 AND lease = $2 AND status = 'WAITING'";
const WAITING: &str = "SELECT COUNT(*) FROM notices WHERE status = 'WAITING'";
const NEXT_DUE: &str = "SELECT MIN(due_at) FROM notices WHERE status = 'WAITING'";

/// The values of a new notice, due at once.
pub(crate) fn first(payment_request_id: &str, now: i64) -> [Value<'_>; 2] {
    [payment_request_id.into(), now.into()]
}

/// Writes a new notice by [`first`].
pub(crate) fn insert<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(INSERT, values)
}

/// Stops the notice of a payment, if there is one.
pub(crate) fn stop<'a>(payment_request_id: &'a [Value<'a>; 1]) -> Statement<'a> {
    Statement::new(STOP, payment_request_id)
}

/// A notice to be sent now, by nobody else.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The payment as it is now. It is decided.
    pub payment: Payment,
    /// How often it was sent before.
    pub attempts: u64,
    created_at_ms: i64,
    lease: String,
}

/// How sending went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The other side answered `S`, in a signed answer.
    Acknowledged,
    /// Anything else.
    Failed,
}

/// The notices of a store.
#[derive(Clone)]
pub struct Notices {
    store: Store,
    clock: Arc<dyn Clock>,
    schedule: Arc<Schedule>,
    lease_ms: i64,
}

impl Notices {
    /// The notices of `store`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self::with_schedule(store, clock, Schedule::default())
    }

    /// The same, sent again by `schedule`.
    #[must_use]
    pub fn with_schedule(store: Store, clock: Arc<dyn Clock>, schedule: Schedule) -> Self {
        Self { store, clock, schedule: Arc::new(schedule), lease_ms: LEASE_MS }
    }

    /// The same for senders that wait `call_ms` for an answer: nobody else sends as long as they may wait,
    /// and note what they heard.
    #[must_use]
    pub fn for_calls_of(self, call_ms: i64) -> Self {
        Self { lease_ms: call_ms.saturating_mul(2).saturating_add(LEASE_MS), ..self }
    }

    /// At most `limit` notices that are due. They are the caller's for a minute, or as
    /// [`Self::for_calls_of`] says; [`Self::settle`] each.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lease(&self, limit: u32) -> Result<Vec<Notice>, StoreError> {
        let (lease, now) = (make_id()?, self.clock.now_ms());
        let until = now.saturating_add(self.lease_ms);
        self.store.write(move |tx| take(tx, &lease, [now, until], limit)).await
    }

    /// Notes how sending went. `false` if the notice was not the caller's any more: the payment was
    /// cancelled, or the lease ran out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle(&self, notice: &Notice, sent: Sent) -> Result<bool, StoreError> {
        let now = self.clock.now_ms();
        let attempts = notice.attempts.saturating_add(1);
        let next = self.schedule.next(notice.created_at_ms, attempts, now);
        let (status, due) = match (sent, next) {
            (Sent::Acknowledged, _) => ("ACKNOWLEDGED", now),
            (Sent::Failed, Some(due)) => ("WAITING", due),
            (Sent::Failed, None) => ("GIVEN_UP", now),
        };
        let (id, lease) = (notice.payment.key.payment_request_id.clone(), notice.lease.clone());
        let settled = self.store.write(move |tx| {
            let values = [(&id).into(), (&lease).into(), status.into(), attempts.into(), due.into()];
            tx.execute(SETTLE, &values)
        });
        Ok(settled.await? > 0)
    }

    /// How many notices are not acknowledged yet.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        self.store.read(|tx| tx.query_one(WAITING, &[])?.map_or(Ok(0), |mut row| row.unsigned())).await
    }

    /// When the next notice is due, in milliseconds since 1970; it may be leased. `None` if none waits.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        self.store.read(|tx| tx.query_one(NEXT_DUE, &[])?.map_or(Ok(None), |mut row| row.optional_int())).await
    }
}

fn take(tx: &mut Tx<'_>, lease: &str, [now, until]: [i64; 2], limit: u32) -> Result<Vec<Notice>, StoreError> {
    let values: [Value<'_>; 4] = [lease.into(), until.into(), now.into(), u64::from(limit).into()];
    let mut notices = Vec::new();
    for mut row in tx.query_all(LEASE, &values)? {
        let (id, created_at_ms, attempts) = (row.text()?, row.int()?, row.unsigned()?);
        let payment = tx.query_one(payments::FIND, &[(&id).into()])?;
        // One row that cannot be read must not hold back the other notices.
        let payment = payment.and_then(|row| Payment::read(row).ok());
        let payment = payment.filter(|payment| payment.result().status() != ResultStatus::Unknown);
        match payment {
            Some(payment) => notices.push(Notice { payment, attempts, created_at_ms, lease: lease.to_owned() }),
            None => tracing::error!("a notice has no payment that is decided and can be read"),
        }
    }
    Ok(notices)
}
