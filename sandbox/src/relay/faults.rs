//! Faults between the app and the token service, planned ahead.
//!
//! They strike on the road to the payment provider's server, by request type and occurrence, so that a scenario
//! can say "the answer to the second `TRANSFER` is lost".

use std::sync::Mutex;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nfcwallet_core::host::RequestType;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::token_service::locked;

/// More than the wallet takes (256 KiB).
const OVERSIZE: usize = 300 * 1024;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The relay hangs until the client gives up; the request never reaches the service.
    Timeout,
    /// The connection breaks before the request reaches the service.
    DropRequest,
    /// The service acts, then the connection breaks.
    DropAnswer,
    /// The connection breaks; the service gets the request only after the user's next one that reaches it,
    /// and nobody gets its answer.
    Late,
    /// The service gets the request twice; its second answer is handed back.
    Duplicate,
    /// The second half of the answer is missing.
    Truncate,
    /// The service acts, but the user's previous answer of this type comes back. Without one: 500.
    Replay,
    /// The service acts, but the answer is sealed for another wallet, under this request's id.
    OtherWallet,
    /// The answer is text without meaning.
    Garbage,
    /// The answer is not UTF-8.
    NotUtf8,
    /// The answer is empty.
    Empty,
    /// The answer is larger than a wallet takes.
    Oversize,
    /// The relay answers 500; the request never reaches the service.
    Http500,
    /// The phone has no network: 503 with the header `x-sandbox-link: offline`, which a simulated
    /// app reports as offline.
    Offline,
}

/// When it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Only requests of this type; all if absent.
    #[serde(default, rename = "type", with = "kind_name", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RequestType>,
    /// What goes wrong.
    pub fault: Fault,
    /// So many matching requests pass first. Default 0.
    #[serde(default)]
    pub skip: u32,
    /// So many are struck. Default 1.
    #[serde(default = "once")]
    pub times: u32,
}

impl FaultRule {
    /// Strikes the next request of `kind` once.
    #[must_use]
    pub fn next(kind: RequestType, fault: Fault) -> Self {
        Self { kind: Some(kind), fault, skip: 0, times: 1 }
    }
}

/// The plan. Every rule counts the requests that it matches; the oldest rule that is due strikes.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<FaultRule>>,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&self, rule: FaultRule) {
        locked(&self.rules).push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        locked(&self.rules).clear();
    }

    /// The rules that have not struck as often as they will.
    #[must_use]
    pub fn pending(&self) -> Vec<FaultRule> {
        locked(&self.rules).clone()
    }

    /// What goes wrong with this request.
    pub(crate) fn strike(&self, kind: RequestType) -> Option<Fault> {
        let mut rules = locked(&self.rules);
        let mut struck = None;
        for rule in rules.iter_mut().filter(|rule| rule.kind.is_none_or(|wanted| wanted == kind)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if struck.is_none() && rule.times > 0 {
                rule.times -= 1;
                struck = Some(rule.fault);
            }
        }
        rules.retain(|rule| rule.times > 0);
        struck
    }
}

/// Faults that only change the answer on its way back; `None` for the others.
pub(crate) fn spoilt(fault: Fault, answer: &[u8]) -> Option<Vec<u8>> {
    match fault {
        Fault::Truncate => Some(answer.iter().take(answer.len() / 2).copied().collect()),
        Fault::Garbage => Some(b"<html><body>Service temporarily unavailable</body></html>".to_vec()),
        Fault::NotUtf8 => Some(vec![0xFF, 0xFE, 0x00, 0xC3, 0x28]),
        Fault::Empty => Some(Vec::new()),
        Fault::Oversize => Some(vec![b' '; OVERSIZE]),
        _ => None,
    }
}

/// The answer with its sealed part taken from `donor`, another wallet's answer, or sealed under a key
/// that this wallet does not have. The clear fields keep naming this request, as an attacker would.
pub(crate) fn of_another_wallet(answer: &[u8], donor: Option<&[u8]>) -> Vec<u8> {
    let Ok(mut own) = serde_json::from_slice::<Value>(answer) else { return answer.to_vec() };
    let donor = donor.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok()).unwrap_or_else(foreign_answer);
    let Some(fields) = own.as_object_mut() else { return answer.to_vec() };
    // GET_PK has no sealed part; there the signature is somebody else's.
    for name in ["nonce", "ct", "signature"] {
        if let (true, Some(foreign)) = (fields.contains_key(name), donor.get(name)) {
            fields.insert(name.to_owned(), foreign.clone());
        }
    }
    own.to_string().into_bytes()
}

fn foreign_answer() -> Value {
    let key = Aes256Gcm::new(&[0x5A; 32].into());
    let nonce = [0xA5; 12];
    // Sealing a short text under a fixed key does not fail; an empty text would spoil the answer too.
    let sealed = key
        .encrypt(&Nonce::from(nonce), br#"{"server_time_ms":0,"payload":{"answer":"activated"}}"#.as_slice())
        .unwrap_or_default();
    serde_json::json!({
        "nonce": STANDARD.encode(nonce),
        "ct": STANDARD.encode(sealed),
        "signature": STANDARD.encode([0x11; 64]),
    })
}

fn once() -> u32 {
    1
}

mod kind_name {
    use nfcwallet_core::host::RequestType;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(kind: &Option<RequestType>, serializer: S) -> Result<S::Ok, S::Error> {
        match kind {
            Some(kind) => serializer.serialize_str(kind.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RequestType>, D::Error> {
        match Option::<String>::deserialize(deserializer)? {
            None => Ok(None),
            Some(name) => RequestType::parse(&name).map(Some).ok_or_else(|| {
                let names = RequestType::ALL.map(RequestType::as_str).join("`, `");
                serde::de::Error::custom(format!("unknown request type `{name}`, expected one of `{names}`"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_the_named_occurrence_of_its_type_only() {
        let faults = Faults::default();
        let rule: FaultRule =
            serde_json::from_str(r#"{"type":"TRANSFER","fault":"drop_answer","skip":1,"times":2}"#).unwrap();
        faults.add(rule);
        assert_eq!(faults.strike(RequestType::Apply), None);
        let struck: Vec<_> = (0..4).map(|_| faults.strike(RequestType::Transfer)).collect();
        assert_eq!(struck, [None, Some(Fault::DropAnswer), Some(Fault::DropAnswer), None]);
        assert_eq!(faults.pending(), []);
    }

    #[test]
    fn the_older_of_two_due_rules_strikes_first() {
        let faults = Faults::default();
        faults.add(FaultRule { kind: None, fault: Fault::Empty, skip: 0, times: 1 });
        faults.add(FaultRule::next(RequestType::Apply, Fault::Http500));
        assert_eq!(faults.strike(RequestType::Apply), Some(Fault::Empty));
        assert_eq!(faults.strike(RequestType::Apply), Some(Fault::Http500));
    }

    #[test]
    fn a_misspelt_rule_is_refused() {
        assert!(serde_json::from_str::<FaultRule>(r#"{"type":"TRANSFERS","fault":"empty"}"#).is_err());
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":"fire"}"#).is_err());
    }
}
