//! Burning: once, in order, durable; taps and background writes interleaved.

use std::time::Duration;

use super::*;
use crate::card::hooks::BurningCredential;
use crate::error::KeyStoreProblem;
use crate::host::KeyStoreError;
use crate::storage::anchor::{AnchorValue, Arm};
use crate::storage::{Health, Purpose};
use crate::token_service::operations::UsageOutcome;

fn burn_for_checksum(store: &Store, user: UserKey) -> Option<BurningCredential> {
    let (credential, burn) =
        store.start_burn(user, at(NOW), store.start_arming(user), Purpose::Checksum, || true).unwrap()?;
    burn.wait().unwrap();
    Some(credential)
}

#[test]
fn each_credential_is_burnt_once_in_order_and_across_restarts() {
    let (phone, mut store, user) = Phone::issued([5, 3, 9, 4]);
    let mut burnt = Vec::new();
    while let Some(atc) = tap(&store, user) {
        burnt.push(atc);
        drop(store);
        store = phone.open();
    }
    assert_eq!(burnt, [3, 4, 5, 9]);
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 0);
    let usage = store.read(|tx| tx.unreported_usage(user)).unwrap();
    assert_eq!(usage.len(), 1);
    assert!(usage[0].1.iter().all(|entry| entry.outcome == UsageOutcome::Used));
}

#[test]
fn a_burnt_credential_carries_the_key_that_was_issued() {
    let (_phone, store, user) = Phone::issued([7]);
    let burnt = store.burn_next(user, at(NOW), store.start_arming(user)).unwrap().unwrap();
    assert_eq!(burnt.session_key.expose(), credential(7).session_key.expose());
}

#[test]
fn a_checksum_gets_the_key_that_was_issued_for_it() {
    let (phone, store, user) = Phone::issued([]);
    let key = Secret::new([0xC3; 16]);
    let both = WireCredential { cvc3_key: Some(key.clone()), ..credential(7) };
    store.write_guarded(|tx| tx.add_credentials(user, &[both])).unwrap();
    drop(store);

    let store = phone.open();
    let burnt = burn_for_checksum(&store, user).unwrap();
    assert_eq!(burnt.session_key.expose(), credential(7).session_key.expose());
    assert_eq!(burnt.cvc3_key.unwrap().expose(), key.expose());
    assert_eq!(tap(&store, user), None);
}

#[test]
fn a_front_without_the_key_is_neither_spent_nor_skipped_for_a_checksum() {
    let (_phone, store, user) = Phone::issued([1]);
    let later = WireCredential { cvc3_key: Some(Secret::new([3; 16])), ..credential(2) };
    store.write_guarded(|tx| tx.add_credentials(user, &[later])).unwrap();
    let before = store.commits();
    for _ in 0..2 {
        assert!(burn_for_checksum(&store, user).is_none());
        store.settle().unwrap();
    }
    assert_eq!(store.commits(), before);
    assert_eq!(tap(&store, user), Some(1));
    let burnt = burn_for_checksum(&store, user).unwrap();
    assert_eq!((burnt.atc, burnt.cvc3_key.unwrap().expose()), (2, &[3; 16]));
}

#[test]
fn a_burn_that_nobody_waits_for_is_durable_all_the_same() {
    let (phone, store, user) = Phone::issued(1..=2);
    let ticket = store.start_arming(user);
    let (credential, burn) = store.start_burn(user, at(NOW), ticket, Purpose::Cryptogram, || true).unwrap().unwrap();
    drop(burn);
    assert_eq!(credential.atc, 1);
    // Whoever comes next stands behind the commit.
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 1);
    drop(store);
    assert_eq!(tap(&phone.open(), user), Some(2));
}

#[test]
fn a_burn_is_one_commit() {
    let (_phone, store, user) = Phone::issued(1..=3);
    let before = store.commits();
    assert_eq!(tap(&store, user), Some(1));
    assert_eq!(store.commits() - before, 1);
    assert!(store.burn_next(user, at(EXPIRY), store.start_arming(user)).unwrap().is_none());
}

#[test]
fn expired_credentials_are_passed_over_and_reported() {
    let (_phone, store, user) = Phone::issued(3..=4);
    let early = [1, 2].map(|atc| WireCredential { expires_at_ms: NOW, ..credential(atc) });
    store.write_guarded(|tx| tx.add_credentials(user, &early)).unwrap();
    let stock = store.read(|tx| tx.stock(user, NOW)).unwrap();
    assert_eq!((stock.usable, stock.next_expiry_ms), (2, Some(EXPIRY)));
    assert_eq!(tap(&store, user), Some(3));
    let usage = store.read(|tx| tx.unreported_usage(user)).unwrap();
    let outcomes: Vec<_> = usage[0].1.iter().map(|entry| (entry.atc, entry.outcome)).collect();
    assert_eq!(outcomes, [(1, UsageOutcome::Discarded), (2, UsageOutcome::Discarded), (3, UsageOutcome::Used)]);
    assert_eq!(store.discard_expired(user, at(NOW)), Ok(0));
    assert_eq!(store.discard_expired(user, at(EXPIRY)), Ok(1));
}

