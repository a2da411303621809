//! The reader under the kernel: carries commands, keeps the trace, and stops a card that babbles.

use std::time::Instant;

use emv::core::apdu::{Command, Response};
use emv::core::card_reader::CardReader;

use super::{Exchange, Link, NotAccepted};

/// A tap has 5 to 10 commands; a card whose AFL names hundreds of records is broken.
const COMMAND_LIMIT: usize = 48;
/// Data of a short APDU and its status word (ISO/IEC 7816-3, 12.1.3).
const ANSWER_LIMIT: usize = 258;

/// Why no answer came to the kernel.
#[derive(Debug)]
pub(super) enum ReaderError {
    LinkLost,
    NotAccepted(NotAccepted),
}

pub(super) struct Reader<'a> {
    link: &'a mut Link<'a>,
    trace: Vec<Exchange>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(link: &'a mut Link<'a>) -> Self {
        Self { link, trace: Vec::with_capacity(8) }
    }

    /// How long the last answer took.
    pub(super) fn last_micros(&self) -> u64 {
        self.trace.last().map_or(0, |exchange| exchange.micros)
    }

    pub(super) fn into_trace(self) -> Vec<Exchange> {
        self.trace
    }
}

impl CardReader for Reader<'_> {
    type Error = ReaderError;

    fn transmit(&mut self, command: &Command) -> Result<Response, ReaderError> {
        if self.trace.len() >= COMMAND_LIMIT {
            return Err(ReaderError::NotAccepted(NotAccepted::TooManyCommands { limit: COMMAND_LIMIT }));
        }
        // Only a list of the card's that asks for more than 255 bytes makes a command that long.
        let malformed =
            |error: emv::Error| ReaderError::NotAccepted(NotAccepted::Malformed { reason: error.to_string() });
        let command = command.to_bytes().map_err(malformed)?;
        let started = Instant::now();
        let answer = (self.link)(&command);
        let took = started.elapsed();
        let response = answer.as_deref().unwrap_or_default().to_vec();
        self.trace.push(Exchange::new(command, response, took));
        let answer = answer.map_err(|_| ReaderError::LinkLost)?;
        let broken = ReaderError::NotAccepted(NotAccepted::BrokenAnswer { length: answer.len() });
        match Response::parse(&answer) {
            Ok(response) if answer.len() <= ANSWER_LIMIT => Ok(response),
            _ => Err(broken),
        }
    }
}
