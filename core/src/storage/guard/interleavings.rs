//! The guard under many orders of its threads: taps, writes, a close, and a host that is slow, hangs
//! or fails.
//!
//! The file is a number here, its generation: what a commit needs of the guard is that number and an
//! armed anchor. After every step of anybody the file and the host's anchor are judged as they would be
//! after a kill at that moment.

use std::sync::{Arc, Mutex as StdMutex};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::super::anchor::{Verdict, judge};
use super::super::test_host::TestKeys;
use super::*;
use crate::host::{Anchor, Deadlines, DeviceKeyStore, DevicePublicKey, Host, Signature, Unwrapped, Wrapped};
use crate::sync::{Passing, begin};

/// Orders that are tried by each of two schedulers.
const ORDERS: usize = 800;

/// The second one finds errors that need a thread to stand still for long at so few moments.
const MOMENTS: usize = 3;

const BINDING: Binding = Binding { instance: [1; 16], epoch: [2; 8] };
const USER: UserKey = UserKey(7);
const OTHER: UserKey = UserKey(8);

/// What the host's writes of the anchor do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Work,
    /// Some fail, before they wrote or after.
    Fail,
}

/// The phone's disk and hardware, which a kill leaves as they are. No thread is switched under this
/// lock.
#[derive(Debug)]
struct Found {
    generation: u64,
    /// The next generation may be in the log.
    may_come_back: bool,
    anchor: AnchorValue,
    writing: bool,
    closed: bool,
    /// Broken promises. The wallet survives a host that panics, so they are told here.
    complaints: Vec<String>,
}

impl Found {
    fn promise(&mut self, kept: bool, what: &str) {
        if !kept {
            let complaint = format!("{what}: {self:?}");
            self.complaints.push(complaint);
        }
    }
}

/// A host that looks at every write of its anchor.
struct Hardware {
    found: StdMutex<Found>,
    writes: Writes,
}

impl Hardware {
    fn found<T>(&self, look: impl FnOnce(&mut Found) -> T) -> T {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = look(&mut found);
        for generation in found.generation..=found.generation + u64::from(found.may_come_back) {
            let verdict = judge(Some(&found.anchor.encode()), BINDING, generation);
            found.promise(verdict != Verdict::RolledBack, "a kill now would look like a rollback");
        }
        looked
    }
}

impl DeviceKeyStore for Hardware {
    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        self.found(|found| {
            let alone = !std::mem::replace(&mut found.writing, true);
            found.promise(alone, "two writes of the anchor at once");
            found.promise(!found.closed, "a write of the anchor began after the close");
        });
        for _ in 0..thread_rng().gen_range(0..16) {
            thread::yield_now();
        }
        let (written, told) = match self.writes {
            Writes::Work => (true, true),
            Writes::Fail => (thread_rng().gen_ratio(3, 4), thread_rng().gen_ratio(3, 4)),
        };
        self.found(|found| {
            if written {
                found.anchor = AnchorValue::decode(&bytes).unwrap();
            }
            found.writing = false;
        });
        thread::yield_now();
        if written && told { Ok(Stored::Durably) } else { Err(KeyStoreError::UserCancelled) }
    }

    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn sign(&self, _: Vec<u8>) -> Result<Signature, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn wrap(&self, _: zeroize::Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn unwrap(&self, _: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        Err(KeyStoreError::NotFound)
    }
}

/// A store as the guard sees it.
#[derive(Clone)]
struct Desk {
    guard: Arc<Guard>,
    hardware: Arc<Hardware>,
}

impl Desk {
    fn new(writes: Writes) -> Self {
        let anchor = AnchorValue { binding: BINDING, generation: 1, arm: Arm::Rest };
        let found = Found {
            generation: 1,
            may_come_back: false,
            anchor,
            writing: false,
            closed: false,
            complaints: Vec::new(),
        };
        let hardware = Arc::new(Hardware { found: StdMutex::new(found), writes });
        let host = Host { key_store: hardware.clone(), ..TestKeys::default().calls().host().clone() };
        let guard = Arc::new(Guard::new(Arc::new(HostCalls::new(host, Deadlines::default()))));
        guard.turn().unwrap().attach(BINDING, 1, Some(anchor));
        Self { guard, hardware }
    }

    /// As `Store::burn_next` and `Store::settle` do.
    fn tap(&self, user: UserKey) {
        let ticket = self.guard.start_arming(user);
        thread::yield_now();
        if let Ok(turn) = self.guard.turn() {
            let burnt = turn.check_standing().and_then(|()| turn.arm(Some(user)));
            if let Ok(generation) = burnt {
                self.commit(&turn, generation, |arm| arm == Arm::Tap(user));
            }
            drop(ticket);
        }
        self.settle();
    }

