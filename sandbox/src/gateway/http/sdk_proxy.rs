//! `sdkProxy`: a wallet's request, handed on to what stands behind the gateway.

use std::sync::Arc;
use std::time::Duration;

use alipayplus::mobile::{SdkProxyAnswer, SdkProxyRequest};
use alipayplus::{ResultCode, ResultInfo};
use nfcwallet_core::host::RequestType;

use crate::relay::Upstream;

/// Hands `request` to `upstream`, which has until `expiry`. Bodies go through unread and unchanged. `U`
/// says that nobody knows whether the service has acted, or will.
pub(super) async fn sdk_proxy(
    upstream: Arc<dyn Upstream>,
    expiry: Duration,
    request: SdkProxyRequest,
) -> Result<SdkProxyAnswer, ResultInfo> {
    let Some(kind) = RequestType::parse(&request.sdk_request_header) else {
        return Err(ResultInfo::new(ResultCode::ParamIllegal, "sdkRequestHeader is not a request type"));
    };
    let exchange = tokio::task::spawn_blocking(move || {
        upstream.exchange(kind, &request.customer_id, request.sdk_request_body.unwrap_or_default().as_bytes())
    });
    let unknown = |reason: &str| ResultInfo::new(ResultCode::UnknownException, reason);
    match tokio::time::timeout(expiry, exchange).await {
        Err(_) => Err(unknown("the request expired")),
        Ok(Err(_)) => Err(unknown("the token service failed")),
        Ok(Ok(answer)) => match String::from_utf8(answer) {
            Ok(answer) => Ok(SdkProxyAnswer { result: ResultInfo::success(), sdk_response: Some(answer) }),
            Err(_) => Err(unknown("the token service answered no text")),
        },
    }
}
