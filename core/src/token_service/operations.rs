//! What the wallet asks and what the service answers, as types.
//!
//! Both sides use this module; it is the only place that knows how an operation looks in bytes
//! (JSON, in the sealed envelope). A licensee with another service swaps this and `envelope`.
//! Unknown fields are ignored, so that an older wallet reads a newer service; an unknown operation
//! is refused by the service with `unknown_operation`.

use serde::{Deserialize, Serialize};

use crate::card::profile::Profile;
use crate::host::RequestType;
use crate::secret::Secret;
use crate::token::Suspender;
use crate::wallet::RemoteConfig;

/// What the wallet asks. Each operation is idempotent under the request id of its envelope: asked
/// again, the service answers what it answered before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Apply for a token.
    Apply {
        /// From the host; 1 to 256 characters.
        fingerprint: String,
        /// The host's integrity verdict.
        device_safe: bool,
        /// Silent preparation or the user's own wish.
        silent: bool,
    },
    /// Has the application been decided?
    ApplicationStatus {
        /// From [`Answer::Applied`].
        application_id: String,
    },
    /// Open a session for provisioning or replenishment.
    OpenSession {},
    /// Fetch the card profile and the first credentials.
    Provision {
        /// From [`Answer::Applied`].
        application_id: String,
        /// From [`Answer::Session`].
        session_id: String,
        /// How many credentials.
        count: u32,
    },
    /// Tell the service whether the profile was stored.
    ReportProvisioned {
        /// The new token.
        token_reference: String,
        /// `true` if it was stored, `false` if it was refused.
        stored: bool,
        /// What was refused, for the service's log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
    },
    /// Activate the token at the service.
    Activate {
        /// The token.
        token_reference: String,
    },
    /// More credentials.
    Replenish {
        /// The token.
        token_reference: String,
        /// From [`Answer::Session`].
        session_id: String,
        /// How many.
        count: u32,
    },
    /// What became of credentials.
    ReportUsage {
        /// The token.
        token_reference: String,
        /// One entry a credential.
        entries: Vec<UsageEntry>,
    },
    /// The token's state and the configuration.
    TokenState {},
    /// Suspend, in the user's name.
    Lock {
        /// The token.
        token_reference: String,
    },
    /// Lift the user's suspension.
    Unlock {
        /// The token.
        token_reference: String,
    },
    /// Delete the token for ever.
    Delete {
        /// The token.
        token_reference: String,
    },
    /// Messages not yet acknowledged.
    FetchInbox {},
    /// These messages were applied.
    AcknowledgeInbox {
        /// Their ids.
        ids: Vec<String>,
    },
}

impl Operation {
    /// Under which of the five request types the operation travels.
    #[must_use]
    pub fn request_type(&self) -> RequestType {
        match self {
            Self::Apply { .. } | Self::ApplicationStatus { .. } => RequestType::Apply,
            Self::OpenSession {}
            | Self::Provision { .. }
            | Self::ReportProvisioned { .. }
            | Self::Replenish { .. }
            | Self::ReportUsage { .. } => RequestType::Transfer,
            Self::Activate { .. }
            | Self::TokenState {}
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::Delete { .. } => RequestType::SyncToken,
            Self::FetchInbox {} | Self::AcknowledgeInbox { .. } => RequestType::Notify,
        }
    }
}

/// What the service answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Operation::Apply`].
    Applied {
        /// Names the application from now on.
        application_id: String,
        /// Polling budgets and switches for this run.
        #[serde(default)]
        config: Option<RemoteConfig>,
    },
    /// To [`Operation::ApplicationStatus`].
    Application {
        /// How it stands.
        decision: Decision,
    },
    /// To [`Operation::OpenSession`]: not yet.
    SessionPending {},
    /// To [`Operation::OpenSession`].
    Session {
        /// Names the session from now on.
        session_id: String,
        /// Valid for this long from now.
        valid_ms: u64,
    },
    /// To [`Operation::Provision`].
    Provisioned {
        /// Names the token from now on; opaque, not a PAN.
        token_reference: String,
        /// The card.
        profile: Box<Profile>,
        /// The first credentials.
        credentials: Vec<WireCredential>,
    },
    /// To [`Operation::Activate`]: not yet.
    ActivationPending {},
    /// To [`Operation::Activate`].
    Activated {},
    /// To [`Operation::Replenish`].
    Replenished {
        /// The new credentials.
        credentials: Vec<WireCredential>,
    },
    /// To [`Operation::TokenState`], `Lock`, `Unlock`, `Delete`.
    State {
        /// The token of this user on this device.
        token: ServiceToken,
        /// The configuration, where it differs from the defaults.
        #[serde(default)]
        config: Option<RemoteConfig>,
    },
    /// To [`Operation::FetchInbox`]; oldest first.
    Inbox {
        /// The messages.
        messages: Vec<Message>,
    },
    /// To the reports and acknowledgements.
    Acknowledged {},
    /// To anything.
    Refused {
        /// Why.
        problem: Refusal,
    },
}

