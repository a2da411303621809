//! One report on everything that decides whether a tap would work now.

use crate::context::Context;
use crate::error::{Advice, KeyStoreProblem};
use crate::host::IntegrityVerdict;
use crate::storage::Health;
use crate::token::TokenStatus;

/// The report. A tap works when `blocking` is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The token status.
    pub status: TokenStatus,
    /// What keeps a tap from working, most basic first.
    pub blocking: Vec<Condition>,
}

impl Readiness {
    /// Would a tap work now?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.blocking.is_empty()
    }
}

/// One thing that keeps a tap from working.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// NFC is switched off: open the settings.
    NfcOff,
    /// Another app is the payment default: ask to become it, or take the foreground preference.
    NotDefaultPaymentApp,
    /// The screen is off: the platform does not route taps.
    ScreenOff,
    /// The device is locked: a tap asks for the user first (10003), unless the user proved presence
    /// within the last 30 s; transit taps go by their own switch.
    DeviceLocked,
    /// The host's verdict on the device.
    DeviceUnsafe {
        /// In the host's words.
        reason: String,
    },
    /// The host did not say how the device is, in time.
    DeviceUnknown,
    /// The token is not ready.
    Token {
        /// What it is instead.
        status: TokenStatus,
        /// What to do.
        advice: Advice,
    },
}

impl Condition {
    /// What to do about it, in words for a developer or for support.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::NfcOff => "switch NFC on in the device's settings",
            Self::NotDefaultPaymentApp => "make the app the default payment app, or take the foreground preference",
            Self::ScreenOff => "switch the screen on",
            Self::DeviceLocked => "unlock the device, or authenticate in the app before the tap",
            Self::DeviceUnsafe { .. } => "remove what the reason names; this device does not pay as it is",
            Self::DeviceUnknown => "make DeviceInfo::state answer within 100 ms, then ask again",
            Self::Token { status, advice } => match (status, advice) {
                (TokenStatus::Locked(_), _) => "unlock the token, or wait until whoever suspended it lifts that",
                (TokenStatus::Activating, _) => "wait for the activation, or call activate to go on with it",
                (TokenStatus::Prepared, _) => "let the user confirm, then call confirm_activation",
                (_, Advice::Authenticate) => "unlock the device, then ask again",
                (_, Advice::Reconnect) => "call connect with the logged-in user",
                (_, Advice::Replenish) => "call replenish",
                (_, Advice::Unlock) => "call unlock",
                (_, Advice::Confirm) => "call confirm_activation",
                (_, Advice::Sync) => "call sync_token",
                (_, Advice::Reactivate) => "call activate",
                (_, Advice::FreeSpace) => "free storage on the device, then ask again",
                (_, Advice::UpdateApp) => "update the app",
                (_, Advice::ReportBug) => "report it with the status",
                (_, Advice::Retry) => "ask again in a moment",
            },
        }
    }
}

pub(super) fn report(context: &Context, status: &TokenStatus) -> Readiness {
    let mut blocking = Vec::new();
    match context.calls.device_state() {
        Ok(device) => {
            if let IntegrityVerdict::Unsafe { reason } = device.integrity {
                blocking.push(Condition::DeviceUnsafe { reason });
            }
            let conditions = [
                (device.nfc_on, Condition::NfcOff),
                (device.default_payment_app, Condition::NotDefaultPaymentApp),
                (device.screen_on, Condition::ScreenOff),
                (device.unlocked, Condition::DeviceLocked),
            ];
            blocking.extend(conditions.into_iter().filter(|(fine, _)| !fine).map(|(_, condition)| condition));
        }
        Err(_) => blocking.push(Condition::DeviceUnknown),
    }
    if let Some(advice) = advice(status, || context.store.health()) {
        blocking.push(Condition::Token { status: status.clone(), advice });
    }
    Readiness { status: status.clone(), blocking }
}

fn advice(status: &TokenStatus, health: impl FnOnce() -> Health) -> Option<Advice> {
    match status {
        TokenStatus::Ready => None,
        TokenStatus::KeyStoreUnusable => Some(key_store_advice(&health())),
        TokenStatus::NoToken => Some(Advice::Reactivate),
        TokenStatus::Disconnected => Some(Advice::Reconnect),
        TokenStatus::QueryFailed => Some(Advice::Sync),
        TokenStatus::Activating => Some(Advice::Retry),
        TokenStatus::Locked(_) => Some(Advice::Unlock),
        TokenStatus::Prepared => Some(Advice::Confirm),
        TokenStatus::NoCredentials => Some(Advice::Replenish),
    }
}

/// A key that is only out of reach comes back; one that is gone is renewed by `connect`.
fn key_store_advice(health: &Health) -> Advice {
    match health {
        Health::KeyUnavailable(KeyStoreProblem::Locked | KeyStoreProblem::UserCancelled) => Advice::Authenticate,
        Health::KeyUnavailable(KeyStoreProblem::Invalidated | KeyStoreProblem::NotFound) | Health::RolledBack => {
            Advice::Reconnect
        }
        Health::KeyUnavailable(KeyStoreProblem::Failed { .. } | KeyStoreProblem::TimedOut) | Health::Good => {
            Advice::Retry
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(problem: KeyStoreProblem) -> Option<Advice> {
        advice(&TokenStatus::KeyStoreUnusable, || Health::KeyUnavailable(problem))
    }

    #[test]
    fn a_key_that_comes_back_never_costs_the_token() {
        assert_eq!(of(KeyStoreProblem::Locked), Some(Advice::Authenticate));
        assert_eq!(of(KeyStoreProblem::UserCancelled), Some(Advice::Authenticate));
        assert_eq!(of(KeyStoreProblem::TimedOut), Some(Advice::Retry));
        assert_eq!(of(KeyStoreProblem::Failed { reason: "busy".to_owned() }), Some(Advice::Retry));
    }

    #[test]
    fn a_key_that_is_gone_is_recovered_by_connect() {
        assert_eq!(of(KeyStoreProblem::Invalidated), Some(Advice::Reconnect));
        assert_eq!(of(KeyStoreProblem::NotFound), Some(Advice::Reconnect));
        assert_eq!(advice(&TokenStatus::KeyStoreUnusable, || Health::RolledBack), Some(Advice::Reconnect));
    }

    #[test]
    fn what_only_another_call_can_end_is_not_to_be_waited_for() {
        let of = |status| advice(&status, || Health::Good);
        assert_eq!(of(TokenStatus::Locked(Vec::new())), Some(Advice::Unlock));
        assert_eq!(of(TokenStatus::Prepared), Some(Advice::Confirm));
        assert_eq!(of(TokenStatus::QueryFailed), Some(Advice::Sync));
    }

    #[test]
    fn a_tokens_condition_says_its_own_next_step() {
        let step = |status, advice| Condition::Token { status, advice }.next_step();
        assert_eq!(step(TokenStatus::KeyStoreUnusable, Advice::Authenticate), "unlock the device, then ask again");
        assert_eq!(step(TokenStatus::NoCredentials, Advice::Replenish), "call replenish");
        assert!(step(TokenStatus::Prepared, Advice::Confirm).contains("confirm_activation"));
    }
}
