//! The business calendar: days begin at 00:00 UTC+8 (fact sheet, sections 10 and 11).
//!
//! Times are milliseconds after 1970 began in UTC. Every time is passed in; nothing here reads a clock.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::wire::DateTime;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A day of the business calendar, counted from 1970-01-01. Shown as `2025-02-20`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDay(i64);

impl BusinessDay {
    /// `days` later.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.saturating_add(days.into()))
    }

    /// As folders and files are named: `20250220`.
    #[must_use]
    pub fn compact(self) -> String {
        self.to_string().replace('-', "")
    }
}

impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_ms(self.0.saturating_mul(DAY_MS)) {
            Some(time) => write!(f, "{}", time.civil().date()),
            None => write!(f, "day {}", self.0),
        }
    }
}

/// Days, cut-offs and windows. The defaults are those of a wallet.
///
/// ```
/// use alipayplus::business_time::BusinessCalendar;
/// use alipayplus::wire::DateTime;
///
/// let at = |text: &str| text.parse::<DateTime>().unwrap().ms();
/// let calendar = BusinessCalendar::MPP;
/// let paid = at("2025-02-20T23:59:59+08:00");
/// assert_eq!(calendar.day_of(paid).to_string(), "2025-02-20");
/// assert!(calendar.may_cancel(paid, at("2025-02-21T00:29:59+08:00")));
/// assert!(!calendar.may_cancel(paid, at("2025-02-21T00:30:00+08:00")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusinessCalendar {
    /// How much later than in UTC a day's clock is: 8 hours.
    pub offset_ms: i64,
    /// When on its clock a business day begins: 0, midnight.
    pub cut_off_ms: i64,
    /// How long after its business day a payment can still be cancelled: 30 minutes for a wallet (docs:
    /// integration_auto_debit_mpp/cancel_payment), 15 for an acquirer (docs:
    /// integration_cashier_acq/cancel_payment).
    pub cancel_grace_ms: i64,
    /// On how many days after its own a payment can be refunded: 366 for a wallet (docs:
    /// integration_auto_debit_mpp/refund), 365 for an acquirer (docs: api_acq/refund).
    pub refund_days: u32,
    /// How long after its end a day's clearing files are there: 8 hours (docs: reconcile_mpp/trans_detail).
    pub clearing_files_ms: i64,
}

impl Default for BusinessCalendar {
    fn default() -> Self {
        Self::MPP
    }
}

impl BusinessCalendar {
    /// What a wallet must grant.
    pub const MPP: Self = Self {
        offset_ms: 8 * HOUR_MS,
        cut_off_ms: 0,
        cancel_grace_ms: 30 * MINUTE_MS,
        refund_days: 366,
        clearing_files_ms: 8 * HOUR_MS,
    };

    /// What an acquirer may use.
    pub const ACQUIRER: Self = Self { cancel_grace_ms: 15 * MINUTE_MS, refund_days: 365, ..Self::MPP };

    /// The business day of an instant.
    #[must_use]
    pub fn day_of(&self, at_ms: i64) -> BusinessDay {
        BusinessDay(at_ms.saturating_add(self.offset_ms).saturating_sub(self.cut_off_ms).div_euclid(DAY_MS))
    }

    /// The first millisecond of a day.
    #[must_use]
    pub fn start_of(&self, day: BusinessDay) -> i64 {
        day.0.saturating_mul(DAY_MS).saturating_add(self.cut_off_ms).saturating_sub(self.offset_ms)
    }

    /// Both are on one business day.
    #[must_use]
    pub fn is_same_day(&self, one_ms: i64, other_ms: i64) -> bool {
        self.day_of(one_ms) == self.day_of(other_ms)
    }

    /// The first millisecond at which a payment begun at `begun_ms` cannot be cancelled any more.
    #[must_use]
    pub fn cancel_ends(&self, begun_ms: i64) -> i64 {
        self.start_of(self.day_of(begun_ms).plus(1)).saturating_add(self.cancel_grace_ms)
    }

    /// A payment begun at `begun_ms` can be cancelled at `now_ms`.
    #[must_use]
    pub fn may_cancel(&self, begun_ms: i64, now_ms: i64) -> bool {
        now_ms < self.cancel_ends(begun_ms)
    }

    /// The first millisecond at which a payment made at `paid_ms` cannot be refunded any more: the end of the
    /// last of its days. That whole days count is our choice; a page only gives their number.
    #[must_use]
    pub fn refund_ends(&self, paid_ms: i64) -> i64 {
        self.start_of(self.day_of(paid_ms).plus(self.refund_days.saturating_add(1)))
    }