/// How an application stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Decision {
    /// Not decided.
    Pending {},
    /// The user must pass a check at the app's own server first; polling goes on.
    StepUpRequired {},
    /// Approved.
    Approved {},
    /// Declined, finally.
    Declined {
        /// The issuer's reason code.
        code: String,
    },
    /// Not decided in time, finally.
    Expired {},
}

/// The token as the service sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServiceToken {
    /// None for this user on this device.
    None {},
    /// Provisioned, not activated.
    Inactive {
        /// The token.
        token_reference: String,
    },
    /// Activated. Payable if nobody suspends it.
    Active {
        /// The token.
        token_reference: String,
        /// Who suspends it.
        suspended_by: Vec<Suspender>,
    },
    /// Deleted, finally.
    Deleted {
        /// The token.
        token_reference: String,
    },
}

/// A single-use credential on its way to the phone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WireCredential {
    /// Application transaction counter; each value exists once a token.
    pub atc: u16,
    /// EMV common session key for this counter (16 bytes).
    pub session_key: Secret<16>,
    /// Key for mag-stripe mode with this counter only; none where the card does not have that mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvc3_key: Option<Secret<16>>,
    /// By the service's clock, milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// What became of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEntry {
    /// Its counter.
    pub atc: u16,
    /// What became of it.
    pub outcome: UsageOutcome,
}

/// What became of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageOutcome {
    /// Burnt for a cryptogram.
    Used,
    /// Expired unused, or lost to a crash.
    Discarded,
}

/// A message of the service's inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Names the message; applied once, acknowledged by this.
    pub id: String,
    /// What to do.
    pub content: MessageContent,
}

/// What a message tells the wallet to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MessageContent {
    /// The token is suspended.
    Suspend {
        /// The token.
        token_reference: String,
        /// By whom.
        by: Suspender,
    },
    /// One party lifts its suspension.
    Resume {
        /// The token.
        token_reference: String,
        /// Who.
        by: Suspender,
    },
    /// The token is deleted.
    Delete {
        /// The token.
        token_reference: String,
    },
    /// Check the stock now.
    Replenish {
        /// The token.
        token_reference: String,
    },
    /// The card profile changed.
    Profile {
        /// The token.
        token_reference: String,
        /// The new profile.
        profile: Box<Profile>,
    },
    /// The configuration changed.
    Config {
        /// The new configuration.
        config: RemoteConfig,
    },
    /// A newer service sent something that this library does not know; it is acknowledged and
    /// skipped.
    #[serde(other)]
    Unknown,
}

/// The service's typed refusals, on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum Refusal {
    /// Refused by policy.
    Declined {
        /// Reason code.
        code: String,
    },
    /// The device is not accepted.
    DeviceUnsafe {},
    /// No such token or application.
    UnknownToken {},
    /// Slow down.
    RateLimited {
        /// Pause in milliseconds.
        retry_after_ms: u64,
    },
    /// Open a session first.
    SessionRequired {},
    /// The request's time is too far from the service's; the answer carries the right one.
    ClockSkew {},
    /// The relay's user is not the wallet's.
    WrongUser {},
    /// The token is suspended.
    Suspended {},
    /// This operation is unknown to the service.
    UnknownOperation {},
    /// The device signature does not verify.
    BadSignature {},
    /// A fault of the service.
    Internal {},
}
