//! Money as a person writes it, as minor units.

use std::fmt;

use iso_currency::Currency;

/// Tag 9F02 has 12 digits (EMV Book 3, Annex A).
const DIGIT_LIMIT: usize = 12;

/// An amount in a currency of ISO 4217, in whole minor units.
///
/// ```
/// use nfcwallet_sandbox::checkout::Amount;
///
/// # fn main() -> Result<(), nfcwallet_sandbox::checkout::AmountError> {
/// assert_eq!(Amount::parse("amount", "12.50", "EUR")?.minor(), 1_250);
/// assert_eq!(Amount::parse("amount", "1250", "JPY")?.minor(), 1_250);
/// assert_eq!(Amount::parse("amount", "7", "BHD")?.to_string(), "7.000 BHD");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    minor: u64,
    currency: Currency,
    exponent: u16,
}

/// Why a text is no amount. The field is the option or key that held it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The letters are none of ISO 4217.
    #[error("currency: `{code}` is no currency of ISO 4217; write three letters, for example EUR")]
    UnknownCurrency {
        /// As written.
        code: String,
    },
    /// Gold, test codes and the like have no minor unit.
    #[error("currency: {code} has no minor unit, so nothing can be paid in it")]
    NoMinorUnit {
        /// The currency.
        code: &'static str,
    },
    /// Amounts have no sign on a card; a refund is a kind of transaction.
    #[error("{field}: `{text}` is negative, limit 0 and above")]
    Negative {
        /// Which one.
        field: &'static str,
        /// As written.
        text: String,
    },
    /// Digits with at most one point between them.
    #[error("{field}: `{text}` is no amount; write digits and a point, for example 12.50")]
    NotANumber {
        /// Which one.
        field: &'static str,
        /// As written.
        text: String,
    },
    /// More decimals than the currency has.
    #[error("{field}: `{text}` has {decimals} decimals, limit {limit} in {code}")]
    TooManyDecimals {
        /// Which one.
        field: &'static str,
        /// As written.
        text: String,
        /// In the text.
        decimals: usize,
        /// Of the currency.
        limit: u16,
        /// The currency.
        code: &'static str,
    },
    /// More digits than a terminal can send.
    #[error("{field}: `{text}` has more than {limit} digits in minor units")]
    TooLarge {
        /// Which one.
        field: &'static str,
        /// As written.
        text: String,
        /// The most digits.
        limit: usize,
    },
}

