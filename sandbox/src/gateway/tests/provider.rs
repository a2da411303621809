//! A payment provider in few words, which shares no code with the gateway: accounts, ids that are used
//! once, a cancel window, and a network that loses things.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use alipayplus::payment::mpp::{
    AdjustRefundAnswer, AdjustRefundRequest, CancelPaymentAnswer, CancelPaymentRequest, InquiryPaymentAnswer,
    InquiryPaymentRequest, PayAnswer, PayRequest, RefundAnswer, RefundRequest,
};
use alipayplus::{Answer, ResultCode};
use async_trait::async_trait;
use nfcwallet_core::host::Clock;

use super::super::{CallOutcome, Mpp};

/// What the network, or the provider's machine, does to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Fate {
    /// Nothing.
    Fine,
    /// The request is lost.
    RequestLost,
    /// The answer is lost.
    AnswerLost,
    /// The provider's gate does not know the gateway's key for the moment.
    TurnedAway,
    /// The request arrives after the next one.
    Late,
    /// The provider is not done yet.
    InProcess,
    /// The gateway is killed before the request leaves.
    KilledBefore,
    /// The gateway is killed before the answer arrives.
    KilledAfter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum State {
    InProcess,
    Paid,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone)]
pub(in crate::gateway) struct Paid {
    request: Option<PayRequest>,
    pub(in crate::gateway) state: State,
    since_ms: i64,
    pub(in crate::gateway) refunded: u64,
    refunded_from: u64,
}

impl Paid {
    /// Takes the money, if that was still in process and there is enough.
    fn finish(&mut self, balances: &mut BTreeMap<String, i128>) {
        let (State::InProcess, Some(request)) = (self.state, &self.request) else { return };
        let balance = balances.get_mut(request.user().unwrap()).unwrap();
        let costs = i128::from(request.pay_to_amount.value);
        self.state = if *balance >= costs { State::Paid } else { State::Failed };
        if self.state == State::Paid {
            *balance -= costs;
        }
    }

    /// In the merchant's currency.
    pub(in crate::gateway) fn net(&self) -> i128 {
        match (&self.request, self.state) {
            (Some(request), State::Paid) => i128::from(request.payment_amount.value) - i128::from(self.refunded),
            _ => 0,
        }
    }
}

#[derive(Debug, Clone)]
enum Request {
    Pay(Box<PayRequest>),
    Inquiry(InquiryPaymentRequest),
    Cancel(CancelPaymentRequest),
    Refund(RefundRequest),
    Adjust(AdjustRefundRequest),
}

#[derive(Debug)]
enum Reply {
    Pay(PayAnswer),
    Inquiry(InquiryPaymentAnswer),
    Cancel(CancelPaymentAnswer),
    Refund(RefundAnswer),
    Adjust(AdjustRefundAnswer),
}

#[derive(Debug, Default)]
pub(in crate::gateway) struct Bank {
    pub(in crate::gateway) balances: BTreeMap<String, i128>,
    pub(in crate::gateway) payments: BTreeMap<String, Paid>,
    refunds: BTreeMap<String, RefundRequest>,
    adjusts: BTreeMap<String, AdjustRefundRequest>,
    /// What must never happen, and did.
    pub(in crate::gateway) faults: Vec<String>,
    pub(in crate::gateway) seen: Vec<&'static str>,
    fates: VecDeque<Fate>,
    late: Vec<Request>,
}

pub(in crate::gateway) struct Provider {
    pub(in crate::gateway) bank: Mutex<Bank>,
    clock: Arc<dyn Clock>,
}

impl Provider {
    pub(in crate::gateway) fn new(clock: Arc<dyn Clock>, users: &[(&str, i128)], fates: &[Fate]) -> Self {
        let balances = users.iter().map(|(user, balance)| ((*user).to_owned(), *balance)).collect();
        Self { bank: Mutex::new(Bank { balances, fates: fates.iter().copied().collect(), ..Bank::default() }), clock }
    }

    pub(in crate::gateway) fn set_fates(&self, fates: &[Fate]) {
        self.bank.lock().unwrap().fates = fates.iter().copied().collect();
    }

    /// In the merchant's currency: what users paid, less what they were given.
    pub(in crate::gateway) fn net(&self) -> i128 {
        let bank = self.bank.lock().unwrap();
        let adjusted: i128 = bank.adjusts.values().map(|adjust| i128::from(adjust.refund_amount.value)).sum();
        bank.payments.values().map(Paid::net).sum::<i128>() - adjusted
    }

    /// What was paid beyond authorisations.
    pub(in crate::gateway) fn beyond(&self) -> i128 {
        let bank = self.bank.lock().unwrap();
        bank.payments.iter().filter(|(id, _)| id.starts_with("pay-~over-")).map(|(_, paid)| paid.net()).sum()
    }

