//! What a configuration must keep, field by field.

use std::net::SocketAddr;

use alipayplus::{Amount, Currency};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Config, ConfigError, Fields, Log, Paths};
use crate::store::Store;

impl Config {
    /// That the values that are there can work.
    ///
    /// # Errors
    /// [`ConfigError::Field`] for the first that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        within("listen.stop_ms", self.listen.stop_ms, 1, 600_000)?;
        self.check_addresses()?;
        if let Err(error) = Store::check_address(self.store.url.reveal()) {
            return Err(ConfigError::field("store.url", format!("cannot be used: {error}")));
        }
        within("store.connections", self.store.connections as u64, 1, 64)?;
        self.check_gateway()?;
        self.paths.check()?;
        self.fields.check()?;
        // The gateway sends cancellations until 00:30 and refunds for 366 days: less would refuse valid ones.
        within("payments.cancel_minutes", self.payments.cancel_minutes.into(), 30, 1440)?;
        within("payments.refund_days", self.payments.refund_days.into(), 366, 3660)?;
        within("sessions.lifetime_hours", self.sessions.lifetime_hours.into(), 1, 8784)?;
        self.check_notices()?;
        self.check_money()?;
        self.log.filter()?;
        Ok(())
    }

    /// That nothing is missing that a server needs. The keys themselves are read when it starts.
    ///
    /// # Errors
    /// [`ConfigError::Field`] for the first that is missing.
    pub fn check_for_serving(&self) -> Result<(), ConfigError> {
        let missing = |field: &str, what: &str| Err(ConfigError::field(field, format!("is missing: {what}")));
        if self.identity.client_id.is_empty() {
            return missing("identity.client_id", "set the Client-Id that the gateway gave you");
        }
        if self.identity.signing_key_file.is_none() && self.identity.signing_key.is_none() {
            return missing("identity.signing_key_file", "mpp-server keys new makes a key and its file");
        }
        if self.gateway.url.is_empty() {
            return missing("gateway.url", "set the gateway's address, for example https://open-sea.alipayplus.com");
        }
        if self.gateway.key_files.is_empty() && self.gateway.keys.is_empty() {
            return missing(
                "gateway.key_files",
                "set the gateway's public key: [gateway.key_files] 1 = \"gateway.pub\"",
            );
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        let listen = &self.listen;
        let sides = [("listen.app", listen.app), ("listen.partner", listen.partner), ("listen.ops", listen.ops)];
        for (at, (field, address)) in sides.into_iter().enumerate() {
            // Port 0 is any free port, a new one each time. An unspecified address is every address.
            let overlaps = |(_, earlier): &&(&str, SocketAddr)| {
                let is_everywhere = earlier.ip().is_unspecified() || address.ip().is_unspecified();
                address.port() != 0
                    && earlier.port() == address.port()
                    && (is_everywhere || earlier.ip() == address.ip())
            };
            if let Some((other, _)) = sides.iter().take(at).find(overlaps) {
                return Err(ConfigError::field(field, format!("has the port of {other}; give each its own")));
            }
        }
        Ok(())
    }

    fn check_gateway(&self) -> Result<(), ConfigError> {
        let gateway = &self.gateway;
        let is_url = gateway.url.starts_with("https://") || gateway.url.starts_with("http://");
        if !gateway.url.is_empty() && (!is_url || gateway.url.parse::<http::Uri>().is_err()) {
            return Err(ConfigError::field("gateway.url", "is no address; write https://HOST, without a path"));
        }
        if gateway.url.trim_end_matches('/').matches('/').count() > 2 {
            return Err(ConfigError::field("gateway.url", "has a path; write https://HOST, and the paths in [paths]"));
        }
        within("gateway.expiry_ms", gateway.expiry_ms, 1, 600_000)?;
        if gateway.timeout_ms <= gateway.expiry_ms || gateway.timeout_ms > 600_000 {
            let problem = format!(
                "is {}; make it more than gateway.expiry_ms ({}), so that the gateway gives up first, and at most 600000",
                gateway.timeout_ms, gateway.expiry_ms
            );
            return Err(ConfigError::field("gateway.timeout_ms", problem));
        }
        within("gateway.freshness_seconds", gateway.freshness_seconds, 0, 86_400)?;
        for (section, versions) in [
            ("gateway.key_files", gateway.key_files.keys().collect::<Vec<_>>()),
            ("gateway.keys", gateway.keys.keys().collect()),
        ] {
            if let Some(version) = versions.into_iter().find(|version| version.parse::<u32>().is_err()) {
                let problem = "is no key version; write a number from 0, as in the header keyVersion=1";
                return Err(ConfigError::field(format!("{section}.{version}"), problem));
            }
        }
        Ok(())
    }

    fn check_notices(&self) -> Result<(), ConfigError> {
        let notices = &self.notices;
        if notices.pauses_ms.len() > 64 || notices.pauses_ms.contains(&0) {
            return Err(ConfigError::field("notices.pauses_ms", "must be at most 64 pauses of at least 1 ms"));
        }
        within("notices.then_every_ms", notices.then_every_ms, 1, 86_400_000)?;
        within("notices.until_ms", notices.until_ms, 0, 30 * 86_400_000)?;
        within("notices.poll_ms", notices.poll_ms, 10, 600_000)
    }

    fn check_money(&self) -> Result<(), ConfigError> {
        for (currency, limits) in &self.limits {
            check_currency(&format!("limits.{currency}"), currency)?;
            for (name, limit) in [("per_payment", limits.per_payment), ("per_day", limits.per_day)] {
                if let Some(limit) = limit {
                    within(&format!("limits.{currency}.{name}"), limit, 0, Amount::MAX)?;
                }
            }
        }
        check_currency("accounts.currency", &self.accounts.currency)?;
        within("accounts.opening_balance", self.accounts.opening_balance, 0, Amount::MAX)?;
        Ok(())
    }
}

