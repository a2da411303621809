//! A caller that pays, refunds and cancels, believes final answers only, and remembers each of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use alipayplus::client::{CallOptions, Client, Outcome};
use alipayplus::payment::mpp::{
    CancelPayment, InquiryPayment, InquiryPaymentRequest, Pay, PayAnswer, PayRequest, Refund, RefundAnswer,
    RefundRequest,
};
use alipayplus::{Api, ResultCode};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::processes;

/// Who pays; the last one has too little for all that it is asked.
pub(crate) const USERS: [(&str, u64); 4] =
    [("ann", 10_000_000), ("bob", 10_000_000), ("cy", 10_000_000), ("poor", 6_000)];
/// Most that one payment takes, in cents.
const MOST: u64 = 500;
/// A request without a final answer for so long is a fault of the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before an unanswered request is sent again.
const PAUSE: Duration = Duration::from_millis(15);

/// The servers as callers see them: one client each, replaced when its server is started again.
#[derive(Default)]
pub(crate) struct Line {
    servers: RwLock<Vec<Client>>,
    /// The word to end.
    pub(crate) stop: AtomicBool,
    /// Requests that may have arrived and whose answer a kill took.
    pub(crate) cut_off: AtomicU64,
    /// Requests that were answered for good.
    pub(crate) final_answers: AtomicU64,
}

impl Line {
    /// The client of server number `slot`.
    pub(crate) fn connect(&self, slot: usize, client: Client) {
        let mut servers = self.servers.write().unwrap();
        if slot < servers.len() {
            servers[slot] = client;
        } else {
            servers.push(client);
        }
    }

    fn any(&self, rng: &mut ChaCha20Rng) -> Client {
        let servers = self.servers.read().unwrap();
        servers[below(rng, servers.len() as u64) as usize].clone()
    }
}

/// A payment, and all that was ever answered about it.
pub(crate) struct Known {
    pub(crate) request: PayRequest,
    pub(crate) answer: PayAnswer,
    pub(crate) refunds: Vec<(RefundRequest, RefundAnswer)>,
    pub(crate) is_cancelled: bool,
}

impl Known {
    pub(crate) fn is_paid(&self) -> bool {
        self.answer.result.is_success()
    }

    /// What the refunds that were granted gave back, in cents.
    pub(crate) fn refunded(&self) -> u64 {
        let granted = self.refunds.iter().filter(|(_, answer)| answer.result.is_success());
        granted.map(|(request, _)| request.refund_amount.value).sum()
    }

    /// What its user has paid in the end, in cents.
    pub(crate) fn kept(&self) -> u64 {
        let is_kept = self.is_paid() && !self.is_cancelled;
        if is_kept { self.request.payment_amount.value - self.refunded() } else { 0 }
    }

    /// The word in the database's column `status`.
    pub(crate) fn status(&self) -> &'static str {
        let amount = self.request.payment_amount.value;
        match (&self.answer.result.result_code, self.is_cancelled, self.refunded()) {
            (ResultCode::UserBalanceNotEnough, ..) => "FAILED",
            (_, true, _) => "CLOSED",
            (_, _, 0) => "SUCCESS",
            (_, _, refunded) if refunded == amount => "REFUNDED",
            _ => "PARTIALLY_REFUNDED",
        }
    }

    fn payment_request_id(&self) -> &str {
        &self.request.payment_request_id
    }
}

/// One caller, with payments of its own.
pub(crate) struct Worker {
    line: Arc<Line>,
    rng: ChaCha20Rng,
    name: String,
    made: u64,
    pub(crate) payments: Vec<Known>,
}

