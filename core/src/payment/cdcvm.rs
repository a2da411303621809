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

/// One proof of presence serves one completed transaction. A tap that was refused for want of it asks
/// for a proof; one that is given for it serves that amount and currency only.
#[derive(Debug, Default)]
pub(crate) struct CdcvmWindow {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    proved: Option<Proof>,
    asked_for: Option<Asked>,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    method: CdcvmMethod,
    /// On the monotonic clock.
    at: Duration,
    /// What the user saw on the screen when proving presence; `None` before a first tap.
    given_for: Option<Sum>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    sum: Sum,
    /// On the monotonic clock.
    at: Duration,
}

/// What must not change between the two taps of one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    amount_minor: u64,
    currency: u16,
}

impl Sum {
    fn of(transaction: &TransactionInformation) -> Self {
        Self { amount_minor: transaction.amount_minor, currency: transaction.currency }
    }
}

/// For so long after "see phone" a proof counts as given for that tap.
pub(crate) const SECOND_TAP: Duration = Duration::from_secs(60);

/// What the window says of a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Proved in time, and for this amount where one was asked for.
    Proved(CdcvmMethod),
    /// Not proved, or too long ago.
    Missing,
    /// Proved for another amount or currency.
    OtherTransaction,
}

impl CdcvmWindow {
    /// The user proved presence. Proves what the last refused tap asked for, if that was just now.
    pub(crate) fn open(&self, method: CdcvmMethod, now: Duration) {
        let mut state = self.lock();
        let asked = state.asked_for.filter(|asked| now.saturating_sub(asked.at) <= SECOND_TAP);
        state.proved = Some(Proof { method, at: now, given_for: asked.map(|asked| asked.sum) });
    }

    /// The user took it back, is gone, or has paid with it.
    pub(crate) fn close(&self) {
        *self.lock() = State::default();
    }

    /// What is left of the window; `None` when it is closed.
    pub(crate) fn remaining(&self, now: Duration) -> Option<Duration> {
        self.lock().proved?.remaining(now)
    }

    pub(crate) fn presence(&self, transaction: &TransactionInformation, now: Duration) -> Presence {
        match self.lock().proved.filter(|proof| proof.remaining(now).is_some()) {
            None => Presence::Missing,
            Some(proof) if proof.given_for.is_some_and(|sum| sum != Sum::of(transaction)) => Presence::OtherTransaction,
            Some(proof) => Presence::Proved(proof.method),
        }
    }

    /// A tap was refused: the user is asked to prove presence for this transaction.
    pub(crate) fn ask_for(&self, transaction: &TransactionInformation, now: Duration) {
        let asked = Asked { sum: Sum::of(transaction), at: now };
        *self.lock() = State { proved: None, asked_for: Some(asked) };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proof {
    fn remaining(&self, now: Duration) -> Option<Duration> {
        CDCVM_WINDOW.checked_sub(now.saturating_sub(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVED: Presence = Presence::Proved(CdcvmMethod::Fingerprint);

    fn of(amount_minor: u64) -> TransactionInformation {
        TransactionInformation::of(amount_minor)
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A window whose user was asked for 90.00 at 0 s.
    fn asked() -> CdcvmWindow {
        let window = CdcvmWindow::default();
        window.ask_for(&of(9_000), at(0));
        window
    }

    #[test]
    fn the_window_is_thirty_seconds_and_its_boundary_counts() {
        let window = CdcvmWindow::default();
        window.open(CdcvmMethod::Fingerprint, at(100));
        assert_eq!(window.presence(&of(1), at(130)), PROVED);
        assert_eq!(window.presence(&of(1), at(130) + Duration::from_millis(1)), Presence::Missing);
        assert_eq!(window.remaining(at(110)), Some(at(20)));
        assert_eq!(window.remaining(at(130)), Some(Duration::ZERO));
        assert_eq!(window.remaining(at(131)), None);
    }

    #[test]
    fn the_second_tap_must_show_the_amount_that_was_asked_for() {
        let window = asked();
        assert_eq!(window.presence(&of(9_000), at(1)), Presence::Missing);
        window.open(CdcvmMethod::Fingerprint, at(2));
        assert_eq!(window.presence(&of(9_001), at(3)), Presence::OtherTransaction);
        let francs = TransactionInformation { currency: 756, ..of(9_000) };
        assert_eq!(window.presence(&francs, at(3)), Presence::OtherTransaction);
        assert_eq!(window.presence(&of(9_000), at(3)), PROVED);
    }

    #[test]
    fn a_proof_stays_with_its_amount_as_long_as_it_lives() {
        let window = asked();
        window.open(CdcvmMethod::Fingerprint, at(59));
        assert_eq!(window.presence(&of(9_001), at(62)), Presence::OtherTransaction);
        assert_eq!(window.presence(&of(9_000), at(89)), PROVED);
    }

    #[test]
    fn a_proof_long_after_the_question_is_for_any_tap() {
        let window = asked();
        window.open(CdcvmMethod::Fingerprint, at(61));
        assert_eq!(window.presence(&of(1), at(62)), PROVED);
    }

    #[test]
    fn after_the_window_the_same_amount_is_asked_for_again() {
        let window = asked();
        window.open(CdcvmMethod::Fingerprint, at(2));
        assert_eq!(window.presence(&of(9_000), at(33)), Presence::Missing);
    }

    #[test]
    fn a_question_drops_the_proof_before_it() {
        let window = CdcvmWindow::default();
        window.open(CdcvmMethod::Pattern, at(0));
        window.ask_for(&of(9_000), at(1));
        assert_eq!(window.presence(&of(9_000), at(1)), Presence::Missing);
    }

    #[test]
    fn one_proof_serves_one_transaction() {
        let window = CdcvmWindow::default();
        window.open(CdcvmMethod::Pattern, at(0));
        window.close();
        assert_eq!(window.presence(&of(1), at(1)), Presence::Missing);
    }

    #[test]
    fn a_payment_in_between_does_not_free_the_proof_for_another_amount() {
        let window = CdcvmWindow::default();
        window.ask_for(&of(9_000), at(0));
        // Here a low amount is paid without the proof; then the user confirms what the screen shows.
        window.open(CdcvmMethod::Fingerprint, at(2));
        assert_eq!(window.presence(&of(90_000), at(3)), Presence::OtherTransaction);
        assert_eq!(window.presence(&of(9_000), at(3)), Presence::Proved(CdcvmMethod::Fingerprint));
    }

    #[test]
    fn the_methods_have_the_fields_numbers() {
        use CdcvmMethod as Method;
        let methods = [Method::Pattern, Method::Password, Method::Fingerprint, Method::FacialBiometric];
        assert_eq!(methods.map(Method::code), [6, 7, 8, 9]);
        assert_eq!([Method::IrisBiometric, Method::HandGeometry].map(Method::code), [10, 13]);
    }
}
