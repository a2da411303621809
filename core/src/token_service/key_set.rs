//! The service's public keys, as the pinned trust key signs them, and the choice of one.

use std::sync::{Arc, Mutex, PoisonError};

use hpke::{Deserializable, Kem};
use serde::Deserialize;

use super::encoding::{base64_bytes, hex_array, parse_body, parse_json, protocol};
use super::envelope::ServiceKem;
use super::signature::{PUBLIC_KEY_LENGTH, PublicKey};
use crate::error::WalletError;

const KEY_SET_CONTEXT: &[u8] = b"nfcwallet/1 keys\0";

/// After a failed refresh the next one waits this long, and no refresh follows another one sooner.
const REFRESH_PAUSE_MS: i64 = 60_000;

/// One key of the service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServiceKey {
    pub(super) kid: String,
    pub(super) public_key: <ServiceKem as Kem>::PublicKey,
    not_before_ms: i64,
    not_after_ms: i64,
}

/// A verified key set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeySet {
    issued_at_ms: i64,
    keys: Vec<Arc<ServiceKey>>,
}

/// The key set that is known, and when to ask for the next.
#[derive(Debug)]
pub(super) struct KeyRing {
    trust: PublicKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    set: Option<KeySet>,
    refresh_at_ms: Option<i64>,
}

/// What to do before a request is sealed.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    /// Seal with this key.
    Use(Arc<ServiceKey>),
    /// Half of this key's life is over: ask for a new set, and seal with this one if that fails.
    Refresh(Arc<ServiceKey>),
    /// No key is valid: ask for a set.
    Fetch,
}

#[derive(Deserialize)]
struct SignedBody {
    keys: String,
    signature: String,
}

#[derive(Deserialize)]
struct KeySetText {
    issued_at_ms: i64,
    keys: Vec<KeyText>,
}

#[derive(Deserialize)]
struct KeyText {
    kid: String,
    public_key: String,
    not_before_ms: i64,
    not_after_ms: i64,
}

impl KeyRing {
    /// Starts from what an earlier process stored; a stored set that the pinned key did not sign
    /// (another trust key, damage) counts as none.
    pub(super) fn new(trust: PublicKey, stored: Option<&[u8]>) -> Self {
        let set = stored.and_then(|body| KeySet::parse(body, &trust).ok());
        Self { trust, state: Mutex::new(State { set, refresh_at_ms: None }) }
    }

    /// What to do now.
    pub(super) fn plan(&self, now_ms: i64) -> Plan {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = &state.set else { return Plan::Fetch };
        let now_ms = set.not_before_its_issue(now_ms);
        match set.choose(now_ms) {
            None => Plan::Fetch,
            Some(key) if now_ms < state.refresh_at_ms.unwrap_or_else(|| key.half_life_ms()) => Plan::Use(key),
            Some(key) => Plan::Refresh(key),
        }
    }

    /// Takes an answer to `GET_PK`. The caller stores the body afterwards.
    pub(super) fn accept(&self, body: &[u8], now_ms: i64) -> Result<(), WalletError> {
        let set = KeySet::parse(body, &self.trust)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.set.as_ref().is_some_and(|known| set.issued_at_ms < known.issued_at_ms) {
            return Err(protocol("key set older than the known one"));
        }
        let now_ms = set.not_before_its_issue(now_ms);
        state.refresh_at_ms = set.choose(now_ms).map(|key| key.refresh_at_ms(now_ms));
        state.set = Some(set);
        Ok(())
    }

    /// A refresh failed: the next one waits.
    pub(super) fn postpone(&self, now_ms: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = state.set.as_ref().map_or(now_ms, |set| set.not_before_its_issue(now_ms));
        state.refresh_at_ms = Some(now_ms.saturating_add(REFRESH_PAUSE_MS));
    }
}

