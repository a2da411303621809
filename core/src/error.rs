//! The one public error, and what the app can do about it.
//!
//! `docs/errors.md` is generated from the doc comments of this file (`cargo xtask docs`).
//! No field holds a PAN, token number, key, user id or payload.

use std::time::Duration;

use crate::token::Suspender;

/// Shorthand for results of the public surface.
pub type Result<T> = std::result::Result<T, WalletError>;

/// What the app should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Try the same call again, later where the error says when.
    Retry,
    /// Call `connect` with the logged-in user, then try again.
    Reconnect,
    /// Let the user prove presence, then `authenticate`, then tap again.
    Authenticate,
    /// Call `replenish`.
    Replenish,
    /// Call `unlock`. It lifts the user's lock only, and says who else holds the token.
    Unlock,
    /// Let the user confirm, then call `confirm_activation`.
    Confirm,
    /// Call `sync_token`: the service knows what this phone does not.
    Sync,
    /// Call `activate`; the old token is of no more use on this device.
    Reactivate,
    /// Free storage on the device, then try again.
    FreeSpace,
    /// Update the app (or the operating system) before trying again.
    UpdateApp,
    /// A bug of the app, the servers or this library: report it with the code.
    ReportBug,
}

/// Every way in which a call on the wallet fails.
///
/// Named by what the app can do about it. `code()` is stable: 10000 to 10011 are the field's codes,
/// 19000 to 19999 are ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// No user is connected. Log in, call `connect`, and repeat the call.
    #[error("no user is connected")]
    NotConnected,

    /// An argument or a configuration value is out of range. The field and the limit are named;
    /// nothing was changed.
    #[error("{field}: {reason}")]
    InvalidInput {
        /// The argument or configuration key.
        field: &'static str,
        /// The value's fault and the limit.
        reason: String,
    },

    /// The device did not pass the host's integrity verdict, or the service refuses it.
    #[error("the device is not safe for payments: {reason}")]
    DeviceUnsafe {
        /// What the host or the service said.
        reason: String,
    },

    /// An activation is running already. Wait for it; its progress goes to its own listener.
    #[error("an activation is in progress")]
    ActivationInProgress,

    /// The activation ended without a token, and says why. `Declined` and `Expired` are final for
    /// this application; a new `activate` starts a new one.
    #[error("activation failed: {reason}")]
    ActivationFailed {
        /// Why.
        reason: ActivationFailure,
    },

    /// There is no token for this user on this device. Show the activation page.
    #[error("no token on this device")]
    NoToken,

    /// The token cannot do this now: it is suspended, or its state forbids the call.
    #[error("the token is not available: {reason}")]
    TokenUnavailable {
        /// Why.
        reason: TokenProblem,
    },

    /// The service could not be reached through the host's proxy, or did not answer in time.
    /// Nothing is lost: a repeated call continues under the same request id.
    #[error("network: {reason}")]
    Network {
        /// What went wrong on the way.
        reason: NetworkProblem,
    },

    /// An answer arrived that the service did not give to this request: changed, truncated,
    /// replayed, or meant for another wallet. Nothing was changed in the store.
    #[error("protocol: {reason}")]
    Protocol {
        /// What was wrong with the answer.
        reason: &'static str,
    },

    /// The service refused the request.
    #[error("the token service refused: {reason}")]
    Service {
        /// The service's typed refusal.
        reason: ServiceProblem,
    },

    /// A host interface failed, panicked, or did not answer within its deadline.
    #[error("host interface {interface} failed: {reason}")]
    Host {
        /// The trait of `host`.
        interface: &'static str,
        /// How it failed.
        reason: String,
    },

    /// The hardware key store cannot serve now. `Locked`: unlock the device and retry.
    /// `Invalidated`: the key is gone, credentials were wiped, re-activate.
    #[error("key store: {reason}")]
    KeyStore {
        /// How it failed.
        reason: KeyStoreProblem,
    },

    /// Another wallet (process) holds the data directory.
    #[error("the data directory is in use by another wallet")]
    StoreBusy,

    /// The disk is full. No cryptogram has left the device.
    #[error("the disk is full")]
    StoreFull,

    /// The data directory cannot be written to or read from.
    #[error("the data directory cannot be used: {reason}")]
    StoreUnusable {
        /// What the operating system said, in general terms.
        reason: &'static str,
    },

    /// The database file is damaged. It was set aside (never deleted); the wallet starts empty
    /// after the next `init`.
    #[error("the store is corrupt and was set aside")]
    StoreCorrupt,

    /// The database was written by a newer version of this library. It was left untouched.
    #[error("the store has schema {found}, this library knows up to {known}")]
    StoreTooNew {
        /// Schema version of the file.
        found: u32,
        /// Newest schema version of this library.
        known: u32,
    },

    /// The store was copied from another device, restored from a backup, or rolled back. It is
    /// never paid from again; activate anew.
    #[error("the store was rolled back or copied")]
    StoreRolledBack,

    /// The wallet was shut down; make a new one with `init`.
    #[error("the wallet was shut down")]
    ShutDown,

    /// A defect of this library. The code finds the place.
    #[error("internal error {code}")]
    Bug {
        /// Stable name of the broken invariant.
        code: &'static str,
    },
}

