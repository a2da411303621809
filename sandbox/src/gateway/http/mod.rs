//! The gateway on the wire: signed in both directions, over loopback.
//!
//! [`GatewayServer`] takes `sdkProxy` and `notifyPayment` from the payment provider, and `inquiryPayment`,
//! `cancelPayment` and `refund` from acquirers, each known by its `Client-Id` and key. [`MppLine`] is the
//! way back to the provider. All of it lives on the sandbox's one clock, and the [`Journal`] counts what
//! was said.

mod acquirer;
mod clock;
mod journal;
mod keys;
mod mpp;
mod sdk_proxy;
mod strikes;

use std::sync::Arc;
use std::time::Duration;

use alipayplus::mobile::SdkProxy;
use alipayplus::payment::{acquirer as acquiring, mpp as provider};
use alipayplus::server::{ApiRouter, Caller, Outcome, RouterError, ServerOptions};
use alipayplus::{ResultCode, ResultInfo, ResultStatus};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;

use self::acquirer::Acquiring;
pub use self::clock::ServersClock;
pub use self::journal::{Journal, SignedCall};
pub use self::keys::{ACQUIRER_CLIENT_ID, KEY_VERSION, KeysError, MPP_CLIENT_ID, Party};
pub use self::mpp::{LineError, MppLine};
pub use self::strikes::{Strike, StrikeRule, Strikes};
use super::Gateway;
use crate::relay::Upstream;
use crate::with_causes;

/// The gateway's server.
pub struct GatewayServer {
    /// What stands behind `sdkProxy`.
    pub upstream: Arc<dyn Upstream>,
    /// After this long the gateway gives up on it; 10 s in the field.
    pub expiry: Duration,
    /// Where events and notices go.
    pub gateway: Arc<Gateway>,
    /// The sandbox's time.
    pub clock: Arc<ServersClock>,
    /// What was said.
    pub journal: Arc<Journal>,
}

impl std::fmt::Debug for GatewayServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GatewayServer(expiry {:?})", self.expiry)
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum GatewayServerError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The routes.
    #[error(transparent)]
    Routes(#[from] RouterError),
}

impl GatewayServer {
    /// Its routes.
    ///
    /// # Errors
    /// [`GatewayServerError`].
    pub fn router(self) -> Result<Router, GatewayServerError> {
        let Self { upstream, expiry, gateway, clock, journal } = self;
        let desk = Acquiring { gateway: Arc::clone(&gateway) };
        let (inquiring, cancelling) = (desk.clone(), desk.clone());
        // The proxy ends every exchange itself.
        let options = ServerOptions { clock, handler_deadline: None, ..ServerOptions::default() };
        let router = ApiRouter::new(keys::identity()?, keys::partners()?, options)
            .api::<SdkProxy, _, _>(None, move |caller, request| {
                let upstream = Arc::clone(&upstream);
                async move {
                    from(&caller, MPP_CLIENT_ID)?;
                    sdk_proxy::sdk_proxy(upstream, expiry, request).await
                }
            })
            .api::<provider::NotifyPayment, _, _>(None, move |caller, notice| {
                let gateway = Arc::clone(&gateway);
                async move {
                    from(&caller, MPP_CLIENT_ID)?;
                    hear(&gateway, &notice)
                }
            })
            .api::<acquiring::InquiryPayment, _, _>(None, move |caller, request| {
                let desk = inquiring.clone();
                async move {
                    from(&caller, ACQUIRER_CLIENT_ID)?;
                    desk.inquire(request).await
                }
            })
            .api::<acquiring::CancelPayment, _, _>(None, move |caller, request| {
                let desk = cancelling.clone();
                async move {
                    from(&caller, ACQUIRER_CLIENT_ID)?;
                    desk.cancel(request).await
                }
            })
            .api::<acquiring::Refund, _, _>(None, move |caller, request| {
                let desk = desk.clone();
                async move {
                    from(&caller, ACQUIRER_CLIENT_ID)?;
                    desk.refund(request).await
                }
            })
            .api::<acquiring::Pay, _, _>(None, |caller, _request| async move {
                from(&caller, ACQUIRER_CLIENT_ID)?;
                let reason = "payments begin with a tap at this gateway's terminals";
                Err(ResultInfo::new(ResultCode::BusinessNotSupport, reason))
            })
            .build()?;
        Ok(router.layer(middleware::from_fn_with_state(journal, note)))
    }
}

/// Each API is for one kind of partner.
fn from(caller: &Caller, client_id: &str) -> Result<(), ResultInfo> {
    if caller.client_id.as_str() == client_id { Ok(()) } else { Err(ResultCode::AccessDenied.into()) }
}

/// A notice of a payment that nobody knows, or of another one than is known, will not become right by being
/// repeated: it is refused for good, with the reason.
fn hear(
    gateway: &Gateway,
    notice: &provider::NotifyPaymentRequest,
) -> Result<provider::NotifyPaymentAnswer, ResultInfo> {
    let heard = gateway.hear(notice).map_err(|error| {
        tracing::error!(error = with_causes(&error), "the gateway's books failed");
        ResultInfo::from(ResultCode::UnknownException)
    })?;
    Ok(provider::NotifyPaymentAnswer { result: heard })
}

/// Keeps the journal of calls that come in.
async fn note(State(journal): State<Arc<Journal>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let client_id = request.headers().get("client-id").and_then(|value| value.to_str().ok());
    let client_id = client_id.unwrap_or_default().to_owned();
    let response = next.run(request).await;
    let outcome = response.extensions().get::<Outcome>();
    journal.note(SignedCall {
        from: if client_id == MPP_CLIENT_ID { Party::Mpp.name() } else { Party::Acquirer.name() },
        to: Party::Gateway.name(),
        method: "POST",
        path,
        client_id,
        result: outcome.map_or_else(|| response.status().to_string(), |outcome| outcome.result.to_string()),
        verified: outcome.is_some_and(|outcome| is_verified(&outcome.result)),
    });
    response
}

/// Everything but what says that the request was not believed.
fn is_verified(result: &ResultInfo) -> bool {
    let refused = [ResultCode::InvalidSignature, ResultCode::InvalidClient, ResultCode::KeyNotFound];
    result.result_status != ResultStatus::Failure || !refused.contains(&result.result_code)
}

#[cfg(test)]
mod tests;
