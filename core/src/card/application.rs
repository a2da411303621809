//! The order of commands: one tap from SELECT to GENERATE AC.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::apdu::{Command, StatusWord};
use super::compile::CardApp;
use super::generate_ac::Prepared;
use super::hooks::TapHooks;
use super::tlv::Tlv;
use super::{Card, PPSE, tags};

/// The card application that a terminal talks to.
///
/// Holds what belongs to one tap and nothing that outlives it. A tap begins when
/// [`TapHooks::begin`] hands out a card, and ends with GENERATE AC, with [`CardApplication::reset`],
/// or with the next SELECT of the PPSE.
#[derive(Default)]
pub struct CardApplication {
    /// The card of the tap that runs; `None` if none runs.
    card: Option<Arc<Card>>,
    state: State,
}

/// Where a tap stands. The initial state, the one after the PPSE, and the one after the end allow
/// the same commands: SELECT.
#[derive(Default)]
enum State {
    /// No application is selected.
    #[default]
    Unselected,
    /// SELECT of an application was answered.
    Selected(Arc<CardApp>),
    /// GET PROCESSING OPTIONS was answered.
    Initiated {
        app: Arc<CardApp>,
        /// Part of what CDA signs.
        pdol_data: Zeroizing<Vec<u8>>,
    },
}

type Answer = Result<Vec<u8>, StatusWord>;

impl CardApplication {
    /// A card application without a tap.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a command. Total: every input gets an answer that ends with a status word.
    pub fn process(&mut self, apdu: &[u8], hooks: &mut dyn TapHooks) -> Vec<u8> {
        self.dispatch(apdu, hooks).unwrap_or_else(StatusWord::answer)
    }

    /// The field was lost: forgets the tap and all data of its terminal.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Checks in the order class, instruction, state, parameters, length, data.
    fn dispatch(&mut self, apdu: &[u8], hooks: &mut dyn TapHooks) -> Answer {
        let command = Command::parse(apdu)?;
        match (command.cla, command.ins) {
            (0x00, 0xA4) => self.select(&command, hooks),
            (0x00, 0xB2) => self.read_record(&command),
            (0x80, 0xA8) => self.processing_options(&command),
            (0x80, 0xAE) => self.generate_ac(&command, hooks),
            (0x80, 0xCA) => self.read_data_object(&command),
            (0x00 | 0x80, _) => Err(StatusWord::UNKNOWN_INS),
            _ => Err(StatusWord::UNKNOWN_CLA),
        }
    }

