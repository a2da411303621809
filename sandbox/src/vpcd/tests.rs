//! A card against a small reader on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Card, Power, Slot, SlotError};

const ATR: [u8; 5] = [0x3B, 0x80, 0x80, 0x01, 0x01];

/// Answers with the command's own bytes and 9000, and keeps what it heard.
#[derive(Debug, Default)]
struct Echo {
    heard: Vec<Heard>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Power(Power),
    Command(Vec<u8>),
}

/// On this command the card breaks.
const POISON: [u8; 4] = [0xDE, 0xAD, 0xBE, 0xEF];
/// To this command the answer has more than 65535 bytes.
const FLOOD: [u8; 4] = [0xF1, 0x00, 0x0D, 0x00];

impl Card for Echo {
    type Error = &'static str;

    fn atr(&mut self) -> Vec<u8> {
        ATR.to_vec()
    }

    fn power(&mut self, change: Power) -> Result<(), Self::Error> {
        self.heard.push(Heard::Power(change));
        Ok(())
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Self::Error> {
        self.heard.push(Heard::Command(command.to_vec()));
        match command {
            command if command == POISON => Err("broken"),
            command if command == FLOOD => Ok(vec![0; 65_536]),
            command => Ok([command, &[0x90, 0x00]].concat()),
        }
    }
}

type End = (Result<(), SlotError<&'static str>>, Vec<Heard>);

/// The reader's end of a slot in which an [`Echo`] was put.
struct Reader {
    stream: TcpStream,
    card: JoinHandle<End>,
}

impl Reader {
    fn with_a_card() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let card = std::thread::spawn(move || {
            let mut card = Echo::default();
            let end = Slot::connect(address).unwrap().serve(&mut card);
            (end, card.heard)
        });
        let (stream, _) = listener.accept().unwrap();
        Self { stream, card }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    /// How the card ended once the reader was gone.
    fn vanish(self) -> End {
        drop(self.stream);
        self.card.join().unwrap()
    }
}

#[test]
fn a_tap_and_a_reset_in_the_middle_of_the_next_one() {
    let mut reader = Reader::with_a_card();
    reader.send(&[0, 1, 4]);
    assert_eq!(reader.receive(), ATR);
    reader.send(&[0, 1, 1]);
    reader.send(&[0, 3, 0xAA, 0xBB, 0xCC]);
    assert_eq!(reader.receive(), [0xAA, 0xBB, 0xCC, 0x90, 0x00]);
    reader.send(&[0, 1, 2]);
    // Presence is checked between commands and changes nothing.
    reader.send(&[0, 1, 4]);
    assert_eq!(reader.receive(), ATR);
    reader.send(&[0, 2, 0x01, 0x02]);
    assert_eq!(reader.receive(), [0x01, 0x02, 0x90, 0x00]);

    let (end, heard) = reader.vanish();
    assert!(end.is_ok());
    let expected = [
        Heard::Power(Power::On),
        Heard::Command(vec![0xAA, 0xBB, 0xCC]),
        Heard::Power(Power::Reset),
        Heard::Command(vec![0x01, 0x02]),
        Heard::Power(Power::Off),
    ];
    assert_eq!(heard, expected);
}

#[test]
fn half_written_and_joined_frames_are_answered_in_order() {
    let mut reader = Reader::with_a_card();
    for byte in [0, 4, 1, 2, 3, 4] {
        reader.send(&[byte]);
    }
    assert_eq!(reader.receive(), [1, 2, 3, 4, 0x90, 0x00]);
    // A power-on, a request for the ATR, a whole command, and the beginning of one.
    reader.send(&[0, 1, 1, 0, 1, 4, 0, 2, 7, 8, 0]);
    assert_eq!(reader.receive(), ATR);
    assert_eq!(reader.receive(), [7, 8, 0x90, 0x00]);
    reader.send(&[2, 9, 9]);
    assert_eq!(reader.receive(), [9, 9, 0x90, 0x00]);
    assert!(reader.vanish().0.is_ok());
}

#[test]
fn a_reader_that_vanishes_within_a_message_cuts_the_card_off() {
    let mut reader = Reader::with_a_card();
    reader.send(&[0, 1, 1, 0, 5, 0xAA]);
    reader.stream.shutdown(Shutdown::Write).unwrap();
    let (end, heard) = reader.vanish();
    assert!(matches!(end, Err(SlotError::Cut)), "{end:?}");
    assert_eq!(heard, [Heard::Power(Power::On), Heard::Power(Power::Off)]);
}

#[test]
fn a_reader_that_vanishes_before_an_answer_ends_the_card() {
    let mut reader = Reader::with_a_card();
    reader.send(&[0, 2, 1, 1]);
    let (end, heard) = reader.vanish();
    // The answer may still have been written: what comes after it is the end or a broken pipe.
    assert!(matches!(end, Ok(()) | Err(SlotError::Connection(_))), "{end:?}");
    assert_eq!(heard.last(), Some(&Heard::Power(Power::Off)));
}

#[test]
fn a_card_that_breaks_ends_its_slot() {
    let mut reader = Reader::with_a_card();
    reader.send(&[&[0, 4], POISON.as_slice()].concat());
    let (end, heard) = reader.card.join().unwrap();
    assert!(matches!(end, Err(SlotError::Card("broken"))), "{end:?}");
    assert_eq!(heard, [Heard::Command(POISON.to_vec()), Heard::Power(Power::Off)]);
}

#[test]
fn an_answer_longer_than_a_frame_is_not_cut_but_refused() {
    let mut reader = Reader::with_a_card();
    reader.send(&[&[0, 4], FLOOD.as_slice()].concat());
    let (end, _) = reader.card.join().unwrap();
    assert!(matches!(end, Err(SlotError::AnswerTooLong { length: 65_536 })), "{end:?}");
}

#[test]
fn a_reader_that_keeps_silent_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let slot = Slot::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!slot.is_asked_within(Duration::from_millis(1)).unwrap());
    let (mut reader, _) = listener.accept().unwrap();
    reader.write_all(&[0, 1, 4]).unwrap();
    assert!(slot.is_asked_within(Duration::from_secs(60)).unwrap());
}

#[test]
fn a_slot_where_nobody_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Slot::connect(address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
