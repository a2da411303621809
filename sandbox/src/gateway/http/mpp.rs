//! The road to the payment provider: the gateway's calls, signed.

use std::sync::Arc;
use std::time::Duration;

use alipayplus::client::{BuildError, CallError, CallOptions, Cause, Client, Outcome};
use alipayplus::payment::mpp as messages;
use alipayplus::signature::{ClientId, KeyRing, Validity};
use alipayplus::{Answer, Api, Clock, ResultCode, ResultInfo};
use async_trait::async_trait;

use super::journal::{Journal, SignedCall};
use super::keys::{KEY_VERSION, KeysError, MPP_CLIENT_ID, Party};
use super::strikes::{Strike, Strikes};
use crate::gateway::{CallOutcome, Mpp};

/// What the gateway calls at the provider.
pub(super) const APIS: [&str; 5] = [
    messages::Pay::NAME,
    messages::InquiryPayment::NAME,
    messages::CancelPayment::NAME,
    messages::Refund::NAME,
    messages::AdjustRefund::NAME,
];

/// Why there is no road.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The client.
    #[error(transparent)]
    Client(#[from] BuildError),
}

/// The payment provider behind its partner address.
#[derive(Debug, Clone)]
pub struct MppLine {
    client: Client,
    journal: Arc<Journal>,
    strikes: Arc<Strikes>,
}

impl MppLine {
    /// A road to `base_url`, for example `http://127.0.0.1:8081`, whose calls take `timeout` at most.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn new(
        base_url: &str,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        journal: Arc<Journal>,
        strikes: Arc<Strikes>,
    ) -> Result<Self, LineError> {
        let name = ClientId::parse(MPP_CLIENT_ID).map_err(KeysError::from)?;
        let theirs = Party::Mpp.key().map_err(KeysError::from)?.verifying_key().clone();
        let client = Client::builder(base_url, name.clone())
            .signing_key(KEY_VERSION, Party::Gateway.key().map_err(KeysError::from)?)
            .peer_keys(KeyRing::new().with(name, KEY_VERSION, Validity::ALWAYS, theirs))
            .clock(clock)
            .attempt_timeout(timeout)
            .build()?;
        Ok(Self { client, journal, strikes })
    }

    async fn ask<A: Api>(&self, request: &A::Request) -> CallOutcome<A::Answer> {
        let strike = self.strikes.strike(A::NAME);
        if strike == Some(Strike::LoseRequest) {
            self.note::<A>("lost on the way".to_owned(), false);
            return CallOutcome::NoAnswer;
        }
        let outcome = self.client.call::<A>(request, CallOptions::default()).await;
        let (told, verified) = told(&outcome);
        self.note::<A>(told, verified);
        match (outcome, strike) {
            (_, Some(Strike::LoseAnswer)) => CallOutcome::NoAnswer,
            (Ok(Outcome::Final(_)), Some(Strike::AnswerUnknown)) => {
                CallOutcome::Answered(A::Answer::of(ResultCode::UnknownException.into()))
            }
            (Ok(Outcome::Final(answer)), _) => CallOutcome::Answered(answer),
            (Ok(Outcome::Unknown(unknown)), _) => match unknown.last {
                Cause::InProcess(answer) => CallOutcome::Answered(answer),
                _ => CallOutcome::NoAnswer,
            },
            // It breaks a rule of its page, and would break it again.
            (Err(CallError::Request(error)), _) => {
                CallOutcome::Answered(A::Answer::of(ResultInfo::new(ResultCode::ParamIllegal, error.to_string())))
            }
            (Err(_), _) => CallOutcome::NoAnswer,
        }
    }

    fn note<A: Api>(&self, result: String, verified: bool) {
        self.journal.note(SignedCall {
            from: Party::Gateway.name(),
            to: Party::Mpp.name(),
            method: "POST",
            path: A::PATH.to_owned(),
            client_id: MPP_CLIENT_ID.to_owned(),
            result,
            verified,
        });
    }
}

/// The result in words, and whether both messages were verified.
fn told<A: Answer>(outcome: &Result<Outcome<A>, CallError>) -> (String, bool) {
    match outcome {
        Ok(Outcome::Final(answer)) => (answer.result().to_string(), true),
        Ok(Outcome::Unknown(unknown)) => match &unknown.last {
            Cause::InProcess(answer) => (answer.result().to_string(), true),
            cause => (cause.name().to_owned(), false),
        },
        Err(_) => ("not sent".to_owned(), false),
    }
}

#[async_trait]
impl Mpp for MppLine {
    async fn pay(&self, request: &messages::PayRequest) -> CallOutcome<messages::PayAnswer> {
        self.ask::<messages::Pay>(request).await
    }

    async fn inquiry(&self, request: &messages::InquiryPaymentRequest) -> CallOutcome<messages::InquiryPaymentAnswer> {
        self.ask::<messages::InquiryPayment>(request).await
    }

    async fn cancel(&self, request: &messages::CancelPaymentRequest) -> CallOutcome<messages::CancelPaymentAnswer> {
        self.ask::<messages::CancelPayment>(request).await
    }

    async fn refund(&self, request: &messages::RefundRequest) -> CallOutcome<messages::RefundAnswer> {
        self.ask::<messages::Refund>(request).await
    }

    async fn adjust_refund(
        &self,
        request: &messages::AdjustRefundRequest,
    ) -> CallOutcome<messages::AdjustRefundAnswer> {
        self.ask::<messages::AdjustRefund>(request).await
    }
}
