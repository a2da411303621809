//! Asks A+ for a payment, for what became of it, and to undo it.

use super::names_a_payment;
use crate::model::{
    Order, OrderCodeForm, OsType, PaymentFactor, PaymentMethod, Quote, SettlementStrategy, TerminalType, Transaction,
};
use crate::wire::object::{answers, api, object};
use crate::wire::{DateTime, Rule};
use crate::{Amount, FieldError, ResultInfo};

api! {
    /// An acquirer asks A+ to get a payment (docs: api_acq/pay_cashier, api_acq/pay_auto_debit).
    Pay = "pay" at "/aps/api/v1/payments/pay": PayRequest => PayAnswer
}

object! {
    /// What is to be paid.
    pub struct PayRequest checked by names_the_system => {
        /// What is bought. Its `env` says what the user holds.
        pub order: Order = "order";
        /// The payment's id at the acquirer, at most 64 characters. A repeat is processed once.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
        /// What the merchant asks for.
        pub payment_amount: Amount = "paymentAmount", Rule::POSITIVE;
        /// By what: `CONNECT_WALLET`, a payment code, an access token.
        pub payment_method: Option<PaymentMethod> = "paymentMethod";
        /// What kind of payment it is.
        pub payment_factor: PaymentFactor = "paymentFactor";
        /// Until when it can be paid; for Auto Debit at most one minute.
        pub payment_expiry_time: Option<DateTime> = "paymentExpiryTime";
        /// Where to tell the outcome.
        pub payment_notify_url: Option<String> = "paymentNotifyUrl", Rule::URL;
        /// Where to send the user afterwards.
        pub payment_redirect_url: Option<String> = "paymentRedirectUrl" | "paymentRedirectURL", Rule::URL;
        /// How the acquirer is paid.
        pub settlement_strategy: Option<SettlementStrategy> = "settlementStrategy";
        /// Where the user is at home: two letters of ISO 3166.
        pub user_region: Option<String> = "userRegion", Rule::max(2);
        /// Wallets of which regions may be used: two letters of ISO 3166 each.
        pub allowed_psp_regions: Vec<String> = "allowedPspRegions", Rule::max(2);
        /// To which part of a split settlement it belongs (of an SDK), at most 64 characters.
        pub split_settlement_id: Option<String> = "splitSettlementId", Rule::ID;
    }
}

/// On a phone, `osType` must be there.
fn names_the_system(request: &PayRequest) -> Result<(), FieldError> {
    let Some(env) = &request.order.env else { return Ok(()) };
    let on_a_phone = matches!(env.terminal_type, Some(TerminalType::App | TerminalType::Wap));
    match on_a_phone && env.os_type.as_ref().map_or("", OsType::as_str).is_empty() {
        true => Err(FieldError::missing("order.env.osType")),
        false => Ok(()),
    }
}

