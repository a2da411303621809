//! The till of a scenario: the third-party terminal in front, the issuer behind, the platform
//! between terminal and phone.

use std::time::Duration;

use nfcwallet_sandbox::checkout::{Amount, Payment};
use nfcwallet_sandbox::phone::Event;
use nfcwallet_sandbox::pos::{LinkLost, Mode, Purchase};
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
        untold: false,
        cvm_limit: None,
        mag_stripe: false,
        relay_resistance: false,
        other_amount: None,
        currency_number: None,
        risk_management: None,
    }
}

/// One tap, and the issuer's word on it. `number` makes the terminal's unpredictable number.
///
/// # Errors
/// A step that makes no sense, or a phone that cannot be used.
pub fn tap(sandbox: &Sandbox, unit: &mut PhoneUnit, step: &TapStep, number: u32) -> Result<Value, String> {
    let purchase = purchase(step, sandbox.service().clock().now_ms(), number)?;
    let answer_within = step.answer_within_ms.map_or(ANSWER_WITHIN, Duration::from_millis);
    let before = unit.process().map(|phone| phone.events()).unwrap_or_default();
    unit.events.extend(before);
    let mut no_answer = None;
    let mut presentation = Presentation::new(unit, step.field_lost_after, answer_within);
    let mut link = |command: &[u8]| {
        presentation.transmit(command).map_err(|problem| {
            no_answer = Some(problem);
            LinkLost
        })
    };
    let payment = sandbox.checkout().pay(&mut link, &purchase).map_err(|error| error.to_string())?;
    match no_answer {
        Some(NoAnswer::Process(problem)) => return Err(problem),
        Some(NoAnswer::NoCard(reason)) => return Ok(json!({ "outcome": "no_card", "reason": reason })),
        Some(NoAnswer::FieldLost | NoAnswer::TooLate { .. }) => {}
        None => presentation.leave().map_err(|error| error.to_string())?,
    }
    let code = if step.untold { None } else { code(unit) };
    Ok(told(&payment, code))
}

/// What is told of a payment, with the wallet's own word on it where it is known.
#[must_use]
pub fn told(payment: &Payment, code: Option<u32>) -> Value {
    json!({
        "outcome": payment.outcome.name(),
        "reason": payment.outcome.to_string(),
        "cda_verified": payment.cda_verified,
        "relay_resisted": payment.relay_resisted,
        "cryptogram_verified": payment.cryptogram_verified,
        "reference": payment.reference.map(hex::encode),
        "apdus": payment.trace.len(),
        "code": code,
    })
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

/// What the terminal is told of a step. `number` makes its unpredictable number.
///
/// # Errors
/// A step that makes no sense.
pub fn purchase(step: &TapStep, now_ms: i64, number: u32) -> Result<Purchase, String> {
    let minor = |field, text: &str| Amount::parse(field, text, &step.currency).map_err(|error| error.to_string());
    let amount = minor("amount", &step.amount)?;
    let mut purchase = Purchase::new(amount.minor(), amount.currency(), now_ms, number.to_be_bytes());
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
        purchase.cvm_limit_minor = minor("cvm_limit", limit)?.minor();
    }
    if step.mag_stripe {
        purchase.mode = Mode::MagStripe;
    }
    purchase.relay_resistance = step.relay_resistance;
    if let Some(other) = &step.other_amount {
        purchase.other_amount_minor = minor("other_amount", other)?.minor();
    }
    purchase.currency = step.currency_number.unwrap_or(purchase.currency);
    if let Some(text) = &step.risk_management {
        let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        purchase.risk_management_data = Some(bytes.ok_or("risk_management is not 8 bytes of hex")?);
    }
    Ok(purchase)
}
