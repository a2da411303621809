//! The payment provider as the gateway sees it.

use alipayplus::payment::mpp::{
    AdjustRefundAnswer, AdjustRefundRequest, CancelPaymentAnswer, CancelPaymentRequest, InquiryPaymentAnswer,
    InquiryPaymentRequest, PayAnswer, PayRequest, RefundAnswer, RefundRequest,
};
use async_trait::async_trait;

/// The payment provider's side of the Open API. An implementation sends the request as it is and does not
/// repeat it; it may give up when it likes. The gateway drops the future when it has waited long enough.
#[async_trait]
pub trait Mpp: Send + Sync {
    /// `pay`.
    async fn pay(&self, request: &PayRequest) -> CallOutcome<PayAnswer>;
    /// `inquiryPayment`.
    async fn inquiry(&self, request: &InquiryPaymentRequest) -> CallOutcome<InquiryPaymentAnswer>;
    /// `cancelPayment`.
    async fn cancel(&self, request: &CancelPaymentRequest) -> CallOutcome<CancelPaymentAnswer>;
    /// `refund`.
    async fn refund(&self, request: &RefundRequest) -> CallOutcome<RefundAnswer>;
    /// `adjustRefund`.
    async fn adjust_refund(&self, request: &AdjustRefundRequest) -> CallOutcome<AdjustRefundAnswer>;
}

/// What came of sending a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome<A> {
    /// A signed answer with HTTP status 200; its result says `S`, `F` or `U`.
    Answered(A),
    /// No connection, no answer in time, another HTTP status, or a bad signature: nobody knows.
    NoAnswer,
}