impl KeySet {
    /// Reads an answer to `GET_PK` and checks its signature before its content.
    fn parse(body: &[u8], trust: &PublicKey) -> Result<Self, WalletError> {
        let signed: SignedBody = parse_body(body)?;
        let bytes = base64_bytes(&signed.keys).ok_or(protocol("key set is not base64"))?;
        let signature = base64_bytes(&signed.signature).ok_or(protocol("key set signature is not base64"))?;
        if !trust.verifies_raw(&[KEY_SET_CONTEXT, &bytes].concat(), &signature) {
            return Err(protocol("key set not signed by the trust key"));
        }
        let text: KeySetText = parse_json(&bytes)?;
        let keys = text.keys.into_iter().map(|key| ServiceKey::read(key).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { issued_at_ms: text.issued_at_ms, keys })
    }

    /// A signed set proves that it is not earlier than its issue: a phone whose clock is behind
    /// and who has never heard the service still finds the valid key.
    fn not_before_its_issue(&self, now_ms: i64) -> i64 {
        now_ms.max(self.issued_at_ms)
    }

    /// The valid key that became valid last.
    fn choose(&self, now_ms: i64) -> Option<Arc<ServiceKey>> {
        let valid = self.keys.iter().filter(|key| (key.not_before_ms..key.not_after_ms).contains(&now_ms));
        valid.max_by_key(|key| key.not_before_ms).cloned()
    }
}

impl ServiceKey {
    fn read(text: KeyText) -> Result<Self, WalletError> {
        let bad = protocol("key set holds a bad key");
        let sec1: [u8; PUBLIC_KEY_LENGTH] = hex_array(&text.public_key).ok_or(bad.clone())?;
        let public_key = <ServiceKem as Kem>::PublicKey::from_bytes(&sec1).map_err(|_| bad)?;
        Ok(Self { kid: text.kid, public_key, not_before_ms: text.not_before_ms, not_after_ms: text.not_after_ms })
    }

    fn half_life_ms(&self) -> i64 {
        middle(self.not_before_ms, self.not_after_ms)
    }

    /// When to ask again after the set was fetched at `now_ms`: at the half life, and from then on
    /// each time half of the rest is over.
    fn refresh_at_ms(&self, now_ms: i64) -> i64 {
        if now_ms < self.half_life_ms() {
            return self.half_life_ms();
        }
        middle(now_ms, self.not_after_ms).max(now_ms.saturating_add(REFRESH_PAUSE_MS))
    }
}

