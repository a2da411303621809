//! The mock HCE platform: what Android and iOS do between a reader and a wallet.
//!
//! Routing by AID, the conditions of the device, a service that is started by its first APDU, a
//! field that goes away, and an answer that must come in time.

use std::time::{Duration, Instant};

use nfcwallet_sandbox::phone::{Call, CallError, HostChange};

use crate::unit::PhoneUnit;

/// Name of the PPSE (EMV Contactless Book B, 3.3.1).
const PPSE: &[u8] = b"2PAY.SYS.DDF01";
/// The AIDs that the app registers for its payment service.
const REGISTERED: [&[u8]; 2] = [&[0xA0, 0, 0, 0, 4, 0x10, 0x10], &[0xA0, 0, 0, 0, 4, 0x30, 0x60]];
/// SELECT by name: 00 A4 04 (ISO 7816-4, 11.1.1).
const SELECT_BY_NAME: &[u8] = &[0x00, 0xA4, 0x04];
/// No application on this phone answers to the name.
const FILE_NOT_FOUND: [u8; 2] = [0x6A, 0x82];

/// The device, as far as the platform looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// NFC is on.
    pub nfc_on: bool,
    /// The app is the default payment app.
    pub default_payment_app: bool,
    /// The screen is on; with it off, the controller answers no reader.
    pub screen_on: bool,
}

impl Default for Device {
    fn default() -> Self {
        Self { nfc_on: true, default_payment_app: true, screen_on: true }
    }
}

impl Device {
    /// Follows a change of the phone's host.
    pub fn follow(&mut self, change: &HostChange) {
        self.nfc_on = change.nfc_on.unwrap_or(self.nfc_on);
        self.default_payment_app = change.default_payment_app.unwrap_or(self.default_payment_app);
        self.screen_on = change.screen_on.unwrap_or(self.screen_on);
    }
}

/// Why a reader gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The phone does not answer readers at all.
    #[error("the phone answers no reader: {0}")]
    NoCard(&'static str),
    /// The field went away.
    #[error("the field was lost")]
    FieldLost,
    /// The answer came after the platform's patience.
    #[error("the answer took {took:?}, limit {limit:?}")]
    TooLate {
        /// How long it took.
        took: Duration,
        /// How long it may.
        limit: Duration,
    },
    /// The phone's process is gone, or could not be started.
    #[error("{0}")]
    Process(String),
}

/// One time in the field.
pub struct Presentation<'a> {
    unit: &'a mut PhoneUnit,
    field_lost_after: Option<u32>,
    answer_within: Duration,
    apdus: u32,
    routed: bool,
}

impl<'a> Presentation<'a> {
    /// The phone meets a reader.
    pub fn new(unit: &'a mut PhoneUnit, field_lost_after: Option<u32>, answer_within: Duration) -> Self {
        Self { unit, field_lost_after, answer_within, apdus: 0, routed: false }
    }

    /// One command of the reader.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, NoAnswer> {
        let device = self.unit.device;
        if !device.nfc_on {
            return Err(NoAnswer::NoCard("NFC is off"));
        }
        if !device.screen_on {
            return Err(NoAnswer::NoCard("the screen is off"));
        }
        if command.starts_with(SELECT_BY_NAME) {
            self.routed = device.default_payment_app && is_registered(command);
        }
        if !self.routed {
            return Ok(FILE_NOT_FOUND.to_vec());
        }
        self.apdus += 1;
        let started = Instant::now();
        // The first APDU starts a service that the system had ended.
        let answer = self.unit.running().map_err(NoAnswer::Process)?.apdu(command);
        let answer = answer.map_err(|error| NoAnswer::Process(error.to_string()))?;
        let took = started.elapsed();
        if took > self.answer_within {
            self.leave().map_err(|error| NoAnswer::Process(error.to_string()))?;
            return Err(NoAnswer::TooLate { took, limit: self.answer_within });
        }
        if self.field_lost_after == Some(self.apdus) {
            self.leave().map_err(|error| NoAnswer::Process(error.to_string()))?;
            return Err(NoAnswer::FieldLost);
        }
        Ok(answer)
    }

    /// The phone leaves the field: the platform tells a service that runs.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn leave(&mut self) -> Result<(), CallError> {
        match self.unit.process() {
            Some(phone) => phone.call(Call::FieldLost).map(drop),
            None => Ok(()),
        }
    }
}

fn is_registered(select: &[u8]) -> bool {
    let length = select.get(4).copied().map(usize::from).unwrap_or_default();
    let name = select.get(5..5 + length).unwrap_or_default();
    name == PPSE || REGISTERED.iter().any(|aid| aid.starts_with(name) && name.len() >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registered_names_are_routed() {
        let select = |name: &[u8]| [SELECT_BY_NAME, &[0, u8::try_from(name.len()).unwrap()], name, &[0]].concat();
        assert!(is_registered(&select(PPSE)));
        assert!(is_registered(&select(REGISTERED[0])));
        assert!(!is_registered(&select(&[0xA0, 0, 0, 0, 3, 0x10, 0x10])));
        assert!(!is_registered(&[0x00, 0xA4, 0x04]));
    }
}
