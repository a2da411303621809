//! Rates between the merchant's currency and the user's (`open-api` facts: a quote `X/Y` at price p says
//! that 1 X is p Y, in major units).

use alipayplus::{Amount, Currency};
use serde::{Deserialize, Serialize};

use super::{GatewayError, Payment};

/// Units of a price: six digits after the point.
const PRICE_UNIT: u128 = 1_000_000;

/// A rate that holds from a payment to its last refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Its name.
    pub id: String,
    /// The merchant's currency.
    #[serde(with = "code")]
    pub base: Currency,
    /// The user's currency.
    #[serde(with = "code")]
    pub target: Currency,
    /// Millionths of one major unit of `target` for one major unit of `base`.
    pub price_millionths: u64,
}

/// Currencies in the books: by their letters.
mod code {
    use alipayplus::Currency;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(currency.code())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let code = String::deserialize(deserializer)?;
        Currency::from_code(&code).ok_or_else(|| de::Error::custom("not a currency of ISO 4217"))
    }
}

impl Quote {
    /// The price as it is on the wire: `0.881560`.
    #[must_use]
    pub fn price(&self) -> String {
        let (whole, rest) = (self.price_millionths / 1_000_000, self.price_millionths % 1_000_000);
        format!("{whole}.{rest:06}")
    }

    /// `minor` units of the base in minor units of the target, rounded half to even.
    ///
    /// # Errors
    /// [`GatewayError::Conversion`] if the result is more than an amount can be.
    pub fn convert(&self, minor: u64) -> Result<u64, GatewayError> {
        let up = 10_u128.checked_pow(self.target.exponent()).ok_or(GatewayError::Conversion)?;
        let down = 10_u128.checked_pow(self.base.exponent()).and_then(|down| down.checked_mul(PRICE_UNIT));
        let down = down.ok_or(GatewayError::Conversion)?;
        let product = u128::from(minor).checked_mul(u128::from(self.price_millionths)).and_then(|p| p.checked_mul(up));
        let product = product.ok_or(GatewayError::Conversion)?;
        let (whole, rest) = (product / down, product % down);
        let odd = whole % 2;
        let rounded = if rest * 2 + odd > down { whole + 1 } else { whole };
        u64::try_from(rounded).ok().filter(|value| *value <= Amount::MAX).ok_or(GatewayError::Conversion)
    }
}

/// The rates that the gateway knows. All users of a payment provider pay in its one currency.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    quotes: Vec<Quote>,
}

impl Rates {
    /// No rates: everybody pays in the merchant's currency.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One quote a merchant's currency; of two, the first counts.
    #[must_use]
    pub fn new(quotes: Vec<Quote>) -> Self {
        Self { quotes }
    }

    /// The quote for payments in `currency`; `None` if the user pays in the same.
    #[must_use]
    pub fn quote(&self, currency: Currency) -> Option<&Quote> {
        self.quotes.iter().find(|quote| quote.base == currency && quote.target != currency)
    }
}

/// `amount` as the user pays it: by `quote`, else the same. At least one smallest unit, for less cannot be
/// paid.
pub(super) fn pay_to(amount: Amount, quote: Option<&Quote>) -> Result<Amount, GatewayError> {
    match quote {
        None => Ok(amount),
        Some(quote) => Ok(Amount::new(quote.target, quote.convert(amount.value)?.max(1))),
    }
}

/// What the user gets for the refund that brings the sum of refunds to `payment.standing.refunded`. All
/// refunds together are exactly what was paid, however many they are, because each is the rest of a rounded
/// sum. Each is at least one smallest unit while there is one left.
pub(super) fn part_of(payment: &Payment) -> Result<Amount, GatewayError> {
    let paid = payment.pay_to;
    let sum = match (&payment.quote, payment.standing.refunded) {
        (_, refunded) if refunded >= payment.standing.amount => paid.value,
        (None, refunded) => refunded,
        (Some(quote), refunded) => quote.convert(refunded)?,
    };
    let part = sum.saturating_sub(payment.refunded_to).max(1);
    Ok(Amount::new(paid.currency, part.min(paid.value.saturating_sub(payment.refunded_to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    fn quote(base: &str, target: &str, price_millionths: u64) -> Quote {
        Quote { id: "Q1".to_owned(), base: currency(base), target: currency(target), price_millionths }
    }

    #[test]
    fn a_price_counts_major_units() {
        assert_eq!(quote("JPY", "KRW", 10_000_000).convert(100).unwrap(), 1000);
        assert_eq!(quote("JPY", "EUR", 6_000).convert(1000).unwrap(), 600);
        assert_eq!(quote("BHD", "JPY", 400_000_000).convert(1500).unwrap(), 600);
        assert_eq!(quote("MOP", "CNY", 881_561).price(), "0.881561");
    }

    #[test]
    fn a_half_goes_to_the_even_neighbour() {
        let half = quote("EUR", "USD", 500_000);
        let converted: Vec<u64> = [1, 3, 5, 7].into_iter().map(|minor| half.convert(minor).unwrap()).collect();
        assert_eq!(converted, [0, 2, 2, 4]);
    }

    #[test]
    fn too_much_is_refused() {
        assert!(quote("JPY", "KRW", u64::MAX).convert(u64::MAX).is_err());
    }
}
