//! What a user sees: balance, service, history, a payment, the payment of a tap.

use std::sync::Arc;

use alipayplus::{Amount, ResultCode};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::AppError;
use super::login::LoggedIn;
use super::{App, iso_time};
use crate::payments::{Cursor, HistoryItem, Mark, Payment, PaymentStatus, RefundRecord, tap_reference};

/// Items of a page, unless it says otherwise, and at most.
const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

/// What is on the account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BalanceAnswer {
    /// In the account's currency, in its smallest unit.
    balance: Amount,
}

/// Whether the user's phone can become a card and pay.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceAnswer {
    /// It can.
    available: bool,
    /// Why not, for example `USER_STATUS_ABNORMAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Something that happened on the account.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Item {
    /// A payment, also one that failed.
    Payment(PaymentItem),
    /// Money that came back.
    Refund(RefundItem),
}

/// A payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentItem {
    /// Its name here.
    payment_id: String,
    /// `processing`, `success`, `failed`, `closed`, `partially_refunded` or `refunded`.
    status: &'static str,
    /// Why it is so: a code of the Open API.
    result_code: String,
    /// What the merchant asked for.
    amount: Amount,
    /// What the account is charged if the payment succeeds. Of one that failed nothing was taken, and of a
    /// cancelled one all was given back.
    charged: Amount,
    /// What came back to the account.
    refunded: Amount,
    /// The tap's, as the phone set it: 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant: Option<String>,
    /// The merchant's category (ISO 18245).
    #[serde(skip_serializing_if = "Option::is_none")]
    mcc: Option<String>,
    /// When it was asked for, ISO 8601.
    created_at: String,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
}

/// Money that came back.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RefundItem {
    /// Its name here.
    refund_id: String,
    /// What the merchant gave back.
    amount: Amount,
    /// What came to the account.
    credited: Amount,
    /// When, ISO 8601.
    created_at: String,
}

/// A page of the history, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryAnswer {
    items: Vec<Item>,
    /// For `before`: where the next page begins. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentAnswer {
    #[serde(flatten)]
    payment: PaymentItem,
    /// What came back of it, oldest first.
    refunds: Vec<RefundItem>,
}

pub(crate) async fn balance(State(app): State<Arc<App>>, session: LoggedIn) -> Result<Json<BalanceAnswer>, AppError> {
    let user = app.accounts.user(&session.customer_id).await?.ok_or_else(AppError::not_logged_in)?;
    Ok(Json(BalanceAnswer { balance: user.balance() }))
}

pub(crate) async fn service(State(app): State<Arc<App>>, session: LoggedIn) -> Result<Json<ServiceAnswer>, AppError> {
    let reason = app.accounts.availability(&session.customer_id).await?.reason;
    Ok(Json(ServiceAnswer { available: reason.is_none(), reason: reason.map(|reason| reason.to_string()) }))
}

pub(crate) async fn history(
    State(app): State<Arc<App>>,
    session: LoggedIn,
    RawQuery(query): RawQuery,
) -> Result<Json<HistoryAnswer>, AppError> {
    let (limit, start) = page(query.as_deref().unwrap_or_default())?;
    let page = app.payments.history(&session.customer_id, start, limit).await?;
    let items = page.items.into_iter().filter_map(item).collect();
    Ok(Json(HistoryAnswer { items, next: page.next.as_ref().map(to_text) }))
}

