//! Events in any order, over a network that loses things, under a gateway that is killed: in the end
//! scheme, gateway and provider agree.

use std::collections::{BTreeMap, BTreeSet};

use alipayplus::model::Quote;
use nfcwallet_core::host::Clock;
use proptest::prelude::*;

use super::super::{
    Account, Authorisation, ConversionConfig, GatewayConfig, OverCapture, Rates, SchemeBook, SchemeEvent, TABLE,
    Verdict,
};
use super::provider::Fate;
use super::world::{DAY_MS, World, id};

const AUTHS: [(&str, u64); 3] = [("auth-0", 100), ("auth-1", 250), ("auth-2", 7)];

#[derive(Debug, Clone)]
enum Step {
    Authorise(usize),
    /// Authorises and works.
    Buy(usize),
    ReverseAll(usize),
    ReversePart(usize, u64),
    Clear(usize, u64, bool),
    Expire(usize),
    Give(Option<usize>, u64),
    Repeat(usize),
    Wait(i64),
    Work,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let auth = || 0..AUTHS.len();
    let part = || 1_u64..=150;
    let pauses = [1_000, 5_000, 60_000, 6 * 3_600_000, DAY_MS, 3 * DAY_MS];
    prop_oneof![
        2 => auth().prop_map(Step::Authorise),
        7 => auth().prop_map(Step::Buy),
        5 => Just(Step::Work),
        2 => auth().prop_map(Step::ReverseAll),
        2 => (auth(), part()).prop_map(|(auth, minor)| Step::ReversePart(auth, minor)),
        4 => (auth(), part(), any::<bool>()).prop_map(|(auth, minor, last)| Step::Clear(auth, minor, last)),
        1 => auth().prop_map(Step::Expire),
        3 => (proptest::option::weighted(0.8, auth()), part()).prop_map(|(auth, minor)| Step::Give(auth, minor)),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::Repeat(index.index(64))),
        3 => proptest::sample::select(pauses.to_vec()).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        14 => Just(Fate::Fine),
        1 => Just(Fate::RequestLost),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Late),
        1 => Just(Fate::InProcess),
        1 => Just(Fate::KilledBefore),
        1 => Just(Fate::KilledAfter),
    ]
}

fn config() -> impl Strategy<Value = GatewayConfig> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 1_usize..3).prop_map(
        |(pays, converts, inquires, concurrent_calls)| {
            let over_capture = if pays { OverCapture::PayDifference } else { OverCapture::None };
            let quote = Quote {
                quote_id: Some("Q1".to_owned()),
                quote_currency_pair: "EUR/JPY".parse().unwrap(),
                quote_price: "161.23".parse().unwrap(),
                ..Quote::default()
            };
            GatewayConfig {
                conversion: ConversionConfig { over_capture, ..ConversionConfig::default() },
                rates: if converts { Rates::new(vec![quote]) } else { Rates::none() },
                inquire_before_cancel: inquires,
                concurrent_calls,
                ..GatewayConfig::default()
            }
        },
    )
}

/// The scheme's side of a run: what it told, and what it was answered.
struct Scheme {
    book: SchemeBook,
    asked: BTreeMap<usize, Authorisation>,
    /// Told before the answer to the authorisation.
    waiting: BTreeMap<usize, Vec<SchemeEvent>>,
    approved: BTreeSet<usize>,
    decided: BTreeSet<usize>,
    told: Vec<SchemeEvent>,
}