    pub(in crate::gateway) fn balance(&self, user: &str) -> i128 {
        self.bank.lock().unwrap().balances[user]
    }

    pub(in crate::gateway) fn seen(&self) -> Vec<&'static str> {
        self.bank.lock().unwrap().seen.clone()
    }

    async fn exchange(&self, request: Request) -> Option<Reply> {
        let (reply, killed) = self.bank.lock().unwrap().network(request, self.clock.wall_ms());
        if killed {
            std::future::pending::<()>().await;
        }
        reply
    }
}

impl Bank {
    fn network(&mut self, request: Request, now_ms: i64) -> (Option<Reply>, bool) {
        self.seen.push(request.name());
        let fate = self.fates.pop_front().unwrap_or(Fate::Fine);
        let late = std::mem::take(&mut self.late);
        let done = match fate {
            Fate::Fine => (Some(self.answer(&request, now_ms, false)), false),
            Fate::InProcess => (Some(self.answer(&request, now_ms, true)), false),
            Fate::TurnedAway => (Some(request.refused(&ResultCode::KeyNotFound)), false),
            Fate::RequestLost => (None, false),
            Fate::KilledBefore => (None, true),
            Fate::AnswerLost | Fate::KilledAfter => {
                self.answer(&request, now_ms, false);
                (None, fate == Fate::KilledAfter)
            }
            Fate::Late => {
                self.late.push(request);
                (None, false)
            }
        };
        for request in late {
            self.answer(&request, now_ms, false);
        }
        done
    }

    fn answer(&mut self, request: &Request, now_ms: i64, slow: bool) -> Reply {
        match request {
            Request::Pay(request) => Reply::Pay(self.pay(request, now_ms, slow)),
            Request::Inquiry(request) => Reply::Inquiry(self.inquiry(request, slow)),
            Request::Cancel(request) => Reply::Cancel(CancelPaymentAnswer::of(self.cancel(request, now_ms).into())),
            Request::Refund(_) if slow => Reply::Refund(RefundAnswer::of(ResultCode::UnknownException.into())),
            Request::Refund(request) => Reply::Refund(RefundAnswer::of(self.refund(request).into())),
            Request::Adjust(request) => Reply::Adjust(AdjustRefundAnswer::of(self.adjust(request).into())),
        }
    }

    fn pay(&mut self, request: &PayRequest, now_ms: i64, slow: bool) -> PayAnswer {
        let id = &request.payment_request_id;
        let new = Paid {
            request: Some(request.clone()),
            state: State::InProcess,
            since_ms: now_ms,
            refunded: 0,
            refunded_from: 0,
        };
        let known = self.payments.contains_key(id);
        let paid = self.payments.entry(id.clone()).or_insert(new);
        if paid.request.as_ref().is_some_and(|before| before != request) {
            self.faults.push(format!("{id} with two requests"));
        }
        if known || !slow {
            paid.finish(&mut self.balances);
        }
        let code = code(paid.state);
        let payment_id = (code == ResultCode::Success).then(|| format!("mpp-{id}"));
        PayAnswer { payment_id, ..PayAnswer::of(code.into()) }
    }

    fn inquiry(&mut self, request: &InquiryPaymentRequest, slow: bool) -> InquiryPaymentAnswer {
        let id = &request.payment_request_id;
        let Some(paid) = self.payments.get_mut(id).filter(|paid| paid.request.is_some()) else {
            return InquiryPaymentAnswer::of(ResultCode::OrderNotExist.into());
        };
        if !slow {
            paid.finish(&mut self.balances);
        }
        let code = code(paid.state);
        let payment_id = (code == ResultCode::Success).then(|| format!("mpp-{id}"));
        let success = InquiryPaymentAnswer::of(ResultCode::Success.into());
        InquiryPaymentAnswer { payment_result: Some(code.into()), payment_id, ..success }
    }

    fn cancel(&mut self, request: &CancelPaymentRequest, now_ms: i64) -> ResultCode {
        let unknown = Paid { request: None, state: State::Cancelled, since_ms: now_ms, refunded: 0, refunded_from: 0 };
        let id = &request.payment_request_id;
        let paid = self.payments.entry(id.clone()).or_insert(unknown);
        if paid.state == State::Cancelled {
            return ResultCode::Success;
        }
        if now_ms > window_end_ms(paid.since_ms) {
            return ResultCode::CancelWindowExceed;
        }
        if paid.refunded > 0 {
            self.faults.push(format!("{id} cancelled after a refund"));
        }
        if let (State::Paid, Some(request)) = (paid.state, &paid.request) {
            *self.balances.get_mut(request.user().unwrap()).unwrap() += i128::from(request.pay_to_amount.value);
        }
        paid.state = State::Cancelled;
        ResultCode::Success
    }

