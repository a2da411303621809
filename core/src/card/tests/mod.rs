//! The card application as a whole: by the table of states, under hostile input, and before a
//! terminal that nobody here wrote.

mod answers;
mod hostile;
mod profile_rules;
mod states;
mod terminal;

use std::sync::Arc;

use super::hooks::{BurntCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use super::test_card::{self, hex};
use super::{Card, CardApplication};
use crate::secret::Secret;

const SESSION_KEY: [u8; 16] = [0x43; 16];
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
                credential: BurntCredential { atc: ATC, session_key: Secret::new(SESSION_KEY), cvc3_key: None },
                cdcvm_done: true,
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

fn generate_ac(p1: u8, data: &[u8]) -> Vec<u8> {
    [&[0x80, 0xAE, p1, 0x00, data.len() as u8], data, &[0x00]].concat()
}

fn status_of(answer: &[u8]) -> u16 {
    let at = answer.len().checked_sub(2).expect("an answer ends with a status word");
    u16::from_be_bytes([answer[at], answer[at + 1]])
}
