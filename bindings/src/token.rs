//! Token status and page.

use nfcwallet_core::token as core;

/// A party that can suspend a token. Each lifts only its own suspension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum Suspender {
    /// The user, by `lock`.
    User,
    /// The issuer.
    Issuer,
    /// The card scheme.
    Scheme,
}

impl From<core::Suspender> for Suspender {
    fn from(party: core::Suspender) -> Self {
        match party {
            core::Suspender::User => Self::User,
            core::Suspender::Issuer => Self::Issuer,
            core::Suspender::Scheme => Self::Scheme,
        }
    }
}

impl From<Suspender> for core::Suspender {
    fn from(party: Suspender) -> Self {
        match party {
            Suspender::User => Self::User,
            Suspender::Issuer => Self::Issuer,
            Suspender::Scheme => Self::Scheme,
        }
    }
}

pub(crate) fn suspenders(parties: Vec<core::Suspender>) -> Vec<Suspender> {
    parties.into_iter().map(Suspender::from).collect()
}

/// The token status, by the field's codes.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
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
    Locked {
        /// By these parties.
        by: Vec<Suspender>,
    },
    /// 11: an activation is unfinished.
    Activating,
    /// 21: prepared silently, needs the user's confirmation.
    Prepared,
}

#[uniffi::export]
impl TokenStatus {
    /// The field's numeric code: -3 to 3, 11 or 21.
    pub fn code(&self) -> i32 {
        core::TokenStatus::from(self.clone()).code()
    }

    /// The screen that the status asks for.
    pub fn page(&self) -> Page {
        core::TokenStatus::from(self.clone()).page().into()
    }
}

impl From<core::TokenStatus> for TokenStatus {
    fn from(status: core::TokenStatus) -> Self {
        use core::TokenStatus as From;
        match status {
            From::KeyStoreUnusable => Self::KeyStoreUnusable,
            From::Disconnected => Self::Disconnected,
            From::QueryFailed => Self::QueryFailed,
            From::NoToken => Self::NoToken,
            From::NoCredentials => Self::NoCredentials,
            From::Ready => Self::Ready,
            From::Locked(by) => Self::Locked { by: suspenders(by) },
            From::Activating => Self::Activating,
            From::Prepared => Self::Prepared,
        }
    }
}

impl From<TokenStatus> for core::TokenStatus {
    fn from(status: TokenStatus) -> Self {
        use TokenStatus as From;
        match status {
            From::KeyStoreUnusable => Self::KeyStoreUnusable,
            From::Disconnected => Self::Disconnected,
            From::QueryFailed => Self::QueryFailed,
            From::NoToken => Self::NoToken,
            From::NoCredentials => Self::NoCredentials,
            From::Ready => Self::Ready,
            From::Locked { by } => Self::Locked(by.into_iter().map(Into::into).collect()),
            From::Activating => Self::Activating,
            From::Prepared => Self::Prepared,
        }
    }
}

/// The screen that a token status asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
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

impl From<core::Page> for Page {
    fn from(page: core::Page) -> Self {
        match page {
            core::Page::Recovery => Self::Recovery,
            core::Page::LogIn => Self::LogIn,
            core::Page::Activation => Self::Activation,
            core::Page::Replenish => Self::Replenish,
            core::Page::Payment => Self::Payment,
            core::Page::Unlock => Self::Unlock,
            core::Page::Progress => Self::Progress,
            core::Page::Confirm => Self::Confirm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_keeps_its_code_and_its_page() {
        use nfcwallet_core::token::TokenStatus as Status;
        let held = Status::Locked(vec![core::Suspender::User, core::Suspender::Issuer, core::Suspender::Scheme]);
        let all = [
            (Status::KeyStoreUnusable, -3, Page::Recovery),
            (Status::Disconnected, -2, Page::LogIn),
            (Status::QueryFailed, -1, Page::Recovery),
            (Status::NoToken, 0, Page::Activation),
            (Status::NoCredentials, 1, Page::Replenish),
            (Status::Ready, 2, Page::Payment),
            (held, 3, Page::Unlock),
            (Status::Activating, 11, Page::Progress),
            (Status::Prepared, 21, Page::Confirm),
        ];
        for (status, code, page) in all {
            let ours = TokenStatus::from(status.clone());
            assert_eq!((ours.code(), ours.page()), (code, page));
            assert_eq!(core::TokenStatus::from(ours), status);
        }
    }
}
