//! Makes the fixture of today's schema, once: `cargo run -p nfcwallet-tests --example make_store_fixture`.
//!
//! It drives a wallet against the sandbox until every table has rows: an active token with credentials,
//! paid and refused taps, usage that the service has not heard of, a replenishment without an answer, an
//! applied message, and a second user's activation that waits for its step-up. A fixture that exists is
//! never written over: it stands for phones in the field.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{Deadlines, HostCalls};
use nfcwallet_core::payment::TransactionOutcome;
use nfcwallet_core::storage::{Store, StoreConfig};
use nfcwallet_core::token::Suspender;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::{SimPhone, TokioClock};
use nfcwallet_sandbox::pos::{Link, Purchase};
use nfcwallet_sandbox::relay::{Fault, FaultRule};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_sandbox::token_service::{DecisionPolicy, Policy};
use nfcwallet_tests::store_fixture::{HARDWARE, MANIFEST, StoreFixture, WALLET, folder};

const USER: &str = "fixture-user";
const WAITING: &str = "fixture-waiting-user";
const MPP_ID: &str = "fixture-mpp";

fn main() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxConfig::default())?;
    let fixture = make(&sandbox, scratch.path())?;
    let place = folder(fixture.schema);
    ensure!(!place.exists(), "schema {} has its fixture: {}", fixture.schema, place.display());
    for name in [WALLET, HARDWARE] {
        nfcwallet_tests::store_fixture::copy(&scratch.path().join(name), &place.join(name))?;
    }
    let mut text = serde_json::to_vec_pretty(&fixture)?;
    text.push(b'\n');
    std::fs::write(place.join(MANIFEST), text)?;
    println!("{}", place.display());
    Ok(())
}

/// A wallet of `user` on the phone in `folder`.
struct Phone<'a> {
    sandbox: &'a Sandbox,
    parts: SimPhone,
    wallet: Wallet,
    taps: u32,
}

impl<'a> Phone<'a> {
    fn of(sandbox: &'a Sandbox, folder: &Path, user: &str) -> Result<Self> {
        let proxy = Arc::new(sandbox.proxy(user)?);
        let mut parts = SimPhone::new(&folder.join(HARDWARE), proxy, sandbox.runtime().clone())?;
        parts.clock = Arc::new(TokioClock::new(sandbox.runtime().clone()).with_shorter_pauses(20));
        let config = WalletConfig::new(folder.join(WALLET), MPP_ID, sandbox.trust_key());
        let wallet = Wallet::init(config, parts.host())?;
        sandbox.runtime().block_on(wallet.connect(user))?;
        Ok(Self { sandbox, parts, wallet, taps: 0 })
    }

    /// One tap; what follows it in the background has a moment to end.
    fn tap(&mut self, amount: u64, is_paid: bool) -> Result<()> {
        self.taps += 1;
        let now_ms = self.sandbox.service().clock().now_ms();
        let purchase = Purchase::new(amount, 978, now_ms, self.taps.to_be_bytes());
        let link: &mut Link<'_> = &mut |apdu| Ok(self.wallet.process_apdu(apdu));
        let payment = self.sandbox.checkout().pay(link, &purchase)?;
        ensure!(payment.outcome.is_approved() == is_paid, "{amount}: {}", payment.outcome);
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    }
}

fn make(sandbox: &Sandbox, scratch: &Path) -> Result<StoreFixture> {
    wait_for_a_step_up(sandbox, scratch)?;
    pay_and_go_offline(sandbox, scratch)?;
    let waiting_status = status_of_the_other_user(sandbox, scratch)?;
    read_back(sandbox, scratch, waiting_status)
}

/// Leaves the journal of an activation.
fn wait_for_a_step_up(sandbox: &Sandbox, scratch: &Path) -> Result<()> {
    sandbox.service().set_policy(Policy { decision: DecisionPolicy::StepUp, ..Policy::default() });
    let phone = Phone::of(sandbox, scratch, WAITING)?;
    // After some polls it is left open, with its journal.
    let ended = sandbox.runtime().block_on(phone.wallet.activate(ActivationMode::Manual, phone.parts.recorder.clone()));
    ensure!(ended.is_err(), "the activation does not wait for its step-up");
    phone.wallet.shutdown();
    sandbox.service().set_policy(Policy::default());
    Ok(())
}

