//! A card profile from the service, damaged in any way: it is refused, or the card that it makes passes
//! a whole tap, and every tap, by the table of states.

use arbitrary::{Arbitrary, Unstructured};
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;
use serde_json::Value;

use crate::cards::{self, TestCard};
use crate::command::{self, Purchase};
use crate::conversation::Conversation;
use crate::edit::{self, Edit};
use crate::script::Plan;

/// A profile of the issuer, and what was done to it.
#[derive(Debug, Arbitrary)]
struct Damaged {
    shape: u8,
    plan: Plan,
    purchase: Purchase,
    edits: Vec<Edit>,
}

const PURCHASE: Purchase = Purchase {
    amount: 1_405,
    other_amount: 0,
    currency: 978,
    country: 276,
    kind: 0,
    merchant_category: 5_411,
    risk: [0x44, 0, 0, 0],
    unpredictable_number: [1, 2, 3, 4],
    filler: 0x22,
};

/// An input that starts with a brace is a profile as it travels; any other one describes how one of the
/// issuer's is damaged.
pub(crate) fn run(input: &[u8]) {
    if input.first() == Some(&b'{') {
        if let Ok(profile) = serde_json::from_slice(input) {
            judge(&profile, Plan::default(), &PURCHASE);
        }
        return;
    }
    let Ok(damaged) = Damaged::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut document = serde_json::to_value(cards::profile(damaged.shape)).unwrap();
    edit::apply(&mut document, &damaged.edits);
    if let Ok(profile) = serde_json::from_value(document) {
        judge(&profile, damaged.plan, &damaged.purchase);
    }
}

/// Compiles a profile if it can be, and taps each of its applications.
fn judge(profile: &Profile, plan: Plan, purchase: &Purchase) {
    assert!(!format!("{profile:?}").is_empty());
    let card = match Card::compile(profile) {
        Ok(card) => card,
        Err(error) => {
            assert!(!error.field().is_empty() && !error.reason().is_empty());
            return;
        }
    };
    assert_eq!(card.last_four(), profile.last_four);
    survives_storage(profile);
    let card = TestCard::new(card, profile);
    for application in 0..profile.applications.len() {
        tap(card.clone(), application, plan, purchase);
    }
}

/// A profile is stored as JSON and compiled anew at each start.
fn survives_storage(profile: &Profile) {
    let stored: Value = serde_json::to_value(profile).unwrap();
    let read: Profile = serde_json::from_value(stored).unwrap();
    assert_eq!(read, *profile);
}

fn tap(card: TestCard, application: usize, plan: Plan, purchase: &Purchase) {
    let mut talk = Conversation::new(card, vec![plan], (7, 3));
    if talk.send(&command::select(command::PPSE, false)) != 0x9000 {
        return;
    }
    let aid = talk.applications()[application].aid.clone();
    // An AID may be what the contact directory is called; then it cannot be selected by it.
    if talk.send(&command::select(&aid, false)) != 0x9000 {
        return;
    }
    let options = command::processing_options(&purchase.fill(&talk.application().pdol));
    assert_eq!(talk.send(&options), 0x9000);
    let places: Vec<_> = talk.application().records.keys().copied().collect();
    for place in places {
        assert_eq!(talk.send(&command::read_record(place)), 0x9000);
    }
    let generate = command::generate_ac(0x90, &purchase.fill(&talk.application().cdol1));
    assert_eq!(talk.send(&generate), 0x9000);
    assert_eq!(talk.send(&generate), 0x6985);
}
