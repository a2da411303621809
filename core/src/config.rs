//! The app's configuration, and the service's, which wins.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use iso_currency::Currency;
use serde::{Deserialize, Deserializer, Serialize};

use crate::card::profile::CvmLimit;
use crate::error::WalletError;
use crate::host::Deadlines;

/// What the app decides once, at `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletConfig {
    /// Where the wallet keeps its files: a folder of its own that no backup copies.
    pub data_directory: PathBuf,
    /// The payment provider, as the service knows it: 1 to 64 characters. Whoever runs the token service
    /// gives it, with the trust key. It travels in each request to the service, in the clear with `GET_PK`
    /// and sealed with all others; nothing on the phone depends on it.
    pub mpp_id: String,
    /// The pinned key that signs the service's key sets: P-256, SEC1 uncompressed, 65 bytes.
    pub service_trust_key: Vec<u8>,
    /// Replenish when fewer credentials than this are left: 1 to 50. Default 10.
    pub replenish_threshold: u32,
    /// Fill the stock up to this many: above the threshold, at most 100. Default 20.
    pub target_stock: u32,
    /// For how long a session of the service is used again at most: 0 s to 1 h. Default 10 min.
    pub session_age: Duration,
    /// Allow transit taps (amount 0 at a transit merchant). Default off; the service's switch wins.
    pub support_transit: bool,
    /// Allow transit taps with the screen locked. Default off; the service's switch wins.
    pub support_lock_screen_pay: bool,
    /// Above these amounts, one a currency, a tap needs the user's proof of presence (10003) also where
    /// the card's own limit is higher; at most 100. They tighten the card's rules and never loosen them;
    /// a currency that is not listed goes by the card's rules alone. Default none. The service's limit
    /// for a currency wins ([`TransactionConfig::password_free_amounts`]). A limit that users change
    /// while the wallet is open belongs into the permit, as `NeedAuth`.
    pub password_free_limits: Vec<CvmLimit>,
    /// How many transactions are kept on the phone: 0 to 100 000. Default 1 000.
    pub history_limit: u32,
    /// How long each host interface may take. The defaults are the documented ones.
    pub deadlines: Deadlines,
}

