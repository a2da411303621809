//! Routes for the money: accounts, what the card scheme tells, the books.

use alipayplus::Amount;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mpp_server::accounts::UserStatus;
use serde::Deserialize;
use serde_json::Value;

use super::desk::{AuthorisationEvent, DeskError};
use super::{Content, Control, done, problem};
use crate::checkout;
use crate::gateway::GatewayError;
use crate::gateway::http::{SignedCall, StrikeRule};
use crate::with_causes;

/// The routes of the module's page.
pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/control/taps", get(taps))
        .route("/control/taps/{authorisation}", get(tap))
        .route("/control/taps/{authorisation}/reversal", post(reversal))
        .route("/control/taps/{authorisation}/clearing", post(clearing))
        .route("/control/taps/{authorisation}/expiry", post(expiry))
        .route("/control/taps/{authorisation}/refund", post(refund))
        .route("/control/users/{user}/refund", post(unlinked_refund))
        .route("/control/users/{user}/account", get(account))
        .route("/control/users/{user}/top-up", post(top_up))
        .route("/control/users/{user}/status", post(set_status))
        .route("/control/books", get(books))
        .route("/control/calls", get(calls))
        .route("/control/gateway-faults", get(strikes).post(add_strike).delete(clear_strikes))
}

/// What happens, with its amount in the currency's own decimals. Without an amount: all of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Happening {
    /// Names the event, so that it can be repeated; drawn if absent.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    amount: Option<String>,
    /// Of a clearing: its place, from 1; noted, and decides nothing.
    #[serde(default = "first")]
    sequence: u16,
    /// Of a clearing: no further one will come.
    #[serde(default = "yes")]
    last: bool,
}

/// Money for a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Money {
    #[serde(default)]
    id: Option<String>,
    amount: String,
    #[serde(default = "euro")]
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
}

fn first() -> u16 {
    1
}

fn yes() -> bool {
    true
}

fn euro() -> String {
    "EUR".to_owned()
}

impl IntoResponse for DeskError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::UnknownAuthorisation | Self::UnknownUser => StatusCode::NOT_FOUND,
            Self::Invalid(_)
            | Self::TooMuch { .. }
            | Self::Gateway(
                GatewayError::Id { .. }
                | GatewayError::Amount { .. }
                | GatewayError::Conversion(_)
                | GatewayError::Changed { .. },
            ) => StatusCode::BAD_REQUEST,
            Self::Gateway(_) | Self::Provider(_) | Self::Randomness => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(status, &with_causes(&self))
    }
}

/// An answer that can always be written as JSON.
fn shown(value: &impl serde::Serialize) -> Result<Json<Value>, DeskError> {
    serde_json::to_value(value).map(Json).map_err(|error| DeskError::Invalid(error.to_string()))
}

async fn taps(State(control): State<Control>) -> Result<Json<Value>, DeskError> {
    shown(&control.taps()?)
}

async fn tap(State(control): State<Control>, Path(authorisation): Path<String>) -> Result<Json<Value>, DeskError> {
    shown(&control.tap(&authorisation)?)
}

async fn reversal(
    State(control): State<Control>,
    Path(authorisation): Path<String>,
    Content(what): Content<Happening>,
) -> Result<Json<Value>, DeskError> {
    let part = control.part(&authorisation, what.amount.as_deref())?;
    shown(&control.scheme(&authorisation, what.id.as_deref(), AuthorisationEvent::Reversal(part)).await?)
}

/// Without an amount: what is held.
async fn clearing(
    State(control): State<Control>,
    Path(authorisation): Path<String>,
    Content(what): Content<Happening>,
) -> Result<Json<Value>, DeskError> {
    let tap = control.tap(&authorisation)?;
    let amount = control.part(&authorisation, what.amount.as_deref())?;
    let amount = amount.unwrap_or(Amount::new(tap.amount.currency, tap.held));
    let event = AuthorisationEvent::Clearing { amount, sequence: what.sequence, last: what.last };
    shown(&control.scheme(&authorisation, what.id.as_deref(), event).await?)
}

