//! The journalled activation machine, manual and silent.
//!
//! Owns the journal's steps and the progress. May touch `storage`, `token_service`, `card` (to check
//! a profile) and `host`. Server first, then local: a crash between the two heals at the next
//! connect.

mod journal;
mod machine;
mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use progress::{ActivationMode, ActivationPhase, ActivationProgress};

use crate::Result;
use crate::context::{Context, User};
use crate::error::{TokenProblem, WalletError};
use crate::host::{ActivationListener, MonitorEvent};
use crate::storage::{TokenPhase, Tx, UserKey};
use journal::{Journal, Step};
use machine::Run;

/// One activation at a time.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    turn: async_lock::Mutex<()>,
    running: AtomicBool,
}

impl Activations {
    /// Is a run going on in this process?
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
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
        let _running = Running::start(&self.running);
        let journal = match unfinished(context, user)? {
            Some(journal) => taken_over(journal, mode),
            None => {
                refuse_second_token(context, user)?;
                Journal::new(context.random(), mode, Step::Apply)
            }
        };
        Run::new(context, user, journal, listener).finish().await
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
        let _running = Running::start(&self.running);
        let outcome = confirm_now(context, user, listener).await;
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
        // Without a run to go on with, the turn stays free: `activate` right after `connect` must not
        // hear that one is in progress.
        if unfinished(context, user)?.is_none() {
            return Ok(());
        }
        let Some(_turn) = self.turn.try_lock() else { return Ok(()) };
        let Some(journal) = unfinished(context, user)? else { return Ok(()) };
        let _running = Running::start(&self.running);
        let listener = Arc::clone(&context.calls.host().activation);
        Run::new(context, user, Journal { parked: false, ..journal }, listener).finish().await
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
            Err(WalletError::TokenUnavailable { reason: TokenProblem::AwaitsConfirmation })
        }
        Some(TokenPhase::Active) => {
            let reason = "a token is active; delete it before activating another".to_owned();
            Err(WalletError::InvalidInput { field: "mode", reason })
        }
    }
}

/// True while it lives, also when the caller drops the run's future.
struct Running<'a>(&'a AtomicBool);

impl<'a> Running<'a> {
    fn start(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
