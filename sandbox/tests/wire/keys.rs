//! The service's keys: pinned, cached, rotated, never rolled back.

use nfcwallet_core::WalletError;
use nfcwallet_core::error::NetworkProblem;
use nfcwallet_core::host::{HostError, OsEntropy, RequestType};
use nfcwallet_core::token_service::operations::{Answer, Operation};
use nfcwallet_core::token_service::{CacheKey, RequestId, TokenServiceClient};
use nfcwallet_sandbox::token_service::keys::ServiceKeys;

use super::phone::Phone;
use super::service::{KEY_LIFE, START_MS, Service};

async fn call(client: &TokenServiceClient) -> Result<Answer, WalletError> {
    client.call("user-7", &Operation::OpenSession {}, RequestId::random(&OsEntropy)).await
}

fn protocol(reason: &'static str) -> WalletError {
    WalletError::Protocol { reason }
}

fn last_kid(service: &Service) -> String {
    let requests = service.requests.lock().unwrap();
    let (_, body) = requests.iter().rfind(|(kind, _)| *kind != RequestType::GetPk).unwrap();
    serde_json::from_slice::<serde_json::Value>(body).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn key_life_ms() -> i64 {
    i64::try_from(KEY_LIFE.as_millis()).unwrap()
}

#[tokio::test]
async fn a_set_signed_by_another_trust_key_is_refused_and_not_stored() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client_that_pins(ServiceKeys::from_seed([5; 32], START_MS).trust_key());
    assert_eq!(client.ensure_keys().await, Err(protocol("key set not signed by the trust key")));
    assert_eq!(call(&client).await.unwrap_err(), protocol("key set not signed by the trust key"));
    assert!(phone.saved.lock().unwrap().is_empty());
    assert_eq!(service.count(RequestType::Transfer), 0);
}

#[tokio::test]
async fn a_stored_set_is_not_used_under_another_trust_key() {
    let service = Service::new();
    let phone = Phone::new(&service);
    phone.client().ensure_keys().await.unwrap();
    let client = phone.client_that_pins(ServiceKeys::from_seed([5; 32], START_MS).trust_key());
    assert_eq!(call(&client).await.unwrap_err(), protocol("key set not signed by the trust key"));
}

#[tokio::test]
async fn the_set_is_fetched_again_when_half_of_the_key_s_life_is_over() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    call(&client).await.unwrap();
    phone.wait(key_life_ms() / 2 - 1);
    call(&client).await.unwrap();
    assert_eq!(service.count(RequestType::GetPk), 1);
    phone.wait(1);
    service.keys.lock().unwrap().rotate(START_MS + key_life_ms() / 2);
    call(&client).await.unwrap();
    assert_eq!((service.count(RequestType::GetPk), last_kid(&service).as_str()), (2, "k2"));
}

#[tokio::test]
async fn a_valid_key_is_used_on_while_the_refresh_fails() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    client.ensure_keys().await.unwrap();
    phone.wait(key_life_ms() / 2);
    service.meddle(|kind, body| match kind {
        RequestType::GetPk => Err(HostError::Offline),
        _ => Ok(body),
    });
    for _ in 0..3 {
        call(&client).await.unwrap();
    }
    // One attempt, then a pause.
    assert_eq!(service.count(RequestType::GetPk), 2);
}

#[tokio::test]
async fn an_expired_key_is_never_used() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    call(&client).await.unwrap();
    let old_set = service.answers.lock().unwrap()[0].clone();
    phone.wait(key_life_ms());
    service.meddle(move |kind, body| match kind {
        RequestType::GetPk => Ok(old_set.clone()),
        _ => Ok(body),
    });
    assert_eq!(call(&client).await.unwrap_err(), protocol("no service key is valid by this phone's clock"));
    assert_eq!(service.count(RequestType::Transfer), 1);

    service.meddle(|_, body| Ok(body));
    service.keys.lock().unwrap().rotate(START_MS + key_life_ms());
    call(&client).await.unwrap();
    assert_eq!(last_kid(&service), "k2");
}

#[tokio::test]
async fn a_rotation_that_retired_the_cached_key_is_followed_without_an_app_update() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    call(&client).await.unwrap();
    for later in [1, 2] {
        service.keys.lock().unwrap().rotate(START_MS + later);
    }
    phone.wait(3);
    let id = RequestId([8; 16]);
    client.call("user-7", &Operation::OpenSession {}, id).await.unwrap();
    assert_eq!((service.count(RequestType::GetPk), last_kid(&service).as_str()), (2, "k3"));
    assert_eq!(service.opened.lock().unwrap().last().unwrap().request_id, id.0);
}

#[tokio::test]
async fn one_rotation_ago_the_cached_key_still_opens() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    call(&client).await.unwrap();
    service.keys.lock().unwrap().rotate(START_MS);
    call(&client).await.unwrap();
    assert_eq!((service.count(RequestType::GetPk), last_kid(&service).as_str()), (1, "k1"));
}

#[tokio::test]
async fn an_older_set_is_refused_even_where_its_key_is_valid() {
    let service = Service::new();
    let phone = Phone::new(&service);
    let client = phone.client();
    client.ensure_keys().await.unwrap();
    let old_set = service.last_answer();
    service.keys.lock().unwrap().rotate(START_MS + 1);
    phone.wait(key_life_ms() / 2);
    client.ensure_keys().await.unwrap();
    let new_set = phone.saved.lock().unwrap()[&CacheKey::KeySet].clone();

    service.meddle(move |kind, _| match kind {
        RequestType::GetPk => Ok(old_set.clone()),
        _ => Ok(br#"{"v":1,"error":"unknown_key"}"#.to_vec()),
    });
    for client in [client, phone.client()] {
        assert_eq!(call(&client).await.unwrap_err(), protocol("key set older than the known one"));
    }
    assert_eq!(phone.saved.lock().unwrap()[&CacheKey::KeySet], new_set);
}

#[tokio::test]
async fn a_forged_unknown_key_costs_one_repetition_and_then_fails() {
    let service = Service::new();
    let client = Phone::new(&service).client();
    service.meddle(|kind, body| match kind {
        RequestType::GetPk => Ok(body),
        _ => Ok(br#"{"v":1,"error":"unknown_key"}"#.to_vec()),
    });
    assert_eq!(call(&client).await.unwrap_err(), protocol("the service does not know its own key"));
    assert_eq!((service.count(RequestType::GetPk), service.count(RequestType::Transfer)), (2, 2));
    service.meddle(|kind, body| match kind {
        RequestType::GetPk => Ok(body),
        _ => Ok(br#"{"v":1,"error":"malformed"}"#.to_vec()),
    });
    assert_eq!(call(&client).await.unwrap_err(), protocol("the service could not read the request"));
}

#[tokio::test]
async fn without_keys_and_network_the_network_is_named() {
    let service = Service::new();
    service.meddle(|_, _| Err(HostError::Offline));
    let error = Phone::new(&service).client().ensure_keys().await.unwrap_err();
    assert_eq!(error, WalletError::Network { reason: NetworkProblem::Offline });
}
