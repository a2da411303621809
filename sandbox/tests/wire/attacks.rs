//! Whoever sits between the halves can deny the service, and nothing else.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::rand_core::SeedableRng;
use hpke::{Deserializable, Kem, OpModeS, Serializable};
use nfcwallet_core::WalletError;
use nfcwallet_core::error::NetworkProblem;
use nfcwallet_core::host::{OsEntropy, RequestType};
use nfcwallet_core::token_service::operations::{Answer, Operation};
use nfcwallet_core::token_service::{CacheKey, RequestId, TokenServiceClient};
use nfcwallet_sandbox::token_service::envelope::{OpenError, OpenedRequest, REQUEST_LIMIT, open_request};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::phone::Phone;
use super::service::{START_MS, Service};

/// Bits to flip in a byte: the lowest, the one between upper and lower case, the highest, all.
const FLIPS: [u8; 4] = [0x01, 0x20, 0x80, 0xFF];

async fn call(client: &TokenServiceClient) -> Result<Answer, WalletError> {
    client.call("user-7", &Operation::FetchInbox {}, RequestId::random(&OsEntropy)).await
}

fn is_protocol<T: std::fmt::Debug>(result: Result<T, WalletError>) -> bool {
    matches!(result, Err(WalletError::Protocol { .. }))
}

/// A service, and a request that it has answered.
async fn answered() -> (Arc<Service>, TokenServiceClient, Vec<u8>) {
    let service = Service::new();
    let client = Phone::new(&service).client();
    call(&client).await.unwrap();
    let request = service.requests.lock().unwrap().last().unwrap().1.clone();
    (service, client, request)
}

#[tokio::test]
async fn no_byte_of_a_request_can_be_changed() {
    let (service, _, request) = answered().await;
    let keys = service.keys.lock().unwrap();
    open_request(&keys, &request, RequestType::Notify, START_MS).unwrap();
    for at in 0..request.len() {
        for flip in FLIPS {
            let mut changed = request.clone();
            changed[at] ^= flip;
            let opened = open_request(&keys, &changed, RequestType::Notify, START_MS);
            assert!(
                matches!(opened, Err(OpenError::Malformed { .. } | OpenError::UnknownKey)),
                "byte {at} ^ {flip:02X}"
            );
        }
        assert!(open_request(&keys, &request[..at], RequestType::Notify, START_MS).is_err(), "length {at}");
    }
}

#[tokio::test]
async fn a_request_opens_only_under_its_own_type() {
    let (service, _, request) = answered().await;
    let keys = service.keys.lock().unwrap();
    for kind in RequestType::ALL.into_iter().filter(|kind| *kind != RequestType::Notify) {
        assert!(matches!(open_request(&keys, &request, kind, START_MS), Err(OpenError::Malformed { .. })));
        let mut relabelled: Value = serde_json::from_slice(&request).unwrap();
        relabelled["type"] = kind.as_str().into();
        let opened = open_request(&keys, relabelled.to_string().as_bytes(), kind, START_MS);
        assert!(matches!(opened, Err(OpenError::Malformed { .. })));
    }
}