fn pay_and_go_offline(sandbox: &Sandbox, scratch: &Path) -> Result<()> {
    let runtime = sandbox.runtime();
    let mut phone = Phone::of(sandbox, scratch, USER)?;
    runtime.block_on(phone.wallet.activate(ActivationMode::Manual, phone.parts.recorder.clone()))?;
    for amount in [1_250, 320] {
        phone.tap(amount, true)?;
    }
    runtime.block_on(phone.wallet.replenish())?;
    let token = token_of(sandbox)?;
    sandbox.service().suspend(&token, Suspender::Issuer)?;
    runtime.block_on(phone.wallet.sync_token())?;
    sandbox.service().resume(&token, Suspender::Issuer)?;
    runtime.block_on(phone.wallet.sync_token())?;
    offline(sandbox);
    phone.tap(480, true)?;
    // Above the limit of the card: refused, and noted.
    phone.tap(9_000, false)?;
    phone.tap(75, true)?;
    ensure!(runtime.block_on(phone.wallet.replenish()).is_err(), "a replenishment without a network succeeded");
    phone.wallet.shutdown();
    Ok(())
}

/// Without a network; and the first user is connected again afterwards.
fn status_of_the_other_user(sandbox: &Sandbox, scratch: &Path) -> Result<i32> {
    let phone = Phone::of(sandbox, scratch, WAITING)?;
    let status = phone.wallet.token_status().code();
    phone.wallet.shutdown();
    Phone::of(sandbox, scratch, USER)?.wallet.shutdown();
    Ok(status)
}

fn offline(sandbox: &Sandbox) {
    sandbox.faults().add(FaultRule { kind: None, fault: Fault::Offline, skip: 0, times: u32::MAX });
}

fn token_of(sandbox: &Sandbox) -> Result<String> {
    let tokens = sandbox.service().state()?.tokens;
    tokens.into_iter().find(|token| token.user == USER).map(|token| token.token_reference).context("no token")
}

/// What is in the store, by the store's own interface and the issuer's keys.
fn read_back(sandbox: &Sandbox, scratch: &Path, waiting_status: i32) -> Result<StoreFixture> {
    let phone = Phone::of(sandbox, scratch, USER)?;
    let usable = phone.wallet.credentials()?.usable;
    let page = phone.wallet.transactions(None, 100)?;
    let history = page.transactions.iter().map(|record| {
        let atc = match record.outcome {
            TransactionOutcome::Complete { atc, .. } => Some(atc),
            TransactionOutcome::Failed { .. } => None,
        };
        (record.transaction.amount_minor, atc)
    });
    let history = history.collect();
    phone.wallet.shutdown();

    let calls = Arc::new(HostCalls::new(phone.parts.host(), Deadlines::default()));
    let store = Store::open(&StoreConfig { directory: scratch.join(WALLET), history_limit: 1_000 }, calls)?;
    let user = store.read(|tx| tx.connected_key())?.context("nobody is connected")?;
    let usage = store.read(|tx| tx.unreported_usage(user))?;
    let request = store.read(|tx| tx.replenish_request(user))?.context("no replenishment is under way")?;
    let waiting = store.write(|tx| tx.connect_user(WAITING))?;
    ensure!(store.read(|tx| tx.has_journal(waiting))?, "no activation is under way");
    store.write(|tx| tx.connect_user(USER))?;
    store.close();

    let file = rusqlite::Connection::open(scratch.join(WALLET).join("wallet.db"))?;
    let schema = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let applied_message = file.query_row("SELECT id FROM message ORDER BY seq LIMIT 1", [], |row| row.get(0))?;
    drop(file);

    let token = token_of(sandbox)?;
    let spent: Vec<u16> = usage.iter().flat_map(|(_, entries)| entries).map(|entry| entry.atc).collect();
    let left = sandbox.service().credentials(&token)?;
    let left = left.iter().filter(|view| view.outcome.is_none() && !spent.contains(&view.atc));
    let session_keys = left.map(|view| {
        let again = sandbox.issuer().credentials(&token, view.atc, 1, view.expires_at_ms)?;
        let key = again.first().context("the issuer has no such credential")?.session_key.expose();
        Ok((view.atc, hex::encode(key)))
    });
    Ok(StoreFixture {
        schema,
        made_by: format!("nfcwallet-core {}", env!("CARGO_PKG_VERSION")),
        made_at_ms: sandbox.service().clock().now_ms(),
        mpp_id: MPP_ID.to_owned(),
        trust_key: hex::encode(sandbox.trust_key()),
        ca_key: sandbox.issuer().ca_public_key(),
        user: USER.to_owned(),
        usable,
        session_keys: session_keys.collect::<Result<_>>()?,
        unreported: spent,
        replenish_count: request.count,
        history,
        applied_message,
        waiting_user: WAITING.to_owned(),
        waiting_status,
    })
}
