//! Token status and page: derived by one function, never stored.

use serde::{Deserialize, Serialize};

/// A party that can suspend a token. Each lifts only its own suspension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspender {
    /// The user, by `lock`.
    User,
    /// The issuer.
    Issuer,
    /// The card scheme.
    Scheme,
}

/// The token status, by the field's codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenStatus {
    /// -3: the key store or the store cannot be used.
    KeyStoreUnusable,
    /// -2: no user is connected.
    Disconnected,
    /// -1: the status could not be read, or an earlier call has an unknown outcome.
    QueryFailed,
    /// 0: no token.
    NoToken,
    /// 1: a token without usable credentials.
    NoCredentials,
    /// 2: ready to pay.
    Ready,
    /// 3: locked, by at least one party.
    Locked(Vec<Suspender>),
    /// 11: an activation is unfinished.
    Activating,
    /// 21: prepared silently, needs the user's confirmation.
    Prepared,
}

impl TokenStatus {
    /// The field's numeric code.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::KeyStoreUnusable => -3,
            Self::Disconnected => -2,
            Self::QueryFailed => -1,
            Self::NoToken => 0,
            Self::NoCredentials => 1,
            Self::Ready => 2,
            Self::Locked(_) => 3,
            Self::Activating => 11,
            Self::Prepared => 21,
        }
    }

    /// The screen that the status asks for.
    #[must_use]
    pub fn page(&self) -> Page {
        match self {
            Self::KeyStoreUnusable | Self::QueryFailed => Page::Recovery,
            Self::Disconnected => Page::LogIn,
            Self::NoToken => Page::Activation,
            Self::NoCredentials => Page::Replenish,
            Self::Ready => Page::Payment,
            Self::Locked(_) => Page::Unlock,
            Self::Activating => Page::Progress,
            Self::Prepared => Page::Confirm,
        }
    }
}

/// The screen that a token status asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Explain, and offer the one call that recovers.
    Recovery,
    /// Log in, then `connect`.
    LogIn,
    /// Offer activation.
    Activation,
    /// Replenish, with a loading sign.
    Replenish,
    /// Pay.
    Payment,
    /// Offer unlock, and say who locked.
    Unlock,
    /// Show the progress of the activation.
    Progress,
    /// Activation page whose button confirms (`confirm_activation`).
    Confirm,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/architecture.md");

    #[test]
    fn the_page_on_architecture_shows_every_status_and_its_page() {
        let all = [
            TokenStatus::KeyStoreUnusable,
            TokenStatus::Disconnected,
            TokenStatus::QueryFailed,
            TokenStatus::NoToken,
            TokenStatus::NoCredentials,
            TokenStatus::Ready,
            TokenStatus::Locked(vec![Suspender::User]),
            TokenStatus::Activating,
            TokenStatus::Prepared,
        ];
        for status in all {
            let name = format!("{status:?}");
            let name = name.split('(').next().unwrap();
            let (begin, end) = (format!("| {} | `{name}`", status.code()), format!("| `{:?}` |", status.page()));
            assert!(PAGE.lines().any(|line| line.starts_with(&begin) && line.ends_with(&end)), "{begin} … {end}");
        }
    }
}
