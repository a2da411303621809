//! The service's messages: each applied once, then acknowledged.

use crate::card::{Card, ProfileError};
use crate::context::{Context, User, unexpected_answer};
use crate::error::WalletError;
use crate::storage::Tx;
use crate::token_service::RequestId;
use crate::token_service::operations::{Answer, Message, MessageContent, Operation};
use crate::{Result, token};

/// A service that never stops sending is left for the next time.
const MOST_ROUNDS: usize = 10;

/// What the messages ask the wallet to do beyond the token's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Fill the stock up.
    pub(crate) replenish: bool,
}

/// Fetches, applies and acknowledges until the inbox is empty. `drained` says what was done, also
/// when an error ends it.
pub(crate) async fn drain(context: &Context, user: &User, drained: &mut Drained) -> Result<()> {
    for _ in 0..MOST_ROUNDS {
        let Answer::Inbox { messages } = context.query(user, &Operation::FetchInbox {}).await? else {
            return Err(unexpected_answer());
        };
        if messages.is_empty() {
            break;
        }
        for message in &messages {
            if apply_once(context, user, message)? {
                drained.replenish |= matches!(message.content, MessageContent::Replenish { .. });
            }
        }
        let ids: Vec<String> = messages.into_iter().map(|message| message.id).collect();
        let request_id = RequestId::derive(&context.store.identity(), &format!("inbox {}", ids.join(",")));
        let Answer::Acknowledged {} = context.ask(user, &Operation::AcknowledgeInbox { ids }, request_id).await? else {
            return Err(unexpected_answer());
        };
    }
    Ok(())
}

/// True if the message was new. Its effect and its mark are one commit, so that a repeated delivery
/// (a suspension after its lift) changes nothing.
fn apply_once(context: &Context, user: &User, message: &Message) -> Result<bool> {
    if context.store.read(|tx| tx.message_applied(&message.id))? {
        return Ok(false);
    }
    if let MessageContent::Config { config } = &message.content
        && let Err(WalletError::InvalidInput { field, .. }) = token::take_config(context, config.clone())
    {
        tracing::warn!(field, "remote configuration refused");
    }
    // Some milliseconds of arithmetic, and the host's clock: not under the store's lock.
    let card = match &message.content {
        MessageContent::Profile { profile, .. } => {
            Some(Card::admit(profile, context.service.service_now_ms()).map(drop))
        }
        _ => None,
    };
    context.store.write_guarded(|tx| {
        // Looked at once more in the commit itself: two deliveries may run at once.
        if tx.message_applied(&message.id)? {
            return Ok(false);
        }
        apply(tx, user, &message.content, card.as_ref())?;
        tx.mark_message(&message.id)?;
        Ok(true)
    })
}

/// `card`: whether the profile of the message makes a card.
fn apply(
    tx: &Tx<'_>,
    user: &User,
    content: &MessageContent,
    card: Option<&std::result::Result<(), ProfileError>>,
) -> Result<()> {
    let Some(token) = tx.token(user.key)? else { return Ok(()) };
    match content {
        MessageContent::Suspend { token_reference, by } if *token_reference == token.reference => {
            let mut suspended_by = token.suspended_by;
            suspended_by.insert(*by);
            tx.set_suspensions(user.key, &suspended_by)
        }
        MessageContent::Resume { token_reference, by } if *token_reference == token.reference => {
            let mut suspended_by = token.suspended_by;
            suspended_by.remove(by);
            tx.set_suspensions(user.key, &suspended_by)
        }
        MessageContent::Delete { token_reference } if *token_reference == token.reference => {
            tx.clear_journal(user.key)?;
            tx.remove_token(user.key).map(drop)
        }
        MessageContent::Profile { token_reference, profile } if *token_reference == token.reference => {
            match card {
                Some(Ok(())) => tx.set_profile(user.key, profile),
                // The old card stays in use. The wire has no report of this: the log is where it shows.
                refused => {
                    let error = refused.and_then(|refused| refused.as_ref().err());
                    tracing::warn!(error = error.map(tracing::field::display), "new card profile refused");
                    Ok(())
                }
            }
        }
        MessageContent::Suspend { .. }
        | MessageContent::Resume { .. }
        | MessageContent::Delete { .. }
        | MessageContent::Profile { .. }
        | MessageContent::Replenish { .. }
        | MessageContent::Config { .. }
        | MessageContent::Unknown => Ok(()),
    }
}