impl Amount {
    /// Reads `text` in the currency of three letters, for example `12.50` and `EUR`. `field` is named in
    /// errors.
    ///
    /// # Errors
    /// [`AmountError`].
    pub fn parse(field: &'static str, text: &str, currency: &str) -> Result<Self, AmountError> {
        let (currency, exponent) = known(currency)?;
        let text = text.to_owned();
        if text.starts_with(['-', '−']) {
            return Err(AmountError::Negative { field, text });
        }
        let (whole, decimals) = text.split_once('.').map_or((text.as_str(), None), |(w, d)| (w, Some(d)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !decimals.is_none_or(digits) {
            return Err(AmountError::NotANumber { field, text });
        }
        let decimals = decimals.unwrap_or_default();
        let limit = usize::from(exponent);
        if decimals.len() > limit {
            let (decimals, code) = (decimals.len(), currency.code());
            return Err(AmountError::TooManyDecimals { field, text, decimals, limit: exponent, code });
        }
        let minor = format!("{whole}{decimals:0<limit$}");
        let minor = minor.trim_start_matches('0');
        match minor.len() {
            0 => Ok(Self { minor: 0, currency, exponent }),
            1..=DIGIT_LIMIT => {
                let minor = minor.parse().map_err(|_| AmountError::NotANumber { field, text })?;
                Ok(Self { minor, currency, exponent })
            }
            _ => Err(AmountError::TooLarge { field, text, limit: DIGIT_LIMIT }),
        }
    }

    /// An amount in minor units.
    ///
    /// # Errors
    /// [`AmountError::UnknownCurrency`], [`AmountError::NoMinorUnit`], [`AmountError::TooLarge`].
    pub fn of_minor(minor: u64, currency: &str) -> Result<Self, AmountError> {
        let (currency, exponent) = known(currency)?;
        let text = minor.to_string();
        if text.len() > DIGIT_LIMIT {
            return Err(AmountError::TooLarge { field: "amount", text, limit: DIGIT_LIMIT });
        }
        Ok(Self { minor, currency, exponent })
    }

    /// Minor units, for example cents.
    #[must_use]
    pub fn minor(self) -> u64 {
        self.minor
    }

    /// ISO 4217 numeric, as tag 5F2A wants it.
    #[must_use]
    pub fn currency(self) -> u16 {
        self.currency.numeric()
    }

    /// ISO 4217 letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.currency.code()
    }

    /// The amount with all decimals of its currency and without its name, for example `12.50`.
    #[must_use]
    pub fn decimal(self) -> String {
        let limit = usize::from(self.exponent);
        let text = format!("{:0>width$}", self.minor, width = limit + 1);
        match text.split_at_checked(text.len().saturating_sub(limit)) {
            Some((whole, decimals)) if !decimals.is_empty() => format!("{whole}.{decimals}"),
            _ => text,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.code())
    }
}

fn known(code: &str) -> Result<(Currency, u16), AmountError> {
    let unknown = || AmountError::UnknownCurrency { code: code.to_owned() };
    let currency = Currency::from_code(&code.to_ascii_uppercase()).ok_or_else(unknown)?;
    let exponent = currency.exponent().ok_or(AmountError::NoMinorUnit { code: currency.code() })?;
    Ok((currency, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str, currency: &str) -> Result<u64, AmountError> {
        Amount::parse("amount", text, currency).map(Amount::minor)
    }

    fn refusal(text: &str, currency: &str) -> String {
        minor(text, currency).unwrap_err().to_string()
    }

    #[test]
    fn decimals_follow_the_currency() {
        assert_eq!(minor("12.50", "EUR"), Ok(1_250));
        assert_eq!(minor("12.5", "eur"), Ok(1_250));
        assert_eq!(minor("12", "EUR"), Ok(1_200));
        assert_eq!(minor("1250", "JPY"), Ok(1_250));
        assert_eq!(minor("1.234", "KWD"), Ok(1_234));
        assert_eq!(minor("0", "EUR"), Ok(0));
        assert_eq!(minor("0.00", "EUR"), Ok(0));
        assert_eq!(minor("0009.99", "EUR"), Ok(999));
        assert_eq!(minor("9999999999.99", "EUR"), Ok(999_999_999_999));
    }

    #[test]
    fn what_is_written_back_is_what_was_read() {
        for (text, currency) in [("12.50", "EUR"), ("0.05", "EUR"), ("1250", "JPY"), ("0.007", "BHD"), ("0", "JPY")] {
            assert_eq!(Amount::parse("amount", text, currency).unwrap().decimal(), text);
        }
        assert_eq!(Amount::of_minor(8_000, "EUR").unwrap().to_string(), "80.00 EUR");
        assert_eq!(Amount::of_minor(8_000, "EUR").unwrap().currency(), 978);
    }

    #[test]
    fn refusals_name_the_field_and_the_limit() {
        assert_eq!(refusal("-5", "EUR"), "amount: `-5` is negative, limit 0 and above");
        assert_eq!(refusal("1.234", "EUR"), "amount: `1.234` has 3 decimals, limit 2 in EUR");
        assert_eq!(refusal("1.5", "JPY"), "amount: `1.5` has 1 decimals, limit 0 in JPY");
        assert_eq!(refusal("10000000000", "EUR"), "amount: `10000000000` has more than 12 digits in minor units");
        assert!(refusal("1", "EURO").contains("`EURO` is no currency"));
        assert_eq!(refusal("1", "XAU"), "currency: XAU has no minor unit, so nothing can be paid in it");
        for text in ["", ".", "1.", ".5", "1,50", "+1", "1e3", "1.2.3", "12 50", "٣", "0x10"] {
            let other = minor(text, "EUR");
            assert!(matches!(other, Err(AmountError::NotANumber { .. })), "{text}: {other:?}");
        }
    }
}
