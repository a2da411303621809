//! The payment provider's server, as far as a wallet meets it: log in, relay.
//!
//! * `POST /login` with `{"user":"ann"}` answers `{"token":"…"}`. Any name is a user here.
//! * `POST /wallet/relay` with `Authorization: Bearer …` and `{"type":"APPLY","body":"…"}` answers the
//!   token service's bytes, untouched. 401: log in again; 502 and 504: the gateway failed or did not
//!   answer in time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use nfcwallet_core::host::RequestType;
use serde::Deserialize;
use serde_json::json;

use super::OFFLINE_HEADER;
use super::faults::{Fault, Faults, of_another_wallet, spoilt};
use super::gateway::{SDK_PROXY_PATH, SdkProxyRequest, SdkProxyResponse};
use crate::token_service::locked;

/// How often each request type came to the relay.
pub type RelaySeen = BTreeMap<&'static str, u64>;

/// The payment provider's server. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct MppServer {
    inner: Arc<Inner>,
}

struct Inner {
    gateway: SocketAddr,
    client: reqwest::Client,
    faults: Arc<Faults>,
    logins: Mutex<HashMap<String, String>>,
    seen: Mutex<RelaySeen>,
    /// The last answer by type and user, for `replay` and `other_wallet`.
    answers: Mutex<BTreeMap<(&'static str, String), Vec<u8>>>,
    /// Held back until the user's next request.
    late: Mutex<Vec<LateRequest>>,
}

/// A request that is overtaken.
struct LateRequest {
    kind: RequestType,
    user: String,
    body: String,
}

impl std::fmt::Debug for MppServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MppServer(gateway {})", self.inner.gateway)
    }
}

/// A failed hop, as the app sees it.
struct HopError {
    status: StatusCode,
    reason: &'static str,
}

impl IntoResponse for HopError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.reason }))).into_response()
    }
}

const NOT_LOGGED_IN: HopError = HopError { status: StatusCode::UNAUTHORIZED, reason: "not logged in" };

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[derive(Deserialize)]
struct RelayRequest {
    #[serde(rename = "type")]
    kind: String,
    body: String,
}

impl MppServer {
    /// A server in front of `gateway`, which it gives up on after `timeout` (12 s: longer than the
    /// gateway's own expiry).
    ///
    /// # Errors
    /// [`reqwest::Error`] if no HTTP client can be made.
    pub fn new(gateway: SocketAddr, timeout: Duration, faults: Arc<Faults>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
        let inner = Inner {
            gateway,
            client,
            faults,
            logins: Mutex::default(),
            seen: Mutex::default(),
            answers: Mutex::default(),
            late: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new().route("/login", post(login)).route("/wallet/relay", post(relay)).with_state(self)
    }

    /// Logs a user in without HTTP and returns the login token.
    ///
    /// # Errors
    /// [`getrandom::Error`] if the machine has no randomness.
    pub fn log_in(&self, user: &str) -> Result<String, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let token = hex::encode(bytes);
        locked(&self.inner.logins).insert(token.clone(), user.to_owned());
        Ok(token)
    }

    /// How often each request type came, struck ones included.
    #[must_use]
    pub fn seen(&self) -> RelaySeen {
        locked(&self.inner.seen).clone()
    }

    /// Forgets what was seen and answered. Logins stay.
    pub fn reset(&self) {
        locked(&self.inner.seen).clear();
        locked(&self.inner.answers).clear();
        locked(&self.inner.late).clear();
    }

    async fn forward(&self, kind: RequestType, user: &str, body: &str) -> Result<Vec<u8>, HopError> {
        let request = SdkProxyRequest {
            sdk_request_header: kind.as_str().to_owned(),
            sdk_request_body: body.to_owned(),
            customer_id: user.to_owned(),
        };
        let url = format!("http://{}{SDK_PROXY_PATH}", self.inner.gateway);
        let response =
            self.inner.client.post(url).json(&request).send().await.map_err(|error| gateway_error(&error))?;
        let answer: SdkProxyResponse = response.json().await.map_err(|error| gateway_error(&error))?;
        match (answer.result.result_status.as_str(), answer.sdk_response) {
            ("S", Some(answer)) => Ok(answer.into_bytes()),
            ("U", _) => Err(HopError { status: StatusCode::GATEWAY_TIMEOUT, reason: "the gateway does not know" }),
            _ => Err(HopError { status: StatusCode::BAD_GATEWAY, reason: "the gateway refused" }),
        }
    }

