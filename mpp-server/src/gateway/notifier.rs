//! Sends notices until the gateway has acknowledged them. Any number of processes may do it at once.

use std::sync::Arc;
use std::time::Duration;

use alipayplus::payment::mpp::NotifyPaymentRequest;
use alipayplus::{DateTime, ResultCode};
use tokio::task::JoinSet;

use super::outbound::{Notified, Outbound};
use crate::notices::{Notice, Notices, Sent};
use crate::operation::metrics::Metrics;
use crate::operation::stop::StopSignal;
use crate::payments::Payments;
use crate::store::StoreError;

/// Notices that are sent at once.
const AT_ONCE: u32 = 16;
/// Payments that are closed at once because their time is over.
const CLOSED_AT_ONCE: u64 = 100;

/// The task that sends, and that closes payments whose time is over, for they have to be told too.
pub(crate) struct Notifier {
    pub(crate) notices: Notices,
    pub(crate) payments: Payments,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) metrics: Metrics,
    pub(crate) poll: Duration,
}

impl Notifier {
    /// Until the word to stop. What is on its way then is finished.
    pub(crate) async fn run(self, stop: StopSignal) {
        let this = Arc::new(self);
        while !stop.is_stopped() {
            let more = Arc::clone(&this).round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "notices cannot be read or written; trying again");
                false
            });
            this.metrics.upkeep();
            if !more {
                tokio::select! {
                    () = tokio::time::sleep(this.poll) => {}
                    () = stop.stopped() => {}
                }
            }
        }
    }

    /// One look at what is due. Whether more may be due now.
    async fn round(self: Arc<Self>) -> Result<bool, StoreError> {
        // One payment or notice that fails must not hold back the others.
        if let Err(error) = self.payments.close_overdue(CLOSED_AT_ONCE).await {
            tracing::warn!(%error, "a payment whose time is over cannot be closed; trying again");
        }
        let due = self.notices.lease(AT_ONCE).await?;
        let more = due.len() == AT_ONCE as usize;
        let mut sending: JoinSet<Result<(), StoreError>> =
            due.into_iter().map(|notice| Arc::clone(&self).send(notice)).collect();
        while let Some(sent) = sending.join_next().await {
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a notice cannot be settled; its lease will run out"),
                Err(_) => tracing::error!("a notice's task panicked; its lease will run out"),
            }
        }
        self.metrics.notices_waiting(self.notices.waiting().await?);
        Ok(more)
    }

    async fn send(self: Arc<Self>, notice: Notice) -> Result<(), StoreError> {
        let url = notice.payment.order.as_ref().and_then(|order| order.notify_url.as_deref());
        let sent = match self.outbound.notify(&message(&notice), url).await {
            Notified::Acknowledged => {
                self.metrics.notified("acknowledged");
                Sent::Acknowledged
            }
            Notified::NotAcknowledged(cause) => {
                tracing::info!(cause, attempts = notice.attempts + 1, "a notice is not acknowledged");
                self.metrics.notified(cause);
                Sent::Failed
            }
        };
        self.notices.settle(&notice, sent).await.map(drop)
    }
}

/// How the payment ended. On success with all that belongs to it.
fn message(notice: &Notice) -> NotifyPaymentRequest {
    let payment = &notice.payment;
    let result = payment.result();
    let order = payment.order.as_ref().filter(|_| result == ResultCode::Success);
    NotifyPaymentRequest {
        payment_result: result.into(),
        payment_request_id: payment.key.payment_request_id.clone(),
        payment_id: order.map(|order| order.payment_id.clone()),
        payment_amount: order.map(|order| order.amount),
        pay_to_amount: order
            .map(|order| order.charged)
            .filter(|charged| Some(*charged) != order.map(|order| order.amount)),
        payment_time: order.and(payment.payment_time_ms).and_then(DateTime::from_ms),
        customer_id: order.map(|order| order.customer_id.clone()),
        customs_declaration_amount: None,
        // To be sent as it came or not at all, and we keep the tap's reference only.
        pass_through_info: None,
    }
}
