//! Rates between the merchant's currency and the user's (`alipayplus::model::quote`), and how a payment at
//! a rate is given back in parts.

use alipayplus::model::Quote;
use alipayplus::model::quote::{Rounding, step};
use alipayplus::{Amount, Currency};

use super::{GatewayError, Payment};

/// Banker's rounding (our choice, as the Open API's).
const ROUNDING: Rounding = Rounding::HalfEven;

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

    /// One quote a merchant's currency, which its pair names first; of two, the first counts.
    #[must_use]
    pub fn new(quotes: Vec<Quote>) -> Self {
        Self { quotes }
    }

    /// The quote for payments in `currency`; `None` if the user pays in the same.
    #[must_use]
    pub fn quote(&self, currency: Currency) -> Option<&Quote> {
        self.quotes.iter().find(|quote| {
            let pair = quote.quote_currency_pair;
            pair.base == currency && pair.quoted != currency
        })
    }
}

/// `amount` as the user pays it: by `quote`, else the same. At least the smallest amount that is in use, for
/// less cannot be paid.
pub(super) fn pay_to(amount: Amount, quote: Option<&Quote>) -> Result<Amount, GatewayError> {
    let Some(quote) = quote else { return Ok(amount) };
    let target = quote.quote_currency_pair.quoted;
    let converted = quote.convert(amount, target, ROUNDING)?;
    Ok(Amount::new(target, converted.value.max(step(target))))
}

/// What the user gets for the refund that brings the sum of refunds to `payment.standing.refunded`. All
/// refunds together are exactly what was paid, however many they are, because each is the rest of a rounded
/// sum. Each is at least the smallest amount in use while there is one left.
pub(super) fn part_of(payment: &Payment) -> Result<Amount, GatewayError> {
    let paid = payment.pay_to;
    let sum = match (&payment.quote, payment.standing.refunded) {
        (None, refunded) => refunded,
        (Some(quote), refunded) => {
            quote.convert(Amount::new(payment.currency, refunded), paid.currency, ROUNDING)?.value
        }
    };
    let part = sum.saturating_sub(payment.refunded_to).max(step(paid.currency));
    Ok(Amount::new(paid.currency, part.min(paid.value.saturating_sub(payment.refunded_to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_little_to_pay_becomes_the_smallest_amount() {
        let currency = |code| Currency::from_code(code).unwrap();
        let quote = |pair: &str, price: &str| Quote {
            quote_currency_pair: pair.parse().unwrap(),
            quote_price: price.parse().unwrap(),
            ..Quote::default()
        };
        let rates = Rates::new(vec![quote("JPY/EUR", "0.002"), quote("KRW/IDR", "0.001")]);
        let paid = |code, minor| pay_to(Amount::new(currency(code), minor), rates.quote(currency(code))).unwrap();

        assert_eq!(paid("JPY", 1000), Amount::new(currency("EUR"), 200));
        assert_eq!(paid("JPY", 1), Amount::new(currency("EUR"), 1));
        assert_eq!(paid("KRW", 1), Amount::new(currency("IDR"), 100));
        assert_eq!(paid("USD", 7), Amount::new(currency("USD"), 7));
    }
}
