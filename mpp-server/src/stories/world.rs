//! A provider with a clock that stands still.

use std::sync::Arc;

use alipayplus::{Amount, Currency};

use crate::accounts::{Accounts, Limits, NewUser, TopUp};
use crate::ledger::audit;
use crate::notices::Notices;
use crate::payments::{Merchant, NoRisk, Pay, PaymentKey, Payments, Policy, Refund, Risk};
use crate::store::{Store, StoreConfig};
use crate::testing::{Database, ManualClock, databases};

/// 2026-03-02 12:00 in UTC+8.
pub(super) const NOON: i64 = 1_772_424_000_000;
pub(super) const MINUTE: i64 = 60_000;
pub(super) const DAY: i64 = 24 * 60 * MINUTE;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: Arc<ManualClock>,
    pub(super) accounts: Accounts,
    pub(super) payments: Payments,
    pub(super) notices: Notices,
    database: Database,
}

impl World {
    /// A world in which alice has 100.00 EUR.
    pub(super) async fn new(database: Database, risk: Arc<dyn Risk>, policy: Policy) -> Self {
        let config = StoreConfig { writers: 4, readers: 2, ..StoreConfig::default() };
        let store = Store::open_with(&database.url, &config).unwrap();
        let clock = Arc::new(ManualClock::new(NOON));
        let world = Self {
            accounts: Accounts::new(store.clone(), clock.clone()),
            payments: Payments::new(store.clone(), clock.clone(), risk, policy),
            notices: Notices::new(store.clone(), clock.clone()),
            store,
            clock,
            database,
        };
        world.user("alice", 10_000).await;
        world
    }

    /// The payments of another server on the same database.
    pub(super) fn other_server(&self) -> Payments {
        let store = Store::open(&self.database.url).unwrap();
        Payments::new(store, self.clock.clone(), Arc::new(NoRisk), Policy::default())
    }

    /// Of the database.
    pub(super) fn url(&self) -> &str {
        &self.database.url
    }

    /// A user with `balance` EUR cents.
    pub(super) async fn user(&self, customer_id: &str, balance: u64) {
        let limits = Limits { payment: Some(8_000), day: Some(15_000), day_count: Some(5) };
        self.user_with(customer_id, balance, limits).await;
    }

    pub(super) async fn user_without_limits(&self, customer_id: &str, balance: u64) {
        self.user_with(customer_id, balance, Limits::default()).await;
    }

    async fn user_with(&self, customer_id: &str, balance: u64, limits: Limits) {
        let user = NewUser { customer_id: customer_id.to_owned(), currency: eur(0).currency, kyc: true, limits };
        self.accounts.create(user).await.unwrap();
        self.top_up(customer_id, balance).await;
    }

    pub(super) async fn top_up(&self, customer_id: &str, value: u64) {
        let id = format!("{customer_id}-{value}");
        let top_up = TopUp { id, customer_id: customer_id.to_owned(), amount: eur(value) };
        self.accounts.top_up(top_up).await.unwrap();
    }

    pub(super) async fn balance(&self, customer_id: &str) -> u64 {
        self.accounts.user(customer_id).await.unwrap().unwrap().balance
    }
}

/// Plays a story on every database, and audits the books at its end.
pub(super) fn on_each(story: impl AsyncFn(&World)) {
    play(Arc::new(NoRisk), Policy::default(), story);
}

/// As [`on_each`], with a risk control and a policy.
pub(super) fn play(risk: Arc<dyn Risk>, policy: Policy, story: impl AsyncFn(&World)) {
    for database in databases().unwrap() {
        play_on(database, risk.clone(), policy, &story);
    }
}

/// As [`play`], only on PostgreSQL, if it is here.
pub(super) fn play_on_postgres(risk: Arc<dyn Risk>, story: impl AsyncFn(&World)) {
    for database in databases().unwrap().into_iter().filter(|database| database.url.starts_with("postgres")) {
        play_on(database, risk.clone(), Policy::default(), &story);
    }
}

fn play_on(database: Database, risk: Arc<dyn Risk>, policy: Policy, story: &impl AsyncFn(&World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let world = World::new(database, risk, policy).await;
        story(&world).await;
        assert_eq!(audit(&world.store).await.unwrap().findings, []);
    });
}

pub(super) fn eur(value: u64) -> Amount {
    Amount::new(Currency::from_code("EUR").unwrap(), value)
}

pub(super) fn amount(value: u64, currency: &str) -> Amount {
    Amount::new(Currency::from_code(currency).unwrap(), value)
}

pub(super) fn key(id: &str) -> PaymentKey {
    PaymentKey { acquirer_id: "ACQ1".to_owned(), psp_id: "PSP1".to_owned(), payment_request_id: id.to_owned() }
}

/// A payment of alice, in EUR cents.
pub(super) fn pay(id: &str, value: u64) -> Pay {
    Pay {
        key: key(id),
        customer_id: "alice".to_owned(),
        amount: eur(value),
        pay_to_amount: None,
        quote: None,
        reference: None,
        merchant: Merchant { name: Some("Coffee".to_owned()), mcc: Some("5814".to_owned()) },
        expires_at_ms: Some(NOON + MINUTE),
        notify_url: None,
        key_parameters: format!("{value} EUR"),
    }
}

/// A refund in EUR cents.
pub(super) fn refund(payment: &str, id: &str, value: u64) -> Refund {
    Refund {
        key: key(payment),
        payment_id: None,
        refund_request_id: id.to_owned(),
        amount: eur(value),
        from_amount: None,
        key_parameters: format!("{value} EUR"),
    }
}
