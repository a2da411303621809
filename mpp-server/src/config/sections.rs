//! The fields, section by section. `example.toml` has the same with words for its reader.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::notices::Schedule;
use crate::store::StoreConfig;

/// Everything that can be set. Each section has its defaults, so that a file names only what differs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens.
    pub listen: Listen,
    /// The database.
    pub store: Store,
    /// Who we are towards the gateway.
    pub identity: Identity,
    /// Who the gateway is.
    pub gateway: Gateway,
    /// Under which paths the calls between gateway and us run.
    pub paths: Paths,
    /// What the gateway calls fields, and where it puts them, where the public pages do not say.
    pub fields: Fields,
    /// Until when payments may be cancelled and refunded.
    pub payments: Payments,
    /// What a user may pay, by currency: the default for users without limits of their own.
    pub limits: BTreeMap<String, Limits>,
    /// Who becomes a user.
    pub accounts: Accounts,
    /// Logins of the app.
    pub sessions: Sessions,
    /// When payment results are sent again.
    pub notices: Notices,
    /// What is logged, and how.
    pub log: Log,
}

/// `[listen]`: addresses, and how a stop goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// For the provider's app. Port 0: any free one.
    pub app: SocketAddr,
    /// For the gateway.
    pub partner: SocketAddr,
    /// For health checks and metrics. Not for the public.
    pub ops: SocketAddr,
    /// How long a stop waits for requests that run, in milliseconds. 1 to 600,000.
    pub stop_ms: u64,
}

impl Default for Listen {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { app: any, partner: any, ops: any, stop_ms: 20_000 }
    }
}

/// `[store]`: the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: Secret,
    /// The certificate authorities of a PostgreSQL server on another machine, as PEM. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// Worker threads with a connection each, for PostgreSQL. SQLite has one writer.
    pub connections: usize,
}

impl Store {
    /// How the database is opened.
    #[must_use]
    pub fn options(&self) -> StoreConfig {
        StoreConfig { writers: self.connections, ca_file: self.ca_file.clone(), ..StoreConfig::default() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:mpp-server.db"), ca_file: None, connections: 8 }
    }
}

/// `[identity]`: who we are towards the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Our `Client-Id`. Required to serve.
    pub client_id: String,
    /// The file with our RSA key: PKCS#8, PEM or bare base64. Required to serve, or `signing_key`.
    pub signing_key_file: Option<PathBuf>,
    /// The key itself, where a file is unwelcome. It wins over the file.
    pub signing_key: Option<Secret>,
    /// The version under which the gateway knows our public key.
    pub key_version: u32,
}

impl Default for Identity {
    fn default() -> Self {
        Self { client_id: String::new(), signing_key_file: None, signing_key: None, key_version: 1 }
    }
}

/// `[gateway]`: who the gateway is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Scheme, host and port. Required to serve.
    pub url: String,
    /// Its `Client-Id`. Required to serve.
    pub client_id: String,
    /// Its public keys by version, as files: PEM or bare base64 (X.509 SubjectPublicKeyInfo).
    pub key_files: BTreeMap<String, PathBuf>,
    /// Its public keys by version, as bare base64. They win over files of the same version.
    pub keys: BTreeMap<String, String>,
    /// How long we wait for an answer, in milliseconds. More than `expiry_ms`.
    pub timeout_ms: u64,
    /// When the gateway itself gives up on what is relayed, in milliseconds.
    pub expiry_ms: u64,
    /// How far the clock of a caller may be off, in seconds. 0: any time is taken.
    pub freshness_seconds: u64,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            url: String::new(),
            client_id: String::new(),
            key_files: BTreeMap::new(),
            keys: BTreeMap::new(),
            timeout_ms: 12_000,
            expiry_ms: 10_000,
            freshness_seconds: 600,
        }
    }
}

/// `[paths]`: the path of each call, as the gateway knows it. The signature is over the path that is called.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// `pay`, inbound.
    pub pay: String,
    /// `inquiryPayment`, inbound.
    pub inquiry_payment: String,
    /// `cancelPayment`, inbound.
    pub cancel_payment: String,
    /// `refund`, inbound.
    pub refund: String,
    /// `adjustRefund`, inbound.
    pub adjust_refund: String,
    /// `sdkProxy`, outbound.
    pub sdk_proxy: String,
    /// `notifyPayment`, outbound, where a payment names no other URL.
    pub notify_payment: String,
}

impl Default for Paths {
    fn default() -> Self {
        let payments = |name: &str| format!("/aps/api/v1/payments/{name}");
        Self {
            pay: payments("pay"),
            inquiry_payment: payments("inquiryPayment"),
            cancel_payment: payments("cancelPayment"),
            refund: payments("refund"),
            adjust_refund: payments("adjustRefund"),
            sdk_proxy: "/aps/api/v1/mobile/sdkProxy".to_owned(),
            notify_payment: payments("notifyPayment"),
        }
    }
}

