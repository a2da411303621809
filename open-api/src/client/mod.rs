//! The caller's half: signs, sends, verifies the answer, and repeats while nobody knows.
//!
//! The answer to every call is an [`Outcome`]: final, or unknown. Unknown is everything that is not a
//! verified word of the other side that the call succeeded or failed: status `U`, no answer in time, another
//! HTTP status than 200, an answer that is not signed or not signed rightly. A caller has to look at it to
//! get at an answer, and so cannot take a missing answer for a failure. What to do then is the API's: ask
//! again, inquire, cancel.
//!
//! While the outcome is unknown, a [`RetryPolicy`] repeats the call: the same bytes, so the same id, signed
//! anew with a new time. Success and failure are never repeated.
//!
//! | answer | outcome |
//! |---|---|
//! | signed, verified, fresh; status `S` or `F` | final |
//! | the same with status `U`, or any other letter | unknown |
//! | unsigned `S` | unknown |
//! | unsigned `F` | final, with nothing but its result; unknown for the APIs that move money ([`MOVES_MONEY`]) |
//! | unsigned `U` | unknown |
//! | only one of `Signature` and `Response-Time`, either of them empty, or another `Client-Id` | unknown |
//!
//! A failure that the other side's gate tells ([`ResultCode::is_of_the_gate`](crate::ResultCode::is_of_the_gate))
//! is final for a first attempt only. Of an earlier one that may have arrived it says nothing: the outcome is
//! unknown, and the call is not repeated.
//!
//! A call that is dropped while it runs has an unknown outcome too.
//!
//! The client follows no redirects and uses no proxy of the environment. Certificates are always checked;
//! plain HTTP goes to loopback addresses only, unless the builder is told otherwise.

mod builder;
mod judge;
mod outcome;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use reqwest::{Response, Url};

pub use builder::{BuildError, ClientBuilder};
pub use judge::MOVES_MONEY;
pub use outcome::{CallError, Cause, Outcome, Unknown};
pub use retry::RetryPolicy;

use crate::clock::{self, Clock};
use crate::signature::{ClientId, KeyRing, SignatureError, SignedContent, SigningKeys};
use crate::transport::{self, header};
use crate::wire::Names;
use crate::{Answer, Api};

/// Calls the APIs of one other side. Clones share connections and keys.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    base: Url,
    client_id: ClientId,
    signing: SigningKeys,
    peers: KeyRing,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    attempt_timeout: Duration,
    max_clock_skew: Duration,
    max_body_bytes: usize,
}

/// What is special about one call. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// Give up after this long, however often it was tried. Default: that of the policy.
    pub deadline: Option<Duration>,
    /// Call this path, with or without a query, in place of [`Api::PATH`].
    pub path: Option<String>,
    /// Repeat by this policy in place of the client's.
    pub retry: Option<RetryPolicy>,
    /// What the other side calls fields of the request whose names no page states.
    pub request_names: Names,
    /// The same, of the answer. Its `result` has no other name.
    pub answer_names: Names,
}

impl Client {
    /// To `base_url`, for example `https://open-sea.alipayplus.com`, as `client_id`.
    #[must_use]
    pub fn builder(base_url: &str, client_id: ClientId) -> ClientBuilder {
        ClientBuilder::new(base_url, client_id)
    }

