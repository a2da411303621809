//! Rates of exchange (fact sheet, section 12).

use crate::wire::object::{object, parts};
use crate::wire::{DateTime, Rule};

object! {
    /// A rate between two currencies.
    pub struct Quote => {
        /// Its id, at most 64 characters.
        pub quote_id: Option<String> = "quoteId", Rule::ID;
        /// `X/Y`: one X costs `quote_price` Y. Alphabetic or numeric codes, in either order.
        pub quote_currency_pair: String = "quoteCurrencyPair", Rule::max(7);
        /// How many Y one X costs.
        pub quote_price: String = "quotePrice";
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
