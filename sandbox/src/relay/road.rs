//! The road from the app to the payment provider's server, on which things go wrong as planned.
//!
//! It passes everything through unchanged; only at `POST /wallet/relay` it counts requests by type and
//! lets the planned [`Faults`] strike. It learns who travels from the logins that pass, so that a fault
//! can mix up the answers of one user or of two.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nfcwallet_core::host::RequestType;
use serde::Deserialize;
use serde_json::json;

use super::OFFLINE_HEADER;
use super::faults::{Fault, Faults, of_another_wallet, spoilt};
use crate::token_service::locked;

/// More than any wallet or server sends.
const BODY_LIMIT: usize = 1024 * 1024;
/// Where faults strike.
const RELAY_PATH: &str = "/wallet/relay";
const LOGIN_PATH: &str = "/login";

/// How often each request type came to the relay.
pub type RelaySeen = BTreeMap<&'static str, u64>;

/// The road. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Road {
    inner: Arc<Inner>,
}

struct Inner {
    server: SocketAddr,
    client: reqwest::Client,
    faults: Arc<Faults>,
    /// Who logged in, by login token.
    travellers: Mutex<HashMap<String, String>>,
    seen: Mutex<RelaySeen>,
    /// The last answer by type and user, for `replay` and `other_wallet`.
    answers: Mutex<BTreeMap<(&'static str, String), Answer>>,
    /// Held back until the user's next request.
    late: Mutex<Vec<(String, Passing)>>,
}

impl std::fmt::Debug for Road {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Road(to {})", self.inner.server)
    }
}

/// A request on its way.
#[derive(Clone)]
struct Passing {
    head: Parts,
    body: Bytes,
}

/// The server's answer.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Deserialize)]
struct Relayed {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
}

/// The road itself failed.
struct Blocked {
    status: StatusCode,
    reason: &'static str,
}

impl IntoResponse for Blocked {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.reason }))).into_response()
    }
}