async fn expiry(
    State(control): State<Control>,
    Path(authorisation): Path<String>,
    Content(what): Content<Happening>,
) -> Result<Json<Value>, DeskError> {
    shown(&control.scheme(&authorisation, what.id.as_deref(), AuthorisationEvent::Expiry).await?)
}

/// Without an amount: what has not been refunded yet.
async fn refund(
    State(control): State<Control>,
    Path(authorisation): Path<String>,
    Content(what): Content<Happening>,
) -> Result<Json<Value>, DeskError> {
    let tap = control.tap(&authorisation)?;
    let left = tap.amount.value.saturating_sub(tap.refunded);
    let amount = control.part(&authorisation, what.amount.as_deref())?;
    let amount = amount.unwrap_or(Amount::new(tap.amount.currency, left));
    shown(&control.scheme(&authorisation, what.id.as_deref(), AuthorisationEvent::Refund(amount)).await?)
}

async fn unlinked_refund(
    State(control): State<Control>,
    Path(user): Path<String>,
    Content(money): Content<Money>,
) -> Result<Json<Value>, DeskError> {
    let amount = parsed(&money.amount, &money.currency)?;
    shown(&control.unlinked_refund(&user, money.id.as_deref(), amount).await?)
}

async fn account(State(control): State<Control>, Path(user): Path<String>) -> Result<Json<Value>, DeskError> {
    shown(&control.account(&user).await?)
}

async fn top_up(
    State(control): State<Control>,
    Path(user): Path<String>,
    Content(money): Content<Money>,
) -> Result<Json<Value>, DeskError> {
    shown(&control.top_up(&user, parsed(&money.amount, &money.currency)?).await?)
}

async fn set_status(
    State(control): State<Control>,
    Path(user): Path<String>,
    Content(wanted): Content<Status>,
) -> Result<Json<Value>, DeskError> {
    let status = UserStatus::from_name(&wanted.status.to_ascii_uppercase());
    let status = status.ok_or_else(|| DeskError::Invalid("status: take active, frozen or closed".to_owned()))?;
    shown(&control.set_status(&user, status).await?)
}

async fn books(State(control): State<Control>) -> Result<Json<Value>, DeskError> {
    shown(&control.books().await?)
}

async fn calls(State(control): State<Control>, RawQuery(query): RawQuery) -> Result<Json<Vec<SignedCall>>, DeskError> {
    let from = match query.as_deref() {
        None | Some("") => 0,
        Some(query) => {
            let number = query.strip_prefix("from=").and_then(|number| number.parse().ok());
            number.ok_or_else(|| DeskError::Invalid("query: write from=N".to_owned()))?
        }
    };
    Ok(Json(control.journal.since(from)))
}

async fn strikes(State(control): State<Control>) -> Json<Vec<StrikeRule>> {
    Json(control.strikes.pending())
}

async fn add_strike(State(control): State<Control>, Content(rule): Content<StrikeRule>) -> Json<Vec<StrikeRule>> {
    control.strikes.add(rule);
    Json(control.strikes.pending())
}

async fn clear_strikes(State(control): State<Control>) -> Json<Value> {
    control.strikes.clear();
    done()
}

impl Control {
    /// An amount in the authorisation's own currency.
    fn part(&self, authorisation: &str, text: Option<&str>) -> Result<Option<Amount>, DeskError> {
        let currency = self.tap(authorisation)?.amount.currency;
        text.map(|text| parsed(text, currency.code())).transpose()
    }
}

fn parsed(text: &str, currency: &str) -> Result<Amount, DeskError> {
    let invalid = |error: checkout::AmountError| DeskError::Invalid(error.to_string());
    let amount = checkout::Amount::parse("amount", text, currency).map_err(invalid)?;
    let unknown = || DeskError::Invalid(format!("currency: {currency} is none"));
    let currency = alipayplus::Currency::from_numeric(amount.currency()).ok_or_else(unknown)?;
    Ok(Amount::new(currency, amount.minor()))
}