#[tokio::test]
async fn no_byte_of_an_answer_can_be_changed() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    client.ensure_keys().await.unwrap();
    // Random text keeps its length, so one call shows how long each answer will be.
    call(&client).await.unwrap();
    let length = service.last_answer().len();
    phone.saved.lock().unwrap().clear();

    let place = Arc::new(Mutex::new((0, 0)));
    let meddler = Arc::clone(&place);
    service.meddle(move |_, mut body| {
        let (at, flip) = *meddler.lock().unwrap();
        body[at] ^= flip;
        Ok(body)
    });
    for at in 0..length {
        for flip in FLIPS {
            *place.lock().unwrap() = (at, flip);
            assert!(is_protocol(call(&client).await), "byte {at} ^ {flip:02X}");
        }
    }
    assert!(phone.saved.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_truncated_answer_is_refused_at_each_length() {
    let (service, client, _) = answered().await;
    let length = service.last_answer().len();
    let cut = Arc::new(Mutex::new(0));
    let meddler = Arc::clone(&cut);
    service.meddle(move |_, mut body| {
        body.truncate(*meddler.lock().unwrap());
        Ok(body)
    });
    assert_eq!(call(&client).await.unwrap_err(), WalletError::Network { reason: NetworkProblem::Empty });
    for at in 1..length {
        *cut.lock().unwrap() = at;
        assert!(is_protocol(call(&client).await), "length {at}");
    }
}

#[tokio::test]
async fn garbage_is_a_typed_error() {
    let (service, client, _) = answered().await;
    let protocol = |reason| WalletError::Protocol { reason };
    let too_large = NetworkProblem::TooLarge { bytes: 256 * 1024 + 1, limit: 256 * 1024 };
    let cases = [
        (vec![], WalletError::Network { reason: NetworkProblem::Empty }),
        (vec![b' '; 256 * 1024 + 1], WalletError::Network { reason: too_large }),
        (vec![b' '; 256 * 1024], protocol("not JSON")),
        (vec![0xC3, 0x28], protocol("not UTF-8")),
        (b"<html>502 Bad Gateway</html>".to_vec(), protocol("not JSON")),
        (b"null".to_vec(), protocol("fields missing or of the wrong kind")),
        (br#"{"v":2}"#.to_vec(), protocol("wrong version")),
        (br#"{"v":1,"error":"maintenance"}"#.to_vec(), protocol("unknown error in the clear")),
    ];
    for (body, expected) in cases {
        service.meddle(move |_, _| Ok(body.clone()));
        assert_eq!(call(&client).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn an_answer_is_good_for_its_own_request_only() {
    let (service, client, _) = answered().await;
    let earlier = service.last_answer();
    let replayed = earlier.clone();
    service.meddle(move |_, _| Ok(replayed.clone()));
    assert_eq!(call(&client).await.unwrap_err(), WalletError::Protocol { reason: "for another request" });

    // Relabelled with the id and type of the new request.
    service.meddle(move |_, body| Ok(with_label_of(&earlier, &body)));
    assert_eq!(call(&client).await.unwrap_err(), WalletError::Protocol { reason: "does not open" });
}

#[tokio::test]
async fn an_answer_to_an_older_attempt_of_the_same_request_does_not_open() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    let id = RequestId([5; 16]);
    client.call("user-7", &Operation::FetchInbox {}, id).await.unwrap();
    let older = service.last_answer();
    service.meddle(move |_, _| Ok(older.clone()));
    let error = client.call("user-7", &Operation::FetchInbox {}, id).await.unwrap_err();
    assert_eq!(error, WalletError::Protocol { reason: "does not open" });
}

#[tokio::test]
async fn an_answer_to_another_wallet_does_not_open() {
    let service = Service::new();
    let (one, other) = (Phone::new(&service).client(), Phone::new(&service).client());
    let id = RequestId([5; 16]);
    other.call("user-8", &Operation::FetchInbox {}, id).await.unwrap();
    let answer = service.last_answer();
    one.ensure_keys().await.unwrap();
    service.meddle(move |_, _| Ok(answer.clone()));
    let error = one.call("user-7", &Operation::FetchInbox {}, id).await.unwrap_err();
    assert_eq!(error, WalletError::Protocol { reason: "does not open" });
}

#[tokio::test]
async fn a_reflected_request_is_no_answer() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    client.ensure_keys().await.unwrap();
    let mirror = Arc::clone(&service);
    service.meddle(move |_, _| Ok(mirror.requests.lock().unwrap().last().unwrap().1.clone()));
    assert_eq!(call(&client).await.unwrap_err(), WalletError::Protocol { reason: "nonce or ciphertext missing" });

    // With a nonce, so that it looks like an answer.
    let mirror = Arc::clone(&service);
    service.meddle(move |_, _| {
        let mut body: Value = serde_json::from_slice(&mirror.requests.lock().unwrap().last().unwrap().1).unwrap();
        body["nonce"] = STANDARD.encode([0; 12]).into();
        Ok(body.to_string().into_bytes())
    });
    assert_eq!(call(&client).await.unwrap_err(), WalletError::Protocol { reason: "does not open" });
}

#[tokio::test]
async fn a_refused_answer_leaves_nothing_behind() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    service.meddle(|_, mut body| {
        body.reverse();
        Ok(body)
    });
    assert!(is_protocol(client.ensure_keys().await));
    assert!(is_protocol(call(&client).await));
    assert!(phone.saved.lock().unwrap().is_empty());
    service.meddle(|_, body| Ok(body));
    call(&client).await.unwrap();
    assert!(phone.saved.lock().unwrap().contains_key(&CacheKey::KeySet));
}

#[test]
fn the_service_answers_garbage_in_the_clear() {
    let service = Service::new();
    let keys = service.keys.lock().unwrap();
    let bodies: [Vec<u8>; 6] = [
        vec![],
        b"{}".to_vec(),
        vec![0xFF; 40],
        b"[".repeat(100_000),
        vec![b' '; REQUEST_LIMIT + 1],
        br#"{"v":1,"type":"GET_PK","mpp_id":"m","request_id":"00"}"#.to_vec(),
    ];
    for body in bodies {
        for kind in RequestType::ALL {
            let error = open_request(&keys, &body, kind, START_MS).unwrap_err();
            assert_eq!(error.clear_body().unwrap(), br#"{"error":"malformed","v":1}"#);
        }
    }
}

#[test]
fn the_service_tells_an_unknown_operation_from_garbage() {
    let device = SigningKey::from_slice(&[3; 32]).unwrap();
    let opened = Forger::new().open(&device, &device, json!({ "operation": "dance", "tempo": 3 }));
    assert_eq!(opened.unwrap().payload["operation"], "dance");
}

#[test]
fn a_statement_signed_by_another_key_gets_a_sealed_refusal() {
    let (device, thief) = (SigningKey::from_slice(&[3; 32]).unwrap(), SigningKey::from_slice(&[2; 32]).unwrap());
    let error = Forger::new().open(&thief, &device, json!({ "operation": "token_state" })).unwrap_err();
    assert!(matches!(error, OpenError::BadSignature(_)));
    assert_eq!(error.clear_body(), None);
}

#[test]
fn a_signed_statement_cannot_be_sealed_anew() {
    let device = SigningKey::from_slice(&[3; 32]).unwrap();
    let forger = Forger::new();
    let plain = forger.plain(&device, &device, json!({ "operation": "token_state" }), &[0; 65]);
    let error = forger.seal(|_| plain.clone()).unwrap_err();
    assert!(matches!(error, OpenError::BadSignature(_)));
}

/// The old answer under the label of the new one.
fn with_label_of(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(old).unwrap();
    let label: Value = serde_json::from_slice(new).unwrap();
    for field in ["type", "request_id"] {
        body[field] = label[field].clone();
    }
    body.to_string().into_bytes()
}

/// Seals what no wallet would.
struct Forger {
    service: Arc<Service>,
}

type Kem256 = hpke::kem::DhP256HkdfSha256;

impl Forger {
    fn new() -> Self {
        Self { service: Service::new() }
    }

    fn open(&self, signer: &SigningKey, named: &SigningKey, payload: Value) -> Result<OpenedRequest, OpenError> {
        self.seal(|enc| self.plain(signer, named, payload.clone(), enc))
    }

    fn plain(&self, signer: &SigningKey, named: &SigningKey, payload: Value, enc: &[u8]) -> Vec<u8> {
        let statement = json!({
            "issued_at_ms": START_MS,
            "mpp_id": "mpp-1",
            "user": "user-7",
            "device_public_key": hex::encode(named.verifying_key().to_sec1_point(false).as_bytes()),
            "payload": payload,
        });
        let text = statement.to_string();
        let parts: [&[u8]; 6] = [b"nfcwallet/1 request\0", b"SYNC_TOKEN", b"\0", &[1; 32], enc, text.as_bytes()];
        let signature: Signature = signer.sign(&parts.concat());
        [&signature.to_bytes()[..], text.as_bytes()].concat()
    }

    fn seal(&self, plain: impl Fn(&[u8]) -> Vec<u8>) -> Result<OpenedRequest, OpenError> {
        let keys = self.service.keys.lock().unwrap();
        let answer: Value = serde_json::from_slice(&keys.key_set_answer()).unwrap();
        let set: Value = serde_json::from_slice(&STANDARD.decode(answer["keys"].as_str().unwrap()).unwrap()).unwrap();
        let public = hex::decode(set["keys"][0]["public_key"].as_str().unwrap()).unwrap();
        let public = <Kem256 as Kem>::PublicKey::from_bytes(&public).unwrap();
        let setup = hpke::setup_sender_with_rng::<hpke::aead::AesGcm256, hpke::kdf::HkdfSha256, Kem256>;
        let (enc, mut context) =
            setup(&OpModeS::Base, &public, b"nfcwallet/1 SYNC_TOKEN", &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let enc = enc.to_bytes().to_vec();
        let ct = context.seal(&plain(&enc), &[1; 32]).unwrap();
        let body = json!({
            "v": 1,
            "type": "SYNC_TOKEN",
            "kid": "k1",
            "instance": "01".repeat(16),
            "request_id": "01".repeat(16),
            "enc": STANDARD.encode(enc),
            "ct": STANDARD.encode(ct),
        });
        open_request(&keys, body.to_string().as_bytes(), RequestType::SyncToken, START_MS)
    }
}
