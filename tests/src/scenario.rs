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
    /// What happens, in order.
    pub steps: Vec<Step>,
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
    /// Asks the phone again and again, for at most a minute, until the expectation holds.
    Until(Value),
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
    /// The reader's own CVM limit, as a person writes it.
    #[serde(default)]
    pub cvm_limit: Option<String>,
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
    /// Below `/control/`.
    pub path: String,
    /// JSON body of a POST; a GET without it.
    #[serde(default)]
    pub body: Option<Value>,
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
    /// `save`, `restore`, `copy_to_other_phone`, `corrupt`, `newer_schema`, `drop_wallet`.
    pub action: String,
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
