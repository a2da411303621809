//! Sends an operation and gives back the service's authenticated answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use super::RequestId;
use super::encoding::{WIRE_VERSION, protocol};
use super::envelope::{AnswerOpener, Binding, Opened, Sealer, Statement};
use super::key_set::{KeyRing, Plan, ServiceKey};
use super::operations::{Answer, Operation, Refusal};
use super::service_clock::{ServiceClock, ServiceTime};
use super::signature::{PublicKey, SignatureError};
use crate::error::{KeyStoreProblem, ServiceProblem, WalletError};
use crate::host::{HostCalls, RequestType};

/// What the client remembers between processes. Neither value is secret; the key set is signed and
/// checked again when it is loaded.
pub trait ServiceCache: Send + Sync {
    /// What was last saved under `key`; `None` if nothing, or if it cannot be read.
    fn load(&self, key: CacheKey) -> Option<Vec<u8>>;

    /// Replaces what is saved under `key`.
    ///
    /// # Errors
    /// As the store names them. The client goes on without: it only has to ask again.
    fn save(&self, key: CacheKey, value: &[u8]) -> Result<(), WalletError>;
}

/// Names a value of the [`ServiceCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKey {
    /// The signed key set, as it came: below 256 KiB.
    KeySet,
    /// The service's clock minus the wall clock: 8 bytes.
    ClockOffset,
}

/// Who the wallet is and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The payment provider, as the service knows it.
    pub mpp_id: String,
    /// The pinned key that signs key sets: P-256, SEC1 uncompressed, 65 bytes.
    pub trust_key: Vec<u8>,
    /// This installation.
    pub instance_id: [u8; 16],
}

/// The token service, as typed calls.
///
/// Each call is one round trip, plus one for the keys where they are not known. Nothing of an
/// answer is used, kept or stored before it was authenticated. A call that is dropped halfway
/// leaves nothing behind; it is repeated under the same [`RequestId`].
pub struct TokenServiceClient {
    calls: Arc<HostCalls>,
    cache: Arc<dyn ServiceCache>,
    mpp_id: String,
    instance_id: [u8; 16],
    keys: KeyRing,
    clock: ServiceClock,
    device_key: Mutex<Option<PublicKey>>,
}

impl std::fmt::Debug for TokenServiceClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenServiceClient")
    }
}

impl TokenServiceClient {
    /// Makes a client from what the cache remembers. No network, no key store.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] if the trust key is not an uncompressed P-256 point.
    pub fn new(
        calls: Arc<HostCalls>,
        cache: Arc<dyn ServiceCache>,
        settings: ClientSettings,
    ) -> Result<Self, WalletError> {
        let trust = PublicKey::parse(&settings.trust_key).map_err(|_| WalletError::InvalidInput {
            field: "service_trust_key",
            reason: "is not an uncompressed P-256 point of 65 bytes".to_owned(),
        })?;
        Ok(Self {
            keys: KeyRing::new(trust, cache.load(CacheKey::KeySet).as_deref()),
            clock: ServiceClock::new(cache.load(CacheKey::ClockOffset).as_deref()),
            device_key: Mutex::new(None),
            calls,
            cache,
            mpp_id: settings.mpp_id,
            instance_id: settings.instance_id,
        })
    }

    /// The service's time, in milliseconds since 1970: learnt from its answers and kept against the
    /// monotonic clock. Before the first answer of this process, the wall clock and the last known
    /// distance to it.
    #[must_use]
    pub fn service_now_ms(&self) -> i64 {
        self.clock.now_ms(self.calls.clock())
    }

    /// The service's time, and whether it was learnt in this process.
    #[must_use]
    pub fn service_time(&self) -> ServiceTime {
        self.clock.time(self.calls.clock())
    }

    /// Makes sure that the service's keys are known and half of their life is not over.
    ///
    /// # Errors
    /// [`WalletError::Network`], [`WalletError::Host`]; [`WalletError::Protocol`] if no key set
    /// signed by the trust key came, or none with a valid key. A failed refresh of keys that are
    /// still valid is no error.
    pub async fn ensure_keys(&self) -> Result<(), WalletError> {
        self.service_key().await.map(drop)
    }

