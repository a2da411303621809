//! A gateway, a provider and a scheme on one clock that tests move.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::{Amount, Currency};
use futures_util::FutureExt;
use nfcwallet_core::host::{BoxFuture, Clock};

use super::super::{
    Account, Authorisation, Books, CallState, Clearing, Expiry, Gateway, GatewayConfig, Merchant, PaymentState, Refund,
    Reversal, SchemeEvent, SchemeId, Verdict,
};
use super::provider::{Fate, Provider};

/// 2027-01-15 12:00 in UTC+8.
pub(in crate::gateway) const NOON_MS: i64 = 1_799_985_600_000;
pub(in crate::gateway) const DAY_MS: i64 = 86_400_000;

/// Time that passes only where somebody waits for it.
#[derive(Debug)]
pub(in crate::gateway) struct SimClock(Arc<Mutex<i64>>);

impl SimClock {
    pub(in crate::gateway) fn advance_ms(&self, ms: i64) {
        *self.0.lock().unwrap() += ms;
    }

    pub(in crate::gateway) fn set_ms(&self, ms: i64) {
        let mut now = self.0.lock().unwrap();
        *now = ms.max(*now);
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.wall_ms().unsigned_abs())
    }

    fn wall_ms(&self) -> i64 {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        let now = Arc::clone(&self.0);
        Box::pin(async move { *now.lock().unwrap() += i64::try_from(pause.as_millis()).unwrap() })
    }

    fn deadline(&self, _: Duration) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

pub(in crate::gateway) struct World {
    pub(in crate::gateway) clock: Arc<SimClock>,
    pub(in crate::gateway) provider: Arc<Provider>,
    pub(in crate::gateway) gateway: Arc<Gateway>,
    config: GatewayConfig,
    books: Arc<Books>,
    events: u32,
}

impl World {
    pub(in crate::gateway) fn new(config: GatewayConfig, users: &[(&str, i128)], fates: &[Fate]) -> Self {
        let clock = Arc::new(SimClock(Arc::new(Mutex::new(NOON_MS))));
        let provider = Arc::new(Provider::new(clock.clone(), users, fates));
        let books = Arc::new(Books::in_memory().unwrap());
        let gateway = Arc::new(Gateway::new(config.clone(), books.clone(), provider.clone(), clock.clone()));
        Self { clock, provider, gateway, config, books, events: 0 }
    }

    /// The process ends, and another one begins with the same books.
    pub(in crate::gateway) fn restart(&mut self) {
        let (books, provider, clock) = (self.books.clone(), self.provider.clone(), self.clock.clone());
        self.gateway = Arc::new(Gateway::new(self.config.clone(), books, provider, clock));
    }

    /// Works once; false if the gateway was killed by it, and restarted.
    pub(in crate::gateway) fn work(&mut self) -> Option<i64> {
        match self.gateway.work().now_or_never() {
            Some(next) => next.unwrap(),
            None => {
                self.restart();
                Some(self.clock.wall_ms())
            }
        }
    }

    /// Lets time pass until no call is outstanding.
    pub(in crate::gateway) fn settle(&mut self) {
        for _ in 0..500 {
            let next = self.work();
            let calls = self.gateway.books().calls().unwrap();
            if calls.iter().all(|call| call.state != CallState::Due) {
                return;
            }
            self.clock.set_ms(next.unwrap());
        }
        panic!("calls are outstanding for ever: {:?}", self.gateway.books().calls().unwrap());
    }

    /// Asks as a terminal does, and waits.
    pub(in crate::gateway) fn authorise(&self, asked: &Authorisation) -> Verdict {
        self.gateway.authorise(asked).now_or_never().expect("a simulated wait never ends").unwrap()
    }

    fn id(&mut self) -> SchemeId {
        self.events += 1;
        id(&format!("event-{}", self.events))
    }

    pub(in crate::gateway) fn asked(&mut self, auth: &str, minor: u64) -> Authorisation {
        Authorisation {
            id: self.id(),
            auth_id: id(auth),
            user: "alice".to_owned(),
            amount: eur(minor),
            reference: Some([0xAB; 8]),
            merchant: Merchant { reference: "M1".to_owned(), name: "Tea".to_owned(), category: "5812".to_owned() },
            time_ms: self.clock.wall_ms(),
        }
    }

    pub(in crate::gateway) fn reversal(&mut self, auth: &str, part: Option<u64>) -> SchemeEvent {
        let (id_, time_ms) = (self.id(), self.clock.wall_ms());
        SchemeEvent::Reversal(Reversal { id: id_, auth_id: id(auth), part: part.map(eur), time_ms })
    }

    pub(in crate::gateway) fn clearing(&mut self, auth: &str, minor: u64, last: bool) -> SchemeEvent {
        let (id_, time_ms) = (self.id(), self.clock.wall_ms());
        let sequence = u16::try_from(self.events).unwrap();
        SchemeEvent::Clearing(Clearing { id: id_, auth_id: id(auth), amount: eur(minor), sequence, last, time_ms })
    }

    pub(in crate::gateway) fn expiry(&mut self, auth: &str) -> SchemeEvent {
        let (id_, time_ms) = (self.id(), self.clock.wall_ms());
        SchemeEvent::Expiry(Expiry { id: id_, auth_id: id(auth), time_ms })
    }

    pub(in crate::gateway) fn refund(&mut self, auth: Option<&str>, minor: u64) -> SchemeEvent {
        let (id_, time_ms) = (self.id(), self.clock.wall_ms());
        let user = "alice".to_owned();
        SchemeEvent::Refund(Refund { id: id_, auth_id: auth.map(id), user, amount: eur(minor), time_ms })
    }

    pub(in crate::gateway) fn state(&self, auth: &str) -> PaymentState {
        let payments = self.gateway.books().payments().unwrap();
        payments.iter().find(|payment| payment.auth_id == id(auth)).unwrap().standing.state
    }

    /// The account's sum over all currencies; tests use one.
    pub(in crate::gateway) fn sum(&self, account: Account) -> i128 {
        let sums = self.gateway.books().sums().unwrap();
        sums.iter().filter(|sum| sum.account == account).map(|sum| i128::from(sum.minor)).sum()
    }
}

pub(in crate::gateway) fn id(text: &str) -> SchemeId {
    SchemeId::parse(text).unwrap()
}

pub(in crate::gateway) fn eur(minor: u64) -> Amount {
    Amount::new(Currency::from_code("EUR").unwrap(), minor)
}
