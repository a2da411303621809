//! One sealed request and its one answer.
//!
//! HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The answer is
//! under a key exported from the context of the request (RFC 9180, 5.3), so an answer to anything
//! else, or a reflected request, has another key. `docs/wire.md` has the bytes.

use std::convert::Infallible;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Kem, OpModeS, Serializable};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::RequestId;
use super::encoding::{WIRE_VERSION, base64_bytes, base64_text, hex_array, parse_body, parse_json, protocol};
use super::key_set::ServiceKey;
use super::operations::{Answer, Operation};
use crate::error::WalletError;
use crate::host::{Entropy, RequestType};

pub(super) type ServiceKem = hpke::kem::DhP256HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Sender = hpke::aead::AeadCtxS<hpke::aead::AesGcm256, Kdf, ServiceKem>;

const ANSWER_CONTEXT: &[u8] = b"nfcwallet/1 answer";
const REQUEST_CONTEXT: &[u8] = b"nfcwallet/1 request";

/// What a request and its answer are bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) kind: RequestType,
    pub(super) instance: [u8; 16],
    pub(super) request_id: RequestId,
}

/// What the wallet states under its signature.
#[derive(Serialize)]
pub(super) struct Statement<'a> {
    pub(super) issued_at_ms: i64,
    pub(super) mpp_id: &'a str,
    pub(super) user: &'a str,
    pub(super) device_public_key: String,
    pub(super) payload: &'a Operation,
}

/// A request whose encapsulation is made, waiting for the device's signature over it.
pub(super) struct Sealer {
    binding: Binding,
    kid: String,
    enc: Vec<u8>,
    context: Sender,
}

/// Opens the answer to one request.
pub(super) struct AnswerOpener {
    binding: Binding,
    key: Zeroizing<[u8; 32]>,
}

/// What came back.
pub(super) enum Opened {
    /// An authenticated answer.
    Answer { server_time_ms: i64, answer: Answer },
    /// In the clear, and so perhaps forged: the service does not know the key.
    UnknownKey,
    /// In the clear, and so perhaps forged: the service could not read the request.
    Malformed,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    kid: &'a str,
    instance: String,
    request_id: String,
    enc: String,
    ct: String,
}

#[derive(Deserialize)]
struct AnswerBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    request_id: Option<String>,
    nonce: Option<String>,
    ct: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct AnswerText {
    server_time_ms: i64,
    payload: Answer,
}

impl Sealer {
    /// Makes a fresh encapsulation to the service's key.
    pub(super) fn new(entropy: &dyn Entropy, key: &ServiceKey, binding: Binding) -> Result<Self, WalletError> {
        let info = [b"nfcwallet/1 ", binding.kind.as_str().as_bytes()].concat();
        let (enc, context) = encapsulate(entropy, &key.public_key, &info)?;
        Ok(Self { binding, kid: key.kid.clone(), enc, context })
    }

    /// What the device key signs. The encapsulation is part of it, so that a signed statement
    /// cannot be sealed anew by whoever opened it.
    pub(super) fn message(&self, statement: &[u8]) -> Vec<u8> {
        let Binding { kind, instance, request_id } = &self.binding;
        let parts: [&[u8]; 8] = [
            REQUEST_CONTEXT,
            b"\0",
            kind.as_str().as_bytes(),
            b"\0",
            instance,
            request_id.as_bytes(),
            &self.enc,
            statement,
        ];
        parts.concat()
    }

