//! May this tap be paid? The rules in their order; the first that objects decides.
//!
//! `docs/flows/decisions.md` has them as a table, which a test here walks.

use super::cdcvm::{CdcvmMethod, CdcvmWindow, Presence};
use super::{TapFailure, TransactionInformation, TransactionKind, TransactionRange};
use crate::card::Card;
use crate::card::hooks::{CryptogramRequest, CryptogramRequested};
use crate::config::Configuration;
use crate::host::{DeviceState, HostCalls, HostError, IntegrityVerdict, PermitDecision, RiskControl};

#[cfg(test)]
mod tests;

/// Everything the rules look at.
pub(crate) struct Rules<'a> {
    pub(crate) calls: &'a HostCalls,
    pub(crate) configuration: &'a Configuration,
    pub(crate) window: &'a CdcvmWindow,
    pub(crate) card: &'a Card,
    /// For the app to judge.
    pub(crate) risk: RiskControl,
}

impl Rules<'_> {
    /// Decides. `Ok` means: pay, and with which proof of presence.
    pub(crate) fn decide(
        &self,
        request: &CryptogramRequest,
        device: Result<DeviceState, HostError>,
    ) -> Result<Option<CdcvmMethod>, TapFailure> {
        check_terminal(request)?;
        let transaction = &request.transaction;
        let device = device.map_err(|_| TapFailure::DeviceUnknown)?;
        if matches!(device.integrity, IntegrityVerdict::Unsafe { .. }) {
            return Err(TapFailure::DeviceUnsafe);
        }
        let now = self.calls.clock().monotonic();
        let presence = self.window.presence(transaction, now);
        let proof = match presence {
            Presence::Proved(method) => Some(method),
            Presence::Missing | Presence::OtherTransaction => None,
        };
        let allowed = request.allowed_by_card && !is_transit_by_track(request);
        self.check_kind(transaction, allowed, device.unlocked || proof.is_some())?;
        if self.needs_cdcvm(request, &device) {
            match presence {
                Presence::Proved(_) => {}
                Presence::Missing => return Err(TapFailure::CdcvmRequired),
                Presence::OtherTransaction => return Err(TapFailure::ContextChanged),
            }
        }
        self.ask_app(proof.is_some(), transaction)?;
        // The user may have taken it back while the app decided.
        if proof.is_some() && self.window.presence(transaction, now) == Presence::Missing {
            return Err(TapFailure::CdcvmRequired);
        }
        Ok(proof)
    }

    /// `consent`: the device is unlocked, or its user has just proved presence.
    fn check_kind(
        &self,
        transaction: &TransactionInformation,
        allowed_by_card: bool,
        consent: bool,
    ) -> Result<(), TapFailure> {
        let allowed = match transaction.kind {
            _ if !allowed_by_card => false,
            TransactionKind::Purchase | TransactionKind::PurchaseWithCashback | TransactionKind::Refund => true,
            TransactionKind::Transit => {
                self.configuration.transit_allowed() && (consent || self.configuration.locked_transit_allowed())
            }
            TransactionKind::Cash | TransactionKind::Other(_) => false,
        };
        if allowed { Ok(()) } else { Err(TapFailure::NotAllowed) }
    }

    /// Demanded by the card's profile, the terminal, a high or unknown value, a locked device, or the
    /// app's own limit. Transit gates cannot wait for a finger: there only the profile and the
    /// terminal demand it, and a terminal can take back no more than its own demand.
    fn needs_cdcvm(&self, request: &CryptogramRequest, device: &DeviceState) -> bool {
        let transaction = &request.transaction;
        // A checksum does not cover the amount: no limit means anything there.
        if self.card.rules().always_cdcvm || request.requested == CryptogramRequested::Checksum {
            return true;
        }
        if transaction.kind == TransactionKind::Transit {
            return request.terminal_demands_cdcvm && !waives_cdcvm(transaction);
        }
        request.terminal_demands_cdcvm
            || transaction.range != TransactionRange::LowValue
            || !device.unlocked
            || self.configuration.exceeds_password_free_limit(transaction.currency, transaction.amount_minor)
    }

    fn ask_app(&self, auth_before: bool, transaction: &TransactionInformation) -> Result<(), TapFailure> {
        // The wallet's own rules come first: what they decline is never asked for.
        match self.calls.permit(auth_before, transaction.clone(), self.risk) {
            Ok(PermitDecision::Proceed) => Ok(()),
            Ok(PermitDecision::NeedAuth) => Err(TapFailure::CdcvmRequired),
            Ok(PermitDecision::CustomDecline(reason @ 1..=4)) => Err(TapFailure::CustomDecline(reason)),
            Ok(PermitDecision::Decline | PermitDecision::CustomDecline(_)) => Err(TapFailure::DeclinedByApp),
            Err(HostError::TimedOut { .. }) => Err(TapFailure::PermitTimeout),
            Err(_) => Err(TapFailure::DeclinedByApp),
        }
    }
}

/// A gate opens without a finger because the amount is 0, and only a cryptogram proves that it is.
fn is_transit_by_track(request: &CryptogramRequest) -> bool {
    request.requested == CryptogramRequested::Checksum && request.transaction.kind == TransactionKind::Transit
}

/// A terminal that asks for a decline gets it, and so does one whose data cannot all be true.
fn check_terminal(request: &CryptogramRequest) -> Result<(), TapFailure> {
    let transaction = &request.transaction;
    // The cash back is part of the amount (tags 9F02, 9F03).
    let adds_up = transaction.other_amount_minor <= transaction.amount_minor;
    if request.requested == CryptogramRequested::Aac || request.contradictory || !adds_up {
        return Err(TapFailure::TerminalProtocol);
    }
    Ok(())
}

/// 9F1D byte 4. Looked at for gates only: anybody can set these bits, so they open no way to spend an
/// amount from a locked phone.
fn waives_cdcvm(transaction: &TransactionInformation) -> bool {
    let risk = transaction.terminal.risk_management;
    risk.is_some_and(|risk| risk.asks_to_bypass_cdcvm() || risk.is_sca_exempt())
}
