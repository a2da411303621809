//! Moves the host's anchor around guarded commits, for taps and for background writes at once.
//!
//! Three rules keep anchor and store consistent whatever is interleaved:
//!
//! * **Turns.** Only the holder of the turn arms, commits a guarded change, or settles. A turn is a
//!   flag under a short lock, so the host is called and the disk written with no lock held.
//! * **One flight.** At most one write of the anchor is on its way to the host. The next begins only
//!   when the host has answered the one before, even if that took longer than its deadline; a late
//!   write can therefore never overwrite a newer one.
//! * **Armed first.** A guarded commit from generation g happens only after the host has confirmed
//!   `{g, armed}`, and a burn only after it has confirmed `{g, armed for this user's tap}`.
//!
//! A tap begins to arm at the first SELECT: if the turn is free, the anchor's write starts on a
//! worker of the host and the tap goes on at once. If a background write has the turn, the tap is
//! only counted; whoever ends a turn while a tap runs leaves an anchor armed for the tap on its way.
//! So a guarded write in the middle of a tap commits (g to g + 1) and re-arms at g + 1; the burn
//! waits for that. Every value that the host may hold in between is one that the store at that
//! moment answers with `Settle` or `Recover`, never with `RolledBack`.
//!
//! If a commit fails while it is written out, SQLite has undone it, but its bytes may still be in
//! the log and come back after a kill. The anchor then stays armed at g, which fits both, until the
//! next commit has succeeded.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::anchor::{AnchorValue, Arm, Binding};
use super::error::StoreError;
use super::records::UserKey;
use crate::error::KeyStoreProblem;
use crate::host::{HostCalls, KeyStoreError, Pending, Stored};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;

/// A turn spans three calls of the host at most, each with its own deadline of 5 s (starting over
/// spans four: whoever waits behind it gets a time-out).
const TURN_LIMIT: Duration = Duration::from_secs(15);

/// Whether guarded commits are possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    RolledBack,
    /// The anchor could not be read or written.
    Unavailable(KeyStoreProblem),
    /// The store is closed.
    Closed,
}

pub(super) struct Guard {
    calls: Arc<HostCalls>,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    standing: Standing,
    binding: Binding,
    generation: u64,
    /// What the host is known to hold; `None` after a failed write.
    known: Option<AnchorValue>,
    flight: Option<Flight>,
    busy: bool,
    /// Taps that run, and for whom.
    taps: u32,
    tap_user: Option<UserKey>,
    /// The last commit failed while it was written out.
    uncertain: bool,
}

struct Flight {
    value: AnchorValue,
    pending: Pending<Result<Stored, KeyStoreError>>,
}

/// A tap that runs: while it lives, the anchor is kept armed for it. From `Store::start_arming`,
/// given to `Store::burn_next`, or dropped when the tap ends without a cryptogram.
#[must_use = "dropping the ticket says that the tap is over"]
pub struct ArmTicket {
    guard: Arc<Guard>,
}

impl std::fmt::Debug for ArmTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArmTicket")
    }
}

impl Drop for ArmTicket {
    fn drop(&mut self) {
        let mut state = self.guard.lock();
        state.taps = state.taps.saturating_sub(1);
    }
}

impl Guard {
    pub(super) fn new(calls: Arc<HostCalls>) -> Self {
        let state = State {
            standing: Standing::Unavailable(KeyStoreProblem::NotFound),
            binding: Binding { instance: [0; 16], epoch: [0; 8] },
            generation: 0,
            known: None,
            flight: None,
            busy: false,
            taps: 0,
            tap_user: None,
            uncertain: false,
        };
        Self { calls, state: Mutex::new(state), freed: Condvar::new() }
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().standing.clone()
    }

    /// Counts the tap, and starts to arm for it if nobody has the turn. Never waits.
    pub(super) fn start_arming(self: &Arc<Self>, user: UserKey) -> ArmTicket {
        let mut state = self.lock();
        state.taps += 1;
        state.tap_user = Some(user);
        let free = !state.busy;
        state.busy = true;
        drop(state);
        if free {
            self.end_turn();
        }
        ArmTicket { guard: Arc::clone(self) }
    }

    /// Waits for the turn.
    pub(super) fn turn(self: &Arc<Self>) -> Result<Turn, StoreError> {
        let end = Instant::now() + TURN_LIMIT;
        // Who has the turn may wait for a write that this thread has yet to begin.
        crate::host::begin_now();
        let mut state = self.lock();
        while state.busy {
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(StoreError::KeyStore(KeyStoreProblem::TimedOut));
            }
            state = self.freed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.busy = true;
        Ok(Turn { guard: Arc::clone(self) })
    }

