//! Short command APDUs and status words (ISO 7816-4, 5.1 to 5.3).

/// How a command ended, SW1 SW2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusWord(u16);

impl StatusWord {
    /// Done.
    pub const OK: Self = Self(0x9000);
    /// Wrong length, extended length, or a command cut short.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Out of order, or the tap has ended.
    pub const CONDITIONS: Self = Self(0x6985);
    /// The data field is malformed.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// No such application.
    pub const NOT_FOUND: Self = Self(0x6A82);
    /// No such record.
    pub const NO_RECORD: Self = Self(0x6A83);
    /// P1 or P2 is wrong.
    pub const WRONG_P1_P2: Self = Self(0x6A86);
    /// No such data object.
    pub const NO_DATA: Self = Self(0x6A88);
    /// Unknown instruction.
    pub const UNKNOWN_INS: Self = Self(0x6D00);
    /// Unknown class.
    pub const UNKNOWN_CLA: Self = Self(0x6E00);
    /// The card failed.
    pub const INTERNAL: Self = Self(0x6F00);

    /// SW1 and SW2 as one number.
    #[must_use]
    pub fn value(self) -> u16 {
        self.0
    }

    /// An answer without data.
    #[must_use]
    pub fn answer(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    /// An answer with data.
    #[must_use]
    pub fn answer_with(self, mut data: Vec<u8>) -> Vec<u8> {
        data.extend_from_slice(&self.0.to_be_bytes());
        data
    }
}

impl std::fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StatusWord({:04X})", self.0)
    }
}

/// A command whose header is read and whose body is not yet.
///
/// The body is read by [`Command::data`], so that a wrong class, instruction, order or parameter is
/// reported before a wrong length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// Class.
    pub cla: u8,
    /// Instruction.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    body: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// 6700 for less than four bytes.
    pub fn parse(apdu: &'a [u8]) -> Result<Self, StatusWord> {
        match apdu {
            &[cla, ins, p1, p2, ref body @ ..] => Ok(Self { cla, ins, p1, p2, body }),
            _ => Err(StatusWord::WRONG_LENGTH),
        }
    }

    /// The data field, empty if there is none. A final Le byte is allowed and ignored.
    ///
    /// # Errors
    /// 6700 for extended length, a short body, or bytes after Le.
    pub fn data(&self) -> Result<&'a [u8], StatusWord> {
        match self.body {
            // Case 1 and case 2 (only Le).
            [] | [_] => Ok(&[]),
            // Lc 00 announces extended length.
            [0, ..] => Err(StatusWord::WRONG_LENGTH),
            [lc, rest @ ..] => match rest.split_at_checked(usize::from(*lc)) {
                Some((data, [] | [_])) => Ok(data),
                _ => Err(StatusWord::WRONG_LENGTH),
            },
        }
    }

    /// For commands that carry no data.
    ///
    /// # Errors
    /// 6700 if there is any, or as [`Command::data`].
    pub fn expect_no_data(&self) -> Result<(), StatusWord> {
        match self.data()? {
            [] => Ok(()),
            _ => Err(StatusWord::WRONG_LENGTH),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(body: &[u8]) -> Result<Vec<u8>, u16> {
        let apdu = [&[0x00, 0xA4, 0x04, 0x00], body].concat();
        Command::parse(&apdu).unwrap().data().map(<[u8]>::to_vec).map_err(StatusWord::value)
    }

    #[test]
    fn the_four_short_cases_are_read_whatever_le_says() {
        assert_eq!(data(&[]), Ok(vec![]));
        assert_eq!(data(&[0x00]), Ok(vec![]));
        assert_eq!(data(&[2, 7, 8]), Ok(vec![7, 8]));
        assert_eq!(data(&[2, 7, 8, 0x00]), Ok(vec![7, 8]));
        assert_eq!(data(&[2, 7, 8, 0x10]), Ok(vec![7, 8]));
    }

    #[test]
    fn extended_cut_and_overlong_bodies_are_refused() {
        for body in [&[0, 0, 2, 7, 8][..], &[0, 0], &[2, 7], &[2, 7, 8, 0, 0]] {
            assert_eq!(data(body), Err(0x6700), "{body:?}");
        }
        assert_eq!(Command::parse(&[0, 0xA4, 4]).err(), Some(StatusWord::WRONG_LENGTH));
    }

    proptest! {
        #[test]
        fn what_a_terminal_frames_is_read_back(
            content in prop::collection::vec(any::<u8>(), 0..=255),
            le in prop::option::of(any::<u8>()),
        ) {
            let lc = (!content.is_empty()).then_some(content.len() as u8);
            let body: Vec<u8> = lc.into_iter().chain(content.iter().copied()).chain(le).collect();
            prop_assert_eq!(data(&body), Ok(content));
        }

        #[test]
        fn what_is_read_was_framed_by_its_length(body in prop::collection::vec(any::<u8>(), 0..300)) {
            match (data(&body), body.first().copied().map_or(0, usize::from)) {
                (Ok(content), _) if body.len() <= 1 => prop_assert!(content.is_empty()),
                (Ok(content), lc) => {
                    prop_assert_eq!(content.len(), lc);
                    prop_assert_eq!(&body[1..=lc], content);
                    prop_assert!(body.len() <= lc + 2);
                }
                (Err(status), lc) => {
                    prop_assert_eq!(status, 0x6700);
                    prop_assert!(lc == 0 || ![lc + 1, lc + 2].contains(&body.len()));
                }
            }
        }

        #[test]
        fn a_short_body_cut_anywhere_is_refused(content in prop::collection::vec(any::<u8>(), 2..=255), cut in 1usize..255) {
            let body = [&[content.len() as u8], &content[..]].concat();
            // One byte is left over where only Lc remains: that is a case 2 command.
            prop_assume!(cut < content.len());
            prop_assert_eq!(data(&body[..body.len() - cut]), Err(0x6700));
        }
    }
}
