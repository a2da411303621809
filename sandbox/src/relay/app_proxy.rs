//! The proxy that an app would write: one HTTP call to its own server.

use std::net::SocketAddr;

use async_trait::async_trait;
use nfcwallet_core::host::{HostError, NFCRequestProxy, Reply, RequestType};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// The relay's sign that the simulated phone has no network.
pub const OFFLINE_HEADER: &str = "x-sandbox-link";

/// Sends the wallet's requests to the payment provider's server, in the logged-in user's name. No
/// retries: the wallet repeats requests itself.
///
/// The calls run on `runtime`, so that the wallet's own futures may be polled anywhere.
#[derive(Clone)]
pub struct HttpProxy {
    client: reqwest::Client,
    server: SocketAddr,
    login_token: String,
    runtime: Handle,
}

impl std::fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpProxy({})", self.server)
    }
}

impl HttpProxy {
    /// A proxy for a user who is logged in already.
    ///
    /// # Errors
    /// [`HostError::Failed`] if no HTTP client can be made.
    pub fn new(server: SocketAddr, login_token: String, runtime: Handle) -> Result<Self, HostError> {
        // Loopback only: a proxy of the environment must not see it.
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| failed(&error))?;
        Ok(Self { client, server, login_token, runtime })
    }

    /// Logs `user` in and makes a proxy.
    ///
    /// # Errors
    /// [`HostError::Offline`] if the server cannot be reached, [`HostError::Failed`] if it says no.
    pub async fn log_in(server: SocketAddr, user: &str, runtime: Handle) -> Result<Self, HostError> {
        let mut proxy = Self::new(server, String::new(), runtime)?;
        let answer = proxy.call("/login", json!({ "user": user })).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| failed_with("the login answer is not JSON"))?;
        let token = answer.get("token").and_then(Value::as_str);
        proxy.login_token = token.ok_or_else(|| failed_with("the login answer has no token"))?.to_owned();
        Ok(proxy)
    }

    /// What the app itself asks its server, for example `/balance` or `/payments/by-reference/…`.
    ///
    /// # Errors
    /// As the relay: [`HostError::Offline`], [`HostError::Failed`].
    pub async fn ask(&self, path: &str) -> Result<Value, HostError> {
        let answer = self.run(self.client.get(format!("http://{}{path}", self.server))).await?;
        serde_json::from_slice(&answer).map_err(|_| failed_with("the answer is not JSON"))
    }

    async fn call(&self, path: &str, content: Value) -> Result<Vec<u8>, HostError> {
        self.run(self.client.post(format!("http://{}{path}", self.server)).json(&content)).await
    }

    async fn run(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, HostError> {
        let request = request.bearer_auth(&self.login_token);
        let mut call = AbortOnDrop(self.runtime.spawn(exchange(request)));
        match (&mut call.0).await {
            Ok(answer) => answer,
            Err(_) => Err(failed_with("the app's runtime has stopped")),
        }
    }
}

#[async_trait]
impl NFCRequestProxy for HttpProxy {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        let body = String::from_utf8(body).map_err(|_| failed_with("the body is not UTF-8"))?;
        let body = self.call("/wallet/relay", json!({ "type": kind.as_str(), "body": body })).await?;
        Ok(Reply { body })
    }
}

/// A wallet that gives up on a call ends it.
struct AbortOnDrop(tokio::task::JoinHandle<Result<Vec<u8>, HostError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Vec<u8>, HostError> {
    let response = request.send().await.map_err(|error| failed(&error))?;
    if response.headers().get(OFFLINE_HEADER).is_some_and(|value| value == "offline") {
        return Err(HostError::Offline);
    }
    let status = response.status();
    if !status.is_success() {
        return Err(HostError::Failed { reason: format!("the server answered {}", status.as_u16()) });
    }
    response.bytes().await.map(|bytes| bytes.to_vec()).map_err(|error| failed(&error))
}

fn failed(error: &reqwest::Error) -> HostError {
    match error {
        error if error.is_connect() => HostError::Offline,
        error if error.is_timeout() => failed_with("the server did not answer in time"),
        error if error.is_body() || error.is_decode() => failed_with("the answer broke off"),
        _ => failed_with("the request failed"),
    }
}

fn failed_with(reason: &str) -> HostError {
    HostError::Failed { reason: reason.to_owned() }
}
