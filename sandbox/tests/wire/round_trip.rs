//! What both halves agree on.

use nfcwallet_core::WalletError;
use nfcwallet_core::error::{KeyStoreProblem, ServiceProblem};
use nfcwallet_core::host::{OsEntropy, RequestType};
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::{Answer, Operation, Refusal, WireCredential};
use nfcwallet_core::token_service::{CacheKey, RequestId, TokenServiceClient};
use p256::ecdsa::SigningKey;
use std::time::Duration;

use super::phone::{Phone, Signing};
use super::service::{START_MS, Service};

fn apply() -> Operation {
    Operation::Apply { fingerprint: "zażółć \"jaźń\" \u{1F4F1}".to_owned(), device_safe: true, silent: false }
}

async fn call(client: &TokenServiceClient) -> Result<Answer, WalletError> {
    client.call("user-7", &apply(), RequestId::random(&OsEntropy)).await
}

#[tokio::test]
async fn the_service_reads_what_the_wallet_wrote() {
    let service = Service::new();
    let client = Phone::new(&service).client();

    client.call("user-7", &apply(), RequestId([5; 16])).await.unwrap();

    let opened = service.opened.lock().unwrap();
    let request = opened.first().unwrap();
    assert_eq!((request.kind, request.instance, request.request_id), (RequestType::Apply, [0xA1; 16], [5; 16]));
    assert_eq!((request.user.as_str(), request.mpp_id.as_str(), request.issued_at_ms), ("user-7", "mpp-1", START_MS));
    assert_eq!((request.device_public_key.len(), request.device_public_key[0]), (65, 4));
    assert_eq!(request.payload, serde_json::to_value(apply()).unwrap());
}

#[tokio::test]
async fn nothing_of_the_user_or_the_payload_travels_in_the_clear() {
    let service = Service::new();
    let phone = Phone::new(&service);
    service.respond(|_| Answer::Applied { application_id: "application-99".to_owned(), config: None });
    call(&phone.client()).await.unwrap();
    let requests = service.requests.lock().unwrap();
    let answers = service.answers.lock().unwrap();
    for body in requests.iter().map(|(_, body)| body).chain(answers.iter()) {
        let text = String::from_utf8(body.clone()).unwrap();
        assert!(!text.contains("user-7") && !text.contains("fingerprint") && !text.contains("application"), "{text}");
    }
}

#[tokio::test]
async fn the_wallet_reads_what_the_service_wrote() {
    let service = Service::new();
    service.respond(|_| {
        let credential =
            |atc| WireCredential { atc, session_key: Secret::new([atc as u8; 16]), cvc3_key: None, expires_at_ms: 7 };
        Answer::Replenished { credentials: (1..=100).map(credential).collect() }
    });
    let answer = call(&Phone::new(&service).client()).await.unwrap();
    let Answer::Replenished { credentials } = answer else { panic!("{answer:?}") };
    assert_eq!(credentials.len(), 100);
    assert_eq!(credentials[41].session_key.expose(), &[42; 16]);
}

#[tokio::test]
async fn keys_are_fetched_once_and_survive_a_restart() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    client.ensure_keys().await.unwrap();
    call(&client).await.unwrap();
    call(&phone.client()).await.unwrap();
    assert_eq!((service.count(RequestType::GetPk), service.count(RequestType::Apply)), (1, 2));
}

#[tokio::test]
async fn a_repeated_request_is_encapsulated_anew() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    for _ in 0..2 {
        client.call("user-7", &apply(), RequestId([5; 16])).await.unwrap();
    }
    let requests = service.requests.lock().unwrap();
    let field =
        |at: usize, name: &str| serde_json::from_slice::<serde_json::Value>(&requests[at].1).unwrap()[name].clone();
    assert_eq!(field(1, "request_id"), field(2, "request_id"));
    assert_ne!(field(1, "enc"), field(2, "enc"));
    assert_ne!(field(1, "ct"), field(2, "ct"));
}

#[tokio::test]
async fn both_signature_encodings_are_accepted() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    for signing in [Signing::Raw, Signing::Der] {
        *phone.signing.lock().unwrap() = signing;
        call(&client).await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_key_store_is_named_and_nothing_is_sent() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    for signing in [Signing::Wrong, Signing::Zeroes] {
        *phone.signing.lock().unwrap() = signing;
        let error = call(&client).await.unwrap_err();
        assert!(matches!(error, WalletError::KeyStore { reason: KeyStoreProblem::Failed { .. } }), "{error}");
    }
    *phone.signing.lock().unwrap() = Signing::Locked;
    assert_eq!(call(&client).await.unwrap_err(), WalletError::KeyStore { reason: KeyStoreProblem::Locked });
    assert_eq!(service.count(RequestType::Apply), 0);
}

#[tokio::test]
async fn a_renewed_device_key_is_noticed() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    call(&client).await.unwrap();
    *phone.device_key.lock().unwrap() = SigningKey::from_slice(&[6; 32]).unwrap();
    call(&client).await.unwrap();
    let opened = service.opened.lock().unwrap();
    assert_ne!(opened[0].device_public_key, opened[1].device_public_key);
}

#[tokio::test]
async fn refusals_are_typed() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    let problems = [
        (Refusal::Declined { code: "05".into() }, ServiceProblem::Declined { code: "05".into() }),
        (Refusal::UnknownToken {}, ServiceProblem::UnknownToken),
        (
            Refusal::RateLimited { retry_after_ms: 1_500 },
            ServiceProblem::RateLimited { retry_after: Duration::from_millis(1_500) },
        ),
        (Refusal::SessionRequired {}, ServiceProblem::SessionRequired),
        (Refusal::ClockSkew {}, ServiceProblem::ClockSkew),
        (Refusal::WrongUser {}, ServiceProblem::WrongUser),
        (Refusal::Suspended {}, ServiceProblem::Suspended),
        (Refusal::UnknownOperation {}, ServiceProblem::UnknownOperation),
        (Refusal::BadSignature {}, ServiceProblem::BadSignature),
        (Refusal::Internal {}, ServiceProblem::Internal),
    ];
    for (problem, reason) in problems {
        service.respond(move |_| Answer::Refused { problem: problem.clone() });
        assert_eq!(call(&client).await.unwrap_err(), WalletError::Service { reason });
    }
    service.respond(|_| Answer::Refused { problem: Refusal::DeviceUnsafe {} });
    assert!(matches!(call(&client).await.unwrap_err(), WalletError::DeviceUnsafe { .. }));
}

#[tokio::test]
async fn a_full_disk_does_not_fail_a_call() {
    let service = Service::new();
    let phone = Phone::new(&service);
    *phone.disk_is_full.lock().unwrap() = true;
    call(&phone.client()).await.unwrap();
    assert_eq!(phone.saved.lock().unwrap().get(&CacheKey::KeySet), None);
}

#[tokio::test]
async fn calls_may_run_on_any_thread() {
    let service = Service::new();
    let client = std::sync::Arc::new(Phone::new(&service).client());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move { call(&client).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}
