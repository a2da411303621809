//! Stores that earlier libraries made (`fixtures/stores`), opened with the newest code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use nfcwallet_core::host::{Deadlines, HostCalls};
use nfcwallet_core::payment::TransactionOutcome;
use nfcwallet_core::secret::Secret;
use nfcwallet_core::storage::{Store, StoreConfig, UserKey};
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::issuer::keys::application_cryptogram;
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerApplicationData, IssuerConfig};
use nfcwallet_sandbox::pos::{Outcome, Purchase, Terminal};
use nfcwallet_sandbox::relay::{Fault, FaultRule};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_tests::store_fixture::{HARDWARE, StoreFixture, WALLET, copy, folder};
use rusqlite::Connection;
use tempfile::TempDir;

/// After the fixture was made, the phone is taken out of its drawer.
const LATER_MS: i64 = 3_600_000;

/// A copy of a fixture on a phone without a network, an hour after it was made.
struct Drawer {
    fixture: StoreFixture,
    scratch: TempDir,
    phone: SimPhone,
    /// Answers nothing; has the runtime.
    _network: Sandbox,
}

impl Drawer {
    fn open(schema: u32) -> Self {
        let fixture = StoreFixture::read(&folder(schema)).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        for name in [WALLET, HARDWARE] {
            copy(&folder(schema).join(name), &scratch.path().join(name)).unwrap();
        }
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let network = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
        network.faults().add(FaultRule { kind: None, fault: Fault::Offline, skip: 0, times: u32::MAX });
        let proxy = Arc::new(network.proxy(&fixture.user).unwrap());
        let phone = SimPhone::new(&scratch.path().join(HARDWARE), proxy, network.runtime().clone()).unwrap();
        let machine_ms = network.service().clock().now_ms();
        phone.clock.set_wall_offset_ms(fixture.made_at_ms + LATER_MS - machine_ms);
        Self { fixture, scratch, phone, _network: network }
    }

    fn wallet(&self) -> Wallet {
        let trust_key = hex::decode(&self.fixture.trust_key).unwrap();
        let config = WalletConfig::new(self.scratch.path().join(WALLET), self.fixture.mpp_id.clone(), trust_key);
        Wallet::init(config, self.phone.host()).unwrap()
    }

    fn store(&self) -> Store {
        self.store_in(&self.scratch.path().join(WALLET))
    }

    fn store_in(&self, directory: &Path) -> Store {
        let calls = Arc::new(HostCalls::new(self.phone.host(), Deadlines::default()));
        Store::open(&StoreConfig { directory: directory.to_owned(), history_limit: 1_000 }, calls).unwrap()
    }

    fn schema(&self) -> u32 {
        schema_of(&self.scratch.path().join(WALLET))
    }

    fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.phone.runtime.block_on(call)
    }

    fn history(&self, wallet: &Wallet) -> Vec<(u64, Option<u16>)> {
        let page = wallet.transactions(None, 100).unwrap();
        let row = |record: &nfcwallet_core::payment::TransactionRecord| {
            let atc = match record.outcome {
                TransactionOutcome::Complete { atc, .. } => Some(atc),
                TransactionOutcome::Failed { .. } => None,
            };
            (record.transaction.amount_minor, atc)
        };
        page.transactions.iter().map(row).collect()
    }

    /// A tap whose signature the terminal checks under the fixture's authority, and whose cryptogram is
    /// checked with the fixture's key of its counter. The counter.
    fn tap(&self, wallet: &Wallet, amount: u64) -> u16 {
        let purchase = Purchase::new(amount, 978, self.fixture.made_at_ms + LATER_MS, [7; 4]);
        let tap =
            Terminal::new([self.fixture.ca_key.clone()]).tap(&mut |apdu| Ok(wallet.process_apdu(apdu)), &purchase);
        assert_eq!(tap.cda_verified, Some(true));
        let Outcome::Online(request) = &tap.outcome else { panic!("{:?}", tap.outcome) };
        let key = hex::decode(&self.fixture.session_keys[&request.atc]).unwrap();
        let iad = IssuerApplicationData::parse(&request.issuer_application_data).unwrap();
        let cryptogram = application_cryptogram(&Secret::from_slice(&key).unwrap(), &request.cryptogram_input(&iad));
        assert_eq!(cryptogram, request.cryptogram);
        request.atc
    }
}