    /// Seals the signed statement: the body to send, and what opens its answer.
    pub(super) fn seal(
        mut self,
        signature: &[u8; 64],
        statement: &[u8],
    ) -> Result<(Vec<u8>, AnswerOpener), WalletError> {
        let aad = [self.binding.instance, *self.binding.request_id.as_bytes()].concat();
        let plain = Zeroizing::new([signature, statement].concat());
        let ct = self.context.seal(&plain, &aad).map_err(|_| WalletError::Bug { code: "hpke_seal" })?;
        let mut key = Zeroizing::new([0; 32]);
        self.context.export(ANSWER_CONTEXT, &mut *key).map_err(|_| WalletError::Bug { code: "hpke_export" })?;
        let body = RequestBody {
            v: WIRE_VERSION,
            kind: self.binding.kind.as_str(),
            kid: &self.kid,
            instance: hex::encode(self.binding.instance),
            request_id: hex::encode(self.binding.request_id.as_bytes()),
            enc: base64_text(&self.enc),
            ct: base64_text(&ct),
        };
        let body = serde_json::to_vec(&body).map_err(|_| WalletError::Bug { code: "request_json" })?;
        Ok((body, AnswerOpener { binding: self.binding, key }))
    }
}

impl AnswerOpener {
    /// Reads an answer. Everything in it is authenticated, except the two errors in the clear.
    pub(super) fn open(&self, body: &[u8]) -> Result<Opened, WalletError> {
        let body: AnswerBody = parse_body(body)?;
        if let Some(error) = body.error {
            return match error.as_str() {
                "unknown_key" => Ok(Opened::UnknownKey),
                "malformed" => Ok(Opened::Malformed),
                _ => Err(protocol("unknown error in the clear")),
            };
        }
        let sealed = self.check(body)?;
        let aad = self.aad();
        let plain = open_aes_256_gcm(&self.key, &sealed.nonce, &aad, &sealed.ct).ok_or(protocol("does not open"))?;
        // Borrowed from `plain`, so that secrets go straight into their own types.
        let text: AnswerText = parse_json(&plain)?;
        Ok(Opened::Answer { server_time_ms: text.server_time_ms, answer: text.payload })
    }

    fn check(&self, body: AnswerBody) -> Result<Sealed, WalletError> {
        if body.kind.as_deref() != Some(self.binding.kind.as_str()) {
            return Err(protocol("of another type"));
        }
        let request_id = body.request_id.as_deref().and_then(hex_array).map(RequestId);
        if request_id != Some(self.binding.request_id) {
            return Err(protocol("for another request"));
        }
        let nonce = body.nonce.as_deref().and_then(base64_bytes).and_then(|bytes| bytes.try_into().ok());
        let ct = body.ct.as_deref().and_then(base64_bytes);
        match (nonce, ct) {
            (Some(nonce), Some(ct)) => Ok(Sealed { nonce, ct }),
            _ => Err(protocol("nonce or ciphertext missing")),
        }
    }

    fn aad(&self) -> Vec<u8> {
        let Binding { kind, instance, request_id } = &self.binding;
        let parts: [&[u8]; 6] =
            [ANSWER_CONTEXT, b"\0", kind.as_str().as_bytes(), b"\0", instance, request_id.as_bytes()];
        parts.concat()
    }
}

struct Sealed {
    nonce: [u8; 12],
    ct: Vec<u8>,
}

/// SetupBaseS of RFC 9180, 5.1.1.
pub(super) fn encapsulate(
    entropy: &dyn Entropy,
    recipient: &<ServiceKem as Kem>::PublicKey,
    info: &[u8],
) -> Result<(Vec<u8>, Sender), WalletError> {
    let setup = hpke::setup_sender_with_rng::<_, _, ServiceKem>;
    let (enc, context) = setup(&OpModeS::Base, recipient, info, &mut HostRng(entropy))
        .map_err(|_| WalletError::Bug { code: "hpke_setup" })?;
    Ok((enc.to_bytes().to_vec(), context))
}

/// Opens AES-256-GCM with a 96-bit nonce; the tag is the last 16 bytes (NIST SP 800-38D, 7.2).
pub(super) fn open_aes_256_gcm(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], ct: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.decrypt(nonce.into(), Payload { msg: ct, aad }).ok().map(Zeroizing::new)
}

/// The host's randomness in the form that `hpke` takes.
struct HostRng<'a>(&'a dyn Entropy);

