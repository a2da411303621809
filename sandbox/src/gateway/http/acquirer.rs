//! What an acquirer asks the gateway: what became of a payment, cancel it, give it back.
//!
//! A tap's authorisation is its `paymentRequestId` here, and the `paymentRequestId` towards the payment
//! provider is its `paymentId`. Taps come from terminals, so `pay` is not offered.

use std::sync::Arc;

use alipayplus::payment::acquirer::{
    CancelPaymentAnswer, CancelPaymentRequest, InquiryPaymentAnswer, InquiryPaymentRequest, RefundAnswer, RefundRequest,
};
use alipayplus::{DateTime, ResultCode, ResultInfo};
use sha2::{Digest, Sha256};

use super::clock::ServersClock;
use crate::gateway::{
    Call, CallState, Gateway, GatewayError, Payment, PaymentState, Refund, Reversal, SchemeEvent, SchemeId,
};

/// Until 00:15 UTC+8 of the day after the payment an acquirer may cancel (docs:
/// integration_cashier_acq/cancel_payment).
const CANCEL_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 86_400_000;
const UTC_8_MS: i64 = 8 * 3_600_000;

/// The acquirer's side of the gateway.
#[derive(Debug, Clone)]
pub(super) struct Acquiring {
    pub(super) gateway: Arc<Gateway>,
    pub(super) clock: Arc<ServersClock>,
}

impl Acquiring {
    pub(super) async fn inquire(self, request: InquiryPaymentRequest) -> Result<InquiryPaymentAnswer, ResultInfo> {
        let payment = self.find(request.payment_request_id.as_deref(), request.payment_id.as_deref())?;
        let config = self.gateway.config();
        Ok(InquiryPaymentAnswer {
            result: ResultInfo::success(),
            payment_result: Some(result_of(&payment)),
            acquirer_id: Some(config.acquirer_id.clone()),
            psp_id: Some(config.psp_id.clone()),
            payment_request_id: Some(payment.auth_id.as_str().to_owned()),
            payment_id: Some(payment.request_id.clone()),
            payment_amount: Some(payment.amount()),
            payment_time: DateTime::from_ms(payment.standing.authorised_at_ms),
            customer_id: Some(payment.user.clone()),
            mpp_payment_id: payment.payment_id.clone(),
            ..InquiryPaymentAnswer::default()
        })
    }

    pub(super) async fn cancel(self, request: CancelPaymentRequest) -> Result<CancelPaymentAnswer, ResultInfo> {
        let payment = self.find(request.payment_request_id.as_deref(), request.payment_id.as_deref())?;
        let (now_ms, authorised_ms) = (self.clock.now_ms(), payment.standing.authorised_at_ms);
        match payment.standing.state {
            PaymentState::Cancelled | PaymentState::Declined => return Ok(self.cancelled()),
            // The gateway repeats it until it succeeds.
            PaymentState::Cancelling => return Err(ResultCode::PaymentInProcess.into()),
            _ if now_ms > day_ends_ms(authorised_ms).saturating_add(CANCEL_MS) => {
                return Err(ResultCode::CancelWindowExceed.into());
            }
            _ => {}
        }
        // Between midnight and 00:15 the day of the payment still counts.
        let now_ms = now_ms.min(day_ends_ms(authorised_ms) - 1);
        let id = id_of("cancel", payment.auth_id.as_str())?;
        let time_ms = self.first_time_of(&id)?.unwrap_or(now_ms);
        let reversal = Reversal { id, auth_id: payment.auth_id.clone(), part: None, time_ms };
        self.gateway.play(&SchemeEvent::Reversal(reversal)).await.map_err(refusal)?;
        match self.find(Some(payment.auth_id.as_str()), None)?.standing.state {
            PaymentState::Cancelled | PaymentState::Declined => Ok(self.cancelled()),
            PaymentState::Cancelling | PaymentState::Pending => Err(ResultCode::PaymentInProcess.into()),
            _ => Err(ResultInfo::new(ResultCode::ProcessFail, "it was cleared or given back in part: refund the rest")),
        }
    }