#[test]
fn a_guessed_time_refuses_and_destroys_nothing() {
    let (_phone, store, user) = Phone::issued(1..=2);
    let guessed = ServiceTime { now_ms: EXPIRY, learnt: false };
    assert!(store.burn_next(user, guessed, store.start_arming(user)).unwrap().is_none());
    assert_eq!(store.discard_expired(user, guessed), Ok(0));
    assert_eq!(burn_all(&store, user), [1, 2]);
}

#[test]
fn an_expired_front_does_not_stop_a_tap_before_the_time_is_learnt() {
    let (_phone, store, user) = Phone::issued([]);
    let old = WireCredential { expires_at_ms: NOW, ..credential(1) };
    store.write_guarded(|tx| tx.add_credentials(user, &[old, credential(2)])).unwrap();
    let guessed = ServiceTime { now_ms: NOW, learnt: false };
    let burnt = store.burn_next(user, guessed, store.start_arming(user)).unwrap().unwrap();
    assert_eq!(burnt.atc, 2);
}

#[test]
fn a_sealed_key_that_was_moved_to_another_row_is_discarded() {
    let (phone, store, user) = Phone::issued(1..=3);
    store.close();
    let other = rusqlite::Connection::open(phone.path().join("wallet.db")).unwrap();
    other
        .execute(
            "UPDATE credential SET session_key = (SELECT session_key FROM credential WHERE atc = 3) WHERE atc = 1",
            [],
        )
        .unwrap();
    drop(other);
    let store = phone.open();
    assert_eq!(burn_all(&store, user), [2, 3]);
}

#[test]
fn a_full_disk_refuses_the_tap_and_spends_nothing() {
    let (_phone, store, user) = Phone::issued(1..=2);
    // From now on the file may not grow.
    store
        .read(|tx| {
            let pages: i64 = tx.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            tx.connection.pragma_update(None, "max_page_count", pages).unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(store.write(|tx| tx.set_setting("k", &[0; 100_000])).unwrap_err(), WalletError::StoreFull);
    let full = store.write_guarded(|tx| tx.set_setting("k", &[0; 100_000]));
    assert_eq!(full.unwrap_err(), WalletError::StoreFull);
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 2);
    // A burn needs no new page and still goes through, exactly once.
    assert_eq!(burn_all(&store, user), [1, 2]);
}

#[test]
fn a_commit_that_fails_while_it_is_written_leaves_the_anchor_armed() {
    let (phone, store, user) = Phone::issued(1..=2);
    let anchor = || AnchorValue::decode(&phone.keys.anchor_bytes().unwrap()).unwrap();
    let failed = store.write_guarded(|tx| {
        // SQLite checks these at COMMIT, which then fails.
        tx.execute("PRAGMA defer_foreign_keys = on", [])?;
        tx.execute("INSERT INTO history (user, number, entry) VALUES (99, 1, x'00')", [])?;
        Ok(())
    });
    assert_eq!(failed.unwrap_err(), WalletError::Bug { code: "store_constraint" });
    store.settle().unwrap();
    assert_eq!(anchor().arm, Arm::Write);
    let killed = phone.killed().open();
    assert_eq!(burn_all(&killed, user), [1, 2]);
    assert_eq!(tap(&store, user), Some(1));
    assert_eq!(anchor().arm, Arm::Rest);
}

#[test]
fn a_burn_without_an_armed_anchor_is_refused_and_spends_nothing() {
    let (phone, store, user) = Phone::issued(1..=2);
    phone.keys.fail_anchor(Some(KeyStoreError::Locked));
    let refused = store.burn_next(user, at(NOW), store.start_arming(user)).unwrap_err();
    assert_eq!(refused, WalletError::KeyStore { reason: KeyStoreProblem::Locked });
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 2);
    phone.keys.fail_anchor(None);
    assert_eq!(tap(&store, user), Some(1));
    assert_eq!(phone.killed().open().health(), Health::Good);
}

#[test]
fn an_arming_that_hangs_refuses_the_tap_and_its_late_write_does_no_harm() {
    let (phone, store, user) = Phone::issued(1..=2);
    store.close();
    let store = Store::open(&phone.config(), phone.keys.calls_within(Duration::from_millis(20))).unwrap();
    let gate = phone.keys.hold_next_anchor_write();
    let ticket = store.start_arming(user);
    gate.reached.recv().unwrap();
    let timed_out = WalletError::KeyStore { reason: KeyStoreProblem::TimedOut };
    assert_eq!(store.burn_next(user, at(NOW), ticket).unwrap_err(), timed_out);
    // As long as the host may still write, nothing else is written.
    assert_eq!(store.write_guarded(|tx| tx.set_setting("k", b"v")).unwrap_err(), timed_out);
    assert_eq!(store.settle().unwrap_err(), timed_out);
    let writes = phone.keys.anchor_writes();
    gate.open.send(()).unwrap();
    while phone.keys.anchor_writes() == writes {
        std::thread::yield_now();
    }
    // The late answer is collected by the first call that finds it.
    while store.settle().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(tap(&store, user), Some(1));
    assert_eq!(phone.killed().open().health(), Health::Good);
}

