//! Rolled back, restored, copied: whatever file meets whatever anchor, nothing is spent twice.

use super::*;
use crate::storage::Health;
use crate::storage::anchor::{AnchorValue, Arm, Binding};
use crate::token_service::operations::UsageOutcome;

#[test]
fn a_restored_file_is_never_paid_from_until_renewed() {
    let (phone, store, user) = Phone::issued(1..=5);
    let old = phone.copy_files();
    assert_eq!(tap(&store, user), Some(1));
    store.close();
    copy_database(old.path(), phone.path());

    let store = phone.open();
    assert_eq!(store.health(), Health::RolledBack);
    assert_eq!(store.ensure_key().unwrap_err(), WalletError::StoreRolledBack);
    assert_eq!(store.burn_next(user, at(NOW), store.start_arming(user)).unwrap_err(), WalletError::StoreRolledBack);
    let added = store.write_guarded(|tx| tx.add_credentials(user, &[credential(9)]));
    assert_eq!(added.unwrap_err(), WalletError::StoreRolledBack);
    store.settle().unwrap();
    store.close();
    assert_eq!(phone.open().health(), Health::RolledBack);
}

#[test]
fn renewal_starts_over_and_older_copies_never_match_again() {
    let (phone, store, user) = Phone::issued(1..=5);
    let identity = store.identity();
    let old = phone.copy_files();
    let generations = phone.keys.anchor_bytes();
    assert_eq!(tap(&store, user), Some(1));
    store.close();
    copy_database(old.path(), phone.path());
    let store = phone.open();
    store.renew().unwrap();
    assert_eq!((store.health(), store.identity()), (Health::Good, identity));
    assert_eq!(store.read(|tx| tx.token(user)).unwrap(), None);
    // Up to the generation of the copy, and beyond.
    for _ in 0..4 {
        store.write_guarded(|tx| tx.set_setting("k", b"v")).unwrap();
        let attempt = phone.killed();
        copy_database(old.path(), attempt.path());
        assert_eq!(attempt.open().health(), Health::RolledBack);
    }
    assert_ne!(phone.keys.anchor_bytes(), generations);
}

