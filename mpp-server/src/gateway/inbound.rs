//! What the gateway asks: `pay`, `inquiryPayment`, `cancelPayment`, `refund`, `adjustRefund`.

use std::sync::Arc;

use alipayplus::idempotency::{Direction, Edition, key_rule};
use alipayplus::payment::mpp::{
    AdjustRefund, AdjustRefundAnswer, AdjustRefundRequest, CancelPayment, CancelPaymentAnswer, CancelPaymentRequest,
    InquiryPayment, InquiryPaymentAnswer, InquiryPaymentRequest, Pay, PayAnswer, PayRequest, Refund, RefundAnswer,
    RefundRequest, SubScenarioType,
};
use alipayplus::server::{ApiRouter, Caller, Identity, RouterError, ServerOptions};
use alipayplus::signature::KeyRing;
use alipayplus::wire::Json;
use alipayplus::{Api, DateTime, FieldError, ResultCode, ResultInfo};
use axum::Router;

use crate::config::{Config, Fields};
use crate::payments::{self, Merchant, Payment, PaymentKey, Payments, Quote, RefundRecord, Scenario, result_of};
use crate::store::StoreError;

/// The routes of all five calls; every other path is answered `NO_INTERFACE_DEF`.
///
/// # Errors
/// [`RouterError`] if two of the paths are the same.
pub(crate) fn router(
    payments: &Payments,
    config: &Config,
    identity: Identity,
    keys: KeyRing,
    options: ServerOptions,
) -> Result<Router, RouterError> {
    let (paths, fields) = (&config.paths, Arc::new(config.fields.clone()));
    let of = || payments.clone();
    let (pays, asks, cancels, refunds, adjusts) = (of(), of(), of(), of(), of());
    ApiRouter::new(identity, keys, options)
        .api::<Pay, _, _>(Some(&paths.pay), move |caller, request| {
            pay(pays.clone(), Arc::clone(&fields), caller, request)
        })
        .api::<InquiryPayment, _, _>(Some(&paths.inquiry_payment), move |_, request| inquire(asks.clone(), request))
        .api::<CancelPayment, _, _>(Some(&paths.cancel_payment), move |_, request| cancel(cancels.clone(), request))
        .api::<Refund, _, _>(Some(&paths.refund), move |caller, request| refund(refunds.clone(), caller, request))
        .api::<AdjustRefund, _, _>(Some(&paths.adjust_refund), move |caller, request| {
            adjust(adjusts.clone(), caller, request)
        })
        .build()
}

async fn pay(
    payments: Payments,
    fields: Arc<Fields>,
    caller: Caller,
    request: PayRequest,
) -> Result<PayAnswer, ResultInfo> {
    if request.is_evaluation() {
        return Err(ResultInfo::new(ResultCode::BusinessNotSupport, "isPaymentEvaluation is not supported"));
    }
    let body = read(&caller)?;
    let command = payments::Pay {
        key: PaymentKey {
            acquirer_id: request.acquirer_id,
            psp_id: request.psp_id,
            payment_request_id: request.payment_request_id,
        },
        customer_id: customer_id(&body, &fields.pay_customer_id)?.to_owned(),
        amount: request.payment_amount,
        pay_to_amount: Some(request.pay_to_amount).filter(|amount| *amount != request.payment_amount),
        quote: request.payment_quote.map(|quote| Quote {
            id: quote.quote_id,
            pair: quote.quote_currency_pair.to_string(),
            price: quote.quote_price.to_string(),
        }),
        reference: reference(&body, &fields.pay_reference),
        merchant: request.order.merchant.map(merchant).unwrap_or_default(),
        expires_at_ms: request.payment_expiry_time.map(DateTime::ms),
        notify_url: request.payment_notify_url,
        key_parameters: key_parameters::<Pay>(&body)?,
    };
    let answer = payments.pay(command).await.map_err(|error| unknown(&error))?;
    let paid = answer.payment;
    Ok(PayAnswer {
        result: answer.result.into(),
        payment_time: paid.as_ref().and_then(payment_time),
        payment_id: paid.as_ref().and_then(|paid| paid.order.as_ref()).map(|order| order.payment_id.clone()),
        customer_id: paid.and_then(|paid| paid.order).map(|order| order.customer_id),
        payment_url: None,
    })
}

async fn inquire(payments: Payments, request: InquiryPaymentRequest) -> Result<InquiryPaymentAnswer, ResultInfo> {
    let InquiryPaymentRequest { acquirer_id, psp_id, payment_request_id } = request;
    let key = PaymentKey { acquirer_id, psp_id, payment_request_id };
    let found = payments.inquiry(key).await.map_err(|error| unknown(&error))?;
    let payment = found.ok_or(ResultCode::OrderNotExist)?;
    let result = payment.result();
    let paid_at = payment_time(&payment);
    // The rest belongs to a success only.
    let order = payment.order.filter(|_| result == ResultCode::Success);
    Ok(InquiryPaymentAnswer {
        result: ResultInfo::success(),
        payment_result: Some(result.into()),
        payment_time: order.as_ref().and(paid_at),
        payment_amount: order.as_ref().map(|order| order.amount),
        pay_to_amount: order.as_ref().map(|order| order.charged),
        payment_id: order.as_ref().map(|order| order.payment_id.clone()),
        customer_id: order.map(|order| order.customer_id),
        customs_declaration_amount: None,
    })
}

