//! The card application as a whole: by the table of states, under hostile input, and before a
//! terminal that nobody here wrote.

mod answers;
mod arrival;
mod documentation;
mod hostile;
mod magstripe;
mod profile_rules;
mod relay;
mod states;
mod terminal;

use std::sync::{Arc, OnceLock};

use super::hooks::{BurningCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use super::profile::{Application, Profile, Record, RelayResistance};
use super::test_card::{self, CardOptions, hex};
use super::tlv::Tlv;
use super::{Card, CardApplication};
use crate::secret::Secret;

const SESSION_KEY: [u8; 16] = [0x43; 16];
const CVC3_KEY: [u8; 16] = *b"a key for tracks";
const ATC: u16 = 0x001C;
const REFERENCE: [u8; 8] = *b"\x01\x02\x03\x04\x05\x06\x07\x08";

/// What `decide` answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Approve,
    /// The burn fails while the answer is made.
    ApproveInVain,
    Decline {
        see_phone: bool,
    },
}

/// Records what the card asks and answers by plan.
struct Recorder {
    card: Option<Arc<Card>>,
    plan: Plan,
    cdcvm_done: bool,
    cvc3_key: Option<[u8; 16]>,
    atc: u16,
    begun: usize,
    requests: Vec<CryptogramRequest>,
    decided_in_this_tap: usize,
    awaited: usize,
    errors: Vec<u16>,
    random: u8,
}

impl Recorder {
    fn new(plan: Plan) -> Self {
        Self {
            card: Some(test_card::card()),
            plan,
            cdcvm_done: false,
            cvc3_key: Some(CVC3_KEY),
            atc: ATC,
            begun: 0,
            requests: Vec::new(),
            decided_in_this_tap: 0,
            awaited: 0,
            errors: Vec::new(),
            random: 0,
        }
    }
}

impl TapHooks for Recorder {
    fn begin(&mut self) -> Option<Arc<Card>> {
        self.begun += 1;
        self.decided_in_this_tap = 0;
        self.card.clone()
    }

    fn decide(&mut self, request: &CryptogramRequest) -> CryptogramDecision {
        self.decided_in_this_tap += 1;
        assert_eq!(self.decided_in_this_tap, 1, "a tap decides once");
        self.requests.push(request.clone());
        match self.plan {
            Plan::Approve | Plan::ApproveInVain => CryptogramDecision::Approve {
                credential: BurningCredential {
                    atc: self.atc,
                    session_key: Secret::new(SESSION_KEY),
                    cvc3_key: self.cvc3_key.map(Secret::new),
                },
                cdcvm_done: self.cdcvm_done,
                reference: REFERENCE,
            },
            Plan::Decline { see_phone } => CryptogramDecision::Decline { atc: 0x0099, see_phone },
        }
    }

    fn is_burnt(&mut self) -> bool {
        self.awaited += 1;
        self.plan != Plan::ApproveInVain
    }

    fn protocol_error(&mut self, status_word: u16) {
        self.errors.push(status_word);
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.random = self.random.wrapping_add(1);
            *byte = self.random;
        }
    }
}

/// A terminal's side of one conversation.
struct Conversation {
    card: CardApplication,
    hooks: Recorder,
}

impl Conversation {
    fn new(plan: Plan) -> Self {
        Self { card: CardApplication::new(), hooks: Recorder::new(plan) }
    }

    /// With another card.
    fn with(plan: Plan, profile: &Profile) -> Self {
        let mut talk = Self::new(plan);
        talk.hooks.card = Some(Arc::new(Card::compile(profile).unwrap()));
        talk
    }

    /// With the card of [`full_profile`], compiled once.
    fn full(plan: Plan) -> Self {
        static CARD: OnceLock<Arc<Card>> = OnceLock::new();
        let mut talk = Self::new(plan);
        talk.hooks.card = Some(Arc::clone(CARD.get_or_init(|| Arc::new(Card::compile(&full_profile()).unwrap()))));
        talk
    }

    fn send(&mut self, apdu: &str) -> Vec<u8> {
        self.send_bytes(&hex(apdu))
    }

    fn send_bytes(&mut self, apdu: &[u8]) -> Vec<u8> {
        self.card.process(apdu, &mut self.hooks)
    }

    /// The status word alone.
    fn status(&mut self, apdu: &str) -> u16 {
        status_of(&self.send(apdu))
    }

