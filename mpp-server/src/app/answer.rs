//! What the app is answered when something is wrong, and how its bodies are read.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::MAX_BODY_BYTES;
use crate::accounts::AccountError;
use crate::store::StoreError;

/// Why there is no other answer: a status, a code for programs, a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, in words that may change.
    error: String,
    /// What is wrong, for programs: `bad_request`, `not_logged_in`, `login_refused`, `not_found`,
    /// `method_not_allowed`, `too_large`, `busy`, `failed`, `gateway_refused`, `gateway_unreachable`,
    /// `gateway_timeout`.
    code: &'static str,
}

impl AppError {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into() }
    }

    /// A field, or the body, is not what it must be.
    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", text)
    }

    /// No session: log in again.
    pub(crate) fn not_logged_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_logged_in", "not logged in")
    }

    /// Wrong name or password. It does not say which.
    pub(crate) fn login_refused() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "login_refused", "unknown user or wrong password")
    }

    /// There is nothing there, or nothing of this user's.
    pub(crate) fn not_found(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", text)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "another method is needed here")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body has more than {limit} bytes"))
    }

    /// Nothing happened; it may work in a moment.
    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy; try again")
    }

    /// A fault of ours.
    pub(crate) fn failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the server failed")
    }

    /// The gateway said no.
    pub(crate) fn gateway_refused() -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "gateway_refused", "the gateway refused")
    }

    pub(crate) fn gateway_unreachable() -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "gateway_unreachable", "the gateway cannot be reached")
    }

    /// Nobody knows whether the request was carried out.
    pub(crate) fn gateway_timeout(text: &str) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", text)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.text, code: self.code })).into_response()
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Conflict | StoreError::Unreachable | StoreError::Closed => Self::busy(),
            error => {
                tracing::error!(%error, "the store failed");
                Self::failed()
            }
        }
    }
}

impl From<AccountError> for AppError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            // Its session outlived the user.
            AccountError::NoUser => Self::not_logged_in(),
            AccountError::Id => Self::bad_request("user: limit 1 to 64 characters"),
            error => {
                tracing::error!(%error, "an account cannot be used");
                Self::failed()
            }
        }
    }
}

/// A JSON object that came in: the whole body of a request.
pub(crate) struct Object(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = AppError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AppError> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => AppError::too_large(MAX_BODY_BYTES),
            _ => AppError::bad_request("the body broke off"),
        })?;
        Self::read(&body)
    }
}

impl Object {
    /// Reads one.
    ///
    /// # Errors
    /// 400 for everything else.
    fn read(body: &Bytes) -> Result<Self, AppError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(AppError::bad_request("the body is not a JSON object")),
        }
    }

    /// Takes the text in `field`, which must be there.
    ///
    /// # Errors
    /// 400, with the field's name and not its value.
    pub(crate) fn text(&mut self, field: &str) -> Result<String, AppError> {
        self.optional_text(field)?.ok_or_else(|| AppError::bad_request(format!("{field}: is missing")))
    }

    /// Takes the text in `field`; `null` is nothing.
    ///
    /// # Errors
    /// As [`Self::text`], for anything but text.
    pub(crate) fn optional_text(&mut self, field: &str) -> Result<Option<String>, AppError> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(AppError::bad_request(format!("{field}: is not a text"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        let read = |body: &'static str| {
            Object::read(&Bytes::from_static(body.as_bytes())).and_then(|mut body| body.text("user")).unwrap_err().text
        };
        assert_eq!(read("{"), "the body is not a JSON object");
        assert_eq!(read("[]"), "the body is not a JSON object");
        assert_eq!(read(r#"{"user":null}"#), "user: is missing");
        assert_eq!(read(r#"{"user":{"secret":1}}"#), "user: is not a text");
    }
}
