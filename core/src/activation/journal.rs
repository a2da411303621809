//! The activation's journal: what a restart needs to go on where a kill stopped it.

use serde::{Deserialize, Serialize};

use super::{ActivationMode, ActivationPhase};
use crate::token_service::RequestId;

/// One activation run. Written before each request leaves; the request ids are derived from `run`,
/// so that a repeated step is the same request to the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// Random, 16 bytes.
    pub(crate) run: [u8; 16],
    /// Manual, or silent until a manual `activate` or a confirm takes the run over.
    pub(crate) mode: ActivationMode,
    /// The step to do next.
    pub(crate) step: Step,
    /// Highest percentage that was reported.
    pub(crate) percent: u8,
    /// Time spent in earlier processes.
    pub(crate) elapsed_ms: u64,
    /// From the service.
    pub(crate) application_id: Option<String>,
    /// From the service.
    pub(crate) session_id: Option<String>,
    /// A silent run that failed: the app sees status 0, and the next run takes it up.
    pub(crate) parked: bool,
}

/// The steps, each idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// The application is sent, or was.
    Apply,
    /// Poll until it is decided.
    AwaitApproval,
    /// Poll until a session is open.
    OpenSession,
    /// Fetch and store the card.
    Provision,
    /// The card was stored; tell the service.
    Report,
    /// Poll until the service has activated the token.
    ActivateAtService,
    /// The service has; activate here.
    ActivateLocally,
}

impl Step {
    /// The phase in which a run begins that finds this step in its journal.
    pub(crate) fn phase(self) -> ActivationPhase {
        match self {
            Self::Apply => ActivationPhase::Applying,
            Self::AwaitApproval => ActivationPhase::AwaitingApproval,
            Self::OpenSession => ActivationPhase::OpeningSession,
            Self::Provision => ActivationPhase::Provisioning,
            Self::Report => ActivationPhase::Reporting,
            Self::ActivateAtService => ActivationPhase::ActivatingAtService,
            Self::ActivateLocally => ActivationPhase::ActivatingLocally,
        }
    }
}

impl Journal {
    /// A new run.
    pub(crate) fn new(run: [u8; 16], mode: ActivationMode, step: Step) -> Self {
        Self { run, mode, step, percent: 0, elapsed_ms: 0, application_id: None, session_id: None, parked: false }
    }

    /// The request id of the run's one request of this kind.
    pub(crate) fn request_id(&self, label: &str) -> RequestId {
        RequestId::derive(&self.run, label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_repeated_after_a_restart_is_the_same_request() {
        let journal = Journal::new([7; 16], ActivationMode::Manual, Step::Apply);
        let json = serde_json::to_string(&journal).unwrap();
        let restored: Journal = serde_json::from_str(&json).unwrap();
        assert_eq!(journal.request_id("apply"), restored.request_id("apply"));
        assert_ne!(journal.request_id("apply"), journal.request_id("provision"));
    }
}
