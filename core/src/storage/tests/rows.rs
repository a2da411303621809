//! The tables: users, tokens, stock, usage, journals, inbox, history, settings.

use serde::{Deserialize, Serialize};

use super::*;
use crate::storage::{ChangeKind, PendingChange, ReplenishRequest};
use crate::token::Suspender;
use crate::token_service::operations::UsageOutcome;

#[test]
fn a_counter_that_was_sent_twice_is_refused_and_nothing_is_stored() {
    let (_phone, store, user) = Phone::issued(1..=3);
    assert_eq!(tap(&store, user), Some(1));
    // Unspent, spent but not reported, twice in one batch.
    for atcs in [[8, 2], [8, 1], [8, 8]] {
        let error = store.write_guarded(|tx| tx.add_credentials(user, &atcs.map(credential))).unwrap_err();
        assert!(matches!(error, WalletError::Protocol { .. }), "{atcs:?}");
        assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 2);
    }
}

#[test]
fn a_counter_below_the_highest_burnt_one_is_never_used() {
    let (_phone, store, user) = Phone::issued([5, 8]);
    assert_eq!(tap(&store, user), Some(5));
    store.write(|tx| tx.usage_reported("token-1", &[5])).unwrap();
    assert_eq!(store.write_guarded(|tx| tx.add_credentials(user, &[credential(4), credential(5)])), Ok(0));
    let usage = store.read(|tx| tx.unreported_usage(user)).unwrap();
    assert!(usage[0].1.iter().all(|entry| entry.outcome == UsageOutcome::Discarded));
    assert_eq!(burn_all(&store, user), [8]);
}

#[test]
fn the_highest_burnt_counter_outlives_its_token() {
    let (_phone, store, user) = Phone::issued(1..=3);
    assert_eq!(burn_all(&store, user), [1, 2, 3]);
    store.write(|tx| tx.usage_reported("token-1", &[1, 2, 3])).unwrap();
    assert_eq!(store.write_guarded(|tx| tx.remove_token(user)), Ok(true));
    store.write_guarded(|tx| tx.put_token(user, &token("token-1"), &profile())).unwrap();
    let again: Vec<_> = (1..=4).map(credential).collect();
    assert_eq!(store.write_guarded(|tx| tx.add_credentials(user, &again)), Ok(1));
    assert_eq!(burn_all(&store, user), [4]);
}

#[test]
fn the_stock_changes_in_guarded_writes_only() {
    let (_phone, store, user) = Phone::issued(1..=1);
    let unguarded = WalletError::Bug { code: "unguarded_change_of_the_stock" };
    assert_eq!(store.write(|tx| tx.add_credentials(user, &[credential(2)])).unwrap_err(), unguarded);
    assert_eq!(store.write(|tx| tx.discard_expired(user, EXPIRY)).unwrap_err(), unguarded);
    assert_eq!(store.write(|tx| tx.put_token(user, &token("t"), &profile())).unwrap_err(), unguarded);
    let error = store.read(|tx| tx.set_setting("k", b"v")).unwrap_err();
    assert_eq!(error, WalletError::Bug { code: "write_in_read" });
}

#[test]
fn a_failed_closure_changes_nothing() {
    let (_phone, store, user) = Phone::issued(1..=1);
    let failed: Result<(), _> = store.write_guarded(|tx| {
        tx.remove_token(user)?;
        Err(WalletError::NotConnected)
    });
    assert_eq!(failed.unwrap_err(), WalletError::NotConnected);
    assert_eq!(tap(&store, user), Some(1));
}

#[test]
fn two_users_never_see_or_spend_each_others_token() {
    let (_phone, store, first) = Phone::issued(1..=2);
    let second = store.write(|tx| tx.connect_user("user-2")).unwrap();
    assert_eq!(store.read(|tx| tx.connected()).unwrap(), Some((second, "user-2".to_owned())));
    assert_eq!(store.read(|tx| tx.token(second)).unwrap(), None);
    assert_eq!(store.read(|tx| tx.profile(second)).unwrap(), None);
    assert_eq!(tap(&store, second), None);
    let stolen = store.write_guarded(|tx| tx.put_token(second, &token("token-1"), &profile()));
    assert!(matches!(stolen, Err(WalletError::Protocol { .. })));
    issue(&store, second, "token-2", 1..=1);
    assert_eq!(tap(&store, second), Some(1));
    assert_eq!(store.read(|tx| tx.stock(first, NOW)).unwrap().usable, 2);
    assert_eq!(store.write_guarded(|tx| tx.remove_token(second)), Ok(true));
    assert_eq!(store.write(|tx| tx.connect_user("user-1")).unwrap(), first);
    assert_eq!(burn_all(&store, first), [1, 2]);
    let usage = store.read(|tx| tx.unreported_usage(second)).unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!(usage[0].0, "token-2");
}