#[test]
fn a_settling_that_hangs_keeps_every_commit_from_happening_before_it() {
    let (phone, store, user) = Phone::issued(1..=2);
    store.close();
    let store = Store::open(&phone.config(), phone.keys.calls_within(Duration::from_millis(200))).unwrap();
    let ticket = store.start_arming(user);
    store.guard.turn().unwrap().land().unwrap();
    drop(ticket);
    let gate = phone.keys.hold_next_anchor_write();
    let timed_out = WalletError::KeyStore { reason: KeyStoreProblem::TimedOut };
    assert_eq!(store.settle().unwrap_err(), timed_out);
    // The host still holds the anchor of the tap, and may put it to rest at any moment.
    let written = store.write_guarded(|tx| tx.add_credentials(user, &[credential(9)]));
    assert_eq!(written.unwrap_err(), timed_out);
    let writes = phone.keys.anchor_writes();
    gate.open.send(()).unwrap();
    while phone.keys.anchor_writes() == writes {
        std::thread::yield_now();
    }
    assert_eq!(phone.killed().open().health(), Health::Good);
}

#[test]
fn a_guarded_write_during_the_arming_waits_and_the_tap_still_burns() {
    let (phone, store, user) = Phone::issued(1..=3);
    let gate = phone.keys.hold_next_anchor_write();
    let ticket = store.start_arming(user);
    gate.reached.recv().unwrap();
    std::thread::scope(|scope| {
        let write = scope.spawn(|| store.write_guarded(|tx| tx.add_credentials(user, &[credential(9)])));
        gate.open.send(()).unwrap();
        assert_eq!(write.join().unwrap(), Ok(1));
    });
    let burnt = store.burn_next(user, at(NOW), ticket).unwrap().unwrap();
    assert_eq!(burnt.atc, 1);
    let killed = phone.killed().open();
    assert_eq!(killed.health(), Health::Good);
    assert_eq!(burn_all(&killed, user), [2, 3, 9]);
}

#[test]
fn a_tap_that_begins_while_the_last_one_is_settled_never_waits_at_select() {
    let (phone, store, user) = Phone::issued(1..=3);
    assert_eq!(burn(&store, user), Some(1));
    let gate = phone.keys.hold_next_anchor_write();
    std::thread::scope(|scope| {
        let settle = scope.spawn(|| store.settle());
        gate.reached.recv().unwrap();
        // The host still holds the settling write; this returns all the same.
        let ticket = store.start_arming(user);
        gate.open.send(()).unwrap();
        assert_eq!(settle.join().unwrap(), Ok(()));
        let burnt = store.burn_next(user, at(NOW), ticket).unwrap().unwrap();
        assert_eq!(burnt.atc, 2);
    });
    let killed = phone.killed().open();
    assert_eq!(killed.health(), Health::Good);
    assert_eq!(burn_all(&killed, user), [3]);
}

#[test]
fn settling_while_a_tap_runs_leaves_it_armed() {
    let (phone, store, user) = Phone::issued(1..=3);
    let ticket = store.start_arming(user);
    store.guard.turn().unwrap().land().unwrap();
    let writes = phone.keys.anchor_writes();
    store.settle().unwrap();
    assert_eq!(phone.keys.anchor_writes(), writes);
    let burnt = store.burn_next(user, at(NOW), ticket).unwrap().unwrap();
    assert_eq!(burnt.atc, 1);
    store.settle().unwrap();
    assert_eq!(burn_all(&phone.killed().open(), user), [2, 3]);
}

#[test]
fn many_taps_and_writes_at_once_spend_each_counter_once() {
    let (phone, store, user) = Phone::issued(1..=40);
    let burnt = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..10 {
                    burnt.lock().unwrap().extend(tap(&store, user));
                }
            });
        }
        scope.spawn(|| {
            for round in 0u8..10 {
                store.write_guarded(|tx| tx.set_setting("k", &[round])).unwrap();
            }
        });
    });
    let mut burnt = burnt.into_inner().unwrap();
    burnt.sort_unstable();
    assert_eq!(burnt, (1..=30).collect::<Vec<_>>());
    store.settle().unwrap();
    let killed = phone.killed().open();
    assert_eq!(burn_all(&killed, user), (31..=40).collect::<Vec<_>>());
}
