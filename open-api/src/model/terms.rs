//! On what terms something is paid.

use crate::Amount;
use crate::model::Quote;
use crate::wire::Rule;
use crate::wire::object::{object, parts, words};

words! {
    /// How user and shop meet.
    pub enum InStorePaymentScenario {
        /// The user shows a code.
        PaymentCode = "PaymentCode";
        /// The user scans the code of one order.
        OrderCode = "OrderCode";
        /// The user scans a code that stands in the shop.
        EntryCode = "EntryCode";
    }
}

words! {
    /// Whether wallets are shown as one or each for itself. We write `UNIFIED`.
    pub enum PresentmentMode {
        /// One entry for all.
        Unified = "UNIFIED";
        /// One entry each.
        Tile = "TILE";
        /// The same, in another SDK.
        Tiled = "TILED";
        /// Several in one entry.
        Bundle = "BUNDLE";
    }
}

object! {
    /// What kind of payment it is.
    pub struct PaymentFactor => {
        /// In a shop.
        pub is_in_store_payment: Option<bool> = "isInStorePayment";
        /// On a cashier page.
        pub is_cashier_payment: Option<bool> = "isCashierPayment";
        /// Under an agreement, without the user (Auto Debit).
        pub is_agreement_payment: Option<bool> = "isAgreementPayment";
        /// Only whether it could be paid: nothing is taken.
        pub is_payment_evaluation: Option<bool> = "isPaymentEvaluation";
        /// A surcharge may be taken.
        pub need_surcharge: Option<bool> = "needSurcharge";
        /// How user and shop meet.
        pub in_store_payment_scenario: Option<InStorePaymentScenario> = "inStorePaymentScenario";
        /// Whether wallets are shown as one.
        pub presentment_mode: Option<PresentmentMode> = "presentmentMode";
    }
}

object! {
    /// Out of which account it is paid.
    pub struct PaymentMethod => {
        /// `CONNECT_WALLET` has been seen. At most 64 characters (our assumption).
        pub payment_method_type: Option<String> = "paymentMethodType", Rule::ID;
        /// The payment code that the user showed, or the access token (Auto Debit): a secret.
        pub payment_method_id: Option<String> = "paymentMethodId", Rule::PRIVATE;
        /// The user's id at the wallet, at most 64 characters.
        pub customer_id: Option<String> = "customerId", Rule::ID.private();
        /// What else belongs to it.
        pub payment_method_meta_data: Option<PaymentMethodMetaData> = "paymentMethodMetaData";
    }
}

object! {
    /// What else belongs to a payment method. Other fields than these are passed over.
    pub struct PaymentMethodMetaData => {
        /// The merchant to which the access token was given, at most 64 characters.
        pub auth_client_id: Option<String> = "authClientId", Rule::ID;
    }
}

object! {
    /// How the acquirer is paid.
    pub struct SettlementStrategy => {
        /// In which currency: three letters of ISO 4217.
        pub settlement_currency: Option<crate::Currency> = "settlementCurrency";
    }
}

object! {
    /// What promotions take off.
    pub struct PaymentPromoInfo => {
        /// Each promotion.
        pub payment_promo_details: Vec<PaymentPromoDetail> = "paymentPromoDetails";
    }
}

object! {
    /// One promotion.
    pub struct PaymentPromoDetail => {
        /// Its id.
        pub promo_id: Option<String> = "promoId";
        /// Its name.
        pub promo_name: Option<String> = "promoName";
        /// Its kind, for example `INSTANT_DISCOUNT`.
        pub promo_type: Option<String> = "promoType";
        /// What it takes off; in the sample, in the currency that the wallet pays. Whether the amount to pay
        /// is before or after it, no page says; in the sample it is before.
        pub savings_amount: Option<Amount> = "savingsAmount";
    }
}

object! {
    /// What is taken on top.
    pub struct SurchargeInfo => {
        /// How much.
        pub surcharge_amount: Option<Amount> = "surchargeAmount";
        /// At what rate it was converted.
        pub surcharge_quote: Option<Quote> = "surchargeQuote";
    }
}

parts!(
    PaymentFactor,
    PaymentMethod,
    PaymentMethodMetaData,
    SettlementStrategy,
    PaymentPromoInfo,
    PaymentPromoDetail,
    SurchargeInfo,
);
