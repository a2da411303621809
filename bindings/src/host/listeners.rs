//! Where the app hears and decides.

use std::collections::HashMap;
use std::sync::Arc;

use nfcwallet_core::host as core;
use nfcwallet_core::{activation, payment};

use super::HostError;
use crate::activation::ActivationProgress;
use crate::payment::{TapFailure, TransactionInformation, TransactionRecord};

/// Receipt for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum Delivered {
    /// The app took it.
    Done,
}

impl From<Delivered> for core::Delivered {
    fn from(receipt: Delivered) -> Self {
        match receipt {
            Delivered::Done => Self::Done,
        }
    }
}

/// The app's decision on a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum PermitDecision {
    /// Pay.
    Proceed,
    /// Decline (19001).
    Decline,
    /// Decline and ask the user to prove presence first (10003).
    NeedAuth,
    /// Decline for a reason of the app's own (19011 to 19014).
    CustomDecline {
        /// 1 to 4. Any other number is a plain decline.
        number: u8,
    },
}

impl From<PermitDecision> for core::PermitDecision {
    fn from(decision: PermitDecision) -> Self {
        match decision {
            PermitDecision::Proceed => Self::Proceed,
            PermitDecision::Decline => Self::Decline,
            PermitDecision::NeedAuth => Self::NeedAuth,
            PermitDecision::CustomDecline { number } => Self::CustomDecline(number),
        }
    }
}

/// What the wallet makes of the situation. It is advice: what the wallet's own rules decline is never asked
/// for, and what the app answers decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct RiskControl {
    /// False if the service has not answered this user for more than 24 h, so that a suspension or deletion
    /// may be unknown to the phone; also if the clock no longer says how long it was. After such a tap the
    /// wallet asks the service by itself. An app may ask for the user (`NeedAuth`), decline, or go on.
    pub proceed: bool,
}

/// The app's decision on each tap, while the terminal waits.
///
/// Called on a worker thread of the wallet, once a tap at most. Deadline 100 ms (`Deadlines.permit_ms`):
/// after it, or after a failure, the tap is declined (19003, 19001), and a late answer changes nothing. No
/// network here.
///
/// It may call the wallet. An APDU from within gets 6985; a `lock`, `disconnect`, `delete_token`, `shutdown`
/// or `field_lost` from within ends the tap before anything is spent.
#[uniffi::export(foreign)]
pub trait TransactionPermit: Send + Sync {
    /// May this tap be paid? `auth_before` is true if the user proved presence within the last 30 s, for this
    /// amount where one was asked for. Throws `Failed`, which declines the tap.
    fn is_allowed(
        &self,
        auth_before: bool,
        transaction: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError>;
}

/// Events of a tap: at most one `on_start`, at most one `on_auth_required` (directly before a failure 10003),
/// and exactly one of `on_complete` and `on_failed`, in this order. `tap` names the tap; unique within a
/// process.
///
/// Called on an event thread of its own, one event after the other, never on the thread of `process_apdu`;
/// may call back into the wallet. No deadline: a listener that blocks delays its own later events (beyond
/// 1,024 that wait they are dropped and counted), neither taps nor other listeners. What it throws is logged.
#[uniffi::export(foreign)]
pub trait TransactionListener: Send + Sync {
    /// The terminal selected the wallet and the tap may go on.
    fn on_start(&self, tap: u64) -> Result<Delivered, HostError>;

    /// The cryptogram was made for the terminal; queued once the answer is. This is not "paid": ask the app's
    /// own server, under the reference in `record`, which is as the history will show it.
    fn on_complete(&self, tap: u64, record: TransactionRecord) -> Result<Delivered, HostError>;

    /// The tap ended without a cryptogram. A reader that the pre-check refuses (10004, 10006 to 10009, 19005)
    /// is told of without `on_start`; while it stays in the field, the same refusal is told once in 5 s,
    /// because such a reader tries several names. After `field_lost` the next refusal is told at once.
    fn on_failed(
        &self,
        tap: u64,
        failure: TapFailure,
        transaction: Option<TransactionInformation>,
    ) -> Result<Delivered, HostError>;

