//! The switches of the table.

use alipayplus::business_time::BusinessCalendar;

/// The switches of the conversion, each with its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionConfig {
    /// `same_day`: until when a whole reversal is a cancel. Default: the calendar day of the authorisation
    /// in UTC+8 (inferred from the day's cut-off).
    pub same_day: SameDay,
    /// `auth_expiry_days`: after how many days an authorisation that nobody cleared expires without a word
    /// of the scheme. Default 7 (our choice).
    pub auth_expiry_days: u16,
    /// `over_capture`: what happens when more is cleared than is held. Default [`OverCapture::None`] (our
    /// choice).
    pub over_capture: OverCapture,
}

impl Default for ConversionConfig {
    fn default() -> Self {
        Self { same_day: SameDay::UtcPlus8, auth_expiry_days: 7, over_capture: OverCapture::None }
    }
}

/// The day on which a reversal is a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameDay {
    /// The calendar day of the authorisation in UTC+8; a new one begins at 00:00.
    UtcPlus8,
    /// The calendar day in UTC.
    Utc,
    /// Never: every reversal of a successful payment is a refund.
    Never,
}

/// What happens when more is cleared than is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverCapture {
    /// No call. The books carry the difference as a shortfall.
    None,
    /// A `pay` of its own over the difference.
    PayDifference,
}

const DAY_MS: i64 = 86_400_000;

impl SameDay {
    /// Whether both times, in milliseconds since 1970, are on one day.
    #[must_use]
    pub fn holds(self, one_ms: i64, other_ms: i64) -> bool {
        let calendar = match self {
            Self::Never => return false,
            Self::Utc => BusinessCalendar { offset_ms: 0, ..BusinessCalendar::ACQUIRER },
            Self::UtcPlus8 => BusinessCalendar::ACQUIRER,
        };
        calendar.is_same_day(one_ms, other_ms)
    }
}

impl ConversionConfig {
    /// When an authorisation of `authorised_at_ms` expires by itself.
    #[must_use]
    pub fn expires_at_ms(&self, authorised_at_ms: i64) -> i64 {
        authorised_at_ms.saturating_add(i64::from(self.auth_expiry_days) * DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_day_ends_at_sixteen_hundred_utc() {
        let noon = 1_800_000_000_000_i64.div_euclid(DAY_MS) * DAY_MS + 12 * HOUR_MS;
        let cut_off = noon + 4 * HOUR_MS;
        assert!(SameDay::UtcPlus8.holds(noon, cut_off - 1));
        assert!(!SameDay::UtcPlus8.holds(noon, cut_off));
        assert!(SameDay::Utc.holds(noon, cut_off));
        assert!(!SameDay::Never.holds(noon, noon));
    }
}
