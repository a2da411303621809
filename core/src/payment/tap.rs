//! One tap: what the card application asks of it, and how it ends exactly once.

use std::sync::Arc;
use std::time::Duration;

use super::decision::Rules;
use super::history::{TransactionOutcome, TransactionRecord};
use super::taps::{Payable, SILENCE, Taps};
use super::{TapFailure, TapId, TransactionInformation};
use crate::card::Card;
use crate::card::hooks::{BurntCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use crate::context::Context;
use crate::error::WalletError;
use crate::host::{DeviceState, HostError, Pending};
use crate::storage::{ArmTicket, UserKey};

/// A tap that has passed the pre-check and not yet ended.
pub(crate) struct Tap {
    pub(crate) id: TapId,
    user: UserKey,
    card: Arc<Card>,
    /// The rollback anchor and the device's state are asked for while the radio exchanges records.
    ticket: Option<ArmTicket>,
    device: Option<Pending<Result<DeviceState, HostError>>>,
    /// On the monotonic clock.
    pub(crate) last_apdu: Duration,
}

/// What happened in one APDU and is told after its answer was handed out.
#[derive(Debug)]
pub(crate) enum Happened {
    Started(TapId),
    Completed(TapId, UserKey, Box<TransactionRecord>),
    Failed(TapId, Option<(UserKey, Box<TransactionRecord>)>, TapFailure),
}

/// The hooks of one APDU.
pub(crate) struct Hooks<'a> {
    pub(crate) context: &'a Context,
    pub(crate) taps: &'a Taps,
    pub(crate) tap: &'a mut Option<Tap>,
    /// When the pre-check last refused a reader that is still there; on the monotonic clock.
    pub(crate) refused_at: &'a mut Option<Duration>,
    pub(crate) happened: Vec<Happened>,
}

impl TapHooks for Hooks<'_> {
    fn begin(&mut self) -> Option<Arc<Card>> {
        // A reader that starts again ends the old tap first.
        self.lose_link();
        let id = self.taps.next_id();
        match self.taps.pre_check(self.context) {
            Ok(Payable { user, card }) => {
                *self.tap = Some(Tap {
                    id,
                    user,
                    card: Arc::clone(&card),
                    ticket: Some(self.context.store.start_arming(user)),
                    device: Some(self.context.calls.start_device_state()),
                    last_apdu: self.context.calls.clock().monotonic(),
                });
                *self.refused_at = None;
                self.happened.push(Happened::Started(id));
                Some(card)
            }
            Err(failure) => {
                self.refuse(id, failure);
                None
            }
        }
    }

    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
        let Some(mut tap) = self.tap.take() else { return decline(false) };
        let outcome = self.approve(&mut tap, request);
        let (decision, happened) = match outcome {
            Ok((credential, cdcvm_done, reference)) => {
                self.taps.window().close();
                let outcome = TransactionOutcome::Complete { atc: credential.atc, reference, cdcvm: cdcvm_done };
                let record = self.record(&request.transaction, outcome);
                let decision = CryptogramDecision::Approve { credential, cdcvm_done, reference };
                (decision, Happened::Completed(tap.id, tap.user, record))
            }
            Err(failure) => {
                let see_phone = failure == TapFailure::CdcvmRequired;
                if see_phone {
                    let now = self.context.calls.clock().monotonic();
                    self.taps.window().ask_for(&request.transaction, now);
                }
                let record = self.record(&request.transaction, TransactionOutcome::Failed { code: failure.code() });
                (decline(see_phone), Happened::Failed(tap.id, Some((tap.user, record)), failure))
            }
        };
        self.happened.push(happened);
        decision
    }

    fn protocol_error(&mut self, status_word: u16) {
        if let Some(tap) = self.tap.take() {
            tracing::info!(tap = tap.id.0, status_word, "the terminal broke the protocol");
            self.happened.push(Happened::Failed(tap.id, None, TapFailure::TerminalProtocol));
            return;
        }
        // The signature over an approval failed its own check: the credential is spent, and the
        // terminal got nothing.
        if let Some(Happened::Completed(id, user, mut record)) = self.happened.pop_if(is_completed) {
            record.outcome = TransactionOutcome::Failed { code: TapFailure::Internal.code() };
            self.happened.push(Happened::Failed(id, Some((user, record)), TapFailure::Internal));
        }
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.context.calls.entropy().fill(bytes);
    }
}

impl Hooks<'_> {
    /// Ends a tap that did not reach its cryptogram.
    pub(crate) fn lose_link(&mut self) {
        if let Some(tap) = self.tap.take() {
            self.happened.push(Happened::Failed(tap.id, None, TapFailure::LinkLost));
        }
    }

    /// A reader whose PPSE was refused tries AIDs next; the app hears of one failure.
    fn refuse(&mut self, id: TapId, failure: TapFailure) {
        let now = self.context.calls.clock().monotonic();
        if self.refused_at.is_none_or(|refused| now.saturating_sub(refused) > SILENCE) {
            self.happened.push(Happened::Failed(id, None, failure));
        }
        *self.refused_at = Some(now);
    }

    /// Runs the rules, then burns: the credential exists only once its burn is durable.
    fn approve(
        &self,
        tap: &mut Tap,
        request: &CryptogramRequest,
    ) -> Result<(BurntCredential, bool, [u8; 8]), TapFailure> {
        let device = match tap.device.take() {
            Some(pending) => pending.wait().map_err(HostError::from).and_then(|answer| answer),
            None => Err(HostError::Failed { reason: "asked twice".to_owned() }),
        };
        let rules = Rules {
            calls: &self.context.calls,
            configuration: &self.context.configuration,
            window: self.taps.window(),
            card: &tap.card,
        };
        let cdcvm_done = rules.decide(request, device)?;
        let ticket = tap.ticket.take().ok_or(TapFailure::TokenUnavailable)?;
        match self.context.store.burn_next(tap.user, self.context.service.service_time(), ticket) {
            Ok(Some(credential)) => {
                let reference = self.taps.take_reference().unwrap_or_else(|| self.context.random());
                Ok((credential, cdcvm_done, reference))
            }
            Ok(None) => Err(TapFailure::InsufficientCredentials),
            // A lock or a logout came between the permit and the burn.
            Err(WalletError::TokenUnavailable { .. }) => Err(TapFailure::TokenUnavailable),
            Err(error) => {
                tracing::warn!(code = error.code(), "burn refused");
                Err(TapFailure::StorageUnusable)
            }
        }
    }

    fn record(&self, transaction: &TransactionInformation, outcome: TransactionOutcome) -> Box<TransactionRecord> {
        let time_ms = self.context.service.service_now_ms();
        Box::new(TransactionRecord { time_ms, transaction: transaction.clone(), outcome })
    }
}

fn is_completed(happened: &mut Happened) -> bool {
    matches!(happened, Happened::Completed(..))
}

/// An AAC shows no counter of a credential: nothing was spent.
fn decline(see_phone: bool) -> CryptogramDecision {
    CryptogramDecision::Decline { atc: 0, see_phone }
}