impl Log {
    /// What is logged.
    ///
    /// # Errors
    /// [`ConfigError::Field`] if `level` is no filter.
    pub fn filter(&self) -> Result<Targets, ConfigError> {
        // A lone word would be taken for the name of a module.
        let is_level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
        let filter = self.level.parse().ok().filter(|_| self.level.split(',').all(is_level));
        filter.ok_or_else(|| {
            let problem = "is no filter; write info, debug, or for example info,mpp_server=debug";
            ConfigError::field("log.level", problem)
        })
    }
}

impl Paths {
    fn check(&self) -> Result<(), ConfigError> {
        let inbound = [
            ("paths.pay", &self.pay),
            ("paths.inquiry_payment", &self.inquiry_payment),
            ("paths.cancel_payment", &self.cancel_payment),
            ("paths.refund", &self.refund),
            ("paths.adjust_refund", &self.adjust_refund),
        ];
        let outbound = [("paths.sdk_proxy", &self.sdk_proxy), ("paths.notify_payment", &self.notify_payment)];
        for (field, path) in inbound.into_iter().chain(outbound) {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
            if !path.starts_with('/') || path.len() < 2 || !path.bytes().all(is_plain) {
                let problem = format!("is {path:?}; write a path as /aps/api/v1/payments/pay, without a query");
                return Err(ConfigError::field(field, problem));
            }
        }
        for (at, (field, path)) in inbound.into_iter().enumerate() {
            if let Some((other, _)) = inbound.into_iter().take(at).find(|(_, earlier)| *earlier == path) {
                return Err(ConfigError::field(field, format!("is the same path as {other}; give each call its own")));
            }
        }
        Ok(())
    }
}

impl Fields {
    fn check(&self) -> Result<(), ConfigError> {
        let is_name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
        };
        // What else stands beside each in its message.
        for (field, name, others) in [
            ("fields.sdk_request_body", &self.sdk_request_body, ["sdkRequestHeader", &self.sdk_customer_id]),
            ("fields.sdk_customer_id", &self.sdk_customer_id, ["sdkRequestHeader", &self.sdk_request_body]),
            ("fields.sdk_response", &self.sdk_response, ["result", ""]),
        ] {
            if !is_name(name) {
                return Err(ConfigError::field(field, "is no name; write 1 to 64 letters, digits, _ and -"));
            }
            if others.contains(&name.as_str()) {
                return Err(ConfigError::field(field, format!("is {name:?}, the name of another field")));
            }
        }
        for (field, places) in
            [("fields.pay_customer_id", &self.pay_customer_id), ("fields.pay_reference", &self.pay_reference)]
        {
            if !(1..=8).contains(&places.len()) {
                return Err(ConfigError::field(field, "must be a list of 1 to 8 places"));
            }
            if let Some(place) = places.iter().find(|place| !place.split('.').all(is_name)) {
                let problem = format!("has {place:?}; write a name, or names with dots as paymentMethod.customerId");
                return Err(ConfigError::field(field, problem));
            }
        }
        Ok(())
    }
}