impl TryRng for HostRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for HostRng<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::OsEntropy;

    fn opener(kind: RequestType, request_id: u8) -> AnswerOpener {
        let binding = Binding { kind, instance: [1; 16], request_id: RequestId([request_id; 16]) };
        AnswerOpener { binding, key: Zeroizing::new([7; 32]) }
    }

    /// What a service would answer to the request of `opener`.
    fn answer(opener: &AnswerOpener, plain: &[u8]) -> serde_json::Value {
        let payload = Payload { msg: plain, aad: &opener.aad() };
        let ct = Aes256Gcm::new((&*opener.key).into()).encrypt(&[5; 12].into(), payload).unwrap();
        serde_json::json!({
            "v": 1,
            "type": opener.binding.kind.as_str(),
            "request_id": hex::encode(opener.binding.request_id.0),
            "nonce": base64_text(&[5; 12]),
            "ct": base64_text(&ct),
        })
    }

    fn reason(opener: &AnswerOpener, body: &[u8]) -> &'static str {
        match opener.open(body) {
            Err(WalletError::Protocol { reason }) => reason,
            Err(error) => panic!("{error}"),
            Ok(_) => "opened",
        }
    }

    const GOOD: &[u8] = br#"{"server_time_ms":5,"payload":{"answer":"activated","later":[]},"also":1}"#;

    #[test]
    fn an_answer_is_opened_and_unknown_fields_are_ignored() {
        let opener = opener(RequestType::Apply, 2);
        let mut body = answer(&opener, GOOD);
        body["later"] = serde_json::json!({"x": 1});
        let opened = opener.open(body.to_string().as_bytes()).unwrap();
        assert!(matches!(opened, Opened::Answer { server_time_ms: 5, answer: Answer::Activated {} }));
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_named() {
        let opener = opener(RequestType::Apply, 2);
        let good = answer(&opener, GOOD);
        let with = |field: &str, value: serde_json::Value| {
            let mut body = good.clone();
            body[field] = value;
            body.to_string()
        };
        let cases = [
            (with("v", 2.into()), "wrong version"),
            (with("v", "1".into()), "fields missing or of the wrong kind"),
            (with("type", "TRANSFER".into()), "of another type"),
            (with("request_id", "03".repeat(16).into()), "for another request"),
            (with("request_id", "0".into()), "for another request"),
            (with("nonce", "AAAA".into()), "nonce or ciphertext missing"),
            (with("ct", "*".into()), "nonce or ciphertext missing"),
            (with("ct", "".into()), "does not open"),
            (with("error", "later_error".into()), "unknown error in the clear"),
            (answer(&opener, b"\xFF").to_string(), "not UTF-8"),
            (answer(&opener, b"{").to_string(), "not JSON"),
            (
                answer(&opener, br#"{"server_time_ms":5,"payload":{"answer":"later"}}"#).to_string(),
                "fields missing or of the wrong kind",
            ),
            (
                answer(&opener, br#"{"payload":{"answer":"activated"}}"#).to_string(),
                "fields missing or of the wrong kind",
            ),
            (good.to_string(), "opened"),
        ];
        for (body, expected) in cases {
            assert_eq!(reason(&opener, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn an_answer_to_another_request_never_opens_even_if_it_is_relabelled() {
        let (mine, other) = (opener(RequestType::Apply, 2), opener(RequestType::Notify, 3));
        let mut body = answer(&other, GOOD);
        body["type"] = "APPLY".into();
        body["request_id"] = hex::encode([2; 16]).into();
        assert_eq!(reason(&mine, body.to_string().as_bytes()), "does not open");
    }

    #[test]
    fn each_encapsulation_is_fresh() {
        let (_, public) = ServiceKem::derive_keypair(&[1; 32]);
        let enc = || encapsulate(&OsEntropy, &public, b"").unwrap().0;
        assert_ne!(enc(), enc());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_with_a_value(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(opener(RequestType::Apply, 2).open(&body).is_err());
        }

        #[test]
        fn any_sealed_bytes_are_answered_with_a_value(plain in proptest::collection::vec(any::<u8>(), 0..256)) {
            let opener = opener(RequestType::Apply, 2);
            prop_assert!(opener.open(answer(&opener, &plain).to_string().as_bytes()).is_err());
        }
    }
}
