//! The service's time.

use nfcwallet_core::WalletError;
use nfcwallet_core::error::ServiceProblem;
use nfcwallet_core::host::{OsEntropy, RequestType};
use nfcwallet_core::token_service::operations::{Answer, Operation, Refusal};
use nfcwallet_core::token_service::{CacheKey, RequestId, TokenServiceClient};

use super::phone::Phone;
use super::service::{START_MS, Service};

const HOUR_MS: i64 = 3_600_000;

async fn call(client: &TokenServiceClient) -> Result<Answer, WalletError> {
    client.call("user-7", &Operation::TokenState {}, RequestId::random(&OsEntropy)).await
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_and_the_request_repeated_once_under_its_id() {
    let service = Service::new();
    let phone = Phone::new(&service);
    *phone.wall_ms.lock().unwrap() -= HOUR_MS;
    let client = phone.client();
    assert_eq!(client.service_now_ms(), START_MS - HOUR_MS);

    call(&client).await.unwrap();

    assert_eq!(client.service_now_ms(), START_MS);
    let opened = service.opened.lock().unwrap();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[0].request_id, opened[1].request_id);
    assert_eq!((opened[0].issued_at_ms, opened[1].issued_at_ms), (START_MS - HOUR_MS, START_MS));
}

#[tokio::test]
async fn a_service_that_insists_on_clock_skew_is_not_asked_for_ever() {
    let service = Service::new();
    service.respond(|_| Answer::Refused { problem: Refusal::ClockSkew {} });
    let error = call(&Phone::new(&service).client()).await.unwrap_err();
    assert_eq!(error, WalletError::Service { reason: ServiceProblem::ClockSkew });
    assert_eq!(service.count(RequestType::SyncToken), 2);
}

#[tokio::test]
async fn setting_the_phone_s_clock_moves_nothing_and_a_restart_knows_the_distance() {
    let service = Service::new();
    let phone = Phone::new(&service);
    *phone.wall_ms.lock().unwrap() += 2 * 60_000;
    let client = phone.client();
    call(&client).await.unwrap();

    *phone.wall_ms.lock().unwrap() = 0;
    phone.wait(5_000);
    assert_eq!(client.service_now_ms(), START_MS + 5_000);

    // The distance that was stored belongs to the wall clock as it was then.
    *phone.wall_ms.lock().unwrap() = START_MS + 2 * 60_000 + 5_000;
    assert_eq!(phone.client().service_now_ms(), START_MS + 5_000);
}

#[tokio::test]
async fn only_an_authenticated_answer_moves_the_clock() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    client.ensure_keys().await.unwrap();
    *service.now_ms.lock().unwrap() += HOUR_MS;
    service.meddle(|_, mut body| {
        let last = body.len() - 10;
        body[last] ^= 1;
        Ok(body)
    });
    call(&client).await.unwrap_err();
    assert_eq!(client.service_now_ms(), START_MS);
    assert_eq!(phone.saved.lock().unwrap().get(&CacheKey::ClockOffset), None);
}
