//! What the app decides once, when it opens the wallet.

use std::time::Duration;

use nfcwallet_core as core;

/// What the app decides once. A value that is absent is the library's own.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WalletConfig {
    /// Where the wallet keeps its files: a folder of its own that no backup copies.
    pub data_directory: String,
    /// The payment provider, as the service knows it: 1 to 64 characters. Whoever runs the token service
    /// gives it, with the trust key. It travels in each request to the service, in the clear with `GET_PK`
    /// and sealed with all others; nothing on the phone depends on it.
    pub mpp_id: String,
    /// The pinned key that signs the service's key sets: P-256, SEC1 uncompressed, 65 bytes.
    pub service_trust_key: Vec<u8>,
    /// Replenish when fewer credentials than this are left: 1 to 50. Absent: 10.
    #[uniffi(default = None)]
    pub replenish_threshold: Option<u32>,
    /// Fill the stock up to this many: above the threshold, at most 100. Absent: 20.
    #[uniffi(default = None)]
    pub target_stock: Option<u32>,
    /// For how many milliseconds a session of the service is used again at most: 0 to 3 600 000. Absent:
    /// 600 000.
    #[uniffi(default = None)]
    pub session_age_ms: Option<u64>,
    /// Allow transit taps (amount 0 at a transit merchant). Absent: no. The service's switch wins.
    #[uniffi(default = None)]
    pub support_transit: Option<bool>,
    /// Allow transit taps with the screen locked. Absent: no. The service's switch wins.
    #[uniffi(default = None)]
    pub support_lock_screen_pay: Option<bool>,
    /// Above these amounts, one a currency, a tap needs the user's proof of presence (10003) also where the
    /// card's own limit is higher; at most 100. They tighten the card's rules and never loosen them. The
    /// service's limit for a currency wins. A limit that users change while the wallet is open belongs into
    /// the permit, as `NeedAuth`.
    #[uniffi(default = [])]
    pub password_free_limits: Vec<CvmLimit>,
    /// How many transactions are kept on the phone: 0 to 100 000. Absent: 1 000.
    #[uniffi(default = None)]
    pub history_limit: Option<u32>,
    /// How long each host interface may take. Absent: as each interface documents it.
    #[uniffi(default = None)]
    pub deadlines: Option<Deadlines>,
}

/// Amounts above this need the user's proof of presence.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct CvmLimit {
    /// ISO 4217 numeric.
    pub currency: u16,
    /// In minor units; the limit itself still passes.
    pub amount_minor: u64,
}

/// How long each host interface may take, in milliseconds. What is absent is the library's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct Deadlines {
    /// `NFCRequestProxy.send_request`. Absent: 15 000.
    #[uniffi(default = None)]
    pub proxy_ms: Option<u64>,
    /// Every method of `DeviceKeyStore`. Absent: 5 000.
    #[uniffi(default = None)]
    pub key_store_ms: Option<u64>,
    /// `DeviceInfo.fingerprint`. Absent: 2 000.
    #[uniffi(default = None)]
    pub fingerprint_ms: Option<u64>,
    /// `DeviceInfo.state`. Absent: 100.
    #[uniffi(default = None)]
    pub device_state_ms: Option<u64>,
    /// `TransactionPermit.is_allowed`. Absent: 100.
    #[uniffi(default = None)]
    pub permit_ms: Option<u64>,
}

impl From<WalletConfig> for core::WalletConfig {
    fn from(config: WalletConfig) -> Self {
        let own = Self::new(config.data_directory.into(), config.mpp_id, config.service_trust_key);
        Self {
            replenish_threshold: config.replenish_threshold.unwrap_or(own.replenish_threshold),
            target_stock: config.target_stock.unwrap_or(own.target_stock),
            session_age: config.session_age_ms.map_or(own.session_age, Duration::from_millis),
            support_transit: config.support_transit.unwrap_or(own.support_transit),
            support_lock_screen_pay: config.support_lock_screen_pay.unwrap_or(own.support_lock_screen_pay),
            password_free_limits: config.password_free_limits.into_iter().map(Into::into).collect(),
            history_limit: config.history_limit.unwrap_or(own.history_limit),
            deadlines: config.deadlines.map_or(own.deadlines, Into::into),
            ..own
        }
    }
}

impl From<CvmLimit> for core::card::profile::CvmLimit {
    fn from(limit: CvmLimit) -> Self {
        Self { currency: limit.currency, amount_minor: limit.amount_minor }
    }
}

impl From<Deadlines> for core::host::Deadlines {
    fn from(deadlines: Deadlines) -> Self {
        let own = Self::default();
        Self {
            proxy: deadlines.proxy_ms.map_or(own.proxy, Duration::from_millis),
            key_store: deadlines.key_store_ms.map_or(own.key_store, Duration::from_millis),
            fingerprint: deadlines.fingerprint_ms.map_or(own.fingerprint, Duration::from_millis),
            device_state: deadlines.device_state_ms.map_or(own.device_state, Duration::from_millis),
            permit: deadlines.permit_ms.map_or(own.permit, Duration::from_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least() -> WalletConfig {
        WalletConfig {
            data_directory: "wallet".to_owned(),
            mpp_id: "mpp".to_owned(),
            service_trust_key: vec![4; 65],
            replenish_threshold: None,
            target_stock: None,
            session_age_ms: None,
            support_transit: None,
            support_lock_screen_pay: None,
            password_free_limits: Vec::new(),
            history_limit: None,
            deadlines: None,
        }
    }

    #[test]
    fn what_is_absent_is_the_librarys_own() {
        let own = core::WalletConfig::new("wallet".into(), "mpp", vec![4; 65]);
        assert_eq!(core::WalletConfig::from(least()), own);
        let none = Deadlines {
            proxy_ms: None,
            key_store_ms: None,
            fingerprint_ms: None,
            device_state_ms: None,
            permit_ms: None,
        };
        assert_eq!(core::host::Deadlines::from(none), core::host::Deadlines::default());
    }

    #[test]
    fn what_the_app_says_is_what_is_used() {
        let deadlines = Deadlines {
            proxy_ms: Some(1),
            key_store_ms: Some(2),
            fingerprint_ms: Some(3),
            device_state_ms: Some(4),
            permit_ms: Some(5),
        };
        let config = WalletConfig {
            replenish_threshold: Some(3),
            target_stock: Some(30),
            session_age_ms: Some(60_000),
            support_transit: Some(true),
            support_lock_screen_pay: Some(true),
            password_free_limits: vec![CvmLimit { currency: 978, amount_minor: 2_000 }],
            history_limit: Some(7),
            deadlines: Some(deadlines),
            ..least()
        };
        let used = core::WalletConfig::from(config);
        assert_eq!((used.replenish_threshold, used.target_stock, used.history_limit), (3, 30, 7));
        assert_eq!(used.session_age, Duration::from_secs(60));
        assert!(used.support_transit && used.support_lock_screen_pay);
        assert_eq!(used.password_free_limits, [core::card::profile::CvmLimit { currency: 978, amount_minor: 2_000 }]);
        let used = used.deadlines;
        let millis = [used.proxy, used.key_store, used.fingerprint, used.device_state, used.permit];
        assert_eq!(millis.map(|limit| limit.as_millis()), [1, 2, 3, 4, 5]);
    }
}
