//! One tap: what the card application asks of it, and how it ends exactly once.

use std::sync::Arc;
use std::time::Duration;

use super::decision::Rules;
use super::history::{TransactionOutcome, TransactionRecord};
use super::reference::Payment;
use super::taps::{Payable, SILENCE, Taps};
use super::{CdcvmMethod, TapFailure, TapId, TransactionInformation};
use crate::card::Card;
use crate::card::hooks::{CryptogramDecision, CryptogramRequest, CryptogramRequested, TapHooks};
use crate::context::Context;
use crate::error::WalletError;
use crate::host::{DeviceState, HostError, Pending, RiskControl};
use crate::storage::{ArmTicket, Burn, Purpose, UserKey};

/// A tap that has passed the pre-check and not yet ended.
pub(crate) struct Tap {
    pub(crate) id: TapId,
    user: UserKey,
    card: Arc<Card>,
    /// The rollback anchor and the device's state are asked for while the radio exchanges records.
    ticket: Option<ArmTicket>,
    device: Option<DeviceQuestion>,
    risk: RiskControl,
    /// On the monotonic clock.
    pub(crate) last_apdu: Duration,
}

struct DeviceQuestion {
    pending: Pending<Result<DeviceState, HostError>>,
    /// On the monotonic clock.
    asked_at: Duration,
}

/// A terminal that dawdles for longer gets the device's state asked for anew: the user may have locked
/// it meanwhile.
const DEVICE_STATE_AGE: Duration = Duration::from_secs(1);

/// What happened in one APDU and is queued for the listeners once its answer is made.
#[derive(Debug)]
pub(crate) enum Happened {
    Started(TapId),
    Completed(TapId, UserKey, Box<TransactionRecord>, Option<CdcvmMethod>),
    Failed(TapId, Option<(UserKey, Box<TransactionRecord>)>, TapFailure),
}

/// A refusal that was told to the app.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    failure: TapFailure,
    /// On the monotonic clock.
    at: Duration,
}

/// The hooks of one APDU.
pub(crate) struct Hooks<'a> {
    pub(crate) context: &'a Context,
    pub(crate) taps: &'a Taps,
    pub(crate) tap: &'a mut Option<Tap>,
    /// What a reader that is still there was told last.
    pub(crate) refused: &'a mut Option<Refused>,
    /// The tap that is being begun or decided: not in `tap`, and its end not in `happened`.
    pub(crate) between: Option<TapId>,
    /// The approval whose answer is being made.
    pub(crate) burning: Option<Burning>,
    pub(crate) happened: Vec<Happened>,
}

impl TapHooks for Hooks<'_> {
    fn begin(&mut self) -> Option<Arc<Card>> {
        let running = self.tap.as_ref().map(|tap| tap.id);
        let id = running.unwrap_or_else(|| self.taps.next_id());
        self.between = Some(id);
        let card = match self.taps.pre_check(self.context) {
            Ok(payable) => Some(self.enter(id, payable)),
            Err(failure) => {
                match self.tap.take() {
                    Some(tap) => {
                        *self.refused = Some(Refused { failure, at: self.context.calls.clock().monotonic() });
                        self.ended(Happened::Failed(tap.id, None, failure));
                    }
                    None => self.refuse(id, failure),
                }
                None
            }
        };
        self.between = None;
        card
    }

    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
        let Some(mut tap) = self.tap.take() else { return decline(false) };
        self.between = Some(tap.id);
        let decision = match self.approve(&mut tap, request) {
            Ok(decision) => decision,
            Err(failure) => self.fail(&tap, request, failure),
        };
        self.between = None;
        decision
    }

    fn is_burnt(&mut self) -> bool {
        let Some(mut burning) = self.burning.take() else { return false };
        match burning.wait() {
            Ok(()) => {
                // A payment without the proof leaves the question of an earlier tap: the answer to it must
                // not serve another amount.
                if burning.proof.is_some() {
                    self.taps.window().close();
                }
                self.ended(Happened::Completed(burning.id, burning.user, burning.record, burning.proof));
                true
            }
            Err(error) => {
                tracing::warn!(code = error.code(), "burn failed");
                self.ended(burning.failed(TapFailure::StorageUnusable));
                false
            }
        }
    }

    fn protocol_error(&mut self, status_word: u16) {
        if let Some(tap) = self.tap.take() {
            tracing::info!(tap = tap.id.0, status_word, "the terminal broke the protocol");
            self.ended(Happened::Failed(tap.id, None, TapFailure::TerminalProtocol));
            return;
        }
        // The signature over an approval failed its own check: the credential is spent, and the
        // terminal got nothing.
        self.take_approval_back();
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.context.calls.entropy().fill(bytes);
    }
}