object! {
    /// Whether it was paid, or where the user has to go. `U` with `PAYMENT_IN_PROCESS` is the normal
    /// answer where the user has yet to act.
    pub struct PayAnswer => {
        /// The outcome, of the call and of the payment.
        pub result: ResultInfo = "result";
        /// The acquirer, at most 64 characters.
        pub acquirer_id: Option<String> = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: Option<String> = "pspId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// When it was paid.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// What the merchant asked for.
        pub payment_amount: Option<Amount> = "paymentAmount";
        /// Who paid, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// The wallet's name.
        pub wallet_brand_name: Option<String> = "walletBrandName";
        /// Where the user has to go.
        pub payment_url: Option<String> = "paymentUrl", Rule::URL.private();
        /// The same, in a browser.
        pub normal_url: Option<String> = "normalUrl", Rule::URL.private();
        /// The same, by the scheme of an app.
        pub scheme_url: Option<String> = "schemeUrl", Rule::URL.private();
        /// The same, by a link that an app claims.
        pub applink_url: Option<String> = "applinkUrl", Rule::URL.private();
        /// That app's name in its system.
        pub app_identifier: Option<String> = "appIdentifier";
        /// A code to scan.
        pub order_code_form: Option<OrderCodeForm> = "orderCodeForm";
        /// For the client's SDK.
        pub payment_data: Option<String> = "paymentData", Rule::PRIVATE;
        /// Where the user is told how.
        pub guide_url: Option<String> = "guideUrl", Rule::URL;
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

api! {
    /// An acquirer asks what became of a payment.
    InquiryPayment = "inquiryPayment" at "/aps/api/v1/payments/inquiryPayment":
        InquiryPaymentRequest => InquiryPaymentAnswer
}

object! {
    /// Which payment: by one of its two ids.
    pub struct InquiryPaymentRequest checked by inquiry_names_a_payment => {
        /// The payment's id at the acquirer, at most 64 characters.
        pub payment_request_id: Option<String> = "paymentRequestId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
    }
}

fn inquiry_names_a_payment(request: &InquiryPaymentRequest) -> Result<(), FieldError> {
    names_a_payment(request.payment_request_id.as_ref(), request.payment_id.as_ref())
}

object! {
    /// What became of it. `result` says whether the question could be answered, `payment_result` how the
    /// payment stands.
    pub struct InquiryPaymentAnswer checked by says_how_it_stands => {
        /// The outcome of the call.
        pub result: ResultInfo = "result";
        /// The outcome of the payment; there if the call succeeded.
        pub payment_result: Option<ResultInfo> = "paymentResult";
        /// The acquirer, at most 64 characters.
        pub acquirer_id: Option<String> = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: Option<String> = "pspId", Rule::ID;
        /// The payment's id at the acquirer, at most 64 characters.
        pub payment_request_id: Option<String> = "paymentRequestId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// What the merchant asked for.
        pub payment_amount: Option<Amount> = "paymentAmount";
        /// When it was paid.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// Who paid, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// The wallet's name.
        pub wallet_brand_name: Option<String> = "walletBrandName";
        /// What the acquirer gets.
        pub settlement_amount: Option<Amount> = "settlementAmount";
        /// At what rate.
        pub settlement_quote: Option<Quote> = "settlementQuote";
        /// What may be declared to customs.
        pub customs_declaration_amount: Option<Amount> = "customsDeclarationAmount";
        /// The payment's id at the wallet, at most 64 characters.
        pub mpp_payment_id: Option<String> = "mppPaymentId", Rule::ID;
        /// What happened to it, refunds too.
        pub transactions: Vec<Transaction> = "transactions";
    }
}

fn says_how_it_stands(answer: &InquiryPaymentAnswer) -> Result<(), FieldError> {
    super::super::says_how_it_stands(&answer.result, answer.payment_result.as_ref())
}

api! {
    /// An acquirer undoes a payment, until 00:15 UTC+8 of the next day (docs:
    /// integration_cashier_acq/cancel_payment).
    CancelPayment = "cancelPayment" at "/aps/api/v1/payments/cancelPayment":
        CancelPaymentRequest => CancelPaymentAnswer
}

object! {
    /// Which payment: by one of its two ids.
    pub struct CancelPaymentRequest checked by cancel_names_a_payment => {
        /// The payment's id at the acquirer, at most 64 characters.
        pub payment_request_id: Option<String> = "paymentRequestId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
    }
}

fn cancel_names_a_payment(request: &CancelPaymentRequest) -> Result<(), FieldError> {
    names_a_payment(request.payment_request_id.as_ref(), request.payment_id.as_ref())
}

object! {
    /// Whether it is undone.
    pub struct CancelPaymentAnswer => {
        /// The outcome of the call.
        pub result: ResultInfo = "result";
        /// The wallet, at most 64 characters.
        pub psp_id: Option<String> = "pspId", Rule::ID;
        /// The acquirer, at most 64 characters.
        pub acquirer_id: Option<String> = "acquirerId", Rule::ID;
    }
}

answers!(PayAnswer, InquiryPaymentAnswer, CancelPaymentAnswer);
