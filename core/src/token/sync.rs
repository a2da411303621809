//! Reconciling with the service: its word is final.

use crate::Result;
use crate::config::RemoteConfig;
use crate::context::{Context, User, unexpected_answer};
use crate::error::WalletError;
use crate::storage::TokenPhase;
use crate::token::resume_change;
use crate::token_service::operations::{Answer, Operation, ServiceToken};

/// Where the store keeps the service's configuration.
pub(crate) const CONFIG_SETTING: &str = "remote_config";

/// Finishes a pending change, then takes over the service's state and configuration.
pub(crate) async fn sync(context: &Context, user: &User) -> Result<()> {
    if let Err(error) = resume_change(context, user).await
        && !matches!(error, WalletError::Service { .. })
    {
        return Err(error);
    }
    let Answer::State { token, config } = context.query(user, &Operation::TokenState {}).await? else {
        return Err(unexpected_answer());
    };
    take_state(context, user, &token)?;
    if let Some(config) = config
        && let Err(WalletError::InvalidInput { field, .. }) = take_config(context, config)
    {
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

fn take_state(context: &Context, user: &User, state: &ServiceToken) -> Result<()> {
    let (local, activating) = context.store.read(|tx| Ok((tx.token(user.key)?, tx.has_journal(user.key)?)))?;
    // An unfinished run settles its own token.
    let Some(local) = local.filter(|_| !activating) else { return Ok(()) };
    match state {
        ServiceToken::Active { token_reference, suspended_by } if *token_reference == local.reference => {
            let suspended_by = suspended_by.iter().copied().collect();
            if local.phase == TokenPhase::Active && local.suspended_by == suspended_by {
                return Ok(());
            }
            context.store.write_guarded(|tx| {
                // The service activated it and a crash came before the phone did.
                tx.set_token_phase(user.key, TokenPhase::Active)?;
                tx.set_suspensions(user.key, &suspended_by)
            })
        }
        ServiceToken::Inactive { token_reference } if *token_reference == local.reference => match local.phase {
            TokenPhase::Active => context.store.write_guarded(|tx| tx.set_token_phase(user.key, TokenPhase::Reported)),
            TokenPhase::Stored | TokenPhase::Reported => Ok(()),
        },
        // Deleted, replaced by another device's token, or unknown to the service.
        ServiceToken::Active { .. }
        | ServiceToken::Inactive { .. }
        | ServiceToken::Deleted { .. }
        | ServiceToken::None {} => context.store.write_guarded(|tx| tx.remove_token(user.key)).map(drop),
    }
}
