//! Takes money out of a user's account, tells whether it was taken, and undoes it.

use crate::model::{Order, PaymentFactor, PaymentMethod, PaymentPromoInfo, Quote, SurchargeInfo};
use crate::wire::object::{answers, api, object};
use crate::wire::{DateTime, Rule};
use crate::{Amount, FieldError, ResultInfo};

api! {
    /// A+ asks the wallet to pay: a code shown by the user, an agreement, a tap (docs: api_mpp/pay,
    /// api_mpp/pay-nfc).
    Pay = "pay" at "/aps/api/v1/payments/pay": PayRequest => PayAnswer
}

object! {
    /// What is to be paid, and out of whose account.
    ///
    /// ```
    /// use alipayplus::payment::mpp::PayRequest;
    /// use alipayplus::wire;
    ///
    /// let error = wire::parse::<PayRequest>(br#"{"acquirerId":"A1","pspId":"P1","order":{}}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "order.referenceOrderId is required");
    /// ```
    pub struct PayRequest => {
        /// The acquirer, at most 64 characters.
        pub acquirer_id: String = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: String = "pspId", Rule::ID;
        /// What is bought.
        pub order: Order = "order";
        /// The payment's id at A+, at most 64 characters. A repeat is processed once.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
        /// What the merchant asks for.
        pub payment_amount: Amount = "paymentAmount", Rule::POSITIVE;
        /// What the wallet owes A+, in the wallet's currency.
        pub pay_to_amount: Amount = "payToAmount", Rule::POSITIVE;
        /// The rate between the two.
        pub payment_quote: Option<Quote> = "paymentQuote";
        /// Out of whose account: a code, a token, or the user's id.
        pub payment_method: PaymentMethod = "paymentMethod";
        /// The user's id, where the payment method has none (our assumption, for taps), at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// What kind of payment it is.
        pub payment_factor: PaymentFactor = "paymentFactor";
        /// When A+ gives up and cancels.
        pub payment_expiry_time: Option<DateTime> = "paymentExpiryTime";
        /// Where to tell the outcome, instead of the agreed place.
        pub payment_notify_url: Option<String> = "paymentNotifyUrl", Rule::URL;
        /// Where to send the user afterwards.
        pub payment_redirect_url: Option<String> = "paymentRedirectUrl" | "paymentRedirectURL", Rule::URL;
        /// What promotions take off.
        pub payment_promo_info: Option<PaymentPromoInfo> = "paymentPromoInfo";
        /// What is taken on top.
        pub surcharge_info: Option<SurchargeInfo> = "surchargeInfo";
        /// Comes back unchanged; for a tap, the reference that the phone set (our assumption). At most 20000
        /// characters.
        pub pass_through_info: Option<String> = "passThroughInfo", Rule::max(20_000);
    }
}

impl PayRequest {
    /// Whose account: the payment method's user, else the one of the request (our assumption for taps).
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let known = |id: &&str| !id.is_empty();
        let in_method = self.payment_method.customer_id.as_deref().filter(known);
        in_method.or_else(|| self.customer_id.as_deref().filter(known))
    }

    /// Only whether it could be paid: nothing may be taken.
    #[must_use]
    pub fn is_evaluation(&self) -> bool {
        self.payment_factor.is_payment_evaluation == Some(true)
    }
}

object! {
    /// Whether it was paid.
    pub struct PayAnswer checked by names_the_payer => {
        /// The outcome, of the call and of the payment.
        pub result: ResultInfo = "result";
        /// The payment's id at the wallet, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// When it was paid.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// Who paid: must be there on success, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// Where the user has to go to finish it.
        pub payment_url: Option<String> = "paymentUrl", Rule::URL.private();
    }
}

/// Who paid is known once it is paid.
fn names_the_payer(answer: &PayAnswer) -> Result<(), FieldError> {
    match answer.result.is_success() && answer.customer_id.as_deref().unwrap_or_default().is_empty() {
        true => Err(FieldError::missing("customerId")),
        false => Ok(()),
    }
}

api! {
    /// A+ asks what became of a payment (docs: api_mpp/inquiry_payment).
    InquiryPayment = "inquiryPayment" at "/aps/api/v1/payments/inquiryPayment":
        InquiryPaymentRequest => InquiryPaymentAnswer
}

object! {
    /// Which payment.
    pub struct InquiryPaymentRequest => {
        /// The acquirer, at most 64 characters.
        pub acquirer_id: String = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: String = "pspId", Rule::ID;
        /// The payment's id at A+, at most 64 characters.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
    }
}

object! {
    /// What became of it. `result` says whether the question could be answered (`ORDER_NOT_EXIST` if
    /// nobody knows the payment), `payment_result` how the payment stands.
    pub struct InquiryPaymentAnswer checked by says_how_it_stands => {
        /// The outcome of the call.
        pub result: ResultInfo = "result";
        /// The outcome of the payment; there if the call succeeded.
        pub payment_result: Option<ResultInfo> = "paymentResult";
        /// The payment's id at the wallet, at most 64 characters.
        pub payment_id: Option<String> = "paymentId", Rule::ID;
        /// When it was paid.
        pub payment_time: Option<DateTime> = "paymentTime";
        /// What the merchant asked for.
        pub payment_amount: Option<Amount> = "paymentAmount";
        /// What the wallet owes A+.
        pub pay_to_amount: Option<Amount> = "payToAmount";
        /// Who paid, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// What may be declared to customs.
        pub customs_declaration_amount: Option<Amount> = "customsDeclarationAmount";
    }
}

fn says_how_it_stands(answer: &InquiryPaymentAnswer) -> Result<(), FieldError> {
    super::super::says_how_it_stands(&answer.result, answer.payment_result.as_ref())
}

api! {
    /// A+ undoes a payment, whatever became of it (docs: pos_tap_mpp/cancel_a_payment). Until 00:30 UTC+8
    /// of the next day the wallet must accept it.
    CancelPayment = "cancelPayment" at "/aps/api/v1/payments/cancelPayment":
        CancelPaymentRequest => CancelPaymentAnswer
}

object! {
    /// Which payment (names observed).
    pub struct CancelPaymentRequest => {
        /// The acquirer, at most 64 characters.
        pub acquirer_id: String = "acquirerId", Rule::ID;
        /// The wallet, at most 64 characters.
        pub psp_id: String = "pspId", Rule::ID;
        /// The payment's id at A+, at most 64 characters. A repeat is processed once.
        pub payment_request_id: String = "paymentRequestId", Rule::ID;
    }
}

object! {
    /// Whether it is undone.
    pub struct CancelPaymentAnswer => {
        /// The outcome of the call.
        pub result: ResultInfo = "result";
    }
}

answers!(PayAnswer, InquiryPaymentAnswer, CancelPaymentAnswer);