impl WalletConfig {
    /// The defaults around the three values that only the app knows.
    #[must_use]
    pub fn new(data_directory: PathBuf, mpp_id: impl Into<String>, service_trust_key: Vec<u8>) -> Self {
        Self {
            data_directory,
            mpp_id: mpp_id.into(),
            service_trust_key,
            replenish_threshold: 10,
            target_stock: 20,
            session_age: Duration::from_secs(600),
            support_transit: false,
            support_lock_screen_pay: false,
            password_free_limits: Vec::new(),
            history_limit: 1_000,
            deadlines: Deadlines::default(),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] with the field and its limit.
    pub fn validate(&self) -> Result<(), WalletError> {
        let checks: [(&'static str, bool, String); 6] = [
            (
                "mpp_id",
                (1..=64).contains(&self.mpp_id.chars().count()),
                format!("is {} characters, limit 1 to 64", self.mpp_id.chars().count()),
            ),
            (
                "service_trust_key",
                p256::PublicKey::from_sec1_bytes(&self.service_trust_key).is_ok() && self.service_trust_key.len() == 65,
                "is not an uncompressed P-256 point of 65 bytes".to_owned(),
            ),
            (
                "replenish_threshold",
                (1..=50).contains(&self.replenish_threshold),
                format!("is {}, limit 1 to 50", self.replenish_threshold),
            ),
            (
                "target_stock",
                self.target_stock > self.replenish_threshold && self.target_stock <= 100,
                format!("is {}, limit {} to 100", self.target_stock, self.replenish_threshold + 1),
            ),
            (
                "session_age",
                self.session_age <= Duration::from_secs(3600),
                format!("is {} s, limit 3600", self.session_age.as_secs()),
            ),
            ("history_limit", self.history_limit <= 100_000, format!("is {}, limit 100000", self.history_limit)),
        ];
        if let Some((field, _, reason)) = checks.into_iter().find(|(_, good, _)| !good) {
            return Err(WalletError::InvalidInput { field, reason });
        }
        check_limits("password_free_limits", &self.password_free_limits)
    }
}

/// Limits of amounts: known currencies, each once, amounts that a terminal can send.
fn check_limits(field: &'static str, limits: &[CvmLimit]) -> Result<(), WalletError> {
    let refused = |reason| Err(WalletError::InvalidInput { field, reason });
    if limits.len() > LIMITS {
        return refused(format!("has {} limits, limit {LIMITS}", limits.len()));
    }
    for (index, limit) in limits.iter().enumerate() {
        let CvmLimit { currency, amount_minor } = *limit;
        if Currency::from_numeric(currency).and_then(|known| known.exponent()).is_none() {
            return refused(format!("has currency {currency}, which has no minor unit in ISO 4217"));
        }
        if limits.iter().take(index).any(|earlier| earlier.currency == currency) {
            return refused(format!("has currency {currency} twice"));
        }
        if amount_minor > LARGEST_AMOUNT {
            return refused(format!("has amount {amount_minor}, limit {LARGEST_AMOUNT}"));
        }
    }
    Ok(())
}

/// Most limits of amounts.
const LIMITS: usize = 100;

/// Tag 9F02 has 12 digits (EMV Book 3, annex A).
const LARGEST_AMOUNT: u64 = 999_999_999_999;

/// The service's configuration, by the field's names. An absent part or a count of 0 means "the
/// default".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteConfig {
    /// Polling budgets of the activation.
    pub nfc_issue_config: IssueConfig,
    /// Switches of the tap.
    pub nfc_transaction_config: TransactionConfig,
}

/// `nfc_issue_config`: how often and how fast the activation polls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IssueConfig {
    /// Polls for the application; 0 = 10; at most 1000.
    #[serde(deserialize_with = "number_or_invalid")]
    pub apply_token_times: u32,
    /// Milliseconds between them; 0 = 2000; at most 60 000. Without a count it counts as unset.
    #[serde(deserialize_with = "number_or_invalid")]
    pub apply_token_interval: u32,
    /// Polls for the activation; 0 = 10; at most 1000.
    #[serde(deserialize_with = "number_or_invalid")]
    pub activate_times: u32,
    /// Milliseconds between them; 0 = 2000; at most 60 000.
    #[serde(deserialize_with = "number_or_invalid")]
    pub activate_interval: u32,
    /// Polls for the session; 0 = 10; at most 1000.
    #[serde(deserialize_with = "number_or_invalid")]
    pub session_times: u32,
    /// Milliseconds between them; 0 = 500; at most 60 000.
    #[serde(deserialize_with = "number_or_invalid")]
    pub session_interval: u32,
}

/// `nfc_transaction_config`: switches of the tap; absent = the app's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TransactionConfig {
    /// Wins over `support_transit`.
    #[serde(deserialize_with = "switch_or_absent")]
    pub is_support_transit: Option<bool>,
    /// Wins over `support_lock_screen_pay`.
    #[serde(deserialize_with = "switch_or_absent")]
    pub is_support_transit_without_consent: Option<bool>,
    /// Takes `password_free_amounts` into use. Absent = off: then the app's own limits are in force.
    #[serde(deserialize_with = "switch_or_absent")]
    pub async_amount_limit_switch: Option<bool>,
    /// Win over `password_free_limits`, currency by currency, while `async_amount_limit_switch` is on.
    /// They come with the token's state, so each `sync_token` asks for them. The key is ours: the
    /// field's has a switch for such amounts and no public form of them.
    #[serde(deserialize_with = "limits_or_invalid", skip_serializing_if = "Vec::is_empty")]
    pub password_free_amounts: Vec<CvmLimit>,
}

