//! Points in time on the wire.

use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, civil};

/// A point in time, to the millisecond. Written in UTC, as `2025-02-20T08:51:49Z` or
/// `2025-02-20T08:51:49.090Z`; any ISO 8601 time with a year of four digits and a zone is read. What is
/// finer is cut off. What only its zone puts outside the years 0 to 9999 of UTC counts as the first or the
/// last millisecond of them: nothing else could be written.
///
/// ```
/// use alipayplus::wire::DateTime;
///
/// let time: DateTime = "2019-04-04T12:08:56+05:30".parse().unwrap();
/// assert_eq!(time.to_string(), "2019-04-04T06:38:56Z");
/// assert_eq!(time.ms(), 1_554_359_936_000);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    ms: i64,
}

impl DateTime {
    /// When the year 0 began: years before it cannot be written with four digits.
    const MIN_MS: i64 = -62_167_219_200_000;
    /// The last millisecond of the year 9999.
    const MAX_MS: i64 = 253_402_300_799_999;

    /// `ms` milliseconds after 1970 began in UTC; `None` outside the years 0 to 9999.
    #[must_use]
    pub fn from_ms(ms: i64) -> Option<Self> {
        (Self::MIN_MS..=Self::MAX_MS).contains(&ms).then_some(Self { ms })
    }

    /// Milliseconds after 1970 began in UTC.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.ms
    }

    /// Date and time of day in UTC. A `Timestamp` would not do: those end a day before this calendar.
    pub(crate) fn civil(self) -> civil::DateTime {
        EPOCH.saturating_add(SignedDuration::from_millis(self.ms))
    }
}

/// When 1970 began.
pub(crate) const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl FromStr for DateTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let parts = Pieces::parse(text).map_err(|_| NotATime)?;
        let (date, time) = (parts.date(), parts.time().ok_or(NotATime)?);
        let zone = parts.to_numeric_offset().ok_or(NotATime)?;
        if date.year() < 0 {
            return Err(NotATime);
        }
        let local = date.to_datetime(time).duration_since(EPOCH);
        // Cut towards the past, so that a time before 1970 does not become a later one.
        let ms = local.as_nanos().div_euclid(1_000_000) - i128::from(zone.seconds()) * 1000;
        let ms = i64::try_from(ms).map_err(|_| NotATime)?;
        Ok(Self { ms: ms.clamp(Self::MIN_MS, Self::MAX_MS) })
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms.rem_euclid(1000) {
            0 => write!(f, "{:.0}Z", self.civil()),
            _ => write!(f, "{:.3}Z", self.civil()),
        }
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no point in time: not ISO 8601, without a zone, or with a year of more than four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time in ISO 8601 with a year of four digits and a zone")]
pub struct NotATime;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_sample_are_read() {
        for (text, ms) in [
            ("2025-02-20T08:51:49Z", 1_740_041_509_000),
            ("2025-02-20T08:51:49.09Z", 1_740_041_509_090),
            ("2025-02-20T08:51:49.0909999Z", 1_740_041_509_090),
            ("2025-02-20T08:51:49+00:00", 1_740_041_509_000),
            ("2025-02-20T16:51:49+08:00", 1_740_041_509_000),
            ("2025-02-20T16:51:49+0800", 1_740_041_509_000),
            ("1969-12-31T23:59:59.9999Z", -1),
        ] {
            assert_eq!(text.parse::<DateTime>().map(DateTime::ms), Ok(ms), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused() {
        for text in ["2025-02-20T08:51:49", "2025-02-20", "1740041509000", "", "2025-02-30T00:00:00Z"] {
            assert_eq!(text.parse::<DateTime>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_year_has_four_digits() {
        assert_eq!(DateTime::from_ms(-62_167_219_200_000).unwrap().to_string(), "0000-01-01T00:00:00Z");
        for ms in [-62_167_219_200_001, i64::MIN, i64::MAX, 253_402_300_800_000] {
            assert_eq!(DateTime::from_ms(ms), None);
        }
        for text in ["-000001-12-31T00:00:00Z", "+010000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"] {
            assert_eq!(text.parse::<DateTime>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_time_of_any_year_of_four_digits_is_read() {
        let read = |text: &str| text.parse::<DateTime>().unwrap();
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z", "9999-12-30T22:00:01Z", "0000-01-01T00:00:00Z"]
        {
            assert_eq!(read(text).to_string(), text);
        }
        assert_eq!(read("9999-12-31T23:59:59.9999+08:00").to_string(), "9999-12-31T15:59:59.999Z");
        // Somebody's end of all days, somewhere else.
        assert_eq!(read("9999-12-31T23:59:59-05:00").to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(read("0000-01-01T00:00:00+08:00").to_string(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn a_time_is_written_in_utc_with_a_fraction_only_where_there_is_one() {
        let written = |ms| DateTime::from_ms(ms).unwrap().to_string();
        assert_eq!(written(1_740_041_509_000), "2025-02-20T08:51:49Z");
        assert_eq!(written(1_740_041_509_090), "2025-02-20T08:51:49.090Z");
        assert_eq!(written(-1), "1969-12-31T23:59:59.999Z");
    }
}
