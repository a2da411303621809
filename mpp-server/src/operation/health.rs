//! `/healthz` and `/metrics`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::metrics::Metrics;
use crate::store::{Store, StoreError};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Ops {
    store: Store,
    metrics: Metrics,
}

/// The operator's routes: no authentication, nothing personal, not for the public.
pub fn router(store: Store, metrics: Metrics) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(render)).with_state(Ops { store, metrics })
}

/// 200 if this process runs and its database answers, 503 otherwise.
async fn healthz(State(ops): State<Ops>) -> Response {
    let answered = tokio::time::timeout(PATIENCE, ping(&ops.store)).await;
    let (status, database) = match answered {
        Ok(Ok(())) => (StatusCode::OK, "ok".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer".to_owned()),
    };
    (status, Json(json!({ "process": "ok", "database": database }))).into_response()
}

async fn render(State(ops): State<Ops>) -> Response {
    ops.metrics.store_queue(ops.store.waiting());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], ops.metrics.render()).into_response()
}

async fn ping(store: &Store) -> Result<(), StoreError> {
    store.read(|tx| tx.query_one("SELECT 1", &[]).map(drop)).await
}
