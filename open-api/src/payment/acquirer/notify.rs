//! Hears from A+ how a payment ended.

use crate::model::Quote;
use crate::wire::object::{answers, api, object};
use crate::wire::{DateTime, Rule};
use crate::{Amount, FieldError, ResultInfo, ResultStatus};

api! {
    /// A+ tells the acquirer how a payment ended (docs: api_acq/notify_payment). The acquirer compares
    /// `paymentRequestId` and `paymentAmount` with its order, and acknowledges whatever the outcome.
    NotifyPayment = "notifyPayment" at "/aps/api/v1/payments/notifyPayment":
        NotifyPaymentRequest => NotifyPaymentAnswer
}

object! {
    /// How a payment ended. Never that it has not ended yet.
    pub struct NotifyPaymentRequest checked by ended => {
        /// How it ended: `S` or `F`.
        pub payment_result: ResultInfo = "paymentResult";
        /// The payment's id at the acquirer, at most 64 characters.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
        /// The payment's id at A+, at most 64 characters: there on success.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// The acquirer, at most 64 characters.
        pub acquirer_id: String = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters: there on success.
        pub psp_id: Option<String> = "pspId", Rule::ID;
        /// Who paid, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// The wallet's name.
        pub wallet_brand_name: Option<String> = "walletBrandName";
        /// What the merchant asked for.
        pub payment_amount: Option<Amount> = "paymentAmount";
        /// When it was paid.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// What the acquirer gets.
        pub settlement_amount: Option<Amount> = "settlementAmount";
        /// At what rate.
        pub settlement_quote: Option<Quote> = "settlementQuote";
        /// What may be declared to customs.
        pub customs_declaration_amount: Option<Amount> = "customsDeclarationAmount";
        /// The payment's id at the wallet, at most 64 characters.
        pub mpp_payment_id: Option<String> = "mppPaymentId", Rule::ID;
    }
}

/// `S` with the ids that belong to it, or `F`.
fn ended(request: &NotifyPaymentRequest) -> Result<(), FieldError> {
    let there = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
    match request.payment_result.result_status {
        ResultStatus::Unknown => Err(FieldError::malformed("paymentResult.resultStatus", "S or F")),
        ResultStatus::Success if !there(&request.payment_id) => Err(FieldError::missing("paymentId")),
        ResultStatus::Success if !there(&request.psp_id) => Err(FieldError::missing("pspId")),
        _ => Ok(()),
    }
}

object! {
    /// The acknowledgement.
    pub struct NotifyPaymentAnswer => {
        /// `S`: it arrived. Anything else: it comes again.
        pub result: ResultInfo = "result";
    }
}

answers!(NotifyPaymentAnswer);
