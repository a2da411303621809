//! Lock, unlock and delete: journalled as a pending change until the service's answer is known.

use crate::Result;
use crate::activation;
use crate::context::{Context, User, unexpected_answer};
use crate::error::{ServiceProblem, TokenProblem, WalletError};
use crate::storage::{ChangeKind, PendingChange, TokenPhase, TokenRecord, Tx};
use crate::token::Suspender;
use crate::token_service::RequestId;
use crate::token_service::operations::{Answer, Operation, ServiceToken};

/// Writes down the wish to do `kind`, before any network, unless there is nothing to do. A lock holds
/// from this commit on.
pub(crate) fn begin_change(context: &Context, user: &User, kind: ChangeKind) -> Result<()> {
    let token = changeable(context, user)?;
    match &token.pending {
        // The same wish again: the same request again.
        Some(pending) if pending.kind == kind => Ok(()),
        Some(_) => Err(WalletError::TokenUnavailable { reason: TokenProblem::OutcomeUnknown }),
        None if already_done(&token, kind) => Ok(()),
        None => begin(context, user, kind),
    }
}

/// Sends the pending change, if there is one, and takes the service's answer over: who suspends the
/// token afterwards. A refusal rolls back; an unknown outcome (no answer, or one that does not open)
/// leaves the change pending and the token closed until this is called again.
pub(crate) async fn resume_change(context: &Context, user: &User) -> Result<Vec<Suspender>> {
    let Some(token) = context.store.read(|tx| tx.token(user.key))? else { return Ok(Vec::new()) };
    let Some(pending) = token.pending else { return Ok(token.suspended_by.into_iter().collect()) };
    let token_reference = token.reference.clone();
    let operation = match pending.kind {
        ChangeKind::Lock => Operation::Lock { token_reference },
        ChangeKind::Unlock => Operation::Unlock { token_reference },
        ChangeKind::Delete => Operation::Delete { token_reference },
    };
    match context.ask(user, &operation, RequestId(pending.request_id)).await {
        Ok(Answer::State { token: state, config: _ }) => settle(context, user, &token.reference, &state),
        Ok(_) => Err(unexpected_answer()),
        Err(error) => {
            roll_back_if_refused(context, user, &pending, &error)?;
            match error {
                WalletError::Service { reason: ServiceProblem::UnknownToken } if pending.kind == ChangeKind::Delete => {
                    Ok(Vec::new())
                }
                other => Err(other),
            }
        }
    }
}

fn changeable(context: &Context, user: &User) -> Result<TokenRecord> {
    let (token, activating) =
        context.store.read(|tx| Ok((tx.token(user.key)?, activation::is_unfinished(tx, user.key)?)))?;
    if activating {
        return Err(WalletError::ActivationInProgress);
    }
    let token = token.ok_or(WalletError::NoToken)?;
    match token.phase {
        TokenPhase::Active => Ok(token),
        TokenPhase::Stored | TokenPhase::Reported => {
            let reason = "the token awaits the user's confirmation".to_owned();
            Err(WalletError::InvalidInput { field: "token", reason })
        }
    }
}

fn already_done(token: &TokenRecord, kind: ChangeKind) -> bool {
    let locked_by_user = token.suspended_by.contains(&Suspender::User);
    match kind {
        ChangeKind::Lock => locked_by_user,
        ChangeKind::Unlock => !locked_by_user,
        ChangeKind::Delete => false,
    }
}

fn begin(context: &Context, user: &User, kind: ChangeKind) -> Result<()> {
    let pending = PendingChange { kind, request_id: context.random() };
    let note = |tx: &Tx<'_>| {
        if kind == ChangeKind::Delete {
            tx.wipe_credentials(user.key)?;
        }
        tx.set_pending(user.key, Some(pending))
    };
    // At once, and without the host: a lock holds from here on, whatever the key store does. Then
    // once more under the rollback guard, so that an older file does not undo it.
    context.store.write(note)?;
    let guarded = context.store.write_guarded(|tx| {
        // Settled in the meantime, there is nothing left to guard.
        match tx.token(user.key)?.and_then(|token| token.pending) {
            Some(noted) if noted == pending => note(tx),
            _ => Ok(()),
        }
    });
    match guarded {
        Err(error @ (WalletError::KeyStore { .. } | WalletError::StoreRolledBack)) => {
            tracing::warn!(code = error.code(), "the change is noted without the rollback guard");
            Ok(())
        }
        other => other,
    }
}

/// Takes over what the service says of the token.
fn settle(context: &Context, user: &User, reference: &str, state: &ServiceToken) -> Result<Vec<Suspender>> {
    match state {
        ServiceToken::Active { token_reference, suspended_by } if token_reference == reference => {
            context.store.write_guarded(|tx| {
                tx.set_suspensions(user.key, &suspended_by.iter().copied().collect())?;
                tx.set_pending(user.key, None)
            })?;
            Ok(suspended_by.clone())
        }
        // Gone, or replaced by another device's token: the service's word is final.
        ServiceToken::None {} | ServiceToken::Deleted { .. } | ServiceToken::Active { .. } => {
            context.store.write_guarded(|tx| tx.remove_token(user.key))?;
            Ok(Vec::new())
        }
        ServiceToken::Inactive { .. } => {
            context.store.write_guarded(|tx| {
                tx.set_pending(user.key, None)?;
                tx.set_token_phase(user.key, TokenPhase::Reported)
            })?;
            Ok(Vec::new())
        }
    }
}

/// Only a typed refusal of the service proves that nothing happened there.
fn roll_back_if_refused(context: &Context, user: &User, pending: &PendingChange, error: &WalletError) -> Result<()> {
    let WalletError::Service { reason } = error else { return Ok(()) };
    match reason {
        ServiceProblem::UnknownToken => context.store.write_guarded(|tx| tx.remove_token(user.key)).map(drop),
        ServiceProblem::Internal => Ok(()),
        _ => {
            tracing::info!(kind = ?pending.kind, "the service refused; rolled back");
            context.store.write_guarded(|tx| tx.set_pending(user.key, None))
        }
    }
}
