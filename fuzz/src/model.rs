//! The order of commands, written a second time: for each command the status word and the answer that
//! a card must give, by the table of states.
//!
//! | state | SELECT | GPO | READ RECORD | relay exchange | GENERATE AC, CHECKSUM | GET DATA |
//! |---|---|---|---|---|---|---|
//! | none | yes | 6985 | 6985 | 6985 | 6985 | 6985 |
//! | selected | yes | yes | 6A83 | 6985 | 6985 | yes |
//! | initiated | yes | 6985 | yes | three times | one of them, once | yes |
//!
//! What the selected application does not have is 6D00. Checks come in the order class, instruction,
//! state, parameters, length, data.

use std::sync::Arc;

use crate::ber;
use crate::facts::{ApplicationFacts, Facts};
use crate::purchase::Purchase;
use crate::script::{Outcome, Plan, PreCheck};

const PPSE: &[u8] = b"2PAY.SYS.DDF01";
const PSE: &[u8] = b"1PAY.SYS.DDF01";

/// A terminal that still finds the card too slow gives up.
const MOST_EXCHANGES: u8 = 3;

pub(crate) struct Model {
    pub(crate) facts: Arc<Facts>,
    state: State,
    /// The wallet let a tap begin, and it has not ended.
    tap_runs: bool,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    None,
    Selected(usize),
    Initiated(Initiated),
}

#[derive(Debug, Clone)]
struct Initiated {
    application: usize,
    pdol_data: Vec<u8>,
    exchanges: u8,
    /// The last exchange: entropy of the terminal, answer of the card.
    relay: Vec<u8>,
}

/// What must happen at a command.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) content: Content,
    /// The wallet is asked whether a tap may begin.
    pub(crate) begins: bool,
    /// The wallet is asked to decide on this.
    pub(crate) decides: Option<Purchase>,
    /// The wallet hears that the tap ended with this status word.
    pub(crate) ends_with: Option<u16>,
}

/// What the answer holds before its status word.
#[derive(Debug, Default)]
pub(crate) enum Content {
    #[default]
    Nothing,
    Directory,
    Fci(usize),
    Options(usize),
    Object(Vec<u8>),
    /// An answer to a relay exchange with these times.
    Relay([u8; 6]),
    /// Of one kind or the other.
    Cryptogram,
    /// With or without it.
    Checksum,
}

/// Status word for a refusal.
type Judgement = Result<Content, u16>;

impl Model {
    pub(crate) fn new(facts: Arc<Facts>) -> Self {
        Self { facts, state: State::None, tap_runs: false }
    }

    pub(crate) fn field_lost(&mut self) {
        (self.state, self.tap_runs) = (State::None, false);
    }

    /// The application that is selected.
    pub(crate) fn selected(&self) -> Option<&ApplicationFacts> {
        match &self.state {
            State::None => None,
            State::Selected(application) | State::Initiated(Initiated { application, .. }) => {
                Some(&self.facts.applications[*application])
            }
        }
    }

    /// The card answered a relay exchange.
    pub(crate) fn exchanged(&mut self, apdu: &[u8], answer: &[u8]) {
        let State::Initiated(tap) = &mut self.state else { panic!("a relay exchange out of order") };
        tap.exchanges += 1;
        tap.relay = [&apdu[5..9], answer].concat();
    }

    /// What must happen; goes on to the state afterwards. `next` is the plan of a tap that begins, `plan`
    /// that of the one that runs.
    pub(crate) fn expect(&mut self, apdu: &[u8], next: Plan, plan: Plan) -> Expected {
        let mut expected = Expected::default();
        let judgement = match apdu {
            &[cla, ins, p1, p2, ref body @ ..] => {
                let command = Command { p1, p2, data: data(body) };
                self.judge((cla, ins), &command, next, plan, &mut expected)
            }
            _ => Err(0x6700),
        };
        match judgement {
            Ok(content) => (expected.status, expected.content) = (0x9000, content),
            Err(status) => expected.status = status,
        }
        expected
    }

