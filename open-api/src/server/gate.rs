//! What a request must pass before a handler sees it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Uri};

use super::Caller;
use super::endpoint::{Endpoint, Written};
use super::options::{Identity, Repeats, ServerOptions};
use super::replay::Replay;
use super::reply::{self, Outcome};
use crate::signature::{ClientId, KeyRing, SignatureError, SignatureHeader, SignedContent};
use crate::transport::{self, header};
use crate::{ResultCode, ResultInfo};

/// Shared by all APIs of a router.
pub(super) struct Gate {
    pub(super) identity: Identity,
    pub(super) keys: KeyRing,
    pub(super) options: ServerOptions,
}

impl Gate {
    /// Answers a request to `endpoint`; without one, there is no API at its path.
    pub(super) async fn answer(&self, endpoint: Option<&Arc<dyn Endpoint>>, request: Request) -> Response {
        let started = self.options.clock.monotonic();
        let uri = received_uri(&request);
        let claimed = claimed_client(request.headers());
        let written = match self.admit(endpoint.map(|endpoint| endpoint.name()), &uri, request).await {
            Ok(caller) => match endpoint {
                Some(endpoint) => endpoint.call(caller, self.options.handler_deadline).await,
                None => Written::only(ResultCode::NoInterfaceDef.into()),
            },
            Err(result) => match endpoint {
                Some(endpoint) => endpoint.refuse(result),
                None => Written::only(result),
            },
        };
        let outcome = Outcome { api: endpoint.map(|endpoint| endpoint.name()), result: written.result.clone() };
        let mut response = reply::signed(&self.identity, &self.options, &uri, claimed.as_ref(), written);
        tracing::debug!(
            api = outcome.api,
            client_id = claimed.as_ref().map(ClientId::as_str),
            result = %outcome.result,
            took_us = self.options.clock.monotonic().saturating_sub(started).as_micros(),
            "answered"
        );
        response.extensions_mut().insert(outcome);
        response
    }

    /// Everything that is checked before the fields are.
    async fn admit(&self, api: Option<&str>, uri: &str, request: Request) -> Result<Caller, ResultInfo> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(ResultCode::MethodNotSupported.into());
        }
        if api.is_none() {
            return Err(ResultCode::NoInterfaceDef.into());
        }
        if !is_json(&head.headers) {
            return Err(ResultCode::MediaTypeNotAcceptable.into());
        }
        let body = self.read(body).await?;
        let caller = self.verify(uri, &head.headers, body).map_err(|error| {
            tracing::warn!(api, %error, "refused a request");
            ResultInfo::new(error.result_code(), error.to_string())
        })?;
        self.check_repeat(&caller)?;
        Ok(caller)
    }

    async fn read(&self, body: Body) -> Result<Bytes, ResultInfo> {
        let read = read_up_to(body, self.options.max_body_bytes);
        let late = |_| Err(ResultInfo::new(ResultCode::UnknownException, "the body did not arrive in time"));
        tokio::time::timeout(self.options.body_timeout, read).await.unwrap_or_else(late)
    }

    fn verify(&self, uri: &str, headers: &HeaderMap, body: Bytes) -> Result<Caller, SignatureError> {
        let client_id = transport::single(headers, header::CLIENT_ID)?;
        let client_id = ClientId::parse(client_id).map_err(|_| SignatureError::ClientMalformed)?;
        let time = transport::time(headers, header::REQUEST_TIME)?;
        let signature = SignatureHeader::parse(transport::single(headers, header::SIGNATURE)?.as_bytes())?;
        let now_ms = self.options.clock.wall_ms();
        let content = SignedContent { uri, client_id: client_id.as_str(), time, body: &body };
        self.keys.verify(&client_id, &content, &signature, now_ms)?;
        transport::check_fresh(time, header::REQUEST_TIME, now_ms, self.options.max_clock_skew_ms())?;
        Ok(Caller {
            client_id,
            key_version: signature.key_version(),
            request_time: time.to_owned(),
            uri: uri.to_owned(),
            body,
            received_ms: now_ms,
        })
    }

    fn check_repeat(&self, caller: &Caller) -> Result<(), ResultInfo> {
        let Repeats::Refuse(guard) = &self.options.repeats else { return Ok(()) };
        let sent_ms = crate::clock::from_header(&caller.request_time).unwrap_or(caller.received_ms);
        // A time of `sent_ms` is fresh up to and including this moment.
        let until_ms = sent_ms.saturating_add(self.options.max_clock_skew_ms()).saturating_add(1);
        match guard.note(caller.content().sha256(), caller.received_ms, until_ms) {
            Replay::First => Ok(()),
            Replay::Again => Err(ResultInfo::new(ResultCode::UnknownException, "seen before: sign anew to ask again")),
            Replay::Full => Err(ResultCode::RequestTrafficExceedLimit.into()),
        }
    }
}

/// The whole body. One that is too long is the caller's fault; one that broke off may be sent again.
async fn read_up_to(mut body: Body, limit: usize) -> Result<Bytes, ResultInfo> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ResultInfo::new(ResultCode::UnknownException, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len().saturating_add(data.len()) > limit {
            return Err(ResultInfo::new(ResultCode::ParamIllegal, format!("the body has more than {limit} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

impl Caller {
    fn content(&self) -> SignedContent<'_> {
        let (uri, client_id) = (self.uri.as_str(), self.client_id.as_str());
        SignedContent { uri, client_id, time: &self.request_time, body: &self.body }
    }
}

/// The path and query that came over the wire, also below a router that strips a prefix.
fn received_uri(request: &Request) -> String {
    let original = request.extensions().get::<OriginalUri>();
    let uri: &Uri = original.map_or(request.uri(), |original| &original.0);
    uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
}

/// The name under which to answer, verified or not.
fn claimed_client(headers: &HeaderMap) -> Option<ClientId> {
    ClientId::parse(transport::single(headers, header::CLIENT_ID).ok()?).ok()
}

/// JSON in UTF-8, or not said.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let is_utf8 =
        |charset: &str| ["utf-8", "utf8"].iter().any(|name| charset.trim_matches('"').eq_ignore_ascii_case(name));
    let charsets =
        parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    (kind.is_empty() || kind.eq_ignore_ascii_case("application/json"))
        && charsets.into_iter().all(|(_, set)| is_utf8(set))
}
