//! Faults on the road between gateway and payment provider, planned ahead.

use std::sync::Mutex;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::mpp::APIS;
use crate::token_service::locked;

/// What goes wrong with a call of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strike {
    /// The provider never gets it.
    LoseRequest,
    /// The provider acts, and its answer is lost.
    LoseAnswer,
    /// The provider acts, and says `U`.
    AnswerUnknown,
}

/// When it goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrikeRule {
    /// The API, for example `pay`: one that the gateway calls at the provider.
    #[serde(deserialize_with = "api")]
    pub api: String,
    /// What goes wrong.
    pub fault: Strike,
    /// So many calls are struck, one after the other. Default 1.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// Reads the name of an API: a misspelt one would never be struck.
fn api<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match APIS.contains(&name.as_str()) {
        true => Ok(name),
        false => Err(D::Error::unknown_variant(&name, &APIS)),
    }
}

/// The plan; of two rules for one API the older strikes first.
#[derive(Debug, Default)]
pub struct Strikes {
    rules: Mutex<Vec<StrikeRule>>,
}

impl Strikes {
    /// Adds a rule.
    pub fn add(&self, rule: StrikeRule) {
        locked(&self.rules).push(rule);
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        locked(&self.rules).clear();
    }

    /// The rules that have not struck as often as they will.
    #[must_use]
    pub fn pending(&self) -> Vec<StrikeRule> {
        locked(&self.rules).clone()
    }

    pub(super) fn strike(&self, api: &str) -> Option<Strike> {
        let mut rules = locked(&self.rules);
        let rule = rules.iter_mut().find(|rule| rule.api == api && rule.times > 0)?;
        rule.times -= 1;
        let fault = rule.fault;
        rules.retain(|rule| rule.times > 0);
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::gateway::CallKind;

    #[test]
    fn a_rule_strikes_its_own_api_as_often_as_planned() {
        let strikes = Strikes::default();
        strikes.add(serde_json::from_str(r#"{"api":"pay","fault":"lose_answer","times":2}"#).unwrap());
        assert_eq!(strikes.strike("refund"), None);
        let struck: Vec<_> = (0..3).map(|_| strikes.strike("pay")).collect();
        assert_eq!(struck, [Some(Strike::LoseAnswer), Some(Strike::LoseAnswer), None]);
        assert_eq!(strikes.pending(), []);
    }

    #[test]
    fn a_rule_for_an_api_that_nobody_calls_is_refused() {
        let wrong = serde_json::from_str::<StrikeRule>(r#"{"api":"pya","fault":"lose_answer"}"#).unwrap_err();
        assert!(wrong.to_string().contains("`pya`, expected one of `pay`, `inquiryPayment`"), "{wrong}");
    }

    #[test]
    fn every_call_of_the_gateway_can_be_struck() {
        let called: BTreeSet<_> = CallKind::ALL.iter().filter_map(|kind| kind.name().split(' ').next()).collect();
        assert_eq!(called, APIS.into_iter().collect());
    }
}
