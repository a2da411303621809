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

/// Turns steps of a run into progress that never falls.
#[derive(Debug)]
pub(crate) struct ProgressMeter {
    mode: ActivationMode,
    percent: u8,
    started: Duration,
    earlier: Duration,
}

impl ProgressMeter {
    /// `percent` and `earlier` come from the journal; `now` is the monotonic clock.
    pub(crate) fn new(mode: ActivationMode, percent: u8, earlier: Duration, now: Duration) -> Self {
        Self { mode, percent, started: now, earlier }
    }

    /// Highest percentage so far.
    pub(crate) fn percent(&self) -> u8 {
        self.percent
    }

    /// Time spent on the run.
    pub(crate) fn elapsed(&self, now: Duration) -> Duration {
        self.earlier + now.saturating_sub(self.started)
    }

    /// The run has entered `phase`, and is at poll `done` of at most `budget` in it.
    pub(crate) fn advance(
        &mut self,
        phase: ActivationPhase,
        done: u32,
        budget: u32,
        step_up_required: bool,
        now: Duration,
    ) -> ActivationProgress {
        let (from, to) = share(self.mode, phase);
        let within = u32::from(to - from) * done.min(budget) / budget.max(1);
        let reached = from.saturating_add(u8::try_from(within).unwrap_or(0));
        self.percent = self.percent.max(reached);
        let elapsed = self.elapsed(now);
        let remaining = (phase > ActivationPhase::Applying && self.percent > 0)
            .then(|| elapsed * u32::from(100 - self.percent) / u32::from(self.percent));
        ActivationProgress {
            mode: self.mode,
            phase,
            step: number(self.mode, phase),
            total: total(self.mode),
            percent: self.percent,
            step_up_required,
            elapsed,
            remaining,
        }
    }
}

/// The phases of a run, with the percentage at which each ends: by the time each usually takes.
const MANUAL: [(ActivationPhase, u8); 11] = [
    (ActivationPhase::Preparing, 4),
    (ActivationPhase::CheckingDevice, 8),
    (ActivationPhase::Applying, 14),
    (ActivationPhase::AwaitingApproval, 46),
    (ActivationPhase::OpeningSession, 54),
    (ActivationPhase::Provisioning, 66),
    (ActivationPhase::Storing, 70),
    (ActivationPhase::Reporting, 76),
    (ActivationPhase::ActivatingAtService, 96),
    (ActivationPhase::ActivatingLocally, 99),
    (ActivationPhase::Done, 100),
];

const SILENT: [(ActivationPhase, u8); 9] = [
    (ActivationPhase::Preparing, 5),
    (ActivationPhase::CheckingDevice, 10),
    (ActivationPhase::Applying, 18),
    (ActivationPhase::AwaitingApproval, 60),
    (ActivationPhase::OpeningSession, 70),
    (ActivationPhase::Provisioning, 86),
    (ActivationPhase::Storing, 91),
    (ActivationPhase::Reporting, 99),
    (ActivationPhase::Done, 100),
];

fn phases(mode: ActivationMode) -> &'static [(ActivationPhase, u8)] {
    match mode {
        ActivationMode::Manual => &MANUAL,
        ActivationMode::Silent => &SILENT,
    }
}

fn share(mode: ActivationMode, phase: ActivationPhase) -> (u8, u8) {
    let mut from = 0;
    for &(candidate, to) in phases(mode) {
        if candidate == phase {
            return (from, to);
        }
        from = to;
    }
    (from, from)
}

fn number(mode: ActivationMode, phase: ActivationPhase) -> u32 {
    let before = phases(mode).iter().filter(|(candidate, _)| *candidate < phase).count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

fn total(mode: ActivationMode) -> u32 {
    u32::try_from(phases(mode).len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_falls_also_when_a_phase_is_repeated_after_a_restart() {
        let mut meter = ProgressMeter::new(ActivationMode::Manual, 50, Duration::from_secs(9), Duration::ZERO);
        let again = meter.advance(ActivationPhase::Preparing, 0, 1, false, Duration::from_secs(1));
        assert_eq!((again.percent, again.step, again.total), (50, 1, 11));
        let later = meter.advance(ActivationPhase::Storing, 1, 1, false, Duration::from_secs(2));
        assert_eq!(later.percent, 70);
        assert_eq!(later.elapsed, Duration::from_secs(11));
        assert!(later.remaining.is_some());
    }

    #[test]
    fn polls_move_the_bar_within_their_phase() {
        let mut meter = ProgressMeter::new(ActivationMode::Silent, 0, Duration::ZERO, Duration::ZERO);
        let seen: Vec<u8> = (0..=10)
            .map(|poll| meter.advance(ActivationPhase::AwaitingApproval, poll, 10, false, Duration::ZERO).percent)
            .collect();
        assert_eq!((seen[0], seen[10]), (18, 60));
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn both_modes_end_at_one_hundred() {
        for mode in [ActivationMode::Manual, ActivationMode::Silent] {
            let mut meter = ProgressMeter::new(mode, 0, Duration::ZERO, Duration::ZERO);
            let done = meter.advance(ActivationPhase::Done, 1, 1, false, Duration::ZERO);
            assert_eq!((done.percent, done.step), (100, done.total));
        }
    }
}
