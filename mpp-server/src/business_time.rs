//! The business day of the Open API: from 00:00 to 00:00 in UTC+8.

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const OFFSET_MS: i64 = 8 * 60 * 60 * 1000;

/// The business day of a moment, in days since 1970-01-01.
pub(crate) fn business_day(at_ms: i64) -> i64 {
    at_ms.saturating_add(OFFSET_MS).div_euclid(DAY_MS)
}

/// The moment `after_ms` after the end of the business day of `at_ms`.
pub(crate) fn after_business_day(at_ms: i64, after_ms: i64) -> i64 {
    (business_day(at_ms).saturating_add(1)).saturating_mul(DAY_MS).saturating_sub(OFFSET_MS).saturating_add(after_ms)
}
