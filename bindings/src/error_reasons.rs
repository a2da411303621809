//! Why a call failed, by kind of error.

use nfcwallet_core as core;

use crate::millis;
use crate::token::{Suspender, suspenders};

/// Why an activation ended without an active token.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum ActivationFailure {
    /// The issuer or the service declined this user or device. Final.
    Declined {
        /// The service's reason code, fit to show to support.
        code: String,
    },
    /// The application was not finished in time at the service. Final.
    Expired,
    /// The poll budget is used up and the service has not decided. The next `activate` or `connect` goes on
    /// where this one stopped.
    StillPending,
    /// The card profile from the service breaks a rule of EMV or of this library.
    ProfileRefused {
        /// The tag or field and its fault.
        reason: String,
    },
}

impl From<core::error::ActivationFailure> for ActivationFailure {
    fn from(failure: core::error::ActivationFailure) -> Self {
        use core::error::ActivationFailure as From;
        match failure {
            From::Declined { code } => Self::Declined { code },
            From::Expired => Self::Expired,
            From::StillPending => Self::StillPending,
            From::ProfileRefused { reason } => Self::ProfileRefused { reason },
        }
    }
}

/// Why a call cannot be done with the token as it is.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum TokenProblem {
    /// Suspended; each party lifts only its own suspension.
    Suspended {
        /// By these parties.
        by: Vec<Suspender>,
    },
    /// The token awaits the user's confirmation (status 21).
    AwaitsConfirmation,
    /// An earlier lock, unlock or delete has an unknown outcome; call `sync_token`.
    OutcomeUnknown,
}

impl From<core::error::TokenProblem> for TokenProblem {
    fn from(problem: core::error::TokenProblem) -> Self {
        use core::error::TokenProblem as From;
        match problem {
            From::Suspended(by) => Self::Suspended { by: suspenders(by) },
            From::AwaitsConfirmation => Self::AwaitsConfirmation,
            From::OutcomeUnknown => Self::OutcomeUnknown,
        }
    }
}

/// What went wrong between the wallet and the service.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum NetworkProblem {
    /// The host says that the device is offline.
    Offline,
    /// No answer within the deadline.
    TimedOut {
        /// The deadline in milliseconds.
        limit_ms: u64,
    },
    /// The answer was empty, which the field's proxies use for "failed".
    Empty,
    /// The answer was over the cap.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The cap in bytes.
        limit: u64,
    },
    /// The proxy reported a failure (a status of the app's own server, a TLS error).
    Failed {
        /// In the host's words.
        reason: String,
    },
}

impl From<core::error::NetworkProblem> for NetworkProblem {
    fn from(problem: core::error::NetworkProblem) -> Self {
        use core::error::NetworkProblem as From;
        let number = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        match problem {
            From::Offline => Self::Offline,
            From::TimedOut { limit } => Self::TimedOut { limit_ms: millis(limit) },
            From::Empty => Self::Empty,
            From::TooLarge { bytes, limit } => Self::TooLarge { bytes: number(bytes), limit: number(limit) },
            From::Failed(reason) => Self::Failed { reason },
        }
    }
}

/// The service's refusals.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum ServiceProblem {
    /// Refused by policy.
    Declined {
        /// The service's reason code.
        code: String,
    },
    /// The service does not know this token or application.
    UnknownToken,
    /// Too many requests; try again after the pause.
    RateLimited {
        /// How long to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The service has no session for this request.
    SessionRequired,
    /// The service does not believe the phone's clock, even after it was corrected.
    ClockSkew,
    /// The logged-in user at the relay is not the user of this wallet.
    WrongUser,
    /// The token is suspended.
    Suspended,
    /// The service does not know this operation; the library is too new or too old.
    UnknownOperation,
    /// The service could not verify the device signature.
    BadSignature,
    /// The service failed inside.
    InternalFailure,
}

impl From<core::error::ServiceProblem> for ServiceProblem {
    fn from(problem: core::error::ServiceProblem) -> Self {
        use core::error::ServiceProblem as From;
        match problem {
            From::Declined { code } => Self::Declined { code },
            From::UnknownToken => Self::UnknownToken,
            From::RateLimited { retry_after } => Self::RateLimited { retry_after_ms: millis(retry_after) },
            From::SessionRequired => Self::SessionRequired,
            From::ClockSkew => Self::ClockSkew,
            From::WrongUser => Self::WrongUser,
            From::Suspended => Self::Suspended,
            From::UnknownOperation => Self::UnknownOperation,
            From::BadSignature => Self::BadSignature,
            From::Internal => Self::InternalFailure,
        }
    }
}

/// How the hardware key store failed.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum KeyStoreProblem {
    /// The device must be unlocked first.
    Locked,
    /// The key was invalidated (new fingerprint, lock screen removed).
    Invalidated,
    /// The key does not exist.
    NotFound,
    /// The user cancelled the prompt.
    UserCancelled,
    /// Any other failure.
    Failed {
        /// In the host's words.
        reason: String,
    },
    /// No answer within the deadline.
    TimedOut,
}

impl From<core::error::KeyStoreProblem> for KeyStoreProblem {
    fn from(problem: core::error::KeyStoreProblem) -> Self {
        use core::error::KeyStoreProblem as From;
        match problem {
            From::Locked => Self::Locked,
            From::Invalidated => Self::Invalidated,
            From::NotFound => Self::NotFound,
            From::UserCancelled => Self::UserCancelled,
            From::Failed { reason } => Self::Failed { reason },
            From::TimedOut => Self::TimedOut,
        }
    }
}
