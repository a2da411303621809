//! Where and for what a card may be used: tag 9F07 and the rules of the profile.

use std::collections::BTreeSet;

use super::profile::Rules;
use super::profile_error::ProfileError;
use crate::payment::{TerminalOperator, TerminalType, TransactionInformation, TransactionKind};

/// Automated cash disbursement: the merchant category of an ATM (ISO 18245).
const ATM: u16 = 6011;

/// Lists of merchant categories are looked through at each tap.
const MAX_TRANSIT_CATEGORIES: usize = 100;

/// Tag 9F07, application usage control (EMV Book 3, annex C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsageControl([u8; 2]);

impl UsageControl {
    /// Without a 9F07 a terminal does not look, and neither does the card.
    const EVERYTHING: Self = Self([0xFF, 0xC0]);

    /// Reads the value in the records.
    pub(super) fn read(value: Option<&[u8]>) -> Self {
        value.and_then(|value| value.try_into().ok()).map_or(Self::EVERYTHING, Self)
    }

    /// The card may be used for this transaction, as EMV Book 3, 10.4.2 has a terminal check it, and by
    /// the countries and currencies of the profile.
    ///
    /// The card cannot tell goods from services, and an ATM only if the terminal says its type or its
    /// merchant category; where it cannot tell, one of the two bits is enough.
    pub(super) fn allows(self, transaction: &TransactionInformation, rules: &Rules) -> bool {
        listed(rules.countries.as_deref(), transaction.terminal_country)
            && listed(rules.currencies.as_deref(), transaction.currency)
            && self.allows_place(transaction)
            && self.allows_kind(transaction, transaction.terminal_country == rules.issuer_country)
    }

    fn allows_place(self, transaction: &TransactionInformation) -> bool {
        // EMV Book 4, annex A1: unattended, and a bank's.
        let is_atm = |kind: TerminalType| {
            kind.operator() == Some(TerminalOperator::FinancialInstitution) && kind.is_attended() == Some(false)
        };
        match (transaction.merchant_category, transaction.terminal.terminal_type) {
            (Some(ATM), _) => self.has(0x02, 0),
            (_, Some(kind)) if is_atm(kind) => self.has(0x02, 0),
            (None, None) => self.has(0x03, 0),
            _ => self.has(0x01, 0),
        }
    }

    fn allows_kind(self, transaction: &TransactionInformation, domestic: bool) -> bool {
        // The bits of a pair: at home, abroad.
        let of = |home: u8, abroad: u8| if domestic { home } else { abroad };
        let cash = self.has(of(0x80, 0x40), 0);
        let goods_or_services = self.has(of(0x20 | 0x08, 0x10 | 0x04), 0);
        let cashback = self.has(0, of(0x80, 0x40));
        match transaction.kind {
            TransactionKind::Cash => cash,
            TransactionKind::PurchaseWithCashback => goods_or_services && cashback,
            _ => goods_or_services && (transaction.other_amount_minor == 0 || cashback),
        }
    }

    /// One of these bits is set.
    fn has(self, first: u8, second: u8) -> bool {
        let Self([one, two]) = self;
        one & first != 0 || two & second != 0
    }
}

fn listed(codes: Option<&[u16]>, code: u16) -> bool {
    codes.is_none_or(|codes| codes.contains(&code))
}

/// Checks the rules: codes in range, each once, and no list that allows nothing.
pub(super) fn check(rules: &Rules) -> Result<(), ProfileError> {
    // Numeric codes have three digits; a larger one is BCD read as binary.
    check_code("issuer_country", rules.issuer_country, 1, 999)?;
    let limits: Vec<u16> = rules.cvm_limits.iter().map(|limit| limit.currency).collect();
    check_codes("cvm_limits", &limits, 1, 999)?;
    for (field, codes) in [("countries", &rules.countries), ("currencies", &rules.currencies)] {
        let Some(codes) = codes else { continue };
        if codes.is_empty() {
            return Err(ProfileError::new(field, "is empty, so that the card could pay nowhere"));
        }
        check_codes(field, codes, 1, 999)?;
    }
    let transit = rules.transit_categories.len();
    if transit > MAX_TRANSIT_CATEGORIES {
        return Err(ProfileError::new(
            "transit_categories",
            format!("has length {transit}, limit 0 to {MAX_TRANSIT_CATEGORIES}"),
        ));
    }
    check_codes("transit_categories", &rules.transit_categories, 0, 9_999)
}

fn check_codes(field: &str, codes: &[u16], low: u16, high: u16) -> Result<(), ProfileError> {
    let mut seen = BTreeSet::new();
    for code in codes {
        check_code(field, *code, low, high)?;
        if !seen.insert(code) {
            return Err(ProfileError::new(field, format!("has {code} twice")));
        }
    }
    Ok(())
}