/// Without the overflow of a sum or a difference.
fn middle(from: i64, to: i64) -> i64 {
    (from / 2).saturating_add(to / 2)
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer;
    use p256::ecdsa::{Signature, SigningKey};

    use super::super::encoding::base64_text;
    use super::*;

    fn trust() -> (SigningKey, PublicKey) {
        let signing = SigningKey::from_slice(&[9; 32]).unwrap();
        let public = PublicKey::parse(&signing.verifying_key().to_sec1_bytes()).unwrap();
        (signing, public)
    }

    fn signed(issued_at_ms: i64, keys: &[(&str, i64, i64)]) -> Vec<u8> {
        let public_key = hex::encode(trust().1.as_bytes());
        let keys: Vec<_> = keys
            .iter()
            .map(|(kid, from, to)| {
                serde_json::json!({"kid": kid, "public_key": public_key, "not_before_ms": from, "not_after_ms": to})
            })
            .collect();
        sign(serde_json::json!({"issued_at_ms": issued_at_ms, "keys": keys}).to_string().as_bytes())
    }

    fn sign(set: &[u8]) -> Vec<u8> {
        let signature: Signature = trust().0.sign(&[KEY_SET_CONTEXT, set].concat());
        let signature = base64_text(&signature.to_bytes());
        serde_json::json!({"v": 1, "keys": base64_text(set), "signature": signature}).to_string().into_bytes()
    }

    fn ring(body: &[u8]) -> KeyRing {
        let ring = KeyRing::new(trust().1, None);
        ring.accept(body, 0).unwrap();
        ring
    }

    fn kid(plan: Plan) -> String {
        match plan {
            Plan::Use(key) => format!("use {}", key.kid),
            Plan::Refresh(key) => format!("refresh {}", key.kid),
            Plan::Fetch => "fetch".to_owned(),
        }
    }

    #[test]
    fn the_valid_key_that_became_valid_last_is_used() {
        let ring =
            ring(&signed(0, &[("old", 0, 1_000_000), ("new", 500_000, 9_000_000), ("next", 8_000_000, 20_000_000)]));
        assert_eq!(kid(ring.plan(499_999)), "use old");
        assert_eq!(kid(ring.plan(600_000)), "refresh new");
    }

    #[test]
    fn a_set_is_kept_until_half_of_the_life_of_its_key_is_over() {
        let body = signed(0, &[("k", 0, 1_000_000)]);
        let ring = ring(&body);
        assert_eq!(kid(ring.plan(499_999)), "use k");
        assert_eq!(kid(ring.plan(500_000)), "refresh k");
        // The service has no newer one: ask again when half of the rest is over.
        ring.accept(&body, 500_000).unwrap();
        assert_eq!(kid(ring.plan(749_999)), "use k");
        assert_eq!(kid(ring.plan(750_000)), "refresh k");
        ring.postpone(750_000);
        assert_eq!(kid(ring.plan(809_999)), "use k");
        assert_eq!(kid(ring.plan(810_000)), "refresh k");
        assert_eq!(kid(ring.plan(1_000_000)), "fetch");
    }

    #[test]
    fn a_set_with_an_earlier_issue_is_refused_also_after_a_restart() {
        let newer = signed(2_000, &[("new", 0, 1_000_000)]);
        let older = signed(1_999, &[("old", 0, 1_000_000)]);
        for ring in [ring(&newer), KeyRing::new(trust().1, Some(&newer))] {
            assert_eq!(ring.accept(&older, 3_000), Err(protocol("key set older than the known one")));
            assert_eq!(kid(ring.plan(3_000)), "use new");
        }
    }

    #[test]
    fn a_phone_that_lives_in_the_past_still_finds_the_key() {
        let ring = ring(&signed(1_700_000_000_000, &[("k", 1_600_000_000_000, 1_900_000_000_000)]));
        assert_eq!(kid(ring.plan(0)), "use k");
    }

    #[test]
    fn an_unsigned_damaged_or_foreign_set_is_refused() {
        let good = signed(0, &[("k", 0, 1_000)]);
        let other =
            PublicKey::parse(&SigningKey::from_slice(&[8; 32]).unwrap().verifying_key().to_sec1_bytes()).unwrap();
        assert_eq!(KeySet::parse(&good, &other), Err(protocol("key set not signed by the trust key")));
        let no_point =
            br#"{"issued_at_ms":0,"keys":[{"kid":"k","public_key":"04","not_before_ms":0,"not_after_ms":1}]}"#;
        assert_eq!(KeySet::parse(&sign(no_point), &trust().1), Err(protocol("key set holds a bad key")));
        assert_eq!(KeySet::parse(&sign(b"[]"), &trust().1), Err(protocol("fields missing or of the wrong kind")));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(KeySet::parse(&bad, &trust().1).is_err(), "byte {at}");
            assert!(KeySet::parse(&good[..at], &trust().1).is_err(), "length {at}");
        }
        // A stored set that does not verify counts as none.
        assert_eq!(KeyRing::new(other, Some(&good)).plan(1), Plan::Fetch);
    }

    #[test]
    fn absurd_validities_do_not_overflow() {
        let ring = ring(&signed(i64::MIN, &[("k", i64::MIN, i64::MAX)]));
        for now in [i64::MIN, -1, 0, i64::MAX - 1, i64::MAX] {
            ring.plan(now);
            ring.postpone(now);
        }
    }
}
