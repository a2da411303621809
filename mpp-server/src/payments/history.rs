//! What a user's app shows.

use super::Payments;
use super::payment::{self, Payment};
use super::refund::{self, RefundRecord};
use crate::store::{Statement, StoreError, Tx, Value};

/// Something that happened on a user's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryItem {
    /// A payment, also one that failed.
    Payment(Payment),
    /// Money that came back.
    Refund(RefundRecord),
}

/// Part of a history, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Payments by when they were asked for, refunds by when they were granted.
    pub items: Vec<HistoryItem>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Before this payment.
    pub payments: Mark,
    /// Before this refund.
    pub refunds: Mark,
}

/// An item by its time and its request's id. By default what is newer than everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Among those of one millisecond, in the database's order.
    pub id: String,
}

impl Default for Mark {
    fn default() -> Self {
        Self { at_ms: i64::MAX, id: String::new() }
    }
}

impl Payments {
    /// At most `limit` things that happened to a user, from `start` on.
    ///
    /// # Errors
    /// What the database says.
    pub async fn history(&self, customer_id: &str, start: Cursor, limit: u32) -> Result<Page, StoreError> {
        let customer_id = customer_id.to_owned();
        self.store.read(move |tx| page(tx, &customer_id, &start, limit)).await
    }

    /// The user's newest payment whose tap had this reference.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_reference(&self, customer_id: &str, reference: &str) -> Result<Option<Payment>, StoreError> {
        let (customer_id, reference) = (customer_id.to_owned(), reference.to_owned());
        let found = self.store.read(move |tx| {
            let row = tx.query_one(payment::BY_REFERENCE, &[(&reference).into(), (&customer_id).into()])?;
            row.map(Payment::read).transpose()
        });
        found.await
    }

    /// The user's payment with this `paymentId`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_payment_id(&self, customer_id: &str, payment_id: &str) -> Result<Option<Payment>, StoreError> {
        let (customer_id, payment_id) = (customer_id.to_owned(), payment_id.to_owned());
        let found = self.store.read(move |tx| {
            let row = tx.query_one(payment::BY_PAYMENT_ID, &[(&payment_id).into(), (&customer_id).into()])?;
            row.map(Payment::read).transpose()
        });
        found.await
    }

    /// The refunds of a payment that were granted, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refunds(&self, payment_request_id: &str) -> Result<Vec<RefundRecord>, StoreError> {
        let id = payment_request_id.to_owned();
        let found = self.store.read(move |tx| {
            let rows = tx.query_all(refund::OF_PAYMENT, &[(&id).into()])?;
            rows.into_iter().map(RefundRecord::read).collect()
        });
        found.await
    }
}

fn page(tx: &mut Tx<'_>, customer_id: &str, start: &Cursor, limit: u32) -> Result<Page, StoreError> {
    let (payments, refunds) = (range(customer_id, &start.payments, limit), range(customer_id, &start.refunds, limit));
    let limit = limit as usize;
    let found = tx.run(&[Statement::new(payment::OF_USER, &payments), Statement::new(refund::OF_USER, &refunds)])?;
    let mut found = found.into_iter().map(|done| done.rows);
    let payments: Result<Vec<_>, _> = found.next().into_iter().flatten().map(Payment::read).collect();
    let refunds: Result<Vec<_>, _> = found.next().into_iter().flatten().map(RefundRecord::read).collect();
    let (mut payments, mut refunds) = (payments?.into_iter().peekable(), refunds?.into_iter().peekable());
    let (mut items, mut next) = (Vec::new(), start.clone());
    while items.len() < limit {
        let paid_at = payments.peek().map(|payment| payment.created_at_ms);
        let back = refunds.next_if(|refund| paid_at.is_none_or(|paid_at| refund.refund_time_ms >= paid_at));
        if let Some(refund) = back {
            next.refunds = Mark { at_ms: refund.refund_time_ms, id: refund.refund_request_id.clone() };
            items.push(HistoryItem::Refund(refund));
        } else if let Some(payment) = payments.next() {
            next.payments = Mark { at_ms: payment.created_at_ms, id: payment.key.payment_request_id.clone() };
            items.push(HistoryItem::Payment(payment));
        } else {
            break;
        }
    }
    let is_more = payments.peek().is_some() || refunds.peek().is_some();
    Ok(Page { items, next: is_more.then_some(next) })
}

/// One row more than is shown tells whether there is another page.
fn range<'a>(customer_id: &'a str, before: &'a Mark, limit: u32) -> [Value<'a>; 4] {
    [customer_id.into(), before.at_ms.into(), (&before.id).into(), (u64::from(limit) + 1).into()]
}
