//! Opens sealed requests and seals their answers: the service's half of `docs/wire.md`.
//!
//! Written against the page and not against the wallet's half, so that the two check each other.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::{Deserializable, Kem, OpModeR};
use nfcwallet_core::host::{Entropy, OsEntropy, RequestType};
use nfcwallet_core::token_service::operations::Answer;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{CLOCK_TOLERANCE_MS, ServiceKem, ServiceKeys};

/// Requests above this size are refused unread.
pub const REQUEST_LIMIT: usize = 256 * 1024;

/// A request whose seal and device signature are good. Nothing else was checked: whether the key is
/// the one that is bound to the instance, the user, and the time are the service's business.
pub struct OpenedRequest {
    /// Its type.
    pub kind: RequestType,
    /// The wallet installation.
    pub instance: [u8; 16],
    /// The same id again means the same logical answer.
    pub request_id: [u8; 16],
    /// The user that the wallet believes to be logged in.
    pub user: String,
    /// The payment provider.
    pub mpp_id: String,
    /// The device key that signed: SEC1 uncompressed, 65 bytes.
    pub device_public_key: Vec<u8>,
    /// The wallet's idea of the service's time.
    pub issued_at_ms: i64,
    /// The operation, perhaps one that this service does not know.
    pub payload: Value,
    answer: AnswerSeal,
}

/// Seals answers to one request.
pub struct AnswerSeal {
    kind: RequestType,
    instance: [u8; 16],
    request_id: [u8; 16],
    key: [u8; 32],
}

/// Why a request was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key id is unknown or expired; the wallet fetches the key set again.
    #[error("unknown key")]
    UnknownKey,
    /// The request breaks the wire's rules or does not open.
    #[error("{reason}")]
    Malformed {
        /// What was wrong; for the log, never sent.
        reason: &'static str,
    },
    /// The seal is good, the device signature is not. Answer with a sealed `bad_signature`.
    #[error("the device signature does not verify")]
    BadSignature(AnswerSeal),
}

impl std::fmt::Debug for OpenedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedRequest({}, {})", self.kind.as_str(), hex::encode(self.request_id))
    }
}

impl std::fmt::Debug for AnswerSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerSeal(redacted)")
    }
}

#[derive(Deserialize)]
struct Body {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    kid: String,
    instance: String,
    request_id: String,
    enc: String,
    ct: String,
}

#[derive(Deserialize)]
struct Statement {
    issued_at_ms: i64,
    mpp_id: String,
    user: String,
    device_public_key: String,
    payload: Value,
}

#[derive(Serialize)]
struct AnswerText<'a> {
    server_time_ms: i64,
    payload: &'a Answer,
}

/// Opens a request of type `kind` and verifies the device signature in it.
///
/// # Errors
/// [`OpenError`]; the body to answer with is [`OpenError::clear_body`], or a sealed refusal for a bad
/// signature.
pub fn open_request(
    keys: &ServiceKeys,
    body: &[u8],
    kind: RequestType,
    now_ms: i64,
) -> Result<OpenedRequest, OpenError> {
    if body.len() > REQUEST_LIMIT {
        return Err(malformed("too large"));
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| malformed("not a request in JSON"))?;
    if body.v != 1 {
        return Err(malformed("wrong version"));
    }
    if body.kind != kind.as_str() || kind == RequestType::GetPk {
        return Err(malformed("of another type"));
    }
    let instance = hex_16(&body.instance).ok_or(malformed("instance"))?;
    let request_id = hex_16(&body.request_id).ok_or(malformed("request id"))?;
    let enc = STANDARD.decode(&body.enc).map_err(|_| malformed("enc"))?;
    let ct = STANDARD.decode(&body.ct).map_err(|_| malformed("ct"))?;
    let private = keys.private_key(&body.kid, now_ms).ok_or(OpenError::UnknownKey)?;

    let info = format!("nfcwallet/1 {}", kind.as_str());
    let encapped = <ServiceKem as Kem>::EncappedKey::from_bytes(&enc).map_err(|_| malformed("enc is no point"))?;
    let setup = hpke::setup_receiver::<hpke::aead::AesGcm256, hpke::kdf::HkdfSha256, ServiceKem>;
    let mut context =
        setup(&OpModeR::Base, private, &encapped, info.as_bytes()).map_err(|_| malformed("enc does not open"))?;
    let plain = context.open(&ct, &[instance, request_id].concat()).map_err(|_| malformed("ct does not open"))?;
    let mut key = [0; 32];
    context.export(b"nfcwallet/1 answer", &mut key).map_err(|_| malformed("no answer key"))?;

    let answer = AnswerSeal { kind, instance, request_id, key };
    let (signature, text) = plain.split_at_checked(64).ok_or(malformed("no signature"))?;
    let statement: Statement = serde_json::from_slice(text).map_err(|_| malformed("no statement"))?;
    let device_public_key = hex::decode(&statement.device_public_key).map_err(|_| malformed("device key"))?;
    let message =
        [b"nfcwallet/1 request\0", kind.as_str().as_bytes(), b"\0", &instance, &request_id, &enc, text].concat();
    if !is_signed(&device_public_key, &message, signature) {
        return Err(OpenError::BadSignature(answer));
    }
    Ok(OpenedRequest {
        kind,
        instance,
        request_id,
        user: statement.user,
        mpp_id: statement.mpp_id,
        device_public_key,
        issued_at_ms: statement.issued_at_ms,
        payload: statement.payload,
        answer,
    })
}

