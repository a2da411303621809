//! What the answer to a call means, and what follows from it.

use alipayplus::payment::mpp::{InquiryPaymentAnswer, NotifyPaymentRequest, PayAnswer};
use alipayplus::{ResultCode, ResultInfo, ResultStatus};

use super::books::{Account, Call, CallState};
use super::events::SchemeId;
use super::mpp::CallOutcome;
use super::taking::Taking;
use super::{CallKind, Gateway, GatewayError, Payment, PaymentState, Trigger};

/// What became known by an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: the same request again.
    Nothing,
    /// It happened. Of `pay`, with the provider's `paymentId`.
    Success {
        /// The provider's `paymentId`; of `pay` and inquiry.
        payment_id: Option<String>,
    },
    /// It will not happen.
    Failure {
        /// Why.
        code: ResultCode,
    },
    /// The provider knows no such payment.
    NotThere,
}

impl Known {
    /// What an answer to a repetition says of the request: nothing, if the provider's gate turned it away.
    /// An earlier attempt may have passed.
    fn of_a_repetition(&self) -> &Self {
        match self {
            Self::Failure { code } if code.is_of_the_gate() => &Self::Nothing,
            known => known,
        }
    }
}

/// By any answer with nothing but a result.
pub(super) fn of_result(result: &ResultInfo) -> Known {
    match result.result_status {
        ResultStatus::Success => Known::Success { payment_id: None },
        ResultStatus::Failure => Known::Failure { code: result.result_code.clone() },
        ResultStatus::Unknown => Known::Nothing,
    }
}

/// By the answer to `pay`. A success without `paymentId` could never be refunded: it is asked again.
pub(super) fn of_pay(outcome: CallOutcome<PayAnswer>) -> Known {
    match outcome {
        CallOutcome::NoAnswer => Known::Nothing,
        CallOutcome::Answered(answer) => with_id(of_result(&answer.result), answer.payment_id),
    }
}

/// By the answer to an inquiry.
pub(super) fn of_inquiry(outcome: CallOutcome<InquiryPaymentAnswer>) -> Known {
    let CallOutcome::Answered(answer) = outcome else { return Known::Nothing };
    match (of_result(&answer.result), answer.payment_result) {
        (Known::Failure { code: ResultCode::OrderNotExist }, _) => Known::NotThere,
        (Known::Success { .. }, Some(payment)) => with_id(of_result(&payment), answer.payment_id),
        _ => Known::Nothing,
    }
}

fn with_id(known: Known, payment_id: Option<String>) -> Known {
    match known {
        Known::Success { .. } if payment_id.is_none() => Known::Nothing,
        Known::Success { .. } => Known::Success { payment_id },
        other => other,
    }
}

/// What the notice names is what is written down, as far as both know it.
fn fits(notice: &NotifyPaymentRequest, payment: &Payment) -> bool {
    let other_id = notice.payment_id.as_ref().zip(payment.payment_id.as_ref()).is_some_and(|(one, other)| one != other);
    notice.payment_amount.is_none_or(|amount| amount == payment.amount()) && !other_id
}

impl Gateway {
    /// Takes a `notifyPayment`: the provider tells by itself how a payment ended. A notice with another
    /// amount, or with another `paymentId` than is known, is refused and changes nothing.
    ///
    /// # Errors
    /// [`GatewayError::Books`].
    pub fn hear(&self, notice: &NotifyPaymentRequest) -> Result<ResultInfo, GatewayError> {
        let known = with_id(of_result(&notice.payment_result), notice.payment_id.clone());
        let now_ms = self.clock.wall_ms();
        let answer = self.books.write(|work| {
            let Some(payment) = work.payment_by_request(&notice.payment_request_id)? else {
                return Ok(ResultCode::OrderNotExist.into());
            };
            if !fits(notice, &payment) {
                return Ok(ResultCode::RepeatReqInconsistent.into());
            }
            Taking { work, config: &self.config, now_ms }.learn_result(&payment.auth_id, &known)?;
            Ok(ResultInfo::success())
        })?;
        self.changed.notify_waiters();
        Ok(answer)
    }

