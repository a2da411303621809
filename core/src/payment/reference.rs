//! The app's reference for its next payment: it serves that payment and no other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::TransactionInformation;
use super::cdcvm::SECOND_TAP;
use crate::Result;
use crate::error::WalletError;
use crate::host::is_called_too_late;
use crate::storage::UserKey;

/// What the app set and no tap has used.
#[derive(Default)]
pub(crate) struct NextReference(Mutex<Option<Reference>>);

#[derive(Clone, Copy)]
struct Reference {
    bytes: [u8; 8],
    /// Set once a tap was told "see phone": only the second tap of that payment may carry it.
    kept_for: Option<SecondTap>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct SecondTap {
    payment: Payment,
    /// On the monotonic clock.
    until: Duration,
}

/// What both taps of one payment have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payment {
    user: UserKey,
    amount_minor: u64,
    currency: u16,
}

impl Payment {
    pub(crate) fn new(user: UserKey, transaction: &TransactionInformation) -> Self {
        Self { user, amount_minor: transaction.amount_minor, currency: transaction.currency }
    }
}

impl NextReference {
    /// At most 8 bytes, padded with 00 on the right.
    pub(crate) fn set(&self, bytes: &[u8]) -> Result<()> {
        let refused = |reason| Err(WalletError::InvalidInput { field: "transaction_reference", reason });
        let mut padded = [0; 8];
        match padded.get_mut(..bytes.len()) {
            Some(start) if !bytes.is_empty() => start.copy_from_slice(bytes),
            _ => return refused(format!("is {} bytes, limit 1 to 8", bytes.len())),
        }
        let mut next = self.lock();
        // Asked with the lock held: the tap forgets the reference after it has given the permit up.
        if is_called_too_late() {
            return refused("the permit overran its deadline, and its tap is over".to_owned());
        }
        *next = Some(Reference { bytes: padded, kept_for: None });
        Ok(())
    }

    /// The reference that `payment` may carry.
    pub(crate) fn of(&self, payment: Payment, now: Duration) -> Option<[u8; 8]> {
        self.lock().filter(|reference| reference.serves(payment, now)).map(|reference| reference.bytes)
    }

    /// The tap is over.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// The tap ended with "see phone": its reference waits for the second tap of the same payment.
    pub(crate) fn keep_for_second_tap(&self, payment: Payment, now: Duration) {
        let mut next = self.lock();
        let kept_for = Some(SecondTap { payment, until: now.saturating_add(SECOND_TAP) });
        *next = next
            .filter(|reference| reference.serves(payment, now))
            .map(|reference| Reference { kept_for, ..reference });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reference>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reference {
    fn serves(&self, payment: Payment, now: Duration) -> bool {
        self.kept_for.is_none_or(|second| second.payment == payment && now <= second.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUNCH: Payment = Payment { user: UserKey(1), amount_minor: 9_000, currency: 978 };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn set() -> NextReference {
        let next = NextReference::default();
        next.set(b"ORDER").unwrap();
        next
    }

    #[test]
    fn a_reference_is_padded_and_serves_any_first_tap() {
        assert_eq!(set().of(LUNCH, at(0)), Some(*b"ORDER\0\0\0"));
    }

    #[test]
    fn after_see_phone_only_the_same_payment_carries_it() {
        let next = set();
        next.keep_for_second_tap(LUNCH, at(0));
        assert_eq!(next.of(Payment { amount_minor: 9_001, ..LUNCH }, at(1)), None);
        assert_eq!(next.of(Payment { currency: 756, ..LUNCH }, at(1)), None);
        assert_eq!(next.of(Payment { user: UserKey(2), ..LUNCH }, at(1)), None);
        assert_eq!(next.of(LUNCH, at(60)), Some(*b"ORDER\0\0\0"));
        assert_eq!(next.of(LUNCH, at(61)), None);
    }

    #[test]
    fn a_second_see_phone_for_another_amount_forgets_it() {
        let next = set();
        next.keep_for_second_tap(LUNCH, at(0));
        next.keep_for_second_tap(Payment { amount_minor: 1, ..LUNCH }, at(1));
        assert_eq!(next.of(LUNCH, at(2)), None);
    }

    #[test]
    fn lengths_out_of_range_change_nothing() {
        let next = set();
        assert!(next.set(b"").is_err());
        assert!(next.set(b"NINEBYTES").is_err());
        assert_eq!(next.of(LUNCH, at(0)), Some(*b"ORDER\0\0\0"));
    }
}
