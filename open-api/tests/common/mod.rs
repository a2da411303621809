//! Two sides with keys, and messages between them.
#![allow(dead_code, reason = "each test uses its part")]

use std::sync::{Arc, LazyLock};

use alipayplus::payment::mpp::{InquiryPaymentAnswer, InquiryPaymentRequest};
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity};
use alipayplus::{ManualClock, ResultInfo};

/// 2025-02-20T08:51:49.09Z
pub(crate) const NOW_MS: i64 = 1_740_041_509_090;
pub(crate) const CLIENT: &str = "SANDBOX_5YC47N2ZQHJ004124";

/// The key that calls, and the key that answers. PEM, for a key cannot be cloned.
pub(crate) static CALLER: LazyLock<String> = LazyLock::new(new_key);
pub(crate) static SERVER: LazyLock<String> = LazyLock::new(new_key);

fn new_key() -> String {
    SigningKey::generate().unwrap().to_pkcs8_pem().unwrap().to_string()
}

pub(crate) fn key(pem: &str) -> SigningKey {
    SigningKey::from_text(pem).unwrap()
}

pub(crate) fn client_id() -> ClientId {
    ClientId::parse(CLIENT).unwrap()
}

pub(crate) fn signing(pem: &str) -> SigningKeys {
    SigningKeys::single(1, key(pem))
}

/// Knows the key in `pem` as version 1 of the client.
pub(crate) fn ring(pem: &str) -> KeyRing {
    KeyRing::new().with(client_id(), 1, Validity::ALWAYS, key(pem).verifying_key().clone())
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW_MS))
}

pub(crate) fn inquiry() -> InquiryPaymentRequest {
    InquiryPaymentRequest { acquirer_id: "A1".to_owned(), psp_id: "P1".to_owned(), payment_request_id: "R1".to_owned() }
}

pub(crate) fn answer(result: impl Into<ResultInfo>) -> InquiryPaymentAnswer {
    let result: ResultInfo = result.into();
    InquiryPaymentAnswer {
        payment_result: result.is_success().then(ResultInfo::success),
        result,
        ..InquiryPaymentAnswer::default()
    }
}
