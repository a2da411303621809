//! What single data objects of a terminal mean: numbers, limits, kinds of transaction, names.

use super::profile::Rules;
use super::tags;
use super::tlv::Tag;
pub(super) use crate::payment::RiskManagement;
use crate::payment::{TerminalCapabilities, TerminalInformation, TerminalType, TransactionKind, TransactionRange};

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

/// What the terminal says of itself. `find` gives what it sent for a tag.
pub(super) fn information<'a>(risk: RiskManagement, find: impl Fn(Tag) -> Option<&'a [u8]>) -> TerminalInformation {
    let terminal_type = find(tags::TERMINAL_TYPE).and_then(|bytes| bytes.first().copied());
    let capabilities = find(tags::TERMINAL_CAPABILITIES).and_then(|bytes| bytes.try_into().ok());
    TerminalInformation {
        terminal_type: terminal_type.map(TerminalType),
        capabilities: capabilities.map(TerminalCapabilities),
        risk_management: Some(risk).filter(|risk| risk.is_filled()),
    }
}

/// What a terminal has no reason to change between GET PROCESSING OPTIONS and GENERATE AC. Its
/// capabilities (9F33) and its unpredictable number may change: kernels adapt the former to the card
/// and draw the latter anew.
const SETTLED: [Tag; 9] = [
    tags::AMOUNT,
    tags::AMOUNT_OTHER,
    tags::COUNTRY,
    tags::CURRENCY,
    tags::DATE,
    tags::MERCHANT_CATEGORY,
    tags::RISK_MANAGEMENT,
    tags::TERMINAL_TYPE,
    tags::TRANSACTION_TYPE,
];

/// Did the terminal say one thing before the records and another with GENERATE AC?
pub(super) fn contradicts_itself<'a>(
    before: impl Fn(Tag) -> Option<&'a [u8]>,
    now: impl Fn(Tag) -> Option<&'a [u8]>,
) -> bool {
    SETTLED.into_iter().any(|tag| matches!((before(tag), now(tag)), (Some(before), Some(now)) if before != now))
}

pub(super) fn kind(code: u8, amount_minor: u64, merchant_category: Option<u16>, transit: &[u16]) -> TransactionKind {
    if code == 0x00 && amount_minor == 0 && merchant_category.is_some_and(|category| transit.contains(&category)) {
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
    if risk.exceeds_cvm_limit() {
        return TransactionRange::HighValue;
    }
    let limit = rules.cvm_limits.iter().find(|limit| limit.currency == currency);
    match limit.map_or(0, |limit| limit.amount_minor) {
        limit_minor if amount_minor > limit_minor => TransactionRange::HighValue,
        _ if limit.is_none() && !risk.is_filled() => TransactionRange::Unknown,
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
    fn a_terminal_that_sends_nothing_of_itself_is_unknown() {
        assert_eq!(information(RiskManagement::read(Some(&[0; 8])), |_| None), TerminalInformation::default());
    }

    #[test]
    fn what_the_terminal_says_of_itself_is_read_by_tag() {
        let find = |tag| match tag {
            tags::TERMINAL_TYPE => Some(&[0x22][..]),
            tags::TERMINAL_CAPABILITIES => Some(&[0xE0, 0x08, 0xC8][..]),
            _ => None,
        };
        let said = information(risk("4480000000000000"), find);
        assert_eq!(said.terminal_type, Some(TerminalType(0x22)));
        assert_eq!(said.capabilities, Some(TerminalCapabilities([0xE0, 0x08, 0xC8])));
        assert!(said.risk_management.is_some_and(RiskManagement::demands_cdcvm));
    }

    #[test]
    fn only_what_was_said_twice_can_contradict() {
        let said = |value: Option<&'static [u8]>, of: Tag| move |tag| value.filter(|_| tag == of);
        let contradicts = |of, before, now| contradicts_itself(said(before, of), said(now, of));
        for tag in SETTLED {
            assert!(contradicts(tag, Some(&[1]), Some(&[2])), "{tag}");
            assert!(!contradicts(tag, Some(&[1]), Some(&[1])), "{tag}");
            assert!(!contradicts(tag, None, Some(&[1])), "{tag}");
            assert!(!contradicts(tag, Some(&[1]), None), "{tag}");
        }
        assert!(!contradicts(tags::UNPREDICTABLE_NUMBER, Some(&[1]), Some(&[2])));
        assert!(!contradicts(tags::TERMINAL_CAPABILITIES, Some(&[1]), Some(&[2])));
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
        // The profile's list is the only one.
        assert_eq!(kind(0x00, 0, Some(4111), &[]), TransactionKind::Purchase);
        assert_eq!(kind(0x00, 0, Some(4789), &[4789]), TransactionKind::Transit);
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