    pub(super) async fn refund(self, request: RefundRequest) -> Result<RefundAnswer, ResultInfo> {
        let payment = self.find(request.payment_request_id.as_deref(), request.payment_id.as_deref())?;
        let id = id_of("refund", &request.refund_request_id)?;
        let first_ms = self.first_time_of(&id)?;
        if first_ms.is_none() {
            refundable(&payment, &request)?;
        }
        let now_ms = self.clock.now_ms();
        let refund = Refund {
            id: id.clone(),
            auth_id: Some(payment.auth_id.clone()),
            user: payment.user.clone(),
            amount: request.refund_amount,
            time_ms: first_ms.unwrap_or(now_ms),
        };
        let played = self.gateway.play(&SchemeEvent::Refund(refund)).await.map_err(refusal)?;
        answered(&played.calls)?;
        let config = self.gateway.config();
        Ok(RefundAnswer {
            result: ResultInfo::success(),
            acquirer_id: Some(config.acquirer_id.clone()),
            psp_id: Some(config.psp_id.clone()),
            refund_id: Some(id.as_str().to_owned()),
            refund_time: DateTime::from_ms(now_ms),
            refund_amount: Some(request.refund_amount),
            ..RefundAnswer::default()
        })
    }

    fn cancelled(&self) -> CancelPaymentAnswer {
        let config = self.gateway.config();
        CancelPaymentAnswer {
            result: ResultInfo::success(),
            psp_id: Some(config.psp_id.clone()),
            acquirer_id: Some(config.acquirer_id.clone()),
        }
    }

    /// When the event was first heard of: a repeat must be the same event.
    fn first_time_of(&self, id: &SchemeId) -> Result<Option<i64>, ResultInfo> {
        let event = self.gateway.books().event(id).map_err(unknown)?;
        Ok(event.map(|event| event.time_ms()))
    }

    fn find(&self, request_id: Option<&str>, payment_id: Option<&str>) -> Result<Payment, ResultInfo> {
        let payments = self.gateway.books().payments().map_err(unknown)?;
        let is_meant = |payment: &Payment| {
            request_id.is_none_or(|id| id == payment.auth_id.as_str())
                && payment_id.is_none_or(|id| id == payment.request_id)
        };
        let found = payments.into_iter().find(|payment| !payment.standing.beyond && is_meant(payment));
        found.ok_or_else(|| ResultCode::OrderNotExist.into())
    }
}

fn result_of(payment: &Payment) -> ResultInfo {
    match payment.standing.state {
        PaymentState::Paid => ResultInfo::success(),
        PaymentState::Pending => ResultCode::PaymentInProcess.into(),
        PaymentState::Declined => payment.code.clone().map_or(ResultCode::OrderIsClosed, ResultCode::from).into(),
        _ => ResultCode::OrderIsClosed.into(),
    }
}

/// An acquirer's refund stays within its payment; a scheme's may go beyond it.
fn refundable(payment: &Payment, request: &RefundRequest) -> Result<(), ResultInfo> {
    match payment.standing.state {
        PaymentState::Paid if request.refund_amount.currency != payment.currency => {
            Err(ResultCode::CurrencyNotSupport.into())
        }
        PaymentState::Paid if request.refund_amount.value > payment.standing.refundable() => {
            Err(ResultCode::RefundAmountExceed.into())
        }
        PaymentState::Paid => Ok(()),
        PaymentState::Pending => Err(ResultCode::PaymentInProcess.into()),
        _ => Err(ResultCode::OrderIsClosed.into()),
    }
}

/// Every call succeeded; else the first that did not says why.
fn answered(calls: &[Call]) -> Result<(), ResultInfo> {
    calls.iter().try_for_each(|call| match call.state {
        CallState::Done => Ok(()),
        CallState::Failed => Err(call.code.clone().map_or(ResultCode::ProcessFail, ResultCode::from).into()),
        CallState::Due | CallState::Dropped => Err(ResultCode::PaymentInProcess.into()),
    })
}

/// A name of the scheme for a name of the acquirer's, which may have other characters and more of them.
fn id_of(what: &str, name: &str) -> Result<SchemeId, ResultInfo> {
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    let short: String = digest.chars().take(32).collect();
    SchemeId::parse(&format!("{what}-{short}")).map_err(unknown)
}

fn day_ends_ms(at_ms: i64) -> i64 {
    let day = at_ms.saturating_add(UTC_8_MS).div_euclid(DAY_MS);
    day.saturating_add(1).saturating_mul(DAY_MS).saturating_sub(UTC_8_MS)
}

fn unknown(error: GatewayError) -> ResultInfo {
    tracing::error!(%error, "the gateway's books failed");
    ResultCode::UnknownException.into()
}

fn refusal(error: GatewayError) -> ResultInfo {
    match error {
        GatewayError::Changed { .. } => ResultCode::RepeatReqInconsistent.into(),
        GatewayError::Amount { .. } | GatewayError::Conversion(_) => {
            ResultInfo::new(ResultCode::ParamIllegal, error.to_string())
        }
        error => unknown(error),
    }
}