    /// Writes down what became known by a call.
    pub(super) fn conclude(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        let now_ms = self.clock.wall_ms();
        self.books.write(|work| {
            let now = work.call(call.seq)?;
            // Of what was dropped or answered meanwhile, only the result of `pay` still matters.
            let is_due = now.as_ref().is_some_and(|now| now.state == CallState::Due);
            let known = if now.is_some_and(|now| now.attempts > 1) { known.of_a_repetition() } else { known };
            let taking = Taking { work, config: &self.config, now_ms };
            match is_due || call.kind == CallKind::Pay {
                true => taking.conclude(call, known),
                false => Ok(()),
            }
        })?;
        self.changed.notify_waiters();
        Ok(())
    }
}

impl Taking<'_> {
    fn conclude(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        match call.kind {
            CallKind::Pay => self.conclude_pay(call, known),
            CallKind::Inquiry => self.conclude_inquiry(call, known),
            CallKind::Cancel => self.conclude_cancel(call, known),
            CallKind::Refund | CallKind::AdjustExceed | CallKind::AdjustUnlinked => self.conclude_refund(call, known),
        }
    }

    fn conclude_pay(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        let Some(auth_id) = &call.auth_id else { return Ok(()) };
        self.end(call, known)?;
        self.learn_result(auth_id, known)
    }

    /// The one inquiry before a cancel ends the waiting; the one of a payment that was too late to cancel is
    /// repeated until the result is known.
    fn conclude_inquiry(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        let Some(auth_id) = &call.auth_id else { return Ok(()) };
        let Some(payment) = self.work.payment(auth_id)? else { return Ok(()) };
        let waits = payment.standing.state == PaymentState::Pending;
        match known {
            Known::Nothing if !waits => Ok(()),
            Known::NotThere | Known::Nothing if waits => {
                self.work.end_attempt(call.seq, CallState::Done, None)?;
                self.expire(auth_id)
            }
            Known::NotThere => {
                self.end(call, known)?;
                self.learn(auth_id, Trigger::PayFailed)
            }
            _ => {
                self.end(call, known)?;
                self.learn_result(auth_id, known)
            }
        }
    }

    /// A cancel is repeated until it succeeds, whatever else is answered, but for "too late".
    fn conclude_cancel(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        let Some(auth_id) = &call.auth_id else { return Ok(()) };
        match known {
            Known::Success { .. } => {
                self.end(call, known)?;
                self.learn(auth_id, Trigger::CancelSucceeded)
            }
            Known::Failure { code: ResultCode::CancelWindowExceed } => {
                self.end(call, known)?;
                self.learn(auth_id, Trigger::CancelTooLate)
            }
            _ => Ok(()),
        }
    }

    fn conclude_refund(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        self.end(call, known)?;
        match known {
            Known::Success { .. } => {
                let amount = call.amount;
                self.work.post(&call.request_id, Account::Owed, Account::Provider, amount.currency, amount.value)
            }
            _ => Ok(()),
        }
    }

    fn end(&self, call: &Call, known: &Known) -> Result<(), GatewayError> {
        match known {
            Known::Nothing => Ok(()),
            Known::Success { .. } => self.work.end_attempt(call.seq, CallState::Done, Some("SUCCESS")),
            Known::Failure { code } => self.work.end_attempt(call.seq, CallState::Failed, Some(code.as_str())),
            Known::NotThere => {
                self.work.end_attempt(call.seq, CallState::Done, Some(ResultCode::OrderNotExist.as_str()))
            }
        }
    }

    /// How a payment ended, by whichever way it became known.
    fn learn_result(&self, auth_id: &SchemeId, known: &Known) -> Result<(), GatewayError> {
        match known {
            Known::Success { payment_id } => {
                self.note(auth_id, |payment| {
                    payment.payment_id = payment.payment_id.take().or_else(|| payment_id.clone())
                })?;
                self.learn(auth_id, Trigger::PaySucceeded)
            }
            Known::Failure { code } => {
                self.note(auth_id, |payment| payment.fail_with(code))?;
                self.learn(auth_id, Trigger::PayFailed)
            }
            Known::Nothing | Known::NotThere => Ok(()),
        }
    }

    /// `pay` is given up.
    pub(super) fn expire(&self, auth_id: &SchemeId) -> Result<(), GatewayError> {
        self.note(auth_id, |payment| payment.fail_with(&ResultCode::OrderIsClosed))?;
        self.learn(auth_id, Trigger::PayExpired)
    }

    fn note(&self, auth_id: &SchemeId, change: impl FnOnce(&mut Payment)) -> Result<(), GatewayError> {
        let Some(mut payment) = self.work.payment(auth_id)? else { return Ok(()) };
        change(&mut payment);
        self.work.put_payment(&payment)
    }
}
