//! Rates of exchange (fact sheet, section 12; docs: sdk_mpp/ios_appendix).
//!
//! A pair `X/Y` at the price p says that one X costs p Y. Either order occurs, so the direction follows
//! from the pair and the amounts. Amounts are converted in major units, exactly, and rounded once.
//! Rounding to even is our choice: no sample tells it from rounding up.

use std::fmt;
use std::str::FromStr;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;

use crate::wire::object::{object, parts};
use crate::wire::{DateTime, Part, Rule};
use crate::{Amount, Currency, FieldError};

object! {
    /// A rate between two currencies. That pair and price must be there is our reading: without them it
    /// says nothing.
    ///
    /// ```
    /// use alipayplus::model::quote::{Quote, Rounding};
    /// use alipayplus::{Amount, Currency};
    ///
    /// let quote = Quote {
    ///     quote_currency_pair: "JPY/KRW".parse().unwrap(),
    ///     quote_price: "10.0000".parse().unwrap(),
    ///     ..Quote::default()
    /// };
    /// let [yen, won] = ["JPY", "KRW"].map(|code| Currency::from_code(code).unwrap());
    /// let paid = quote.convert(Amount::new(yen, 100), won, Rounding::HalfEven).unwrap();
    /// assert_eq!(paid, Amount::new(won, 1000));
    /// ```
    pub struct Quote => {
        /// Its id, at most 64 characters.
        pub quote_id: Option<String> = "quoteId", Rule::ID;
        /// Between which currencies: `JPY/KRW`, or `392/410` by their numeric codes.
        pub quote_currency_pair: CurrencyPair = "quoteCurrencyPair";
        /// How many of the second one of the first costs.
        pub quote_price: QuotePrice = "quotePrice";
        /// From when.
        pub quote_start_time: Option<DateTime> = "quoteStartTime";
        /// Until when.
        pub quote_expiry_time: Option<DateTime> = "quoteExpiryTime";
        /// The currency in which the price is given.
        pub base_currency: Option<String> = "baseCurrency";
        /// For how many units.
        pub quote_unit: Option<String> = "quoteUnit";
    }
}

parts!(Quote);

/// What happens to what is less than the smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest; a half to the even neighbour (banker's rounding).
    #[default]
    HalfEven,
    /// To the nearest; a half up.
    HalfUp,
}

/// Why an amount cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The pair is not made of the two currencies.
    #[error("the quote is not between the currencies of the amounts")]
    OtherCurrencies,
    /// The result, or a step on the way to it, is too large to count.
    #[error("the amount is too large to convert")]
    TooLarge,
}

impl Quote {
    /// `amount` in the currency `into`.
    ///
    /// # Errors
    /// [`ConversionError::OtherCurrencies`] if the pair is not made of the two,
    /// [`ConversionError::TooLarge`] beyond [`Amount::MAX`].
    pub fn convert(&self, amount: Amount, into: Currency, rounding: Rounding) -> Result<Amount, ConversionError> {
        let QuotePrice { digits, scale } = self.quote_price;
        let CurrencyPair { base, quoted, .. } = self.quote_currency_pair;
        let (value, digits) = (u128::from(amount.value), u128::from(digits));
        // value * 10^-from * price * 10^into, or divided by the price: one fraction of integers.
        let (top, bottom, up, down) = match (amount.currency, into) {
            pair if pair == (base, quoted) => (value.checked_mul(digits), 1, 0, scale),
            pair if pair == (quoted, base) => (Some(value), digits, scale, 0),
            _ => return Err(ConversionError::OtherCurrencies),
        };
        let (up, down) = (up + into.exponent(), down + amount.currency.exponent());
        let common = up.min(down);
        let top = top.and_then(|top| top.checked_mul(10_u128.checked_pow(up - common)?));
        let bottom = 10_u128.checked_pow(down - common).and_then(|power| power.checked_mul(bottom));
        let (Some(top), Some(bottom)) = (top, bottom) else { return Err(ConversionError::TooLarge) };
        Ok(Amount::new(into, in_steps(top, bottom, step(into), rounding).ok_or(ConversionError::TooLarge)?))
    }

    /// How far `to` is from `from` converted, in the smallest units of `to`. Amounts that A+ sends are
    /// trusted; more than 1 is worth a warning (our choice).
    ///
    /// # Errors
    /// As [`Self::convert`].
    pub fn deviation(&self, from: Amount, to: Amount, rounding: Rounding) -> Result<u64, ConversionError> {
        Ok(self.convert(from, to.currency, rounding)?.value.abs_diff(to.value))
    }
}

/// The smallest amount that is in use, in the smallest units of ISO 4217: 100 for rupiah (IDR), whose last
/// two digits stay `00`; 1 for every other currency.
#[must_use]
pub fn step(currency: Currency) -> u64 {
    match currency.code() {
        "IDR" => 100,
        _ => 1,
    }
}

/// `amount` to the nearest [`step`] of its currency; `None` beyond [`Amount::MAX`].
#[must_use]
pub fn round_to_step(amount: Amount, rounding: Rounding) -> Option<Amount> {
    let value = in_steps(amount.value.into(), 1, step(amount.currency), rounding)?;
    Some(Amount::new(amount.currency, value))
}