    /// Sends `operation` for `user` and waits for its answer. Repeats the request once under the
    /// same id if the service does not know the key, and once if the phone's clock was wrong. May
    /// block for the key store's deadline the first time, when it reads the device key.
    ///
    /// # Errors
    /// [`WalletError::DeviceUnsafe`] and [`WalletError::Service`] for refusals;
    /// [`WalletError::Protocol`] for an answer that the service did not give to this request;
    /// [`WalletError::KeyStore`] if the device key is not usable; [`WalletError::Network`] and
    /// [`WalletError::Host`] for failures of the way.
    pub async fn call(&self, user: &str, operation: &Operation, request_id: RequestId) -> Result<Answer, WalletError> {
        let (mut key_is_new, mut clock_is_new) = (false, false);
        loop {
            let key = self.service_key().await?;
            let binding = Binding { kind: operation.request_type(), instance: self.instance_id, request_id };
            match self.exchange(&key, binding, user, operation).await? {
                Opened::Answer { answer: Answer::Refused { problem: Refusal::ClockSkew {} }, .. } if !clock_is_new => {
                    tracing::debug!(kind = binding.kind.as_str(), "the service corrected the clock");
                    clock_is_new = true;
                }
                Opened::Answer { answer: Answer::Refused { problem }, .. } => return Err(refused(problem)),
                Opened::Answer { answer, .. } => return Ok(answer),
                Opened::UnknownKey if !key_is_new => {
                    tracing::debug!(kind = binding.kind.as_str(), "the service does not know the key");
                    key_is_new = true;
                    self.fetch_keys().await?;
                }
                Opened::UnknownKey => return Err(protocol("the service does not know its own key")),
                Opened::Malformed => return Err(protocol("the service could not read the request")),
            }
        }
    }

    /// One request and its answer; the clock is learnt from it.
    async fn exchange(
        &self,
        key: &ServiceKey,
        binding: Binding,
        user: &str,
        operation: &Operation,
    ) -> Result<Opened, WalletError> {
        let (body, opener) = self.seal(key, binding, user, operation).await?;
        let sent = self.calls.clock().monotonic();
        let reply = self.calls.send_request(binding.kind, body).await?;
        let opened = opener.open(&reply.body)?;
        if let Opened::Answer { server_time_ms, .. } = &opened {
            self.learn_time(*server_time_ms, sent);
        }
        Ok(opened)
    }

    async fn seal(
        &self,
        key: &ServiceKey,
        binding: Binding,
        user: &str,
        operation: &Operation,
    ) -> Result<(Vec<u8>, AnswerOpener), WalletError> {
        let (device_key, is_fresh) = self.device_key()?;
        match self.seal_as(&device_key, key, binding, user, operation).await {
            // The device key may have been renewed since it was read. The new one is made by reading it.
            Err(
                SealError::Signature(SignatureError::Mismatch)
                | SealError::Other(WalletError::KeyStore { reason: KeyStoreProblem::NotFound }),
            ) if !is_fresh => {
                self.forget_device_key();
                let (device_key, _) = self.device_key()?;
                self.seal_as(&device_key, key, binding, user, operation).await.map_err(WalletError::from)
            }
            result => result.map_err(WalletError::from),
        }
    }

    async fn seal_as(
        &self,
        device_key: &PublicKey,
        key: &ServiceKey,
        binding: Binding,
        user: &str,
        operation: &Operation,
    ) -> Result<(Vec<u8>, AnswerOpener), SealError> {
        let statement = Statement {
            issued_at_ms: self.service_now_ms(),
            mpp_id: &self.mpp_id,
            user,
            device_public_key: hex::encode(device_key.as_bytes()),
            payload: operation,
        };
        let statement =
            Zeroizing::new(serde_json::to_vec(&statement).map_err(|_| WalletError::Bug { code: "statement_json" })?);
        let sealer = Sealer::new(self.calls.entropy(), key, binding)?;
        let message = sealer.message(&statement);
        let signature = self.calls.sign(message.clone()).await.map_err(WalletError::from)?;
        let signature = device_key.normalise(&message, &signature.bytes)?;
        Ok(sealer.seal(&signature, &statement)?)
    }

