//! One report on everything that decides whether a tap would work now.

use nfcwallet_core::wallet as core;

use crate::error::Advice;
use crate::token::TokenStatus;

/// The report. A tap works when `blocking` is empty.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Readiness {
    /// Would a tap work now?
    pub is_ready: bool,
    /// The token status.
    pub status: TokenStatus,
    /// What keeps a tap from working, most basic first.
    pub blocking: Vec<Obstacle>,
}

/// One thing that keeps a tap from working, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Obstacle {
    /// The thing.
    pub condition: Condition,
    /// What to do about it, in words for a developer or for support.
    pub next_step: String,
}

/// What keeps a tap from working.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Condition {
    /// NFC is switched off: open the settings.
    NfcOff,
    /// Another app is the payment default: ask to become it, or take the foreground preference.
    NotDefaultPaymentApp,
    /// The screen is off: the platform does not route taps.
    ScreenOff,
    /// The device is locked: a tap asks for the user first (10003), unless the user proved presence within
    /// the last 30 s; transit taps go by their own switch.
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

impl From<core::Readiness> for Readiness {
    fn from(report: core::Readiness) -> Self {
        Self {
            is_ready: report.is_ready(),
            status: report.status.into(),
            blocking: report.blocking.into_iter().map(Obstacle::from).collect(),
        }
    }
}

impl From<core::Condition> for Obstacle {
    fn from(condition: core::Condition) -> Self {
        Self { next_step: condition.next_step().to_owned(), condition: condition.into() }
    }
}

impl From<core::Condition> for Condition {
    fn from(condition: core::Condition) -> Self {
        use core::Condition as From;
        match condition {
            From::NfcOff => Self::NfcOff,
            From::NotDefaultPaymentApp => Self::NotDefaultPaymentApp,
            From::ScreenOff => Self::ScreenOff,
            From::DeviceLocked => Self::DeviceLocked,
            From::DeviceUnsafe { reason } => Self::DeviceUnsafe { reason },
            From::DeviceUnknown => Self::DeviceUnknown,
            From::Token { status, advice } => Self::Token { status: status.into(), advice: advice.into() },
        }
    }
}
