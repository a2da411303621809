//! Money on the wire: a currency and a number of its smallest unit.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::object::object;
use crate::wire::{Part, Rule};
use crate::{FieldError, Message};

/// An ISO 4217 currency by its three letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// `XXX`, which ISO 4217 gives to what is no currency.
impl Default for Currency {
    fn default() -> Self {
        Self(iso_currency::Currency::XXX)
    }
}

impl Part for Currency {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::read(deserializer)?;
        Self::from_code(&code).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&code), &"a currency of ISO 4217"))
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$"})
    }

    #[cfg(test)]
    fn any(_: Rule) -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy as _;
        let codes = ["USD", "EUR", "JPY", "KRW", "IDR", "KWD", "CNY", "ALL"];
        proptest::sample::select(codes.to_vec()).prop_filter_map("a currency", Self::from_code).boxed()
    }
}

object! {
    /// An amount in the smallest unit of its currency: 1.00 USD is 100, 1 JPY is 1.
    ///
    /// The smallest unit is that of ISO 4217. Rupiah (IDR) have two digits there which nobody uses: they
    /// stay `00`.
    pub struct Amount: Copy, Hash => {
        /// What is counted: three letters of ISO 4217.
        pub currency: Currency = "currency";
        /// How much: 1 to 9223372036854775807, and 0 where a page allows it.
        pub value: u64 = "value";
    }
}

impl Part for Amount {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn check(&self, rule: Rule) -> Result<(), FieldError> {
        match rule.positive {
            true => self.check_positive("value"),
            false => Message::check(self),
        }
    }

    fn schema(generator: &mut SchemaGenerator, rule: Rule) -> Schema {
        let mut schema = generator.subschema_for::<Self>();
        if rule.positive {
            schema.insert("properties".to_owned(), serde_json::json!({"value": {"pattern": "[1-9]"}}));
        }
        schema
    }

    #[cfg(test)]
    fn any(_: Rule) -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy as _;
        Self::any_fields().prop_map(|amount| Self::new(amount.currency, amount.value.max(1))).boxed()
    }
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
