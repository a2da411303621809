//! The answer, signed.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::endpoint::Written;
use super::options::{Identity, ServerOptions};
use crate::signature::{ClientId, SignatureError, SignedContent};
use crate::transport::{self, header};
use crate::{ResultInfo, clock};

/// What became of a request, as an extension of the response: for a layer that counts.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The API's name; `None` if there is none at this path.
    pub api: Option<&'static str>,
    /// What the answer says.
    pub result: ResultInfo,
}

/// Signs `written` as the answer to a request to `uri` that called itself `client_id`.
pub(super) fn signed(
    identity: &Identity,
    options: &ServerOptions,
    uri: &str,
    client_id: Option<&ClientId>,
    written: Written,
) -> Response {
    let client_id = client_id.unwrap_or(&identity.client_id).as_str();
    let now_ms = options.clock.wall_ms();
    let time = clock::to_header(now_ms);
    let content = SignedContent { uri, client_id, time: &time, body: &written.body };
    let headers = identity.keys.sign(&content, now_ms).and_then(|signature| {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| SignatureError::SigningFailed);
        Ok([
            (header::CLIENT_ID, value(client_id)?),
            (header::RESPONSE_TIME, value(&time)?),
            (header::SIGNATURE, value(&signature.to_string())?),
        ])
    });
    match headers {
        Ok(headers) => {
            let mut response = Response::new(Body::from(written.body));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(transport::JSON));
            response.headers_mut().extend(headers.map(|(name, value)| (http::HeaderName::from_static(name), value)));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be signed");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