    fn judge(
        &mut self,
        name: (u8, u8),
        command: &Command<'_>,
        next: Plan,
        plan: Plan,
        expected: &mut Expected,
    ) -> Judgement {
        match name {
            (0x00, 0xA4) => self.select(command, next, expected),
            (0x80, 0xA8) => self.processing_options(command),
            (0x00, 0xB2) => self.read_record(command),
            (0x80, 0xCA) => self.get_data(command),
            (0x80, 0xEA) => self.relay(command),
            (0x80, 0xAE | 0x2A) => self.last(name.1, command, plan, expected),
            (0x00 | 0x80, _) => Err(0x6D00),
            _ => Err(0x6E00),
        }
    }

    fn select(&mut self, command: &Command<'_>, next: Plan, expected: &mut Expected) -> Judgement {
        let is_next = match (command.p1, command.p2) {
            (0x04, 0x00) => false,
            (0x04, 0x02) => true,
            _ => return Err(0x6A86),
        };
        let name = command.data.filter(|name| !name.is_empty()).ok_or(0x6700_u16)?;
        let before = std::mem::take(&mut self.state);
        if is_next {
            return self.select_next(name, &before);
        }
        if name == PPSE {
            expected.begins = true;
            self.tap_runs = next.pre_check == PreCheck::Passed;
            return if self.tap_runs { Ok(Content::Directory) } else { Err(0x6A82) };
        }
        if name.len() < 5 || name.len() > 16 || name == PSE {
            return Err(0x6A82);
        }
        expected.begins = !self.tap_runs;
        self.tap_runs |= next.pre_check == PreCheck::Passed;
        let all = &self.facts.applications;
        let whole = all.iter().position(|application| application.aid == name);
        let found = whole.or_else(|| all.iter().position(|application| application.aid.starts_with(name)));
        self.enter(found.filter(|_| self.tap_runs))
    }

    fn select_next(&mut self, name: &[u8], before: &State) -> Judgement {
        let (State::Selected(last) | State::Initiated(Initiated { application: last, .. })) = before else {
            return Err(0x6A82);
        };
        let mut later = last + 1..self.facts.applications.len();
        let fits = |at: &usize| name.len() >= 5 && self.facts.applications[*at].aid.starts_with(name);
        let found = later.find(fits);
        self.enter(found)
    }

    fn enter(&mut self, application: Option<usize>) -> Judgement {
        let application = application.ok_or(0x6A82_u16)?;
        self.state = State::Selected(application);
        Ok(Content::Fci(application))
    }

    fn processing_options(&mut self, command: &Command<'_>) -> Judgement {
        let State::Selected(application) = self.state else { return Err(0x6985) };
        command.expect_parameters(0, 0)?;
        let data = command.data.filter(|data| !data.is_empty()).ok_or(0x6700_u16)?;
        let pdol_data = match ber::first(data) {
            Some((template, [])) if template.tag == 0x83 => template.value.to_vec(),
            _ => return Err(0x6A80),
        };
        if pdol_data.len() != self.facts.applications[application].pdol.data_length() {
            return Err(0x6700);
        }
        self.state = State::Initiated(Initiated { application, pdol_data, exchanges: 0, relay: Vec::new() });
        Ok(Content::Options(application))
    }

    fn read_record(&self, command: &Command<'_>) -> Judgement {
        let tap = match &self.state {
            State::None => return Err(0x6985),
            State::Selected(_) => return Err(0x6A83),
            State::Initiated(tap) => tap,
        };
        if command.p2 % 8 != 4 {
            return Err(0x6A86);
        }
        command.expect_no_data()?;
        let record = self.facts.applications[tap.application].records.get(&(command.p2 / 8, command.p1));
        record.map(|record| Content::Object(record.clone())).ok_or(0x6A83)
    }

