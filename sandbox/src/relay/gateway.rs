//! The Alipay+ gateway as far as a wallet's relay meets it: `sdkProxy`.
//!
//! `POST /aps/api/v1/mobile/sdkProxy` with `{sdkRequestHeader, sdkRequestBody, customerId}` answers
//! `{result{resultStatus, resultCode, resultMessage}, sdkResponse}`. The header carries the request
//! type. Status `S` has an answer; `F` will not have one; `U` is unknown, for example because the
//! gateway gave up after 10 s while the service may still act.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use nfcwallet_core::host::RequestType;
use serde::{Deserialize, Serialize};

use super::Upstream;

/// Where the gateway listens for relayed requests.
pub(crate) const SDK_PROXY_PATH: &str = "/aps/api/v1/mobile/sdkProxy";

/// The gateway.
#[derive(Clone)]
pub struct Gateway {
    upstream: Arc<dyn Upstream>,
    expiry: Duration,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway(expiry {:?})", self.expiry)
    }
}

/// A relayed request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkProxyRequest {
    pub(crate) sdk_request_header: String,
    pub(crate) sdk_request_body: String,
    pub(crate) customer_id: String,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkProxyResponse {
    pub(crate) result: ApiResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sdk_response: Option<String>,
}

/// The outcome of an API call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiResult {
    pub(crate) result_status: String,
    pub(crate) result_code: String,
    pub(crate) result_message: String,
}

impl Gateway {
    /// A gateway that gives up on `upstream` after `expiry` (10 s in the field).
    #[must_use]
    pub fn new(upstream: Arc<dyn Upstream>, expiry: Duration) -> Self {
        Self { upstream, expiry }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new().route(SDK_PROXY_PATH, post(sdk_proxy)).with_state(self)
    }
}

async fn sdk_proxy(State(gateway): State<Gateway>, Json(request): Json<SdkProxyRequest>) -> Json<SdkProxyResponse> {
    let Some(kind) = RequestType::parse(&request.sdk_request_header) else {
        return failed("F", "PARAM_ILLEGAL", "sdkRequestHeader is not a request type");
    };
    if request.customer_id.is_empty() {
        return failed("F", "PARAM_ILLEGAL", "customerId is empty");
    }
    let upstream = Arc::clone(&gateway.upstream);
    let exchange = tokio::task::spawn_blocking(move || {
        upstream.exchange(kind, &request.customer_id, request.sdk_request_body.as_bytes())
    });
    match tokio::time::timeout(gateway.expiry, exchange).await {
        Err(_) => failed("U", "UNKNOWN_EXCEPTION", "the request expired"),
        Ok(Err(_)) => failed("U", "UNKNOWN_EXCEPTION", "the token service failed"),
        Ok(Ok(answer)) => match String::from_utf8(answer) {
            Ok(answer) => {
                Json(SdkProxyResponse { result: result("S", "SUCCESS", "success"), sdk_response: Some(answer) })
            }
            Err(_) => failed("U", "UNKNOWN_EXCEPTION", "the token service answered no text"),
        },
    }
}

fn failed(status: &str, code: &str, message: &str) -> Json<SdkProxyResponse> {
    Json(SdkProxyResponse { result: result(status, code, message), sdk_response: None })
}

fn result(status: &str, code: &str, message: &str) -> ApiResult {
    ApiResult { result_status: status.to_owned(), result_code: code.to_owned(), result_message: message.to_owned() }
}
