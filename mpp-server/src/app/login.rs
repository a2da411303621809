//! Logging in and out.

use std::sync::Arc;

use alipayplus::{Amount, Currency};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use super::answer::{AppError, Object};
use super::passwords::{Check, PasswordError};
use super::sessions::SessionError;
use super::{App, iso_time};
use crate::accounts::{AccountError, Limits, NewUser, TopUp, is_id};
use crate::config::SignUp;

/// Decides who may log in, in place of passwords: for a provider that knows its users already.
pub trait LoginCheck: Send + Sync {
    /// Whether `user` is who it says, by what it sent as its password. Called on a thread that may block.
    fn is_user(&self, user: &str, password: Option<&str>) -> bool;
}

/// The body of `POST /login`.
#[derive(Debug, JsonSchema)]
#[allow(dead_code, reason = "describes what is read by hand")]
pub(crate) struct LoginRequest {
    /// The customer id: 1 to 64 characters without NUL.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^\u0000]+$"))]
    user: String,
    /// Required of users who have one.
    password: Option<String>,
}

/// A session.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LoginAnswer {
    /// For the header `Authorization: Bearer …`.
    token: String,
    /// When it ends, ISO 8601.
    expires_at: String,
    /// Whose session it is: what the app gives to its wallet's `connect`.
    customer_id: String,
}

/// Whoever sent a request with a session's token.
pub(crate) struct LoggedIn {
    pub(crate) customer_id: String,
    token: Zeroizing<String>,
}

impl FromRequestParts<Arc<App>> for LoggedIn {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, AppError> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(bearer).ok_or_else(AppError::not_logged_in)?;
        let token = Zeroizing::new(token.to_owned());
        let customer_id = app.sessions.user(&token).await?.ok_or_else(AppError::not_logged_in)?;
        Ok(Self { customer_id, token })
    }
}

/// The token of `Bearer …` (RFC 6750, 2.1); the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(crate) async fn login(State(app): State<Arc<App>>, mut body: Object) -> Result<Json<LoginAnswer>, AppError> {
    let user = body.text("user")?;
    let password = body.optional_text("password")?.map(Zeroizing::new);
    if !is_id(&user) {
        return Err(AppError::bad_request("user: limit 1 to 64 characters"));
    }
    app.check_login(&user, password).await?;
    let session = app.sessions.open(&user).await?;
    let (token, expires_at) = (session.token.to_string(), iso_time(session.expires_at_ms));
    Ok(Json(LoginAnswer { token, expires_at, customer_id: user }))
}

pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    session: LoggedIn,
) -> Result<Json<serde_json::Value>, AppError> {
    app.sessions.close(&session.token).await?;
    Ok(Json(serde_json::json!({})))
}

impl App {
    async fn check_login(self: &Arc<Self>, user: &str, password: Option<Zeroizing<String>>) -> Result<(), AppError> {
        if let Some(login) = self.login.clone() {
            let (name, secret) = (user.to_owned(), password);
            let check = move || login.is_user(&name, secret.as_ref().map(|secret| secret.as_str()));
            let is_user = tokio::task::spawn_blocking(check).await.map_err(|_| AppError::failed())?;
            if !is_user {
                return Err(AppError::login_refused());
            }
        } else {
            match (self.passwords.check(user, password).await?, self.sign_up.mode) {
                (Check::Right, _) | (Check::None, SignUp::Open) => {}
                (Check::Wrong, _) | (Check::None, SignUp::Closed) => return Err(AppError::login_refused()),
            }
        }
        if self.accounts.user(user).await?.is_some() {
            return Ok(());
        }
        match self.sign_up.mode {
            SignUp::Open => self.sign_up(user).await,
            SignUp::Closed => Err(AppError::login_refused()),
        }
    }

    /// Two logins at once may both come here: the account is made once, and gets its money once.
    async fn sign_up(&self, user: &str) -> Result<(), AppError> {
        let SignUpRules { currency, opening_balance, limits, .. } = &self.sign_up;
        let new = NewUser { customer_id: user.to_owned(), currency: *currency, kyc: true, limits: *limits };
        match self.accounts.create(new).await {
            Ok(()) | Err(AccountError::Taken) => {}
            Err(error) => return Err(error.into()),
        }
        if *opening_balance > 0 {
            let amount = Amount::new(*currency, *opening_balance);
            let id = format!("sign-up-{}", short_hash(user));
            self.accounts.top_up(TopUp { id, customer_id: user.to_owned(), amount }).await?;
        }
        Ok(())
    }
}

/// What a user gets who logs in for the first time.
#[derive(Debug, Clone)]
pub(crate) struct SignUpRules {
    pub(crate) mode: SignUp,
    pub(crate) currency: Currency,
    pub(crate) opening_balance: u64,
    pub(crate) limits: Limits,
}

/// A customer id has up to 64 characters, and so has the id of a top-up.
fn short_hash(user: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(user)).chars().take(48).collect()
}

impl From<PasswordError> for AppError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Store(error) => error.into(),
            PasswordError::Length => Self::login_refused(),
            PasswordError::Hash => {
                tracing::error!("a password cannot be checked");
                Self::failed()
            }
        }
    }
}

impl From<SessionError> for AppError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Store(error) => error.into(),
            SessionError::Randomness => {
                tracing::error!("the machine has no randomness");
                Self::failed()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc"), Some("abc"));
        for header in ["abc", "Basic abc", "Bearer", ""] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }
}
