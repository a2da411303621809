//! Tells A+ the outcome of a payment.

use crate::wire::object::{answers, api, object};
use crate::wire::{DateTime, Rule};
use crate::{Amount, FieldError, ResultInfo, ResultStatus};

api! {
    /// The wallet tells A+ how a payment ended (docs: api_mpp/notify_payment). It goes to the payment's
    /// notify URL, if it has one, and is repeated until the acknowledgement is `S`.
    NotifyPayment = "notifyPayment" at "/aps/api/v1/payments/notifyPayment":
        NotifyPaymentRequest => NotifyPaymentAnswer
}

object! {
    /// How a payment ended. Never that it has not ended yet.
    pub struct NotifyPaymentRequest checked by ended => {
        /// How it ended: `S` or `F`.
        pub payment_result: ResultInfo = "paymentResult";
        /// The payment's id at A+, at most 64 characters. A repeat is processed once.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
        /// The payment's id at the wallet, at most 64 characters: must be there on success.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// What the merchant asked for: must be there on success.
        pub payment_amount: Option<Amount> = "paymentAmount";
        /// What the wallet owes A+, if that differs.
        pub pay_to_amount: Option<Amount> = "payToAmount";
        /// When it was paid: must be there on success.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// Who paid, at most 64 characters: must be there on success.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// What may be declared to customs.
        pub customs_declaration_amount: Option<Amount> = "customsDeclarationAmount";
        /// As it came with the payment, at most 20000 characters.
        pub pass_through_info: Option<String> = "passThroughInfo", Rule::max(20_000);
    }
}

/// `S` with all that belongs to it, or `F`.
fn ended(request: &NotifyPaymentRequest) -> Result<(), FieldError> {
    let there = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
    match request.payment_result.result_status {
        ResultStatus::Failure => Ok(()),
        ResultStatus::Unknown => Err(FieldError::malformed("paymentResult.resultStatus", "S or F")),
        ResultStatus::Success => [
            ("paymentId", there(&request.payment_id)),
            ("paymentAmount", request.payment_amount.is_some()),
            ("paymentTime", request.payment_time.is_some()),
            ("customerId", there(&request.customer_id)),
        ]
        .into_iter()
        .find(|(_, there)| !there)
        .map_or(Ok(()), |(name, _)| Err(FieldError::missing(name))),
    }
}

object! {
    /// The acknowledgement.
    pub struct NotifyPaymentAnswer => {
        /// `S`: it arrived. Anything else: tell it again.
        pub result: ResultInfo = "result";
    }
}

answers!(NotifyPaymentAnswer);
