//! The order of commands: one tap from SELECT to GENERATE AC or COMPUTE CRYPTOGRAPHIC CHECKSUM.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::apdu::{Command, StatusWord};
use super::compile::CardApp;
use super::hooks::TapHooks;
use super::relay::Exchanges;
use super::tlv::{Tag, Tlv};
use super::{Card, PPSE, generate_ac, magstripe, tags};

/// The card application that a terminal talks to.
///
/// Holds what belongs to one tap and nothing that outlives it. A tap begins when
/// [`TapHooks::begin`] hands out a card, and ends with GENERATE AC or COMPUTE CRYPTOGRAPHIC
/// CHECKSUM, with [`CardApplication::reset`], or with the next SELECT of the PPSE.
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
    Initiated(Initiated),
}

struct Initiated {
    app: Arc<CardApp>,
    /// Part of what CDA signs.
    pdol_data: Zeroizing<Vec<u8>>,
    exchanges: Exchanges,
}

impl State {
    /// The application that is selected.
    fn app(&self) -> Option<&Arc<CardApp>> {
        match self {
            Self::Unselected => None,
            Self::Selected(app) | Self::Initiated(Initiated { app, .. }) => Some(app),
        }
    }
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
            (0x80, 0xEA) => self.exchange_relay_resistance(&command, hooks),
            (0x80, 0xAE) => self.generate_ac(&command, hooks),
            (0x80, 0x2A) => self.compute_checksum(&command, hooks),
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
        let (Some(current), Some(card)) = (previous.app(), &self.card) else {
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
        self.state = State::Initiated(Initiated { app: Arc::clone(app), pdol_data, exchanges: Exchanges::default() });
        Ok(answer)
    }

    /// READ RECORD (EMV Book 3, 6.5.11).
    fn read_record(&self, command: &Command<'_>) -> Answer {
        let app = match &self.state {
            State::Unselected => return Err(StatusWord::CONDITIONS),
            State::Selected(_) => return Err(StatusWord::NO_RECORD),
            State::Initiated(tap) => &tap.app,
        };
        if command.p2 & 0b111 != 0b100 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        command.expect_no_data()?;
        app.records.answer(command.p2 >> 3, command.p1).map(<[u8]>::to_vec).ok_or(StatusWord::NO_RECORD)
    }

    /// GET DATA (EMV Book 3, 6.5.7). The counters that readers like to ask for (9F36, 9F17, 9F13)
    /// belong to credentials, not to the card: only the profile's objects are shown.
    fn read_data_object(&self, command: &Command<'_>) -> Answer {
        let app = self.state.app().ok_or(StatusWord::CONDITIONS)?;
        command.expect_no_data()?;
        let tag = Tag::new(u16::from_be_bytes([command.p1, command.p2]).into());
        let object = app.data_object(tag).ok_or(StatusWord::NO_DATA)?;
        Ok(StatusWord::OK.answer_with(object.to_vec()))
    }

    /// EXCHANGE RELAY RESISTANCE DATA, up to three times a tap. Leaves the tap as it stands.
    fn exchange_relay_resistance(&mut self, command: &Command<'_>, hooks: &mut dyn TapHooks) -> Answer {
        self.expect_known(|app| app.relay_resistance.is_some())?;
        let State::Initiated(Initiated { app, exchanges, .. }) = &mut self.state else {
            return Err(StatusWord::CONDITIONS);
        };
        let times = app.relay_resistance.ok_or(StatusWord::UNKNOWN_INS)?;
        exchanges.answer(command, times, hooks)
    }

    /// GENERATE AC (EMV Book 3, 6.5.5).
    fn generate_ac(&mut self, command: &Command<'_>, hooks: &mut dyn TapHooks) -> Answer {
        self.expect_known(|app| app.cdol1.is_some())?;
        self.finish(hooks, |tap, hooks| {
            let relay = tap.exchanges.signed();
            let prepared = generate_ac::Prepared::read(command, &tap.app, &tap.pdol_data, relay, hooks)?;
            let decision = hooks.decide(&prepared.request);
            prepared.answer(decision, hooks)
        })
    }

    /// COMPUTE CRYPTOGRAPHIC CHECKSUM: mag-stripe mode.
    fn compute_checksum(&mut self, command: &Command<'_>, hooks: &mut dyn TapHooks) -> Answer {
        self.expect_known(|app| app.mag_stripe.is_some())?;
        self.finish(hooks, |tap, hooks| {
            let prepared = magstripe::Prepared::read(command, &tap.app, &tap.pdol_data)?;
            let decision = hooks.decide(&prepared.request);
            prepared.answer(decision, hooks)
        })
    }

    /// An instruction that not every application has is unknown to those without it. Where none is
    /// selected, the order of commands decides.
    fn expect_known(&self, is_known_to: impl Fn(&CardApp) -> bool) -> Result<(), StatusWord> {
        match self.state.app() {
            Some(app) if !is_known_to(app) => Err(StatusWord::UNKNOWN_INS),
            _ => Ok(()),
        }
    }

    /// The command that ends the tap, whether it is answered or refused.
    fn finish(
        &mut self,
        hooks: &mut dyn TapHooks,
        answer: impl FnOnce(&Initiated, &mut dyn TapHooks) -> Answer,
    ) -> Answer {
        // The tap ends before anything is decided, so that no path can decide twice.
        let tap = match std::mem::take(&mut self.state) {
            State::Initiated(tap) => tap,
            other => {
                self.state = other;
                return Err(StatusWord::CONDITIONS);
            }
        };
        self.card = None;
        match answer(&tap, hooks) {
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
            State::Initiated(_) => "CardApplication(initiated)",
        })
    }
}
