//! Modes and progress of an activation.

use nfcwallet_core::activation as core;

use crate::millis;

/// Who wants the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum ActivationMode {
    /// The user, now: ends in status 2.
    Manual,
    /// The app, ahead of time: ends in status 21 and waits for `confirm_activation`.
    Silent,
}

impl From<ActivationMode> for core::ActivationMode {
    fn from(mode: ActivationMode) -> Self {
        match mode {
            ActivationMode::Manual => Self::Manual,
            ActivationMode::Silent => Self::Silent,
        }
    }
}

impl From<core::ActivationMode> for ActivationMode {
    fn from(mode: core::ActivationMode) -> Self {
        match mode {
            core::ActivationMode::Manual => Self::Manual,
            core::ActivationMode::Silent => Self::Silent,
        }
    }
}

/// The phases, in order. A silent run ends after `Reporting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum ActivationPhase {
    /// Service keys.
    Preparing,
    /// Fingerprint and integrity verdict.
    CheckingDevice,
    /// The application is sent.
    Applying,
    /// Polling until the application is decided.
    AwaitingApproval,
    /// Polling until a session is open.
    OpeningSession,
    /// Fetching the card and the first credentials.
    Provisioning,
    /// Checking and storing them.
    Storing,
    /// Telling the service.
    Reporting,
    /// Polling until the service has activated the token.
    ActivatingAtService,
    /// Activating locally.
    ActivatingLocally,
    /// Finished.
    Done,
}

impl From<core::ActivationPhase> for ActivationPhase {
    fn from(phase: core::ActivationPhase) -> Self {
        use core::ActivationPhase as From;
        match phase {
            From::Preparing => Self::Preparing,
            From::CheckingDevice => Self::CheckingDevice,
            From::Applying => Self::Applying,
            From::AwaitingApproval => Self::AwaitingApproval,
            From::OpeningSession => Self::OpeningSession,
            From::Provisioning => Self::Provisioning,
            From::Storing => Self::Storing,
            From::Reporting => Self::Reporting,
            From::ActivatingAtService => Self::ActivatingAtService,
            From::ActivatingLocally => Self::ActivatingLocally,
            From::Done => Self::Done,
        }
    }
}

/// One step forward.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ActivationProgress {
    /// Manual or silent.
    pub mode: ActivationMode,
    /// What is being done now.
    pub phase: ActivationPhase,
    /// The phase's number, from 1.
    pub step: u32,
    /// How many phases this run has.
    pub total: u32,
    /// 0 to 100; never falls within a run, also across a restart.
    pub percent: u8,
    /// The user must pass a check at the app's own server before it goes on.
    pub step_up_required: bool,
    /// Milliseconds since the run began.
    pub elapsed_ms: u64,
    /// Milliseconds that the rest will take, by the phase's usual share; absent before the first answer.
    pub remaining_ms: Option<u64>,
}

impl From<core::ActivationProgress> for ActivationProgress {
    fn from(progress: core::ActivationProgress) -> Self {
        Self {
            mode: progress.mode.into(),
            phase: progress.phase.into(),
            step: progress.step,
            total: progress.total,
            percent: progress.percent,
            step_up_required: progress.step_up_required,
            elapsed_ms: millis(progress.elapsed),
            remaining_ms: progress.remaining.map(millis),
        }
    }
}