impl Scheme {
    fn new() -> Self {
        Self {
            book: SchemeBook::new(),
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            approved: BTreeSet::new(),
            decided: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    /// Authorisations that nobody cleared within seven days expire.
    fn time_passes(&mut self, world: &mut World) {
        for &auth in &self.approved {
            if world.clock.wall_ms() >= self.asked[&auth].time_ms + 7 * DAY_MS {
                let expiry = world.expiry(AUTHS[auth].0);
                self.book.apply(&expiry);
            }
        }
    }

    fn tell(&mut self, world: &mut World, auth: Option<usize>, event: SchemeEvent) {
        world.gateway.take(&event).unwrap();
        self.told.push(event.clone());
        match (auth, &event) {
            (Some(auth), SchemeEvent::Reversal(_) | SchemeEvent::Clearing(_) | SchemeEvent::Expiry(_))
                if !self.decided.contains(&auth) =>
            {
                self.waiting.entry(auth).or_default().push(event);
            }
            _ => self.book.apply(&event),
        }
    }

    /// Looks which authorisations were answered.
    fn listen(&mut self, world: &World) {
        for (auth, (name, minor)) in AUTHS.iter().enumerate() {
            if self.decided.contains(&auth) {
                continue;
            }
            let Some(verdict) = world.gateway.verdict(&id(name)).unwrap() else { continue };
            self.decided.insert(auth);
            if matches!(verdict, Verdict::Approved { .. }) {
                self.approved.insert(auth);
                self.book.approve(&id(name), *minor);
            }
            self.waiting.remove(&auth).unwrap_or_default().iter().for_each(|event| self.book.apply(event));
        }
    }
}

fn take(step: &Step, world: &mut World, scheme: &mut Scheme) {
    let name = |auth: usize| AUTHS[auth].0;
    match *step {
        Step::Authorise(auth) => {
            let new = world.asked(name(auth), AUTHS[auth].1);
            let asked = scheme.asked.entry(auth).or_insert_with(|| new.clone());
            let event = SchemeEvent::Authorisation(Authorisation { id: new.id, ..asked.clone() });
            scheme.tell(world, Some(auth), event);
        }
        Step::Buy(auth) => {
            take(&Step::Authorise(auth), world, scheme);
            world.work();
        }
        Step::ReverseAll(auth) => {
            let event = world.reversal(name(auth), None);
            scheme.tell(world, Some(auth), event);
        }
        Step::ReversePart(auth, minor) => {
            let event = world.reversal(name(auth), Some(minor));
            scheme.tell(world, Some(auth), event);
        }
        Step::Clear(auth, minor, last) => {
            let event = world.clearing(name(auth), minor, last);
            scheme.tell(world, Some(auth), event);
        }
        Step::Expire(auth) => {
            let event = world.expiry(name(auth));
            scheme.tell(world, Some(auth), event);
        }
        Step::Give(auth, minor) => {
            let event = world.refund(auth.map(name), minor);
            scheme.tell(world, auth, event);
        }
        Step::Repeat(index) => {
            if let Some(event) = scheme.told.get(index) {
                world.gateway.take(event).unwrap();
            }
        }
        Step::Wait(ms) => world.clock.advance_ms(ms),
        Step::Work => drop(world.work()),
        Step::Restart => world.restart(),
    }
}

fn agree(world: &World, scheme: &Scheme) {
    let books = world.gateway.books();
    let bank = world.provider.bank.lock().unwrap();
    assert_eq!(bank.faults, Vec::<String>::new());
    drop(bank);
    assert_eq!(books.refused_refunds().unwrap(), []);
    for call in books.calls().unwrap() {
        let row = TABLE.iter().find(|row| row.id == call.row).unwrap();
        assert!(row.calls.contains(&call.kind) || row.switch == Some("inquire_before_cancel"), "{call:?}");
    }

    // Every unit that the provider holds, and none more, is one that the scheme knows of.
    let (net, beyond) = (world.provider.net(), world.provider.beyond());
    assert_eq!(net, scheme.book.net() + beyond, "the user paid what the scheme says");
    assert_eq!(world.sum(Account::Provider), net, "the gateway's books say what the provider did");
    assert_eq!(world.sum(Account::Owed), 0, "nothing is owed to users");
    let auths: Vec<_> = AUTHS.iter().map(|(name, _)| scheme.book.auth(&id(name))).collect();
    assert_eq!(-world.sum(Account::Held), auths.iter().map(|auth| i128::from(auth.open())).sum::<i128>());
    assert_eq!(world.sum(Account::Shortfall), i128::from(scheme.book.beyond()) - beyond);
    let total: i128 = Account::ALL.into_iter().map(|account| world.sum(account)).sum();
    assert_eq!(total, 0, "double entry");
}

proptest! {
    #[test]
    fn in_the_end_scheme_gateway_and_provider_agree(
        config in config(),
        balance in prop_oneof![Just(1_000_000_i128), Just(120), Just(30_000)],
        steps in proptest::collection::vec(step(), 1..40),
        fates in proptest::collection::vec(fate(), 0..30),
    ) {
        let mut world = World::new(config, &[("alice", balance)], &fates);
        let mut scheme = Scheme::new();
        for step in &steps {
            scheme.time_passes(&mut world);
            take(step, &mut world, &mut scheme);
            scheme.listen(&world);
        }
        world.provider.set_fates(&[]);
        scheme.time_passes(&mut world);
        world.settle();
        scheme.listen(&world);
        scheme.time_passes(&mut world);
        world.settle();
        agree(&world, &scheme);
    }
}
