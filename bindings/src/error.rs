//! The one public error, as every language sees it.

use nfcwallet_core as core;

use crate::error_reasons::{ActivationFailure, KeyStoreProblem, NetworkProblem, ServiceProblem, TokenProblem};

/// What the app should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
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

impl From<core::Advice> for Advice {
    fn from(advice: core::Advice) -> Self {
        use core::Advice as From;
        match advice {
            From::Retry => Self::Retry,
            From::Reconnect => Self::Reconnect,
            From::Authenticate => Self::Authenticate,
            From::Replenish => Self::Replenish,
            From::Unlock => Self::Unlock,
            From::Confirm => Self::Confirm,
            From::Sync => Self::Sync,
            From::Reactivate => Self::Reactivate,
            From::FreeSpace => Self::FreeSpace,
            From::UpdateApp => Self::UpdateApp,
            From::ReportBug => Self::ReportBug,
        }
    }
}

/// What every error says, whatever its kind. Fit for a log and for support: no card, token, key or user
/// is named.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ErrorInfo {
    /// The stable code: 10000 to 10011 are the field's, 19000 to 19999 ours. `docs/errors.md` explains
    /// each.
    pub code: u32,
    /// What the app should do next.
    pub advice: Advice,
    /// In words, for a log: lower case, English.
    pub text: String,
}

