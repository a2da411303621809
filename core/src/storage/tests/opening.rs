//! Opening: each error is its own and leaves the file as it was; degraded keys.

use std::fs;

use super::*;
use crate::error::KeyStoreProblem;
use crate::host::KeyStoreError;
use crate::storage::Health;

#[test]
fn a_second_wallet_is_refused_until_the_first_is_closed() {
    let phone = Phone::new();
    let first = phone.open();
    assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreBusy);
    first.close();
    assert_eq!(first.read(|tx| tx.connected()).unwrap_err(), WalletError::ShutDown);
    let second = phone.open();
    drop(second);
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn another_program_on_the_database_makes_it_busy() {
    let phone = Phone::new();
    phone.open().close();
    let other = rusqlite::Connection::open(phone.path().join("wallet.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreBusy);
    drop(other);
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn a_directory_that_cannot_be_one_is_unusable() {
    let phone = Phone::new();
    fs::write(phone.path().join("file"), b"x").unwrap();
    for directory in ["file", "file/below"] {
        let config = StoreConfig { directory: phone.path().join(directory), history_limit: 1 };
        let error = Store::open(&config, phone.keys.calls()).unwrap_err();
        assert!(matches!(error, WalletError::StoreUnusable { .. }), "{directory}: {error:?}");
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_byte_for_byte() {
    let phone = Phone::new();
    phone.open().close();
    let path = phone.path().join("wallet.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 7).unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreTooNew { found: 7, known: 1 });
    assert_eq!(fs::read(&path).unwrap(), before);
    let names: BTreeSet<_> = fs::read_dir(phone.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["wallet.db", "wallet.lock"].map(Into::into).into());
}

#[test]
fn a_corrupt_file_is_set_aside_and_the_next_start_is_empty() {
    let (phone, store, _) = Phone::issued(1..=3);
    let old = store.identity();
    store.close();
    for number in 1..=2 {
        let garbage = vec![number; 5_000];
        fs::write(phone.path().join("wallet.db"), &garbage).unwrap();
        assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreCorrupt);
        assert_eq!(fs::read(phone.path().join(format!("wallet.db.corrupt-{number}"))).unwrap(), garbage);
        let store = phone.open();
        assert_eq!(store.health(), Health::Good);
        assert_ne!(store.identity(), old);
        assert_eq!(store.read(|tx| tx.connected()).unwrap(), None);
    }
}

#[test]
fn a_missing_or_changed_table_is_corrupt() {
    let phone = Phone::new();
    phone.open().close();
    let other = rusqlite::Connection::open(phone.path().join("wallet.db")).unwrap();
    other.execute_batch("ALTER TABLE setting ADD COLUMN extra TEXT").unwrap();
    drop(other);
    assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreCorrupt);
}

#[test]
fn damage_that_shows_later_stops_the_store_and_sets_it_aside() {
    let (phone, store, user) = Phone::issued(1..=2);
    store.close();
    let path = phone.path().join("wallet.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE token SET profile = zeroblob(100)", []).unwrap();
    drop(other);
    let store = phone.open();
    store.write(|tx| tx.set_setting("k", b"still in the log")).unwrap();
    let log = phone.path().join("wallet.db-wal");
    let damaged = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    assert_eq!(store.read(|tx| tx.profile(user)).unwrap_err(), WalletError::StoreCorrupt);
    assert_eq!(store.read(|tx| tx.token(user)).unwrap_err(), WalletError::StoreCorrupt);
    let aside = |suffix: &str| fs::read(phone.path().join(format!("wallet.db.corrupt-1{suffix}"))).unwrap();
    assert_eq!((aside(""), aside("-wal")), damaged);
    assert_eq!(phone.try_open().unwrap_err(), WalletError::StoreBusy);
    drop(store);
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn a_locked_key_store_opens_degraded_and_heals() {
    let (phone, store, user) = Phone::issued(1..=2);
    store.close();
    phone.keys.fail(Some(KeyStoreError::Locked));
    let store = phone.open();
    let locked = WalletError::KeyStore { reason: KeyStoreProblem::Locked };
    assert_eq!(store.health(), Health::KeyUnavailable(KeyStoreProblem::Locked));
    assert_eq!(store.read(|tx| tx.connected()).unwrap_err(), locked);
    assert_eq!(store.read(|tx| tx.connected_key()).unwrap(), Some(user));
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 2);
    assert_eq!(store.burn_next(user, at(NOW), store.start_arming(user)).unwrap_err(), locked);
    assert_eq!(store.ensure_key().unwrap_err(), locked);
    phone.keys.fail(None);
    store.ensure_key().unwrap();
    assert_eq!(store.read(|tx| tx.connected()).unwrap(), Some((user, "user-1".to_owned())));
    assert_eq!(tap(&store, user), Some(1));
}

#[test]
fn a_first_start_with_a_locked_key_store_heals_too() {
    let phone = Phone::new();
    phone.keys.fail(Some(KeyStoreError::Locked));
    let store = phone.open();
    assert_eq!(store.health(), Health::KeyUnavailable(KeyStoreProblem::Locked));
    let user = store.write(|tx| tx.connect_user("user-1")).unwrap();
    phone.keys.fail(None);
    store.ensure_key().unwrap();
    assert_eq!(store.write(|tx| tx.connect_user("user-1")).unwrap(), user);
    issue(&store, user, "token-1", 1..=1);
    assert_eq!(tap(&store, user), Some(1));
}

#[test]
fn an_invalidated_key_wipes_credentials_and_keeps_the_identity() {
    let (phone, store, user) = Phone::issued(1..=3);
    assert_eq!(tap(&store, user), Some(1));
    let identity = store.identity();
    store.close();
    phone.keys.fail(Some(KeyStoreError::Invalidated));
    let store = phone.open();
    let lost = Health::KeyUnavailable(KeyStoreProblem::Invalidated);
    assert_eq!(store.health(), lost);
    store.close();
    // The host has forgotten that anything was wrong; the key is gone all the same.
    phone.keys.fail(None);
    let store = phone.open();
    assert_eq!(store.health(), lost);
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 0);
    assert_eq!(store.read(|tx| tx.token(user)).unwrap(), None);
    assert_eq!(store.ensure_key().unwrap_err(), WalletError::KeyStore { reason: KeyStoreProblem::Invalidated });

    store.renew().unwrap();
    assert_eq!(store.health(), Health::Good);
    assert_eq!(store.identity(), identity);
    assert_eq!(store.write(|tx| tx.connect_user("user-1")).unwrap(), user);
    assert_eq!(store.read(|tx| tx.connected()).unwrap(), Some((user, "user-1".to_owned())));
    assert_eq!(store.read(|tx| tx.unreported_usage(user)).unwrap().len(), 1);
    issue(&store, user, "token-2", 1..=1);
    assert_eq!(tap(&store, user), Some(1));
    store.close();
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn a_failed_renewal_can_be_repeated() {
    let (phone, store, user) = Phone::issued(1..=1);
    phone.keys.fail_anchor(Some(KeyStoreError::Locked));
    assert_eq!(store.renew().unwrap_err(), WalletError::KeyStore { reason: KeyStoreProblem::Locked });
    assert_eq!(store.health(), Health::KeyUnavailable(KeyStoreProblem::Locked));
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 0);
    phone.keys.fail_anchor(None);
    store.renew().unwrap();
    assert_eq!(store.health(), Health::Good);
}

#[test]
fn a_wrong_key_from_the_host_is_not_taken_for_the_right_one() {
    let (phone, store, user) = Phone::issued(1..=1);
    store.close();
    // Another device's wrapping key, this device's anchor.
    let other = TestKeys::default();
    other.put_anchor(phone.keys.anchor_bytes());
    let store = Store::open(&phone.config(), other.calls()).unwrap();
    assert!(matches!(store.health(), Health::KeyUnavailable(KeyStoreProblem::NotFound)));
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 1);
    store.close();
    assert_eq!(phone.open().health(), Health::Good);
}

#[test]
fn zeroed_bytes_are_not_taken_for_a_key() {
    let (phone, store, user) = Phone::issued(1..=1);
    store.close();
    phone.keys.answer_zeroes(true);
    let store = phone.open();
    let Health::KeyUnavailable(KeyStoreProblem::Failed { .. }) = store.health() else {
        panic!("{:?}", store.health());
    };
    assert_eq!(store.read(|tx| tx.stock(user, NOW)).unwrap().usable, 1);
    // Nor is a key that would not come back wrapped at the first start.
    let fresh = Phone::new();
    fresh.keys.answer_zeroes(true);
    assert!(matches!(fresh.open().health(), Health::KeyUnavailable(KeyStoreProblem::Failed { .. })));
    phone.keys.answer_zeroes(false);
    store.ensure_key().unwrap();
    assert_eq!(tap(&store, user), Some(1));
}