pub(crate) async fn by_id(
    State(app): State<Arc<App>>,
    session: LoggedIn,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<PaymentAnswer>, AppError> {
    let found = match text(id) {
        id if is_payment_id(&id) => app.payments.by_payment_id(&session.customer_id, &id).await?,
        // No name of ours looks so.
        _ => None,
    };
    app.with_refunds(found).await
}

pub(crate) async fn by_reference(
    State(app): State<Arc<App>>,
    session: LoggedIn,
    reference: Result<Path<String>, PathRejection>,
) -> Result<Json<PaymentAnswer>, AppError> {
    let reference =
        tap_reference(&text(reference)).ok_or_else(|| AppError::bad_request("reference: is not 16 hex digits"))?;
    let found = app.payments.by_reference(&session.customer_id, &reference).await?;
    app.with_refunds(found).await
}

/// Empty if it is no UTF-8: that names nothing.
fn text(segment: Result<Path<String>, PathRejection>) -> String {
    segment.map(|Path(text)| text).unwrap_or_default()
}

fn is_payment_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

impl App {
    async fn with_refunds(&self, payment: Option<Payment>) -> Result<Json<PaymentAnswer>, AppError> {
        let payment = payment.ok_or_else(|| AppError::not_found("no payment of yours has this name"))?;
        let refunds = self.payments.refunds(&payment.key.payment_request_id).await?;
        let payment =
            payment_item(payment).ok_or_else(|| AppError::not_found("the payment was cancelled before it came"))?;
        Ok(Json(PaymentAnswer { payment, refunds: refunds.into_iter().filter_map(refund_item).collect() }))
    }
}

/// `limit` and `before` of a query. Others are none of ours.
fn page(query: &str) -> Result<(u32, Cursor), AppError> {
    let (mut limit, mut start) = (PAGE, Cursor::default());
    for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        match name {
            "limit" => {
                let asked = value.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
                limit = asked.ok_or_else(|| AppError::bad_request(format!("limit: allowed are 1 to {MAX_PAGE}")))?;
            }
            "before" => {
                start = from_text(value).ok_or_else(|| AppError::not_found("no page begins there"))?;
            }
            _ => {}
        }
    }
    Ok((limit, start))
}

/// Letters and digits only, so that it fits a query as it is.
fn to_text(cursor: &Cursor) -> String {
    let Cursor { payments, refunds } = cursor;
    let marks = (payments.at_ms, &payments.id, refunds.at_ms, &refunds.id);
    hex::encode(serde_json::json!(marks).to_string())
}

fn from_text(text: &str) -> Option<Cursor> {
    let (paid_at, payment, refunded_at, refund): (i64, String, i64, String) =
        serde_json::from_slice(&hex::decode(text).ok()?).ok()?;
    let is_id = |id: &str| id.chars().count() <= 64 && !id.contains('\0');
    let cursor =
        Cursor { payments: Mark { at_ms: paid_at, id: payment }, refunds: Mark { at_ms: refunded_at, id: refund } };
    Some(cursor).filter(|cursor| is_id(&cursor.payments.id) && is_id(&cursor.refunds.id))
}

fn item(item: HistoryItem) -> Option<Item> {
    match item {
        HistoryItem::Payment(payment) => payment_item(payment).map(Item::Payment),
        HistoryItem::Refund(refund) => refund_item(refund).map(Item::Refund),
    }
}

/// `None` for a payment that was cancelled before it came: nothing is known of it.
fn payment_item(payment: Payment) -> Option<PaymentItem> {
    let result_code: ResultCode = payment.result();
    let (created_at, decided_at) = (iso_time(payment.created_at_ms), payment.payment_time_ms.map(iso_time));
    let order = payment.order?;
    Some(PaymentItem {
        payment_id: order.payment_id,
        status: status(payment.status),
        result_code: result_code.to_string(),
        amount: order.amount,
        refunded: Amount::new(order.charged.currency, order.refunded_charged),
        charged: order.charged,
        reference: order.reference,
        merchant: order.merchant.name,
        mcc: order.merchant.mcc,
        created_at,
        decided_at,
    })
}

fn refund_item(refund: RefundRecord) -> Option<RefundItem> {
    Some(RefundItem {
        refund_id: refund.refund_id?,
        amount: refund.amount,
        credited: refund.credited?,
        created_at: iso_time(refund.refund_time_ms),
    })
}

fn status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Processing => "processing",
        PaymentStatus::Success => "success",
        PaymentStatus::Failed => "failed",
        PaymentStatus::Closed => "closed",
        PaymentStatus::PartiallyRefunded => "partially_refunded",
        PaymentStatus::Refunded => "refunded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_where_the_one_before_ended() {
        let cursor = Cursor {
            payments: Mark { at_ms: -7, id: "R.1&x=ü".to_owned() },
            refunds: Mark { at_ms: i64::MAX, id: String::new() },
        };
        let (limit, start) = page(&format!("limit=3&before={}&other", to_text(&cursor))).unwrap();
        assert_eq!((limit, start), (3, cursor));
        assert_eq!(page("").unwrap(), (PAGE, Cursor::default()));
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for query in ["limit=0", "limit=101", "limit=many", "limit=-1"] {
            assert_eq!(page(query).unwrap_err().code, "bad_request", "{query}");
        }
        for query in ["before=", "before=xyz", "before=00"] {
            assert_eq!(page(query).unwrap_err().code, "not_found", "{query}");
        }
    }
}
