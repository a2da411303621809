//! Making the calls that are due, again and again where nobody answers.
//!
//! A call is written down before it is sent, and its answer before anything follows from it. So a gateway
//! that is killed anywhere sends, at worst, the same request once more.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alipayplus::ResultCode;
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use tokio::sync::futures::Notified;

use super::books::Call;
use super::events::{Authorisation, SchemeEvent, SchemeId};
use super::mpp::CallOutcome;
use super::outcome::{Known, of_inquiry, of_pay, of_result};
use super::requests::read;
use super::taking::Taking;
use super::{CallKind, Gateway, GatewayError, Payment, PaymentState, RowId};
use crate::with_causes;

/// What the terminal is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The user paid.
    Approved {
        /// The provider's `paymentId`.
        payment_id: String,
    },
    /// The user did not pay; a payment whose result is not known is being cancelled.
    Declined {
        /// Why. [`ResultCode::OrderIsClosed`] if there was no result in time.
        code: ResultCode,
    },
}

impl Gateway {
    /// Takes an authorisation and waits for its end: at most `payment_expiry_ms` and one inquiry. The same
    /// authorisation again gets the same answer. Blocks on the books for a moment.
    ///
    /// # Errors
    /// As [`Gateway::take`]; the terminal then declines.
    pub async fn authorise(&self, asked: &Authorisation) -> Result<Verdict, GatewayError> {
        self.take(&SchemeEvent::Authorisation(asked.clone()))?;
        loop {
            // Listened to from before the work, so that an answer to another task is not missed.
            let changed = self.changed.notified();
            let next_at_ms = self.work_on(Some(&asked.auth_id)).await?;
            if let Some(verdict) = self.verdict(&asked.auth_id)? {
                return Ok(verdict);
            }
            self.wait(changed, next_at_ms).await;
        }
    }

    /// What the terminal is told of an authorisation; `None` while its end is open, or if nobody knows it.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn verdict(&self, auth_id: &SchemeId) -> Result<Option<Verdict>, GatewayError> {
        let payment = self.books.read(|work| work.payment(auth_id))?;
        Ok(payment.and_then(|payment| verdict(&payment)))
    }

    /// Makes every call that is due, gives up what has expired, and says when there is something to do
    /// next, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub async fn work(&self) -> Result<Option<i64>, GatewayError> {
        self.work_on(None).await
    }

    /// Works until it is dropped. Where the books fail it pauses for a second, and goes on: what was done
    /// until then is written down.
    pub async fn run(&self) -> std::convert::Infallible {
        const PAUSE: Duration = Duration::from_secs(1);
        loop {
            let changed = self.changed.notified();
            match self.work().await {
                Ok(next_at_ms) => self.wait(changed, next_at_ms).await,
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "the gateway failed; it goes on");
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Makes whoever waits look at the clock again: it was moved.
    pub fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until there is something to do at `next_at_ms`, or something has changed; an hour at most.
    async fn wait(&self, changed: Notified<'_>, next_at_ms: Option<i64>) {
        const LONGEST_MS: i64 = 3_600_000;
        let pause_ms = next_at_ms.map_or(LONGEST_MS, |next| next.saturating_sub(self.clock.wall_ms()));
        let pause = Duration::from_millis(pause_ms.clamp(1, LONGEST_MS).unsigned_abs());
        select(pin!(changed), self.clock.sleep(pause)).await;
    }

    async fn work_on(&self, auth_id: Option<&SchemeId>) -> Result<Option<i64>, GatewayError> {
        loop {
            let now_ms = self.clock.wall_ms();
            self.give_up(now_ms, auth_id)?;
            let due = self.books.read(|work| work.due(now_ms, auth_id))?;
            let due: Vec<(Call, UnderWay)> =
                due.into_iter().filter_map(|call| self.claim(call.seq).map(|claim| (call, claim))).collect();
            if due.is_empty() {
                return self.books.read(|work| work.next_at_ms(auth_id));
            }
            let made = stream::iter(due).map(|(call, claim)| async move {
                let made = self.make(&call).await;
                drop(claim);
                made
            });
            let made: Vec<_> = made.buffer_unordered(self.config.concurrent_calls.max(1)).collect().await;
            made.into_iter().collect::<Result<(), _>>()?;
        }
    }

    /// Ends the waiting for payments without a result, and authorisations that nobody cleared.
    fn give_up(&self, now_ms: i64, auth_id: Option<&SchemeId>) -> Result<(), GatewayError> {
        let meant = |payment: &Payment| auth_id.is_none_or(|auth_id| *auth_id == payment.auth_id);
        self.books.write(|work| {
            let taking = Taking { work, config: &self.config, now_ms };
            for payment in work.expired(now_ms)?.iter().filter(|payment| meant(payment)) {
                work.stop_asking(&payment.auth_id)?;
                match self.config.inquire_before_cancel {
                    true => taking.call_reference(RowId::P9, payment, CallKind::Inquiry)?,
                    false => taking.expire(&payment.auth_id)?,
                }
            }
            taking.lapse(auth_id)
        })
    }

    /// Sends one call, once.
    async fn make(&self, call: &Call) -> Result<(), GatewayError> {
        let now_ms = self.clock.wall_ms();
        let is_due = self.books.write(|work| {
            let is_due = work.call(call.seq)?.is_some_and(|now| now.is_due_at(now_ms));
            if is_due {
                work.begin_attempt(call.seq, now_ms.saturating_add(self.repeat_after_ms(call.attempts)))?;
            }
            Ok(is_due)
        })?;
        if !is_due {
            return Ok(());
        }
        let limit = Duration::from_millis(self.limit_ms(call, now_ms)?.unsigned_abs());
        let sent = Box::pin(self.send(call));
        let known = match select(sent, self.clock.deadline(limit)).await {
            Either::Left((known, _)) => known?,
            Either::Right(_) => Known::Nothing,
        };
        tracing::debug!(kind = call.kind.name(), attempts = call.attempts, ?known, "called the payment provider");
        self.conclude(call, &known)
    }

    /// How long one call may take: `pay` no longer than the payment is waited for.
    fn limit_ms(&self, call: &Call, now_ms: i64) -> Result<i64, GatewayError> {
        let limit_ms = self.config.call_timeout_ms;
        let (CallKind::Pay, Some(auth_id)) = (call.kind, &call.auth_id) else { return Ok(limit_ms) };
        let payment = self.books.read(|work| work.payment(auth_id))?;
        let left_ms = payment.map_or(limit_ms, |payment| payment.expires_at_ms.saturating_sub(now_ms));
        Ok(left_ms.clamp(1, limit_ms.max(1)))
    }

    async fn send(&self, call: &Call) -> Result<Known, GatewayError> {
        let request = call.request.as_str();
        Ok(match call.kind {
            CallKind::Pay => of_pay(self.mpp.pay(&read(request)?).await),
            CallKind::Inquiry => of_inquiry(self.mpp.inquiry(&read(request)?).await),
            CallKind::Cancel => of(self.mpp.cancel(&read(request)?).await),
            CallKind::Refund => of(self.mpp.refund(&read(request)?).await),
            CallKind::AdjustExceed | CallKind::AdjustUnlinked => of(self.mpp.adjust_refund(&read(request)?).await),
        })
    }

    fn repeat_after_ms(&self, attempts: u32) -> i64 {
        let index = usize::try_from(attempts).unwrap_or(usize::MAX);
        let repeats = &self.config.repeats_ms;
        repeats.get(index).or(repeats.last()).copied().unwrap_or(1000).max(1)
    }

    fn claim(&self, seq: i64) -> Option<UnderWay> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(seq).then(|| UnderWay { all: Arc::clone(&self.under_way), seq })
    }
}

