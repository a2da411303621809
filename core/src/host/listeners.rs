//! Where the app hears and decides.

use std::collections::BTreeMap;

use super::HostError;
use crate::activation::ActivationProgress;
use crate::payment::{TapFailure, TapId, TransactionInformation, TransactionRecord};

/// Receipt for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The app took it.
    Done,
}

/// The app's decision on a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitDecision {
    /// Pay.
    Proceed,
    /// Decline (19001).
    Decline,
    /// Decline and ask the user to prove presence first (10003).
    NeedAuth,
    /// Decline for a reason of the app's own, 1 to 4 (19011 to 19014). Any other number is a plain
    /// decline.
    CustomDecline(u8),
}

/// What the wallet makes of the situation. It is advice: what the wallet's own rules decline is never
/// asked for, and what the app answers decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskControl {
    /// False if the service has not answered this user for more than 24 h, so that a suspension or
    /// deletion may be unknown to the phone; also if the clock no longer says how long it was. After
    /// such a tap the wallet asks the service by itself. An app may ask for the user (`NeedAuth`),
    /// decline, or go on.
    pub proceed: bool,
}

/// The app's decision on each tap, while the terminal waits.
///
/// Called on a worker thread, once a tap at most. Deadline 100 ms: after it, or after a failure or
/// panic, the tap is declined (19003, 19001), and a late answer changes nothing. No network here.
///
/// It may call the wallet. An APDU from within gets 6985; a `lock`, `disconnect`, `delete_token`,
/// `shutdown` or `field_lost` from within ends the tap before anything is spent.
pub trait TransactionPermit: Send + Sync {
    /// May this tap be paid? `auth_before` is true if the user proved presence within the last 30 s, for
    /// this amount where one was asked for.
    ///
    /// # Errors
    /// [`HostError::Failed`] declines the tap.
    fn is_allowed(
        &self,
        auth_before: bool,
        transaction: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError>;
}

/// Events of a tap: at most one `on_start`, at most one `on_auth_required` (directly before a
/// failure 10003), and exactly one of `on_complete` and `on_failed`, in this order.
///
/// Called on an event thread of its own, never on the thread of `process_apdu`. A listener that
/// blocks delays its own later events (beyond 1,024 that wait they are dropped and counted), neither
/// taps nor other listeners; its failures are logged, never propagated.
pub trait TransactionListener: Send + Sync {
    /// The terminal selected the wallet and the tap may go on.
    ///
    /// # Errors
    /// Logged only.
    fn on_start(&self, tap: TapId) -> Result<Delivered, HostError>;

    /// The cryptogram was made for the terminal; queued once the answer is. This is not "paid": ask
    /// the app's own server, under the reference in `record`, which is as the history will show it.
    ///
    /// # Errors
    /// Logged only.
    fn on_complete(&self, tap: TapId, record: TransactionRecord) -> Result<Delivered, HostError>;

    /// The tap ended without a cryptogram. A reader that the pre-check refuses (10004, 10006 to
    /// 10009, 19005) is told of without `on_start`; while it stays in the field, the same refusal is told
    /// once in 5 s, because such a reader tries several names. After `field_lost` the next refusal is
    /// told at once.
    ///
    /// # Errors
    /// Logged only.
    fn on_failed(
        &self,
        tap: TapId,
        failure: TapFailure,
        transaction: Option<TransactionInformation>,
    ) -> Result<Delivered, HostError>;

    /// The user must prove presence and tap again. `on_failed` with 10003 follows.
    ///
    /// # Errors
    /// Logged only.
    fn on_auth_required(&self, tap: TapId, transaction: TransactionInformation) -> Result<Delivered, HostError>;
}

/// Progress of an activation.
///
/// Called on an event thread that all activations share, in order; percent never falls.
pub trait ActivationListener: Send + Sync {
    /// A step forward.
    ///
    /// # Errors
    /// Logged only.
    fn on_progress(&self, progress: ActivationProgress) -> Result<Delivered, HostError>;

    /// The local token is active: show the payment page.
    ///
    /// # Errors
    /// Logged only.
    fn on_activated(&self) -> Result<Delivered, HostError>;
}

/// One measurement for the app's monitoring, by the field's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorEvent {
    /// `EVENT_APPLY`, `EVENT_CONFIRM`, `EVENT_REPLENISH`, `EVENT_TRANSACTION`, or one of ours,
    /// starting with `X_`.
    pub id: &'static str,
    /// Its fields. Never a key, a PAN or a transaction reference.
    pub fields: BTreeMap<&'static str, String>,
}

/// Takes measurements. Called on an event thread of its own.
pub trait Monitor: Send + Sync {
    /// One measurement.
    ///
    /// # Errors
    /// Logged only.
    fn track(&self, event: MonitorEvent) -> Result<Delivered, HostError>;
}
