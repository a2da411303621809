//! The lines between a driver and a phone. `docs/phone-protocol.md` shows them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// From the driver: one call, answered under its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the driver.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub call: Call,
}

/// Everything a phone can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Log in at the app's server and connect the wallet.
    Connect {
        /// The customer.
        user: String,
    },
    /// Disconnect the wallet and log out.
    Disconnect,
    /// Status and page.
    Status,
    /// `sync_token`.
    Sync,
    /// `activate`; progress comes as events.
    Activate {
        /// Silent or manual.
        #[serde(default)]
        silent: bool,
    },
    /// `confirm_activation`.
    Confirm,
    /// `replenish`.
    Replenish,
    /// `credentials`.
    Credentials,
    /// `lock`.
    Lock,
    /// `unlock`.
    Unlock,
    /// `delete_token`.
    Delete,
    /// `authenticate` with the fingerprint.
    Authenticate,
    /// `cancel_authentication`.
    CancelAuthentication,
    /// One APDU.
    Apdu {
        /// Upper or lower case hex.
        hex: String,
    },
    /// The field is gone.
    FieldLost,
    /// `set_transaction_reference`.
    Reference {
        /// 1 to 8 bytes.
        hex: String,
    },
    /// The newest page of the history.
    Transactions {
        /// Most rows.
        limit: u32,
    },
    /// `readiness`.
    Readiness,
    /// `network_available`.
    NetworkAvailable,
    /// `prewarm`.
    Prewarm,
    /// `suspend`.
    Suspend,
    /// `shutdown`; the process lives until its input ends.
    Shutdown,
    /// Change how the simulated device and the host's interfaces behave.
    Host(HostChange),
    /// Move the clocks (test clock only).
    Clock(ClockChange),
    /// Stop a request on its way, so that the process can be killed there.
    Hold(HoldAt),
}

/// How the host behaves from now on; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostChange {
    /// `proceed`, `decline`, `need_auth`, `custom_1` to `custom_4`, `obey_risk`, `hang`, `fail`, `panic`,
    /// `re_enter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permit: Option<String>,
    /// NFC on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nfc_on: Option<bool>,
    /// Default payment app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_payment_app: Option<bool>,
    /// Screen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen_on: Option<bool>,
    /// Device unlocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlocked: Option<bool>,
    /// Integrity verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<bool>,
    /// The network of the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// Fault of the device interface (`fingerprint`, `state`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Fault>,
    /// Fault of the key store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_store: Option<Fault>,
    /// Fault of the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Fault>,
    /// Fault of the listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Fault>,
}

/// How an interface misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It does not.
    None,
    /// It reports a failure.
    Fail,
    /// It never answers.
    Hang,
    /// It panics.
    Panic,
    /// Key store: locked until the user unlocks the device.
    Locked,
    /// Key store: the keys are gone.
    Invalidated,
}

/// A move of the clocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockChange {
    /// Both clocks go on by this much.
    pub advance_ms: u64,
    /// The wall clock is off by this much from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_offset_ms: Option<i64>,
}

/// Where a request is stopped. The phone says so with [`Event::Held`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAt {
    /// `GET_PK`, `APPLY`, `TRANSFER`, `SYNC_TOKEN` or `NOTIFY`.
    pub request_type: String,
    /// The first such request from now on is 1.
    pub nth: u32,
    /// On which side of the service.
    pub when: HoldWhen,
    /// It goes on after so long; without it, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// On which side of the service a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldWhen {
    /// The service never sees it.
    Before,
    /// The service has answered; the wallet never sees the answer.
    After,
}

/// From the phone: an answer or an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A call that succeeded.
    Ok {
        /// Of the request.
        id: u64,
        /// By call.
        ok: Value,
    },
    /// A call that failed.
    Error {
        /// Of the request.
        id: u64,
        /// What the wallet said.
        error: ErrorLine,
    },
    /// Something happened.
    Event(Event),
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLine {
    /// `WalletError::code`.
    pub code: u32,
    /// Its text.
    pub text: String,
    /// Its advice.
    pub advice: String,
}

impl std::fmt::Display for ErrorLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.code)?;
        let next = match self.advice.as_str() {
            "Retry" => "try again, later where the error says when",
            "Reconnect" => "log in again",
            "Authenticate" => "prove presence or unlock the device, then try again",
            "Replenish" => "fetch credentials",
            "Unlock" => "unlock the token",
            "Confirm" => "let the user confirm the card",
            "Sync" => "ask the service for the token's state",
            "Reactivate" => "activate anew",
            "FreeSpace" => "free storage, then try again",
            "UpdateApp" => "update the app",
            _ => "see docs/errors.md",
        };
        write!(f, "; {next}")
    }
}

/// What the wallet tells its listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The wallet is open; the first line of a phone.
    Ready {
        /// The status code.
        status: i32,
        /// Milliseconds from the start of the process.
        millis: f64,
    },
    /// The wallet could not be opened; the last line of a phone.
    NotOpened {
        /// Why.
        error: ErrorLine,
    },
    /// A line of the driver that is no request, and has no id to answer under.
    NotUnderstood {
        /// What is wrong with it.
        reason: String,
    },
    /// Progress of an activation.
    Progress {
        /// `manual` or `silent`.
        mode: String,
        /// The phase's name.
        phase: String,
        /// Its number.
        step: u32,
        /// Of how many.
        total: u32,
        /// 0 to 100.
        percent: u8,
        /// A check at the app's server is due.
        step_up_required: bool,
        /// Since the run began.
        elapsed_ms: u64,
        /// What is left, where known.
        remaining_ms: Option<u64>,
    },
    /// The local token became active.
    Activated,
    /// A tap started.
    Start {
        /// Names the tap.
        tap: u64,
    },
    /// A tap handed out its cryptogram.
    Complete {
        /// Names the tap.
        tap: u64,
        /// Minor units.
        amount_minor: u64,
        /// ISO 4217 numeric.
        currency: u16,
        /// The credential's counter.
        atc: u16,
        /// The 16 hex digits under which the app's server learns of the payment.
        reference: String,
    },
    /// A tap failed.
    Failed {
        /// Names the tap.
        tap: u64,
        /// `TapFailure::code`.
        code: u32,
        /// `TapFailure::advice`, where it has one.
        advice: Option<String>,
    },
    /// The user must prove presence.
    AuthRequired {
        /// Names the tap.
        tap: u64,
    },
    /// A measurement.
    Monitor {
        /// Its id.
        id: String,
        /// Its fields.
        fields: std::collections::BTreeMap<String, String>,
    },
    /// A request was stopped where [`Call::Hold`] asked for it.
    Held {
        /// Its type.
        request_type: String,
    },
}
