//! Dates as cards and certificates write them, and the month of a clock.

use super::terminal::numeric;

const DAY_MS: i64 = 86_400_000;

/// A month of the years 1950 to 2049: two digits of a year from 50 on mean the last century, as
/// terminals read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month {
    year: i64,
    month: i64,
}

impl Month {
    /// Month and year, two decimal digits each, as a certificate has them (EMV Book 2, 5.1).
    pub(super) fn of_certificate([month, year]: [u8; 2]) -> Option<Self> {
        Self::new(year, month)
    }

    /// The month (UTC) that `now_ms` milliseconds since 1970 fall in.
    pub(super) fn at(now_ms: i64) -> Self {
        // Counted from 1 March of year 0, so that the leap day is the last of its year.
        let shifted = now_ms.div_euclid(DAY_MS) + 719_468;
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let year = year + 400 * era;
        if month < 10 { Self { year, month: month + 3 } } else { Self { year: year + 1, month: month - 9 } }
    }

    pub(super) fn last_day(self) -> Date {
        Date { month: self, day: self.days() }
    }

    fn new(year: u8, month: u8) -> Option<Self> {
        let (year, month) = (two_digits(year)?, two_digits(month)?);
        let century = if year < 50 { 2000 } else { 1900 };
        (1..=12).contains(&month).then_some(Self { year: century + year, month })
    }

    fn days(self) -> i64 {
        match self.month {
            // The window holds no year that is divisible by 100 and no leap year.
            2 if self.year % 4 == 0 => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// A day, written `YYMMDD` in decimal digits (EMV Book 3, annex A: 5F24, 5F25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    month: Month,
    day: i64,
}

impl Date {
    /// Reads three bytes; `None` if they are no day of the calendar.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[year, month, day] = bytes else { return None };
        let (month, day) = (Month::new(year, month)?, two_digits(day)?);
        (1..=month.days()).contains(&day).then_some(Self { month, day })
    }

    pub(super) fn month(self) -> Month {
        self.month
    }
}

fn two_digits(byte: u8) -> Option<i64> {
    i64::try_from(numeric(&[byte])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        for good in [[0x24, 0x02, 0x29], [0x49, 0x12, 0x31], [0x00, 0x01, 0x01]] {
            assert!(Date::read(&good).is_some(), "{good:02X?}");
        }
        for bad in [[0x23, 0x02, 0x29], [0x24, 0x13, 0x01], [0x24, 0x00, 0x01], [0x24, 0x04, 0x31], [0x24, 0x01, 0x00]]
        {
            assert_eq!(Date::read(&bad), None, "{bad:02X?}");
        }
        assert_eq!(Date::read(&[0x2A, 0x01, 0x01]), None);
        assert_eq!(Date::read(&[0x24, 0x01]), None);
    }

    #[test]
    fn months_are_ordered_over_the_turn_of_the_century() {
        let month = |mmyy| Month::of_certificate(mmyy).unwrap();
        assert!(month([0x12, 0x99]) < month([0x01, 0x00]));
        assert!(month([0x12, 0x25]) < month([0x01, 0x26]));
        assert_eq!(Month::of_certificate([0x13, 0x26]), None);
    }

    #[test]
    fn a_clock_falls_in_its_month() {
        for (now_ms, mmyy) in [
            (0, [0x01, 0x70]),
            (951_868_799_999, [0x02, 0x00]),
            (951_868_800_000, [0x03, 0x00]),
            (1_798_761_599_999, [0x12, 0x26]),
            (1_798_761_600_000, [0x01, 0x27]),
        ] {
            assert_eq!(Some(Month::at(now_ms)), Month::of_certificate(mmyy), "{now_ms}");
        }
        // A clock that is off by ages is no reason to panic.
        assert!(Month::at(i64::MIN) < Month::at(i64::MAX));
    }
}