    /// What this request has overtaken.
    async fn forward_late(&self, user: &str) -> Result<(), HopError> {
        let late = {
            let mut all = locked(&self.inner.late);
            let (of_user, rest): (Vec<_>, Vec<_>) = all.drain(..).partition(|request| request.user == user);
            *all = rest;
            of_user
        };
        for request in late {
            // The client has given up on its answer.
            drop(self.forward(request.kind, &request.user, &request.body).await?);
        }
        Ok(())
    }

    /// Keeps the answer and returns the user's previous one of this type.
    fn keep(&self, kind: RequestType, user: &str, answer: &[u8]) -> Option<Vec<u8>> {
        locked(&self.inner.answers).insert((kind.as_str(), user.to_owned()), answer.to_vec())
    }

    fn answer_of_another(&self, kind: RequestType, user: &str) -> Option<Vec<u8>> {
        let answers = locked(&self.inner.answers);
        answers
            .iter()
            .find(|((name, owner), _)| *name == kind.as_str() && owner != user)
            .map(|(_, bytes)| bytes.clone())
    }

    async fn relay(&self, kind: RequestType, user: &str, body: &str) -> Result<Response, HopError> {
        *locked(&self.inner.seen).entry(kind.as_str()).or_default() += 1;
        let fault = self.inner.faults.strike(kind);
        match fault {
            // Ends when the client closes the connection, or the server stops.
            Some(Fault::Timeout) => std::future::pending().await,
            Some(Fault::DropRequest) => return Ok(cut()),
            Some(Fault::Late) => {
                let request = LateRequest { kind, user: user.to_owned(), body: body.to_owned() };
                locked(&self.inner.late).push(request);
                return Ok(cut());
            }
            Some(Fault::Http500) => return Err(internal("planned failure")),
            Some(Fault::Offline) => {
                return Ok((StatusCode::SERVICE_UNAVAILABLE, [(OFFLINE_HEADER, "offline")]).into_response());
            }
            Some(Fault::Duplicate) => drop(self.forward(kind, user, body).await?),
            _ => {}
        }
        let answer = self.forward(kind, user, body).await?;
        self.forward_late(user).await?;
        let previous = self.keep(kind, user, &answer);
        match fault {
            Some(Fault::DropAnswer) => Ok(cut()),
            Some(Fault::Replay) => previous.map(whole).ok_or(internal("there is no earlier answer to replay")),
            Some(Fault::OtherWallet) => {
                Ok(whole(of_another_wallet(&answer, self.answer_of_another(kind, user).as_deref())))
            }
            fault => Ok(whole(fault.and_then(|fault| spoilt(fault, &answer)).unwrap_or(answer))),
        }
    }
}

async fn login(State(server): State<MppServer>, Json(login): Json<Login>) -> Result<Response, HopError> {
    if !(1..=64).contains(&login.user.chars().count()) {
        return Err(HopError { status: StatusCode::BAD_REQUEST, reason: "user: limit 1 to 64 characters" });
    }
    let token = server.log_in(&login.user).map_err(|_| internal("no randomness"))?;
    Ok(Json(json!({ "token": token })).into_response())
}

async fn relay(
    State(server): State<MppServer>,
    headers: HeaderMap,
    Json(request): Json<RelayRequest>,
) -> Result<Response, HopError> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let user = token.and_then(|token| locked(&server.inner.logins).get(token).cloned()).ok_or(NOT_LOGGED_IN)?;
    let kind = RequestType::parse(&request.kind)
        .ok_or(HopError { status: StatusCode::BAD_REQUEST, reason: "type: not a request type" })?;
    server.relay(kind, &user, &request.body).await
}

fn whole(answer: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/octet-stream")], answer).into_response()
}

/// A connection that breaks: the body fails before its first byte.
fn cut() -> Response {
    let broken = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("planned cut")) });
    Response::new(Body::from_stream(broken))
}

fn internal(reason: &'static str) -> HopError {
    HopError { status: StatusCode::INTERNAL_SERVER_ERROR, reason }
}

fn gateway_error(error: &reqwest::Error) -> HopError {
    if error.is_timeout() {
        HopError { status: StatusCode::GATEWAY_TIMEOUT, reason: "the gateway did not answer in time" }
    } else {
        HopError { status: StatusCode::BAD_GATEWAY, reason: "the gateway cannot be reached" }
    }
}
