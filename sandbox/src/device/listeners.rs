//! The app's side of a tap: a permit that a test sets, and listeners that keep what they hear.

use std::sync::Mutex;
use std::time::Duration;

use nfcwallet_core::activation::ActivationProgress;
use nfcwallet_core::host::{
    ActivationListener, Delivered, HostError, Monitor, MonitorEvent, PermitDecision, RiskControl, TransactionListener,
    TransactionPermit,
};
use nfcwallet_core::payment::{TapFailure, TapId, TransactionInformation, TransactionRecord};

use crate::token_service::locked;

/// What the app was asked before a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitQuestion {
    /// The user proved presence within the window.
    pub auth_before: bool,
    /// The transaction.
    pub transaction: TransactionInformation,
    /// What the wallet's own rules say.
    pub risk: RiskControl,
}

/// A permit that answers what a test sets; `Proceed` at first.
#[derive(Debug)]
pub struct SimPermit {
    inner: Mutex<PermitState>,
}

#[derive(Debug)]
struct PermitState {
    answer: Result<PermitDecision, HostError>,
    pause: Duration,
    asked: Vec<PermitQuestion>,
}

impl Default for SimPermit {
    fn default() -> Self {
        let answer = Ok(PermitDecision::Proceed);
        Self { inner: Mutex::new(PermitState { answer, pause: Duration::ZERO, asked: Vec::new() }) }
    }
}

impl SimPermit {
    /// Sets the answer.
    pub fn answer(&self, answer: Result<PermitDecision, HostError>) {
        locked(&self.inner).answer = answer;
    }

    /// Each answer takes this long from now on.
    pub fn slow_down(&self, pause: Duration) {
        locked(&self.inner).pause = pause;
    }

    /// What was asked so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<PermitQuestion> {
        locked(&self.inner).asked.clone()
    }
}

impl TransactionPermit for SimPermit {
    fn is_allowed(
        &self,
        auth_before: bool,
        transaction: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError> {
        let pause = {
            let mut inner = locked(&self.inner);
            inner.asked.push(PermitQuestion { auth_before, transaction, risk });
            inner.pause
        };
        std::thread::sleep(pause);
        locked(&self.inner).answer.clone()
    }
}

/// Something that the wallet told the app.
#[derive(Debug, Clone, PartialEq)]
pub enum AppEvent {
    /// `on_start`
    Started(TapId),
    /// `on_complete`
    Completed(TapId, TransactionRecord),
    /// `on_failed`
    Failed(TapId, TapFailure, Option<TransactionInformation>),
    /// `on_auth_required`
    AuthRequired(TapId, TransactionInformation),
    /// `on_progress`
    Progress(ActivationProgress),
    /// `on_activated`
    Activated,
    /// `track`
    Measured(MonitorEvent),
}

/// Keeps every event in the order in which it came.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<Vec<AppEvent>>,
}

impl Recorder {
    /// Everything so far.
    #[must_use]
    pub fn events(&self) -> Vec<AppEvent> {
        locked(&self.events).clone()
    }

    /// Everything so far, which is forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<AppEvent> {
        std::mem::take(&mut locked(&self.events))
    }

    fn keep(&self, event: AppEvent) -> Result<Delivered, HostError> {
        locked(&self.events).push(event);
        Ok(Delivered::Done)
    }
}

impl TransactionListener for Recorder {
    fn on_start(&self, tap: TapId) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Started(tap))
    }

    fn on_complete(&self, tap: TapId, record: TransactionRecord) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Completed(tap, record))
    }

    fn on_failed(
        &self,
        tap: TapId,
        failure: TapFailure,
        transaction: Option<TransactionInformation>,
    ) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Failed(tap, failure, transaction))
    }

    fn on_auth_required(&self, tap: TapId, transaction: TransactionInformation) -> Result<Delivered, HostError> {
        self.keep(AppEvent::AuthRequired(tap, transaction))
    }
}

impl ActivationListener for Recorder {
    fn on_progress(&self, progress: ActivationProgress) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Progress(progress))
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Activated)
    }
}

impl Monitor for Recorder {
    fn track(&self, event: MonitorEvent) -> Result<Delivered, HostError> {
        self.keep(AppEvent::Measured(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_order_and_are_taken_once() {
        let recorder = Recorder::default();
        recorder.on_start(TapId(1)).unwrap();
        recorder.on_failed(TapId(1), TapFailure::LinkLost, None).unwrap();
        let expected = [AppEvent::Started(TapId(1)), AppEvent::Failed(TapId(1), TapFailure::LinkLost, None)];
        assert_eq!(recorder.take(), expected);
        assert_eq!(recorder.events(), []);
    }
}
