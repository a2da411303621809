//! Two sides with keys, and messages between them.
#![allow(dead_code, reason = "each test uses its part")]

use std::sync::{Arc, LazyLock};

use alipayplus::payment::mpp::{InquiryPaymentAnswer, InquiryPaymentRequest};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity};
use alipayplus::{ManualClock, ResultInfo};

/// 2025-02-20T08:51:49.09Z
pub const NOW_MS: i64 = 1_740_041_509_090;
pub const CLIENT: &str = "SANDBOX_5YC47N2ZQHJ004124";

/// The key that calls, and the key that answers. PEM, for a key cannot be cloned.
pub static CALLER: LazyLock<String> = LazyLock::new(new_key);
pub static SERVER: LazyLock<String> = LazyLock::new(new_key);

fn new_key() -> String {
    SigningKey::generate().unwrap().to_pkcs8_pem().unwrap().to_string()
}

pub fn key(pem: &str) -> SigningKey {
    SigningKey::from_text(pem).unwrap()
}

pub fn client_id() -> ClientId {
    ClientId::parse(CLIENT).unwrap()
}

pub fn signing(pem: &str) -> SigningKeys {
    SigningKeys::single(1, key(pem))
}

/// Knows the key in `pem` as version 1 of the client.
pub fn ring(pem: &str) -> KeyRing {
    KeyRing::new().with(client_id(), 1, Validity::ALWAYS, key(pem).verifying_key().clone())
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW_MS))
}

pub fn inquiry() -> InquiryPaymentRequest {
    InquiryPaymentRequest { acquirer_id: "A1".to_owned(), psp_id: "P1".to_owned(), payment_request_id: "R1".to_owned() }
}

pub fn answer(result: impl Into<ResultInfo>) -> InquiryPaymentAnswer {
    let result: ResultInfo = result.into();
    InquiryPaymentAnswer {
        payment_result: result.is_success().then(ResultInfo::success),
        result,
        ..InquiryPaymentAnswer::default()
    }
}
