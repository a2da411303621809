//! The way from the terminal to the issuer: in this process, or over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::provider::{ProviderLine, Sale};
use crate::gateway::Gateway;
use crate::issuer::{Authorisation, AuthorisationRequest, CaPublicKey, Issuer, IssuerError, TrackRequest};
use crate::token_service::TokenService;
use crate::wait::wait_for;

/// The issuer answers at once; a server that is silent for this long is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a terminal's request to the issuer. Blocks; call it outside of an executor.
pub trait Acquirer: Send + Sync {
    /// Asks the issuer once. A declined payment is no error.
    ///
    /// # Errors
    /// [`AcquirerError`]: nobody knows whether the issuer has decided.
    fn authorise(&self, request: &AuthorisationRequest) -> Result<Authorisation, AcquirerError>;

    /// The same for a payment by tracks.
    ///
    /// # Errors
    /// As [`Acquirer::authorise`].
    fn authorise_track(&self, request: &TrackRequest) -> Result<Authorisation, AcquirerError>;
}

/// Why the issuer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AcquirerError {
    /// Nobody listens there, or not in time.
    #[error("the issuer at http://{control} does not answer: {reason}")]
    Unreachable {
        /// The control API's address.
        control: SocketAddr,
        /// What the client said.
        reason: String,
    },
    /// The server answered with a problem.
    #[error("the issuer's server answered {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// The answer is not what the route promises.
    #[error("the issuer's answer has another form: {reason}")]
    Malformed {
        /// What was wrong.
        reason: String,
    },
    /// The issuer in this process failed.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The gateway in this process failed; nothing was asked of the payment provider.
    #[error("the gateway: {reason}")]
    Gateway {
        /// What it said.
        reason: String,
    },
}

/// The issuer and the gateway in this process, under the token service's clock.
#[derive(Debug, Clone)]
pub struct IssuerAcquirer {
    issuer: Arc<Issuer>,
    service: Arc<TokenService>,
    line: ProviderLine,
}

impl IssuerAcquirer {
    /// An acquirer whose time is `service`'s, by which credentials expire. What the issuer approves goes
    /// through `gateway` to the payment provider, on `runtime`.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, service: Arc<TokenService>, gateway: Arc<Gateway>, runtime: Handle) -> Self {
        Self { issuer, service, line: ProviderLine { gateway, runtime } }
    }

    /// The authorities that terminals must trust.
    #[must_use]
    pub fn ca_keys(&self) -> Vec<CaPublicKey> {
        self.issuer.ca_public_keys()
    }
}

impl Acquirer for IssuerAcquirer {
    fn authorise(&self, request: &AuthorisationRequest) -> Result<Authorisation, AcquirerError> {
        let now_ms = self.service.clock().now_ms();
        let answer = self.issuer.authorise(request, now_ms)?;
        // The issuer has read both: it approves no request whose digits are none.
        let sale = Sale {
            amount_minor: request.amount_minor().unwrap_or_default(),
            currency: request.currency_number().unwrap_or_default(),
            kind: request.kind,
            merchant_name: &request.merchant_name,
            merchant_category: request.merchant_category,
            now_ms,
        };
        self.line.complete(answer, &sale)
    }

    fn authorise_track(&self, request: &TrackRequest) -> Result<Authorisation, AcquirerError> {
        let now_ms = self.service.clock().now_ms();
        let answer = self.issuer.authorise_track(request, now_ms)?;
        let sale = Sale {
            amount_minor: request.amount_minor().unwrap_or_default(),
            currency: request.currency_number().unwrap_or_default(),
            kind: request.kind,
            merchant_name: &request.merchant_name,
            merchant_category: request.merchant_category,
            now_ms,
        };
        self.line.complete(answer, &sale)
    }
}

/// The answer of `GET /control/ca`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaKeys {
    /// The authorities that terminals must trust.
    pub ca_keys: Vec<CaPublicKey>,
}

/// The issuer behind the control API of a sandbox in another process.
#[derive(Debug, Clone)]
pub struct HttpAcquirer {
    client: reqwest::Client,
    control: SocketAddr,
    runtime: Handle,
}

impl HttpAcquirer {
    /// An acquirer for the sandbox whose control API listens on `control`. Its calls run on `runtime`.
    ///
    /// # Errors
    /// [`AcquirerError::Unreachable`] if no HTTP client can be made.
    pub fn new(control: SocketAddr, runtime: Handle) -> Result<Self, AcquirerError> {
        // Loopback only: a proxy of the environment must not see it.
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
        let client = client.map_err(|error| unreachable_at(control, &error))?;
        Ok(Self { client, control, runtime })
    }

    /// The authorities that terminals must trust. Blocks.
    ///
    /// # Errors
    /// [`AcquirerError`].
    pub fn ca_keys(&self) -> Result<Vec<CaPublicKey>, AcquirerError> {
        let answer: CaKeys = self.exchange(self.client.get(self.url("ca")))?;
        Ok(answer.ca_keys)
    }

    fn url(&self, route: &str) -> String {
        format!("http://{}/control/{route}", self.control)
    }

    fn exchange<T: DeserializeOwned + Send + 'static>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, AcquirerError> {
        let control = self.control;
        let stopped = |_| AcquirerError::Unreachable { control, reason: "the runtime has stopped".to_owned() };
        wait_for(&self.runtime, exchange(control, request)).map_err(stopped)?
    }
}

impl Acquirer for HttpAcquirer {
    fn authorise(&self, request: &AuthorisationRequest) -> Result<Authorisation, AcquirerError> {
        self.exchange(self.client.post(self.url("authorise")).json(request))
    }

    fn authorise_track(&self, request: &TrackRequest) -> Result<Authorisation, AcquirerError> {
        self.exchange(self.client.post(self.url("authorise-track")).json(request))
    }
}

async fn exchange<T: DeserializeOwned>(
    control: SocketAddr,
    request: reqwest::RequestBuilder,
) -> Result<T, AcquirerError> {
    let response = request.send().await.map_err(|error| unreachable_at(control, &error))?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| unreachable_at(control, &error))?;
    if !status.is_success() {
        let reason = String::from_utf8_lossy(&body).into_owned();
        return Err(AcquirerError::Refused { status: status.as_u16(), reason });
    }
    serde_json::from_slice(&body).map_err(|error| AcquirerError::Malformed { reason: error.to_string() })
}

fn unreachable_at(control: SocketAddr, error: &reqwest::Error) -> AcquirerError {
    let reason = match error {
        error if error.is_connect() => "nobody listens there".to_owned(),
        error if error.is_timeout() => format!("no answer within {} s", PATIENCE.as_secs()),
        error => error.to_string(),
    };
    AcquirerError::Unreachable { control, reason }
}
