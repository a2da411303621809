//! Progress, as the app shows it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who wants the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationMode {
    /// The user, now: ends in status 2.
    Manual,
    /// The app, ahead of time: ends in status 21 and waits for `confirm_activation`.
    Silent,
}

/// The phases, in order. A silent run ends after `Reporting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// One step forward.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Since the run began.
    pub elapsed: Duration,
    /// What the rest will take, by the phase's usual share; `None` before the first answer.
    pub remaining: Option<Duration>,
}