    fn tap_that_is_lost(&self, user: UserKey) {
        let ticket = self.guard.start_arming(user);
        thread::yield_now();
        drop(ticket);
        self.settle();
    }

    /// As `Store::write_guarded` does.
    fn write(&self) {
        let Ok(turn) = self.guard.turn() else { return };
        if let Ok(generation) = turn.check_standing().and_then(|()| turn.arm(None)) {
            self.commit(&turn, generation, |arm| arm != Arm::Rest);
            let _ = turn.rest();
        }
    }

    fn settle(&self) {
        if let Ok(turn) = self.guard.turn() {
            let _ = turn.rest();
        }
    }

    /// As `Store::close` does.
    fn close(&self) {
        if let Ok(turn) = self.guard.turn() {
            // A write that the host did not do within its deadline is not waited for.
            let landed = turn.rest_for_good().is_ok();
            turn.stand(Standing::Closed);
            self.hardware.found(|found| found.closed = landed);
        }
    }

    /// A commit that is written out, or fails and may come back after a kill.
    fn commit(&self, turn: &Turn, generation: u64, is_armed: impl Fn(Arm) -> bool) {
        self.hardware.found(|found| {
            let same = found.anchor.generation == generation && found.generation == generation;
            found.promise(same, "a commit from another generation than the anchor's");
            found.promise(is_armed(found.anchor.arm), "a commit without an armed anchor");
            found.promise(!found.writing, "a commit while the anchor is being written");
        });
        if self.hardware.writes == Writes::Fail && thread_rng().gen_ratio(1, 4) {
            self.hardware.found(|found| found.may_come_back = true);
            thread::yield_now();
            turn.commit_failed();
            return;
        }
        self.hardware.found(|found| {
            found.generation += 1;
            found.may_come_back = false;
        });
        thread::yield_now();
        turn.committed();
    }
}

type Part = fn(&Desk);

/// All parts at once, in many orders.
fn beside_each_other(writes: Writes, passing: Passing, parts: &'static [Part], end: fn(&Desk)) {
    let once = move || {
        begin(passing);
        let desk = Desk::new(writes);
        let threads: Vec<_> = parts
            .iter()
            .map(|part| {
                let desk = desk.clone();
                thread::spawn(move || part(&desk))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        end(&desk);
        desk.hardware.found(|found| assert_eq!(found.complaints, [""; 0]));
    };
    shuttle::check_random(once, ORDERS);
    shuttle::check_pct(once, ORDERS, MOMENTS);
}

const TAP: Part = |desk| desk.tap(USER);
const OTHER_TAP: Part = |desk| desk.tap(OTHER);
const LOST_TAP: Part = |desk| desk.tap_that_is_lost(USER);
const WRITE: Part = Desk::write;
const CLOSE: Part = Desk::close;

/// Every commit is counted, and the anchor is at rest.
fn is_settled(desk: &Desk) {
    desk.settle();
    desk.hardware.found(|found| {
        let rest = AnchorValue { binding: BINDING, generation: found.generation, arm: Arm::Rest };
        assert_eq!(found.anchor, rest);
    });
}

#[test]
fn taps_and_writes_beside_each_other_end_settled_and_wait_for_nobody() {
    beside_each_other(Writes::Work, Passing::Never, &[TAP, WRITE, WRITE], |desk| {
        is_settled(desk);
        desk.hardware.found(|found| assert_eq!(found.generation, 4));
    });
}

#[test]
fn taps_of_two_users_and_one_that_is_lost_end_settled() {
    beside_each_other(Writes::Work, Passing::Never, &[TAP, OTHER_TAP, LOST_TAP], is_settled);
}

#[test]
fn nothing_is_written_after_a_close() {
    beside_each_other(Writes::Work, Passing::Never, &[TAP, WRITE, CLOSE], |desk| {
        desk.tap(USER);
        desk.write();
        desk.hardware.found(|found| assert_eq!(found.anchor.generation, found.generation));
    });
}

#[test]
fn a_host_that_answers_late_never_has_two_writes_to_do() {
    beside_each_other(Writes::Work, Passing::AtAnyTime, &[TAP, WRITE, LOST_TAP, CLOSE], |_| {});
}

#[test]
fn a_host_that_fails_never_makes_a_kill_look_like_a_rollback() {
    beside_each_other(Writes::Fail, Passing::AtAnyTime, &[TAP, WRITE, OTHER_TAP, WRITE], |_| {});
}