    fn refund(&mut self, request: &RefundRequest) -> ResultCode {
        if let Some(before) = self.refunds.get(&request.refund_request_id) {
            if before != request {
                self.faults.push(format!("{} with two requests", request.refund_request_id));
            }
            return ResultCode::Success;
        }
        let Some(paid) = self.payments.get_mut(&request.payment_request_id) else {
            self.faults.push("a refund of no payment".to_owned());
            return ResultCode::OrderNotExist;
        };
        let (Some(of), State::Paid) = (&paid.request, paid.state) else {
            self.faults.push(format!("{} refunds what is not paid", request.refund_request_id));
            return ResultCode::OrderIsClosed;
        };
        let from = request.refund_from_amount.unwrap();
        paid.refunded += request.refund_amount.value;
        paid.refunded_from += from.value;
        let whole = (paid.refunded == of.payment_amount.value) && (paid.refunded_from != of.pay_to_amount.value);
        let too_much = paid.refunded > of.payment_amount.value || paid.refunded_from > of.pay_to_amount.value;
        let wrong_quote = request.refund_quote != of.payment_quote || from.currency != of.pay_to_amount.currency;
        if whole || too_much || wrong_quote {
            self.faults.push(format!("{} is out of order: {paid:?}", request.refund_request_id));
        }
        *self.balances.get_mut(of.user().unwrap()).unwrap() += i128::from(from.value);
        self.refunds.insert(request.refund_request_id.clone(), request.clone());
        ResultCode::Success
    }

    fn adjust(&mut self, request: &AdjustRefundRequest) -> ResultCode {
        if let Some(before) = self.adjusts.get(&request.refund_request_id) {
            if before != request {
                self.faults.push(format!("{} with two requests", request.refund_request_id));
            }
            return ResultCode::Success;
        }
        let user = request.customer_id.as_deref().unwrap();
        *self.balances.get_mut(user).unwrap() += i128::from(request.refund_from_amount.unwrap().value);
        self.adjusts.insert(request.refund_request_id.clone(), request.clone());
        ResultCode::Success
    }
}

impl Request {
    fn refused(&self, code: &ResultCode) -> Reply {
        let result = code.clone().into();
        match self {
            Self::Pay(_) => Reply::Pay(PayAnswer::of(result)),
            Self::Inquiry(_) => Reply::Inquiry(InquiryPaymentAnswer::of(result)),
            Self::Cancel(_) => Reply::Cancel(CancelPaymentAnswer::of(result)),
            Self::Refund(_) => Reply::Refund(RefundAnswer::of(result)),
            Self::Adjust(_) => Reply::Adjust(AdjustRefundAnswer::of(result)),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Pay(_) => "pay",
            Self::Inquiry(_) => "inquiryPayment",
            Self::Cancel(_) => "cancelPayment",
            Self::Refund(_) => "refund",
            Self::Adjust(_) => "adjustRefund",
        }
    }
}

fn code(state: State) -> ResultCode {
    match state {
        State::InProcess => ResultCode::PaymentInProcess,
        State::Paid => ResultCode::Success,
        State::Failed => ResultCode::UserBalanceNotEnough,
        State::Cancelled => ResultCode::OrderIsClosed,
    }
}

/// 00:30 UTC+8 of the next day.
fn window_end_ms(since_ms: i64) -> i64 {
    let (day, offset) = (86_400_000, 8 * 3_600_000);
    ((since_ms + offset).div_euclid(day) + 1) * day - offset + 30 * 60_000
}

/// One method of the provider: the reply of its own kind, or none.
macro_rules! call {
    ($self:ident, $request:expr, $kind:ident) => {
        match $self.exchange(Request::$kind($request)).await {
            Some(Reply::$kind(answer)) => CallOutcome::Answered(answer),
            _ => CallOutcome::NoAnswer,
        }
    };
}

#[async_trait]
impl Mpp for Provider {
    async fn pay(&self, request: &PayRequest) -> CallOutcome<PayAnswer> {
        call!(self, Box::new(request.clone()), Pay)
    }

    async fn inquiry(&self, request: &InquiryPaymentRequest) -> CallOutcome<InquiryPaymentAnswer> {
        call!(self, request.clone(), Inquiry)
    }

    async fn cancel(&self, request: &CancelPaymentRequest) -> CallOutcome<CancelPaymentAnswer> {
        call!(self, request.clone(), Cancel)
    }

    async fn refund(&self, request: &RefundRequest) -> CallOutcome<RefundAnswer> {
        call!(self, request.clone(), Refund)
    }

    async fn adjust_refund(&self, request: &AdjustRefundRequest) -> CallOutcome<AdjustRefundAnswer> {
        call!(self, request.clone(), Adjust)
    }
}