fn check_currency(field: &str, code: &str) -> Result<(), ConfigError> {
    match Currency::from_code(code) {
        Some(_) => Ok(()),
        None => Err(ConfigError::field(field, "names no currency; write three capitals of ISO 4217, such as EUR")),
    }
}

fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::field(field, format!("is {value}; allowed are {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Sources};

    fn refused(flags: &[(&str, &str)]) -> String {
        let sources = flags.iter().fold(Sources::default(), |sources, (field, value)| sources.with_flag(field, value));
        Config::load(&sources).unwrap_err().to_string()
    }

    #[test]
    fn a_value_that_cannot_work_is_refused_with_its_field_and_what_to_do() {
        for (field, value, hint) in [
            ("gateway.timeout_ms", "10000", "more than gateway.expiry_ms (10000)"),
            ("gateway.url", "ftp://a", "write https://HOST"),
            ("gateway.url", "https://a/aps", "has a path"),
            ("gateway.keys.one", "MIIB", "write a number"),
            ("payments.refund_days", "365", "allowed are 366"),
            ("payments.cancel_minutes", "15", "allowed are 30"),
            ("paths.pay", "pay", "write a path"),
            ("paths.refund", "/aps/api/v1/payments/pay", "same path as paths.pay"),
            ("fields.sdk_response", "result", "another field"),
            ("fields.sdk_response", "", "write 1 to 64 letters"),
            ("fields.sdk_request_body", "data.body", "is no name"),
            ("fields.sdk_request_body", "customerId", "another field"),
            ("fields.sdk_customer_id", "sdkRequestHeader", "another field"),
            ("fields.pay_customer_id", "payer..id", "write a name"),
            ("fields.pay_customer_id", "", "write a name"),
            ("fields.pay_reference", "a,b,c,d,e,f,g,h,i", "1 to 8 places"),
            ("limits.EURO.per_day", "5", "three capitals"),
            ("accounts.currency", "eur", "three capitals"),
            ("accounts.opening_balance", "9223372036854775808", "allowed are 0"),
            ("sessions.lifetime_hours", "0", "allowed are 1"),
            ("notices.pauses_ms", "4000,0", "at least 1 ms"),
            ("log.level", "loud", "write info"),
            ("log.level", "info,mpp_server=loud", "write info"),
            ("listen.stop_ms", "0", "allowed are 1"),
            ("store.url", "mysql://a/b", "neither `sqlite:`"),
            ("store.url", "postgres://db.example/mpp?sslmode=perhaps", "an option in it is not known"),
        ] {
            let reason = refused(&[(field, value)]);
            let named = field.trim_end_matches(".per_day");
            assert!(reason.starts_with(named) && reason.contains(hint), "{field}: {reason}");
        }
    }

    #[test]
    fn two_sides_cannot_share_an_address() {
        let reason = refused(&[("listen.app", "127.0.0.1:8080"), ("listen.ops", "127.0.0.1:8080")]);
        assert!(reason.starts_with("listen.ops has the port of listen.app"), "{reason}");
        refused(&[("listen.app", "0.0.0.0:8080"), ("listen.ops", "127.0.0.1:8080")]);
        let any = [("listen.app", "127.0.0.1:0"), ("listen.ops", "127.0.0.1:0")];
        let any = any.iter().fold(Sources::default(), |sources, (field, value)| sources.with_flag(field, value));
        Config::load(&any).unwrap();
    }

    #[test]
    fn what_only_a_server_needs_is_asked_for_by_name_and_in_turn() {
        let set = [
            ("identity.client_id", "MPP"),
            ("identity.signing_key_file", "mpp.key"),
            ("gateway.url", "https://gateway.example"),
            ("gateway.key_files.1", "gateway.pub"),
        ];
        for (count, (missing, _)) in set.iter().enumerate() {
            let sources =
                set.iter().take(count).fold(Sources::default(), |all, (field, value)| all.with_flag(field, value));
            let error = Config::load(&sources).unwrap().check_for_serving().unwrap_err().to_string();
            let section = missing.rsplit_once('.').unwrap().0;
            assert!(error.starts_with(section), "{missing}: {error}");
        }
        let all = set.iter().fold(Sources::default(), |all, (field, value)| all.with_flag(field, value));
        Config::load(&all).unwrap().check_for_serving().unwrap();
    }
}
