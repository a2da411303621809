//! May this tap be paid? The rules in their order; the first that objects decides.

use super::cdcvm::{CdcvmWindow, Presence};
use super::{TapFailure, TransactionInformation, TransactionKind, TransactionRange};
use crate::card::Card;
use crate::card::hooks::{CryptogramRequest, CryptogramRequested};
use crate::config::Configuration;
use crate::host::{DeviceState, HostCalls, HostError, IntegrityVerdict, PermitDecision, RiskControl};

/// Everything the rules look at.
pub(crate) struct Rules<'a> {
    pub(crate) calls: &'a HostCalls,
    pub(crate) configuration: &'a Configuration,
    pub(crate) window: &'a CdcvmWindow,
    pub(crate) card: &'a Card,
}

impl Rules<'_> {
    /// Decides. `Ok(true)` means: pay, with CDCVM done; `Ok(false)`: pay without.
    pub(crate) fn decide(
        &self,
        request: &CryptogramRequest,
        device: Result<DeviceState, HostError>,
    ) -> Result<bool, TapFailure> {
        if request.requested == CryptogramRequested::Aac {
            return Err(TapFailure::TerminalProtocol);
        }
        let transaction = &request.transaction;
        let device = device.map_err(|_| TapFailure::DeviceUnknown)?;
        if matches!(device.integrity, IntegrityVerdict::Unsafe { .. }) {
            return Err(TapFailure::DeviceUnsafe);
        }
        self.check_kind(transaction, &device)?;
        let presence = self.window.presence(transaction, self.calls.clock().monotonic());
        if self.needs_cdcvm(request, &device) {
            match presence {
                Presence::Proved => {}
                Presence::Missing => return Err(TapFailure::CdcvmRequired),
                Presence::OtherTransaction => return Err(TapFailure::ContextChanged),
            }
        }
        let proved = presence == Presence::Proved;
        self.ask_app(proved, transaction)?;
        Ok(proved)
    }

    fn check_kind(&self, transaction: &TransactionInformation, device: &DeviceState) -> Result<(), TapFailure> {
        let allowed = match transaction.kind {
            TransactionKind::Purchase | TransactionKind::PurchaseWithCashback | TransactionKind::Refund => true,
            TransactionKind::Transit => {
                self.configuration.transit_allowed() && (device.unlocked || self.configuration.locked_transit_allowed())
            }
            TransactionKind::Cash | TransactionKind::Other(_) => false,
        };
        if allowed { Ok(()) } else { Err(TapFailure::NotAllowed) }
    }

    /// Demanded by the terminal, the card's rules, a high or unknown value, or a locked device.
    /// Transit gates cannot wait for a finger: there the switches have decided.
    fn needs_cdcvm(&self, request: &CryptogramRequest, device: &DeviceState) -> bool {
        if request.transaction.kind == TransactionKind::Transit {
            return false;
        }
        request.terminal_demands_cdcvm
            || self.card.rules().always_cdcvm
            || request.transaction.range != TransactionRange::LowValue
            || !device.unlocked
    }

    fn ask_app(&self, auth_before: bool, transaction: &TransactionInformation) -> Result<(), TapFailure> {
        // The wallet's own rules come first: what they decline is never asked for.
        match self.calls.permit(auth_before, transaction.clone(), RiskControl { proceed: true }) {
            Ok(PermitDecision::Proceed) => Ok(()),
            Ok(PermitDecision::Decline) => Err(TapFailure::DeclinedByApp),
            Ok(PermitDecision::NeedAuth) => Err(TapFailure::CdcvmRequired),
            Ok(PermitDecision::CustomDecline(reason)) => Err(TapFailure::CustomDecline(reason)),
            Err(HostError::TimedOut { .. }) => Err(TapFailure::PermitTimeout),
            Err(_) => Err(TapFailure::DeclinedByApp),
        }
    }
}
