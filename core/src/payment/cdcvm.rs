//! The CDCVM window: the user proved presence to the phone, for 30 s on the monotonic clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::TransactionInformation;

/// How long a proof of presence serves; the boundary is inclusive.
pub const CDCVM_WINDOW: Duration = Duration::from_secs(30);

/// How the user proved presence; the numbers are the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CdcvmMethod {
    /// 6
    Pattern,
    /// 7
    Password,
    /// 8
    Fingerprint,
    /// 9
    FacialBiometric,
    /// 10
    IrisBiometric,
    /// 13
    HandGeometry,
}

impl CdcvmMethod {
    /// The field's number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pattern => 6,
            Self::Password => 7,
            Self::Fingerprint => 8,
            Self::FacialBiometric => 9,
            Self::IrisBiometric => 10,
            Self::HandGeometry => 13,
        }
    }
}

/// One proof of presence serves one completed transaction. A tap that was refused for want of it
/// pins the amount and currency that the next tap must show.
#[derive(Debug, Default)]
pub(crate) struct CdcvmWindow {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    proved: Option<(CdcvmMethod, Duration)>,
    asked_for: Option<Asked>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    amount_minor: u64,
    currency: u16,
    at: Duration,
}

/// What the window says of a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Proved in time, and for this amount where one was asked for.
    Proved,
    /// Not proved, or too long ago.
    Missing,
    /// Proved after another amount or currency was shown.
    OtherTransaction,
}

impl CdcvmWindow {
    pub(crate) fn open(&self, method: CdcvmMethod, now: Duration) {
        self.lock().proved = Some((method, now));
    }

    pub(crate) fn close(&self) {
        *self.lock() = State::default();
    }

    /// What is left of the window; `None` when it is closed.
    pub(crate) fn remaining(&self, now: Duration) -> Option<Duration> {
        let (_, proved) = self.lock().proved?;
        CDCVM_WINDOW.checked_sub(now.saturating_sub(proved))
    }

    pub(crate) fn presence(&self, transaction: &TransactionInformation, now: Duration) -> Presence {
        if self.remaining(now).is_none() {
            return Presence::Missing;
        }
        let asked = self.lock().asked_for.filter(|asked| now.saturating_sub(asked.at) <= 2 * CDCVM_WINDOW);
        match asked {
            Some(asked) if asked.amount_minor != transaction.amount_minor || asked.currency != transaction.currency => {
                Presence::OtherTransaction
            }
            _ => Presence::Proved,
        }
    }

    /// A tap was refused: the user is asked to prove presence for this transaction.
    pub(crate) fn ask_for(&self, transaction: &TransactionInformation, now: Duration) {
        let asked = Asked { amount_minor: transaction.amount_minor, currency: transaction.currency, at: now };
        *self.lock() = State { proved: None, asked_for: Some(asked) };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::{TransactionKind, TransactionRange};

    fn of(amount_minor: u64) -> TransactionInformation {
        TransactionInformation {
            amount_minor,
            other_amount_minor: 0,
            currency: 978,
            currency_exponent: Some(2),
            kind: TransactionKind::Purchase,
            terminal_country: 276,
            merchant_category: None,
            merchant_name: None,
            range: TransactionRange::HighValue,
            date: Some("261122".to_owned()),
        }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_window_is_thirty_seconds_and_its_boundary_counts() {
        let window = CdcvmWindow::default();
        window.open(CdcvmMethod::Fingerprint, at(100));
        assert_eq!(window.presence(&of(1), at(130)), Presence::Proved);
        assert_eq!(window.presence(&of(1), at(130) + Duration::from_millis(1)), Presence::Missing);
        assert_eq!(window.remaining(at(110)), Some(at(20)));
    }

    #[test]
    fn the_second_tap_must_show_the_amount_that_was_asked_for() {
        let window = CdcvmWindow::default();
        window.ask_for(&of(9_000), at(0));
        assert_eq!(window.presence(&of(9_000), at(1)), Presence::Missing);
        window.open(CdcvmMethod::Fingerprint, at(2));
        assert_eq!(window.presence(&of(9_001), at(3)), Presence::OtherTransaction);
        assert_eq!(window.presence(&of(9_000), at(3)), Presence::Proved);
    }

    #[test]
    fn one_proof_serves_one_transaction() {
        let window = CdcvmWindow::default();
        window.open(CdcvmMethod::Pattern, at(0));
        window.close();
        assert_eq!(window.presence(&of(1), at(1)), Presence::Missing);
    }
}
