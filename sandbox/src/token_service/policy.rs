//! How the token service behaves, as one value that tests and the control API replace.

use std::collections::BTreeMap;
use std::time::Duration;

use nfcwallet_core::token_service::operations::Refusal;
use nfcwallet_core::wallet::RemoteConfig;
use serde::{Deserialize, Serialize};

use super::names;

/// 30 days, the lifetime of a credential.
const CREDENTIAL_TTL_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// The behaviour of the service. Every field has a default; an unknown field, or an unknown operation, is
/// refused, so that a misspelt scenario does not silently test nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What becomes of new applications.
    pub decision: DecisionPolicy,
    /// So many `OpenSession` answer `session_pending` before one opens. Default 0.
    pub session_polls: u32,
    /// For how long a session lives. Default 10 min.
    pub session_valid_ms: u64,
    /// So many `Activate` answer `activation_pending` before one activates. Default 0.
    pub activation_polls: u32,
    /// For how long a credential lives. Default 30 days.
    pub credential_ttl_ms: i64,
    /// Sent with `Applied` and `State`; absent = the wallet's defaults.
    pub config: Option<RemoteConfig>,
    /// Milliseconds before the service acts on an operation, by its name; `*` for all others.
    #[serde(deserialize_with = "names::by_operation")]
    pub pace_ms: BTreeMap<String, u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            decision: DecisionPolicy::Automatic,
            session_polls: 0,
            session_valid_ms: 600_000,
            activation_polls: 0,
            credential_ttl_ms: CREDENTIAL_TTL_MS,
            config: None,
            pace_ms: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// How long the service takes over `operation`.
    #[must_use]
    pub fn pace(&self, operation: &str) -> Duration {
        let pace = self.pace_ms.get(operation).or_else(|| self.pace_ms.get(names::ANY));
        Duration::from_millis(pace.copied().unwrap_or(0))
    }
}

/// What becomes of a new application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DecisionPolicy {
    /// Approved at once.
    Automatic,
    /// So many polls answer "pending", then approved.
    Delayed {
        /// How many.
        polls: u32,
    },
    /// Waits for a check at the app's own server: approved by the control API.
    StepUp,
    /// Declined, finally.
    Declined {
        /// The issuer's reason code.
        code: String,
    },
    /// Expired, finally.
    Expired,
}

/// The next requests of one operation are refused without being looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledRefusal {
    /// The operation's name, for example `replenish`; `*` for any.
    #[serde(deserialize_with = "names::operation")]
    pub operation: String,
    /// How many times.
    pub times: u32,
    /// The answer, for example `{"error":"rate_limited","retry_after_ms":500}`.
    pub refusal: Refusal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_policy_is_refused() {
        assert!(serde_json::from_str::<Policy>(r#"{"sesion_polls":3}"#).is_err());
        let policy: Policy = serde_json::from_str(r#"{"decision":{"kind":"delayed","polls":3}}"#).unwrap();
        assert_eq!(policy.decision, DecisionPolicy::Delayed { polls: 3 });
        assert_eq!(policy.credential_ttl_ms, 2_592_000_000);
    }

    #[test]
    fn a_misspelt_operation_is_refused() {
        let wrong = serde_json::from_str::<Policy>(r#"{"pace_ms":{"*":5,"provison":1}}"#).unwrap_err().to_string();
        assert!(wrong.contains("`provison`") && wrong.contains("`provision`"), "{wrong}");
        for (operation, right) in [("replenish", true), ("*", true), ("replensh", false), ("", false)] {
            let refusal = serde_json::json!({"operation": operation, "times": 1, "refusal": {"error": "internal"}});
            assert_eq!(serde_json::from_value::<ScheduledRefusal>(refusal).is_ok(), right, "{operation}");
        }
    }

    #[test]
    fn the_pace_of_an_operation_wins_over_the_pace_of_all() {
        let pace_ms = [("*".to_owned(), 5), ("apply".to_owned(), 70)].into();
        let policy = Policy { pace_ms, ..Policy::default() };
        assert_eq!(policy.pace("apply"), Duration::from_millis(70));
        assert_eq!(policy.pace("lock"), Duration::from_millis(5));
    }
}
