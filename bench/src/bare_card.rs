//! The card application alone: no wallet, no store, no threads. What an APDU costs by itself.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use nfcwallet_core::card::hooks::{BurningCredential, CryptogramDecision, CryptogramRequest, TapHooks};
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::card::{Card, CardApplication};
use nfcwallet_core::secret::Secret;

use crate::conversation::{Cryptogram, GET_DATA, conversation};

/// A compiled card and what a terminal would send to it.
pub struct BareCard {
    card: Arc<Card>,
    /// The plain commands, then GENERATE AC with CDA and without.
    plain: Vec<(String, Vec<u8>)>,
    signed: (String, Vec<u8>),
    unsigned: (String, Vec<u8>),
}

impl BareCard {
    /// Compiles `profile`.
    ///
    /// # Errors
    /// If it is not a profile of the sandbox.
    pub fn new(profile: &Profile) -> Result<Self> {
        let mut plain = conversation(profile, Cryptogram::Signed)?;
        let mut other = conversation(profile, Cryptogram::Unsigned)?;
        let (Some(signed), Some(unsigned)) = (plain.pop(), other.pop()) else { bail!("a tap has an end") };
        plain.push(("GET DATA".to_owned(), GET_DATA.to_vec()));
        let card = Self { card: Arc::new(Card::compile(profile)?), plain, signed, unsigned };
        // The first signature draws the blinding; the usual one squares it.
        let answer = card.tap(Cryptogram::Signed).pay();
        ensure!(answer.ends_with(&[0x90, 0x00]), "the first tap is answered {}", hex::encode(answer));
        Ok(card)
    }

    /// Every APDU by name, each ready to be answered.
    ///
    /// # Errors
    /// If the card refuses what comes before one.
    pub fn apdus(&self) -> Result<Vec<Ready>> {
        let mut all = Vec::new();
        for at in 0..self.plain.len() {
            all.extend(self.plain.get(at).map(|(name, command)| self.ready(name, at, command, Approve::Yes)));
        }
        let records_end = self.plain.len();
        let (name, command) = &self.unsigned;
        all.push(self.ready("GENERATE AC, declined", records_end, command, Approve::No));
        all.push(self.ready(name, records_end, command, Approve::Yes));
        let (name, command) = &self.signed;
        all.push(self.ready(name, records_end, command, Approve::Yes));
        all.into_iter().collect()
    }

    /// A command of a card of its own kind, after GET PROCESSING OPTIONS.
    ///
    /// # Errors
    /// As [`BareCard::apdus`].
    pub fn after_options(&self, name: &str, command: &[u8]) -> Result<Ready> {
        let options = self.plain.iter().position(|(name, _)| name == "GET PROCESSING OPTIONS");
        self.ready(name, options.context("a tap has options")? + 1, command, Approve::Yes)
    }

    /// All APDUs of a tap, the credential at hand: no store, no host, no burn.
    #[must_use]
    pub fn tap(&self, cryptogram: Cryptogram) -> WholeTap {
        let last = match cryptogram {
            Cryptogram::Signed => &self.signed,
            Cryptogram::Unsigned => &self.unsigned,
        };
        // Readers ask for data objects before the cryptogram or not at all; this one does not.
        let commands = self.plain.iter().rev().skip(1).rev().chain([last]).map(|(_, command)| command.clone());
        WholeTap { commands: commands.collect(), card: Arc::clone(&self.card) }
    }

    /// The card before its command number `at`.
    fn ready(&self, name: &str, at: usize, command: &[u8], approve: Approve) -> Result<Ready> {
        let mut hooks = Hooks { card: Arc::clone(&self.card), approve, drawn: 0 };
        let mut application = CardApplication::new();
        for (before, command) in self.plain.iter().take(at).filter(|(_, command)| command != GET_DATA) {
            let answer = application.process(command, &mut hooks);
            ensure!(answer.ends_with(&[0x90, 0x00]), "{before} is answered {}", hex::encode(answer));
        }
        Ok(Ready { name: name.to_owned(), application, hooks, command: command.to_vec() })
    }
}

