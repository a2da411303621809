//! What the store promises, tried from outside.

mod opening;
mod rollback;
mod rows;
mod taps;

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

use super::test_host::TestKeys;
use super::{Store, StoreConfig, TokenPhase, TokenRecord, UserKey};
use crate::card::profile::{Application, IadTemplate, IccKeyParts, Profile, Rules};
use crate::error::WalletError;
use crate::secret::{Secret, SecretBytes};
use crate::token_service::ServiceTime;
use crate::token_service::operations::WireCredential;

/// Before every expiry.
const NOW: i64 = 1_000;
const EXPIRY: i64 = 1_000_000;

/// This time, learnt from the service.
fn at(now_ms: i64) -> ServiceTime {
    ServiceTime { now_ms, learnt: true }
}

/// A directory and a device.
struct Phone {
    directory: TempDir,
    keys: TestKeys,
}

impl Phone {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), keys: TestKeys::default() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn config(&self) -> StoreConfig {
        StoreConfig { directory: self.path().to_owned(), history_limit: 3 }
    }

    fn try_open(&self) -> Result<Store, WalletError> {
        Store::open(&self.config(), self.keys.calls())
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    /// A phone with a token for one user and these credentials.
    fn issued(atcs: impl IntoIterator<Item = u16>) -> (Self, Store, UserKey) {
        let phone = Self::new();
        let store = phone.open();
        let user = store.write(|tx| tx.connect_user("user-1")).unwrap();
        issue(&store, user, "token-1", atcs);
        (phone, store, user)
    }

    /// The files alone, as they are now.
    fn copy_files(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_database(self.path(), copy.path());
        copy
    }

    /// What a kill at this moment leaves: the files and the device.
    fn killed(&self) -> Self {
        Self { directory: self.copy_files(), keys: self.keys.fork() }
    }
}

/// Replaces the database in `to` by the one in `from`.
fn copy_database(from: &Path, to: &Path) {
    for name in ["wallet.db", "wallet.db-wal"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn issue(store: &Store, user: UserKey, reference: &str, atcs: impl IntoIterator<Item = u16>) {
    let credentials: Vec<_> = atcs.into_iter().map(credential).collect();
    let added = store.write_guarded(|tx| {
        tx.put_token(user, &token(reference), &profile())?;
        tx.add_credentials(user, &credentials)
    });
    assert_eq!(added, Ok(u32::try_from(credentials.len()).unwrap()));
}

fn token(reference: &str) -> TokenRecord {
    TokenRecord {
        reference: reference.to_owned(),
        phase: TokenPhase::Active,
        suspended_by: BTreeSet::new(),
        pending: None,
    }
}

/// Bytes that are easy to find in a file.
const PLANTED_KEY: &[u8; 14] = b"PLANTED-SECRET";
const PLANTED_PRIME: &[u8] = b"PLANTED-PRIME-OF-THE-CARD";

fn credential(atc: u16) -> WireCredential {
    let mut key = [0; 16];
    key[..14].copy_from_slice(PLANTED_KEY);
    key[14..].copy_from_slice(&atc.to_be_bytes());
    WireCredential { atc, session_key: Secret::new(key), cvc3_key: None, expires_at_ms: EXPIRY }
}

fn profile() -> Profile {
    Profile {
        version: 1,
        last_four: "1234".to_owned(),
        applications: vec![Application {
            aid: vec![0xA0, 0, 0, 0, 1],
            label: "TEST".to_owned(),
            priority: 1,
            kernel_identifier: Vec::new(),
            preferred_name: None,
            data_objects: Vec::new(),
            ca_key: None,
            relay_resistance: None,
            languages: None,
            pdol: Vec::new(),
            issuer_discretionary: Vec::new(),
            aip: vec![0x19, 0x80],
            afl: vec![0x08, 1, 1, 0],
            records: Vec::new(),
            iad: IadTemplate { key_index: 1, cvn: 0x14, counters: vec![0; 8] },
            icc_key: Some(IccKeyParts {
                modulus: vec![1; 8],
                exponent: vec![3],
                prime_p: SecretBytes::new(PLANTED_PRIME.to_vec()),
                prime_q: SecretBytes::new(vec![5; 4]),
            }),
        }],
        rules: Rules {
            issuer_country: 156,
            cvm_limits: Vec::new(),
            always_cdcvm: false,
            countries: None,
            currencies: None,
            transit_categories: Vec::new(),
        },
    }
}

/// A whole tap, settled.
fn tap(store: &Store, user: UserKey) -> Option<u16> {
    let burnt = burn(store, user);
    store.settle().unwrap();
    burnt
}

/// A tap up to the cryptogram.
fn burn(store: &Store, user: UserKey) -> Option<u16> {
    let ticket = store.start_arming(user);
    store.burn_next(user, at(NOW), ticket).unwrap().map(|credential| credential.atc)
}

/// Everything that can still be paid with.
fn burn_all(store: &Store, user: UserKey) -> Vec<u16> {
    std::iter::from_fn(|| burn(store, user)).collect()
}