#[test]
fn a_copy_on_another_device_is_never_paid_from() {
    let (phone, store, user) = Phone::issued(1..=5);
    store.close();
    let thief = Phone { directory: phone.copy_files(), keys: TestKeys::default() };
    let copy = thief.open();
    assert_eq!(copy.health(), Health::RolledBack);
    assert_eq!(copy.burn_next(user, at(NOW), copy.start_arming(user)).unwrap_err(), WalletError::StoreRolledBack);
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn an_older_database_under_a_newer_log_is_noticed() {
    let (phone, store, user) = Phone::issued(1..=5);
    store.suspend().unwrap();
    let old = phone.copy_files();
    assert_eq!(tap(&store, user), Some(1));
    // Both sides of the spent credential go to the database; the log begins anew without them.
    store.suspend().unwrap();
    store.write_guarded(|tx| tx.set_setting("k", b"v")).unwrap();
    let killed = phone.killed();
    std::fs::copy(old.path().join("wallet.db"), killed.path().join("wallet.db")).unwrap();
    let mixed = killed.open();
    assert_eq!(mixed.health(), Health::RolledBack);
}

#[test]
fn killed_while_armed_for_a_tap_costs_exactly_the_next_credential() {
    let (phone, store, user) = Phone::issued(1..=3);
    let ticket = store.start_arming(user);
    store.guard.turn().unwrap().land().unwrap();
    let killed = phone.killed();
    drop(ticket);
    for _ in 0..2 {
        // The second start finds everything settled.
        let again = killed.open();
        assert_eq!(again.health(), Health::Good);
        let usage = again.read(|tx| tx.unreported_usage(user)).unwrap();
        let lost: Vec<_> = usage[0].1.iter().map(|entry| (entry.atc, entry.outcome)).collect();
        assert_eq!(lost, [(1, UsageOutcome::Discarded)]);
    }
    assert_eq!(burn_all(&killed.open(), user), [2, 3]);
}

#[test]
fn each_state_of_the_anchor_at_open_gets_its_treatment() {
    let (phone, store, user) = Phone::issued(1..=3);
    drop(store);
    let now = AnchorValue::decode(&phone.keys.anchor_bytes().unwrap()).unwrap();
    assert_eq!(now.arm, Arm::Rest);
    let other = Binding { instance: [0; 16], ..now.binding };
    let opened = |anchor: Option<AnchorValue>| {
        let attempt = phone.killed();
        attempt.keys.put_anchor(anchor.map(|value| value.encode()));
        let store = attempt.open();
        let health = store.health();
        if health == Health::Good {
            let left = burn_all(&store, user);
            store.settle().unwrap();
            drop(store);
            assert_eq!(attempt.open().health(), Health::Good);
            return Ok(left);
        }
        Err(health)
    };
    let at = |back: u64, arm| Some(AnchorValue { generation: now.generation - back, arm, ..now });
    let ahead = |arm| Some(AnchorValue { generation: now.generation + 1, arm, ..now });
    let tap = Arm::Tap(user);
    assert_eq!(opened(at(0, Arm::Rest)), Ok(vec![1, 2, 3]));
    assert_eq!(opened(at(0, Arm::Write)), Ok(vec![1, 2, 3]));
    assert_eq!(opened(at(0, tap)), Ok(vec![2, 3]));
    assert_eq!(opened(at(1, Arm::Write)), Ok(vec![1, 2, 3]));
    assert_eq!(opened(at(1, tap)), Ok(vec![1, 2, 3]));
    let refused = Err(Health::RolledBack);
    for anchor in [at(1, Arm::Rest), ahead(Arm::Rest), ahead(Arm::Write), ahead(tap), None] {
        assert_eq!(opened(anchor), refused, "{anchor:?}");
    }
    assert_eq!(opened(Some(AnchorValue { binding: other, ..now })), refused);
}

#[test]
fn killed_between_burn_and_settle_costs_nothing_more() {
    let (phone, store, user) = Phone::issued(1..=3);
    assert_eq!(burn(&store, user), Some(1));
    let killed = phone.killed();
    let again = killed.open();
    assert_eq!(again.health(), Health::Good);
    assert_eq!(burn_all(&again, user), [2, 3]);
}

#[test]
fn a_burn_that_was_rolled_back_under_an_armed_anchor_is_not_repeated() {
    let (phone, store, user) = Phone::issued(1..=3);
    let before = phone.copy_files();
    assert_eq!(burn(&store, user), Some(1));
    let killed = phone.killed();
    copy_database(before.path(), killed.path());
    let store = killed.open();
    assert_eq!(store.health(), Health::Good);
    assert_eq!(burn_all(&store, user), [2, 3]);
}

#[test]
fn a_burn_is_armed_for_its_own_user_whoever_the_tap_began_for() {
    let (phone, store, first) = Phone::issued(1..=3);
    let second = store.write(|tx| tx.connect_user("user-2")).unwrap();
    store.write(|tx| tx.connect_user("user-1")).unwrap();
    let before = phone.copy_files();
    let ticket = store.start_arming(second);
    assert_eq!(store.burn_next(first, at(NOW), ticket).unwrap().unwrap().atc, 1);
    let killed = phone.killed();
    copy_database(before.path(), killed.path());
    assert_eq!(burn_all(&killed.open(), first), [2, 3]);
}

#[test]
fn a_closed_store_has_settled_and_never_writes_the_anchor_again() {
    let (phone, store, user) = Phone::issued(1..=3);
    assert_eq!(burn(&store, user), Some(1));
    store.close();
    let next = phone.open();
    assert_eq!(burn(&next, user), Some(2));
    // What was queued before the end comes too late, and says nothing.
    drop(store.settle());
    drop(store.start_arming(user));
    drop(next);
    let again = phone.open();
    assert_eq!(again.health(), Health::Good);
    assert_eq!(burn_all(&again, user), [3]);
}

#[test]
fn an_expired_credential_in_front_does_not_shield_the_one_behind() {
    let (phone, store, user) = Phone::issued(2..=4);
    let early = WireCredential { expires_at_ms: NOW, ..credential(1) };
    store.write_guarded(|tx| tx.add_credentials(user, &[early])).unwrap();
    let before = phone.copy_files();
    let anchor = phone.keys.anchor_bytes();
    assert_eq!(burn(&store, user), Some(2));
    store.close();
    copy_database(before.path(), phone.path());
    // Two commits were made, so that the older file is behind both.
    assert_eq!(phone.open().health(), Health::RolledBack);
    assert_ne!(phone.keys.anchor_bytes(), anchor);
}

/// What a phone's user, service and system do to the store.
#[derive(Debug, Clone, Copy)]
enum Step {
    Tap,
    TapAndSettle,
    AbortedTap,
    GuardedWrite,
    /// The write comes between the SELECT and the cryptogram.
    WriteInTap,
    Settle,
}

const STEPS: [Step; 6] =
    [Step::Tap, Step::TapAndSettle, Step::AbortedTap, Step::GuardedWrite, Step::WriteInTap, Step::Settle];

fn run(step: Step, store: &Store, user: UserKey) -> Option<u16> {
    let write = || store.write_guarded(|tx| tx.set_setting("k", b"v")).unwrap();
    match step {
        Step::Tap => return burn(store, user),
        Step::TapAndSettle => return tap(store, user),
        Step::AbortedTap => drop(store.start_arming(user)),
        Step::GuardedWrite => write(),
        Step::WriteInTap => {
            let ticket = store.start_arming(user);
            write();
            return store.burn_next(user, at(NOW), ticket).unwrap().map(|credential| credential.atc);
        }
        Step::Settle => store.settle().unwrap(),
    }
    None
}

#[test]
fn whatever_file_meets_whatever_later_anchor_no_counter_repeats() {
    for (first, second) in STEPS.iter().flat_map(|first| STEPS.iter().map(move |second| (*first, *second))) {
        let (phone, store, user) = Phone::issued(1..=4);
        let files = std::sync::Arc::new(std::sync::Mutex::new(vec![phone.copy_files()]));
        // A copy of the files at every call of the host, and one after every step.
        let (from, kept) = (phone.path().to_owned(), std::sync::Arc::clone(&files));
        phone.keys.before_anchor_write(Some(Box::new(move || {
            let copy = tempfile::tempdir().unwrap();
            copy_database(&from, copy.path());
            kept.lock().unwrap().push(copy);
        })));
        let mut handed_out = Vec::new();
        for step in [first, second] {
            handed_out.extend(run(step, &store, user));
            files.lock().unwrap().push(phone.copy_files());
        }
        // An arming may still be on its way.
        store.guard.turn().unwrap().land().unwrap();
        store.close();
        phone.keys.before_anchor_write(None);
        let files = files.lock().unwrap();
        for (age, copy) in files.iter().rev().enumerate() {
            let attempt = Phone { directory: tempfile::tempdir().unwrap(), keys: phone.keys.fork() };
            copy_database(copy.path(), attempt.path());
            let store = attempt.open();
            let spent = match store.health() {
                Health::RolledBack => {
                    assert!(age > 0, "{first:?} {second:?}: the newest file was refused");
                    Vec::new()
                }
                _ => burn_all(&store, user),
            };
            assert!(
                spent.iter().all(|atc| !handed_out.contains(atc)),
                "{first:?} {second:?}, copy {age}: {spent:?} after {handed_out:?}"
            );
            if age == 0 {
                assert!(spent.len() + handed_out.len() >= 3, "{first:?} {second:?}: lost more than one");
            }
        }
    }
}
