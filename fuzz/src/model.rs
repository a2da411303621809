//! The order of commands, written a second time: for each command the status word and the answer that
//! a card must give, by the table of states.
//!
//! | state | SELECT | GPO | READ RECORD | GENERATE AC | GET DATA |
//! |---|---|---|---|---|---|
//! | none | yes | 6985 | 6985 | 6985 | 6985 |
//! | selected | yes | yes | 6A83 | 6985 | 6A88 |
//! | initiated | yes | 6985 | yes | once | 6A88 |
//!
//! Checks come in the order class, instruction, state, parameters, length, data.

use std::sync::Arc;

use crate::ber;
use crate::facts::{ApplicationFacts, Facts, List};
use crate::script::{Plan, PreCheck};

const PPSE: &[u8] = b"2PAY.SYS.DDF01";
const PSE: &[u8] = b"1PAY.SYS.DDF01";

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
    Initiated {
        application: usize,
        pdol_data: Vec<u8>,
    },
}

/// What must happen at a command.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) content: Content,
    /// The wallet is asked whether a tap may begin.
    pub(crate) begins: bool,
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
    Record(Vec<u8>),
    /// The wallet decides, and there is a cryptogram of one kind or the other.
    Cryptogram(Purchase),
}

/// What a terminal sent up to its GENERATE AC.
#[derive(Debug)]
pub(crate) struct Purchase {
    pub(crate) application: usize,
    pub(crate) p1: u8,
    pub(crate) pdol_data: Vec<u8>,
    pub(crate) cdol1_data: Vec<u8>,
}

type Judgement = Result<(Content, bool), Refusal>;

/// A status word, and whether the wallet was asked to begin a tap.
struct Refusal(u16, bool);

