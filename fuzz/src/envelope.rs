//! Answers of the relay and the service to the wallet's requests: only what the service sealed for this
//! request is believed, whatever is in it is read or refused, and afterwards the wallet works.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};

use arbitrary::{Arbitrary, Unstructured};
use nfcwallet_core::WalletError;
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::host::RequestType;
use nfcwallet_core::token_service::operations::{Answer, MessageContent, Operation};
use nfcwallet_core::token_service::{RequestId, TokenServiceClient};
use serde_json::{Value, json};

use crate::cards;
use crate::edit::{self, Edit};
use crate::phone::{self, lock};
use crate::service::{self, AnswerKey, NOW_MS};

#[derive(Debug, Arbitrary)]
struct Exchange {
    operation: u8,
    /// The answers in turn; then the phone is offline.
    replies: Vec<Reply>,
}

#[derive(Debug, Arbitrary)]
enum Reply {
    Offline,
    /// From anybody on the way.
    Bytes(Vec<u8>),
    UnknownKey,
    Malformed,
    /// From the service: an answer with changes, and changes to its envelope.
    Answer {
        answer: u8,
        time: Time,
        edits: Vec<Edit>,
        envelope: Vec<Edit>,
    },
    /// From the service: any bytes.
    Sealed {
        plain: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Time {
    Now,
    Any(i64),
}

/// What the service sealed, as the wallet must read it.
type Sealed = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) fn run(input: &[u8]) {
    let Ok(exchange) = Exchange::arbitrary_take_rest(Unstructured::new(input)) else { return };
    phone::restart(NOW_MS);
    let client = phone::client(&Arc::default());
    let sealed = Sealed::default();
    play(exchange.replies.into(), &sealed);
    let operations = operations();
    let operation = &operations[usize::from(exchange.operation) % operations.len()];
    let result = phone::block_on(client.call("user", operation, RequestId([7; 16])));
    let sealed = std::mem::take(&mut *lock(&sealed));
    match result {
        Ok(answer) => believed(&answer, &sealed),
        Err(error) => refused(&error),
    }
    let _ = client.service_now_ms();
    if sealed.is_empty() {
        works(&client);
    }
}

/// The service answers by script.
fn play(mut replies: VecDeque<Reply>, sealed: &Sealed) {
    let sealed = Arc::clone(sealed);
    phone::answer_with(move |kind, request| match kind {
        RequestType::GetPk => Some(good_keys()),
        _ => replies.pop_front()?.body(request, &sealed),
    });
}

fn good_keys() -> Vec<u8> {
    service::sign_keys(service::key_set().to_string().as_bytes()).to_string().into_bytes()
}

impl Reply {
    fn body(self, request: &[u8], sealed: &Sealed) -> Option<Vec<u8>> {
        match self {
            Self::Offline => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::UnknownKey => Some(br#"{"v":1,"error":"unknown_key"}"#.to_vec()),
            Self::Malformed => Some(br#"{"v":1,"error":"malformed"}"#.to_vec()),
            Self::Answer { answer, time, edits, envelope } => {
                let server_time_ms = if let Time::Any(time) = time { time } else { NOW_MS };
                let answers = &*ANSWERS;
                let payload = &answers[usize::from(answer) % answers.len()];
                let mut text = json!({ "server_time_ms": server_time_ms, "payload": payload });
                edit::apply(&mut text, &edits);
                let plain = text.to_string().into_bytes();
                let mut body = AnswerKey::of(request).seal(&plain);
                edit::apply(&mut body, &envelope);
                lock(sealed).push(plain);
                Some(body.to_string().into_bytes())
            }
            Self::Sealed { plain } => {
                let body = AnswerKey::of(request).seal(&plain);
                lock(sealed).push(plain);
                Some(body.to_string().into_bytes())
            }
        }
    }
}

/// An answer that the wallet believed: the service sealed it, and it survives being looked at.
fn believed(answer: &Answer, sealed: &[Vec<u8>]) {
    let believed = serde_json::to_value(answer).unwrap();
    let is_sealed = sealed.iter().any(|plain| read(plain).as_ref() == Some(&believed));
    assert!(is_sealed, "an answer that nobody sealed was believed");
    assert!(!format!("{answer:?}").is_empty());
    match answer {
        Answer::Provisioned { profile, .. } => compile(profile),
        Answer::Inbox { messages } => {
            for message in messages {
                if let MessageContent::Profile { profile, .. } = &message.content {
                    compile(profile);
                }
            }
        }
        Answer::Refused { problem } => panic!("a refusal is an error: {problem:?}"),
        _ => {}
    }
}

/// The payload of a plain text, in the form that the wallet hands out.
fn read(plain: &[u8]) -> Option<Value> {
    let text: Value = serde_json::from_slice(plain).ok()?;
    let answer: Answer = serde_json::from_value(text.get("payload")?.clone()).ok()?;
    serde_json::to_value(answer).ok()
}

fn compile(profile: &Profile) {
    drop(Card::compile(profile));
}

/// Whatever the service or the relay says, the error is one of the network's, the protocol's or the
/// service's.
fn refused(error: &WalletError) {
    let is_expected = matches!(
        error,
        WalletError::Network { .. }
            | WalletError::Protocol { .. }
            | WalletError::Service { .. }
            | WalletError::DeviceUnsafe { .. }
    );
    assert!(is_expected, "{error:?}");
    assert!(!error.to_string().is_empty());
}

/// Nothing that came in the clear may change what the client does next.
fn works(client: &TokenServiceClient) {
    play(VecDeque::from([Reply::Sealed { plain: activated() }]), &Sealed::default());
    let result = phone::block_on(client.call("user", &Operation::TokenState {}, RequestId([8; 16])));
    assert!(matches!(result, Ok(Answer::Activated {})), "{result:?}");
}

fn activated() -> Vec<u8> {
    json!({ "server_time_ms": NOW_MS, "payload": Answer::Activated {} }).to_string().into_bytes()
}

/// One of each request type, and the largest.
fn operations() -> [Operation; 5] {
    [
        Operation::Apply { fingerprint: "phone".to_owned(), device_safe: true, silent: false },
        Operation::OpenSession {},
        Operation::Provision { application_id: "a".to_owned(), session_id: "s".to_owned(), count: 20 },
        Operation::TokenState {},
        Operation::FetchInbox {},
    ]
}

/// One of each answer.
static ANSWERS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let profile = serde_json::to_value(cards::profile(0)).unwrap();
    let credential = json!({ "atc": 1, "session_key": "11".repeat(16), "expires_at_ms": NOW_MS });
    let config = json!({
        "nfcIssueConfig": { "applyTokenTimes": 3, "applyTokenInterval": 100 },
        "nfcTransactionConfig": { "isSupportTransit": true },
    });
    let reference = "t1";
    let message = |content: Value| json!({ "id": "m1", "content": content });
    vec![
        json!({ "answer": "applied", "application_id": "a", "config": config }),
        json!({ "answer": "application", "decision": { "state": "step_up_required" } }),
        json!({ "answer": "application", "decision": { "state": "declined", "code": "05" } }),
        json!({ "answer": "session_pending" }),
        json!({ "answer": "session", "session_id": "s", "valid_ms": 600_000 }),
        json!({
            "answer": "provisioned", "token_reference": reference,
            "profile": profile, "credentials": [credential],
        }),
        json!({ "answer": "activation_pending" }),
        json!({ "answer": "activated" }),
        json!({ "answer": "replenished", "credentials": [credential, credential] }),
        json!({
            "answer": "state", "config": config,
            "token": { "state": "active", "token_reference": reference, "suspended_by": ["user", "issuer"] },
        }),
        json!({ "answer": "inbox", "messages": [
            message(json!({ "kind": "suspend", "token_reference": reference, "by": "scheme" })),
            message(json!({ "kind": "replenish", "token_reference": reference })),
            message(json!({ "kind": "delete", "token_reference": reference })),
            message(json!({ "kind": "config", "config": config })),
            message(json!({ "kind": "profile", "token_reference": reference, "profile": profile })),
            message(json!({ "kind": "of tomorrow" })),
        ] }),
        json!({ "answer": "acknowledged" }),
        json!({ "answer": "refused", "problem": { "error": "clock_skew" } }),
        json!({ "answer": "refused", "problem": { "error": "rate_limited", "retry_after_ms": 500 } }),
        json!({ "answer": "refused", "problem": { "error": "declined", "code": "05" } }),
    ]
});
