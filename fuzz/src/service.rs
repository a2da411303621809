//! A token service in a few lines, by `docs/wire.md`: it opens any request and seals any bytes as the
//! answer.

use std::sync::LazyLock;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, Serializable};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// What the phone's clock shows, and the service's.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

type PrivateKey = <DhP256HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <DhP256HkdfSha256 as Kem>::PublicKey;

static KEY: LazyLock<(PrivateKey, PublicKey)> = LazyLock::new(|| DhP256HkdfSha256::derive_keypair(&[0x51; 32]));
static TRUST: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[0x52; 32]).unwrap());

/// The key that the app pins.
pub(crate) fn trust_key() -> Vec<u8> {
    TRUST.verifying_key().to_sec1_point(false).as_bytes().to_vec()
}

/// The key set as it is signed: one key, valid for a year from now.
pub(crate) fn key_set() -> Value {
    json!({
        "issued_at_ms": NOW_MS,
        "keys": [{
            "kid": "k1",
            "public_key": hex::encode(KEY.1.to_bytes()),
            "not_before_ms": NOW_MS,
            "not_after_ms": NOW_MS + 31_536_000_000,
        }],
    })
}

/// An answer to `GET_PK`: any bytes, signed by the pinned key.
pub(crate) fn sign_keys(set: &[u8]) -> Value {
    let signature: Signature = TRUST.sign(&[b"nfcwallet/1 keys\0", set].concat());
    json!({ "v": 1, "keys": STANDARD.encode(set), "signature": STANDARD.encode(signature.to_bytes()) })
}

/// The key of the answer to one request.
pub(crate) struct AnswerKey {
    kind: String,
    request_id: String,
    aad: Vec<u8>,
    key: [u8; 32],
}

impl AnswerKey {
    /// Opens a request of the wallet.
    pub(crate) fn of(request: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(request).expect("a request is JSON");
        let text = |field: &str| body[field].as_str().expect("every field but the version is text").to_owned();
        let (kind, instance) = (text("type"), hex::decode(text("instance")).unwrap());
        let request_id = hex::decode(text("request_id")).unwrap();
        let enc = STANDARD.decode(text("enc")).unwrap();
        let enc = <DhP256HkdfSha256 as Kem>::EncappedKey::from_bytes(&enc).unwrap();
        let info = format!("nfcwallet/1 {kind}");
        let setup = hpke::setup_receiver::<AesGcm256, HkdfSha256, DhP256HkdfSha256>;
        let mut context = setup(&OpModeR::Base, &KEY.0, &enc, info.as_bytes()).unwrap();
        let ct = STANDARD.decode(text("ct")).unwrap();
        context.open(&ct, &[&instance[..], &request_id].concat()).expect("the wallet seals for the service");
        let mut key = [0; 32];
        context.export(b"nfcwallet/1 answer", &mut key).unwrap();
        let aad = [b"nfcwallet/1 answer\0", kind.as_bytes(), b"\0", &instance, &request_id].concat();
        Self { kind, request_id: text("request_id"), aad, key }
    }

    /// Seals any bytes as the answer.
    pub(crate) fn seal(&self, plain: &[u8]) -> Value {
        let payload = Payload { msg: plain, aad: &self.aad };
        let ct = Aes256Gcm::new(&self.key.into()).encrypt(&[9; 12].into(), payload).unwrap();
        json!({
            "v": 1,
            "type": self.kind,
            "request_id": self.request_id,
            "nonce": STANDARD.encode([9; 12]),
            "ct": STANDARD.encode(ct),
        })
    }
}
