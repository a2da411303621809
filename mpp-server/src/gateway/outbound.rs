//! Our calls to the gateway: `sdkProxy` and `notifyPayment`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alipayplus::client::{BuildError, CallError, CallOptions, Cause, Client, ClientBuilder, Outcome};
use alipayplus::mobile::{SdkProxy, SdkProxyAnswer, SdkProxyRequest};
use alipayplus::payment::mpp::{NotifyPayment, NotifyPaymentRequest};
use alipayplus::signature::{ClientId, KeyRing, SigningKeys};
use alipayplus::wire::Names;
use alipayplus::{Clock, ResultStatus};
use http::Uri;

/// Hosts that payments may name for their notices, at once.
const MAX_HOSTS: usize = 64;

/// What a client to any of the gateway's hosts is made of.
pub(crate) struct OutboundParts {
    pub(crate) base_url: String,
    pub(crate) client_id: ClientId,
    pub(crate) signing: SigningKeys,
    /// The gateway's keys, under our own client id.
    pub(crate) peers: KeyRing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) max_clock_skew: Duration,
    pub(crate) sdk_proxy_path: String,
    /// Of the request, and of the answer.
    pub(crate) sdk_proxy_names: [Names; 2],
    pub(crate) notify_path: String,
}

/// Calls the gateway.
pub(crate) struct Outbound {
    parts: OutboundParts,
    client: Client,
    /// Clients to the hosts that payments named for their notices.
    others: Mutex<HashMap<String, Client>>,
}

/// What became of a relayed request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// The token service's answer, as it was written.
    Answer(String),
    /// The request cannot be sent: it breaks a rule of the API's page.
    Illegal,
    /// The gateway said no, in a signed answer.
    Refused,
    /// There is no connection.
    Unreachable,
    /// Our time was up.
    TimedOut,
    /// Nobody knows what became of it: the gateway answered so, or nothing that can be used, or broke off.
    Undecided,
    /// We cannot sign.
    Unsigned,
}

impl Relayed {
    /// A name for metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Answer(_) => "answered",
            Self::Illegal => "illegal",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Undecided => "undecided",
            Self::Unsigned => "unsigned",
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notified {
    /// The gateway has it.
    Acknowledged,
    /// Send it again.
    NotAcknowledged(&'static str),
}

impl Outbound {
    pub(crate) fn new(parts: OutboundParts) -> Result<Self, BuildError> {
        let client = parts.client(&parts.base_url).build()?;
        Ok(Self { parts, client, others: Mutex::default() })
    }

    /// Sends what a wallet wrote, once: the wallet repeats by itself.
    pub(crate) async fn relay(&self, kind: &str, body: String, customer_id: String) -> Relayed {
        let request =
            SdkProxyRequest { sdk_request_header: kind.to_owned(), sdk_request_body: Some(body), customer_id };
        let [request_names, answer_names] = self.parts.sdk_proxy_names.clone();
        let options = CallOptions { request_names, answer_names, ..self.options(self.parts.sdk_proxy_path.clone()) };
        match self.client.call::<SdkProxy>(&request, options).await {
            Ok(Outcome::Final(answer)) => answered(answer),
            Ok(Outcome::Unknown(unknown)) => {
                tracing::info!(kind, cause = unknown.last.name(), "a relayed request has no answer");
                match unknown.last {
                    Cause::NotConnected | Cause::NotSigned(_) => Relayed::Unreachable,
                    Cause::TimedOut => Relayed::TimedOut,
                    // It has arrived, or may have.
                    Cause::InProcess(_)
                    | Cause::Unsigned(_)
                    | Cause::TurnedAway(_)
                    | Cause::Unverified(_)
                    | Cause::Malformed(_)
                    | Cause::HttpStatus(_)
                    | Cause::TooLong { .. }
                    | Cause::Interrupted => Relayed::Undecided,
                }
            }
            Err(CallError::Request(_)) => Relayed::Illegal,
            Err(error) => {
                tracing::error!(%error, "a relayed request cannot be sent");
                Relayed::Unsigned
            }
        }
    }

    /// Tells how a payment ended, once, at `url` or at the agreed place.
    pub(crate) async fn notify(&self, request: &NotifyPaymentRequest, url: Option<&str>) -> Notified {
        let Some((client, path)) = self.place(url) else { return Notified::NotAcknowledged("address") };
        match client.call::<NotifyPayment>(request, self.options(path)).await {
            Ok(Outcome::Final(answer)) if answer.result.result_status == ResultStatus::Success => {
                Notified::Acknowledged
            }
            Ok(Outcome::Final(_)) => Notified::NotAcknowledged("refused"),
            Ok(Outcome::Unknown(unknown)) => Notified::NotAcknowledged(unknown.last.name()),
            Err(error) => {
                tracing::error!(%error, "a notice cannot be sent");
                Notified::NotAcknowledged("unsigned")
            }
        }
    }

    fn options(&self, path: String) -> CallOptions {
        CallOptions { deadline: Some(self.parts.timeout), path: Some(path), ..CallOptions::default() }
    }

    /// The client and the path for `url`; `None` if it is no address to which a notice may go.
    fn place(&self, url: Option<&str>) -> Option<(Client, String)> {
        let Some(url) = url else { return Some((self.client.clone(), self.parts.notify_path.clone())) };
        let url: Uri = url.parse().ok()?;
        let base = format!("{}://{}", url.scheme_str()?, url.authority()?);
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = others.get(&base) {
            return Some((client.clone(), path));
        }
        let client = self.parts.client(&base).build().ok()?;
        if others.len() >= MAX_HOSTS {
            others.clear();
        }
        others.insert(base, client.clone());
        Some((client, path))
    }
}

impl OutboundParts {
    fn client(&self, base_url: &str) -> ClientBuilder {
        Client::builder(base_url, self.client_id.clone())
            .signing_keys(self.signing.clone())
            .peer_keys(self.peers.clone())
            .clock(Arc::clone(&self.clock))
            .max_clock_skew(self.max_clock_skew)
            .attempt_timeout(self.timeout)
            .connect_timeout(self.timeout)
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbound({})", self.parts.base_url)
    }
}

fn answered(answer: SdkProxyAnswer) -> Relayed {
    match (answer.result.result_status, answer.sdk_response) {
        (ResultStatus::Success, Some(answer)) => Relayed::Answer(answer),
        (ResultStatus::Failure, _) => Relayed::Refused,
        // A success without its answer, too.
        _ => Relayed::Undecided,
    }
}