/// An approved tap whose burn is not known to be durable.
pub(crate) struct Burning {
    burn: Option<Burn>,
    id: TapId,
    user: UserKey,
    /// What the history will say if all goes well.
    record: Box<TransactionRecord>,
    proof: Option<CdcvmMethod>,
}

impl Burning {
    fn wait(&mut self) -> Result<(), WalletError> {
        self.burn.take().map_or(Err(WalletError::Bug { code: "burn_awaited_twice" }), Burn::wait)
    }

    fn failed(mut self, failure: TapFailure) -> Happened {
        self.record.outcome = TransactionOutcome::Failed { code: failure.code() };
        Happened::Failed(self.id, Some((self.user, self.record)), failure)
    }
}

impl Hooks<'_> {
    /// A reader that starts again before it has asked for a cryptogram is in the same tap: the app
    /// hears of one start and one end, and neither host nor store is asked twice, however often a
    /// reader selects.
    fn enter(&mut self, id: TapId, payable: Payable) -> Arc<Card> {
        let Payable { user, card } = payable;
        if let Some(tap) = self.tap.as_mut().filter(|tap| tap.user == user) {
            tap.card = Arc::clone(&card);
            return card;
        }
        let other_user = self.tap.is_some();
        self.lose_link();
        let id = if other_user { self.taps.next_id() } else { id };
        self.between = Some(id);
        *self.tap = Some(Tap {
            id,
            user,
            card: Arc::clone(&card),
            ticket: Some(self.context.store.start_arming(user)),
            device: Some(self.ask_device()),
            risk: RiskControl { proceed: !self.context.is_service_silent(user) },
            last_apdu: self.context.calls.clock().monotonic(),
        });
        *self.refused = None;
        self.happened.push(Happened::Started(id));
        card
    }

    fn ask_device(&self) -> DeviceQuestion {
        let asked_at = self.context.calls.clock().monotonic();
        DeviceQuestion { pending: self.context.calls.start_device_state(), asked_at }
    }

    /// Ends a tap that did not reach its cryptogram.
    pub(crate) fn lose_link(&mut self) {
        if let Some(tap) = self.tap.take() {
            self.ended(Happened::Failed(tap.id, None, TapFailure::LinkLost));
        }
    }

    /// A call of the host on this thread panicked: the terminal gets 6F00, and what was burnt is gone.
    pub(crate) fn panicked(&mut self) {
        if let Some(burning) = self.burning.take() {
            // Its burn goes on beside this thread; the app hears of it as of any that failed.
            self.ended(burning.failed(TapFailure::Internal));
            return;
        }
        let unfinished = self.tap.take().map(|tap| tap.id).or(self.between.take());
        if let Some(id) = unfinished {
            self.ended(Happened::Failed(id, None, TapFailure::Internal));
        } else {
            self.take_approval_back();
        }
    }

    /// An approval that never became an answer is a failure.
    fn take_approval_back(&mut self) {
        if let Some(Happened::Completed(id, user, mut record, _)) = self.happened.pop_if(is_completed) {
            record.outcome = TransactionOutcome::Failed { code: TapFailure::Internal.code() };
            self.happened.push(Happened::Failed(id, Some((user, record)), TapFailure::Internal));
        }
    }

    /// A reader whose PPSE was refused tries AIDs next; the app hears of one failure.
    fn refuse(&mut self, id: TapId, failure: TapFailure) {
        let now = self.context.calls.clock().monotonic();
        let told = self.refused.is_some_and(|told| told.failure == failure && now.saturating_sub(told.at) <= SILENCE);
        if !told {
            *self.refused = Some(Refused { failure, at: now });
            self.ended(Happened::Failed(id, None, failure));
        }
    }

    /// Runs the rules, then begins to burn. Between the burn and the answer nothing of the host is
    /// called.
    fn approve(&mut self, tap: &mut Tap, request: &CryptogramRequest) -> Result<CryptogramDecision, TapFailure> {
        let now = self.context.calls.clock().monotonic();
        let is_fresh = |question: &DeviceQuestion| now.saturating_sub(question.asked_at) <= DEVICE_STATE_AGE;
        let question = tap.device.take().filter(is_fresh);
        let pending = question.unwrap_or_else(|| self.ask_device()).pending;
        let device = pending.wait().map_err(HostError::from).and_then(|answer| answer);
        let rules = Rules {
            calls: &self.context.calls,
            configuration: &self.context.configuration,
            window: self.taps.window(),
            card: &tap.card,
            risk: tap.risk,
        };
        let proof = rules.decide(request, device)?;
        let ticket = tap.ticket.take().ok_or(TapFailure::TokenUnavailable)?;
        let time = self.context.service.service_time();
        let now = self.context.calls.clock().monotonic();
        let payment = Payment::new(tap.user, &request.transaction);
        let reference = self.taps.reference().of(payment, now).unwrap_or_else(|| self.context.random());
        // The field, the user or the wallet went away while the app decided.
        if self.taps.is_end_requested() {
            return Err(TapFailure::LinkLost);
        }
        if self.taps.is_reentered() {
            return Err(TapFailure::DeclinedByApp);
        }
        let purpose = match request.requested {
            CryptogramRequested::Checksum => Purpose::Checksum,
            _ => Purpose::Cryptogram,
        };
        let is_wanted = || !self.taps.is_end_requested();
        match self.context.store.start_burn(tap.user, time, ticket, purpose, is_wanted) {
            Ok(Some((credential, burn))) => {
                let cdcvm_done = proof.is_some();
                let outcome = TransactionOutcome::Complete { atc: credential.atc, reference, cdcvm: cdcvm_done };
                let record = record(time.now_ms, &request.transaction, outcome);
                self.burning = Some(Burning { burn: Some(burn), id: tap.id, user: tap.user, record, proof });
                Ok(CryptogramDecision::Approve { credential, cdcvm_done, reference })
            }
            Ok(None) if self.taps.is_end_requested() => Err(TapFailure::LinkLost),
            Ok(None) => Err(TapFailure::InsufficientCredentials),
            // A lock or a logout came between the permit and the burn.
            Err(WalletError::TokenUnavailable { .. }) => Err(TapFailure::TokenUnavailable),
            Err(error) => {
                tracing::warn!(code = error.code(), "burn refused");
                Err(TapFailure::StorageUnusable)
            }
        }
    }

    fn fail(&mut self, tap: &Tap, request: &CryptogramRequest, failure: TapFailure) -> CryptogramDecision {
        let see_phone = failure == TapFailure::CdcvmRequired;
        let outcome = TransactionOutcome::Failed { code: failure.code() };
        let record = record(self.context.service.service_now_ms(), &request.transaction, outcome);
        let failed = Happened::Failed(tap.id, Some((tap.user, record)), failure);
        if see_phone {
            let now = self.context.calls.clock().monotonic();
            self.taps.window().ask_for(&request.transaction, now);
            self.taps.reference().keep_for_second_tap(Payment::new(tap.user, &request.transaction), now);
            self.happened.push(failed);
        } else {
            self.ended(failed);
        }
        decline(see_phone)
    }

    /// The app's reference was for this tap, however it ended.
    fn ended(&mut self, happened: Happened) {
        self.taps.reference().forget();
        self.happened.push(happened);
    }
}

fn record(time_ms: i64, transaction: &TransactionInformation, outcome: TransactionOutcome) -> Box<TransactionRecord> {
    Box::new(TransactionRecord { time_ms, transaction: transaction.clone(), outcome })
}

fn is_completed(happened: &mut Happened) -> bool {
    matches!(happened, Happened::Completed(..))
}

/// An AAC shows no counter of a credential: nothing was spent.
fn decline(see_phone: bool) -> CryptogramDecision {
    CryptogramDecision::Decline { atc: 0, see_phone }
}