    fn expect_ok(&mut self, apdu: &str) -> Vec<u8> {
        let mut answer = self.send(apdu);
        assert_eq!(status_of(&answer), 0x9000, "{apdu}");
        answer.truncate(answer.len() - 2);
        answer
    }

    fn advance(&mut self, to: Stage) {
        self.card.reset();
        self.hooks.decided_in_this_tap = 0;
        let commands = [PPSE, SELECT, GPO, ARQC];
        for command in commands.into_iter().take(to as usize) {
            self.expect_ok(command);
        }
    }
}

/// How far a tap has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Ppse,
    Selected,
    Initiated,
    Done,
}

const PPSE: &str = "00A40400 0E 325041592E5359532E4444463031 00";
const SELECT: &str = "00A40400 07 A0000000041010 00";
const GPO: &str = "80A80000 0D 83 0B 4400000000000000 0826 22 00";
const READ: &str = "00B2 01 14 00";
const GET_ATC: &str = "80CA 9F36 00";
/// 12.34 GBP in the United Kingdom, merchant category 5411.
const CDOL1_DATA: &str = concat!(
    "000000001234 000000000000 0826 0000008000 0826 260131 00 AABBCCDD",
    "22 0000 0000000000000000 1F0302 5411"
);
const ARQC: &str = concat!(
    "80AE9000 2D 000000001234 000000000000 0826 0000008000 0826 260131 00 AABBCCDD",
    "22 0000 0000000000000000 1F0302 5411 00"
);

/// 15.00 EUR in Belgium, and the number of a published trace.
const CHECKSUM: &str = "802A8E80 0F 08680008 00 000000001500 0978 0056 00";
const EXCHANGE: &str = "80EA0000 04 A1A2A3A4 00";

fn generate_ac(p1: u8, data: &[u8]) -> Vec<u8> {
    [&[0x80, 0xAE, p1, 0x00, data.len() as u8], data, &[0x00]].concat()
}

/// The objects inside the template 77 of an answer, in order.
fn objects(answer: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let template = Tlv::read_only(answer).unwrap();
    assert_eq!(template.tag.number(), 0x77);
    let mut objects = Vec::new();
    Tlv::for_each_primitive(template.value, &mut |object| objects.push((object.tag.number(), object.value.to_vec())))
        .unwrap();
    objects
}

fn tags(objects: &[(u32, Vec<u8>)]) -> Vec<u32> {
    objects.iter().map(|(tag, _)| *tag).collect()
}

/// Adds the record of file 1 and names it in the file locator, in front and unsigned.
fn add_mag_stripe_record(application: &mut Application, content: &[u8]) {
    application.afl = [hex("08010100"), application.afl.clone()].concat();
    application.records.push(Record { sfi: 1, number: 1, bytes: test_card::object(0x70, content) });
}

/// Both tracks; 5 digits of CVC3, 4 of the counter, 3 of the unpredictable number.
const MAG_STRIPE_RECORD: &str = concat!(
    "9F6C 02 0001 9F62 06 00000000003E 9F63 06 000000001FC0 9F64 01 04",
    // B5413330089600010^TEST/CARD^30122010000000000000
    "56 30 42353431333333303038393630303031305E544553542F434152445E3330313232303130303030303030303030303030",
    "9F65 02 003E 9F66 02 1FC0 9F67 01 04 9F6B 13 5413330089600010D30122010000000000000F",
    "9F69 0F 9F6A04 9F7E01 9F0206 5F2A02 9F1A02"
);

/// A phone that has everything: both modes, relay resistance, data objects.
fn full_profile() -> Profile {
    let mut profile = test_card::profile_with(&CardOptions { signed_aip: "1B81", ..CardOptions::default() });
    let application = &mut profile.applications[0];
    application.aip = hex("1B81");
    application.relay_resistance =
        Some(RelayResistance { min_time: 0x0001, max_time: 0x00C8, transmission_time: 0x0012 });
    application.data_objects = hex("9F7D 02 0102 42 01 99");
    add_mag_stripe_record(application, &hex(MAG_STRIPE_RECORD));
    profile
}

fn status_of(answer: &[u8]) -> u16 {
    let at = answer.len().checked_sub(2).expect("an answer ends with a status word");
    u16::from_be_bytes([answer[at], answer[at + 1]])
}
