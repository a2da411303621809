//! Gives money back.

use crate::model::{PaymentPromoInfo, Quote, SurchargeInfo};
use crate::wire::object::{answers, api, object, words};
use crate::wire::{DateTime, Rule};
use crate::{Amount, ResultInfo};

api! {
    /// A+ gives a payment back, all of it or a part (docs: integration_auto_debit_mpp/refund,
    /// api_mpp/refund-nfc). The outcome of an unanswered one is learnt by sending it again.
    Refund = "refund" at "/aps/api/v1/payments/refund": RefundRequest => RefundAnswer
}

object! {
    /// What is given back, of which payment.
    pub struct RefundRequest => {
        /// The acquirer, at most 64 characters.
        pub acquirer_id: String = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: String = "pspId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
        /// The payment's id at the wallet, at most 64 characters.
        pub payment_id: String = "paymentId", Rule::ID;
        /// The refund's id at A+, at most 64 characters. A repeat is processed once.
        pub refund_request_id: String = "refundRequestId", Rule::ID;
        /// What the merchant gives back.
        pub refund_amount: Amount = "refundAmount", Rule::POSITIVE;
        /// What the wallet gets back from A+; if it is not there, the same (our assumption).
        pub refund_from_amount: Option<Amount> = "refundFromAmount", Rule::POSITIVE;
        /// The rate between the two: that of the payment.
        pub refund_quote: Option<Quote> = "refundQuote";
        /// What promotions had taken off.
        pub refund_promo_info: Option<PaymentPromoInfo> = "refundPromoInfo";
        /// What had been taken on top.
        pub surcharge_info: Option<SurchargeInfo> = "surchargeInfo";
        /// JSON in a text.
        pub extend_info: Option<String> = "extendInfo";
    }
}

object! {
    /// Whether it was given back.
    pub struct RefundAnswer => {
        /// The outcome, of the call and of the refund.
        pub result: ResultInfo = "result";
        /// The refund's id at the wallet, at most 64 characters.
        pub refund_id: Option<String> = "refundId", Rule::ID;
        /// When it was given back.
        pub refund_time: Option<DateTime> = "refundTime";
    }
}

words! {
    /// Why a refund goes beyond a payment.
    pub enum SubScenarioType {
        /// More than was paid: a `refund` of the payment comes as well.
        ExceedRefund = "EXCEED_REFUND";
        /// No payment belongs to it.
        UnlinkedRefund = "UNLINKED_REFUND";
    }
}

api! {
    /// A+ gives money that was never paid (docs: api_mpp/adjust-refund). The wallet must not fail it, but
    /// for technical causes. The path is our assumption.
    AdjustRefund = "adjustRefund" at "/aps/api/v1/payments/adjustRefund": AdjustRefundRequest => AdjustRefundAnswer
}

object! {
    /// What is given, to whom. Beyond `subScenarioType` and `pspId` the fields are our assumption.
    pub struct AdjustRefundRequest checked by has_a_user => {
        /// The acquirer, at most 64 characters.
        pub acquirer_id: Option<String> = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: String = "pspId", Rule::ID;
        /// Why.
        pub sub_scenario_type: SubScenarioType = "subScenarioType", Rule::ID;
        /// The refund's id at A+, at most 64 characters. A repeat is processed once.
        pub refund_request_id: String = "refundRequestId", Rule::ID;
        /// What the merchant gives.
        pub refund_amount: Amount = "refundAmount", Rule::POSITIVE;
        /// What the wallet gets from A+; if it is not there, the same (our assumption).
        pub refund_from_amount: Option<Amount> = "refundFromAmount", Rule::POSITIVE;
        /// The rate between the two.
        pub refund_quote: Option<Quote> = "refundQuote";
        /// The user: must be there if no payment belongs to it. At most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// The payment's id at A+, at most 64 characters.
        pub payment_request_id: Option<String> = "paymentRequestId", Rule::ID;
        /// The payment's id at the wallet, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
    }
}

/// Somebody must get the money: the user is named, or found by a payment.
fn has_a_user(request: &AdjustRefundRequest) -> Result<(), crate::FieldError> {
    let named = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
    let by_payment = named(&request.payment_request_id) || named(&request.payment_id);
    match request.sub_scenario_type {
        _ if named(&request.customer_id) => Ok(()),
        SubScenarioType::UnlinkedRefund => Err(crate::FieldError::missing("customerId")),
        _ if by_payment => Ok(()),
        _ => Err(crate::FieldError::missing("paymentRequestId")),
    }
}

object! {
    /// Whether it was given. As for a refund (our assumption).
    pub struct AdjustRefundAnswer => {
        /// The outcome, of the call and of the refund.
        pub result: ResultInfo = "result";
        /// The refund's id at the wallet, at most 64 characters.
        pub refund_id: Option<String> = "refundId", Rule::ID;
        /// When it was given.
        pub refund_time: Option<DateTime> = "refundTime";
    }
}

answers!(RefundAnswer, AdjustRefundAnswer);
