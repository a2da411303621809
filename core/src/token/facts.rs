//! The stored facts that the token status is derived from.

use crate::Result;
use crate::activation::{self, Activations};
use crate::context::Context;
use crate::storage::{ChangeKind, Health, TokenPhase, TokenRecord, UserKey};
use crate::token::{Suspender, TokenStatus};

/// Everything that decides the status.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) user: Option<UserKey>,
    pub(crate) healthy: bool,
    /// An unfinished run that the app should see.
    pub(crate) activating: bool,
    pub(crate) token: Option<TokenRecord>,
    pub(crate) usable: u32,
    /// When `usable` falls without anybody's doing.
    pub(crate) next_expiry_ms: Option<i64>,
}

/// Reads the facts in one transaction.
pub(crate) fn gather(context: &Context, activations: &Activations) -> Result<Facts> {
    let now_ms = context.service.service_now_ms();
    let healthy = context.store.health() == Health::Good;
    context.store.read(|tx| {
        let user = tx.connected_key()?;
        let Some(user) = user.filter(|_| healthy) else {
            return Ok(Facts { user, healthy, activating: false, token: None, usable: 0, next_expiry_ms: None });
        };
        let stock = tx.stock(user, now_ms)?;
        Ok(Facts {
            user: Some(user),
            healthy,
            activating: activations.is_running(user) || activation::is_unfinished(tx, user)?,
            token: tx.token(user)?,
            usable: stock.usable,
            next_expiry_ms: stock.next_expiry_ms,
        })
    })
}

impl Facts {
    /// The token status, by this precedence: key store (-3), connection (-2), activation (11),
    /// existence (0), confirmation (21), unknown outcome (-1), suspension (3), stock (1), ready (2).
    /// A failed read is -1 and is the caller's to say.
    pub(crate) fn status(&self) -> TokenStatus {
        if !self.healthy {
            return TokenStatus::KeyStoreUnusable;
        }
        if self.user.is_none() {
            return TokenStatus::Disconnected;
        }
        if self.activating {
            return TokenStatus::Activating;
        }
        let Some(token) = &self.token else { return TokenStatus::NoToken };
        match token.phase {
            // A stored card whose run failed and was parked: the app starts anew.
            TokenPhase::Stored => return TokenStatus::NoToken,
            TokenPhase::Reported => return TokenStatus::Prepared,
            TokenPhase::Active => {}
        }
        let pending = token.pending.map(|change| change.kind);
        if pending == Some(ChangeKind::Delete) {
            return TokenStatus::QueryFailed;
        }
        let mut suspenders: Vec<Suspender> = token.suspended_by.iter().copied().collect();
        // A lock holds from the call on, whatever the network says.
        if pending == Some(ChangeKind::Lock) && !suspenders.contains(&Suspender::User) {
            suspenders.insert(0, Suspender::User);
        }
        if !suspenders.is_empty() {
            return TokenStatus::Locked(suspenders);
        }
        // An unlock of unknown outcome: nobody is known to hold the token, and nobody knows.
        if pending.is_some() {
            return TokenStatus::QueryFailed;
        }
        if self.usable == 0 { TokenStatus::NoCredentials } else { TokenStatus::Ready }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::PendingChange;
    use std::collections::BTreeSet;

    fn ready() -> Facts {
        Facts {
            user: Some(UserKey(1)),
            healthy: true,
            activating: false,
            token: Some(TokenRecord {
                reference: "t".to_owned(),
                phase: TokenPhase::Active,
                suspended_by: BTreeSet::new(),
                pending: None,
            }),
            usable: 3,
            next_expiry_ms: None,
        }
    }

    fn with_token(change: impl FnOnce(&mut TokenRecord)) -> TokenStatus {
        let mut facts = ready();
        change(facts.token.as_mut().unwrap());
        facts.status()
    }

    fn pending(kind: ChangeKind) -> Option<PendingChange> {
        Some(PendingChange { kind, request_id: [0; 16] })
    }

    #[test]
    fn every_code_of_the_table_is_reached() {
        assert_eq!(Facts { healthy: false, ..ready() }.status().code(), -3);
        assert_eq!(Facts { user: None, ..ready() }.status().code(), -2);
        assert_eq!(with_token(|token| token.pending = pending(ChangeKind::Delete)).code(), -1);
        assert_eq!(Facts { token: None, ..ready() }.status().code(), 0);
        assert_eq!(Facts { usable: 0, ..ready() }.status().code(), 1);
        assert_eq!(ready().status().code(), 2);
        assert_eq!(with_token(|token| token.suspended_by = [Suspender::Issuer].into()).code(), 3);
        assert_eq!(Facts { activating: true, ..ready() }.status().code(), 11);
        assert_eq!(with_token(|token| token.phase = TokenPhase::Reported).code(), 21);
    }

    #[test]
    fn a_lock_counts_before_the_service_has_answered() {
        let status = with_token(|token| token.pending = pending(ChangeKind::Lock));
        assert_eq!(status, TokenStatus::Locked(vec![Suspender::User]));
    }

    #[test]
    fn a_change_of_unknown_outcome_is_never_ready() {
        for kind in [ChangeKind::Unlock, ChangeKind::Delete] {
            assert_eq!(with_token(|token| token.pending = pending(kind)).code(), -1);
        }
    }

    #[test]
    fn an_unlock_does_not_count_before_the_service_has_answered() {
        let status = with_token(|token| {
            token.suspended_by = [Suspender::User, Suspender::Scheme].into();
            token.pending = pending(ChangeKind::Unlock);
        });
        assert_eq!(status, TokenStatus::Locked(vec![Suspender::User, Suspender::Scheme]));
    }
}
