//! What an acquirer asks the gateway: what became of a payment, cancel it, give it back.
//!
//! A tap's authorisation is its `paymentRequestId` here, and the `paymentRequestId` towards the payment
//! provider is its `paymentId`. Taps come from terminals, so `pay` is not offered.

use std::sync::Arc;

use alipayplus::business_time::BusinessCalendar;
use alipayplus::payment::acquirer::{
    CancelPaymentAnswer, CancelPaymentRequest, InquiryPaymentAnswer, InquiryPaymentRequest, RefundAnswer, RefundRequest,
};
use alipayplus::{DateTime, ResultCode, ResultInfo};
use sha2::{Digest, Sha256};

use crate::gateway::{
    Call, CallState, Gateway, GatewayError, Payment, PaymentState, Refund, Reversal, SchemeEvent, SchemeId,
};
use crate::with_causes;

/// Until when an acquirer may cancel and refund.
const CALENDAR: BusinessCalendar = BusinessCalendar::ACQUIRER;

/// The acquirer's side of the gateway.
#[derive(Debug, Clone)]
pub(super) struct Acquiring {
    pub(super) gateway: Arc<Gateway>,
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
        match payment.standing.state {
            PaymentState::Cancelled | PaymentState::Declined | PaymentState::Reclaimed => return Ok(self.cancelled()),
            // The gateway repeats it until it succeeds.
            PaymentState::Cancelling | PaymentState::Reclaiming => return Err(ResultCode::PaymentInProcess.into()),
            PaymentState::Pending | PaymentState::Paid => {}
        }
        let now_ms = self.gateway.clock.wall_ms();
        // Between midnight and 00:15 the day of the payment still counts.
        let day = CALENDAR.day_of(payment.standing.authorised_at_ms);
        let time_ms = now_ms.min(CALENDAR.start_of(day.plus(1)).saturating_sub(1));
        let id = id_of("cancel", payment.auth_id.as_str())?;
        let reversal = SchemeEvent::Reversal(Reversal { id, auth_id: payment.auth_id.clone(), part: None, time_ms });
        let row =
            self.gateway.take_if(&reversal, |payment| cancellable(there(payment)?, now_ms)).map_err(refusal)??;
        let played = self.gateway.played(&reversal, row).await.map_err(refusal)?;
        match self.find(Some(payment.auth_id.as_str()), None)?.standing.state {
            PaymentState::Cancelled | PaymentState::Declined | PaymentState::Reclaimed => {}
            PaymentState::Cancelling | PaymentState::Reclaiming | PaymentState::Pending => {
                return Err(ResultCode::PaymentInProcess.into());
            }
            // Another switch of the table gives it back by refunds.
            PaymentState::Paid if played.calls.is_empty() => return Err(refund_the_rest()),
            PaymentState::Paid => answered(&played.calls)?,
        }
        Ok(self.cancelled())
    }

    pub(super) async fn refund(self, request: RefundRequest) -> Result<RefundAnswer, ResultInfo> {
        let payment = self.find(request.payment_request_id.as_deref(), request.payment_id.as_deref())?;
        let id = id_of("refund", &request.refund_request_id)?;
        let now_ms = self.gateway.clock.wall_ms();
        let refund = SchemeEvent::Refund(Refund {
            id: id.clone(),
            auth_id: Some(payment.auth_id),
            user: payment.user,
            amount: request.refund_amount,
            time_ms: now_ms,
        });
        let row = self
            .gateway
            .take_if(&refund, |payment| refundable(there(payment)?, &request, now_ms))
            .map_err(refusal)??;
        let played = self.gateway.played(&refund, row).await.map_err(refusal)?;
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

    /// The payment that both names mean, where both are given.
    fn find(&self, request_id: Option<&str>, payment_id: Option<&str>) -> Result<Payment, ResultInfo> {
        let books = self.gateway.books();
        let found = match (request_id.map(SchemeId::parse), payment_id) {
            (Some(Ok(auth_id)), _) => books.payment(&auth_id),
            (None, Some(id)) => books.payment_by_request(id),
            (Some(Err(_)), _) | (None, None) => Ok(None),
        };
        let is_meant =
            |payment: &Payment| !payment.standing.beyond && payment_id.is_none_or(|id| id == payment.request_id);
        found.map_err(unknown)?.filter(is_meant).ok_or_else(|| ResultCode::OrderNotExist.into())
    }
}

fn there(payment: Option<&Payment>) -> Result<&Payment, ResultInfo> {
    payment.ok_or_else(|| ResultCode::OrderNotExist.into())
}

fn result_of(payment: &Payment) -> ResultInfo {
    match payment.standing.state {
        PaymentState::Paid => ResultInfo::success(),
        PaymentState::Pending => ResultCode::PaymentInProcess.into(),
        PaymentState::Declined => payment.code.clone().map_or(ResultCode::OrderIsClosed, ResultCode::from).into(),
        _ => ResultCode::OrderIsClosed.into(),
    }
}

/// An acquirer cancels a whole payment, in its window. Of one that is cleared or given back in part nothing
/// can be undone but by refunds.
fn cancellable(payment: &Payment, now_ms: i64) -> Result<(), ResultInfo> {
    match payment.standing.state {
        PaymentState::Pending | PaymentState::Paid
            if !CALENDAR.may_cancel(payment.standing.authorised_at_ms, now_ms) =>
        {
            Err(ResultCode::CancelWindowExceed.into())
        }
        PaymentState::Paid if !payment.standing.is_untouched() => Err(refund_the_rest()),
        _ => Ok(()),
    }
}

fn refund_the_rest() -> ResultInfo {
    ResultInfo::new(ResultCode::ProcessFail, "it was cleared or given back in part: refund the rest")
}

/// An acquirer's refund stays within its payment; a scheme's may go beyond it.
fn refundable(payment: &Payment, request: &RefundRequest, now_ms: i64) -> Result<(), ResultInfo> {
    match payment.standing.state {
        PaymentState::Paid if request.refund_amount.currency != payment.currency => {
            Err(ResultCode::CurrencyNotSupport.into())
        }
        PaymentState::Paid if request.refund_amount.value > payment.standing.refundable() => {
            Err(ResultCode::RefundAmountExceed.into())
        }
        PaymentState::Paid if !CALENDAR.may_refund(payment.standing.authorised_at_ms, now_ms) => {
            Err(ResultCode::RefundWindowExceed.into())
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

fn unknown(error: GatewayError) -> ResultInfo {
    tracing::error!(error = with_causes(&error), "the gateway's books failed");
    ResultCode::UnknownException.into()
}

fn refusal(error: GatewayError) -> ResultInfo {
    match error {
        GatewayError::Changed { .. } => ResultCode::RepeatReqInconsistent.into(),
        GatewayError::Amount { .. } | GatewayError::Conversion(_) => {
            ResultInfo::new(ResultCode::ParamIllegal, with_causes(&error))
        }
        error => unknown(error),
    }
}

#[cfg(test)]
mod tests;