impl WalletError {
    /// The stable numeric code: 10000 to 10011 are the field's, 19000 to 19999 ours.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::ActivationFailed { .. } => 10001,
            Self::DeviceUnsafe { .. } => 10002,
            Self::Bug { .. } => 10004,
            Self::Network { .. } => 10005,
            Self::NotConnected => 10006,
            Self::TokenUnavailable { .. } => 10008,
            Self::NoToken => 10009,
            Self::ActivationInProgress => 10010,
            Self::InvalidInput { .. } => 10011,
            Self::KeyStore { .. } => 19005,
            Self::Protocol { .. } => 19020,
            Self::Service { .. } => 19021,
            Self::Host { .. } => 19022,
            Self::StoreBusy => 19030,
            Self::StoreFull => 19031,
            Self::StoreUnusable { .. } => 19032,
            Self::StoreCorrupt => 19033,
            Self::StoreTooNew { .. } => 19034,
            Self::StoreRolledBack => 19035,
            Self::ShutDown => 19040,
        }
    }

    /// What the app should do next.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotConnected | Self::ShutDown => Advice::Reconnect,
            Self::InvalidInput { .. } | Self::Bug { .. } | Self::Host { .. } | Self::Protocol { .. } => {
                Advice::ReportBug
            }
            Self::DeviceUnsafe { .. } | Self::StoreTooNew { .. } => Advice::UpdateApp,
            Self::ActivationInProgress | Self::Network { .. } | Self::StoreBusy => Advice::Retry,
            Self::ActivationFailed { reason } => match reason {
                ActivationFailure::StillPending => Advice::Retry,
                ActivationFailure::Declined { .. }
                | ActivationFailure::Expired
                | ActivationFailure::ProfileRefused { .. } => Advice::Reactivate,
            },
            Self::NoToken | Self::StoreCorrupt | Self::StoreRolledBack => Advice::Reactivate,
            Self::TokenUnavailable { reason } => reason.advice(),
            Self::Service { reason } => reason.advice(),
            Self::KeyStore { reason } => match reason {
                KeyStoreProblem::Locked | KeyStoreProblem::UserCancelled => Advice::Authenticate,
                KeyStoreProblem::Invalidated | KeyStoreProblem::NotFound => Advice::Reactivate,
                KeyStoreProblem::Failed { .. } | KeyStoreProblem::TimedOut => Advice::Retry,
            },
            Self::StoreFull | Self::StoreUnusable { .. } => Advice::FreeSpace,
        }
    }
}

