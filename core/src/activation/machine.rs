//! The machine: one step after the other, each journalled before its request leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::journal::{Journal, Step};
use super::progress::ProgressMeter;
use super::{ActivationMode, ActivationPhase};
use crate::Result;
use crate::card::Card;
use crate::config::{PollBudget, RemoteConfig};
use crate::context::{Context, User, unexpected_answer};
use crate::error::{ActivationFailure, ServiceProblem, WalletError};
use crate::host::{ActivationListener, IntegrityVerdict, MonitorEvent};
use crate::storage::{TokenPhase, TokenRecord, Tx};
use crate::token_service::operations::{Answer, Decision, Operation};

/// One run of the machine, for one user.
pub(crate) struct Run<'a> {
    context: &'a Context,
    user: &'a User,
    journal: Journal,
    meter: ProgressMeter,
    listener: Arc<dyn ActivationListener>,
    /// The journal is in the store: the service may know of the run.
    journalled: bool,
    /// The budgets that the run started with; a change never affects a running activation.
    budgets: RemoteConfig,
    times: BTreeMap<&'static str, Duration>,
    /// The service refused the session once; a second time is its fault.
    session_renewed: bool,
    /// From the host, for the monitor.
    fingerprint: Option<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        context: &'a Context,
        user: &'a User,
        journal: Journal,
        listener: Arc<dyn ActivationListener>,
    ) -> Self {
        let now = context.calls.clock().monotonic();
        let earlier = Duration::from_millis(journal.elapsed_ms);
        let meter = ProgressMeter::new(journal.mode, journal.percent, earlier, now);
        // A run that has not applied yet may be unknown to the store.
        let journalled = journal.step != Step::Apply;
        Self {
            context,
            user,
            journal,
            meter,
            listener,
            journalled,
            budgets: context.configuration.remote(),
            times: BTreeMap::new(),
            session_renewed: false,
            fingerprint: None,
        }
    }

    /// Runs from the journal's step to the end: an active token, or a prepared one if silent.
    pub(crate) async fn finish(mut self) -> Result<()> {
        // What fails after a logout fails because of it: the relay speaks for another user then.
        let outcome = match self.steps().await {
            Err(error) => Err(self.check_user().err().unwrap_or(error)),
            done => done,
        };
        if let Err(error) = &outcome {
            self.give_up(error)?;
        }
        self.track(&outcome);
        outcome
    }

    async fn steps(&mut self) -> Result<()> {
        self.progress(ActivationPhase::Preparing, 0, 1)?;
        self.context.service.ensure_keys().await?;
        self.check_device()?;
        loop {
            self.check_user()?;
            self.progress(self.journal.step.phase(), 0, 1)?;
            let started = self.now();
            let step = self.journal.step;
            let finished = match step {
                Step::Apply => self.apply().await?,
                Step::AwaitApproval => self.await_approval().await?,
                Step::OpenSession => self.open_session().await?,
                Step::Provision => self.provision().await?,
                Step::Report => self.report().await?,
                Step::ActivateAtService => self.activate_at_service().await?,
                Step::ActivateLocally => self.activate_locally()?,
            };
            let spent = self.now().saturating_sub(started);
            *self.times.entry(timing_field(step)).or_default() += spent;
            if finished {
                self.progress(ActivationPhase::Done, 1, 1)?;
                return Ok(());
            }
        }
    }

    /// A run whose user has logged out stops where it is; the user's next `connect` goes on.
    fn check_user(&self) -> Result<()> {
        match self.context.store.read(|tx| tx.connected_key())? {
            Some(connected) if connected == self.user.key => Ok(()),
            _ => Err(WalletError::NotConnected),
        }
    }

    fn check_device(&mut self) -> Result<()> {
        self.progress(ActivationPhase::CheckingDevice, 0, 1)?;
        let state = self.context.calls.device_state()?;
        match state.integrity {
            IntegrityVerdict::Safe => Ok(()),
            IntegrityVerdict::Unsafe { reason } => Err(WalletError::DeviceUnsafe { reason }),
        }
    }

    async fn apply(&mut self) -> Result<bool> {
        let fingerprint = self.context.calls.fingerprint()?.text;
        let length = fingerprint.chars().count();
        if !(1..=256).contains(&length) {
            let reason = format!("is {length} characters, wanted are 1 to 256");
            return Err(WalletError::InvalidInput { field: "fingerprint", reason });
        }
        self.fingerprint = Some(fingerprint.clone());
        // Journalled before it is sent: from here on the service may know of the application.
        self.save()?;
        self.journalled = true;
        let silent = self.journal.mode == ActivationMode::Silent;
        let operation = Operation::Apply { fingerprint, device_safe: true, silent };
        match self.ask(&operation, "apply").await? {
            Answer::Applied { application_id, config } => {
                self.take_budgets(config)?;
                self.journal.application_id = Some(application_id);
                self.go(Step::AwaitApproval)
            }
            _ => Err(unexpected_answer()),
        }
    }

    async fn await_approval(&mut self) -> Result<bool> {
        let budget = self.budgets.application_polls();
        let operation = Operation::ApplicationStatus { application_id: self.application_id()? };
        self.poll(&operation, budget, |run, poll, answer| {
            let Answer::Application { decision } = answer else { return Err(unexpected_answer()) };
            let step_up = decision == Decision::StepUpRequired {};
            run.progress_with(ActivationPhase::AwaitingApproval, poll, budget.times, step_up)?;
            match decision {
                Decision::Approved {} => Ok(true),
                Decision::Pending {} | Decision::StepUpRequired {} => Ok(false),
                Decision::Declined { code } => Err(failed(ActivationFailure::Declined { code })),
                Decision::Expired {} => Err(failed(ActivationFailure::Expired)),
            }
        })
        .await?;
        self.go(Step::OpenSession)
    }

    async fn open_session(&mut self) -> Result<bool> {
        let budget = self.budgets.session_polls();
        let (context, user) = (self.context, self.user);
        let session = context
            .sessions
            .open(context, user, budget, |poll| self.progress(ActivationPhase::OpeningSession, poll, budget.times))
            .await?;
        self.journal.session_id = Some(session.ok_or_else(|| failed(ActivationFailure::StillPending))?);
        self.go(Step::Provision)
    }

    async fn provision(&mut self) -> Result<bool> {
        let operation = Operation::Provision {
            application_id: self.application_id()?,
            session_id: self.journal.session_id.clone().ok_or(WalletError::Bug { code: "journal_without_session" })?,
            count: self.context.configuration.app().target_stock,
        };
        let answer = match self.ask(&operation, "provision").await {
            Err(WalletError::Service { reason: ServiceProblem::SessionRequired }) if !self.session_renewed => {
                self.session_renewed = true;
                self.context.sessions.forget();
                return self.go(Step::OpenSession);
            }
            other => other?,
        };
        let Answer::Provisioned { token_reference, profile, credentials } = answer else {
            return Err(unexpected_answer());
        };
        self.progress(ActivationPhase::Storing, 0, 1)?;
        if let Err(error) = Card::admit(&profile, self.context.service.service_now_ms()) {
            return self.refuse(token_reference, error.to_string()).await;
        }
        let token = TokenRecord {
            reference: token_reference,
            phase: TokenPhase::Stored,
            suspended_by: BTreeSet::new(),
            pending: None,
        };
        self.note_progress();
        // Until it is stored, the run is where it was: what is noted of a failure must not be ahead.
        let next = Journal { step: Step::Report, ..self.journal.clone() };
        // Card, credentials and the journal's next step in one commit: a kill leaves all or nothing.
        let stored = self.context.store.write_guarded(|tx| {
            self.check_own(tx)?;
            tx.put_token(self.user.key, &token, &profile)?;
            tx.add_credentials(self.user.key, &credentials)?;
            tx.put_journal(self.user.key, &next)
        });
        match stored {
            // A counter that is there twice, or another user's token: asked again, the service would
            // answer the same.
            Err(WalletError::Protocol { reason }) => self.refuse(token.reference, reason.to_owned()).await,
            stored => {
                stored?;
                self.journal = next;
                Ok(false)
            }
        }
    }

    /// Tells the service that what it provisioned was refused, and ends the run. The refusal stands
    /// whether or not the service hears.
    async fn refuse(&self, token_reference: String, reason: String) -> Result<bool> {
        let refusal = Some(reason.clone());
        let operation = Operation::ReportProvisioned { token_reference, stored: false, refusal };
        if let Err(error) = self.ask(&operation, "refuse").await {
            tracing::info!(code = error.code(), "the service did not hear of the refusal");
        }
        Err(failed(ActivationFailure::ProfileRefused { reason }))
    }

    async fn report(&mut self) -> Result<bool> {
        let operation =
            Operation::ReportProvisioned { token_reference: self.token_reference()?, stored: true, refusal: None };
        let Answer::Acknowledged {} = self.ask(&operation, "report").await? else {
            return Err(unexpected_answer());
        };
        match self.journal.mode {
            ActivationMode::Manual => self.go(Step::ActivateAtService),
            ActivationMode::Silent => {
                self.context.store.write_guarded(|tx| {
                    self.check_own(tx)?;
                    tx.set_token_phase(self.user.key, TokenPhase::Reported)?;
                    tx.clear_journal(self.user.key)
                })?;
                self.journalled = false;
                Ok(true)
            }
        }
    }

    async fn activate_at_service(&mut self) -> Result<bool> {
        let budget = self.budgets.activation_polls();
        let operation = Operation::Activate { token_reference: self.token_reference()? };
        self.poll(&operation, budget, |run, poll, answer| {
            run.progress(ActivationPhase::ActivatingAtService, poll, budget.times)?;
            match answer {
                Answer::Activated {} => Ok(true),
                Answer::ActivationPending {} => Ok(false),
                _ => Err(unexpected_answer()),
            }
        })
        .await?;
        self.go(Step::ActivateLocally)
    }

    /// Asks until `is_done` says so, or the budget is used up. A poll that was lost on the way is one
    /// poll of the budget.
    async fn poll(
        &mut self,
        operation: &Operation,
        budget: PollBudget,
        is_done: impl Fn(&mut Self, u32, Answer) -> Result<bool>,
    ) -> Result<()> {
        for poll in 1..=budget.times {
            match self.query(operation).await {
                Err(WalletError::Network { .. }) if poll < budget.times => {}
                answer => {
                    if is_done(self, poll, answer?)? {
                        return Ok(());
                    }
                }
            }
            if poll < budget.times {
                self.context.calls.clock().sleep(budget.interval).await;
            }
        }
        Err(failed(ActivationFailure::StillPending))
    }

    fn activate_locally(&mut self) -> Result<bool> {
        self.context.store.write_guarded(|tx| {
            if tx.connected_key()? != Some(self.user.key) {
                return Err(WalletError::NotConnected);
            }
            self.check_own(tx)?;
            tx.set_token_phase(self.user.key, TokenPhase::Active)?;
            tx.clear_journal(self.user.key)
        })?;
        self.journalled = false;
        let listener = Arc::clone(&self.context.calls.host().activation);
        self.context.events.push(move || listener.on_activated());
        Ok(true)
    }

    /// A run whose journal is gone was ended from outside (the service deleted its token): it must
    /// write nothing more.
    fn check_own(&self, tx: &Tx<'_>) -> Result<()> {
        if !self.journalled || tx.journal::<Journal>(self.user.key)?.is_some_and(|now| now.run == self.journal.run) {
            return Ok(());
        }
        Err(WalletError::NoToken)
    }

    /// Final failures end the run; others leave the journal for the next one.
    fn give_up(&mut self, error: &WalletError) -> Result<()> {
        let user = self.user.key;
        if let Err(WalletError::NoToken) = self.context.store.read(|tx| self.check_own(tx)) {
            return Ok(());
        }
        let applied = self.journal.application_id.is_some() || self.context.store.read(|tx| tx.has_journal(user))?;
        if is_final(error, self.journal.step) || !applied {
            return self.context.store.write_guarded(|tx| {
                tx.remove_token(user)?;
                tx.clear_journal(user)
            });
        }
        // An undecided application is still in activation (11); a failed silent run is not (0).
        let undecided = matches!(error, WalletError::ActivationFailed { .. });
        self.journal.parked = self.journal.mode == ActivationMode::Silent && !undecided;
        self.save()
    }

    fn go(&mut self, step: Step) -> Result<bool> {
        self.journal.step = step;
        self.save()?;
        Ok(false)
    }

    fn save(&mut self) -> Result<()> {
        self.note_progress();
        self.context.store.write(|tx| {
            self.check_own(tx)?;
            tx.put_journal(self.user.key, &self.journal)
        })
    }

    fn note_progress(&mut self) {
        self.journal.percent = self.meter.percent();
        self.journal.elapsed_ms = u64::try_from(self.meter.elapsed(self.now()).as_millis()).unwrap_or(u64::MAX);
    }

    /// A poll, for as long as its user is the one who is logged in.
    async fn query(&self, operation: &Operation) -> Result<Answer> {
        self.check_user()?;
        self.context.query(self.user, operation).await
    }

    async fn ask(&self, operation: &Operation, label: &str) -> Result<Answer> {
        self.context.ask(self.user, operation, self.journal.request_id(label)).await
    }

    /// The service may send budgets with its first answer; a bad set is refused and the last good
    /// one stays.
    fn take_budgets(&mut self, config: Option<RemoteConfig>) -> Result<()> {
        let Some(config) = config else { return Ok(()) };
        match crate::token::take_config(self.context, config.clone()) {
            Ok(()) => self.budgets = config,
            Err(WalletError::InvalidInput { field, .. }) => tracing::warn!(field, "remote configuration refused"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn application_id(&self) -> Result<String> {
        self.journal.application_id.clone().ok_or(WalletError::Bug { code: "journal_without_application" })
    }

    fn token_reference(&self) -> Result<String> {
        let token = self.context.store.read(|tx| tx.token(self.user.key))?;
        token.map(|token| token.reference).ok_or(WalletError::Bug { code: "journal_without_token" })
    }

    fn now(&self) -> Duration {
        self.context.calls.clock().monotonic()
    }

    fn progress(&mut self, phase: ActivationPhase, done: u32, budget: u32) -> Result<()> {
        self.progress_with(phase, done, budget, false)
    }

    /// Written down before it is told: what the app has shown never falls, also across a kill.
    fn progress_with(&mut self, phase: ActivationPhase, done: u32, budget: u32, step_up: bool) -> Result<()> {
        let progress = self.meter.advance(phase, done, budget, step_up, self.now());
        if self.journalled {
            self.save()?;
        }
        let listener = Arc::clone(&self.listener);
        self.context.events.push(move || listener.on_progress(progress));
        Ok(())
    }

    /// `EVENT_APPLY`, by the field's names.
    fn track(&self, outcome: &Result<()>) {
        let mut fields = BTreeMap::from([
            ("applyResult", outcome.is_ok().to_string()),
            ("isSilent", (self.journal.mode == ActivationMode::Silent).to_string()),
            ("current_id", self.user.id.clone()),
        ]);
        if let Some(fingerprint) = &self.fingerprint {
            fields.insert("utdId", fingerprint.clone());
        }
        for (&field, spent) in &self.times {
            fields.insert(field, spent.as_millis().to_string());
        }
        if let Err(error) = outcome {
            fields.insert("phase", format!("[\"{:?}\"]", self.journal.step.phase()));
            fields.insert("errorCode", error.code().to_string());
        }
        self.context.track(MonitorEvent { id: "EVENT_APPLY", fields });
    }
}

fn timing_field(step: Step) -> &'static str {
    match step {
        Step::Apply => "applyTimeConsume",
        Step::AwaitApproval => "applyLoopTimeConsume",
        Step::ActivateAtService => "activateLoopTimeConsume",
        Step::OpenSession | Step::Provision | Step::Report | Step::ActivateLocally => "provisionTimeConsume",
    }
}

fn failed(reason: ActivationFailure) -> WalletError {
    WalletError::ActivationFailed { reason }
}

/// Failures that a repetition of the same step cannot mend.
fn is_final(error: &WalletError, step: Step) -> bool {
    match error {
        // Later the verdict may change back, and the service knows of the token.
        WalletError::DeviceUnsafe { .. } => step == Step::Apply,
        // A journal that does not fit the store would fail the same way for ever.
        WalletError::Bug { .. } => true,
        WalletError::ActivationFailed { reason } => !matches!(reason, ActivationFailure::StillPending),
        WalletError::Service { reason } => matches!(
            reason,
            ServiceProblem::Declined { .. }
                | ServiceProblem::UnknownToken
                | ServiceProblem::UnknownOperation
                | ServiceProblem::BadSignature
        ),
        _ => false,
    }
}
