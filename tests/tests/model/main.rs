//! Wallet, service and faults together, against a small model of what may be true.
//!
//! * `op`: what can happen, and stories of it. `phone`: a phone whose clock moves only when it is told
//!   and whose process can be killed. `world`: the phone, its wallet, the servers and a terminal.
//! * `truth`: the model, sets of what may be true. `play`: plays a story and compares.
//!
//! A story that breaks a promise is shortened and kept in `proptest-regressions.txt`, which is played
//! first. The model learns from what calls answer, so stories are plain sequences: any step may follow
//! any other, and shortening one never makes another impossible.
//!
//! `NFCWALLET_MODEL_STORIES=2000 cargo test -p nfcwallet-tests --test model` plays so many stories
//! instead of 20, and `NFCWALLET_MODEL_SEED` others (default 1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod codes;
mod op;
mod phone;
mod play;
mod truth;
mod world;

use std::sync::Mutex;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_sandbox::device::KeyCall;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestRunner};

use op::{Amount, KeyTrouble, Op, Reader, Story, User, stories};
use play::{Tally, play};

/// Steps after the beginning.
const LONGEST: usize = 30;

/// A number from the environment.
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_story_breaks_a_promise() {
    let config = Config {
        cases: setting("NFCWALLET_MODEL_STORIES", 20),
        rng_seed: RngSeed::Fixed(setting("NFCWALLET_MODEL_SEED", 1).into()),
        // A step takes about 30 ms.
        max_shrink_iters: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model/proptest-regressions.txt"))),
        ..Config::default()
    };
    let tally = Mutex::new(Tally::default());
    let outcome = TestRunner::new(config)
        .run(&stories(LONGEST), |story| play(&story, &mut tally.lock().unwrap()).map_err(TestCaseError::fail));
    let tally = tally.into_inner().unwrap();
    eprintln!("{tally:?}");
    if let Err(broken) = outcome {
        panic!("{broken}");
    }
    assert!(tally.paid > 0 && tally.refused > 0 && tally.asked_to_prove > 0, "{tally:?}");
}

fn tell(story: &Story) -> Tally {
    let mut tally = Tally::default();
    play(story, &mut tally).unwrap();
    tally
}

fn tap(amount: Amount) -> Op {
    Op::Tap(amount, Reader::Whole)
}

// Clocks.

#[test]
fn a_wall_clock_that_jumps_opens_no_way_to_pay() {
    let mut rest = Vec::new();
    for seconds in [31_536_000, -31_536_000, 3_600, -3_600, 0] {
        rest.extend([Op::WallJumps { seconds }, tap(Amount::Low), tap(Amount::High), Op::Sync, tap(Amount::Low)]);
        rest.extend([Op::WallJumps { seconds: -seconds }, Op::Restart, tap(Amount::Low), Op::Connect(User::Alice)]);
    }
    let tally = tell(&active(rest));
    assert!(tally.paid >= 10 && tally.asked_to_prove == 5, "{tally:?}");
}

#[test]
fn a_proof_of_presence_is_neither_renewed_nor_used_twice_by_a_clock_that_falls_back() {
    let rest = [
        Op::Authenticate,
        Op::Pass { seconds: 31 },
        tap(Amount::High),
        Op::Authenticate,
        Op::MonotonicFallsBack { seconds: 1_800 },
        tap(Amount::High),
        tap(Amount::High),
        Op::Authenticate,
        Op::MonotonicFallsBack { seconds: 40 },
        Op::Pass { seconds: 90_000 },
        tap(Amount::High),
    ];
    let tally = tell(&active(rest));
    assert_eq!((tally.paid, tally.asked_to_prove), (1, 3), "{tally:?}");
}

#[test]
fn credentials_that_expire_while_clocks_jump_are_replaced_and_never_paid_with() {
    let month = Op::Pass { seconds: 2_678_400 };
    let back = Op::WallJumps { seconds: -31_536_000 };
    let rest = [month.clone(), tap(Amount::Low), back, month, Op::Kill, tap(Amount::Low), Op::Sync, tap(Amount::Low)];
    let tally = tell(&active(rest));
    assert!(tally.codes.contains(&10_007) && tally.paid > 0, "{tally:?}");
}

// The key store.

#[test]
fn a_key_that_is_invalidated_while_the_wallet_is_open_is_renewed_by_the_next_connect() {
    let rest = [
        Op::Keys(KeyTrouble::Invalidated),
        Op::Connect(User::Alice),
        tap(Amount::Low),
        Op::Activate(ActivationMode::Manual),
        Op::Sync,
        tap(Amount::Low),
    ];
    let tally = tell(&active(rest));
    assert_eq!((tally.refused, tally.statuses.contains(&-3)), (1, false), "{tally:?}");
}

#[test]
fn a_key_that_is_invalidated_before_a_start_never_pays_again() {
    let rest = [
        Op::Keys(KeyTrouble::Invalidated),
        Op::Restart,
        tap(Amount::Low),
        Op::Restart,
        tap(Amount::Low),
        Op::Connect(User::Alice),
        Op::Activate(ActivationMode::Manual),
        tap(Amount::Low),
    ];
    let tally = tell(&active(rest));
    assert_eq!((tally.refused, tally.paid), (2, 1), "{tally:?}");
}

#[test]
fn a_key_store_that_is_locked_keeps_no_open_wallet_from_paying_and_loses_nothing() {
    let rest = [
        Op::Keys(KeyTrouble::Locked),
        tap(Amount::Low),
        Op::Lock,
        tap(Amount::Low),
        Op::PowerCut { seed: 1 },
        tap(Amount::Low),
        Op::Mend,
        Op::Connect(User::Alice),
        tap(Amount::Low),
        Op::Unlock,
        tap(Amount::Low),
    ];
    let tally = tell(&active(rest));
    assert_eq!((tally.refused, tally.paid), (3, 2), "{tally:?}");
}

#[test]
fn a_slow_key_store_delays_taps_and_a_late_one_spends_nothing() {
    let rest = [
        Op::Keys(KeyTrouble::Slow),
        tap(Amount::Low),
        tap(Amount::Low),
        Op::Mend,
        Op::Keys(KeyTrouble::Late),
        tap(Amount::Low),
        Op::Mend,
        tap(Amount::Low),
        Op::Kill,
        tap(Amount::Low),
    ];
    let tally = tell(&active(rest));
    assert_eq!((tally.refused, tally.paid), (1, 4), "{tally:?}");
}

#[test]
fn a_key_store_that_fails_or_panics_in_any_call_is_recovered_from() {
    let calls = [KeyCall::Sign, KeyCall::Wrap, KeyCall::Unwrap, KeyCall::Renew, KeyCall::Anchor, KeyCall::SetAnchor];
    let mut rest = Vec::new();
    for call in calls {
        for trouble in [KeyTrouble::Fails(Some(call)), KeyTrouble::Panics(call)] {
            rest.extend([Op::Keys(trouble), tap(Amount::Low), Op::Kill, tap(Amount::Low), Op::Connect(User::Alice)]);
            rest.extend([Op::Mend, Op::Connect(User::Alice), tap(Amount::Low)]);
        }
    }
    let tally = tell(&active(rest));
    assert!(tally.statuses.contains(&-3) && tally.paid >= 20, "{tally:?}");
}

/// For stories that are written down.
fn active(rest: impl IntoIterator<Item = Op>) -> Story {
    let beginning = [Op::Connect(User::Alice), Op::Activate(ActivationMode::Manual)];
    Story(beginning.into_iter().chain(rest).collect())
}
