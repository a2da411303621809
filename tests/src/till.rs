//! The till of a scenario: the third-party terminal in front, the issuer behind.

use std::time::Duration;

use nfcwallet_sandbox::phone::Event;
use nfcwallet_sandbox::pos::{DeclinedBy, LinkLost, Outcome, Purchase, Terminal};
use nfcwallet_sandbox::servers::Sandbox;
use serde_json::{Value, json};

use crate::platform::{NoAnswer, Presentation};
use crate::scenario::TapStep;
use crate::unit::PhoneUnit;

/// Longer than any reader waits; a story that tests lateness says how long.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// 1.00 EUR.
#[must_use]
pub fn small_purchase() -> TapStep {
    TapStep {
        amount: "1.00".to_owned(),
        currency: "EUR".to_owned(),
        kind: "purchase".to_owned(),
        merchant_category: None,
        field_lost_after: None,
        answer_within_ms: None,
        cvm_limit: None,
    }
}

/// One tap, and the issuer's word on it.
///
/// # Errors
/// A step that makes no sense, or a phone that cannot be used.
pub fn tap(
    sandbox: &Sandbox,
    terminal: &Terminal,
    unit: &mut PhoneUnit,
    step: &TapStep,
    number: u32,
) -> Result<Value, String> {
    let purchase = purchase(step, sandbox.service().clock().now_ms(), number)?;
    let answer_within = step.answer_within_ms.map_or(ANSWER_WITHIN, Duration::from_millis);
    let before = unit.process().map(|phone| phone.events()).unwrap_or_default();
    unit.events.extend(before);
    let mut no_answer = None;
    let mut presentation = Presentation::new(unit, step.field_lost_after, answer_within);
    let result = terminal.tap(
        &mut |command| {
            presentation.transmit(command).map_err(|problem| {
                no_answer = Some(problem);
                LinkLost
            })
        },
        &purchase,
    );
    if no_answer.is_none() {
        presentation.leave().map_err(|error| error.to_string())?;
    }
    let outcome = match (&result.outcome, &no_answer) {
        (_, Some(NoAnswer::Process(problem))) => return Err(problem.clone()),
        (_, Some(NoAnswer::NoCard(reason))) => return Ok(json!({ "outcome": "no_card", "reason": reason })),
        (Outcome::Online(request), _) => {
            let now_ms = sandbox.service().clock().now_ms();
            let verdict = sandbox.issuer().authorise(request, now_ms).map_err(|error| error.to_string())?;
            let outcome = if verdict.is_approved() { "approved" } else { "declined_by_issuer" };
            json!({
                "outcome": outcome,
                "cryptogram_verified": verdict.cryptogram_verified,
                "reference": verdict.reference.map(hex::encode),
                "decision": format!("{:?}", verdict.decision),
            })
        }
        (Outcome::Declined(DeclinedBy::Card), _) => json!({ "outcome": "declined" }),
        (Outcome::Declined(by), _) => json!({ "outcome": "declined_by_terminal", "reason": by.to_string() }),
        (Outcome::SeePhone, _) => json!({ "outcome": "see_phone" }),
        (Outcome::NotAccepted(reason), _) => json!({ "outcome": "not_accepted", "reason": reason.to_string() }),
        (Outcome::LinkLost, _) => json!({ "outcome": "link_lost" }),
    };
    let mut outcome = outcome;
    outcome["cda_verified"] = json!(result.cda_verified);
    outcome["apdus"] = json!(result.trace.len());
    outcome["code"] = json!(code(unit));
    Ok(outcome)
}

/// What the wallet said of the tap: 10000, or the failure's code. `None` where the wallet never met
/// the reader.
fn code(unit: &mut PhoneUnit) -> Option<u32> {
    let ended = |event: &Event| matches!(event, Event::Complete { .. } | Event::Failed { .. });
    let phone = unit.process()?;
    let event = phone.wait_for(ended)?;
    let code = match &event {
        Event::Failed { code, .. } => *code,
        _ => 10_000,
    };
    let rest = phone.events();
    // In the order in which they came: the end of a tap is its last event.
    unit.events.extend(rest.iter().filter(|event| is_of_tap(event)).cloned());
    unit.events.push(event);
    unit.events.extend(rest.into_iter().filter(|event| !is_of_tap(event)));
    Some(code)
}

fn is_of_tap(event: &Event) -> bool {
    matches!(event, Event::Start { .. } | Event::AuthRequired { .. })
}

fn purchase(step: &TapStep, now_ms: i64, number: u32) -> Result<Purchase, String> {
    let currency = iso_currency::Currency::from_code(&step.currency).ok_or("unknown currency")?;
    let exponent = currency.exponent().unwrap_or(0);
    let mut purchase = Purchase::new(minor(&step.amount, exponent)?, currency.numeric(), now_ms, number.to_be_bytes());
    purchase.kind = match step.kind.as_str() {
        "purchase" => 0x00,
        "cash" => 0x01,
        "cashback" => 0x09,
        "refund" => 0x20,
        other => return Err(format!("unknown kind {other}")),
    };
    if let Some(category) = step.merchant_category {
        purchase.merchant_category = category;
    }
    if let Some(limit) = &step.cvm_limit {
        purchase.cvm_limit_minor = minor(limit, exponent)?;
    }
    Ok(purchase)
}

fn minor(amount: &str, exponent: u16) -> Result<u64, String> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = usize::from(exponent);
    if fraction.len() > digits {
        return Err(format!("{amount} has more than {digits} decimals"));
    }
    format!("{whole}{fraction:0<digits$}").parse().map_err(|_| format!("{amount} is no amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_the_exponent_of_their_currency() {
        assert_eq!(minor("12.50", 2).unwrap(), 1_250);
        assert_eq!(minor("1250", 0).unwrap(), 1_250);
        assert_eq!(minor("1.5", 3).unwrap(), 1_500);
        assert!(minor("1.555", 2).is_err());
    }
}
