//! What the store hands out and takes in, as plain data.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::KeyStoreProblem;
use crate::token::Suspender;

/// A user of this store: stands for the user id, which is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub(crate) i64);

/// How far a token has come, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPhase {
    /// Profile and first credentials are on the phone.
    Stored,
    /// The service knows that they are.
    Reported,
    /// Active on both sides: payable if nobody suspends it.
    Active,
}

impl TokenPhase {
    pub(super) const ALL: [Self; 3] = [Self::Stored, Self::Reported, Self::Active];

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Stored => 1,
            Self::Reported => 2,
            Self::Active => 3,
        }
    }
}

/// Which change of the token was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// `lock`.
    Lock,
    /// `unlock`.
    Unlock,
    /// `delete_token`.
    Delete,
}

impl ChangeKind {
    pub(super) const ALL: [Self; 3] = [Self::Lock, Self::Unlock, Self::Delete];

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Lock => 1,
            Self::Unlock => 2,
            Self::Delete => 3,
        }
    }
}

/// A change that was sent to the service and whose outcome is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingChange {
    /// Which change.
    pub kind: ChangeKind,
    /// The request id under which it is repeated.
    pub request_id: [u8; 16],
}

/// The token of one user, without its profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The service's name for it; opaque, not a PAN.
    pub reference: String,
    /// How far it has come.
    pub phase: TokenPhase,
    /// Who suspends it.
    pub suspended_by: BTreeSet<Suspender>,
    /// A change with an unknown outcome.
    pub pending: Option<PendingChange>,
}

/// How many credentials can be burnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Unspent and unexpired.
    pub usable: u32,
    /// When the first of those expires, by the service's clock; `None` without any.
    pub next_expiry_ms: Option<i64>,
}

/// A replenishment that was begun: repeated under the same id until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplenishRequest {
    /// The request id of `Operation::Replenish`.
    pub request_id: [u8; 16],
    /// How many were asked for.
    pub count: u32,
}

/// Whether the store can be paid from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Key and anchor are there and match.
    Good,
    /// The host's key store cannot serve; `Store::ensure_key` tries again, except after
    /// `Invalidated`, which only `Store::renew` heals.
    KeyUnavailable(KeyStoreProblem),
    /// The file is older than the host's anchor, or another device's. Only `Store::renew` heals it.
    RolledBack,
}
