//! The bytes between vpcd and its card: a length of 2 bytes, big-endian, and that many bytes of body.
//!
//! From the reader, a body of one byte that vpcd knows is control; every other one is a command APDU.
//! From the card come answers only, to a command and to the request for the ATR.

use super::Power;

const OFF: u8 = 0x00;
const ON: u8 = 0x01;
const RESET: u8 = 0x02;
const ATR: u8 = 0x04;

/// What the reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The supply changes; no answer.
    Power(Power),
    /// The answer to reset is asked for. It comes all the time: it is how vpcd sees that a card is
    /// there.
    Atr,
    /// A command APDU, 0 to 65535 bytes, to be answered.
    Command(Vec<u8>),
}

impl Message {
    fn of(body: &[u8]) -> Self {
        match body {
            [OFF] => Self::Power(Power::Off),
            [ON] => Self::Power(Power::On),
            [RESET] => Self::Power(Power::Reset),
            [ATR] => Self::Atr,
            command => Self::Command(command.to_vec()),
        }
    }
}

/// Cuts what comes from the reader, in pieces of any size, into messages.
///
/// Iterating yields the whole messages that have come so far. Who takes them after each piece never
/// holds more than one unfinished message, 64 KiB.
#[derive(Debug, Default)]
pub struct Frames {
    pending: Vec<u8>,
}

impl Frames {
    /// The next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// True if the last message is whole.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Iterator for Frames {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let (length, rest) = self.pending.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let message = Message::of(rest.get(..length)?);
        self.pending.drain(..2 + length);
        Some(message)
    }
}

/// An answer as it travels; `None` if it is longer than a frame, 65535 bytes.
#[must_use]
pub fn answer(body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok()?;
    Some([&length.to_be_bytes(), body].concat())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn messages(bytes: &[u8]) -> Vec<Message> {
        let mut frames = Frames::default();
        frames.push(bytes);
        frames.by_ref().collect()
    }

    #[test]
    fn control_bytes_are_told_from_commands() {
        let bytes = [0, 1, 0, 0, 1, 1, 0, 1, 2, 0, 1, 4, 0, 1, 3, 0, 2, 0, 0, 0, 0];
        let expected = [
            Message::Power(Power::Off),
            Message::Power(Power::On),
            Message::Power(Power::Reset),
            Message::Atr,
            // vpcd knows no control 03: a client sent an APDU of one byte.
            Message::Command(vec![3]),
            Message::Command(vec![0, 0]),
            Message::Command(vec![]),
        ];
        assert_eq!(messages(&bytes), expected);
    }

    #[test]
    fn an_answer_that_fits_no_frame_is_none() {
        assert_eq!(answer(&[0x90, 0x00]), Some(vec![0, 2, 0x90, 0x00]));
        assert_eq!(answer(&vec![0; 65_535]).map(|frame| frame.len()), Some(65_537));
        assert_eq!(answer(&vec![0; 65_536]), None);
    }

    fn wire_form(message: &Message) -> Vec<u8> {
        let body = match message {
            Message::Power(Power::Off) => vec![OFF],
            Message::Power(Power::On) => vec![ON],
            Message::Power(Power::Reset) => vec![RESET],
            Message::Atr => vec![ATR],
            Message::Command(command) => command.clone(),
        };
        answer(&body).unwrap()
    }

    fn any_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Power(Power::Off)),
            Just(Message::Power(Power::On)),
            Just(Message::Power(Power::Reset)),
            Just(Message::Atr),
            vec(any::<u8>(), 2..300).prop_map(Message::Command),
        ]
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_they_were_cut(
            sent in vec(any_message(), 0..20),
            cuts in vec(1_usize..40, 1..400),
        ) {
            let bytes = sent.iter().flat_map(wire_form).collect::<Vec<_>>();
            let (mut frames, mut seen, mut rest) = (Frames::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                frames.push(piece);
                seen.extend(frames.by_ref());
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, sent);
            prop_assert!(frames.is_between_messages());
        }

        #[test]
        fn any_bytes_are_cut_without_loss_and_never_more_than_a_frame_waits(
            pieces in vec(vec(any::<u8>(), 0..2_000), 0..60),
        ) {
            let (mut frames, mut taken, mut pushed) = (Frames::default(), 0, 0);
            for piece in &pieces {
                frames.push(piece);
                pushed += piece.len();
                taken += frames.by_ref().map(|message| wire_form(&message).len()).sum::<usize>();
                prop_assert!(frames.pending.len() < 2 + 65_535);
                prop_assert_eq!(taken + frames.pending.len(), pushed);
            }
        }
    }
}