/// A poll budget: how often, and how long between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollBudget {
    /// Number of polls.
    pub times: u32,
    /// Pause between two polls.
    pub interval: Duration,
}

impl RemoteConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] with the field and its limit; the last good set stays in use.
    pub fn validate(&self) -> Result<(), WalletError> {
        let issue = &self.nfc_issue_config;
        let limits: [(&'static str, u32, u32); 6] = [
            ("nfc_issue_config.applyTokenTimes", issue.apply_token_times, 1_000),
            ("nfc_issue_config.applyTokenInterval", issue.apply_token_interval, 60_000),
            ("nfc_issue_config.activateTimes", issue.activate_times, 1_000),
            ("nfc_issue_config.activateInterval", issue.activate_interval, 60_000),
            ("nfc_issue_config.sessionTimes", issue.session_times, 1_000),
            ("nfc_issue_config.sessionInterval", issue.session_interval, 60_000),
        ];
        match limits.into_iter().find(|(_, value, limit)| value > limit) {
            Some((field, INVALID, limit)) => {
                Err(WalletError::InvalidInput { field, reason: format!("is no number from 0 to {limit}") })
            }
            Some((field, value, limit)) => {
                Err(WalletError::InvalidInput { field, reason: format!("is {value}, limit {limit}") })
            }
            None => check_limits(
                "nfc_transaction_config.passwordFreeAmounts",
                &self.nfc_transaction_config.password_free_amounts,
            ),
        }
    }

    /// Budget for the application's decision.
    #[must_use]
    pub fn application_polls(&self) -> PollBudget {
        budget(self.nfc_issue_config.apply_token_times, self.nfc_issue_config.apply_token_interval, 2_000)
    }

    /// Budget for the activation at the service.
    #[must_use]
    pub fn activation_polls(&self) -> PollBudget {
        budget(self.nfc_issue_config.activate_times, self.nfc_issue_config.activate_interval, 2_000)
    }

    /// Budget for opening a session.
    #[must_use]
    pub fn session_polls(&self) -> PollBudget {
        budget(self.nfc_issue_config.session_times, self.nfc_issue_config.session_interval, 500)
    }
}

/// Stands for a value that was there and was no number: above every limit, so that it is refused by
/// name, without making the answer that carries it unreadable.
const INVALID: u32 = u32::MAX;

fn number_or_invalid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(INVALID))
}

/// A switch that is neither on nor off counts as absent: the app's own is in force.
fn switch_or_absent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_bool())
}

/// A list that is none stands for one limit that is refused by name.
fn limits_or_invalid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<CvmLimit>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let invalid = || vec![CvmLimit { currency: 0, amount_minor: u64::MAX }];
    Ok(serde_json::from_value(value).unwrap_or_else(|_| invalid()))
}

/// A count of 0 is the vendor's "unset": the printed interval beside it is then meaningless too.
fn budget(times: u32, interval_ms: u32, default_interval_ms: u32) -> PollBudget {
    let interval_ms = if times == 0 || interval_ms == 0 { default_interval_ms } else { interval_ms };
    let times = if times == 0 { DEFAULT_POLLS } else { times };
    PollBudget { times, interval: Duration::from_millis(u64::from(interval_ms)) }
}

/// Polls where the service says nothing.
const DEFAULT_POLLS: u32 = 10;

/// The app's and the service's configuration together. The service wins where it says something.
#[derive(Debug)]
pub struct Configuration {
    app: WalletConfig,
    remote: RwLock<RemoteConfig>,
}

impl Configuration {
    /// Starts from the app's configuration and the service's last good one.
    #[must_use]
    pub fn new(app: WalletConfig, remote: RemoteConfig) -> Self {
        Self { app, remote: RwLock::new(remote) }
    }

    /// What the app gave at `init`.
    #[must_use]
    pub fn app(&self) -> &WalletConfig {
        &self.app
    }

