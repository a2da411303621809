//! Answers to `GET_PK`: only a set that the pinned key signed is used or kept, none takes the wallet
//! back to an earlier one, and what was kept is read again after a restart.

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nfcwallet_core::WalletError;
use nfcwallet_core::token_service::CacheKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;

use crate::edit::{self, Edit};
use crate::phone::{self, Cache};
use crate::service;

#[derive(Debug, Arbitrary)]
struct Case {
    wall_ms: i64,
    replies: Vec<Reply>,
}

#[derive(Debug, Arbitrary)]
enum Reply {
    Offline,
    /// From anybody on the way.
    Bytes(Vec<u8>),
    /// A signed set with changes before it was signed, and changes afterwards.
    Set {
        edits: Vec<Edit>,
        envelope: Vec<Edit>,
    },
    /// Any bytes, signed.
    Signed(Vec<u8>),
}

pub(crate) fn run(input: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(input)) else { return };
    phone::restart(case.wall_ms);
    let cache = Arc::new(Cache::default());
    let client = phone::client(&cache);
    let calls = case.replies.len().min(4);
    let mut replies: VecDeque<Reply> = case.replies.into();
    phone::answer_with(move |_, _| replies.pop_front()?.body());
    let mut newest = None;
    for _ in 0..calls {
        let result = phone::block_on(client.ensure_keys());
        judge(&result);
        let kept = issued_at_ms(&cache);
        assert!(kept >= newest, "a set of {kept:?} replaced one of {newest:?}");
        newest = kept;
        assert!(result.is_err() || kept.is_some(), "a set was used that was not kept");
    }
    phone::answer_with(|_, _| None);
    let before = phone::block_on(client.ensure_keys()).is_ok();
    let after = phone::block_on(phone::client(&cache).ensure_keys()).is_ok();
    assert_eq!(before, after, "a restart changed which keys are known");
}

impl Reply {
    fn body(self) -> Option<Vec<u8>> {
        match self {
            Self::Offline => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Signed(set) => Some(service::sign_keys(&set).to_string().into_bytes()),
            Self::Set { edits, envelope } => {
                let mut set = service::key_set();
                edit::apply(&mut set, &edits);
                let mut body = service::sign_keys(set.to_string().as_bytes());
                edit::apply(&mut body, &envelope);
                Some(body.to_string().into_bytes())
            }
        }
    }
}

fn judge(result: &Result<(), WalletError>) {
    let is_expected = matches!(result, Ok(()) | Err(WalletError::Network { .. } | WalletError::Protocol { .. }));
    assert!(is_expected, "{result:?}");
}

/// When the set that was kept was issued; it must be one that the pinned key signed.
fn issued_at_ms(cache: &Cache) -> Option<i64> {
    let body: Value = serde_json::from_slice(&cache.saved(CacheKey::KeySet)?).expect("a kept set is JSON");
    let bytes = |field: &str| STANDARD.decode(body[field].as_str().unwrap()).unwrap();
    let set = bytes("keys");
    let trust = VerifyingKey::from_sec1_bytes(&service::trust_key()).unwrap();
    let signature = Signature::from_slice(&bytes("signature")).unwrap();
    let message = [b"nfcwallet/1 keys\0", &set[..]].concat();
    assert!(trust.verify(&message, &signature).is_ok(), "a set was kept that nobody signed");
    let set: Value = serde_json::from_slice(&set).expect("a kept set is JSON inside");
    Some(set["issued_at_ms"].as_i64().expect("a kept set says when it was issued"))
}