fn check_code(field: &str, code: u16, low: u16, high: u16) -> Result<(), ProfileError> {
    if (low..=high).contains(&code) {
        Ok(())
    } else {
        Err(ProfileError::new(field, format!("has {code}, limit {low} to {high}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::test_card;
    use crate::payment::TerminalInformation;

    const HOME: u16 = 826;
    const ABROAD: u16 = 276;

    fn rules() -> Rules {
        test_card::profile().rules
    }

    fn transaction(kind: TransactionKind, terminal_country: u16) -> TransactionInformation {
        TransactionInformation {
            kind,
            terminal_country,
            currency: 978,
            merchant_category: Some(5411),
            ..TransactionInformation::of(1_000)
        }
    }

    fn control(first: u8, second: u8) -> UsageControl {
        UsageControl::read(Some(&[first, second]))
    }

    #[test]
    fn each_bit_allows_its_own_use_and_no_other() {
        use TransactionKind::{Cash, Purchase, PurchaseWithCashback, Refund, Transit};
        // Anywhere but at ATMs, and this bit.
        for (first, kind, country) in [
            (0x80, Cash, HOME),
            (0x40, Cash, ABROAD),
            (0x20, Purchase, HOME),
            (0x10, Purchase, ABROAD),
            (0x08, Purchase, HOME),
            (0x04, Purchase, ABROAD),
            (0x20, Refund, HOME),
            (0x04, Transit, ABROAD),
        ] {
            for (other_kind, other_country) in [(Cash, HOME), (Cash, ABROAD), (Purchase, HOME), (Purchase, ABROAD)] {
                let same = (other_kind == Cash) == (kind == Cash) && other_country == country;
                let allowed = control(first | 0x01, 0).allows(&transaction(other_kind, other_country), &rules());
                assert_eq!(allowed, same, "{first:02X} {other_kind:?} {other_country}");
            }
            assert!(control(first | 0x01, 0).allows(&transaction(kind, country), &rules()));
        }
        let cashback = |first, second, country| {
            let transaction = transaction(PurchaseWithCashback, country);
            control(first, second).allows(&transaction, &rules())
        };
        assert!(cashback(0x21, 0x80, HOME) && cashback(0x11, 0x40, ABROAD));
        assert!(!cashback(0x21, 0x40, HOME) && !cashback(0x11, 0x80, ABROAD) && !cashback(0x01, 0xC0, HOME));
    }

    #[test]
    fn an_amount_of_cash_back_counts_under_any_kind() {
        let purchase = TransactionInformation { other_amount_minor: 1, ..transaction(TransactionKind::Purchase, HOME) };
        assert!(!control(0xFF, 0x40).allows(&purchase, &rules()));
        assert!(control(0xFF, 0x80).allows(&purchase, &rules()));
    }

    #[test]
    fn an_atm_is_known_by_its_merchant_category() {
        let at = |first, merchant_category| {
            let cash = TransactionInformation { merchant_category, ..transaction(TransactionKind::Cash, HOME) };
            control(first, 0).allows(&cash, &rules())
        };
        assert!(at(0x82, Some(6011)) && !at(0x82, Some(6010)) && at(0x82, None));
        assert!(!at(0x81, Some(6011)) && at(0x81, Some(6010)) && at(0x81, None));
        assert!(!at(0x80, None));
    }

    #[test]
    fn an_atm_is_known_by_its_type() {
        let at = |first, terminal_type| {
            let terminal =
                TerminalInformation { terminal_type: Some(TerminalType(terminal_type)), ..Default::default() };
            let cash = transaction(TransactionKind::Cash, HOME);
            control(first, 0).allows(&TransactionInformation { terminal, merchant_category: None, ..cash }, &rules())
        };
        // Unattended and a bank's; attended; a merchant's.
        assert!(at(0x82, 0x14) && !at(0x81, 0x14));
        assert!(!at(0x82, 0x11) && at(0x81, 0x11));
        assert!(!at(0x82, 0x25) && at(0x81, 0x25));
    }

    #[test]
    fn without_a_usage_control_only_the_lists_count() {
        let free = UsageControl::read(None);
        let purchase = transaction(TransactionKind::Purchase, ABROAD);
        assert!(free.allows(&purchase, &rules()));
        assert!(free.allows(&purchase, &Rules { countries: Some(vec![HOME, ABROAD]), ..rules() }));
        assert!(!free.allows(&purchase, &Rules { countries: Some(vec![HOME]), ..rules() }));
        assert!(free.allows(&purchase, &Rules { currencies: Some(vec![978]), ..rules() }));
        assert!(!free.allows(&purchase, &Rules { currencies: Some(vec![826, 840]), ..rules() }));
    }

    #[test]
    fn rules_out_of_range_are_named() {
        let error = |rules: Rules| check(&rules).unwrap_err().to_string();
        let countries = |codes: &[u16]| Rules { countries: Some(codes.to_vec()), ..rules() };
        let transit = |codes: Vec<u16>| Rules { transit_categories: codes, ..rules() };
        assert_eq!(error(Rules { issuer_country: 0x826, ..rules() }), "issuer_country: has 2086, limit 1 to 999");
        assert_eq!(error(countries(&[])), "countries: is empty, so that the card could pay nowhere");
        assert_eq!(error(countries(&[276, 0])), "countries: has 0, limit 1 to 999");
        assert_eq!(error(countries(&[276, 826, 276])), "countries: has 276 twice");
        assert_eq!(error(Rules { currencies: Some(vec![1000]), ..rules() }), "currencies: has 1000, limit 1 to 999");
        assert_eq!(error(transit(vec![10_000])), "transit_categories: has 10000, limit 0 to 9999");
        assert_eq!(error(transit((0..101).collect())), "transit_categories: has length 101, limit 0 to 100");
        assert!(check(&transit(vec![])).is_ok());
    }
}