fn schema_of(wallet: &Path) -> u32 {
    let file = Connection::open(wallet.join("wallet.db")).unwrap();
    file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// The schema that a new store gets.
fn newest_schema() -> u32 {
    let drawer = Drawer::open(1);
    let directory = drawer.scratch.path().join("new");
    drawer.store_in(&directory).close();
    schema_of(&directory)
}

fn each_fixture(check: impl Fn(&Drawer)) {
    for schema in 1..=newest_schema() {
        check(&Drawer::open(schema));
    }
}

#[test]
fn every_schema_that_was_ever_released_has_its_fixture() {
    let newest = newest_schema();
    assert!(newest >= 1);
    for schema in 1..=newest {
        let place = folder(schema);
        assert!(
            place.is_dir(),
            "schema {schema} has no fixture; before it is released, make it with \
             `cargo run -p nfcwallet-tests --example make_store_fixture`"
        );
        assert_eq!(StoreFixture::read(&place).unwrap().schema, schema);
        // Read from a copy: even a reader may write.
        assert_eq!(Drawer::open(schema).schema(), schema);
    }
    assert!(!folder(newest + 1).exists(), "a fixture of a schema that does not exist");
}

#[test]
fn an_old_store_pays_with_what_it_has_and_keeps_its_history() {
    each_fixture(|drawer| {
        let fixture = &drawer.fixture;
        let wallet = drawer.wallet();
        assert_eq!(wallet.token_status(), TokenStatus::Ready);
        assert_eq!(wallet.credentials().unwrap().usable, fixture.usable);
        assert_eq!(drawer.history(&wallet), fixture.history);

        let atc = drawer.tap(&wallet, 1_234);
        let lowest = fixture.session_keys.keys().next().copied();
        assert_eq!(Some(atc), lowest, "a burn takes the lowest counter");
        drawer.run(wallet.disconnect()).unwrap();
        drawer.run(wallet.connect(&fixture.user)).unwrap();
        assert_eq!(wallet.credentials().unwrap().usable, fixture.usable - 1);
        assert_eq!(drawer.history(&wallet).first(), Some(&(1_234, Some(atc))));
        assert_eq!(drawer.tap(&wallet, 99), atc + 1);
        wallet.shutdown();
        assert_eq!(drawer.schema(), newest_schema());
    });
}

#[test]
fn an_old_stores_journals_go_on() {
    each_fixture(|drawer| {
        let fixture = &drawer.fixture;
        let store = drawer.store();
        let user = store.read(|tx| tx.connected_key()).unwrap().unwrap();
        let unreported = store.read(|tx| tx.unreported_usage(user)).unwrap();
        let counters: Vec<u16> = unreported.iter().flat_map(|(_, usage)| usage).map(|entry| entry.atc).collect();
        assert_eq!(counters, fixture.unreported);
        let request = store.read(|tx| tx.replenish_request(user)).unwrap().unwrap();
        assert_eq!(request.count, fixture.replenish_count);
        assert!(store.read(|tx| tx.message_applied(&fixture.applied_message)).unwrap());
        let has_journal = |user: UserKey| store.read(|tx| tx.has_journal(user)).unwrap();
        let waiting = store.write(|tx| tx.connect_user(&fixture.waiting_user)).unwrap();
        assert_eq!((has_journal(user), has_journal(waiting)), (false, true));
        store.close();

        let wallet = drawer.wallet();
        drawer.run(wallet.connect(&fixture.waiting_user)).unwrap();
        assert_eq!(wallet.token_status().code(), fixture.waiting_status);
        wallet.shutdown();
    });
}

#[test]
fn a_fixture_is_small_and_complete() {
    for schema in 1..=newest_schema() {
        let mut bytes = 0;
        for place in [folder(schema), folder(schema).join(WALLET), folder(schema).join(HARDWARE)] {
            for entry in fs::read_dir(place).unwrap() {
                let data = entry.unwrap().metadata().unwrap();
                bytes += if data.is_file() { data.len() } else { 0 };
            }
        }
        assert!(bytes < 200_000, "schema {schema} has {bytes} bytes");
        let drawer = Drawer::open(schema);
        let file = Connection::open(drawer.scratch.path().join(WALLET).join("wallet.db")).unwrap();
        let mut tables = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for table in tables {
            let rows: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
            assert!(rows > 0, "schema {schema}: {table} is empty, so its migration would not be tried");
        }
    }
}
