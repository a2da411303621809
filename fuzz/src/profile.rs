//! A card profile from the service, damaged in any way: it is refused, or the card that it makes passes
//! a whole tap, and every tap, by the table of states.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;
use serde_json::Value;

use crate::cards::{self, TestCard};
use crate::command::{self, Values};
use crate::conversation::Conversation;
use crate::edit::{self, Edit};
use crate::script::{Outcome, Plan};
use crate::service::NOW_MS;

/// A profile of the issuer, and what was done to it.
#[derive(Debug, Arbitrary)]
struct Damaged {
    shape: u8,
    plan: Plan,
    values: Values,
    edits: Vec<Edit>,
}

const VALUES: Values = Values {
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
            judge(&profile, Plan::default(), &VALUES);
        }
        return;
    }
    let Ok(damaged) = Damaged::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut document = serde_json::to_value(cards::profile(damaged.shape)).unwrap();
    edit::apply(&mut document, &damaged.edits);
    if let Ok(profile) = serde_json::from_value(document) {
        judge(&profile, damaged.plan, &damaged.values);
    }
}

/// Compiles a profile if it can be, and taps each of its applications.
fn judge(profile: &Profile, plan: Plan, values: &Values) {
    assert!(!format!("{profile:?}").is_empty());
    let card = match Card::compile(profile) {
        Ok(card) => card,
        Err(error) => {
            assert!(!error.field().is_empty() && !error.reason().is_empty());
            return;
        }
    };
    assert_eq!(card.last_four(), profile.last_four);
    // A profile that arrives is judged more strictly; no answer is too strict, but there is one.
    drop(Card::admit(profile, NOW_MS));
    survives_storage(profile);
    let card = TestCard::new(card, profile);
    for application in 0..profile.applications.len() {
        tap(card.clone(), application, plan, values);
    }
}

/// A profile is stored as JSON and compiled anew at each start.
fn survives_storage(profile: &Profile) {
    let stored: Value = serde_json::to_value(profile).unwrap();
    let read: Profile = serde_json::from_value(stored).unwrap();
    assert_eq!(read, *profile);
}

fn tap(card: TestCard, application: usize, plan: Plan, values: &Values) {
    let mut talk = Conversation::new(card, vec![plan], (7, 3));
    if begin(&mut talk, application, values) != Begun::Yes {
        return;
    }
    let (places, tags) = (keys(&talk.application().records), keys(&talk.application().data_objects));
    if talk.application().relay_times.is_some() {
        assert_eq!(talk.send(&command::relay(&values.unpredictable_number)), 0x9000);
    }
    for place in places {
        assert_eq!(talk.send(&command::read_record(place)), 0x9000);
    }
    for tag in tags {
        assert_eq!(talk.send(&command::get_data(tag)), 0x9000);
    }
    if let Some(list) = &talk.application().cdol1 {
        let generate = command::generate_ac(0x90, &values.fill(list));
        assert_eq!(talk.send(&generate), 0x9000);
        assert_eq!(talk.send(&generate), 0x6985);
        talk.field_lost();
        begin(&mut talk, application, values);
    }
    if let Some(mode) = &talk.application().mag_stripe {
        let checksum = command::checksum(&values.fill(&mode.udol));
        let key_is_missing = plan.outcome == Outcome::Approve && plan.without_cvc3_key;
        assert_eq!(talk.send(&checksum), if key_is_missing { 0x6F00 } else { 0x9000 });
        assert_eq!(talk.send(&checksum), 0x6985);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Begun {
    Yes,
    /// The wallet did not want to.
    No,
}

/// Up to GET PROCESSING OPTIONS. Every application of a card can be selected by its name.
fn begin(talk: &mut Conversation, application: usize, values: &Values) -> Begun {
    if talk.send(&command::select(command::PPSE, false)) != 0x9000 {
        return Begun::No;
    }
    let aid = talk.applications()[application].aid.clone();
    assert_eq!(talk.send(&command::select(&aid, false)), 0x9000);
    let options = command::processing_options(&values.fill(&talk.application().pdol));
    assert_eq!(talk.send(&options), 0x9000);
    Begun::Yes
}

fn keys<K: Copy, V>(map: &BTreeMap<K, V>) -> Vec<K> {
    map.keys().copied().collect()
}