/// `top / bottom` to the nearest multiple of `step`.
fn in_steps(top: u128, bottom: u128, step: u64, rounding: Rounding) -> Option<u64> {
    let whole = nearest(top, bottom.checked_mul(step.into())?, rounding)?;
    let value = whole.checked_mul(step.into())?;
    u64::try_from(value).ok().filter(|value| *value <= Amount::MAX)
}

/// `top / bottom` to the nearest whole number; `None` if `bottom` is 0.
#[must_use]
pub fn nearest(top: u128, bottom: u128, rounding: Rounding) -> Option<u128> {
    let (whole, rest) = (top.checked_div(bottom)?, top.checked_rem(bottom)?);
    let up = match (rest.cmp(&(bottom - rest)), rounding) {
        (std::cmp::Ordering::Less, _) => 0,
        (std::cmp::Ordering::Equal, Rounding::HalfEven) => whole % 2,
        _ => 1,
    };
    whole.checked_add(up)
}

/// Two currencies, `X/Y`: how many Y one X costs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CurrencyPair {
    /// What is priced: X.
    pub base: Currency,
    /// In what: Y.
    pub quoted: Currency,
    /// Written with numeric codes.
    pub numeric: bool,
}

const PAIR: &str = "two currencies of ISO 4217 joined by a slash";

impl FromStr for CurrencyPair {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let pair = text.split_once('/').and_then(|(base, quoted)| {
            let (base, base_numeric) = currency(base)?;
            let (quoted, quoted_numeric) = currency(quoted)?;
            Some(Self { base, quoted, numeric: base_numeric && quoted_numeric })
        });
        pair.ok_or_else(|| FieldError::malformed("", PAIR))
    }
}

/// By its letters, or by three digits; and whether by digits.
fn currency(code: &str) -> Option<(Currency, bool)> {
    match code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Currency::from_numeric(code.parse().ok()?).map(|currency| (currency, true)),
        false => Currency::from_code(code).map(|currency| (currency, false)),
    }
}

impl fmt::Display for CurrencyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.numeric {
            true => write!(f, "{:03}/{:03}", self.base.numeric(), self.quoted.numeric()),
            false => write!(f, "{}/{}", self.base, self.quoted),
        }
    }
}

impl fmt::Debug for CurrencyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Part for CurrencyPair {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::read(deserializer)?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &PAIR))
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "pattern": "^([A-Z]{3}|[0-9]{3})/([A-Z]{3}|[0-9]{3})$"})
    }

    #[cfg(test)]
    fn any(rule: Rule) -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (Currency::any(rule), Currency::any(rule), any::<bool>())
            .prop_map(|(base, quoted, numeric)| Self { base, quoted, numeric })
            .boxed()
    }
}

/// An exact decimal above 0, of at most 18 digits: `10.0000`, `0.88156063`. Zeros at the end are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuotePrice {
    digits: u64,
    scale: u32,
}

const PRICE: &str = "a price above 0 of at most 18 digits";

impl FromStr for QuotePrice {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let well_formed = is_number(whole) && (is_number(part) || whole.len() == text.len());
        let digits = [whole, part].concat();
        match (well_formed && digits.len() <= 18).then(|| digits.parse::<u64>()) {
            Some(Ok(digits @ 1..)) => Ok(Self { digits, scale: u32::try_from(part.len()).unwrap_or(0) }),
            _ => Err(FieldError::malformed("", PRICE)),
        }
    }
}

impl fmt::Display for QuotePrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.scale);
        let (whole, part) = (self.digits / unit, self.digits % unit);
        match self.scale {
            0 => write!(f, "{whole}"),
            scale => write!(f, "{whole}.{part:0width$}", width = scale as usize),
        }
    }
}

impl fmt::Debug for QuotePrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One for one.
impl Default for QuotePrice {
    fn default() -> Self {
        Self { digits: 1, scale: 0 }
    }
}

impl Part for QuotePrice {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Price)
    }

    fn check(&self, _: Rule) -> Result<(), FieldError> {
        Ok(())
    }

    fn schema(_: &mut SchemaGenerator, _: Rule) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$", "maxLength": 19})
    }

    #[cfg(test)]
    fn any(_: Rule) -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        (1..10_u64.pow(17), 0..=17_u32).prop_map(|(digits, scale)| Self { digits, scale }).boxed()
    }
}

struct Price;

