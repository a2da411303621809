//! The connection to the reader, from the first byte to the last.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Power;
use super::frame::{self, Frames, Message};

/// What is in the slot.
pub trait Card {
    /// Why the card cannot go on; it ends [`Slot::serve`].
    type Error;

    /// The answer to reset (ISO/IEC 7816-3, 8), 2 to 33 bytes. Asked for all the time, also between
    /// two commands of a tap: it changes nothing.
    fn atr(&mut self) -> Vec<u8>;

    /// Whatever was begun under the old supply is over.
    ///
    /// # Errors
    /// The card's own.
    fn power(&mut self, change: Power) -> Result<(), Self::Error>;

    /// Answers a command APDU of any bytes: data and a status word.
    ///
    /// # Errors
    /// The card's own.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why a card is no longer in its slot.
#[derive(Debug, thiserror::Error)]
pub enum SlotError<E> {
    /// The connection broke.
    #[error("the connection to the reader broke")]
    Connection(#[from] io::Error),
    /// The reader went away in the middle of a message.
    #[error("the reader went away in the middle of a message")]
    Cut,
    /// The card's answer fits no frame.
    #[error("the card's answer is {length} bytes, limit 65535")]
    AnswerTooLong {
        /// Of the answer.
        length: usize,
    },
    /// The card.
    #[error("{0}")]
    Card(E),
}

/// A slot of the virtual reader, held by this connection. Dropping it takes the card out.
#[derive(Debug)]
pub struct Slot {
    stream: TcpStream,
    frames: Frames,
}

impl Slot {
    /// Connects to the reader. It does not say whether it takes the card: it asks for the ATR if it
    /// does, and only once the card that it has is gone.
    ///
    /// # Errors
    /// What the operating system says, for example that nobody listens there.
    pub fn connect(reader: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(reader)?;
        stream.set_nodelay(true)?;
        acknowledge_at_once(&stream)?;
        Ok(Self { stream, frames: Frames::default() })
    }

    /// Waits for the reader's first word. False if it does not come within `patience`, which is more
    /// than nothing: another card is in the slot, or what listens there is no reader.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn is_asked_within(&self, patience: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(patience))?;
        let asked = match self.stream.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => return Err(error),
        };
        self.stream.set_read_timeout(None)?;
        Ok(asked)
    }

    /// Lets `card` obey the reader until that goes away between two messages. The card hears of the
    /// lost supply whatever the end.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn serve<C: Card>(&mut self, card: &mut C) -> Result<(), SlotError<C::Error>> {
        let end = self.obey(card);
        let off = card.power(Power::Off).map_err(SlotError::Card);
        end.and(off)
    }

    fn obey<C: Card>(&mut self, card: &mut C) -> Result<(), SlotError<C::Error>> {
        let mut buffer = [0; 4096];
        loop {
            let read = match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            let piece = buffer.get(..read).unwrap_or_default();
            if piece.is_empty() {
                return if self.frames.is_between_messages() { Ok(()) } else { Err(SlotError::Cut) };
            }
            acknowledge_at_once(&self.stream)?;
            self.frames.push(piece);
            for message in self.frames.by_ref() {
                let answer = match message {
                    Message::Power(change) => {
                        card.power(change).map_err(SlotError::Card)?;
                        continue;
                    }
                    Message::Atr => card.atr(),
                    Message::Command(command) => card.transmit(&command).map_err(SlotError::Card)?,
                };
                let frame = frame::answer(&answer).ok_or(SlotError::AnswerTooLong { length: answer.len() })?;
                self.stream.write_all(&frame)?;
            }
        }
    }
}

/// vpcd sends length and body apart and waits for an acknowledgement between them, which the system
/// would hold back for 40 ms. The wish lasts for a while only, so it is renewed after each read.
#[cfg(target_os = "linux")]
fn acknowledge_at_once(stream: &TcpStream) -> io::Result<()> {
    std::os::linux::net::TcpStreamExt::set_quickack(stream, true)
}

/// Other systems have no such switch: every command is slower there.
#[cfg(not(target_os = "linux"))]
fn acknowledge_at_once(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}