    /// Asks `A`, and repeats as long as the outcome is unknown and the policy and the deadline allow.
    ///
    /// # Errors
    /// [`CallError`] if nothing was sent, because the request breaks a rule or cannot be signed. Whatever
    /// happens later is in the [`Outcome`].
    pub async fn call<A: Api>(
        &self,
        request: &A::Request,
        options: CallOptions,
    ) -> Result<Outcome<A::Answer>, CallError> {
        let body = Bytes::from(options.request_names.to_bytes(request).map_err(CallError::Request)?);
        let url = self.url(options.path.as_deref().unwrap_or(A::PATH))?;
        let policy = options.retry.as_ref().unwrap_or(&self.inner.retry);
        let deadline = options.deadline.unwrap_or(policy.deadline);

        let clock = &self.inner.clock;
        let started = clock.monotonic();
        let left = || deadline.saturating_sub(clock.monotonic().saturating_sub(started));
        let mut pauses = policy.pauses();
        let (mut attempts, mut may_have_arrived) = (0, false);
        loop {
            attempts += 1;
            let last = match self.attempt::<A>(&url, body.clone(), left(), &options.answer_names).await {
                Ok(answer) if may_have_arrived && answer.result().result_code.is_of_the_gate() => {
                    let last = Cause::TurnedAway(answer.result().clone());
                    return Ok(Outcome::Unknown(Unknown { last, attempts, may_have_arrived }));
                }
                Ok(answer) => return Ok(Outcome::Final(answer)),
                Err(Cause::NotSigned(error)) if attempts == 1 => return Err(CallError::NotSigned(error)),
                Err(last) => last,
            };
            tracing::debug!(api = A::NAME, attempts, cause = last.name(), "the outcome is unknown");
            may_have_arrived |= last.may_have_arrived();
            match pauses.next().filter(|pause| *pause < left()) {
                Some(pause) => clock.sleep(pause).await,
                None => return Ok(Outcome::Unknown(Unknown { last, attempts, may_have_arrived })),
            }
        }
    }

    /// The base with `path` behind it. A path of the base stays in front.
    fn url(&self, path: &str) -> Result<Url, CallError> {
        let illegal = || CallError::Path { path: path.to_owned() };
        if !path.starts_with('/') || path.contains('#') {
            return Err(illegal());
        }
        let url = format!("{}{path}", self.inner.base.as_str().trim_end_matches('/'));
        Url::parse(&url).map_err(|_| illegal())
    }

    /// Once: an answer that is final, or why there is none.
    async fn attempt<A: Api>(
        &self,
        url: &Url,
        body: Bytes,
        left: Duration,
        names: &Names,
    ) -> Result<A::Answer, Cause<A::Answer>> {
        let inner = &*self.inner;
        // What is signed is what is sent: the path after the URL was normalised.
        let uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let headers = inner.sign(&uri, &body).map_err(Cause::NotSigned)?;
        let mut request = inner.http.post(url.clone()).timeout(left.min(inner.attempt_timeout));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.map_err(|error| Cause::of(&error))?;
        if response.status() != StatusCode::OK {
            return Err(Cause::HttpStatus(response.status().as_u16()));
        }
        let (headers, body) = inner.read(response).await?;
        inner.judge::<A>(&uri, &headers, &body, names)
    }
}

impl Inner {
    fn sign(&self, uri: &str, body: &[u8]) -> Result<[(&'static str, String); 4], SignatureError> {
        let now_ms = self.clock.wall_ms();
        let time = clock::to_header(now_ms);
        let content = SignedContent { uri, client_id: self.client_id.as_str(), time: &time, body };
        let signature = self.signing.sign(&content, now_ms)?;
        Ok([
            (CONTENT_TYPE.as_str(), transport::JSON.to_owned()),
            (header::CLIENT_ID, self.client_id.as_str().to_owned()),
            (header::REQUEST_TIME, time),
            (header::SIGNATURE, signature.to_string()),
        ])
    }

    /// The whole body, piece by piece, up to the limit.
    async fn read<A>(&self, mut response: Response) -> Result<(HeaderMap, Vec<u8>), Cause<A>> {
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| Cause::of(&error))? {
            if body.len().saturating_add(piece.len()) > self.max_body_bytes {
                return Err(Cause::TooLong { limit: self.max_body_bytes });
            }
            body.extend_from_slice(&piece);
        }
        Ok((headers, body))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (base, client_id) = (self.inner.base.as_str(), &self.inner.client_id);
        f.debug_struct("Client").field("base", &base).field("client_id", client_id).finish_non_exhaustive()
    }
}