/// A card in the state before one command.
pub struct Ready {
    /// Of the command, in the report.
    pub name: String,
    application: CardApplication,
    hooks: Hooks,
    command: Vec<u8>,
}

impl Ready {
    /// Sends the command.
    pub fn answer(&mut self) -> Vec<u8> {
        self.application.process(&self.command, &mut self.hooks)
    }
}

/// A tap from its first APDU to its last.
pub struct WholeTap {
    card: Arc<Card>,
    commands: Vec<Vec<u8>>,
}

impl WholeTap {
    /// Sends all commands; returns the last answer.
    #[must_use]
    pub fn pay(&self) -> Vec<u8> {
        let mut hooks = Hooks { card: Arc::clone(&self.card), approve: Approve::Yes, drawn: 0 };
        let mut application = CardApplication::new();
        self.commands.iter().fold(Vec::new(), |_, command| application.process(command, &mut hooks))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approve {
    Yes,
    No,
}

/// Approves or declines without asking anybody.
struct Hooks {
    card: Arc<Card>,
    approve: Approve,
    drawn: u8,
}

impl TapHooks for Hooks {
    fn begin(&mut self) -> Option<Arc<Card>> {
        Some(Arc::clone(&self.card))
    }

    fn decide(&mut self, _: &CryptogramRequest) -> CryptogramDecision {
        match self.approve {
            Approve::Yes => CryptogramDecision::Approve {
                credential: BurningCredential {
                    atc: 1,
                    session_key: Secret::new([0x5E; 16]),
                    cvc3_key: Some(Secret::new([0xC3; 16])),
                },
                cdcvm_done: false,
                reference: [0; 8],
            },
            Approve::No => CryptogramDecision::Decline { atc: 0, see_phone: false },
        }
    }

    fn is_burnt(&mut self) -> bool {
        true
    }

    fn protocol_error(&mut self, _: u16) {}

    fn fill_random(&mut self, bytes: &mut [u8]) {
        self.drawn = self.drawn.wrapping_add(1);
        bytes.fill(self.drawn);
    }
}

#[cfg(test)]
mod tests {
    use nfcwallet_sandbox::issuer::CardShape;

    use super::*;
    use crate::conversation::{CHECKSUM, EXCHANGE};
    use crate::phone::profile;

    #[test]
    fn commands_of_other_shapes_are_answered_too() {
        for (shape, command, length) in
            [(CardShape::MagStripe, CHECKSUM, 19), (CardShape::RelayResistance, EXCHANGE, 14)]
        {
            let card = BareCard::new(&profile(shape).unwrap()).unwrap();
            let answer = card.after_options("", command).unwrap().answer();
            assert!(answer.ends_with(&[0x90, 0x00]), "{shape:?}: {}", hex::encode(&answer));
            assert_eq!(answer.len(), length, "{shape:?}: {}", hex::encode(&answer));
        }
    }

    #[test]
    fn every_apdu_is_answered_as_its_name_says() {
        let card = BareCard::new(&profile(CardShape::Phone).unwrap()).unwrap();
        let mut lengths = std::collections::BTreeMap::new();
        for mut ready in card.apdus().unwrap() {
            let answer = ready.answer();
            let status: &[u8] = if ready.name == "GET DATA" { &[0x6A, 0x88] } else { &[0x90, 0x00] };
            assert!(answer.ends_with(status), "{}: {}", ready.name, hex::encode(&answer));
            lengths.insert(ready.name, answer.len());
        }
        assert!(lengths["GENERATE AC, CDA"] > lengths["GENERATE AC, no CDA"] + 100);
        assert_eq!(card.tap(Cryptogram::Signed).pay().len(), lengths["GENERATE AC, CDA"]);
        assert_eq!(card.tap(Cryptogram::Unsigned).pay().len(), lengths["GENERATE AC, no CDA"]);
    }
}
