//! The token's number: digits, check digit, and the forms in which EMV packs it.

use serde::{Deserialize, Serialize};

/// A card number of 8 to 19 digits whose check digit is right. Test numbers only.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pan(String);

impl Pan {
    /// Reads digits and checks the check digit (ISO/IEC 7812-1, Annex B).
    ///
    /// # Errors
    /// [`PanError`].
    pub fn parse(digits: &str) -> Result<Self, PanError> {
        if !(8..=19).contains(&digits.len()) {
            return Err(PanError::Length { digits: digits.len() });
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PanError::NotDigits);
        }
        match luhn_sum(digits) % 10 {
            0 => Ok(Self(digits.to_owned())),
            _ => Err(PanError::CheckDigit),
        }
    }

    /// Appends the check digit to `digits`.
    ///
    /// # Errors
    /// [`PanError`].
    pub fn complete(digits: &str) -> Result<Self, PanError> {
        let open = luhn_sum(&format!("{digits}0")) % 10;
        Self::parse(&format!("{digits}{}", (10 - open) % 10))
    }

    /// Reads tag 5A: packed digits, filled with F on the right.
    ///
    /// # Errors
    /// [`PanError`].
    pub fn from_packed(bytes: &[u8]) -> Result<Self, PanError> {
        let text = hex::encode(bytes);
        let digits = text.trim_end_matches('f');
        // At most one nibble of filling, or the field was meant to be shorter.
        match text.len() - digits.len() {
            0 | 1 => Self::parse(digits),
            _ => Err(PanError::Length { digits: digits.len() }),
        }
    }

    /// The digits. Named so that each reader can be found by searching for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Digits of published test vectors, whose check digit is wrong on purpose.
    #[cfg(test)]
    pub(crate) fn unchecked(digits: &str) -> Self {
        Self(digits.to_owned())
    }

    /// What an app may show.
    #[must_use]
    pub fn last_four(&self) -> String {
        self.0.chars().skip(self.0.len().saturating_sub(4)).collect()
    }

    /// Tag 5A.
    #[must_use]
    pub fn packed(&self) -> Vec<u8> {
        pack_digits(&self.0)
    }

    /// The PAN field of an ICC certificate: 10 bytes, filled with F (EMV Book 2, table 14).
    #[must_use]
    pub fn certificate_field(&self) -> [u8; 10] {
        let mut field = [0xFF; 10];
        field.iter_mut().zip(self.packed()).for_each(|(to, from)| *to = from);
        field
    }
}

impl std::fmt::Debug for Pan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pan(…{})", self.last_four())
    }
}

impl TryFrom<String> for Pan {
    type Error = PanError;

    fn try_from(digits: String) -> Result<Self, PanError> {
        Self::parse(&digits)
    }
}

impl From<Pan> for String {
    fn from(pan: Pan) -> Self {
        pan.0
    }
}

/// How an issuer numbers its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    /// How many digits a number has: 13 to 19.
    pub digits: u8,
    /// Tag 5F34 of every token: 0 to 99.
    pub sequence: u8,
}

impl Default for Numbering {
    /// What cards in the field have: 16 digits, sequence number 0.
    fn default() -> Self {
        Self { digits: 16, sequence: 0 }
    }
}

impl Numbering {
    /// The number that belongs to `bytes`: `prefix`, a decimal digit for each byte, the check digit.
    pub(super) fn number(self, prefix: &str, bytes: &[u8]) -> Result<Pan, PanError> {
        let own = usize::from(self.digits).saturating_sub(prefix.len() + 1);
        let digits: String = bytes.iter().take(own).map(|byte| char::from(b'0' + byte % 10)).collect();
        Pan::complete(&format!("{prefix}{digits}"))
    }
}

/// Why digits are no card number. Never holds the digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PanError {
    /// Too short or too long.
    #[error("card number has {digits} digits, limit 8 to 19")]
    Length {
        /// How many there are.
        digits: usize,
    },
    /// Something else than a digit.
    #[error("card number holds something else than digits")]
    NotDigits,
    /// The last digit does not check the others.
    #[error("card number has a wrong check digit")]
    CheckDigit,
}

/// Packs decimal or `D` digits two a byte, filled with F on the right.
pub(crate) fn pack_digits(digits: &str) -> Vec<u8> {
    let nibbles: Vec<u8> =
        digits.chars().filter_map(|digit| digit.to_digit(16)).filter_map(|n| n.try_into().ok()).collect();
    nibbles.chunks(2).map(|pair| pair.first().unwrap_or(&0xF) << 4 | pair.get(1).unwrap_or(&0xF)).collect()
}

fn luhn_sum(digits: &str) -> u32 {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    digits
        .bytes()
        .rev()
        .map(|byte| u32::from(byte.wrapping_sub(b'0')) % 10)
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { doubled(digit) } else { digit })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_check_digit_is_refused() {
        assert!(Pan::parse("5413330089604111").is_ok());
        assert_eq!(Pan::parse("5413330089604112"), Err(PanError::CheckDigit));
        assert_eq!(Pan::parse("541333008960411x"), Err(PanError::NotDigits));
        assert_eq!(Pan::parse("5413330"), Err(PanError::Length { digits: 7 }));
        assert_eq!(Pan::complete("541333008960411").unwrap(), Pan::parse("5413330089604111").unwrap());
    }

    #[test]
    fn odd_numbers_are_filled_and_read_back() {
        let pan = Pan::complete("54133300896041112").unwrap();
        let even = Pan::complete("541333008960411123").unwrap();
        for number in [pan, even] {
            assert_eq!(Pan::from_packed(&number.packed()).unwrap(), number);
        }
        assert!(Pan::from_packed(&[0x54, 0x13, 0x33, 0x00, 0x89, 0x60, 0x41, 0x11, 0xFF]).is_err());
        assert_eq!(pack_digits("5413D30"), [0x54, 0x13, 0xD3, 0x0F]);
    }

    #[test]
    fn debug_shows_four_digits() {
        assert_eq!(format!("{:?}", Pan::parse("5413330089604111").unwrap()), "Pan(…4111)");
    }
}