/// Why an activation ended without an active token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationFailure {
    /// The issuer or the service declined this user or device. Final.
    #[error("declined ({code})")]
    Declined {
        /// The service's reason code, fit to show to support.
        code: String,
    },
    /// The application was not finished in time at the service. Final.
    #[error("the application expired")]
    Expired,
    /// The poll budget is used up and the service has not decided. The journal stays: the next
    /// `activate` or `connect` goes on where this one stopped.
    #[error("the service has not decided yet")]
    StillPending,
    /// The card profile from the service breaks a rule of EMV or of this library.
    #[error("the card profile was refused: {reason}")]
    ProfileRefused {
        /// The tag or field and its fault.
        reason: String,
    },
}

/// Why a call cannot be done with the token as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// Suspended by these parties; each lifts only its own suspension.
    #[error("suspended by {0:?}")]
    Suspended(Vec<Suspender>),
    /// The token awaits the user's confirmation (status 21).
    #[error("it awaits the user's confirmation")]
    AwaitsConfirmation,
    /// An earlier lock, unlock or delete has an unknown outcome; call `sync_token`.
    #[error("the outcome of an earlier call is unknown")]
    OutcomeUnknown,
}

impl TokenProblem {
    fn advice(&self) -> Advice {
        match self {
            Self::Suspended(_) => Advice::Unlock,
            Self::AwaitsConfirmation => Advice::Confirm,
            Self::OutcomeUnknown => Advice::Sync,
        }
    }
}

/// What went wrong between the wallet and the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkProblem {
    /// The host says that the device is offline.
    #[error("offline")]
    Offline,
    /// No answer within the deadline.
    #[error("no answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The deadline.
        limit: Duration,
    },
    /// The answer was empty, which the field's proxies use for "failed".
    #[error("the answer was empty")]
    Empty,
    /// The answer was over the cap.
    #[error("the answer is {bytes} bytes, limit {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The proxy reported a failure (a status of the app's own server, a TLS error).
    #[error("{0}")]
    Failed(String),
}

/// The service's refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceProblem {
    /// Refused by policy.
    #[error("declined ({code})")]
    Declined {
        /// The service's reason code.
        code: String,
    },
    /// The service does not know this token or application.
    #[error("unknown token")]
    UnknownToken,
    /// Too many requests; try again after the pause.
    #[error("rate limited, retry after {} ms", retry_after.as_millis())]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The service has no session for this request.
    #[error("session required")]
    SessionRequired,
    /// The service does not believe the phone's clock, even after it was corrected.
    #[error("clock skew")]
    ClockSkew,
    /// The logged-in user at the relay is not the user of this wallet.
    #[error("wrong user")]
    WrongUser,
    /// The token is suspended.
    #[error("suspended")]
    Suspended,
    /// The service does not know this operation; the library is too new or too old.
    #[error("unknown operation")]
    UnknownOperation,
    /// The service could not verify the device signature.
    #[error("bad signature")]
    BadSignature,
    /// The service failed inside.
    #[error("internal failure of the service")]
    Internal,
}

impl ServiceProblem {
    fn advice(&self) -> Advice {
        match self {
            Self::Declined { .. } | Self::UnknownToken | Self::BadSignature => Advice::Reactivate,
            Self::RateLimited { .. } | Self::SessionRequired | Self::ClockSkew | Self::Internal => Advice::Retry,
            // The phone did not know.
            Self::Suspended => Advice::Sync,
            Self::WrongUser => Advice::Reconnect,
            Self::UnknownOperation => Advice::UpdateApp,
        }
    }
}

/// How the hardware key store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreProblem {
    /// The device must be unlocked first.
    #[error("locked")]
    Locked,
    /// The key was invalidated (new fingerprint, lock screen removed).
    #[error("the key was invalidated")]
    Invalidated,
    /// The key does not exist.
    #[error("the key was not found")]
    NotFound,
    /// The user cancelled the prompt.
    #[error("the user cancelled")]
    UserCancelled,
    /// Any other failure, in the host's words.
    #[error("{reason}")]
    Failed {
        /// The host's words.
        reason: String,
    },
    /// No answer within the deadline.
    #[error("no answer in time")]
    TimedOut,
}
