//! Rates: whether two amounts agree with a quote, and which part of what was paid a refund is.
//!
//! The arithmetic is that of the Open API's quotes: whole numbers, rounded half to even (open-api facts,
//! section 12: our choice).

use alipayplus::model::quote::{self, ConversionError, Rounding, nearest, step};
use alipayplus::{Amount, FieldError, ResultCode};

use super::command::Quote;

/// Whether `amount` at `quote` is `charged`, give or take one smallest unit. The amounts are what counts;
/// a difference is worth a warning, for the other side rounds as it likes.
///
/// # Errors
/// `PARAM_ILLEGAL` if the pair does not consist of the two currencies, or the price is no number above 0.
pub(super) fn agrees(quote: &Quote, amount: Amount, charged: Amount) -> Result<bool, ResultCode> {
    let illegal = |_: FieldError| ResultCode::ParamIllegal;
    let rate = quote::Quote {
        quote_currency_pair: quote.pair.parse().map_err(illegal)?,
        quote_price: quote.price.parse().map_err(illegal)?,
        ..quote::Quote::default()
    };
    match rate.deviation(amount, charged, Rounding::HalfEven) {
        Ok(difference) => Ok(difference <= step(charged.currency)),
        Err(ConversionError::TooLarge) => Ok(false),
        Err(ConversionError::OtherCurrencies) => Err(ResultCode::ParamIllegal),
    }
}

/// What `part` of `whole` is of `charged`.
pub(super) fn share(charged: Amount, part: u64, whole: u64) -> u64 {
    at_rate(charged, part, whole).unwrap_or(charged.value).min(charged.value)
}

/// What `amount`, which may be more than `whole`, is where `whole` is `charged`. `None` if it is too much.
pub(super) fn at_rate(charged: Amount, amount: u64, whole: u64) -> Option<u64> {
    let step = u128::from(step(charged.currency));
    // At most 126 bits: amounts have 63.
    let paid = u128::from(charged.value) * u128::from(amount);
    let steps = nearest(paid, u128::from(whole).max(1) * step, Rounding::HalfEven)?;
    u64::try_from(steps * step).ok()
}

#[cfg(test)]
mod tests {
    use alipayplus::Currency;

    use super::*;

    fn amount(value: u64, currency: &str) -> Amount {
        Amount::new(Currency::from_code(currency).unwrap(), value)
    }

    fn quote(pair: &str, price: &str) -> Quote {
        Quote { id: None, pair: pair.to_owned(), price: price.to_owned() }
    }

    #[test]
    fn published_samples_agree_in_either_direction() {
        assert_eq!(agrees(&quote("JPY/KRW", "10.0000"), amount(100, "JPY"), amount(1000, "KRW")), Ok(true));
        assert_eq!(agrees(&quote("446/156", "0.88156063"), amount(10_000, "MOP"), amount(8816, "CNY")), Ok(true));
        assert_eq!(agrees(&quote("344/446", "1.02487562"), amount(10_000, "MOP"), amount(9757, "HKD")), Ok(true));
        assert_eq!(agrees(&quote("JPY/KRW", "10.0000"), amount(100, "JPY"), amount(1002, "KRW")), Ok(false));
    }

    #[test]
    fn units_of_different_size_are_converted_in_major_units() {
        assert_eq!(agrees(&quote("JPY/EUR", "0.0061"), amount(1000, "JPY"), amount(610, "EUR")), Ok(true));
        assert_eq!(agrees(&quote("BHD/JPY", "400"), amount(1000, "BHD"), amount(400, "JPY")), Ok(true));
    }

    #[test]
    fn a_quote_of_other_currencies_or_without_a_price_is_refused() {
        for bad in [quote("USD/KRW", "1"), quote("JPY", "1"), quote("JPY/KRW", "0"), quote("JPY/KRW", "ten")] {
            assert_eq!(agrees(&bad, amount(1, "JPY"), amount(1, "KRW")), Err(ResultCode::ParamIllegal));
        }
    }

    #[test]
    fn the_largest_amounts_do_not_overflow() {
        let most = amount(Amount::MAX, "BHD");
        let price = quote("BHD/JPY", "999999999999999999");
        assert_eq!(agrees(&price, most, amount(1, "JPY")), Ok(false));
        assert_eq!(share(most, Amount::MAX, Amount::MAX), Amount::MAX);
        assert_eq!(share(most, 1, Amount::MAX), 1);
        assert_eq!((at_rate(most, Amount::MAX, 1), at_rate(most, 2, 1)), (None, Some(Amount::MAX * 2)));
    }

    #[test]
    fn halves_are_rounded_to_even() {
        assert_eq!([1, 3, 5].map(|part| share(amount(1, "EUR"), part, 2)), [0, 1, 1]);
        assert_eq!((share(amount(5, "EUR"), 1, 2), share(amount(7, "EUR"), 1, 2)), (2, 4));
        assert_eq!(share(amount(10_000, "IDR"), 1, 3), 3300);
    }
}
