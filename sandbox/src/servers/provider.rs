//! The payment provider's server as a sandbox runs it, and the rates between merchants and its users.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use alipayplus::Currency;
use alipayplus::model::Quote;
use alipayplus::model::quote::CurrencyPair;
use mpp_server::config::{Accounts, Config, Identity, Listen, Secret, Sessions, SignUp, Store};

use super::Ports;
use crate::gateway::Rates;
use crate::gateway::http::{KEY_VERSION, KeysError, MPP_CLIENT_ID, Party};

/// What everybody has who logs in for the first time: 100,000,000.00, more than tests spend.
const OPENING_BALANCE: u64 = 10_000_000_000;
/// A login outlives every journey through time that a test makes.
const LOGIN_HOURS: u32 = 8_784;
/// The currency of all accounts.
const ACCOUNT_CURRENCY: &str = "EUR";

/// Euros for one unit of each currency: test rates, near what they were in 2025.
const EURO_RATES: [(&str, &str); 16] = [
    ("AUD", "0.56"),
    ("CAD", "0.62"),
    ("CHF", "1.065"),
    ("CNY", "0.121"),
    ("GBP", "1.15"),
    ("HKD", "0.11"),
    ("JPY", "0.0058"),
    ("KRW", "0.00061"),
    ("KWD", "2.81"),
    ("MOP", "0.107"),
    ("MYR", "0.202"),
    ("PHP", "0.015"),
    ("SEK", "0.09"),
    ("SGD", "0.668"),
    ("THB", "0.0264"),
    ("USD", "0.86"),
];

/// An open sign-up with money on every account. A sandbox sets addresses, keys, database and gateway.
pub(super) fn open_to_everybody() -> Config {
    Config {
        accounts: Accounts {
            sign_up: SignUp::Open,
            currency: ACCOUNT_CURRENCY.to_owned(),
            opening_balance: OPENING_BALANCE,
        },
        sessions: Sessions { lifetime_hours: LOGIN_HOURS },
        ..Config::default()
    }
}

/// From the currencies above into that of the accounts. Whoever pays in another hears
/// `CURRENCY_NOT_SUPPORT`.
pub(super) fn test_rates() -> Rates {
    let euro = Currency::from_code(ACCOUNT_CURRENCY);
    let quote = |(code, price): (&str, &str)| {
        let quote_currency_pair = CurrencyPair { base: Currency::from_code(code)?, quoted: euro?, numeric: false };
        let (quote_id, quote_price) = (Some(format!("SANDBOX-{code}")), price.parse().ok()?);
        Some(Quote { quote_id, quote_currency_pair, quote_price, ..Quote::default() })
    };
    Rates::new(EURO_RATES.into_iter().filter_map(quote).collect())
}

/// What only the sandbox knows.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) ports: Ports,
    pub(super) data: Option<&'a Path>,
    pub(super) gateway: SocketAddr,
    /// How long it waits for the gateway.
    pub(super) timeout: Duration,
    /// How long the gateway waits.
    pub(super) expiry: Duration,
    /// How long a stop waits.
    pub(super) patience: Duration,
}

/// `config` in its place.
pub(super) fn configured(config: &Config, place: &Place<'_>) -> Result<Config, KeysError> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = Listen {
        app: local(0),
        partner: local(place.ports.partner),
        ops: local(place.ports.ops),
        stop_ms: milliseconds(place.patience),
    };
    let url = match place.data {
        Some(folder) => format!("sqlite:{}", folder.join("mpp.db").display()),
        None => "sqlite::memory:".to_owned(),
    };
    let identity = Identity {
        client_id: MPP_CLIENT_ID.to_owned(),
        signing_key: Some(Secret::new(Party::Mpp.private_pem())),
        signing_key_file: None,
        key_version: KEY_VERSION,
    };
    let timeout_ms = milliseconds(place.timeout);
    let gateway = mpp_server::config::Gateway {
        url: format!("http://{}", place.gateway),
        keys: [(KEY_VERSION.to_string(), Party::Gateway.public_base64()?)].into(),
        timeout_ms,
        // The gateway of a test may be the more patient of the two.
        expiry_ms: milliseconds(place.expiry).min(timeout_ms.saturating_sub(1)),
        ..config.gateway.clone()
    };
    let store = Store { url: Secret::new(&url), ..config.store.clone() };
    Ok(Config { listen, store, identity, gateway, ..config.clone() })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_rate_has_a_currency() {
        for (code, _) in EURO_RATES {
            let currency = Currency::from_code(code).unwrap();
            assert!(test_rates().quote(currency).is_some(), "{code}");
        }
    }
}
