//! Sequences of commands, right and wrong, on the issuer's cards: the card answers as the table of
//! states says, and gives one cryptogram a tap at most.

use arbitrary::{Arbitrary, Unstructured};

use crate::cards;
use crate::command::{self, Values};
use crate::conversation::Conversation;
use crate::script::Plan;

/// Longer sequences find nothing that these do not, and cost a signature each.
const MOST_STEPS: usize = 48;

#[derive(Debug, Arbitrary)]
struct Sequence {
    shape: u8,
    random: (u8, u8),
    plans: Vec<Plan>,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// The whole tap up to the command that ends it.
    UpTo {
        application: u8,
        values: Values,
    },
    Directory {
        next: bool,
        fault: Fault,
    },
    Application {
        application: u8,
        cut: u8,
        next: bool,
        fault: Fault,
    },
    Name {
        name: Vec<u8>,
        next: bool,
    },
    Options {
        values: Values,
        fault: Fault,
    },
    Record {
        index: u8,
        fault: Fault,
    },
    AnyRecord {
        number: u8,
        p2: u8,
    },
    GenerateAc {
        p1: u8,
        values: Values,
        fault: Fault,
    },
    Checksum {
        values: Values,
        fault: Fault,
    },
    Relay {
        entropy: [u8; 4],
        fault: Fault,
    },
    DataObject {
        index: u8,
        fault: Fault,
    },
    AnyDataObject {
        tag: u16,
    },
    /// The last command once more.
    Repeat,
    Bytes(Vec<u8>),
    FieldLost,
}

/// What happens to a command on the way.
#[derive(Debug, Arbitrary)]
enum Fault {
    None,
    /// Its last byte is missing: Le, if nothing else did.
    WithoutLe,
    Le(u8),
    Cut(u8),
    More(Vec<u8>),
    Changed {
        at: u8,
        bits: u8,
    },
    Inserted {
        at: u8,
        byte: u8,
    },
    /// One byte less in the data, and a length that fits.
    Shorter,
    /// One byte more in the data, and a length that fits.
    Longer(u8),
}

pub(crate) fn run(input: &[u8]) {
    let Ok(sequence) = Sequence::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut talk = Conversation::new(cards::card(sequence.shape), sequence.plans, sequence.random);
    let mut last = Vec::new();
    for step in sequence.steps.iter().take(MOST_STEPS) {
        match step {
            Step::FieldLost => talk.field_lost(),
            Step::UpTo { application, values } => up_to_the_last(&mut talk, *application, values),
            Step::Repeat => drop(talk.send(&last)),
            step => {
                last = step.command(&talk);
                talk.send(&last);
            }
        }
    }
}

fn up_to_the_last(talk: &mut Conversation, application: u8, values: &Values) {
    talk.send(&command::select(command::PPSE, false));
    let index = usize::from(application) % talk.applications().len();
    let name = talk.applications()[index].aid.clone();
    talk.send(&command::select(&name, false));
    let pdol_data = values.fill(&talk.application().pdol);
    talk.send(&command::processing_options(&pdol_data));
}

impl Step {
    /// The command, built for the application that is selected.
    fn command(&self, talk: &Conversation) -> Vec<u8> {
        let application = talk.application();
        match self {
            Self::Directory { next, fault } => fault.on(command::select(command::PPSE, *next)),
            Self::Application { application, cut, next, fault } => {
                let aid = &talk.applications()[usize::from(*application) % talk.applications().len()].aid;
                let name = &aid[..aid.len() - usize::from(*cut) % aid.len()];
                fault.on(command::select(name, *next))
            }
            Self::Name { name, next } => command::select(name, *next),
            Self::Options { values, fault } => fault.on(command::processing_options(&values.fill(&application.pdol))),
            Self::Record { index, fault } => {
                let places: Vec<_> = application.records.keys().copied().collect();
                fault.on(command::read_record(places[usize::from(*index) % places.len()]))
            }
            Self::AnyRecord { number, p2 } => vec![0x00, 0xB2, *number, *p2, 0],
            Self::GenerateAc { p1, values, fault } => {
                let data = application.cdol1.as_ref().map(|list| values.fill(list));
                fault.on(command::generate_ac(*p1, &data.unwrap_or_default()))
            }
            Self::Checksum { values, fault } => {
                let data = application.mag_stripe.as_ref().map(|mode| values.fill(&mode.udol));
                fault.on(command::checksum(&data.unwrap_or_default()))
            }
            Self::Relay { entropy, fault } => fault.on(command::relay(entropy)),
            Self::DataObject { index, fault } => {
                let tags: Vec<_> = application.data_objects.keys().copied().collect();
                let tag = tags.get(usize::from(*index) % tags.len().max(1)).copied();
                fault.on(command::get_data(tag.unwrap_or(0x9F36)))
            }
            Self::AnyDataObject { tag } => command::get_data((*tag).into()),
            Self::Bytes(bytes) => bytes.clone(),
            Self::UpTo { .. } | Self::Repeat | Self::FieldLost => Vec::new(),
        }
    }
}

impl Fault {
    fn on(&self, mut apdu: Vec<u8>) -> Vec<u8> {
        match self {
            Self::None => {}
            Self::WithoutLe => drop(apdu.pop()),
            Self::Le(byte) => *apdu.last_mut().unwrap() = *byte,
            Self::Cut(by) => apdu.truncate(apdu.len().saturating_sub(usize::from(*by))),
            Self::More(bytes) => apdu.extend(bytes),
            Self::Changed { at, bits } => {
                let at = usize::from(*at) % apdu.len();
                apdu[at] ^= bits;
            }
            Self::Inserted { at, byte } => apdu.insert(usize::from(*at) % apdu.len(), *byte),
            Self::Shorter => resize_data(&mut apdu, |data| data.truncate(data.len().saturating_sub(1))),
            Self::Longer(byte) => resize_data(&mut apdu, |data| data.push(*byte)),
        }
        apdu
    }
}

/// Changes the data of a command that has some.
fn resize_data(apdu: &mut Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) {
    let [cla, ins, p1, p2, _, data @ .., _] = &apdu[..] else { return };
    let mut data = data.to_vec();
    change(&mut data);
    *apdu = command::command([*cla, *ins, *p1, *p2], &data);
}