/// Every way in which a call on the wallet fails, named by what the app can do about it.
///
/// `code()`, `advice()` and `text()` are there for every kind; an app can go by the advice alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[uniffi::export(Debug, Display)]
#[error("{}", self.info().text)]
pub enum WalletError {
    /// No user is connected. Log in, call `connect`, and repeat the call.
    NotConnected {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// An argument or a configuration value is out of range. Nothing was changed.
    InvalidInput {
        /// Code, advice and text.
        info: ErrorInfo,
        /// The argument or configuration key, as the Rust library spells it.
        field: String,
    },
    /// The device did not pass the host's integrity verdict, or the service refuses it.
    DeviceUnsafe {
        /// Code, advice and text.
        info: ErrorInfo,
        /// What the host or the service said.
        reason: String,
    },
    /// An activation is running already. Wait for it; its progress goes to its own listener.
    ActivationInProgress {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The activation ended without a token. `Declined` and `Expired` are final for this application; a
    /// new `activate` starts a new one.
    ActivationFailed {
        /// Code, advice and text.
        info: ErrorInfo,
        /// Why.
        reason: ActivationFailure,
    },
    /// There is no token for this user on this device. Show the activation page.
    NoToken {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The token cannot do this now: it is suspended, or its state forbids the call.
    TokenUnavailable {
        /// Code, advice and text.
        info: ErrorInfo,
        /// Why.
        reason: TokenProblem,
    },
    /// The service could not be reached through the host's proxy, or did not answer in time. Nothing is
    /// lost: a repeated call continues under the same request id.
    Network {
        /// Code, advice and text.
        info: ErrorInfo,
        /// What went wrong on the way.
        reason: NetworkProblem,
    },
    /// An answer arrived that the service did not give to this request: changed, truncated, replayed, or
    /// meant for another wallet. Nothing was changed in the store.
    ProtocolViolation {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The service refused the request.
    Service {
        /// Code, advice and text.
        info: ErrorInfo,
        /// The service's typed refusal.
        reason: ServiceProblem,
    },
    /// A host interface failed, threw, or did not answer within its deadline.
    Host {
        /// Code, advice and text.
        info: ErrorInfo,
        /// The interface.
        interface_name: String,
    },
    /// The hardware key store cannot serve now. `Locked`: unlock the device and retry. `Invalidated`: the
    /// key is gone, credentials were wiped, re-activate.
    KeyStore {
        /// Code, advice and text.
        info: ErrorInfo,
        /// How it failed.
        reason: KeyStoreProblem,
    },
    /// Another wallet (process) holds the data directory.
    StoreBusy {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The disk is full. No cryptogram has left the device.
    StoreFull {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The data directory cannot be written to or read from.
    StoreUnusable {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The database file is damaged. It was set aside (never deleted); the wallet starts empty the next
    /// time it is opened.
    StoreCorrupt {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The database was written by a newer version of this library. It was left untouched.
    StoreTooNew {
        /// Code, advice and text.
        info: ErrorInfo,
        /// Schema version of the file.
        found: u32,
        /// Newest schema version of this library.
        known: u32,
    },
    /// The store was copied from another device, restored from a backup, or rolled back. It is never paid
    /// from again; activate anew.
    StoreRolledBack {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The wallet was shut down; open a new one.
    ShutDown {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// A defect of this library. The text names the place.
    Bug {
        /// Code, advice and text.
        info: ErrorInfo,
    },
    /// The call's [`crate::Cancellation`] was used before the answer. What the service had learnt by
    /// then stands: the status says what is, and the same call goes on where this one stopped.
    Cancelled {
        /// Code, advice and text.
        info: ErrorInfo,
    },
}

#[uniffi::export]
impl WalletError {
    /// The stable numeric code: 10000 to 10011 are the field's, 19000 to 19999 ours.
    pub fn code(&self) -> u32 {
        self.info().code
    }

    /// What the app should do next.
    pub fn advice(&self) -> Advice {
        self.info().advice
    }

    /// In words, for a log: lower case, English.
    pub fn text(&self) -> String {
        self.info().text.clone()
    }
}

impl WalletError {
    /// The only error that the wallet below does not know: there, a call that nobody waits for is dropped.
    pub(crate) fn cancelled() -> Self {
        // docs/errors.md is written from this.
        Self::Cancelled {
            info: ErrorInfo { code: 19041, advice: Advice::Retry, text: "the call was cancelled".to_owned() },
        }
    }

    fn info(&self) -> &ErrorInfo {
        match self {
            Self::NotConnected { info }
            | Self::InvalidInput { info, .. }
            | Self::DeviceUnsafe { info, .. }
            | Self::ActivationInProgress { info }
            | Self::ActivationFailed { info, .. }
            | Self::NoToken { info }
            | Self::TokenUnavailable { info, .. }
            | Self::Network { info, .. }
            | Self::ProtocolViolation { info }
            | Self::Service { info, .. }
            | Self::Host { info, .. }
            | Self::KeyStore { info, .. }
            | Self::StoreBusy { info }
            | Self::StoreFull { info }
            | Self::StoreUnusable { info }
            | Self::StoreCorrupt { info }
            | Self::StoreTooNew { info, .. }
            | Self::StoreRolledBack { info }
            | Self::ShutDown { info }
            | Self::Bug { info }
            | Self::Cancelled { info } => info,
        }
    }
}

impl From<core::WalletError> for WalletError {
    fn from(error: core::WalletError) -> Self {
        use core::WalletError as From;
        let info = ErrorInfo { code: error.code(), advice: error.advice().into(), text: error.to_string() };
        match error {
            From::NotConnected => Self::NotConnected { info },
            From::InvalidInput { field, .. } => Self::InvalidInput { info, field: field.to_owned() },
            From::DeviceUnsafe { reason } => Self::DeviceUnsafe { info, reason },
            From::ActivationInProgress => Self::ActivationInProgress { info },
            From::ActivationFailed { reason } => Self::ActivationFailed { info, reason: reason.into() },
            From::NoToken => Self::NoToken { info },
            From::TokenUnavailable { reason } => Self::TokenUnavailable { info, reason: reason.into() },
            From::Network { reason } => Self::Network { info, reason: reason.into() },
            From::Protocol { .. } => Self::ProtocolViolation { info },
            From::Service { reason } => Self::Service { info, reason: reason.into() },
            From::Host { interface, .. } => Self::Host { info, interface_name: interface.to_owned() },
            From::KeyStore { reason } => Self::KeyStore { info, reason: reason.into() },
            From::StoreBusy => Self::StoreBusy { info },
            From::StoreFull => Self::StoreFull { info },
            From::StoreUnusable { .. } => Self::StoreUnusable { info },
            From::StoreCorrupt => Self::StoreCorrupt { info },
            From::StoreTooNew { found, known } => Self::StoreTooNew { info, found, known },
            From::StoreRolledBack => Self::StoreRolledBack { info },
            From::ShutDown => Self::ShutDown { info },
            From::Bug { .. } => Self::Bug { info },
            // A kind that this crate does not know yet keeps its code, advice and text.
            _ => Self::Bug { info },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nfcwallet_core::error::{
        ActivationFailure, KeyStoreProblem, NetworkProblem, ServiceProblem, TokenProblem, WalletError as Core,
    };

    use super::WalletError;

    /// One of each kind, under the name of its variant.
    fn one_of_each() -> Vec<(&'static str, Core)> {
        let said = || "said".to_owned();
        vec![
            ("NotConnected", Core::NotConnected),
            ("InvalidInput", Core::InvalidInput { field: "user", reason: said() }),
            ("DeviceUnsafe", Core::DeviceUnsafe { reason: said() }),
            ("ActivationInProgress", Core::ActivationInProgress),
            ("ActivationFailed", Core::ActivationFailed { reason: ActivationFailure::Expired }),
            ("NoToken", Core::NoToken),
            ("TokenUnavailable", Core::TokenUnavailable { reason: TokenProblem::OutcomeUnknown }),
            ("Network", Core::Network { reason: NetworkProblem::TimedOut { limit: Duration::from_secs(15) } }),
            ("Protocol", Core::Protocol { reason: "said" }),
            ("Service", Core::Service { reason: ServiceProblem::WrongUser }),
            ("Host", Core::Host { interface: "DeviceInfo", reason: said() }),
            ("KeyStore", Core::KeyStore { reason: KeyStoreProblem::Locked }),
            ("StoreBusy", Core::StoreBusy),
            ("StoreFull", Core::StoreFull),
            ("StoreUnusable", Core::StoreUnusable { reason: "said" }),
            ("StoreCorrupt", Core::StoreCorrupt),
            ("StoreTooNew", Core::StoreTooNew { found: 9, known: 3 }),
            ("StoreRolledBack", Core::StoreRolledBack),
            ("ShutDown", Core::ShutDown),
            ("Bug", Core::Bug { code: "place" }),
        ]
    }

    /// The kinds of error, as the source of the wallet below declares them.
    fn declared() -> Vec<String> {
        let source = include_str!("../../core/src/error.rs");
        let body = source.split_once("pub enum WalletError {").unwrap().1.split_once("\n}").unwrap().0;
        let names = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(char::is_uppercase));
        names.map(|line| line.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
    }

    #[test]
    fn every_kind_of_error_stays_itself_and_keeps_code_advice_and_text() {
        assert_eq!(declared(), one_of_each().iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (name, error) in one_of_each() {
            let (code, advice, text) = (error.code(), error.advice(), error.to_string());
            let ours = WalletError::from(error);
            assert_eq!((ours.code(), ours.advice(), ours.text()), (code, advice.into(), text.clone()));
            assert_eq!(ours.to_string(), text);
            assert!(format!("{ours:?}").starts_with(name), "{ours:?} is not {name}");
        }
    }

    #[test]
    fn the_code_of_a_cancelled_call_is_no_other_errors() {
        let cancelled = WalletError::cancelled().code();
        assert!((19_000..20_000).contains(&cancelled));
        assert!(one_of_each().iter().all(|(_, error)| error.code() != cancelled));
    }
}
