//! The service as the gateway sees it: bytes in, bytes out.

use std::sync::{Arc, Mutex};

use nfcwallet_core::host::RequestType;
use nfcwallet_core::token_service::operations::{Answer, Refusal};
use serde::Deserialize;

use super::envelope::{OpenError, OpenedRequest, open_request};
use super::keys::{DEFAULT_KEY_LIFE, ServiceKeys};
use super::service::{Request, TokenService, locked};
use crate::relay::Upstream;

/// Opens requests, lets the service answer, seals the answers.
pub struct ServiceEndpoint {
    service: Arc<TokenService>,
    keys: Mutex<Ring>,
}

struct Ring {
    keys: ServiceKeys,
    made_at_ms: i64,
}

impl std::fmt::Debug for ServiceEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceEndpoint")
    }
}

#[derive(Deserialize)]
struct KeyRequest {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
}

impl ServiceEndpoint {
    /// An endpoint whose keys come from `seed`: the same seed gives the trust key that apps pinned.
    #[must_use]
    pub fn new(service: Arc<TokenService>, seed: [u8; 32]) -> Self {
        let made_at_ms = service.clock().now_ms();
        let keys = ServiceKeys::from_seed(seed, made_at_ms);
        Self { service, keys: Mutex::new(Ring { keys, made_at_ms }) }
    }

    /// What apps pin as `WalletConfig::service_trust_key`.
    #[must_use]
    pub fn trust_key(&self) -> Vec<u8> {
        locked(&self.keys).keys.trust_key()
    }

    /// The name of the key that wallets should use now.
    #[must_use]
    pub fn current_kid(&self) -> String {
        locked(&self.keys).keys.current_kid()
    }

    /// Makes a new key. The one before it still opens; older ones do not, and their wallets are
    /// answered `unknown_key`.
    pub fn rotate_keys(&self) {
        locked(&self.keys).rotate(self.service.clock().now_ms());
    }

    fn key_set(&self, body: &[u8]) -> Vec<u8> {
        let request: Option<KeyRequest> = serde_json::from_slice(body).ok();
        if !request.is_some_and(|request| request.v == 1 && request.kind == RequestType::GetPk.as_str()) {
            return OpenError::Malformed { reason: "not a key request" }.clear_body().unwrap_or_default();
        }
        let now_ms = self.service.clock().now_ms();
        let mut ring = locked(&self.keys);
        // Wallets come back after half of a key's life: then there is a new one.
        if now_ms.saturating_sub(ring.made_at_ms) >= HALF_LIFE_MS {
            ring.rotate(now_ms);
        }
        ring.keys.key_set_answer()
    }

    fn open(&self, kind: RequestType, body: &[u8]) -> Result<OpenedRequest, OpenError> {
        open_request(&locked(&self.keys).keys, body, kind, self.service.clock().now_ms())
    }
}

/// Half of a key's life; a life of 30 days is far from the limit of the type.
const HALF_LIFE_MS: i64 = DEFAULT_KEY_LIFE.as_secs() as i64 * 1_000 / 2;

impl Ring {
    fn rotate(&mut self, now_ms: i64) {
        self.keys.rotate(now_ms);
        self.made_at_ms = now_ms;
    }
}

impl Upstream for ServiceEndpoint {
    fn exchange(&self, kind: RequestType, customer_id: &str, body: &[u8]) -> Vec<u8> {
        if kind == RequestType::GetPk {
            return self.key_set(body);
        }
        match self.open(kind, body) {
            Ok(opened) => {
                let answer = self.service.answer(&request(&opened, customer_id));
                opened.seal_answer(self.service.clock().now_ms(), &answer)
            }
            Err(OpenError::BadSignature(seal)) => {
                let answer = Answer::Refused { problem: Refusal::BadSignature {} };
                seal.seal(self.service.clock().now_ms(), &answer)
            }
            Err(error) => {
                tracing::info!(kind = kind.as_str(), %error, "a request was not opened");
                error.clear_body().unwrap_or_default()
            }
        }
    }
}

fn request(opened: &OpenedRequest, relay_user: &str) -> Request {
    Request {
        kind: opened.kind,
        relay_user: relay_user.to_owned(),
        instance: opened.instance,
        request_id: opened.request_id,
        user: opened.user.clone(),
        device_public_key: opened.device_public_key.clone(),
        issued_at_ms: opened.issued_at_ms,
        payload: opened.payload.clone(),
    }
}
