//! How a client is made.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

use super::{Client, Inner, RetryPolicy};
use crate::clock::{Clock, SystemClock};
use crate::signature::{ClientId, KeyRing, SigningKey, SigningKeys};
use crate::transport;

/// Makes a [`Client`].
pub struct ClientBuilder {
    base_url: String,
    client_id: ClientId,
    signing: SigningKeys,
    peers: KeyRing,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    connect_timeout: Duration,
    attempt_timeout: Duration,
    max_clock_skew: Duration,
    max_body_bytes: usize,
    plain_http: bool,
    roots_pem: Vec<Vec<u8>>,
}

impl ClientBuilder {
    pub(super) fn new(base_url: &str, client_id: ClientId) -> Self {
        Self {
            base_url: base_url.to_owned(),
            client_id,
            signing: SigningKeys::new(),
            peers: KeyRing::new(),
            clock: Arc::new(SystemClock::default()),
            retry: RetryPolicy::default(),
            connect_timeout: Duration::from_secs(15),
            attempt_timeout: Duration::from_secs(15),
            max_clock_skew: Duration::from_mins(10),
            max_body_bytes: transport::MAX_BODY_BYTES,
            plain_http: false,
            roots_pem: Vec::new(),
        }
    }

    /// Signs with this key, always.
    #[must_use]
    pub fn signing_key(self, version: u32, key: SigningKey) -> Self {
        self.signing_keys(SigningKeys::single(version, key))
    }

    /// Signs with the newest of these keys. They are shared: a key that is added later counts at once.
    #[must_use]
    pub fn signing_keys(mut self, keys: SigningKeys) -> Self {
        self.signing = keys;
        self
    }

    /// Verifies answers with the keys that stand under our own client id here.
    #[must_use]
    pub fn peer_keys(mut self, keys: KeyRing) -> Self {
        self.peers = keys;
        self
    }

    /// Takes the time from here. Default: the machine's clocks.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Repeats by this policy, where a call names none. Default: [`RetryPolicy::none`].
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long a connection may take. Default 15 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long one attempt may take, with its connection. Default 15 s.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// How far the time of an answer may be from ours, before or after. Zero checks nothing. Default 10 min.
    #[must_use]
    pub fn max_clock_skew(mut self, limit: Duration) -> Self {
        self.max_clock_skew = limit;
        self
    }

    /// Longest answer, in bytes. Default 1 MiB.
    #[must_use]
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Allows plain HTTP to every host, not only to loopback: for a proxy that adds TLS.
    #[must_use]
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Trusts this root as well, a PEM certificate: for a private network's own authority.
    #[must_use]
    pub fn root_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`BuildError`] names what is wrong with the address or the certificates.
    pub fn build(self) -> Result<Client, BuildError> {
        let base = self.base()?;
        let mut http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(self.connect_timeout)
            .https_only(base.scheme() == "https");
        for pem in &self.roots_pem {
            http = http.add_root_certificate(reqwest::Certificate::from_pem(pem).map_err(BuildError::Http)?);
        }
        let inner = Inner {
            http: http.build().map_err(BuildError::Http)?,
            base,
            client_id: self.client_id,
            signing: self.signing,
            peers: self.peers,
            clock: self.clock,
            retry: self.retry,
            attempt_timeout: self.attempt_timeout,
            max_clock_skew: self.max_clock_skew,
            max_body_bytes: self.max_body_bytes,
        };
        Ok(Client { inner: Arc::new(inner) })
    }

    fn base(&self) -> Result<Url, BuildError> {
        let wrong = |reason| BuildError::BaseUrl { url: self.base_url.clone(), reason };
        let url = Url::parse(&self.base_url).map_err(|_| wrong("not a url"))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(BuildError::BaseUrl {
                url: "the url".to_owned(),
                reason: "more than scheme, host, port and path",
            });
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.plain_http || is_loopback(&url) => Ok(url),
            "http" => Err(wrong("plain http to another host than loopback")),
            _ => Err(wrong("neither https nor http")),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address cannot be used.
    #[error("{url} is {reason}")]
    BaseUrl {
        /// Which, unless it may hold a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The HTTP client cannot be made: a certificate, or the platform's roots.
    #[error("cannot make an http client")]
    Http(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(url: &str) -> Result<Client, BuildError> {
        Client::builder(url, ClientId::parse("ann").unwrap()).build()
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        for url in ["https://open.example", "http://127.0.0.1:80", "http://[::1]:80", "http://localhost/base"] {
            assert!(build(url).is_ok(), "{url}");
        }
        for url in ["http://open.example", "http://localhost.example", "ftp://127.0.0.1", "open.example", ""] {
            assert!(matches!(build(url), Err(BuildError::BaseUrl { .. })), "{url}");
        }
        let plain = Client::builder("http://open.example", ClientId::parse("ann").unwrap()).allow_plain_http();
        assert!(plain.build().is_ok());
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_not_repeated() {
        let error = build("https://ann:hunter2@open.example").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
