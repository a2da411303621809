//! Between an acquirer (ACQP) and Alipay+: the acquirer calls, except for [`NotifyPayment`].
//!
//! Docs: api_acq/pay_cashier, api_acq/pay_auto_debit, api_acq/refund, api_acq/notify_payment. The
//! answers' fields come from the vendor's open-source SDKs.

mod notify;
mod pay;
mod refund;

pub use notify::{NotifyPayment, NotifyPaymentAnswer, NotifyPaymentRequest};
pub use pay::{
    CancelPayment, CancelPaymentAnswer, CancelPaymentRequest, InquiryPayment, InquiryPaymentAnswer,
    InquiryPaymentRequest, Pay, PayAnswer, PayRequest,
};
pub use refund::{Refund, RefundAnswer, RefundRequest};

use crate::FieldError;

/// A payment is named by one of its two ids.
fn names_a_payment(request_id: Option<&String>, payment_id: Option<&String>) -> Result<(), FieldError> {
    let named = [request_id, payment_id].into_iter().flatten().any(|id| !id.is_empty());
    named.then_some(()).ok_or_else(|| FieldError::missing("paymentRequestId"))
}