async fn cancel(payments: Payments, request: CancelPaymentRequest) -> Result<CancelPaymentAnswer, ResultInfo> {
    let CancelPaymentRequest { acquirer_id, psp_id, payment_request_id } = request;
    let key = PaymentKey { acquirer_id, psp_id, payment_request_id };
    let result = payments.cancel(key).await.map_err(|error| unknown(&error))?;
    Ok(CancelPaymentAnswer { result: result.into() })
}

async fn refund(payments: Payments, caller: Caller, request: RefundRequest) -> Result<RefundAnswer, ResultInfo> {
    let command = payments::Refund {
        key: PaymentKey {
            acquirer_id: request.acquirer_id,
            psp_id: request.psp_id,
            payment_request_id: request.payment_request_id,
        },
        payment_id: Some(request.payment_id),
        refund_request_id: request.refund_request_id,
        amount: request.refund_amount,
        from_amount: request.refund_from_amount,
        key_parameters: key_parameters::<Refund>(&read(&caller)?)?,
    };
    let answer = payments.refund(command).await.map_err(|error| unknown(&error))?;
    let (refund_id, refund_time) = refunded(answer.refund);
    Ok(RefundAnswer { result: answer.result.into(), refund_id, refund_time })
}

async fn adjust(
    payments: Payments,
    caller: Caller,
    request: AdjustRefundRequest,
) -> Result<AdjustRefundAnswer, ResultInfo> {
    let scenario = match request.sub_scenario_type {
        SubScenarioType::ExceedRefund => Scenario::Exceed,
        SubScenarioType::UnlinkedRefund => Scenario::Unlinked,
        SubScenarioType::Other(_) => {
            let known = FieldError::malformed("subScenarioType", "EXCEED_REFUND or UNLINKED_REFUND");
            return Err(illegal(&known));
        }
    };
    let command = payments::AdjustRefund {
        acquirer_id: request.acquirer_id,
        psp_id: request.psp_id,
        scenario,
        refund_request_id: request.refund_request_id,
        payment_request_id: request.payment_request_id,
        payment_id: request.payment_id,
        customer_id: request.customer_id,
        amount: request.refund_amount,
        from_amount: request.refund_from_amount,
        key_parameters: key_parameters::<AdjustRefund>(&read(&caller)?)?,
    };
    let answer = payments.adjust_refund(command).await.map_err(|error| unknown(&error))?;
    let (refund_id, refund_time) = refunded(answer.refund);
    Ok(AdjustRefundAnswer { result: answer.result.into(), refund_id, refund_time })
}

/// The body as it came, with what no type of ours knows.
fn read(caller: &Caller) -> Result<Json<'_>, ResultInfo> {
    Json::parse(&caller.body).map_err(|error| illegal(&error))
}

/// Whose account: the text at the first of `places` where something is.
fn customer_id<'j>(body: &'j Json<'_>, places: &[String]) -> Result<&'j str, ResultInfo> {
    let found = places.iter().find_map(|place| Some((place, body.at(place)?)));
    let missing = || FieldError::missing(places.first().map_or("customerId", String::as_str));
    let (place, value) = found.ok_or_else(|| illegal(&missing()))?;
    value.text().ok_or_else(|| illegal(&FieldError::malformed(place, "a text")))
}

/// The tap's, at the first of `places` where one is. Whatever else is there is no error.
fn reference(body: &Json<'_>, places: &[String]) -> Option<String> {
    places.iter().find_map(|place| body.at(place)?.text().and_then(payments::tap_reference))
}

/// A digest of the parameters that a repeat must not change.
fn key_parameters<A: Api>(body: &Json<'_>) -> Result<String, ResultInfo> {
    // The pages of this direction have one edition.
    let rule = key_rule(A::NAME, Direction::AlipayPlusToMpp, Edition::Newest).ok_or(ResultCode::UnknownException)?;
    let keys = rule.keys(body).map_err(|error| illegal(&error))?;
    Ok(hex::encode(keys.sha256()))
}

/// The name that a user knows.
fn merchant(merchant: alipayplus::model::Merchant) -> Merchant {
    let (store_name, store_mcc) = merchant
        .store
        .map(|store| (store.store_display_name.or(store.store_name), store.store_mcc))
        .unwrap_or_default();
    Merchant {
        name: merchant.merchant_display_name.or(merchant.merchant_name).or(store_name),
        mcc: merchant.merchant_mcc.or(store_mcc),
    }
}

fn payment_time(payment: &Payment) -> Option<DateTime> {
    payment.payment_time_ms.and_then(DateTime::from_ms)
}

fn refunded(refund: Option<RefundRecord>) -> (Option<String>, Option<DateTime>) {
    let Some(refund) = refund else { return (None, None) };
    let granted = refund.refund_id.is_some();
    (refund.refund_id, DateTime::from_ms(refund.refund_time_ms).filter(|_| granted))
}

fn illegal(error: &FieldError) -> ResultInfo {
    ResultInfo::new(ResultCode::ParamIllegal, error.to_string())
}

/// The caller hears that nobody knows, and asks again; the log hears why.
fn unknown(error: &StoreError) -> ResultInfo {
    tracing::error!(%error, "the store failed a call of the gateway");
    result_of(error).into()
}