    /// SELECT (ISO 7816-4, 11.2.2; EMV Book 1, 11.3): by name, first or next occurrence.
    fn select(&mut self, command: &Command<'_>, hooks: &mut dyn TapHooks) -> Answer {
        let next = match (command.p1, command.p2) {
            (0x04, 0x00) => false,
            (0x04, 0x02) => true,
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let name = command.data()?;
        if name.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let previous = std::mem::take(&mut self.state);
        match (name, next) {
            (PPSE, true) => Err(StatusWord::NOT_FOUND),
            (PPSE, false) => {
                self.card = hooks.begin();
                self.card.as_ref().map(|card| card.ppse.clone()).ok_or(StatusWord::NOT_FOUND)
            }
            (_, false) => self.select_first(name, hooks),
            (_, true) => self.select_next(name, &previous),
        }
    }

    fn select_first(&mut self, name: &[u8], hooks: &mut dyn TapHooks) -> Answer {
        // A name that can be no AID of ours, such as the contact directory's, begins no tap.
        if !(5..=16).contains(&name.len()) || name == super::PSE {
            return Err(StatusWord::NOT_FOUND);
        }
        if self.card.is_none() {
            self.card = hooks.begin();
        }
        let card = self.card.as_ref().ok_or(StatusWord::NOT_FOUND)?;
        let exact = card.applications.iter().find(|app| app.aid == name);
        let app = exact.or_else(|| card.applications.iter().find(|app| app.aid.starts_with(name)));
        Self::enter(&mut self.state, app)
    }

    fn select_next(&mut self, name: &[u8], previous: &State) -> Answer {
        let (State::Selected(current) | State::Initiated { app: current, .. }, Some(card)) = (previous, &self.card)
        else {
            return Err(StatusWord::NOT_FOUND);
        };
        let after = card.applications.iter().skip_while(|app| !Arc::ptr_eq(app, current)).skip(1);
        let app = after.filter(|_| name.len() >= 5).find(|app| app.aid.starts_with(name));
        Self::enter(&mut self.state, app)
    }

    fn enter(state: &mut State, app: Option<&Arc<CardApp>>) -> Answer {
        let app = app.ok_or(StatusWord::NOT_FOUND)?;
        let fci = app.fci.clone();
        *state = State::Selected(Arc::clone(app));
        Ok(fci)
    }

    /// GET PROCESSING OPTIONS (EMV Book 3, 6.5.8).
    fn processing_options(&mut self, command: &Command<'_>) -> Answer {
        let State::Selected(app) = &self.state else {
            return Err(StatusWord::CONDITIONS);
        };
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let data = command.data()?;
        if data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let object = Tlv::read_only(data).map_err(|_| StatusWord::WRONG_DATA)?;
        if object.tag != tags::COMMAND_TEMPLATE {
            return Err(StatusWord::WRONG_DATA);
        }
        if object.value.len() != app.pdol.data_len() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let answer = app.processing_options.clone();
        let pdol_data = Zeroizing::new(object.value.to_vec());
        self.state = State::Initiated { app: Arc::clone(app), pdol_data };
        Ok(answer)
    }

    /// READ RECORD (EMV Book 3, 6.5.11).
    fn read_record(&self, command: &Command<'_>) -> Answer {
        let app = match &self.state {
            State::Unselected => return Err(StatusWord::CONDITIONS),
            State::Selected(_) => return Err(StatusWord::NO_RECORD),
            State::Initiated { app, .. } => app,
        };
        if command.p2 & 0b111 != 0b100 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        command.expect_no_data()?;
        app.records.answer(command.p2 >> 3, command.p1).map(<[u8]>::to_vec).ok_or(StatusWord::NO_RECORD)
    }

    /// GET DATA (EMV Book 3, 6.5.7). The counters that readers like to ask for (9F36, 9F17, 9F13)
    /// belong to credentials, not to the card, so there is no object to show.
    fn read_data_object(&self, command: &Command<'_>) -> Answer {
        if matches!(self.state, State::Unselected) {
            return Err(StatusWord::CONDITIONS);
        }
        command.expect_no_data()?;
        Err(StatusWord::NO_DATA)
    }

    /// GENERATE AC (EMV Book 3, 6.5.5).
    fn generate_ac(&mut self, command: &Command<'_>, hooks: &mut dyn TapHooks) -> Answer {
        // The tap ends before anything is decided, so that no path can decide twice.
        let (app, pdol_data) = match std::mem::take(&mut self.state) {
            State::Initiated { app, pdol_data } => (app, pdol_data),
            other => {
                self.state = other;
                return Err(StatusWord::CONDITIONS);
            }
        };
        self.card = None;
        let answer = Prepared::read(command, &app, &pdol_data, hooks).and_then(|prepared| {
            let decision = hooks.decide(&prepared.request);
            prepared.answer(decision, hooks)
        });
        match answer {
            Ok(data) => Ok(StatusWord::OK.answer_with(data)),
            Err(status) => {
                hooks.protocol_error(status.value());
                Err(status)
            }
        }
    }
}

impl std::fmt::Debug for CardApplication {
    /// Only the state: the data of a tap tell who paid where.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.state {
            State::Unselected => "CardApplication(unselected)",
            State::Selected(_) => "CardApplication(selected)",
            State::Initiated { .. } => "CardApplication(initiated)",
        })
    }
}