impl Visitor<'_> for Price {
    type Value = QuotePrice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PRICE)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<QuotePrice, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<QuotePrice, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<QuotePrice, E> {
        self.visit_str(&value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quote(pair: &str, price: &str) -> Quote {
        Quote { quote_currency_pair: pair.parse().unwrap(), quote_price: price.parse().unwrap(), ..Quote::default() }
    }

    fn amount(value: u64, code: &str) -> Amount {
        Amount::new(Currency::from_code(code).unwrap(), value)
    }

    fn converted(quote: &Quote, from: Amount, into: &str) -> Amount {
        quote.convert(from, Currency::from_code(into).unwrap(), Rounding::HalfEven).unwrap()
    }

    #[test]
    fn every_published_sample_converts() {
        assert_eq!(converted(&quote("JPY/KRW", "10.0000"), amount(100, "JPY"), "KRW"), amount(1000, "KRW"));
        assert_eq!(converted(&quote("446/156", "0.88156063"), amount(100, "MOP"), "CNY"), amount(88, "CNY"));
        assert_eq!(converted(&quote("344/446", "1.02487562"), amount(100, "MOP"), "HKD"), amount(98, "HKD"));
    }

    #[test]
    fn currencies_with_other_digits_convert_in_major_units() {
        let quote_yen = quote("USD/JPY", "150.25");
        assert_eq!(converted(&quote_yen, amount(10_00, "USD"), "JPY"), amount(1502, "JPY"));
        assert_eq!(converted(&quote_yen, amount(1502, "JPY"), "USD"), amount(10_00, "USD"));
        assert_eq!(converted(&quote("KWD/USD", "3.25"), amount(1_000, "KWD"), "USD"), amount(3_25, "USD"));
    }

    #[test]
    fn a_half_goes_to_the_even_neighbour_unless_it_is_told_to_go_up() {
        let half = quote("EUR/USD", "0.5");
        assert_eq!(converted(&half, amount(1, "EUR"), "USD"), amount(0, "USD"));
        assert_eq!(converted(&half, amount(3, "EUR"), "USD"), amount(2, "USD"));
        assert_eq!(converted(&half, amount(5, "EUR"), "USD"), amount(2, "USD"));
        let up = half.convert(amount(5, "EUR"), Currency::from_code("USD").unwrap(), Rounding::HalfUp);
        assert_eq!(up, Ok(amount(3, "USD")));
    }

    #[test]
    fn the_last_two_digits_of_rupiah_stay_zero() {
        assert_eq!(converted(&quote("USD/IDR", "16250.505"), amount(1_00, "USD"), "IDR"), amount(1_625_100, "IDR"));
        let rounded = |value| round_to_step(amount(value, "IDR"), Rounding::HalfEven);
        assert_eq!(rounded(150), Some(amount(200, "IDR")));
        assert_eq!(rounded(250), Some(amount(200, "IDR")));
        assert_eq!(rounded(251), Some(amount(300, "IDR")));
        assert_eq!(round_to_step(amount(151, "USD"), Rounding::HalfEven), Some(amount(151, "USD")));
    }

    #[test]
    fn a_quote_between_other_currencies_is_refused() {
        let error = quote("JPY/KRW", "10").deviation(amount(1, "JPY"), amount(1, "USD"), Rounding::HalfEven);
        assert_eq!(error, Err(ConversionError::OtherCurrencies));
        let deviation = quote("JPY/KRW", "10").deviation(amount(100, "JPY"), amount(997, "KRW"), Rounding::HalfEven);
        assert_eq!(deviation, Ok(3));
    }

    #[test]
    fn what_cannot_be_counted_is_an_error() {
        let quote = quote("JPY/KRW", "999999999999999999");
        let won = Currency::from_code("KRW").unwrap();
        let error = quote.convert(amount(Amount::MAX, "JPY"), won, Rounding::HalfEven);
        assert_eq!(error, Err(ConversionError::TooLarge));
    }

    #[test]
    fn only_exact_prices_above_zero_are_prices() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "0", "0.000", "1e3", "1,5", "NaN", "1234567890123456789"] {
            assert!(text.parse::<QuotePrice>().is_err(), "{text}");
        }
        for text in ["1", "10.0000", "0.88156063", "123456789.123456789"] {
            assert_eq!(text.parse::<QuotePrice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pair_is_written_as_it_came() {
        for text in ["JPY/KRW", "446/156", "344/008"] {
            assert_eq!(text.parse::<CurrencyPair>().unwrap().to_string(), text);
        }
        for text in ["JPYKRW", "JPY/", "jpy/krw", "46/156", "JPY/KRW/USD", "000/001"] {
            assert!(text.parse::<CurrencyPair>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_quote_panics(quote in Quote::any(Rule::ANY), value: u64, code in Currency::any(Rule::ANY)) {
            let pair = quote.quote_currency_pair;
            for (from, into) in [(pair.base, pair.quoted), (pair.quoted, pair.base), (code, pair.base)] {
                let _ = quote.convert(Amount::new(from, value), into, Rounding::HalfEven);
            }
        }

        #[test]
        fn there_and_back_stays_within_what_was_rounded(value in 1_u64..1_000_000_000_000, price in 1_000_000_u64..9_999_999) {
            // At a price of 1 to 10 nothing is lost but the last rounding.
            let quote = quote("EUR/USD", &format!("{}.{:06}", price / 1_000_000, price % 1_000_000));
            let there = converted(&quote, amount(value, "EUR"), "USD");
            prop_assert!(converted(&quote, there, "EUR").value.abs_diff(value) <= 1);
        }
    }
}
