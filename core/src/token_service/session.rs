//! Sessions of the service: opened by polling, used again until they are too old.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Answer, Operation};
use crate::Result;
use crate::config::PollBudget;
use crate::context::{Context, User, unexpected_answer};
use crate::error::WalletError;
use crate::storage::UserKey;

/// The open session, if any.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<Option<OpenSession>>,
}

#[derive(Clone)]
struct OpenSession {
    user: UserKey,
    id: String,
    /// On the monotonic clock.
    until: Duration,
}

impl std::fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenSession(redacted)")
    }
}

impl Sessions {
    /// A session for `user`: the open one, or a new one polled for within `budget`; `None` when the
    /// budget is used up. `polled` hears of each poll.
    ///
    /// # Errors
    /// Failures of the network, the service's refusals, and failures of `polled`.
    pub(crate) async fn open(
        &self,
        context: &Context,
        user: &User,
        budget: PollBudget,
        mut polled: impl FnMut(u32) -> Result<()>,
    ) -> Result<Option<String>> {
        if let Some(id) = self.current(user.key, context.calls.clock().monotonic()) {
            return Ok(Some(id));
        }
        for poll in 1..=budget.times {
            // After a logout the relay speaks for another user.
            if context.store.read(|tx| tx.connected_key())? != Some(user.key) {
                return Err(WalletError::NotConnected);
            }
            let answer = context.query(user, &Operation::OpenSession {}).await?;
            polled(poll)?;
            match answer {
                Answer::Session { session_id, valid_ms } => {
                    let age = Duration::from_millis(valid_ms).min(context.configuration.app().session_age);
                    let until = context.calls.clock().monotonic() + age;
                    *self.lock() = Some(OpenSession { user: user.key, id: session_id.clone(), until });
                    return Ok(Some(session_id));
                }
                Answer::SessionPending {} if poll < budget.times => {
                    context.calls.clock().sleep(budget.interval).await;
                }
                Answer::SessionPending {} => {}
                _ => return Err(unexpected_answer()),
            }
        }
        Ok(None)
    }

    /// Forgets the session: the service refused it, or another user connects.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    fn current(&self, user: UserKey, now: Duration) -> Option<String> {
        self.lock().as_ref().filter(|open| open.user == user && now < open.until).map(|open| open.id.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OpenSession>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