fn of<A: alipayplus::Answer>(outcome: CallOutcome<A>) -> Known {
    match outcome {
        CallOutcome::NoAnswer => Known::Nothing,
        CallOutcome::Answered(answer) => of_result(answer.result()),
    }
}

fn verdict(payment: &Payment) -> Option<Verdict> {
    match (payment.standing.state, payment.approved, &payment.payment_id) {
        (PaymentState::Pending, ..) => None,
        (_, true, Some(payment_id)) => Some(Verdict::Approved { payment_id: payment_id.clone() }),
        _ => {
            let code = payment.code.clone().map_or(ResultCode::OrderIsClosed, ResultCode::from);
            Some(Verdict::Declined { code })
        }
    }
}

/// A call that this process makes now. Dropped, it may be made again.
struct UnderWay {
    all: Arc<Mutex<HashSet<i64>>>,
    seq: i64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.seq);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use futures_util::FutureExt;
    use nfcwallet_core::host::{BoxFuture, Clock};
    use rusqlite::Connection;

    use super::*;
    use crate::gateway::tests::provider::Provider;
    use crate::gateway::tests::world::NOON_MS;
    use crate::gateway::{Books, GatewayConfig};

    /// Mends the books in the first pause; the second never ends.
    struct Mending {
        file: PathBuf,
        pauses: Mutex<Vec<Duration>>,
    }

    impl Clock for Mending {
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn wall_ms(&self) -> i64 {
            NOON_MS
        }

        fn sleep(&self, pause: Duration) -> BoxFuture<()> {
            let mut pauses = self.pauses.lock().unwrap();
            pauses.push(pause);
            if pauses.len() > 1 {
                return Box::pin(std::future::pending());
            }
            Connection::open(&self.file).unwrap().execute_batch("ALTER TABLE away RENAME TO call").unwrap();
            Box::pin(async {})
        }

        fn deadline(&self, _: Duration) -> BoxFuture<()> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn the_work_goes_on_after_the_books_have_failed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("books");
        let books = Arc::new(Books::open(&file).unwrap());
        Connection::open(&file).unwrap().execute_batch("ALTER TABLE call RENAME TO away").unwrap();
        let clock = Arc::new(Mending { file, pauses: Mutex::default() });
        let provider = Arc::new(Provider::new(clock.clone(), &[], &[]));
        let gateway = Gateway::new(GatewayConfig::default(), books, provider, clock.clone());
        assert!(gateway.run().now_or_never().is_none());
        assert_eq!(*clock.pauses.lock().unwrap(), [Duration::from_secs(1), Duration::from_hours(1)]);
    }
}
