//! Between Alipay+ and a wallet (MPP): A+ calls, except for [`NotifyPayment`].
//!
//! Docs: api_mpp/pay, pay-nfc, inquiry_payment, cancel_payment, refund, refund-nfc, adjust-refund,
//! notify_payment, notify-payment-nfc. Which fields must be there follows the fact sheet: stated by the
//! pages up to `order`, observed from there on.

mod notify;
mod pay;
mod refund;

pub use notify::{NotifyPayment, NotifyPaymentAnswer, NotifyPaymentRequest};
pub use pay::{
    CancelPayment, CancelPaymentAnswer, CancelPaymentRequest, InquiryPayment, InquiryPaymentAnswer,
    InquiryPaymentRequest, Pay, PayAnswer, PayRequest,
};
pub use refund::{
    AdjustRefund, AdjustRefundAnswer, AdjustRefundRequest, Refund, RefundAnswer, RefundRequest, SubScenarioType,
};
