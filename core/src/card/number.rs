//! The token's number as digits: tag 5A, tag 57, and the fields of certificates.

use zeroize::Zeroizing;

/// A card number of 8 to 19 digits (ISO/IEC 7812-1). Without a `Debug` that would show it.
#[derive(PartialEq, Eq)]
pub(super) struct CardNumber(Zeroizing<Vec<u8>>);

impl CardNumber {
    /// Reads tag 5A: packed digits, and one F where their number is odd.
    pub(super) fn read(packed: &[u8]) -> Option<Self> {
        let (digits, filling) = unpack(packed)?;
        (filling <= 1 && (8..=19).contains(&digits.len())).then_some(Self(digits))
    }

    /// The number ends with these characters.
    pub(super) fn ends_with(&self, text: &str) -> bool {
        let digits: Vec<u8> = text.bytes().map(|character| character.wrapping_sub(b'0')).collect();
        self.0.ends_with(&digits)
    }

    /// The number is this one in ASCII digits, as in track 1.
    pub(super) fn is_text(&self, text: &[u8]) -> bool {
        self.0.len() == text.len() && self.0.iter().zip(text).all(|(digit, character)| digit + b'0' == *character)
    }

    /// The number is the one in a certificate's field, which is filled with F to 10 bytes.
    pub(super) fn is_in(&self, field: &[u8]) -> bool {
        unpack(field).is_some_and(|(digits, _)| digits == self.0)
    }

    /// The number starts with the issuer identifier in a certificate's field: 3 to 8 digits, filled
    /// with F to 4 bytes.
    pub(super) fn is_issued_by(&self, field: &[u8]) -> bool {
        unpack(field).is_some_and(|(digits, _)| digits.len() >= 3 && self.0.starts_with(&digits))
    }
}

impl std::fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardNumber(redacted)")
    }
}

/// The parts of tag 57 or 9F6B that matter to other objects (ISO/IEC 7813): number, D, expiry, three digits of
/// service code, discretionary digits; one F where their number is odd.
pub(super) struct Track2 {
    pub(super) number: CardNumber,
    /// YYMM, packed as in 5F24.
    pub(super) expiry: [u8; 2],
    /// How many discretionary digits there are.
    pub(super) discretionary: usize,
}

impl Track2 {
    /// Reads at most 19 bytes.
    pub(super) fn read(packed: &[u8]) -> Option<Self> {
        let nibbles = Zeroizing::new(nibbles(packed).collect::<Vec<_>>());
        let digits = nibbles.strip_suffix(&[0xF]).unwrap_or(&nibbles);
        let separator = digits.iter().position(|nibble| *nibble == 0xD)?;
        let (number, rest) = digits.split_at_checked(separator)?;
        let [_, y1, y2, m1, m2, _, _, _, ref discretionary @ ..] = *rest else { return None };
        let decimal = |nibbles: &[u8]| nibbles.iter().all(|nibble| *nibble <= 9);
        let good = packed.len() <= 19
            && (8..=19).contains(&number.len())
            && decimal(number)
            && rest.get(1..).is_some_and(decimal);
        good.then(|| Self {
            number: CardNumber(Zeroizing::new(number.to_vec())),
            expiry: [y1 << 4 | y2, m1 << 4 | m2],
            discretionary: discretionary.len(),
        })
    }
}

/// Digits, and how many nibbles F fill the rest (format cn); `None` if anything else is there.
fn unpack(bytes: &[u8]) -> Option<(Zeroizing<Vec<u8>>, usize)> {
    let digits = Zeroizing::new(nibbles(bytes).take_while(|nibble| *nibble <= 9).collect::<Vec<_>>());
    let filling = nibbles(bytes).skip(digits.len());
    let count = filling.clone().count();
    filling.into_iter().all(|nibble| nibble == 0xF).then_some((digits, count))
}

fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0F])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::test_card::hex;

    #[test]
    fn a_number_has_8_to_19_digits_and_the_least_filling() {
        for good in ["12345678", "123456789F", "1234567890123456789F"] {
            assert!(CardNumber::read(&hex(good)).is_some(), "{good}");
        }
        for bad in ["", "1234567F", "123456FF78", "12345678FF", "1234567A", "12345678901234567890", "F2345678"] {
            assert!(CardNumber::read(&hex(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_number_is_compared_digit_by_digit() {
        let number = CardNumber::read(&hex("5413330089600010")).unwrap();
        assert!(number.ends_with("0010") && !number.ends_with("0011") && !number.ends_with("001:"));
        assert!(number.is_in(&hex("5413330089600010FFFF")));
        assert!(!number.is_in(&hex("54133300896000100FFF")) && !number.is_in(&hex("541333008960001FFFFF")));
        assert!(number.is_issued_by(&hex("541FFFFF")) && number.is_issued_by(&hex("54133300")));
        for stranger in ["54FFFFFF", "FFFFFFFF", "541334FF", "5413F3FF"] {
            assert!(!number.is_issued_by(&hex(stranger)), "{stranger}");
        }
        assert_eq!(format!("{number:?}"), "CardNumber(redacted)");
    }

    #[test]
    fn a_track_is_number_expiry_service_code_and_digits() {
        let track = Track2::read(&hex("5413330089600010D30122010000000F")).unwrap();
        assert!(track.number.ends_with("0010"));
        assert_eq!((track.expiry, track.discretionary), ([0x30, 0x12], 7));
        for bad in [
            "5413330089600010",
            "5413330089600010D30122",
            "5413330089600010D301220100000A0F",
            "5413330089600010D3012201000000FF",
            "5413330089600010D3012201D000000F",
            "541333008960001000000D3012201000000000000F",
        ] {
            assert!(Track2::read(&hex(bad)).is_none(), "{bad}");
        }
    }
}
