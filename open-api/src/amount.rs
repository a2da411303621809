//! Money on the wire: a currency and a number of its smallest unit.

use serde::{Deserialize, Serialize};

use crate::FieldError;

/// An ISO 4217 currency by its three letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The currency with this alphabetic code, in capitals; `None` if ISO 4217 has none.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).map(Self)
    }

    /// The currency with this numeric code.
    #[must_use]
    pub fn from_numeric(code: u16) -> Option<Self> {
        iso_currency::Currency::from_numeric(code).map(Self)
    }

    /// Three letters, for example `EUR`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// ISO 4217 numeric, for example 978.
    #[must_use]
    pub fn numeric(self) -> u16 {
        self.0.numeric()
    }

    /// Digits after the point: 2 for EUR, 0 for JPY, 3 for BHD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::from_code(&code).ok_or("not a currency of ISO 4217")
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// An amount in the smallest unit of its currency: 1.00 USD is 100, 1 JPY is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    /// What is counted.
    pub currency: Currency,
    /// How much: 1 to [`Amount::MAX`], and 0 where a page allows it.
    pub value: u64,
}

impl Amount {
    /// The largest value that travels and is stored: that of a signed 64-bit integer.
    pub const MAX: u64 = i64::MAX.unsigned_abs();

    /// `value` of `currency`.
    #[must_use]
    pub fn new(currency: Currency, value: u64) -> Self {
        Self { currency, value }
    }

    /// That it is an amount that can be paid.
    ///
    /// # Errors
    /// [`FieldError`] for 0 and for more than [`Self::MAX`].
    pub fn check_positive(&self, path: &str) -> Result<(), FieldError> {
        match self.value {
            1..=Self::MAX => Ok(()),
            _ => Err(FieldError::malformed(path, "an amount of 1 to 9223372036854775807 of the smallest unit")),
        }
    }
}

impl std::fmt::Display for Amount {
    /// For people: `12.50 EUR`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.currency.exponent();
        let unit = 10_u64.pow(digits);
        let (whole, rest) = (self.value / unit, self.value % unit);
        match digits {
            0 => write!(f, "{whole} {}", self.currency),
            digits => write!(f, "{whole}.{rest:0width$} {}", self.currency, width = digits as usize),
        }
    }
}
