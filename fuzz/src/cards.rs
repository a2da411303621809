//! The cards of the sandbox's issuer and some made of them, always the same ones.

use std::sync::{Arc, OnceLock};

use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::{Application, Profile, Record, RelayResistance};
use nfcwallet_sandbox::issuer::{CardShape, Issuer, IssuerConfig, Personalisation};

use crate::ber;
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

/// Tag 9F6C to 9F69: track 2 takes three digits of CVC3 and two of the counter, and four of the number.
const MAG_STRIPE: &str = "9F6C020001 9F6502000E 9F660203F0 9F6B13PPPPPPPPPPPPPPPPDYYMM2010000000000000F 9F670102 \
    9F690F9F6A049F7E019F02065F2A029F1A02";

/// All profiles: the issuer's, and some that are made of its phone.
fn profiles() -> &'static [Profile] {
    static PROFILES: OnceLock<Vec<Profile>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let issuer = Issuer::new(IssuerConfig { seed: Some([0xF0; 32]), ..IssuerConfig::default() }).unwrap();
        let personalise = |shape| {
            let personalisation = Personalisation { shape, ..Personalisation::default() };
            issuer.personalise_as("token", "user", &personalisation).unwrap()
        };
        let phone = personalise(CardShape::Phone);
        let own = [measured(phone.clone()), with_mag_stripe(phone.clone()), only_mag_stripe(phone)];
        own.into_iter().chain(CardShape::ALL.into_iter().map(personalise)).collect()
    })
}

/// A profile; any number means one.
pub(crate) fn profile(number: u8) -> &'static Profile {
    let profiles = profiles();
    &profiles[usize::from(number) % profiles.len()]
}

/// The card of a profile.
pub(crate) fn card(number: u8) -> TestCard {
    static CARDS: OnceLock<Vec<TestCard>> = OnceLock::new();
    let compile = |profile| TestCard::new(Card::compile(profile).unwrap(), profile);
    let cards = CARDS.get_or_init(|| profiles().iter().map(compile).collect());
    cards[usize::from(number) % cards.len()].clone()
}

/// A card without a key.
pub(crate) fn unsigned() -> TestCard {
    let has_no_key = |profile: &Profile| profile.applications.iter().all(|application| application.icc_key.is_none());
    let number = profiles().iter().rposition(has_no_key).expect("one of the shapes has no key");
    card(u8::try_from(number).unwrap())
}

/// With relay resistance, and an object for GET DATA.
fn measured(mut profile: Profile) -> Profile {
    let application = &mut profile.applications[0];
    application.aip[1] |= 0x01;
    application.relay_resistance = Some(RelayResistance { min_time: 0, max_time: 200, transmission_time: 18 });
    application.data_objects = hex::decode("9F750201029F700474657374").unwrap();
    profile
}

/// With both modes.
fn with_mag_stripe(mut profile: Profile) -> Profile {
    let application = &mut profile.applications[0];
    let record = mag_stripe_record(application);
    application.afl.splice(0..0, [0x08, 1, 1, 0]);
    application.records.insert(0, record);
    profile
}

/// Without EMV mode.
fn only_mag_stripe(profile: Profile) -> Profile {
    let mut profile = with_mag_stripe(profile);
    let application = &mut profile.applications[0];
    application.aip = vec![0, 0];
    application.afl = vec![0x08, 1, 1, 0, 0x10, 1, 1, 0];
    application.records.truncate(2);
    (application.icc_key, application.ca_key) = (None, None);
    profile
}

/// With the number and the expiry of tag 57.
fn mag_stripe_record(application: &Application) -> Record {
    let (objects, _) = ber::primitives(&application.records[0].bytes).unwrap();
    let track_2 = hex::encode_upper(objects.iter().find(|object| object.tag == 0x57).unwrap().value);
    let (number, rest) = track_2.split_once('D').unwrap();
    let content = MAG_STRIPE.replace("PPPPPPPPPPPPPPPP", number).replace("YYMM", &rest[..4]).replace(' ', "");
    let content = hex::decode(content).unwrap();
    let template = [&[0x70, u8::try_from(content.len()).unwrap()], &content[..]].concat();
    Record { sfi: 1, number: 1, bytes: template }
}
