//! One report on everything that decides whether a tap would work now.

use crate::context::Context;
use crate::error::Advice;
use crate::host::IntegrityVerdict;
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
    /// The device is locked: only transit taps, where enabled.
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
    if let Some(advice) = advice(status) {
        blocking.push(Condition::Token { status: status.clone(), advice });
    }
    Readiness { status: status.clone(), blocking }
}

fn advice(status: &TokenStatus) -> Option<Advice> {
    match status {
        TokenStatus::Ready => None,
        TokenStatus::KeyStoreUnusable | TokenStatus::NoToken => Some(Advice::Reactivate),
        TokenStatus::Disconnected => Some(Advice::Reconnect),
        TokenStatus::QueryFailed | TokenStatus::Activating | TokenStatus::Locked(_) | TokenStatus::Prepared => {
            Some(Advice::Retry)
        }
        TokenStatus::NoCredentials => Some(Advice::Replenish),
    }
}
