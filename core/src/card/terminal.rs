//! What single data objects of a terminal mean: numbers, limits, kinds of transaction, names.

use super::profile::Rules;
use crate::payment::{TransactionKind, TransactionRange};

/// Binary coded decimal, two digits a byte (format n); at most 9 bytes.
pub(super) fn numeric(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, byte| match (byte >> 4, byte & 0x0F) {
        (tens @ 0..=9, ones @ 0..=9) => Some(number * 100 + u64::from(tens * 10 + ones)),
        _ => None,
    })
}

/// Tag 9F1D, terminal risk management data.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct RiskManagement {
    /// The terminal filled it in; all zeros means that it did not.
    filled: bool,
    /// Byte 1 bit 3: the terminal knows CDCVM.
    knows_cdcvm: bool,
    /// Byte 2 bit 8: above the terminal's limit.
    limit_exceeded: bool,
}

impl RiskManagement {
    pub(super) fn read(value: Option<&[u8]>) -> Self {
        let Some(value @ &[first, second, ..]) = value else { return Self::default() };
        Self {
            filled: value.iter().any(|byte| *byte != 0),
            knows_cdcvm: first & 0x04 != 0,
            limit_exceeded: second & 0x80 != 0,
        }
    }

    pub(super) fn demands_cdcvm(self) -> bool {
        self.knows_cdcvm && self.limit_exceeded
    }
}

pub(super) fn kind(code: u8, amount_minor: u64, merchant_category: Option<u16>, transit: &[u16]) -> TransactionKind {
    if amount_minor == 0 && merchant_category.is_some_and(|category| transit.contains(&category)) {
        return TransactionKind::Transit;
    }
    match code {
        0x00 => TransactionKind::Purchase,
        0x01 => TransactionKind::Cash,
        0x09 => TransactionKind::PurchaseWithCashback,
        0x20 => TransactionKind::Refund,
        other => TransactionKind::Other(other),
    }
}

/// The terminal's word that its limit is exceeded settles it; otherwise the profile's limit does. A
/// currency without a limit is high value from 0.01 on.
pub(super) fn range(risk: &RiskManagement, rules: &Rules, currency: u16, amount_minor: u64) -> TransactionRange {
    if risk.limit_exceeded {
        return TransactionRange::HighValue;
    }
    let limit = rules.cvm_limits.iter().find(|limit| limit.currency == currency);
    match limit.map_or(0, |limit| limit.amount_minor) {
        limit_minor if amount_minor > limit_minor => TransactionRange::HighValue,
        _ if limit.is_none() && !risk.filled => TransactionRange::Unknown,
        _ => TransactionRange::LowValue,
    }
}

/// Printable ASCII without the padding; anything else is not fit for a screen.
pub(super) fn printable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\0']);
    let fit = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    fit.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::card::profile::{CvmLimit, transit_categories};

    fn rules() -> Rules {
        Rules {
            issuer_country: 826,
            cvm_limits: vec![CvmLimit { currency: 826, amount_minor: 10_000 }],
            always_cdcvm: false,
            countries: None,
            currencies: None,
            transit_categories: transit_categories(),
        }
    }

    fn risk(hex_text: &str) -> RiskManagement {
        RiskManagement::read(Some(&hex::decode(hex_text).unwrap()))
    }

    #[test]
    fn only_decimal_digits_are_a_number() {
        assert_eq!(numeric(&[0x00, 0x12, 0x34]), Some(1234));
        assert_eq!(numeric(&[0x99; 6]), Some(999_999_999_999));
        assert_eq!(numeric(&[0x1A]), None);
        assert_eq!(numeric(&[0xA1]), None);
        assert_eq!(numeric(&[0x99; 10]), None);
    }

    #[test]
    fn the_terminals_limit_comes_before_the_profiles() {
        let exceeded = risk("4480000000000000");
        let below = risk("4400000000000000");
        assert_eq!(range(&exceeded, &rules(), 826, 1), TransactionRange::HighValue);
        assert_eq!(range(&below, &rules(), 826, 10_000), TransactionRange::LowValue);
        assert_eq!(range(&below, &rules(), 826, 10_001), TransactionRange::HighValue);
    }

    #[test]
    fn a_currency_without_a_limit_is_high_value_from_one_minor_unit_on() {
        let silent = risk("0000000000000000");
        assert_eq!(range(&silent, &rules(), 978, 1), TransactionRange::HighValue);
        assert_eq!(range(&silent, &rules(), 978, 0), TransactionRange::Unknown);
        assert_eq!(range(&risk("4400000000000000"), &rules(), 978, 0), TransactionRange::LowValue);
    }

    #[test]
    fn cdcvm_is_demanded_by_a_terminal_that_knows_it_and_is_above_its_limit() {
        assert!(risk("4480000000000000").demands_cdcvm());
        assert!(!risk("4080000000000000").demands_cdcvm());
        assert!(!risk("4400000000000000").demands_cdcvm());
        assert!(!RiskManagement::read(None).demands_cdcvm());
    }

    #[test]
    fn transit_is_amount_zero_at_a_transport_merchant() {
        let transit = transit_categories();
        assert_eq!(kind(0x00, 0, Some(4111), &transit), TransactionKind::Transit);
        assert_eq!(kind(0x00, 1, Some(4111), &transit), TransactionKind::Purchase);
        assert_eq!(kind(0x00, 0, Some(5411), &transit), TransactionKind::Purchase);
        assert_eq!(kind(0x00, 0, None, &transit), TransactionKind::Purchase);
        assert_eq!(kind(0x20, 5, None, &transit), TransactionKind::Refund);
        assert_eq!(kind(0x77, 5, None, &transit), TransactionKind::Other(0x77));
    }

    #[test]
    fn a_merchant_name_is_shown_only_if_it_is_printable() {
        assert_eq!(printable(b"Coffee Bar  \0\0").as_deref(), Some("Coffee Bar"));
        assert_eq!(printable(b"\x1b[31m"), None);
        assert_eq!(printable(&[0xC3, 0xA9]), None);
        assert_eq!(printable(&[0; 20]), None);
    }

    proptest! {
        #[test]
        fn every_number_is_read_from_its_digits(number in 0u64..1_000_000_000_000_000_000, width in 1usize..=9) {
            let number = number % 100u64.pow(width as u32);
            let digits = hex::decode(format!("{number:0places$}", places = 2 * width)).unwrap();
            prop_assert_eq!(numeric(&digits), Some(number));
        }

        #[test]
        fn bytes_are_a_number_if_all_their_digits_are_decimal(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let decimal = hex::encode(&bytes).bytes().all(|digit| digit.is_ascii_digit());
            prop_assert_eq!(numeric(&bytes).is_some(), decimal && bytes.len() <= 9);
        }
    }
}