    /// The device key, and whether it was read just now.
    fn device_key(&self) -> Result<(PublicKey, bool), WalletError> {
        let known = self.device_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(key) = known {
            return Ok((key, false));
        }
        let key = PublicKey::parse(&self.calls.public_key()?.bytes)?;
        *self.device_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok((key, true))
    }

    fn forget_device_key(&self) {
        *self.device_key.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn service_key(&self) -> Result<Arc<ServiceKey>, WalletError> {
        match self.keys.plan(self.service_now_ms()) {
            Plan::Use(key) => return Ok(key),
            Plan::Refresh(key) => {
                if let Err(error) = self.fetch_keys().await {
                    tracing::info!(code = error.code(), "service keys were not refreshed, the known ones are valid");
                    self.keys.postpone(self.service_now_ms());
                    return Ok(key);
                }
            }
            Plan::Fetch => self.fetch_keys().await?,
        }
        loop {
            match self.keys.plan(self.service_now_ms()) {
                Plan::Use(key) | Plan::Refresh(key) => return Ok(key),
                // Without a key there is no answer, and without an answer no better time.
                Plan::Fetch if self.clock.forget_guess() => {}
                Plan::Fetch => return Err(protocol("no service key is valid by this phone's clock")),
            }
        }
    }

    async fn fetch_keys(&self) -> Result<(), WalletError> {
        #[derive(Serialize)]
        struct Body<'a> {
            v: u32,
            #[serde(rename = "type")]
            kind: &'a str,
            mpp_id: &'a str,
            request_id: String,
        }
        let body = Body {
            v: WIRE_VERSION,
            kind: RequestType::GetPk.as_str(),
            mpp_id: &self.mpp_id,
            request_id: hex::encode(RequestId::random(self.calls.entropy()).as_bytes()),
        };
        let body = serde_json::to_vec(&body).map_err(|_| WalletError::Bug { code: "request_json" })?;
        let reply = self.calls.send_request(RequestType::GetPk, body).await?;
        self.keys.accept(&reply.body, self.service_now_ms())?;
        self.remember(CacheKey::KeySet, &reply.body);
        Ok(())
    }

    fn learn_time(&self, server_time_ms: i64, sent: Duration) {
        if let Some(offset) = self.clock.learn(self.calls.clock(), server_time_ms, sent) {
            self.remember(CacheKey::ClockOffset, &offset);
        }
    }

    /// Both values can be asked for again, so a full disk must not fail the call that learnt them.
    fn remember(&self, key: CacheKey, value: &[u8]) {
        if let Err(error) = self.cache.save(key, value) {
            tracing::warn!(code = error.code(), ?key, "not remembered");
        }
    }
}

/// Why a request was not sealed: a signature by another key may mean that the key is new.
enum SealError {
    Signature(SignatureError),
    Other(WalletError),
}

impl From<SignatureError> for SealError {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<WalletError> for SealError {
    fn from(error: WalletError) -> Self {
        Self::Other(error)
    }
}

impl From<SealError> for WalletError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Signature(error) => error.into(),
            SealError::Other(error) => error,
        }
    }
}

fn refused(problem: Refusal) -> WalletError {
    let reason = match problem {
        Refusal::DeviceUnsafe {} => {
            return WalletError::DeviceUnsafe { reason: "refused by the token service".to_owned() };
        }
        Refusal::Declined { code } => ServiceProblem::Declined { code },
        Refusal::UnknownToken {} => ServiceProblem::UnknownToken,
        Refusal::RateLimited { retry_after_ms } => {
            ServiceProblem::RateLimited { retry_after: Duration::from_millis(retry_after_ms) }
        }
        Refusal::SessionRequired {} => ServiceProblem::SessionRequired,
        Refusal::ClockSkew {} => ServiceProblem::ClockSkew,
        Refusal::WrongUser {} => ServiceProblem::WrongUser,
        Refusal::Suspended {} => ServiceProblem::Suspended,
        Refusal::UnknownOperation {} => ServiceProblem::UnknownOperation,
        Refusal::BadSignature {} => ServiceProblem::BadSignature,
        Refusal::Internal {} => ServiceProblem::Internal,
    };
    WalletError::Service { reason }
}
