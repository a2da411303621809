//! The cards of the sandbox's issuer, always the same ones.

use std::sync::{Arc, OnceLock};

use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_sandbox::issuer::{CardShape, Issuer, IssuerConfig, Personalisation};

use crate::facts::Facts;

/// A card, and what a terminal could know of it.
#[derive(Clone)]
pub(crate) struct TestCard {
    pub(crate) card: Arc<Card>,
    pub(crate) facts: Arc<Facts>,
}

impl TestCard {
    pub(crate) fn new(card: Card, profile: &Profile) -> Self {
        Self { card: Arc::new(card), facts: Arc::new(Facts::of(profile)) }
    }
}

/// The profile of a shape; any number means one.
pub(crate) fn profile(shape: u8) -> &'static Profile {
    static PROFILES: OnceLock<Vec<Profile>> = OnceLock::new();
    let profiles = PROFILES.get_or_init(|| {
        let issuer = Issuer::new(IssuerConfig { seed: Some([0xF0; 32]), ..IssuerConfig::default() }).unwrap();
        let personalise = |shape| {
            let personalisation = Personalisation { shape, ..Personalisation::default() };
            issuer.personalise_as("token", "user", &personalisation).unwrap()
        };
        CardShape::ALL.into_iter().map(personalise).collect()
    });
    &profiles[usize::from(shape) % profiles.len()]
}

/// The card of a shape; any number means one.
pub(crate) fn card(shape: u8) -> TestCard {
    static CARDS: OnceLock<Vec<TestCard>> = OnceLock::new();
    let cards = CARDS.get_or_init(|| {
        let compile = |profile| TestCard::new(Card::compile(profile).unwrap(), profile);
        (0..CardShape::ALL.len() as u8).map(profile).map(compile).collect()
    });
    cards[usize::from(shape) % cards.len()].clone()
}

/// A card without a key: it signs nothing.
pub(crate) fn unsigned() -> TestCard {
    let shape = CardShape::ALL.iter().position(|shape| *shape == CardShape::WithoutCda);
    card(shape.unwrap() as u8)
}