    /// The user must prove presence and tap again. `on_failed` with 10003 follows.
    fn on_auth_required(&self, tap: u64, transaction: TransactionInformation) -> Result<Delivered, HostError>;
}

/// Progress of an activation.
///
/// Called on an event thread that all activations share, in order; percent never falls. May call back into
/// the wallet; may block, which delays later progress only. What it throws is logged.
#[uniffi::export(foreign)]
pub trait ActivationListener: Send + Sync {
    /// A step forward.
    fn on_progress(&self, progress: ActivationProgress) -> Result<Delivered, HostError>;

    /// The local token is active: show the payment page.
    fn on_activated(&self) -> Result<Delivered, HostError>;
}

/// One measurement for the app's monitoring, by the field's names.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct MonitorEvent {
    /// `EVENT_APPLY`, `EVENT_CONFIRM`, `EVENT_REPLENISH`, `EVENT_TRANSACTION`, or one of ours, starting with
    /// `X_`.
    pub id: String,
    /// Its fields. Never a key, a PAN or a transaction reference.
    pub fields: HashMap<String, String>,
}

/// Takes measurements.
///
/// Called on an event thread of its own, one event after the other; may call back into the wallet; may block,
/// which delays later measurements only (beyond 1,024 that wait they are dropped and counted). What it throws
/// is logged.
#[uniffi::export(foreign)]
pub trait Monitor: Send + Sync {
    /// One measurement.
    fn track(&self, event: MonitorEvent) -> Result<Delivered, HostError>;
}

/// The app's permit, as the wallet asks it.
pub(super) struct PermitFromApp(pub(super) Arc<dyn TransactionPermit>);

impl core::TransactionPermit for PermitFromApp {
    fn is_allowed(
        &self,
        auth_before: bool,
        transaction: payment::TransactionInformation,
        risk: core::RiskControl,
    ) -> Result<core::PermitDecision, core::HostError> {
        let risk = RiskControl { proceed: risk.proceed };
        Ok(self.0.is_allowed(auth_before, transaction.into(), risk)?.into())
    }
}

/// The app's listener of taps, as the wallet tells it.
pub(super) struct TransactionsFromApp(pub(super) Arc<dyn TransactionListener>);

impl core::TransactionListener for TransactionsFromApp {
    fn on_start(&self, tap: payment::TapId) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_start(tap.0)?.into())
    }

    fn on_complete(
        &self,
        tap: payment::TapId,
        record: payment::TransactionRecord,
    ) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_complete(tap.0, record.into())?.into())
    }

    fn on_failed(
        &self,
        tap: payment::TapId,
        failure: payment::TapFailure,
        transaction: Option<payment::TransactionInformation>,
    ) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_failed(tap.0, failure.into(), transaction.map(Into::into))?.into())
    }

    fn on_auth_required(
        &self,
        tap: payment::TapId,
        transaction: payment::TransactionInformation,
    ) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_auth_required(tap.0, transaction.into())?.into())
    }
}

/// A listener of the app, as the wallet tells it.
pub(crate) fn activation_listener(listener: Arc<dyn ActivationListener>) -> Arc<dyn core::ActivationListener> {
    Arc::new(ActivationFromApp(listener))
}

struct ActivationFromApp(Arc<dyn ActivationListener>);

impl core::ActivationListener for ActivationFromApp {
    fn on_progress(&self, progress: activation::ActivationProgress) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_progress(progress.into())?.into())
    }

    fn on_activated(&self) -> Result<core::Delivered, core::HostError> {
        Ok(self.0.on_activated()?.into())
    }
}

/// The app's monitor, as the wallet tells it.
pub(super) struct MonitorFromApp(pub(super) Arc<dyn Monitor>);

impl core::Monitor for MonitorFromApp {
    fn track(&self, event: core::MonitorEvent) -> Result<core::Delivered, core::HostError> {
        let fields = event.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(self.0.track(MonitorEvent { id: event.id.to_owned(), fields })?.into())
    }
}
