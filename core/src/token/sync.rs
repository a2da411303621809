//! Reconciling with the service: its word is final.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::Result;
use crate::config::RemoteConfig;
use crate::context::{Context, User, unexpected_answer};
use crate::error::WalletError;
use crate::storage::{TokenPhase, TokenRecord, Tx};
use crate::token::{Suspender, resume_change};
use crate::token_service::operations::{Answer, Operation, ServiceToken};

/// Where the store keeps the service's configuration.
pub(crate) const CONFIG_SETTING: &str = "remote_config";

/// What the phone knew when it asked; an answer that comes after a change of it is dropped.
#[derive(PartialEq, Eq)]
struct Known {
    token: Option<TokenRecord>,
    activating: bool,
}

/// Finishes a pending change, then takes over the service's state and configuration.
pub(crate) async fn sync(context: &Context, user: &User) -> Result<()> {
    if let Err(error) = resume_change(context, user).await
        && !matches!(error, WalletError::Service { .. })
    {
        return Err(error);
    }
    let known = context.store.read(|tx| known(tx, user))?;
    let Answer::State { token, config } = context.query(user, &Operation::TokenState {}).await? else {
        return Err(unexpected_answer());
    };
    take_state(context, user, &known, &token)?;
    // No configuration means the defaults: the app's own switches are in force again.
    if let Err(WalletError::InvalidInput { field, .. }) = take_config(context, config.unwrap_or_default()) {
        tracing::warn!(field, "remote configuration refused");
    }
    Ok(())
}

/// Takes a configuration into use and keeps it for the next start.
///
/// # Errors
/// [`WalletError::InvalidInput`] with the field; the last good set stays.
pub(crate) fn take_config(context: &Context, config: RemoteConfig) -> Result<()> {
    let text = serde_json::to_vec(&config).map_err(|_| WalletError::Bug { code: "config_does_not_serialize" })?;
    context.configuration.set_remote(config)?;
    context.store.write(|tx| tx.set_setting(CONFIG_SETTING, &text))
}

fn known(tx: &Tx<'_>, user: &User) -> Result<Known> {
    Ok(Known { token: tx.token(user.key)?, activating: tx.has_journal(user.key)? })
}

fn take_state(context: &Context, user: &User, known_before: &Known, state: &ServiceToken) -> Result<()> {
    // An unfinished run settles its own token.
    let Some(local) = known_before.token.as_ref().filter(|_| !known_before.activating) else { return Ok(()) };
    let Some(change) = difference(local, state) else { return Ok(()) };
    let activated = context.store.write_guarded(|tx| {
        // An activation, a lock or a message in the meantime knows better than this answer.
        if known(tx, user)? != *known_before {
            return Ok(false);
        }
        match &change {
            Difference::Suspensions(suspended_by) => {
                // The service activated it and a crash came before the phone did.
                tx.set_token_phase(user.key, TokenPhase::Active)?;
                tx.set_suspensions(user.key, suspended_by)?;
                Ok(local.phase != TokenPhase::Active)
            }
            Difference::NotActive => tx.set_token_phase(user.key, TokenPhase::Reported).map(|()| false),
            Difference::Gone => tx.remove_token(user.key).map(|_| false),
        }
    })?;
    if activated {
        let listener = Arc::clone(&context.calls.host().activation);
        context.events.push(move || listener.on_activated());
    }
    Ok(())
}

/// What the service knows better.
enum Difference {
    /// It is active, suspended by these.
    Suspensions(BTreeSet<Suspender>),
    /// It is not active yet.
    NotActive,
    /// Deleted, replaced by another device's token, or unknown to the service.
    Gone,
}

fn difference(local: &TokenRecord, state: &ServiceToken) -> Option<Difference> {
    match state {
        ServiceToken::Active { token_reference, suspended_by } if *token_reference == local.reference => {
            let suspended_by = suspended_by.iter().copied().collect();
            let same = local.phase == TokenPhase::Active && local.suspended_by == suspended_by;
            (!same).then_some(Difference::Suspensions(suspended_by))
        }
        ServiceToken::Inactive { token_reference } if *token_reference == local.reference => {
            (local.phase == TokenPhase::Active).then_some(Difference::NotActive)
        }
        ServiceToken::Active { .. }
        | ServiceToken::Inactive { .. }
        | ServiceToken::Deleted { .. }
        | ServiceToken::None {} => Some(Difference::Gone),
    }
}
