//! Requests as they travel. The books keep each as it is first made, so that a repeat is the same request.

use alipayplus::model::{self, Order, PaymentFactor, PaymentMethod, Quote};
use alipayplus::payment::mpp::{
    AdjustRefundRequest, CancelPaymentRequest, InquiryPaymentRequest, PayRequest, RefundRequest, SubScenarioType,
};
use alipayplus::{Amount, DateTime, Message, wire};

use super::events::{Authorisation, Merchant};
use super::{CallKind, GatewayConfig, GatewayError, Payment};

/// The `pay` of `payment`, for which `asked` was asked.
pub(super) fn pay(config: &GatewayConfig, asked: &Authorisation, payment: &Payment) -> Result<String, GatewayError> {
    let order = Order {
        reference_order_id: payment.auth_id.as_str().to_owned(),
        order_description: asked.merchant.name.clone(),
        order_amount: payment.amount(),
        merchant: Some(merchant(&asked.merchant)),
        ..Order::default()
    };
    text(&PayRequest {
        acquirer_id: config.acquirer_id.clone(),
        psp_id: config.psp_id.clone(),
        order,
        payment_request_id: payment.request_id.clone(),
        payment_amount: payment.amount(),
        pay_to_amount: payment.pay_to,
        payment_quote: payment.quote.clone(),
        payment_method: PaymentMethod {
            payment_method_type: Some("CONNECT_WALLET".to_owned()),
            customer_id: Some(payment.user.clone()),
            ..PaymentMethod::default()
        },
        payment_factor: PaymentFactor { is_in_store_payment: Some(true), ..PaymentFactor::default() },
        payment_expiry_time: DateTime::from_ms(payment.expires_at_ms),
        pass_through_info: asked.reference.map(hex::encode_upper),
        ..PayRequest::default()
    })
}

fn merchant(merchant: &Merchant) -> model::Merchant {
    model::Merchant {
        reference_merchant_id: Some(merchant.reference.clone()),
        merchant_mcc: Some(merchant.category.clone()),
        merchant_name: Some(merchant.name.clone()),
        ..model::Merchant::default()
    }
}

/// The inquiry of `payment`.
pub(super) fn inquiry(config: &GatewayConfig, payment: &Payment) -> Result<String, GatewayError> {
    text(&InquiryPaymentRequest {
        acquirer_id: config.acquirer_id.clone(),
        psp_id: config.psp_id.clone(),
        payment_request_id: payment.request_id.clone(),
    })
}

/// The cancel of `payment`.
pub(super) fn cancel(config: &GatewayConfig, payment: &Payment) -> Result<String, GatewayError> {
    text(&CancelPaymentRequest {
        acquirer_id: config.acquirer_id.clone(),
        psp_id: config.psp_id.clone(),
        payment_request_id: payment.request_id.clone(),
    })
}

/// What is given back, by which call.
#[derive(Debug)]
pub(super) struct GiveBack<'a> {
    pub(super) kind: CallKind,
    pub(super) request_id: &'a str,
    /// In the merchant's currency.
    pub(super) amount: Amount,
    /// In the user's.
    pub(super) from: Amount,
    pub(super) quote: Option<&'a Quote>,
    pub(super) user: &'a str,
}

/// The `refund` of a part of `payment`.
pub(super) fn refund(config: &GatewayConfig, back: &GiveBack<'_>, payment: &Payment) -> Result<String, GatewayError> {
    text(&RefundRequest {
        acquirer_id: config.acquirer_id.clone(),
        psp_id: config.psp_id.clone(),
        payment_request_id: payment.request_id.clone(),
        payment_id: payment.payment_id.clone().unwrap_or_default(),
        refund_request_id: back.request_id.to_owned(),
        refund_amount: back.amount,
        refund_from_amount: Some(back.from),
        refund_quote: back.quote.cloned(),
        ..RefundRequest::default()
    })
}

/// The `adjustRefund` of more than `payment`, or of one that is tied to none.
pub(super) fn adjust(
    config: &GatewayConfig,
    back: &GiveBack<'_>,
    payment: Option<&Payment>,
) -> Result<String, GatewayError> {
    let scenario = match back.kind {
        CallKind::AdjustExceed => SubScenarioType::ExceedRefund,
        _ => SubScenarioType::UnlinkedRefund,
    };
    let linked = payment.filter(|_| scenario == SubScenarioType::ExceedRefund);
    text(&AdjustRefundRequest {
        acquirer_id: Some(config.acquirer_id.clone()),
        psp_id: config.psp_id.clone(),
        sub_scenario_type: scenario,
        refund_request_id: back.request_id.to_owned(),
        refund_amount: back.amount,
        refund_from_amount: Some(back.from),
        refund_quote: back.quote.cloned(),
        customer_id: Some(back.user.to_owned()),
        payment_request_id: linked.map(|payment| payment.request_id.clone()),
        payment_id: linked.and_then(|payment| payment.payment_id.clone()),
    })
}

/// A message as it travels, and as the books keep it.
pub(super) fn text<M: Message>(message: &M) -> Result<String, GatewayError> {
    let bytes = wire::to_bytes(message)?;
    String::from_utf8(bytes).map_err(|_| GatewayError::Damaged { what: "a request" })
}

/// A message out of the books.
pub(super) fn read<M: Message>(request: &str) -> Result<M, GatewayError> {
    Ok(wire::parse(request.as_bytes())?)
}
