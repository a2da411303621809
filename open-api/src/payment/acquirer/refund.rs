//! Gives money back.

use super::names_a_payment;
use crate::model::Quote;
use crate::wire::object::{answers, api, object};
use crate::wire::{DateTime, Rule};
use crate::{Amount, FieldError, ResultInfo};

api! {
    /// An acquirer gives a payment back, all of it or a part, within 365 days (docs: api_acq/refund).
    Refund = "refund" at "/aps/api/v1/payments/refund": RefundRequest => RefundAnswer
}

object! {
    /// What is given back, of which payment: by one of its two ids.
    pub struct RefundRequest checked by refund_names_a_payment => {
        /// The payment's id at the acquirer, at most 64 characters.
        pub payment_request_id: Option<String> = "paymentRequestId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// The refund's id at the acquirer, at most 64 characters. A repeat is processed once.
        pub refund_request_id: String = "refundRequestId", Rule::ID;
        /// What is given back.
        pub refund_amount: Amount = "refundAmount", Rule::POSITIVE;
        /// Why.
        pub refund_reason: Option<String> = "refundReason";
    }
}

fn refund_names_a_payment(request: &RefundRequest) -> Result<(), FieldError> {
    names_a_payment(request.payment_request_id.as_ref(), request.payment_id.as_ref())
}

object! {
    /// Whether it was given back.
    pub struct RefundAnswer => {
        /// The outcome, of the call and of the refund.
        pub result: ResultInfo = "result";
        /// The acquirer, at most 64 characters.
        pub acquirer_id: Option<String> = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: Option<String> = "pspId", Rule::ID;
        /// The refund's id at A+, at most 64 characters.
        pub refund_id: Option<String> = "refundId", Rule::ID;
        /// When it was given back.
        pub refund_time: Option<DateTime> = "refundTime";
        /// What was given back.
        pub refund_amount: Option<Amount> = "refundAmount";
        /// What the acquirer owes for it.
        pub settlement_amount: Option<Amount> = "settlementAmount";
        /// At what rate.
        pub settlement_quote: Option<Quote> = "settlementQuote";
    }
}

answers!(RefundAnswer);
