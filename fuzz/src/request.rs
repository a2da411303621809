//! Requests to the sandbox's token service: whatever comes in, there is an answer; only the bound device
//! key gets anything but a refusal, and only the sender of a request can read its answer.

use std::sync::{Arc, LazyLock};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::{Deserializable, Kem, OpModeS, Serializable};
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::host::RequestType;
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::{Answer, Refusal, WireCredential};
use nfcwallet_sandbox::issuer::Personalisation;
use nfcwallet_sandbox::relay::Upstream;
use nfcwallet_sandbox::token_service::{CardIssuer, IssuerError, ServiceEndpoint, TokenService};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::cards;
use crate::edit::{self, Edit};

/// Longer conversations find nothing that these do not.
const MOST_REQUESTS: usize = 12;

const INSTANCE: [u8; 16] = [0x1D; 16];

#[derive(Debug, Arbitrary)]
enum Sent {
    /// From anybody.
    Bytes { kind: u8, body: Vec<u8> },
    /// From a wallet: an operation with changes, and changes to its envelope.
    Sealed { operation: u8, edits: Vec<Edit>, envelope: Vec<Edit>, hand: Hand, request_id: u8, user: User },
    /// From a wallet: any statement.
    Statement { kind: u8, bytes: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Hand {
    Device,
    Another,
    Nobody,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum User {
    Own,
    Other,
}

/// One service for all inputs; it forgets everything before each.
struct Service {
    logic: Arc<TokenService>,
    endpoint: ServiceEndpoint,
    public_key: <DhP256HkdfSha256 as Kem>::PublicKey,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let logic = Arc::new(TokenService::open(Arc::new(FixedIssuer), None).unwrap());
    let endpoint = ServiceEndpoint::new(Arc::clone(&logic), [0x55; 32]);
    let answer = endpoint.exchange(RequestType::GetPk, "user", br#"{"v":1,"type":"GET_PK"}"#);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let set = STANDARD.decode(answer["keys"].as_str().unwrap()).unwrap();
    let set: Value = serde_json::from_slice(&set).unwrap();
    let key = hex::decode(set["keys"][0]["public_key"].as_str().unwrap()).unwrap();
    let public_key = <DhP256HkdfSha256 as Kem>::PublicKey::from_bytes(&key).unwrap();
    Service { logic, endpoint, public_key }
});

pub(crate) fn run(input: &[u8]) {
    let Ok(sent) = Vec::<Sent>::arbitrary_take_rest(Unstructured::new(input)) else { return };
    SERVICE.logic.reset().unwrap();
    let mut wallet = Wallet { number: 0, known: Known::default() };
    for request in sent.into_iter().take(MOST_REQUESTS) {
        match request {
            Sent::Bytes { kind, body } => from_anybody(kind_of(kind), &body),
            Sent::Statement { kind, bytes } => drop(wallet.exchange(kind_of(kind), &bytes, &[], Hand::Device, 0)),
            Sent::Sealed { operation, edits, envelope, hand, request_id, user } => {
                wallet.ask(operation, &edits, &envelope, hand, request_id, user);
            }
        }
    }
}

fn kind_of(number: u8) -> RequestType {
    RequestType::ALL[usize::from(number) % RequestType::ALL.len()]
}

/// Nobody without the service's key is told more than that it was not understood.
fn from_anybody(kind: RequestType, body: &[u8]) {
    let answer = SERVICE.endpoint.exchange(kind, "user", body);
    let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    assert_eq!(answer["v"], 1);
    let is_key_set = kind == RequestType::GetPk && answer["keys"].is_string() && answer["signature"].is_string();
    assert!(is_key_set || matches!(answer["error"].as_str(), Some("malformed" | "unknown_key")), "{answer}");
}

/// What the service told the wallet.
#[derive(Default)]
struct Known {
    application: String,
    session: String,
    token: String,
    message: String,
}

/// A wallet that does as it is told.
struct Wallet {
    number: u64,
    known: Known,
}

impl Wallet {
    fn ask(&mut self, operation: u8, edits: &[Edit], envelope: &[Edit], hand: Hand, request_id: u8, user: User) {
        let operations = self.operations();
        let (kind, payload) = &operations[usize::from(operation) % operations.len()];
        let mut statement = json!({
            "issued_at_ms": SERVICE.logic.clock().now_ms(),
            "mpp_id": "mpp",
            "user": if matches!(user, User::Own) { "user" } else { "other" },
            "device_public_key": hex::encode(device_key().verifying_key().to_sec1_point(false).as_bytes()),
            "payload": payload,
        });
        edit::apply(&mut statement, edits);
        let statement = statement.to_string().into_bytes();
        let answer = self.exchange(*kind, &statement, envelope, hand, request_id);
        let Some(answer) = answer else { return };
        if hand != Hand::Device {
            let is_refused = matches!(answer, Answer::Refused { problem: Refusal::BadSignature {} });
            assert!(is_refused, "{answer:?} without the device's signature");
        }
        self.learn(answer);
    }

    /// Sends a sealed statement. `None`: the service could not open it.
    fn exchange(
        &mut self,
        kind: RequestType,
        statement: &[u8],
        envelope: &[Edit],
        hand: Hand,
        request_id: u8,
    ) -> Option<Answer> {
        self.number += 1;
        let info = format!("nfcwallet/1 {}", kind.as_str());
        let mut random = ChaCha20Rng::seed_from_u64(self.number);
        let setup = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, DhP256HkdfSha256>;
        let (enc, mut context) = setup(&OpModeS::Base, &SERVICE.public_key, info.as_bytes(), &mut random).unwrap();
        let (enc, request_id) = (enc.to_bytes(), [request_id; 16]);
        let name = kind.as_str().as_bytes();
        let message = [b"nfcwallet/1 request\0", name, b"\0", &INSTANCE, &request_id, &enc, statement].concat();
        let plain = [&hand.sign(&message)[..], statement].concat();
        let ct = context.seal(&plain, &[INSTANCE, request_id].concat()).unwrap();
        let mut key = [0; 32];
        context.export(b"nfcwallet/1 answer", &mut key).unwrap();
        let mut body = json!({
            "v": 1, "type": kind.as_str(), "kid": "k1",
            "instance": hex::encode(INSTANCE), "request_id": hex::encode(request_id),
            "enc": STANDARD.encode(enc), "ct": STANDARD.encode(ct),
        });
        edit::apply(&mut body, envelope);
        let answer = SERVICE.endpoint.exchange(kind, "user", body.to_string().as_bytes());
        let aad = [b"nfcwallet/1 answer\0", name, b"\0", &INSTANCE, &request_id].concat();
        open(&answer, &key, &aad)
    }

    /// One of each operation, in the order of an activation.
    fn operations(&self) -> [(RequestType, Value); 14] {
        use RequestType::{Apply, Notify, SyncToken, Transfer};
        let Known { application, session, token, message } = &self.known;
        let of_token = |operation: &str| json!({ "operation": operation, "token_reference": token });
        [
            (Apply, json!({ "operation": "apply", "fingerprint": "f", "device_safe": true, "silent": false })),
            (Apply, json!({ "operation": "application_status", "application_id": application })),
            (Transfer, json!({ "operation": "open_session" })),
            (
                Transfer,
                json!({
                    "operation": "provision", "application_id": application, "session_id": session, "count": 3,
                }),
            ),
            (Transfer, json!({ "operation": "report_provisioned", "token_reference": token, "stored": true })),
            (SyncToken, of_token("activate")),
            (
                Transfer,
                json!({
                    "operation": "replenish", "token_reference": token, "session_id": session, "count": 2,
                }),
            ),
            (
                Transfer,
                json!({
                    "operation": "report_usage", "token_reference": token, "entries": [{ "atc": 1, "outcome": "used" }],
                }),
            ),
            (SyncToken, json!({ "operation": "token_state" })),
            (SyncToken, of_token("lock")),
            (SyncToken, of_token("unlock")),
            (SyncToken, of_token("delete")),
            (Notify, json!({ "operation": "fetch_inbox" })),
            (Notify, json!({ "operation": "acknowledge_inbox", "ids": [message] })),
        ]
    }

    fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Applied { application_id, .. } => self.known.application = application_id,
            Answer::Session { session_id, .. } => self.known.session = session_id,
            Answer::Provisioned { token_reference, .. } => self.known.token = token_reference,
            Answer::Inbox { messages } => {
                self.known.message = messages.into_iter().next().map(|message| message.id).unwrap_or_default();
            }
            _ => {}
        }
    }
}

/// Opens the answer with the key of the request; `None` if the service answered in the clear.
fn open(answer: &[u8], key: &[u8; 32], aad: &[u8]) -> Option<Answer> {
    let body: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    if body.get("ct").is_none() {
        let error = body["error"].as_str().or(body["keys"].as_str());
        assert!(error.is_some(), "neither sealed nor an error: {body}");
        return None;
    }
    let bytes = |field: &str| STANDARD.decode(body[field].as_str().unwrap()).unwrap();
    let nonce: [u8; 12] = bytes("nonce").try_into().unwrap();
    let payload = Payload { msg: &bytes("ct"), aad };
    let plain = Aes256Gcm::new(key.into()).decrypt(&nonce.into(), payload).expect("the sender can read the answer");
    let text: Value = serde_json::from_slice(&plain).unwrap();
    Some(serde_json::from_value(text["payload"].clone()).expect("the service answers in the wallet's words"))
}

impl Hand {
    fn sign(self, message: &[u8]) -> [u8; 64] {
        let key = match self {
            Self::Device => device_key(),
            Self::Another => SigningKey::from_slice(&[0x57; 32]).unwrap(),
            Self::Nobody => return [0; 64],
        };
        let signature: Signature = key.sign(message);
        signature.to_bytes().into()
    }
}

fn device_key() -> SigningKey {
    SigningKey::from_slice(&[0x56; 32]).unwrap()
}

/// The same card for every token: making keys is not what is tried here.
struct FixedIssuer;

impl CardIssuer for FixedIssuer {
    fn personalise(&self, _: &str, _: &str) -> Result<Profile, IssuerError> {
        Ok(cards::profile(0).clone())
    }

    fn personalise_as(&self, _: &str, _: &str, _: &Personalisation) -> Result<Profile, IssuerError> {
        Ok(cards::profile(0).clone())
    }

    fn credentials(
        &self,
        _: &str,
        first_atc: u16,
        count: u32,
        expires_at_ms: i64,
    ) -> Result<Vec<WireCredential>, IssuerError> {
        let counters = (first_atc..=u16::MAX).take(count as usize);
        Ok(counters
            .map(|atc| WireCredential { atc, session_key: Secret::new([0x58; 16]), cvc3_key: None, expires_at_ms })
            .collect())
    }
}
