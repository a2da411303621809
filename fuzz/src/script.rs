//! The wallet behind the card application, by script: what it answers is known beforehand, and what it
//! was asked is kept.

use std::sync::Arc;

use arbitrary::Arbitrary;
use nfcwallet_core::card::Card;
use nfcwallet_core::card::hooks::{BurningCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use nfcwallet_core::secret::Secret;

/// What becomes of one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Arbitrary)]
pub(crate) struct Plan {
    pub(crate) pre_check: PreCheck,
    pub(crate) outcome: Outcome,
    pub(crate) atc: u16,
    pub(crate) cdcvm_done: bool,
    /// The credential is good for EMV mode only.
    pub(crate) without_cvc3_key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Arbitrary)]
pub(crate) enum PreCheck {
    #[default]
    Passed,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Arbitrary)]
pub(crate) enum Outcome {
    #[default]
    Approve,
    Decline,
    SeePhone,
}

/// What the card application asked.
#[derive(Debug)]
pub(crate) enum Event {
    Began,
    Decided(Box<CryptogramRequest>),
    ProtocolError(u16),
}

pub(crate) struct Script {
    card: Arc<Card>,
    /// One plan a tap, in turn; at least one.
    plans: Vec<Plan>,
    taps: usize,
    /// The next random byte, and what is added to it: 0 is a generator that is stuck.
    random: (u8, u8),
    pub(crate) events: Vec<Event>,
}

impl Script {
    pub(crate) fn new(card: Arc<Card>, mut plans: Vec<Plan>, random: (u8, u8)) -> Self {
        if plans.is_empty() {
            plans.push(Plan::default());
        }
        Self { card, plans, taps: 0, random, events: Vec::new() }
    }

    /// The plan of the tap that would begin now.
    pub(crate) fn next_plan(&self) -> Plan {
        self.plans[self.taps % self.plans.len()]
    }

    /// The plan of the tap that began last.
    pub(crate) fn plan(&self) -> Plan {
        self.plans[self.taps.saturating_sub(1) % self.plans.len()]
    }

    /// Each tap has its own. Its halves differ, and each is of equal bytes: the generator of
    /// `fill_random` cannot draw it.
    pub(crate) fn session_key(&self) -> Secret<16> {
        let number = self.taps.to_le_bytes()[0];
        let mut key = [number; 16];
        key[8..].fill(!number);
        Secret::new(key)
    }

    /// Each tap has its own, if it has one.
    pub(crate) fn cvc3_key(&self) -> Option<Secret<16>> {
        let number = self.taps.to_le_bytes()[0];
        (!self.plan().without_cvc3_key)
            .then(|| Secret::new(std::array::from_fn(|at| if at < 8 { number } else { 0x3C })))
    }

    /// Each tap has its own.
    pub(crate) fn reference(&self) -> [u8; 8] {
        self.taps.to_be_bytes()
    }
}

impl TapHooks for Script {
    fn begin(&mut self) -> Option<Arc<Card>> {
        let plan = self.next_plan();
        self.taps += 1;
        self.events.push(Event::Began);
        (plan.pre_check == PreCheck::Passed).then(|| Arc::clone(&self.card))
    }

    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
        self.events.push(Event::Decided(Box::new(request.clone())));
        let Plan { outcome, atc, cdcvm_done, .. } = self.plan();
        match outcome {
            Outcome::Approve => CryptogramDecision::Approve {
                credential: BurningCredential { atc, session_key: self.session_key(), cvc3_key: self.cvc3_key() },
                cdcvm_done,
                reference: self.reference(),
            },
            Outcome::Decline | Outcome::SeePhone => {
                CryptogramDecision::Decline { atc, see_phone: outcome == Outcome::SeePhone }
            }
        }
    }

    fn is_burnt(&mut self) -> bool {
        true
    }

    fn protocol_error(&mut self, status_word: u16) {
        self.events.push(Event::ProtocolError(status_word));
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        let (next, step) = &mut self.random;
        for byte in bytes {
            *byte = *next;
            *next = next.wrapping_add(*step);
        }
    }
}