    fn get_data(&self, command: &Command<'_>) -> Judgement {
        let application = self.selected().ok_or(0x6985_u16)?;
        command.expect_no_data()?;
        let tag = u32::from(command.p1) << 8 | u32::from(command.p2);
        application.data_objects.get(&tag).map(|object| Content::Object(object.clone())).ok_or(0x6A88)
    }

    fn relay(&self, command: &Command<'_>) -> Judgement {
        let application = self.selected().ok_or(0x6985_u16)?;
        let times = application.relay_times.ok_or(0x6D00_u16)?;
        match &self.state {
            State::Initiated(tap) if tap.exchanges < MOST_EXCHANGES => {}
            _ => return Err(0x6985),
        }
        command.expect_parameters(0, 0)?;
        match command.data {
            Some([_, _, _, _]) => Ok(Content::Relay(times)),
            _ => Err(0x6700),
        }
    }

    /// GENERATE AC or COMPUTE CRYPTOGRAPHIC CHECKSUM.
    fn last(&mut self, ins: u8, command: &Command<'_>, plan: Plan, expected: &mut Expected) -> Judgement {
        let application = self.selected().ok_or(0x6985_u16)?;
        let is_checksum = ins == 0x2A;
        let is_known = if is_checksum { application.mag_stripe.is_some() } else { application.cdol1.is_some() };
        if !is_known {
            return Err(0x6D00);
        }
        let State::Initiated(tap) = self.state.clone() else { return Err(0x6985) };
        let judgement = self.judge_last(is_checksum, command, tap, plan, expected);
        self.field_lost();
        expected.ends_with = judgement.as_ref().err().copied();
        judgement
    }

    fn judge_last(
        &self,
        is_checksum: bool,
        command: &Command<'_>,
        tap: Initiated,
        plan: Plan,
        expected: &mut Expected,
    ) -> Judgement {
        let parameters = (command.p1, command.p2);
        let is_right = match is_checksum {
            true => parameters == (0x8E, 0x80),
            false => matches!(parameters, (0x00 | 0x10 | 0x40 | 0x50 | 0x80 | 0x90, 0)),
        };
        if !is_right {
            return Err(0x6A86);
        }
        let purchase = Purchase {
            facts: Arc::clone(&self.facts),
            application: tap.application,
            is_checksum,
            p1: command.p1,
            pdol_data: tap.pdol_data,
            relay: tap.relay,
            data: command.data.unwrap_or_default().to_vec(),
        };
        if command.data.is_none() || purchase.data.len() != purchase.list().data_length() {
            return Err(0x6700);
        }
        if !purchase.is_decimal_where_it_must() {
            return Err(0x6A80);
        }
        expected.decides = Some(purchase);
        match is_checksum {
            false => Ok(Content::Cryptogram),
            // The credential is spent, and nothing leaves the card.
            true if plan.outcome == Outcome::Approve && plan.without_cvc3_key => Err(0x6F00),
            true => Ok(Content::Checksum),
        }
    }
}

/// A command without its name.
struct Command<'a> {
    p1: u8,
    p2: u8,
    /// `None`: a length is wrong.
    data: Option<&'a [u8]>,
}

impl Command<'_> {
    fn expect_parameters(&self, p1: u8, p2: u8) -> Result<(), u16> {
        if (self.p1, self.p2) == (p1, p2) { Ok(()) } else { Err(0x6A86) }
    }

    fn expect_no_data(&self) -> Result<(), u16> {
        if self.data == Some(&[]) { Ok(()) } else { Err(0x6700) }
    }
}

/// The data of a short command, with or without Le; `None` for any other length.
fn data(body: &[u8]) -> Option<&[u8]> {
    match body {
        [] | [_] => Some(&[]),
        [0, ..] => None,
        [lc, rest @ ..] => {
            let lc = usize::from(*lc);
            (rest.len() == lc || rest.len() == lc + 1).then(|| &rest[..lc])
        }
    }
}