impl Worker {
    pub(crate) fn new(line: Arc<Line>, seed: u64, number: u64) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed.wrapping_add(number));
        Self { line, rng, name: format!("{seed:x}-{number}"), made: 0, payments: Vec::new() }
    }

    /// Until the word to end; what was begun is finished.
    pub(crate) async fn work(mut self) -> Self {
        while !self.line.stop.load(Ordering::SeqCst) {
            match below(&mut self.rng, 10) {
                0..=5 => self.pay().await,
                6 | 7 => self.refund().await,
                8 => self.cancel().await,
                _ => self.abandon().await,
            }
        }
        self
    }

    async fn pay(&mut self) {
        let request = self.new_payment();
        let answer = self.ask::<Pay>(&request).await;
        let is_known = answer.result.is_success() || answer.result.result_code == ResultCode::UserBalanceNotEnough;
        assert!(is_known, "{}: {:?}", request.payment_request_id, answer.result);
        assert_eq!(self.ask::<Pay>(&request).await, answer, "{} heard two answers", request.payment_request_id);
        self.payments.push(Known { request, answer, refunds: Vec::new(), is_cancelled: false });
    }

    async fn refund(&mut self) {
        let (made, Some(mut known)) = (self.next(), self.take_one()) else { return };
        let amount = known.request.payment_amount.value;
        let part = 1 + below(&mut self.rng, amount);
        let payment_id = known.answer.payment_id.clone().unwrap();
        let id = known.payment_request_id().to_owned();
        let request = processes::refund(&id, &payment_id, &format!("refund-{}-{made}", self.name), part);
        let answer = self.ask::<Refund>(&request).await;
        let wanted = match () {
            () if known.is_cancelled || !known.is_paid() => ResultCode::OrderIsClosed,
            () if known.refunded() + part > amount => ResultCode::RefundAmountExceed,
            () => ResultCode::Success,
        };
        assert_eq!(answer.result.result_code, wanted, "refund of {part} of {id}");
        known.refunds.push((request, answer));
        self.payments.push(known);
    }

    async fn cancel(&mut self) {
        let Some(mut known) = self.take_one() else { return };
        self.cancel_for_sure(known.payment_request_id()).await;
        known.is_cancelled = true;
        self.payments.push(known);
    }

    /// Sends a payment, loses patience, and cancels it: whichever the server saw first, the cancellation wins.
    async fn abandon(&mut self) {
        let request = self.new_payment();
        let client = self.line.any(&mut self.rng);
        let patience = Duration::from_millis(1 + below(&mut self.rng, 15));
        // Not waited for: a caller that has gone knows nothing.
        let _ = tokio::time::timeout(patience, client.call::<Pay>(&request, CallOptions::default())).await;
        self.cancel_for_sure(&request.payment_request_id).await;
        let answer = self.ask::<Pay>(&request).await;
        let codes = [ResultCode::OrderIsClosed, ResultCode::UserBalanceNotEnough];
        assert!(codes.contains(&answer.result.result_code), "{}: {answer:?}", request.payment_request_id);
        self.payments.push(Known { request, answer, refunds: Vec::new(), is_cancelled: true });
    }

    async fn cancel_for_sure(&mut self, id: &str) {
        let answer = self.ask::<CancelPayment>(&processes::cancel(id)).await;
        assert_eq!(answer.result.result_code, ResultCode::Success, "cancel of {id}");
    }

    /// Every request of this worker once more: each hears what it heard, or what has become of it since.
    pub(crate) async fn repeat_all(&mut self) {
        for known in std::mem::take(&mut self.payments) {
            let id = known.payment_request_id();
            let again = self.ask::<Pay>(&known.request).await;
            match known.is_cancelled && known.is_paid() {
                true => assert_eq!(again.result.result_code, ResultCode::OrderIsClosed, "{id}"),
                false => assert_eq!(again, known.answer, "{id} was answered otherwise before"),
            }
            for (request, answer) in &known.refunds {
                assert_eq!(self.ask::<Refund>(request).await, *answer, "{}", request.refund_request_id);
            }
            if known.is_cancelled {
                self.cancel_for_sure(id).await;
            }
            let asked = InquiryPaymentRequest {
                acquirer_id: known.request.acquirer_id.clone(),
                psp_id: known.request.psp_id.clone(),
                payment_request_id: id.to_owned(),
            };
            let inquired = self.ask::<InquiryPayment>(&asked).await;
            assert_eq!(
                inquired.payment_result.map(|result| result.result_code),
                Some(again.result.result_code),
                "{id}"
            );
            self.payments.push(known);
        }
    }

    /// Sends the request, to any of the servers, until one of them knows.
    async fn ask<A: Api>(&mut self, request: &A::Request) -> A::Answer {
        let began = Instant::now();
        loop {
            let client = self.line.any(&mut self.rng);
            match client.call::<A>(request, CallOptions::default()).await.unwrap() {
                Outcome::Final(answer) => {
                    self.line.final_answers.fetch_add(1, Ordering::Relaxed);
                    return answer;
                }
                Outcome::Unknown(unknown) => {
                    if unknown.may_have_arrived {
                        self.line.cut_off.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(began.elapsed() < PATIENCE, "no final answer to {request:?}: {unknown:?}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn new_payment(&mut self) -> PayRequest {
        let (user, _) = USERS[below(&mut self.rng, USERS.len() as u64) as usize];
        let made = self.next();
        let id = format!("pay-{}-{made}", self.name);
        processes::pay(&id, user, 1 + below(&mut self.rng, MOST))
    }

    /// One of the payments that the server has a name for.
    fn take_one(&mut self) -> Option<Known> {
        let named: Vec<_> =
            (0..self.payments.len()).filter(|place| self.payments[*place].answer.payment_id.is_some()).collect();
        let place = below(&mut self.rng, named.len() as u64) as usize;
        named.get(place).map(|place| self.payments.swap_remove(*place))
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

/// What each user must have, in cents.
pub(crate) fn balances(workers: &[Worker]) -> BTreeMap<String, u64> {
    let mut balances: BTreeMap<_, _> = USERS.into_iter().map(|(user, minor)| (user.to_owned(), minor)).collect();
    for known in workers.iter().flat_map(|worker| &worker.payments) {
        let user = known.request.payment_method.customer_id.clone().unwrap();
        *balances.get_mut(&user).unwrap() -= known.kept();
    }
    balances
}

/// From 0 to below `limit`.
pub(crate) fn below(rng: &mut ChaCha20Rng, limit: u64) -> u64 {
    rng.next_u64() % limit.max(1)
}
