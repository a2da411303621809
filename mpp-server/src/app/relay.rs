//! The wallet's way to the token service: in the user's name, bytes untouched.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;

use super::App;
use super::answer::{AppError, Object};
use super::login::LoggedIn;
use crate::gateway::Relayed;

/// What a wallet may ask. It is all that the relay knows of a request.
pub(crate) const TYPES: [&str; 5] = ["GET_PK", "APPLY", "TRANSFER", "SYNC_TOKEN", "NOTIFY"];

/// The body of `POST /wallet/relay`.
#[derive(Debug, JsonSchema)]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(crate) struct RelayRequest {
    /// `GET_PK`, `APPLY`, `TRANSFER`, `SYNC_TOKEN` or `NOTIFY`.
    #[schemars(extend("enum" = TYPES))]
    r#type: String,
    /// What the wallet wrote. It is passed on unread.
    body: String,
}

/// The user comes from the session, whatever the body says.
pub(crate) async fn relay(
    State(app): State<Arc<App>>,
    session: LoggedIn,
    mut request: Object,
) -> Result<Response, AppError> {
    let (kind, content) = (request.text("type")?, request.text("body")?);
    let kind = TYPES.into_iter().find(|known| *known == kind);
    let kind = kind.ok_or_else(|| AppError::bad_request("type: not a request type"))?;
    let relayed = app.outbound.relay(kind, content, session.customer_id).await;
    app.metrics.relayed(kind, relayed.name());
    match relayed {
        Relayed::Answer(answer) => Ok(([(CONTENT_TYPE, "application/octet-stream")], answer).into_response()),
        Relayed::Illegal => Err(AppError::bad_request("body: cannot be relayed")),
        Relayed::Refused => Err(AppError::gateway_refused()),
        Relayed::Unreachable => Err(AppError::gateway_unreachable()),
        Relayed::TimedOut => Err(AppError::gateway_timeout("the gateway did not answer in time")),
        Relayed::Undecided => Err(AppError::gateway_timeout("nobody knows what became of it")),
        Relayed::Unsigned => Err(AppError::failed()),
    }
}