impl OpenedRequest {
    /// Was the request made within five minutes of `now_ms`? If not, the answer is `clock_skew`.
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        self.issued_at_ms.abs_diff(now_ms) <= CLOCK_TOLERANCE_MS.unsigned_abs()
    }

    /// Seals an answer to this request.
    #[must_use]
    pub fn seal_answer(&self, server_time_ms: i64, answer: &Answer) -> Vec<u8> {
        self.answer.seal(server_time_ms, answer)
    }
}

impl AnswerSeal {
    /// Seals an answer. The key serves one request, the nonce is random, so a repeated answer is no
    /// repeated nonce.
    #[must_use]
    pub fn seal(&self, server_time_ms: i64, answer: &Answer) -> Vec<u8> {
        let mut nonce = [0; 12];
        OsEntropy.fill(&mut nonce);
        let kind = self.kind.as_str();
        let aad: Vec<u8> = [b"nfcwallet/1 answer\0", kind.as_bytes(), b"\0", &self.instance, &self.request_id].concat();
        let text = serde_json::to_vec(&AnswerText { server_time_ms, payload: answer });
        let seal = |text: Vec<u8>| {
            Aes256Gcm::new(&self.key.into()).encrypt(&nonce.into(), Payload { msg: &text, aad: &aad }).ok()
        };
        // AES-GCM fails above 64 GiB only (NIST SP 800-38D, 5.2.1.1).
        let Some(ct) = text.ok().and_then(seal) else {
            tracing::error!("an answer was not sealed");
            return clear_error("malformed");
        };
        json!({
            "v": 1,
            "type": kind,
            "request_id": hex::encode(self.request_id),
            "nonce": STANDARD.encode(nonce),
            "ct": STANDARD.encode(ct),
        })
        .to_string()
        .into_bytes()
    }
}

impl OpenError {
    /// What to answer in the clear; `None` where the answer can be sealed.
    #[must_use]
    pub fn clear_body(&self) -> Option<Vec<u8>> {
        match self {
            Self::UnknownKey => Some(clear_error("unknown_key")),
            Self::Malformed { .. } => Some(clear_error("malformed")),
            Self::BadSignature(_) => None,
        }
    }
}

fn clear_error(error: &str) -> Vec<u8> {
    json!({ "v": 1, "error": error }).to_string().into_bytes()
}

fn malformed(reason: &'static str) -> OpenError {
    OpenError::Malformed { reason }
}

/// Sixteen bytes in lower-case hex, the wire's one form of them.
fn hex_16(text: &str) -> Option<[u8; 16]> {
    let bytes: [u8; 16] = hex::decode(text).ok()?.try_into().ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}

fn is_signed(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    // Compressed points and the like would give one device two names.
    let key = match key {
        [0x04, rest @ ..] if rest.len() == 64 => VerifyingKey::from_sec1_bytes(key),
        _ => return false,
    };
    match (key, Signature::from_slice(signature)) {
        (Ok(key), Ok(signature)) => key.verify(message, &signature).is_ok(),
        _ => false,
    }
}