impl Road {
    /// A road to `server`.
    ///
    /// # Errors
    /// [`reqwest::Error`] if no HTTP client can be made.
    pub fn new(server: SocketAddr, faults: Arc<Faults>) -> Result<Self, reqwest::Error> {
        // The server ends every call itself; the road has no patience of its own.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let inner = Inner {
            server,
            client,
            faults,
            travellers: Mutex::default(),
            seen: Mutex::default(),
            answers: Mutex::default(),
            late: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes every path.
    pub fn router(self) -> Router {
        Router::new().fallback(travel).with_state(self)
    }

    /// How often each request type came, struck ones included.
    #[must_use]
    pub fn seen(&self) -> RelaySeen {
        locked(&self.inner.seen).clone()
    }

    /// Forgets what was seen and answered. Who is logged in stays known.
    pub fn reset(&self) {
        locked(&self.inner.seen).clear();
        locked(&self.inner.answers).clear();
        locked(&self.inner.late).clear();
    }

    async fn forward(&self, passing: Passing) -> Result<Answer, Blocked> {
        let path = passing.head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("http://{}{path}", self.inner.server);
        let headers = without_hops(passing.head.headers);
        let request = self.inner.client.request(passing.head.method, url).headers(headers).body(passing.body);
        let response = request.send().await.map_err(|_| UNREACHABLE)?;
        let (status, headers) = (response.status(), without_hops(response.headers().clone()));
        let body = response.bytes().await.map_err(|_| UNREACHABLE)?;
        Ok(Answer { status, headers, body })
    }

    /// What this request has overtaken.
    async fn forward_late(&self, user: &str) -> Result<(), Blocked> {
        let late = {
            let mut all = locked(&self.inner.late);
            let (of_user, rest): (Vec<_>, Vec<_>) = all.drain(..).partition(|(owner, _)| owner == user);
            *all = rest;
            of_user
        };
        for (_, passing) in late {
            // The client has given up on its answer.
            drop(self.forward(passing).await?);
        }
        Ok(())
    }

    /// Keeps the answer and returns the user's previous one of this type.
    fn keep(&self, kind: RequestType, user: &str, answer: &Answer) -> Option<Answer> {
        locked(&self.inner.answers).insert((kind.as_str(), user.to_owned()), answer.clone())
    }

    fn answer_of_another(&self, kind: RequestType, user: &str) -> Option<Bytes> {
        let answers = locked(&self.inner.answers);
        answers
            .iter()
            .find(|((name, owner), _)| *name == kind.as_str() && owner != user)
            .map(|(_, answer)| answer.body.clone())
    }

    /// Who sends this, by the login that passed; a login from before the road is a user of its own.
    fn traveller(&self, headers: &HeaderMap) -> String {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.unwrap_or_default();
        locked(&self.inner.travellers).get(token).cloned().unwrap_or_else(|| token.to_owned())
    }

    async fn log_in(&self, passing: Passing) -> Result<Response, Blocked> {
        let login: Option<Login> = serde_json::from_slice(&passing.body).ok();
        let answer = self.forward(passing).await?;
        let logged_in: Option<LoggedIn> = serde_json::from_slice(&answer.body).ok();
        if let (Some(login), Some(logged_in)) = (login, logged_in) {
            locked(&self.inner.travellers).insert(logged_in.token, login.user);
        }
        Ok(answer.into_response())
    }

    async fn relay(&self, kind: RequestType, passing: Passing) -> Result<Response, Blocked> {
        *locked(&self.inner.seen).entry(kind.as_str()).or_default() += 1;
        let user = self.traveller(&passing.head.headers);
        let fault = self.inner.faults.strike(kind);
        match fault {
            // Ends when the client closes the connection, or the road is closed.
            Some(Fault::Timeout) => std::future::pending().await,
            Some(Fault::DropRequest) => return Ok(cut()),
            Some(Fault::Late) => {
                locked(&self.inner.late).push((user, passing));
                return Ok(cut());
            }
            Some(Fault::Http500) => return Err(internal("planned failure")),
            Some(Fault::Offline) => {
                return Ok((StatusCode::SERVICE_UNAVAILABLE, [(OFFLINE_HEADER, "offline")]).into_response());
            }
            Some(Fault::Duplicate) => drop(self.forward(passing.clone()).await?),
            _ => {}
        }
        let answer = self.forward(passing).await?;
        if !answer.status.is_success() {
            return Ok(answer.into_response());
        }
        self.forward_late(&user).await?;
        let previous = self.keep(kind, &user, &answer);
        match fault {
            Some(Fault::DropAnswer) => Ok(cut()),
            Some(Fault::Replay) => {
                previous.map(Answer::into_response).ok_or(internal("there is no earlier answer to replay"))
            }
            Some(Fault::OtherWallet) => {
                let donor = self.answer_of_another(kind, &user);
                let body = of_another_wallet(&answer.body, donor.as_deref());
                Ok(answer.with(body).into_response())
            }
            fault => Ok(match fault.and_then(|fault| spoilt(fault, &answer.body)) {
                Some(body) => answer.with(body).into_response(),
                None => answer.into_response(),
            }),
        }
    }
}

impl Answer {
    fn with(self, body: Vec<u8>) -> Self {
        Self { body: body.into(), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

async fn travel(State(road): State<Road>, request: Request) -> Result<Response, Blocked> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| TOO_LARGE)?;
    let passing = Passing { head, body };
    match passing.head.uri.path() {
        LOGIN_PATH => road.log_in(passing).await,
        RELAY_PATH => match kind_of(&passing.body) {
            Some(kind) => road.relay(kind, passing).await,
            // The server says what is wrong with it.
            None => road.forward(passing).await.map(Answer::into_response),
        },
        _ => road.forward(passing).await.map(Answer::into_response),
    }
}

fn kind_of(body: &[u8]) -> Option<RequestType> {
    let relayed: Relayed = serde_json::from_slice(body).ok()?;
    RequestType::parse(&relayed.kind)
}

/// What belongs to one connection and not to the message (RFC 9110, 7.6.1).
fn without_hops(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// A connection that breaks: the body fails before its first byte.
fn cut() -> Response {
    let broken = futures_util::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("planned cut")) });
    Response::new(Body::from_stream(broken))
}

const UNREACHABLE: Blocked = Blocked { status: StatusCode::BAD_GATEWAY, reason: "the server cannot be reached" };
const TOO_LARGE: Blocked = Blocked { status: StatusCode::PAYLOAD_TOO_LARGE, reason: "the body is too long" };

fn internal(reason: &'static str) -> Blocked {
    Blocked { status: StatusCode::INTERNAL_SERVER_ERROR, reason }
}
