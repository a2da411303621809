//! The scheme's own view: what was authorised, released, cleared and refunded.
//!
//! For tests, and for a demonstration's balance. It knows nothing of calls, rows or the gateway's books, so
//! that it can disagree with them.

use std::collections::BTreeMap;

use super::{SchemeEvent, SchemeId};

/// One authorisation, in the smallest unit of the merchant's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemeAuth {
    /// What was approved; 0 if the terminal was told "declined".
    pub authorised: u64,
    /// What of it the merchant, or time, gave up.
    pub released: u64,
    /// What the merchant collected.
    pub cleared: u64,
    /// What of that was not authorised, or not any more.
    pub beyond: u64,
    /// What the merchant gave.
    pub refunded: u64,
}

impl SchemeAuth {
    /// Authorised, and neither given up nor collected.
    #[must_use]
    pub fn open(&self) -> u64 {
        let collected = self.cleared.saturating_sub(self.beyond);
        self.authorised.saturating_sub(self.released).saturating_sub(collected)
    }

    /// What the user has paid, or will have: held and collected, less what was given; without what was
    /// collected beyond the authorisation.
    #[must_use]
    pub fn net(&self) -> i128 {
        i128::from(self.authorised) - i128::from(self.released) - i128::from(self.refunded)
    }

    fn clear(&mut self, minor: u64, last: bool) {
        let open = self.open();
        self.cleared += minor;
        self.beyond += minor.saturating_sub(open);
        if last {
            self.released += open.saturating_sub(minor);
        }
    }
}

/// All authorisations of a scheme.
#[derive(Debug, Clone, Default)]
pub struct SchemeBook {
    auths: BTreeMap<SchemeId, SchemeAuth>,
    unlinked: u64,
}

impl SchemeBook {
    /// A book with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The terminal was told "approved".
    pub fn approve(&mut self, auth_id: &SchemeId, minor: u64) {
        self.auths.entry(auth_id.clone()).or_default().authorised = minor;
    }

    /// An event after the answer to its authorisation. The caller passes each only once.
    pub fn apply(&mut self, event: &SchemeEvent) {
        let Some(auth_id) = event.auth_id() else {
            self.unlinked += event.amount().map_or(0, |amount| amount.value);
            return;
        };
        let auth = self.auths.entry(auth_id.clone()).or_default();
        let open = auth.open();
        match event {
            SchemeEvent::Authorisation(_) => {}
            SchemeEvent::Reversal(reversal) => auth.released += reversal.part.map_or(open, |part| part.value.min(open)),
            SchemeEvent::Expiry(_) => auth.released += open,
            SchemeEvent::Clearing(clearing) => auth.clear(clearing.amount.value, clearing.last),
            SchemeEvent::Refund(refund) => auth.refunded += refund.amount.value,
        }
    }

    /// How an authorisation stands.
    #[must_use]
    pub fn auth(&self, auth_id: &SchemeId) -> SchemeAuth {
        self.auths.get(auth_id).copied().unwrap_or_default()
    }

    /// What users have paid, or will have, over all authorisations, less refunds that are tied to none.
    #[must_use]
    pub fn net(&self) -> i128 {
        self.auths.values().map(SchemeAuth::net).sum::<i128>() - i128::from(self.unlinked)
    }

    /// What was collected without being authorised.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.auths.values().map(|auth| auth.beyond).sum()
    }
}
