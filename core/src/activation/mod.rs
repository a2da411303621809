//! The journalled activation machine, manual and silent.
//!
//! Owns the journal's steps and the progress. May touch `storage`, `token_service`, `card` (to check
//! a profile) and `host`. Server first, then local: a crash between the two heals at the next
//! connect.

mod journal;
mod machine;
mod progress;

use std::sync::{Arc, Mutex, PoisonError};

pub use progress::{ActivationMode, ActivationPhase, ActivationProgress};

use crate::Result;
use crate::context::{Context, User};
use crate::error::WalletError;
use crate::host::{ActivationListener, MonitorEvent};
use crate::storage::{TokenPhase, Tx, UserKey};
use journal::{Journal, Step};
use machine::Run;

/// One activation at a time.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    turn: async_lock::Mutex<()>,
    running: Mutex<Option<UserKey>>,
    /// How the last run ended, for a confirm that waited for it.
    last_failure: Mutex<Option<(UserKey, WalletError)>>,
}

impl Activations {
    /// Whose run is going on in this process?
    pub(crate) fn running(&self) -> Option<UserKey> {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is a run of this user going on in this process?
    pub(crate) fn is_running(&self, user: UserKey) -> bool {
        self.running() == Some(user)
    }

    /// Activates, or goes on with an unfinished run.
    ///
    /// # Errors
    /// [`WalletError::ActivationInProgress`] while one runs; [`WalletError::InvalidInput`] when there
    /// is a token already; what ended the run otherwise.
    pub(crate) async fn activate(
        &self,
        context: &Context,
        user: &User,
        mode: ActivationMode,
        listener: Arc<dyn ActivationListener>,
    ) -> Result<()> {
        let Some(_turn) = self.turn.try_lock() else { return Err(WalletError::ActivationInProgress) };
        let _running = Running::start(&self.running, user.key);
        let journal = match unfinished(context, user)? {
            Some(journal) => taken_over(journal, mode),
            None => {
                refuse_second_token(context, user)?;
                Journal::new(context.random(), mode, Step::Apply)
            }
        };
        self.remember(user, Run::new(context, user, journal, listener).finish().await)
    }

    /// Confirms a silently prepared token; waits for a silent run that is unfinished.
    ///
    /// # Errors
    /// [`WalletError::NoToken`] when nothing was prepared; what ended the run otherwise.
    pub(crate) async fn confirm(
        &self,
        context: &Context,
        user: &User,
        listener: Arc<dyn ActivationListener>,
    ) -> Result<()> {
        let _turn = self.turn.lock().await;
        let _running = Running::start(&self.running, user.key);
        let outcome = match confirm_now(context, user, listener).await {
            // The run that this call waited for says better why there is no token.
            Err(WalletError::NoToken) => Err(self.failure_of(user).unwrap_or(WalletError::NoToken)),
            other => other,
        };
        let mut fields = std::collections::BTreeMap::from([("confirmResult", outcome.is_ok().to_string())]);
        if let Err(error) = &outcome {
            fields.insert("errorCode", error.code().to_string());
        }
        context.track(MonitorEvent { id: "EVENT_CONFIRM", fields });
        outcome
    }

    /// Goes on with an unfinished run after a restart, if there is one and none runs.
    ///
    /// # Errors
    /// What ended the run.
    pub(crate) async fn resume(&self, context: &Context, user: &User) -> Result<()> {
        // Looked at before the turn is taken: an `activate` right after `connect` must find it free.
        if unfinished(context, user)?.is_none() {
            return Ok(());
        }
        let Some(_turn) = self.turn.try_lock() else { return Ok(()) };
        let Some(journal) = unfinished(context, user)? else { return Ok(()) };
        let _running = Running::start(&self.running, user.key);
        let listener = Arc::clone(&context.calls.host().activation);
        self.remember(user, Run::new(context, user, Journal { parked: false, ..journal }, listener).finish().await)
    }

    fn remember(&self, user: &User, outcome: Result<()>) -> Result<()> {
        let failure = outcome.as_ref().err().map(|error| (user.key, error.clone()));
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        outcome
    }

    fn failure_of(&self, user: &User) -> Option<WalletError> {
        let failure = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.filter(|(failed, _)| *failed == user.key).map(|(_, error)| error)
    }
}

async fn confirm_now(context: &Context, user: &User, listener: Arc<dyn ActivationListener>) -> Result<()> {
    if let Some(journal) = unfinished(context, user)? {
        let manual = taken_over(journal, ActivationMode::Manual);
        return Run::new(context, user, manual, listener).finish().await;
    }
    let token = context.store.read(|tx| tx.token(user.key))?.ok_or(WalletError::NoToken)?;
    match token.phase {
        TokenPhase::Active => Ok(()),
        TokenPhase::Stored => Err(WalletError::Bug { code: "stored_token_without_journal" }),
        TokenPhase::Reported => {
            let journal = Journal::new(context.random(), ActivationMode::Manual, Step::ActivateAtService);
            context.store.write(|tx| tx.put_journal(user.key, &journal))?;
            Run::new(context, user, journal, listener).finish().await
        }
    }
}

/// Is there an unfinished run that the app should see (status 11)?
pub(crate) fn is_unfinished(tx: &Tx<'_>, user: UserKey) -> Result<bool> {
    Ok(tx.journal::<Journal>(user)?.is_some_and(|journal| !journal.parked))
}

fn unfinished(context: &Context, user: &User) -> Result<Option<Journal>> {
    context.store.read(|tx| tx.journal(user.key))
}

/// A manual run takes an unfinished silent one over; a silent one never weakens a manual one.
fn taken_over(journal: Journal, mode: ActivationMode) -> Journal {
    let mode = if mode == ActivationMode::Manual { mode } else { journal.mode };
    Journal { mode, parked: false, ..journal }
}

fn refuse_second_token(context: &Context, user: &User) -> Result<()> {
    match context.store.read(|tx| tx.token(user.key))?.map(|token| token.phase) {
        None => Ok(()),
        Some(TokenPhase::Stored | TokenPhase::Reported) => {
            let reason = "a token is prepared; confirm it".to_owned();
            Err(WalletError::InvalidInput { field: "mode", reason })
        }
        Some(TokenPhase::Active) => {
            let reason = "a token is active; delete it before activating another".to_owned();
            Err(WalletError::InvalidInput { field: "mode", reason })
        }
    }
}

/// True while it lives, also when the caller drops the run's future.
struct Running<'a>(&'a Mutex<Option<UserKey>>);

impl<'a> Running<'a> {
    fn start(running: &'a Mutex<Option<UserKey>>, user: UserKey) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(user);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
