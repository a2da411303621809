//! The switches of the table.

use std::str::FromStr;

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

/// One switch of the table, turned. Read from `KEY=VALUE`, with the names of `docs/conversion.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `same_day=utc_plus8`, `utc` or `never`.
    SameDay(SameDay),
    /// `auth_expiry_days=7`
    AuthExpiryDays(u16),
    /// `over_capture=none` or `pay_difference`.
    OverCapture(OverCapture),
    /// `inquire_before_cancel=true` or `false`.
    InquireBeforeCancel(bool),
}

/// Why a text is no switch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// No such switch.
    #[error("take same_day, auth_expiry_days, over_capture or inquire_before_cancel, as KEY=VALUE")]
    Key,
    /// It cannot be turned that way.
    #[error("{key}: take {values}")]
    Value {
        /// Which switch.
        key: &'static str,
        /// What it takes.
        values: &'static str,
    },
}

impl FromStr for Switch {
    type Err = SwitchError;

    fn from_str(text: &str) -> Result<Self, SwitchError> {
        let (key, value) = text.split_once('=').ok_or(SwitchError::Key)?;
        let (key, values, switch) = match key {
            "same_day" => ("same_day", "utc_plus8, utc or never", same_day(value).map(Self::SameDay)),
            "auth_expiry_days" => {
                ("auth_expiry_days", "a number of days, 0 to 65535", value.parse().ok().map(Self::AuthExpiryDays))
            }
            "over_capture" => ("over_capture", "none or pay_difference", over_capture(value).map(Self::OverCapture)),
            "inquire_before_cancel" => {
                ("inquire_before_cancel", "true or false", value.parse().ok().map(Self::InquireBeforeCancel))
            }
            _ => return Err(SwitchError::Key),
        };
        switch.ok_or(SwitchError::Value { key, values })
    }
}

fn same_day(name: &str) -> Option<SameDay> {
    match name {
        "utc_plus8" => Some(SameDay::UtcPlus8),
        "utc" => Some(SameDay::Utc),
        "never" => Some(SameDay::Never),
        _ => None,
    }
}

fn over_capture(name: &str) -> Option<OverCapture> {
    match name {
        "none" => Some(OverCapture::None),
        "pay_difference" => Some(OverCapture::PayDifference),
        _ => None,
    }
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
    use crate::gateway::{GatewayConfig, TABLE};

    #[test]
    fn every_switch_of_the_table_can_be_turned_by_its_name() {
        for key in TABLE.iter().filter_map(|row| row.switch) {
            let wrong = format!("{key}=?").parse::<Switch>();
            assert!(matches!(wrong, Err(SwitchError::Value { key: named, .. }) if named == key), "{key}: {wrong:?}");
        }
        for text in ["same_days=utc", "same_day", ""] {
            assert_eq!(text.parse::<Switch>(), Err(SwitchError::Key), "{text}");
        }
        let mut config = GatewayConfig::default();
        for text in
            ["same_day=never", "auth_expiry_days=3", "over_capture=pay_difference", "inquire_before_cancel=false"]
        {
            config.turn(text.parse().unwrap());
        }
        let turned = ConversionConfig {
            same_day: SameDay::Never,
            auth_expiry_days: 3,
            over_capture: OverCapture::PayDifference,
        };
        assert_eq!((config.conversion, config.inquire_before_cancel), (turned, false));
        for (text, switch) in [
            ("same_day=utc", Switch::SameDay(SameDay::Utc)),
            ("same_day=utc_plus8", Switch::SameDay(SameDay::UtcPlus8)),
            ("over_capture=none", Switch::OverCapture(OverCapture::None)),
        ] {
            assert_eq!(text.parse(), Ok(switch), "{text}");
        }
    }

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
