//! The provider's app: log in, relay for its wallet, and what a user may see of payments.
//!
//! Plain JSON. Whoever sends a session's token is its user, and sees nothing of others; what a body says
//! about a user counts for nothing. Owns the tables `sessions` and `passwords`.
//!
//! | call | answer |
//! |---|---|
//! | `POST /login` `{user, password}` | `{token, expires_at}` |
//! | `POST /logout` | `{}` |
//! | `POST /wallet/relay` `{type, body}` | the token service's bytes, untouched |
//! | `GET /balance` | what is on the account |
//! | `GET /service` | whether a phone can pay, and why not |
//! | `GET /payments?limit=&before=` | payments and refunds, newest first |
//! | `GET /payments/{id}` | one payment with its refunds |
//! | `GET /payments/by-reference/{reference}` | the payment of one tap |
//!
//! Errors are `{"error", "code"}`: 400 a field is wrong, 401 log in, 404 nothing of yours, 405, 413, 502 and
//! 504 the gateway failed or did not answer, 503 try again.

pub(crate) mod answer;
pub(crate) mod login;
pub mod passwords;
pub(crate) mod payments;
pub(crate) mod relay;
pub mod sessions;

use std::sync::Arc;
use std::time::Instant;

use alipayplus::DateTime;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use answer::AppError;
pub use login::LoginCheck;
use login::SignUpRules;
use passwords::Passwords;
use sessions::Sessions;

use crate::accounts::Accounts;
use crate::gateway::Outbound;
use crate::operation::metrics::Metrics;
use crate::payments::Payments;

/// Longest body, in bytes: twice what a wallet sends.
const MAX_BODY_BYTES: usize = 512 * 1024;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) accounts: Accounts,
    pub(crate) payments: Payments,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Sessions,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) metrics: Metrics,
    pub(crate) login: Option<Arc<dyn LoginCheck>>,
    pub(crate) sign_up: SignUpRules,
}

/// The app's routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let metrics = app.metrics.clone();
    Router::new()
        .route("/login", post(login::login))
        .route("/logout", post(login::logout))
        .route("/wallet/relay", post(relay::relay))
        .route("/balance", get(payments::balance))
        .route("/service", get(payments::service))
        .route("/payments", get(payments::history))
        .route("/payments/{id}", get(payments::by_id))
        .route("/payments/by-reference/{reference}", get(payments::by_reference))
        .route_layer(from_fn_with_state(metrics, count))
        .method_not_allowed_fallback(async || AppError::method_not_allowed())
        .fallback(async || AppError::not_found("there is nothing at this path"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

/// Counts by route, never by path: a path may name a payment.
async fn count(State(metrics): State<Metrics>, path: MatchedPath, request: Request, next: Next) -> Response {
    let route = ROUTES.into_iter().find(|route| *route == path.as_str()).unwrap_or("other");
    let started = Instant::now();
    let response = next.run(request).await;
    metrics.request("app", route, response.status().as_str(), started.elapsed());
    response
}

/// The routes, as metrics and the description name them.
pub(crate) const ROUTES: [&str; 8] = [
    "/login",
    "/logout",
    "/wallet/relay",
    "/balance",
    "/service",
    "/payments",
    "/payments/{id}",
    "/payments/by-reference/{reference}",
];

/// A time as the app reads it.
pub(crate) fn iso_time(ms: i64) -> String {
    DateTime::from_ms(ms).map_or_else(String::new, |time| time.to_string())
}
