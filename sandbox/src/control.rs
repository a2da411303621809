//! The control API: steers the sandbox from a test in any language.
//!
//! JSON over HTTP on a port of its own. Every route answers 200 with JSON; a problem is
//! `{"error":"…"}` with 400, 404, 405 or 500. `docs/sandbox.md` shows each as a `curl` line.
//!
//! | route | body | does |
//! |---|---|---|
//! | `GET /control/state` | | everything: tokens, stock, usage, applications, messages, requests seen |
//! | `GET`, `PUT /control/policy` | [`Policy`] | how the service behaves; a missing field is the default |
//! | `POST /control/refusals` | [`ScheduledRefusal`] | refuses the next requests of an operation |
//! | `GET`, `POST`, `DELETE /control/faults` | [`FaultRule`] | faults at the relay |
//! | `GET`, `PUT /control/clock` | `{"offset_ms":n}` | the service's clock against the machine's |
//! | `POST /control/clock/advance` | `{"ms":n}` | moves the service's clock |
//! | `POST /control/users/{user}/decide` | [`Decision`] | decides the application that waits |
//! | `POST /control/users/{user}/messages` | [`MessageContent`] | a message for each of the user's devices |
//! | `POST /control/tokens/{token}/suspend`, `…/resume` | `{"by":"issuer"}` | in a party's name, with a message |
//! | `POST /control/tokens/{token}/delete` | | deletes, with a message |
//! | `POST /control/tokens/{token}/replenish` | | asks the wallet to check its stock |
//! | `POST /control/tokens/{token}/profile` | a profile, or `null` | sends a new profile; `null`: the issuer's |
//! | `POST /control/tokens/{token}/personalise` | [`Personalisation`] | sends a card of that shape |
//! | `GET /control/tokens/{token}/credentials` | | every credential and its outcome |
//! | `POST /control/config` | `RemoteConfig` | becomes the configuration and goes to every wallet |
//! | `POST /control/keys/rotate` | | a new service key; twice makes the first one unknown |
//! | `GET /control/ca` | | the authorities that terminals must trust |
//! | `POST /control/authorise` | [`AuthorisationRequest`] | the acquirer's line: asks the issuer |
//! | `POST /control/authorise-track` | [`TrackRequest`] | the same for a payment by tracks |
//! | `GET /control/taps`, `…/taps/{authorisation}` | | what became of taps at the gateway, shortfalls among it |
//! | `POST /control/taps/{authorisation}/reversal`, `…/clearing`, `…/refund` | `{"amount":"5.00"}` | what the card scheme tells; without an amount: all. The answer says which row of the conversion table fitted, and why |
//! | `POST /control/taps/{authorisation}/expiry` | `{}` | the scheme gives it up |
//! | `POST /control/users/{user}/refund` | `{"amount":"5.00","currency":"EUR"}` | a refund that is tied to no payment |
//! | `GET /control/users/{user}/account` | | balance and status |
//! | `POST /control/users/{user}/top-up` | `{"amount":"5.00"}` | puts money on the account |
//! | `POST /control/users/{user}/status` | `{"status":"frozen"}` | `active`, `frozen`, `closed` |
//! | `GET /control/books` | | whether issuer, gateway and provider agree |
//! | `GET /control/calls?from=N` | | the signed calls, from number N on |
//! | `GET`, `POST`, `DELETE /control/gateway-faults` | [`StrikeRule`](crate::gateway::http::StrikeRule) | faults between gateway and provider |
//! | `POST /control/reset` | | forgets everything but keys, logins, money and the issuer's ledger |

mod audit;
mod desk;
mod payments;

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use mpp_server::accounts::Accounts;
use mpp_server::payments::Payments;
use mpp_server::store::Store;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::token::Suspender;
use nfcwallet_core::token_service::operations::{Decision, MessageContent};
use nfcwallet_core::wallet::RemoteConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::audit::{BooksView, NetSum};
pub use self::desk::{AccountView, AuthorisationEvent, CallView, DeskError, EventView, PaymentView};
use crate::checkout::{Acquirer, AcquirerError, CaKeys, IssuerAcquirer};
use crate::gateway::Gateway;
use crate::gateway::http::{Journal, ServersClock, Strikes};
use crate::issuer::{Authorisation, AuthorisationRequest, Issuer, Personalisation, TrackRequest};
use crate::relay::{FaultRule, Faults, Road};
use crate::token_service::{AdminError, CredentialView, Policy, ScheduledRefusal, ServiceEndpoint, TokenService};

