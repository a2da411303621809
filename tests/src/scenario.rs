//! The form of a scenario file. `tests/scenarios/README.md` explains it to those who write one.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One story with its promise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What must hold, in one sentence.
    pub promise: String,
    /// Further arguments of the phone, for example `--transit`.
    #[serde(default)]
    pub phone_options: Vec<String>,
    /// The story is told once for each; `"$key"` in the steps stands for the variant's value.
    #[serde(default)]
    pub variants: Vec<Map<String, Value>>,
    /// What happens, in order: see [`Step`].
    pub steps: Vec<Value>,
}

impl Scenario {
    /// The stories of this file: name of the variant, and steps.
    ///
    /// # Errors
    /// A step that does not parse.
    pub fn stories(&self) -> Result<Vec<(String, Vec<Step>)>, serde_json::Error> {
        let none = [Map::new()];
        let variants = if self.variants.is_empty() { &none[..] } else { &self.variants[..] };
        variants
            .iter()
            .map(|variant| {
                let steps: Result<Vec<Step>, _> =
                    self.steps.iter().map(|step| serde_json::from_value(filled_in(step, variant))).collect();
                let name: Vec<String> = variant.iter().map(|(key, value)| format!("{key}={value}")).collect();
                Ok((name.join(" "), steps?))
            })
            .collect()
    }
}

fn filled_in(step: &Value, variant: &Map<String, Value>) -> Value {
    match step {
        Value::String(text) => {
            text.strip_prefix('$').and_then(|key| variant.get(key)).cloned().unwrap_or_else(|| step.clone())
        }
        Value::Array(items) => items.iter().map(|item| filled_in(item, variant)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), filled_in(value, variant))).collect::<Map<_, _>>().into()
        }
        _ => step.clone(),
    }
}

/// One step: exactly one of the kinds, and what is expected of it.
#[derive(Debug, Deserialize)]
pub struct Step {
    /// What to do.
    #[serde(flatten)]
    pub kind: Kind,
    /// What must come of it; `{"error": CODE}` for a refused call.
    #[serde(default)]
    pub expect: Option<Value>,
    /// Which phone; the first one if absent.
    #[serde(default)]
    pub on: Option<String>,
}

/// The kinds of steps.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A call of the phone protocol with its fields.
    Call(Value),
    /// A call that is not waited for, under a name.
    Begin(Begin),
    /// Waits for the call of this name.
    Finish(String),
    /// A tap at the terminal.
    Tap(TapStep),
    /// Approved taps, one after the other, of 1.00 EUR each.
    Taps(u32),
    /// The phone's process is killed (SIGKILL).
    Kill {},
    /// The phone's process starts; `expect` is matched with the `ready` event or the error.
    Start(StartStep),
    /// A request to the sandbox's control API.
    Control(ControlStep),
    /// Waits for an event of the phone that matches.
    Await(Value),
    /// The events of these kinds since the last such step, in order and without others of these kinds.
    Events(EventsStep),
    /// Something happens to the phone's files while its process does not run.
    Files(FilesStep),
    /// Asks the phone or the control API again and again, for at most a minute, until the expectation holds.
    Until(Asked),
    /// Steps that are repeated.
    Repeat(Repeat),
}

/// A call that goes on beside the next steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// For [`Kind::Finish`].
    pub name: String,
    /// The call.
    pub call: Value,
}

/// A tap.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapStep {
    /// As a person writes it, for example `12.50`.
    pub amount: String,
    /// ISO 4217 letters.
    #[serde(default = "euro")]
    pub currency: String,
    /// Tag 9C: `purchase`, `refund`, `cash`, `cashback`.
    #[serde(default = "purchase")]
    pub kind: String,
    /// ISO 18245.
    #[serde(default)]
    pub merchant_category: Option<u16>,
    /// The field is lost right after the answer to this APDU, counted from 1, was made.
    #[serde(default)]
    pub field_lost_after: Option<u32>,
    /// How long the platform waits for an answer.
    #[serde(default)]
    pub answer_within_ms: Option<u64>,
    /// The app's listener is out of order: the wallet's word on the tap is not waited for.
    #[serde(default)]
    pub untold: bool,
    /// The reader's own CVM limit, as a person writes it.
    #[serde(default)]
    pub cvm_limit: Option<String>,
    /// The reader speaks mag-stripe mode only.
    #[serde(default)]
    pub mag_stripe: bool,
    /// The reader asks for relay resistance data.
    #[serde(default)]
    pub relay_resistance: bool,
    /// Tag 9F03, as a person writes it.
    #[serde(default)]
    pub other_amount: Option<String>,
    /// Tag 5F2A, in place of the currency's own number.
    #[serde(default)]
    pub currency_number: Option<u16>,
    /// Tag 9F1D in hex; by default the reader fills it in.
    #[serde(default)]
    pub risk_management: Option<String>,
}

fn euro() -> String {
    "EUR".to_owned()
}

fn purchase() -> String {
    "purchase".to_owned()
}

/// How a phone starts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartStep {
    /// The user that is logged in at the app's server.
    pub user: Option<String>,
    /// Further arguments.
    pub options: Vec<String>,
}

/// A request to the control API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlStep {
    /// Below `/control/`; `{token}` stands for the newest token.
    pub path: String,
    /// `GET`, `PUT`, `POST` or `DELETE`; by default POST with a body, GET without.
    #[serde(default)]
    pub method: Option<String>,
    /// JSON body.
    #[serde(default)]
    pub body: Option<Value>,
}

/// What is asked until its answer is right.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Asked {
    /// The sandbox.
    Control(ControlStep),
    /// The phone.
    Call(Value),
}

/// Which events are looked at, and what they must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsStep {
    /// Kinds of events.
    pub of: Vec<String>,
    /// Patterns, in order.
    pub are: Vec<Map<String, Value>>,
}

/// What happens to the files.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct FilesStep {
    /// `save`, `restore`, `copy_to_other_phone`, `corrupt`, `newer_schema`, `drop_wallet`,
    /// `remember` (all bytes), `are_untouched` (since `remember`).
    pub action: String,
    /// The other phone, where one is needed.
    #[serde(default)]
    pub to: Option<String>,
}

/// Repeated steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// What.
    pub steps: Vec<Step>,
}