    /// A payment made at `paid_ms` can be refunded at `now_ms`.
    #[must_use]
    pub fn may_refund(&self, paid_ms: i64, now_ms: i64) -> bool {
        now_ms < self.refund_ends(paid_ms)
    }

    /// The instants whose transactions a day's clearing files hold.
    #[must_use]
    pub fn clearing_cycle(&self, day: BusinessDay) -> Range<i64> {
        self.start_of(day)..self.start_of(day.plus(1))
    }

    /// When a day's clearing files are there: 08:00 of the next.
    #[must_use]
    pub fn clearing_files_at(&self, day: BusinessDay) -> i64 {
        self.start_of(day.plus(1)).saturating_add(self.clearing_files_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MPP: BusinessCalendar = BusinessCalendar::MPP;

    fn at(text: &str) -> i64 {
        text.parse::<DateTime>().unwrap().ms()
    }

    #[test]
    fn a_day_changes_at_midnight_in_utc_8() {
        assert_eq!(MPP.day_of(at("2025-02-20T15:59:59.999Z")).to_string(), "2025-02-20");
        assert_eq!(MPP.day_of(at("2025-02-20T16:00:00Z")).to_string(), "2025-02-21");
        assert_eq!(MPP.day_of(at("2025-02-20T16:00:00Z")).compact(), "20250221");
        assert_eq!(MPP.day_of(at("1969-12-31T15:59:59Z")).to_string(), "1969-12-31");
        assert!(!MPP.is_same_day(at("2025-02-20T15:59:59.999Z"), at("2025-02-20T16:00:00Z")));
    }

    #[test]
    fn a_wallet_cancels_until_half_past_midnight() {
        for begun in ["2025-02-20T00:00:00+08:00", "2025-02-20T23:59:59.999+08:00"] {
            assert!(MPP.may_cancel(at(begun), at("2025-02-21T00:29:59+08:00")));
            assert!(MPP.may_cancel(at(begun), at("2025-02-21T00:29:59.999+08:00")));
            assert!(!MPP.may_cancel(at(begun), at("2025-02-21T00:30:00+08:00")));
        }
        let next = at("2025-02-21T00:00:00+08:00");
        assert!(MPP.may_cancel(next, at("2025-02-22T00:29:59+08:00")));
    }

    #[test]
    fn an_acquirer_cancels_until_a_quarter_past_midnight() {
        let begun = at("2025-02-20T12:00:00+08:00");
        assert!(BusinessCalendar::ACQUIRER.may_cancel(begun, at("2025-02-21T00:14:59.999+08:00")));
        assert!(!BusinessCalendar::ACQUIRER.may_cancel(begun, at("2025-02-21T00:15:00+08:00")));
    }

    #[test]
    fn a_wallet_refunds_on_366_days_after_the_payment() {
        // 2025 has 365 days, so 366 days after 20 February is 21 February.
        let paid = at("2025-02-20T23:59:59.999+08:00");
        assert!(MPP.may_refund(paid, paid + 366 * DAY_MS));
        assert!(MPP.may_refund(paid, at("2026-02-21T23:59:59.999+08:00")));
        assert!(!MPP.may_refund(paid, at("2026-02-22T00:00:00+08:00")));
        assert!(!BusinessCalendar::ACQUIRER.may_refund(paid, at("2026-02-21T00:00:00+08:00")));
    }

    #[test]
    fn clearing_files_hold_one_day_and_come_at_eight_the_next() {
        let day = MPP.day_of(at("2025-02-20T12:00:00+08:00"));
        let cycle = MPP.clearing_cycle(day);
        assert_eq!(cycle, at("2025-02-20T00:00:00+08:00")..at("2025-02-21T00:00:00+08:00"));
        assert_eq!(MPP.clearing_files_at(day), at("2025-02-21T08:00:00+08:00"));
    }

    #[test]
    fn another_cut_off_moves_the_day_and_its_windows() {
        let calendar = BusinessCalendar { cut_off_ms: 2 * HOUR_MS, ..MPP };
        let begun = at("2025-02-21T01:59:59+08:00");
        assert_eq!(calendar.day_of(begun).to_string(), "2025-02-20");
        assert_eq!(calendar.cancel_ends(begun), at("2025-02-21T02:30:00+08:00"));
    }

    proptest! {
        #[test]
        fn every_instant_is_in_the_cycle_of_its_day(at_ms in -1_000_000 * DAY_MS..1_000_000 * DAY_MS) {
            prop_assert!(MPP.clearing_cycle(MPP.day_of(at_ms)).contains(&at_ms));
        }

        #[test]
        fn no_time_panics(begun: i64, now: i64) {
            let _ = (MPP.may_cancel(begun, now), MPP.may_refund(begun, now), MPP.day_of(now).to_string());
        }
    }
}
