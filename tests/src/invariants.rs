//! What must hold in every scenario, whatever it is about.

use std::collections::HashMap;

use nfcwallet_sandbox::phone::Event;

/// Watches the events of one process of a phone.
#[derive(Debug, Default)]
pub struct Watch {
    taps: HashMap<u64, Tap>,
    /// Percent and time of the run's last progress.
    progress: Option<(u8, u64)>,
}

#[derive(Debug, Default)]
struct Tap {
    started: bool,
    ended: bool,
    auth_pending: bool,
}

impl Watch {
    /// The phone's process was started anew: taps are counted from 1 again.
    pub fn restarted(&mut self) {
        *self = Self::default();
    }

    /// Looks at one event. `Err` names the broken promise.
    ///
    /// # Errors
    /// The broken promise.
    pub fn see(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Start { tap } => {
                let seen = self.taps.entry(*tap).or_default();
                if std::mem::replace(&mut seen.started, true) || seen.ended {
                    return Err(format!("tap {tap} started twice or after its end"));
                }
            }
            Event::AuthRequired { tap } => self.taps.entry(*tap).or_default().auth_pending = true,
            Event::Complete { tap, .. } => self.end(*tap, None)?,
            Event::Failed { tap, code, .. } => self.end(*tap, Some(*code))?,
            Event::Progress { percent, phase, elapsed_ms, .. } => {
                // Time that begins anew is another run, after one that failed; the first may have failed
                // within a millisecond, so 0 % begins one too.
                let falls = |(before, at)| (1..before).contains(percent) && *elapsed_ms >= at;
                if self.progress.is_some_and(falls) {
                    return Err(format!("progress fell from {:?} to {percent}", self.progress));
                }
                self.progress = (phase != "done").then_some((*percent, *elapsed_ms));
            }
            Event::Monitor { id, .. } if id == "EVENT_APPLY" => self.progress = None,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, tap: u64, code: Option<u32>) -> Result<(), String> {
        let seen = self.taps.entry(tap).or_default();
        if std::mem::replace(&mut seen.ended, true) {
            return Err(format!("tap {tap} ended twice"));
        }
        let auth = std::mem::take(&mut seen.auth_pending);
        match code {
            None if !seen.started => Err(format!("tap {tap} completed without a start")),
            _ if auth != (code == Some(10_003)) => Err(format!("tap {tap}: auth required and 10003 go together")),
            // A failed pre-check is told without a start.
            Some(10_006..=10_009 | 19_005) | None => Ok(()),
            Some(code) if !seen.started => Err(format!("tap {tap} failed with {code} without a start")),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_terminal_event_is_noticed() {
        let mut watch = Watch::default();
        watch.see(&Event::Start { tap: 1 }).unwrap();
        watch.see(&Event::Failed { tap: 1, code: 19_002, advice: None }).unwrap();
        assert!(watch.see(&Event::Failed { tap: 1, code: 19_002, advice: None }).is_err());
    }

    #[test]
    fn the_demand_for_presence_comes_directly_before_its_failure() {
        let mut watch = Watch::default();
        watch.see(&Event::Start { tap: 1 }).unwrap();
        assert!(watch.see(&Event::Failed { tap: 1, code: 10_003, advice: None }).is_err());
    }
}