/// What the control API steers. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// The service.
    pub service: Arc<TokenService>,
    /// Its keys.
    pub endpoint: Arc<ServiceEndpoint>,
    /// The faults at the relay.
    pub faults: Arc<Faults>,
    /// The road between the app and its server.
    pub road: Road,
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// The issuer and the gateway, as terminals reach them.
    pub acquirer: IssuerAcquirer,
    /// The gateway's acquiring side.
    pub gateway: Arc<Gateway>,
    /// The signed calls.
    pub journal: Arc<Journal>,
    /// The faults between gateway and provider.
    pub strikes: Arc<Strikes>,
    /// The provider's users.
    pub accounts: Accounts,
    /// The provider's payments.
    pub payments: Payments,
    /// The provider's database.
    pub store: Store,
    /// The servers' time.
    pub clock: Arc<ServersClock>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}

impl Control {
    /// The routes of the module's page.
    pub fn router(self) -> Router {
        Router::new()
            .route("/control/state", get(state))
            .route("/control/policy", get(policy).put(set_policy))
            .route("/control/refusals", post(schedule_refusal))
            .route("/control/faults", get(faults).post(add_fault).delete(clear_faults))
            .route("/control/clock", get(clock).put(set_clock))
            .route("/control/clock/advance", post(advance_clock))
            .route("/control/users/{user}/decide", post(decide))
            .route("/control/users/{user}/messages", post(push_message))
            .route("/control/tokens/{token}/suspend", post(suspend))
            .route("/control/tokens/{token}/resume", post(resume))
            .route("/control/tokens/{token}/delete", post(delete_token))
            .route("/control/tokens/{token}/replenish", post(push_replenish))
            .route("/control/tokens/{token}/profile", post(push_profile))
            .route("/control/tokens/{token}/personalise", post(personalise))
            .route("/control/tokens/{token}/credentials", get(credentials))
            .route("/control/config", post(push_config))
            .route("/control/keys/rotate", post(rotate_keys))
            .route("/control/ca", get(ca_keys))
            .route("/control/authorise", post(authorise))
            .route("/control/authorise-track", post(authorise_track))
            .route("/control/reset", post(reset))
            .merge(payments::routes())
            .fallback(unknown_path)
            .method_not_allowed_fallback(other_method)
            .with_state(self)
    }

    /// The service blocks (its database, the issuer's keys), so it is asked on a worker thread.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&TokenService) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let service = Arc::clone(&self.service);
        let asked = tokio::task::spawn_blocking(move || ask(&service)).await;
        asked.unwrap_or_else(|_| Err(AdminError::Failed("it panicked".to_owned())))
    }

    async fn tell(
        &self,
        tell: impl FnOnce(&TokenService) -> Result<(), AdminError> + Send + 'static,
    ) -> Result<Json<Value>, AdminError> {
        self.ask(tell).await.map(|()| done())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    by: Suspender,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offset {
    offset_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    ms: i64,
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::UnknownToken | Self::NoApplication | Self::NoDevice => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(status, &self.to_string())
    }
}

/// A JSON body whose faults are answered like every other problem here.
struct Content<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Content<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminError> {
        let Json(content) =
            Json::from_request(request, state).await.map_err(|fault| AdminError::Invalid(fault.body_text()))?;
        Ok(Self(content))
    }
}

/// What no route answers is a problem like every other.
async fn unknown_path(uri: Uri) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("no such path: {}", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, &format!("{} does not take {method}", uri.path()))
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

fn done() -> Json<Value> {
    Json(json!({ "done": true }))
}

async fn state(State(control): State<Control>) -> Result<Json<Value>, AdminError> {
    let service = control.ask(TokenService::state).await?;
    Ok(Json(json!({
        "service": service,
        "relay": { "requests": control.road.seen(), "faults": control.faults.pending() },
        "policy": control.service.policy(),
        "clock_offset_ms": control.service.clock().offset_ms(),
        "current_kid": control.endpoint.current_kid(),
        "trust_key": hex::encode(control.endpoint.trust_key()),
    })))
}

async fn policy(State(control): State<Control>) -> Json<Policy> {
    Json(control.service.policy())
}

async fn set_policy(State(control): State<Control>, Content(policy): Content<Policy>) -> Json<Policy> {
    control.service.set_policy(policy.clone());
    Json(policy)
}