#[test]
fn a_token_that_was_locked_or_logged_out_since_the_tap_began_is_not_burnt_from() {
    let (_phone, store, user) = Phone::issued(1..=2);
    type Change<'a> = &'a dyn Fn(&crate::storage::Tx<'_>) -> Result<(), WalletError>;
    let forbid: [Change<'_>; 4] = [
        &|tx| tx.set_suspensions(user, &BTreeSet::from([Suspender::Issuer])),
        &|tx| tx.set_pending(user, Some(PendingChange { kind: ChangeKind::Lock, request_id: [1; 16] })),
        &|tx| tx.set_token_phase(user, TokenPhase::Reported),
        &|tx| tx.disconnect(),
    ];
    for forbid in forbid {
        let ticket = store.start_arming(user);
        store.write(forbid).unwrap();
        let refused = store.burn_next(user, at(NOW), ticket);
        assert!(matches!(refused, Err(WalletError::TokenUnavailable { .. })), "{refused:?}");
        store
            .write(|tx| {
                tx.connect_user("user-1")?;
                tx.set_suspensions(user, &BTreeSet::new())?;
                tx.set_pending(user, None)?;
                tx.set_token_phase(user, TokenPhase::Active)
            })
            .unwrap();
    }
    assert_eq!(burn_all(&store, user), [1, 2]);
}

#[test]
fn a_token_and_its_changes_survive_a_restart() {
    let (phone, store, user) = Phone::issued(1..=1);
    let pending = PendingChange { kind: ChangeKind::Unlock, request_id: [6; 16] };
    let suspended_by = BTreeSet::from([Suspender::User, Suspender::Scheme]);
    let changed = Profile { last_four: "9999".to_owned(), ..profile() };
    store
        .write(|tx| {
            tx.set_token_phase(user, TokenPhase::Active)?;
            tx.set_suspensions(user, &suspended_by)?;
            tx.set_pending(user, Some(pending))?;
            tx.set_profile(user, &changed)
        })
        .unwrap();
    drop(store);
    let store = phone.open();
    let expected = TokenRecord { phase: TokenPhase::Active, suspended_by, pending: Some(pending), ..token("token-1") };
    assert_eq!(store.read(|tx| tx.token(user)).unwrap(), Some(expected));
    let read = store.read(|tx| tx.profile(user)).unwrap().unwrap();
    assert_eq!(read, changed);
    let prime = read.applications[0].icc_key.as_ref().unwrap().prime_p.expose().to_vec();
    assert_eq!(prime, PLANTED_PRIME);
    let other = store.write(|tx| tx.connect_user("user-2")).unwrap();
    assert_eq!(store.write(|tx| tx.set_pending(other, None)).unwrap_err(), WalletError::NoToken);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    step: u32,
}

#[test]
fn journals_and_requests_survive_a_restart_and_are_cleared() {
    let (phone, store, user) = Phone::issued([]);
    let request = ReplenishRequest { request_id: [3; 16], count: u32::MAX };
    store
        .write(|tx| {
            tx.put_journal(user, &Entry { step: 1 })?;
            tx.put_journal(user, &Entry { step: 2 })?;
            tx.set_replenish_request(user, request)
        })
        .unwrap();
    drop(store);
    let store = phone.open();
    assert_eq!(store.read(|tx| tx.journal(user)).unwrap(), Some(Entry { step: 2 }));
    assert_eq!(store.read(|tx| tx.replenish_request(user)).unwrap(), Some(request));
    store
        .write(|tx| {
            tx.clear_journal(user)?;
            tx.clear_replenish_request(user)
        })
        .unwrap();
    assert!(!store.read(|tx| tx.has_journal(user)).unwrap());
    assert_eq!(store.read(|tx| tx.replenish_request(user)).unwrap(), None);
}

#[test]
fn the_last_five_hundred_messages_are_remembered() {
    let store = Phone::new();
    let store = store.open();
    store
        .write(|tx| {
            for number in 0..501 {
                tx.mark_message(&format!("m-{number}"))?;
                tx.mark_message(&format!("m-{number}"))?;
            }
            Ok(())
        })
        .unwrap();
    let applied = |number: u32| store.read(|tx| tx.message_applied(&format!("m-{number}"))).unwrap();
    assert!(!applied(0) && applied(1) && applied(500) && !applied(501));
}

#[test]
fn history_keeps_the_newest_of_each_user_and_pages_backwards() {
    let (_phone, store, user) = Phone::issued([]);
    let other = store.write(|tx| tx.connect_user("user-2")).unwrap();
    store.write(|tx| tx.append_history(other, &Entry { step: 100 })).unwrap();
    for step in 1..=5 {
        assert_eq!(store.write(|tx| tx.append_history(user, &Entry { step })), Ok(Some(i64::from(step))));
    }
    let page = |before, limit| store.read(|tx| tx.history::<Entry>(user, before, limit)).unwrap();
    let numbers = |page: Vec<(i64, Entry)>| page.into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(page(None, 1), [(5, Entry { step: 5 })]);
    assert_eq!(numbers(page(None, 10)), [5, 4, 3]);
    assert_eq!(numbers(page(Some(5), 1)), [4]);
    assert_eq!(store.read(|tx| tx.history::<Entry>(other, None, 9)).unwrap().len(), 1);
}

#[test]
fn no_history_is_kept_where_the_limit_is_zero() {
    let phone = Phone::new();
    let config = StoreConfig { history_limit: 0, ..phone.config() };
    let store = Store::open(&config, phone.keys.calls()).unwrap();
    let user = store.write(|tx| tx.connect_user("user-1")).unwrap();
    assert_eq!(store.write(|tx| tx.append_history(user, &Entry { step: 1 })), Ok(None));
    assert!(store.read(|tx| tx.history::<Entry>(user, None, 9)).unwrap().is_empty());
}

#[test]
fn a_user_is_found_again_and_settings_are_replaced() {
    let phone = Phone::new();
    let store = phone.open();
    let user = store.write(|tx| tx.connect_user("user-1")).unwrap();
    store.write(|tx| tx.set_setting("k", b"1")).unwrap();
    store.write(|tx| tx.set_setting("k", b"2")).unwrap();
    store.write(|tx| tx.disconnect()).unwrap();
    drop(store);
    let store = phone.open();
    assert_eq!(store.read(|tx| tx.connected()).unwrap(), None);
    assert_eq!(store.read(|tx| tx.setting("k")).unwrap(), Some(b"2".to_vec()));
    assert_eq!(store.write(|tx| tx.connect_user("user-1")).unwrap(), user);
    let before = store.commits();
    store.write(|tx| tx.connect_user("user-1")).unwrap();
    assert_eq!(store.commits(), before);
}

#[test]
fn no_secret_stands_plain_in_the_files() {
    let (phone, store, user) = Phone::issued(1..=20);
    let with_checksum_key = WireCredential { cvc3_key: Some(Secret::new(*b"PLANTED-CHECKSUM")), ..credential(21) };
    store.write_guarded(|tx| tx.add_credentials(user, &[with_checksum_key])).unwrap();
    store.write(|tx| tx.put_journal(user, &"PLANTED-JOURNAL")).unwrap();
    store.write(|tx| tx.append_history(user, &"PLANTED-HISTORY")).unwrap();
    assert_eq!(tap(&store, user), Some(1));
    let found = |secret: &[u8]| {
        ["wallet.db", "wallet.db-wal"].iter().any(|name| {
            let bytes = std::fs::read(phone.path().join(name)).unwrap_or_default();
            bytes.windows(secret.len()).any(|window| window == secret)
        })
    };
    // The search finds what is there.
    assert!(found(b"token-1"));
    store.suspend().unwrap();
    let prime = hex::encode(PLANTED_PRIME);
    let others = [prime.as_bytes(), PLANTED_PRIME, b"PLANTED-C", b"PLANTED-J", b"PLANTED-H", b"user-1"];
    for secret in [PLANTED_KEY.as_slice()].into_iter().chain(others) {
        assert!(!found(secret), "{}", String::from_utf8_lossy(secret));
    }
    store.close();
    assert!(!found(PLANTED_KEY) && found(b"token-1"));
}

#[test]
fn a_removed_token_leaves_no_sealed_key_in_the_database() {
    let (phone, store, user) = Phone::issued(1..=20);
    let sealed =
        store.read(|tx| Ok(tx.all("SELECT session_key FROM credential", [], |row| row.get::<_, Vec<u8>>(0))?)).unwrap();
    store.write_guarded(|tx| tx.remove_token(user)).unwrap();
    store.close();
    let file = std::fs::read(phone.path().join("wallet.db")).unwrap();
    for key in sealed {
        assert!(!file.windows(key.len()).any(|window| window == key));
    }
}

#[test]
fn the_log_is_moved_into_the_database_off_the_tap_path() {
    let (phone, store, user) = Phone::issued(1..=100);
    let written = |name: &str| std::fs::metadata(phone.path().join(name)).unwrap().len();
    for _ in 0..64 {
        burn(&store, user).unwrap();
    }
    let log = written("wallet.db-wal");
    store.settle().unwrap();
    for _ in 0..20 {
        burn(&store, user).unwrap();
    }
    // Written over from its start.
    assert_eq!(written("wallet.db-wal"), log);
}