fn refuse<T>(status: u16) -> Result<T, Refusal> {
    Err(Refusal(status, false))
}

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
            State::Selected(application) | State::Initiated { application, .. } => {
                Some(&self.facts.applications[*application])
            }
        }
    }

    /// What must happen, and goes on to the state afterwards. `next` is the plan of a tap that begins.
    pub(crate) fn expect(&mut self, apdu: &[u8], next: Plan) -> Expected {
        let is_last =
            apdu.starts_with(&[0x80, 0xAE]) && apdu.len() >= 4 && matches!(self.state, State::Initiated { .. });
        let (status, content, begins) = match self.judge(apdu, next) {
            Ok((content, begins)) => (0x9000, content, begins),
            Err(Refusal(status, begins)) => (status, Content::Nothing, begins),
        };
        if is_last {
            self.field_lost();
        }
        Expected { status, content, begins, ends_with: Some(status).filter(|status| is_last && *status != 0x9000) }
    }

    fn judge(&mut self, apdu: &[u8], next: Plan) -> Judgement {
        let &[cla, ins, p1, p2, ref body @ ..] = apdu else { return refuse(0x6700) };
        match (cla, ins) {
            (0x00, 0xA4) => self.select((p1, p2), data(body), next),
            (0x80, 0xA8) => self.processing_options((p1, p2), data(body)),
            (0x00, 0xB2) => self.read_record(p1, p2, data(body)),
            (0x80, 0xAE) => self.generate_ac(p1, p2, data(body)),
            (0x80, 0xCA) => match (&self.state, data(body)) {
                (State::None, _) => refuse(0x6985),
                (_, Some([])) => refuse(0x6A88),
                _ => refuse(0x6700),
            },
            (0x00 | 0x80, _) => refuse(0x6D00),
            _ => refuse(0x6E00),
        }
    }

    fn select(&mut self, parameters: (u8, u8), name: Option<&[u8]>, next: Plan) -> Judgement {
        let is_next = match parameters {
            (0x04, 0x00) => false,
            (0x04, 0x02) => true,
            _ => return refuse(0x6A86),
        };
        let name = name.filter(|name| !name.is_empty()).ok_or(Refusal(0x6700, false))?;
        let before = std::mem::take(&mut self.state);
        match (is_next, name == PPSE) {
            (true, true) => refuse(0x6A82),
            (true, false) => self.select_next(name, &before),
            (false, true) => {
                self.tap_runs = next.pre_check == PreCheck::Passed;
                if self.tap_runs { Ok((Content::Directory, true)) } else { Err(Refusal(0x6A82, true)) }
            }
            (false, false) => self.select_first(name, next),
        }
    }

    fn select_first(&mut self, name: &[u8], next: Plan) -> Judgement {
        if name.len() < 5 || name.len() > 16 || name == PSE {
            return refuse(0x6A82);
        }
        let begins = !self.tap_runs;
        self.tap_runs |= next.pre_check == PreCheck::Passed;
        let all = &self.facts.applications;
        let whole = all.iter().position(|application| application.aid == name);
        let found = whole.or_else(|| all.iter().position(|application| application.aid.starts_with(name)));
        match found.filter(|_| self.tap_runs) {
            Some(application) => {
                self.state = State::Selected(application);
                Ok((Content::Fci(application), begins))
            }
            None => Err(Refusal(0x6A82, begins)),
        }
    }

    fn select_next(&mut self, name: &[u8], before: &State) -> Judgement {
        let (State::Selected(last) | State::Initiated { application: last, .. }) = before else {
            return refuse(0x6A82);
        };
        let mut later = last + 1..self.facts.applications.len();
        let fits = |at: &usize| name.len() >= 5 && self.facts.applications[*at].aid.starts_with(name);
        let application = later.find(fits).ok_or(Refusal(0x6A82, false))?;
        self.state = State::Selected(application);
        Ok((Content::Fci(application), false))
    }

    fn processing_options(&mut self, parameters: (u8, u8), data: Option<&[u8]>) -> Judgement {
        let State::Selected(application) = self.state else { return refuse(0x6985) };
        if parameters != (0, 0) {
            return refuse(0x6A86);
        }
        let data = data.filter(|data| !data.is_empty()).ok_or(Refusal(0x6700, false))?;
        let pdol_data = match ber::first(data) {
            Some((template, [])) if template.tag == 0x83 => template.value.to_vec(),
            _ => return refuse(0x6A80),
        };
        if pdol_data.len() != self.facts.applications[application].pdol.data_length() {
            return refuse(0x6700);
        }
        self.state = State::Initiated { application, pdol_data };
        Ok((Content::Options(application), false))
    }

    fn read_record(&self, number: u8, p2: u8, data: Option<&[u8]>) -> Judgement {
        let application = match self.state {
            State::None => return refuse(0x6985),
            State::Selected(_) => return refuse(0x6A83),
            State::Initiated { application, .. } => application,
        };
        if p2 % 8 != 4 {
            return refuse(0x6A86);
        }
        if data != Some(&[]) {
            return refuse(0x6700);
        }
        let record = self.facts.applications[application].records.get(&(p2 / 8, number));
        record.map(|record| (Content::Record(record.clone()), false)).ok_or(Refusal(0x6A83, false))
    }

    fn generate_ac(&self, p1: u8, p2: u8, data: Option<&[u8]>) -> Judgement {
        let State::Initiated { application, pdol_data } = &self.state else { return refuse(0x6985) };
        if !matches!(p1, 0x00 | 0x10 | 0x40 | 0x50 | 0x80 | 0x90) || p2 != 0 {
            return refuse(0x6A86);
        }
        let list = &self.facts.applications[*application].cdol1;
        let data = data.filter(|data| data.len() == list.data_length()).ok_or(Refusal(0x6700, false))?;
        if !is_decimal_where_it_must(list, data) {
            return refuse(0x6A80);
        }
        let (pdol_data, cdol1_data) = (pdol_data.clone(), data.to_vec());
        Ok((Content::Cryptogram(Purchase { application: *application, p1, pdol_data, cdol1_data }), false))
    }
}

/// Amounts, country, currency and date.
fn is_decimal_where_it_must(list: &List, data: &[u8]) -> bool {
    [0x9F02, 0x9F03, 0x9F1A, 0x5F2A, 0x9A].iter().all(|tag| list.number(*tag, data).is_some())
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