    /// Called by the holder of the turn: hands it on, with the anchor on its way to being armed if
    /// a tap runs.
    fn end_turn(&self) {
        let mut state = self.lock();
        state.land_if_answered();
        while let Some(value) = state.wanted_by_tap() {
            drop(state);
            let pending = self.calls.start_set_anchor(value.encode());
            state = self.lock();
            state.flight = Some(Flight { value, pending });
        }
        state.busy = false;
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a single assignment; a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn value(&self, arm: Arm) -> AnchorValue {
        AnchorValue { binding: self.binding, generation: self.generation, arm }
    }

    /// The anchor that a running tap still lacks, if it can be written now.
    fn wanted_by_tap(&self) -> Option<AnchorValue> {
        let user = self.tap_user.filter(|_| self.taps > 0)?;
        let wanted = self.value(Arm::Tap(user));
        let possible = self.standing == Standing::Good && self.flight.is_none();
        (possible && self.known != Some(wanted)).then_some(wanted)
    }

    fn land_if_answered(&mut self) {
        if let Some(mut flight) = self.flight.take() {
            match flight.pending.wait_at_most(Duration::ZERO) {
                Some(Ok(Ok(Stored::Durably))) => self.known = Some(flight.value),
                Some(_) => self.known = None,
                None => self.flight = Some(flight),
            }
        }
    }
}

/// The right to arm, commit and settle. Dropping it hands the turn on.
pub(super) struct Turn {
    guard: Arc<Guard>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard.end_turn();
    }
}

impl Turn {
    /// What was found at open, or made by starting over.
    pub(super) fn attach(&self, binding: Binding, generation: u64, known: Option<AnchorValue>) {
        let mut state = self.guard.lock();
        state.binding = binding;
        state.generation = generation;
        state.known = known;
        state.standing = Standing::Good;
        state.uncertain = false;
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.guard.lock().standing = standing;
    }

    /// Fails unless guarded commits are possible.
    pub(super) fn check_standing(&self) -> Result<(), StoreError> {
        match self.guard.standing() {
            Standing::Good => Ok(()),
            Standing::RolledBack => Err(StoreError::RolledBack),
            Standing::Unavailable(reason) => Err(StoreError::KeyStore(reason)),
            Standing::Closed => Err(StoreError::Closed),
        }
    }

    /// Returns the generation from which to commit, once the host holds an armed anchor for it. For
    /// a write, an anchor that is armed for a tap will do: it gives up more, not less.
    pub(super) fn arm(&self, tap: Option<UserKey>) -> Result<u64, StoreError> {
        let landed = self.land();
        let (wanted, known, in_flight) = {
            let state = self.guard.lock();
            (state.value(tap.map_or(Arm::Write, Arm::Tap)), state.known, state.flight.is_some())
        };
        // A write that the host may still do could replace what it is known to hold. And after the tap's
        // own attempt has just failed, another would keep the terminal waiting.
        if in_flight || tap.is_some() {
            landed?;
        }
        let armed_for_tap = known.filter(|known| {
            tap.is_none() && matches!(known.arm, Arm::Tap(_)) && *known == AnchorValue { arm: known.arm, ..wanted }
        });
        if armed_for_tap.is_none() {
            self.set(wanted)?;
        }
        Ok(wanted.generation)
    }

    /// The commit from the armed generation is durable.
    pub(super) fn committed(&self) {
        let mut state = self.guard.lock();
        state.generation += 1;
        state.uncertain = false;
    }

    /// The commit failed while it was written out; it may come back after a kill.
    pub(super) fn commit_failed(&self) {
        self.guard.lock().uncertain = true;
    }

    /// Settles, unless a tap runs (which will be armed when the turn ends) or the last commit may
    /// still come back.
    pub(super) fn rest(&self) -> Result<(), StoreError> {
        let wanted = {
            let state = self.guard.lock();
            if state.taps > 0 || state.uncertain || state.standing != Standing::Good {
                return Ok(());
            }
            state.value(Arm::Rest)
        };
        self.set(wanted)
    }

    /// Settles for good: the store is being closed, so a tap that still runs can burn no more.
    pub(super) fn rest_for_good(&self) -> Result<(), StoreError> {
        self.guard.lock().taps = 0;
        self.rest()
    }

    /// Replaces the host's anchor, unless it is known to be there.
    pub(super) fn set(&self, value: AnchorValue) -> Result<(), StoreError> {
        if let Err(error) = self.land()
            && self.guard.lock().flight.is_some()
        {
            return Err(error);
        }
        if self.guard.lock().known == Some(value) {
            return Ok(());
        }
        let pending = self.guard.calls.start_set_anchor(value.encode());
        self.guard.lock().flight = Some(Flight { value, pending });
        self.land()
    }

    /// Waits for the flight, if there is one, at most until its deadline. Past it, the flight stays:
    /// the host may still write.
    pub(super) fn land(&self) -> Result<(), StoreError> {
        let Some(mut flight) = self.guard.lock().flight.take() else { return Ok(()) };
        let answer = flight.pending.wait_at_most(Duration::MAX);
        let mut state = self.guard.lock();
        let error = match answer {
            Some(Ok(Ok(Stored::Durably))) => {
                state.known = Some(flight.value);
                return Ok(());
            }
            Some(Ok(Err(error))) => error,
            Some(Err(no_answer)) => no_answer.into(),
            None => {
                state.flight = Some(flight);
                return Err(StoreError::KeyStore(KeyStoreProblem::TimedOut));
            }
        };
        state.known = None;
        Err(error.into())
    }
}