/// `[fields]`: names of fields, and places in bodies, where the public pages do not say. A place is a name, or
/// names with dots for what is inside of another object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// `sdkProxy`: the name of what the wallet wrote.
    pub sdk_request_body: String,
    /// `sdkProxy`: the name of the user's id.
    pub sdk_customer_id: String,
    /// The answer to `sdkProxy`: the name of what goes back to the wallet.
    pub sdk_response: String,
    /// `pay`: whose account. The first of these places where something is.
    #[serde(deserialize_with = "list")]
    pub pay_customer_id: Vec<String>,
    /// `pay`: the reference of a tap. The first of these places with 16 hex digits.
    #[serde(deserialize_with = "list")]
    pub pay_reference: Vec<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            sdk_request_body: "sdkRequestBody".to_owned(),
            sdk_customer_id: "customerId".to_owned(),
            sdk_response: "sdkResponse".to_owned(),
            pay_customer_id: vec!["paymentMethod.customerId".to_owned(), "customerId".to_owned()],
            pay_reference: vec!["passThroughInfo".to_owned()],
        }
    }
}

/// `[payments]`: until when they may be changed, and when a user is asked for more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payments {
    /// A payment may be cancelled until so many minutes after the end of its business day (UTC+8). The
    /// gateway expects at least 30.
    pub cancel_minutes: u32,
    /// A payment may be refunded for so many days. The gateway expects at least 366.
    pub refund_days: u32,
}

impl Default for Payments {
    fn default() -> Self {
        Self { cancel_minutes: 30, refund_days: 366 }
    }
}

/// `[limits.EUR]`: what a user may pay in one currency, in its smallest unit. Absent: no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// One payment.
    pub per_payment: Option<u64>,
    /// All payments of a business day.
    pub per_day: Option<u64>,
    /// How many payments a business day.
    pub count_per_day: Option<u32>,
}

/// `[accounts]`: who becomes a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// Who may log in for the first time.
    pub sign_up: SignUp,
    /// The currency of an account that begins with a login.
    pub currency: String,
    /// What is on it, in the smallest unit. For tests.
    pub opening_balance: u64,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { sign_up: SignUp::Closed, currency: "EUR".to_owned(), opening_balance: 0 }
    }
}

/// Who may log in for the first time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum SignUp {
    /// Only users that `mpp-server user add` made, with their password.
    #[default]
    Closed,
    /// Everybody, without a password. For development.
    Open,
}

impl TryFrom<String> for SignUp {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "closed" => Ok(Self::Closed),
            "open" => Ok(Self::Open),
            _ => Err(format!("{word:?} is not closed or open")),
        }
    }
}

/// `[sessions]`: logins of the app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// How long a login lasts, in hours. 1 to 8,784.
    pub lifetime_hours: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { lifetime_hours: 720 }
    }
}

/// `[notices]`: when a payment's result is sent again until the gateway has acknowledged it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notices {
    /// Tell every payment's result, also those that `pay` answered already.
    pub all: bool,
    /// Pauses after the first attempts, in milliseconds.
    #[serde(deserialize_with = "list")]
    pub pauses_ms: Vec<u64>,
    /// The pause after those, in milliseconds.
    pub then_every_ms: u64,
    /// When we give up, in milliseconds after the payment's result.
    pub until_ms: u64,
    /// How often the database is asked whether another process left a notice, in milliseconds.
    pub poll_ms: u64,
}

impl Default for Notices {
    fn default() -> Self {
        let Schedule { pauses_ms, then_every_ms, until_ms } = Schedule::default();
        Self {
            all: false,
            pauses_ms: pauses_ms.into_iter().map(i64::unsigned_abs).collect(),
            then_every_ms: then_every_ms.unsigned_abs(),
            until_ms: until_ms.unsigned_abs(),
            poll_ms: 1_000,
        }
    }
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,mpp_server=debug`.
    pub level: String,
    /// Lines for people, or JSON.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a log record looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{word:?} is not text or json")),
        }
    }
}

/// A text that is wiped from memory and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A list, or its text with commas between the values: a variable of the environment has no lists.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de> + FromStr>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        List(Vec<T>),
        Text(String),
    }
    let values = match Either::deserialize(deserializer) {
        Ok(Either::List(list)) => Some(list),
        Ok(Either::Text(text)) => text.split(',').map(|value| value.trim().parse().ok()).collect(),
        Err(_) => None,
    };
    values.ok_or_else(|| serde::de::Error::custom("expected a list, or its values with commas between them"))
}