async fn schedule_refusal(State(control): State<Control>, Content(refusal): Content<ScheduledRefusal>) -> Json<Value> {
    control.service.schedule_refusal(refusal);
    done()
}

async fn faults(State(control): State<Control>) -> Json<Vec<FaultRule>> {
    Json(control.faults.pending())
}

async fn add_fault(State(control): State<Control>, Content(rule): Content<FaultRule>) -> Json<Vec<FaultRule>> {
    control.faults.add(rule);
    Json(control.faults.pending())
}

async fn clear_faults(State(control): State<Control>) -> Json<Value> {
    control.faults.clear();
    done()
}

async fn clock(State(control): State<Control>) -> Json<Value> {
    let clock = control.service.clock();
    Json(json!({ "offset_ms": clock.offset_ms(), "now_ms": clock.now_ms() }))
}

async fn set_clock(State(control): State<Control>, Content(offset): Content<Offset>) -> Json<Value> {
    control.service.clock().set_offset_ms(offset.offset_ms);
    clock(State(control)).await
}

async fn advance_clock(State(control): State<Control>, Content(step): Content<Step>) -> Json<Value> {
    control.service.clock().advance_ms(step.ms);
    clock(State(control)).await
}

async fn decide(
    State(control): State<Control>,
    Path(user): Path<String>,
    Content(decision): Content<Decision>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.decide(&user, &decision)).await
}

async fn push_message(
    State(control): State<Control>,
    Path(user): Path<String>,
    Content(content): Content<MessageContent>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.push_message(&user, &content)).await
}

async fn suspend(
    State(control): State<Control>,
    Path(token): Path<String>,
    Content(party): Content<By>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.suspend(&token, party.by)).await
}

async fn resume(
    State(control): State<Control>,
    Path(token): Path<String>,
    Content(party): Content<By>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.resume(&token, party.by)).await
}

async fn delete_token(State(control): State<Control>, Path(token): Path<String>) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.delete_token(&token)).await
}

async fn push_replenish(State(control): State<Control>, Path(token): Path<String>) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.push_replenish(&token)).await
}

async fn push_profile(
    State(control): State<Control>,
    Path(token): Path<String>,
    Content(profile): Content<Option<Profile>>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.push_profile(&token, profile)).await
}

async fn personalise(
    State(control): State<Control>,
    Path(token): Path<String>,
    Content(personalisation): Content<Personalisation>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.personalise(&token, &personalisation)).await
}

async fn credentials(
    State(control): State<Control>,
    Path(token): Path<String>,
) -> Result<Json<Vec<CredentialView>>, AdminError> {
    control.ask(move |service| service.credentials(&token)).await.map(Json)
}

async fn push_config(
    State(control): State<Control>,
    Content(config): Content<RemoteConfig>,
) -> Result<Json<Value>, AdminError> {
    control.tell(move |service| service.push_config(config)).await
}

async fn rotate_keys(State(control): State<Control>) -> Json<Value> {
    control.endpoint.rotate_keys();
    Json(json!({ "current_kid": control.endpoint.current_kid() }))
}

async fn ca_keys(State(control): State<Control>) -> Json<CaKeys> {
    Json(CaKeys { ca_keys: control.acquirer.ca_keys() })
}

async fn authorise(
    State(control): State<Control>,
    Content(request): Content<AuthorisationRequest>,
) -> Result<Json<Authorisation>, AdminError> {
    ask_issuer(move || control.acquirer.authorise(&request)).await
}

async fn authorise_track(
    State(control): State<Control>,
    Content(request): Content<TrackRequest>,
) -> Result<Json<Authorisation>, AdminError> {
    ask_issuer(move || control.acquirer.authorise_track(&request)).await
}

async fn ask_issuer(
    ask: impl FnOnce() -> Result<Authorisation, AcquirerError> + Send + 'static,
) -> Result<Json<Authorisation>, AdminError> {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(Json(answer)),
        Ok(Err(error)) => Err(AdminError::Failed(error.to_string())),
        Err(_) => Err(AdminError::Failed("the issuer panicked".to_owned())),
    }
}

async fn reset(State(control): State<Control>) -> Result<Json<Value>, AdminError> {
    control.faults.clear();
    control.strikes.clear();
    control.road.reset();
    control.tell(|service| service.reset().map_err(|error| AdminError::Failed(error.to_string()))).await
}