    /// The service's set in use.
    #[must_use]
    pub fn remote(&self) -> RemoteConfig {
        self.remote.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a set of the service into use. A running activation keeps the budgets it started with.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] with the field; the last good set stays.
    pub fn set_remote(&self, remote: RemoteConfig) -> Result<(), WalletError> {
        remote.validate()?;
        *self.remote.write().unwrap_or_else(PoisonError::into_inner) = remote;
        Ok(())
    }

    /// Are transit taps paid?
    #[must_use]
    pub fn transit_allowed(&self) -> bool {
        self.remote().nfc_transaction_config.is_support_transit.unwrap_or(self.app.support_transit)
    }

    /// Are transit taps paid with the screen locked?
    #[must_use]
    pub fn locked_transit_allowed(&self) -> bool {
        let switch = self.remote().nfc_transaction_config.is_support_transit_without_consent;
        switch.unwrap_or(self.app.support_lock_screen_pay)
    }

    /// Is this amount above what the app, or the service in its place, lets pass without a proof of
    /// presence? False for a currency for which nobody set a limit.
    #[must_use]
    pub fn exceeds_password_free_limit(&self, currency: u16, amount_minor: u64) -> bool {
        let of = |limits: &[CvmLimit]| limits.iter().find(|limit| limit.currency == currency).map(|l| l.amount_minor);
        let remote = self.remote.read().unwrap_or_else(PoisonError::into_inner);
        let service = &remote.nfc_transaction_config;
        let services =
            if service.async_amount_limit_switch == Some(true) { of(&service.password_free_amounts) } else { None };
        services.or_else(|| of(&self.app.password_free_limits)).is_some_and(|limit_minor| amount_minor > limit_minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> WalletConfig {
        // The generator point of P-256 is a valid public key.
        let trust = hex::decode(concat!(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        ))
        .unwrap();
        WalletConfig::new("wallet".into(), "mpp-1", trust)
    }

    #[test]
    fn the_defaults_are_valid_and_the_threshold_is_ten() {
        let config = config();
        config.validate().unwrap();
        assert_eq!((config.replenish_threshold, config.target_stock), (10, 20));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        let too_low = WalletConfig { target_stock: 10, ..config() };
        let error = too_low.validate().unwrap_err();
        assert_eq!(error.to_string(), "target_stock: is 10, limit 11 to 100");
        assert_eq!(error.code(), 10011);
        let bad_key = WalletConfig { service_trust_key: vec![4; 65], ..config() };
        assert!(matches!(bad_key.validate(), Err(WalletError::InvalidInput { field: "service_trust_key", .. })));
    }

    const EURO: u16 = 978;

    fn limit(currency: u16, amount_minor: u64) -> CvmLimit {
        CvmLimit { currency, amount_minor }
    }

    #[test]
    fn a_password_free_limit_names_a_known_currency_once() {
        let with = |limits: Vec<CvmLimit>| WalletConfig { password_free_limits: limits, ..config() }.validate();
        with(vec![limit(EURO, 0), limit(756, 999_999_999_999)]).unwrap();
        let refusal = |limits| with(limits).unwrap_err().to_string();
        assert_eq!(
            refusal(vec![limit(1, 5)]),
            "password_free_limits: has currency 1, which has no minor unit in ISO 4217"
        );
        assert_eq!(refusal(vec![limit(EURO, 5), limit(EURO, 6)]), "password_free_limits: has currency 978 twice");
        assert_eq!(
            refusal(vec![limit(EURO, 1_000_000_000_000)]),
            "password_free_limits: has amount 1000000000000, limit 999999999999"
        );
        assert_eq!(refusal(vec![limit(EURO, 1); 101]), "password_free_limits: has 101 limits, limit 100");
    }

    #[test]
    fn the_services_limit_wins_only_while_its_switch_is_on() {
        let app = WalletConfig { password_free_limits: vec![limit(EURO, 2_000), limit(756, 100)], ..config() };
        let configuration = Configuration::new(app, RemoteConfig::default());
        let exceeds = |minor| configuration.exceeds_password_free_limit(EURO, minor);
        assert_eq!((exceeds(2_000), exceeds(2_001)), (false, true));
        assert!(!configuration.exceeds_password_free_limit(826, 1_000_000));

        let amounts = r#""passwordFreeAmounts":[{"currency":978,"amount_minor":3000}]"#;
        for (switch, free) in [("false", false), ("true", true)] {
            let text = format!(r#"{{"nfc_transaction_config":{{"asyncAmountLimitSwitch":{switch},{amounts}}}}}"#);
            configuration.set_remote(serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(!exceeds(3_000), free, "{switch}");
            assert!(exceeds(3_001));
            // What the service says nothing of stays the app's.
            assert!(configuration.exceeds_password_free_limit(756, 101));
        }
    }

    #[test]
    fn amounts_that_are_none_are_refused_by_name_and_do_not_hide_the_rest() {
        for value in ["3000", "\"x\"", "[{\"currency\":\"EUR\",\"amount_minor\":1}]", "null"] {
            let amounts = format!(r#""passwordFreeAmounts":{value},"isSupportTransit":true"#);
            let text = format!(r#"{{"nfc_transaction_config":{{{amounts}}}}}"#);
            let config: RemoteConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(config.nfc_transaction_config.is_support_transit, Some(true));
            assert!(matches!(
                config.validate(),
                Err(WalletError::InvalidInput { field: "nfc_transaction_config.passwordFreeAmounts", .. })
            ));
        }
    }

    #[test]
    fn unset_budgets_take_the_sample_values_of_the_field() {
        let unset = RemoteConfig::default();
        assert_eq!(unset.application_polls(), PollBudget { times: 10, interval: Duration::from_millis(2_000) });
        assert_eq!(unset.session_polls(), PollBudget { times: 10, interval: Duration::from_millis(500) });
        // The vendor prints 0 polls of 25 ms as defaults; a count of 0 means unset.
        let printed: RemoteConfig =
            serde_json::from_str(r#"{"nfc_issue_config":{"applyTokenTimes":0,"applyTokenInterval":25,"later":1}}"#)
                .unwrap();
        assert_eq!(printed.application_polls(), unset.application_polls());
    }

    #[test]
    fn a_count_without_an_interval_keeps_the_default_pause() {
        let config: RemoteConfig = serde_json::from_str(r#"{"nfc_issue_config":{"applyTokenTimes":3}}"#).unwrap();
        assert_eq!(config.application_polls(), PollBudget { times: 3, interval: Duration::from_millis(2_000) });
    }

    #[test]
    fn a_mistyped_value_is_refused_by_name_and_does_not_hide_the_rest() {
        for value in ["-1", "\"10\"", "1.5", "null", "99999999999"] {
            let text = format!(r#"{{"nfc_issue_config":{{"activateTimes":{value}}}}}"#);
            let config: RemoteConfig = serde_json::from_str(&text).unwrap();
            let refused = config.validate().unwrap_err();
            assert_eq!(refused.to_string(), "nfc_issue_config.activateTimes: is no number from 0 to 1000", "{value}");
        }
        let odd = r#"{"nfc_transaction_config":{"isSupportTransit":"yes","isSupportTransitWithoutConsent":true}}"#;
        let config: RemoteConfig = serde_json::from_str(odd).unwrap();
        assert_eq!(config.nfc_transaction_config.is_support_transit, None);
        assert_eq!(config.nfc_transaction_config.is_support_transit_without_consent, Some(true));
    }

    #[test]
    fn a_remote_value_out_of_range_is_refused_by_name() {
        let bad: RemoteConfig = serde_json::from_str(r#"{"nfc_issue_config":{"sessionTimes":1001}}"#).unwrap();
        assert!(matches!(
            bad.validate(),
            Err(WalletError::InvalidInput { field: "nfc_issue_config.sessionTimes", .. })
        ));
    }
}
