//! What a terminal says of itself.

use serde::{Deserialize, Serialize};

/// A terminal, as far as the card's lists ask for it and the terminal fills it in. None of it is
/// signed: it is fit for a screen, a rule that asks for more, or statistics, never for a proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TerminalInformation {
    /// Tag 9F35.
    pub terminal_type: Option<TerminalType>,
    /// Tag 9F33.
    pub capabilities: Option<TerminalCapabilities>,
    /// Tag 9F1D. `None` also if all its bytes are zero: then the terminal did not fill it in.
    pub risk_management: Option<RiskManagement>,
}

/// Tag 9F35 (EMV Book 4, annex A1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TerminalType(pub u8);

/// Who operates a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalOperator {
    /// For example a cash machine.
    FinancialInstitution,
    /// A shop, a gate, a vending machine.
    Merchant,
    /// The cardholder's own.
    Cardholder,
}

impl TerminalType {
    /// Who operates it; `None` for a code that EMV does not assign.
    #[must_use]
    pub fn operator(self) -> Option<TerminalOperator> {
        match self.0 >> 4 {
            1 => Some(TerminalOperator::FinancialInstitution),
            2 => Some(TerminalOperator::Merchant),
            3 => Some(TerminalOperator::Cardholder),
            _ => None,
        }
    }

    /// Somebody stands beside it; `None` for a code that EMV does not assign.
    #[must_use]
    pub fn is_attended(self) -> Option<bool> {
        match self.0 & 0x0F {
            1..=3 => Some(true),
            4..=6 => Some(false),
            _ => None,
        }
    }

    /// It can go online; `None` for a code that EMV does not assign.
    #[must_use]
    pub fn goes_online(self) -> Option<bool> {
        match self.0 & 0x0F {
            1 | 2 | 4 | 5 => Some(true),
            3 | 6 => Some(false),
            _ => None,
        }
    }
}

/// Tag 9F33 (EMV Book 4, annex A2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TerminalCapabilities(pub [u8; 3]);

impl TerminalCapabilities {
    /// Byte 2 bit 7: enciphered PIN, verified online.
    #[must_use]
    pub fn supports_online_pin(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// Byte 2 bit 6: signature on paper.
    #[must_use]
    pub fn supports_signature(self) -> bool {
        self.0[1] & 0x20 != 0
    }

    /// Byte 2 bit 4: no verification of the cardholder.
    #[must_use]
    pub fn supports_no_cvm(self) -> bool {
        self.0[1] & 0x08 != 0
    }

    /// Byte 3 bit 4: CDA.
    #[must_use]
    pub fn supports_cda(self) -> bool {
        self.0[2] & 0x08 != 0
    }
}

/// Tag 9F1D, terminal risk management data, of a contactless reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RiskManagement(pub [u8; 8]);

impl RiskManagement {
    /// Reads the value; missing or shorter bytes count as zero.
    pub(crate) fn read(value: Option<&[u8]>) -> Self {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(value.unwrap_or_default()).for_each(|(byte, sent)| *byte = *sent);
        Self(bytes)
    }

    /// The terminal filled it in: not all zero.
    #[must_use]
    pub fn is_filled(self) -> bool {
        self.0 != [0; 8]
    }

    /// Byte 1 bit 8: the reader can start again by itself after "see phone". Without it somebody has
    /// to start the payment anew at the till before the second tap.
    #[must_use]
    pub fn supports_restart(self) -> bool {
        self.0[0] & 0x80 != 0
    }

    /// Byte 1 bit 3: the reader knows CDCVM.
    #[must_use]
    pub fn supports_cdcvm(self) -> bool {
        self.0[0] & 0x04 != 0
    }

    /// Byte 2 bit 8: the amount is above the reader's CVM limit.
    #[must_use]
    pub fn exceeds_cvm_limit(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// Byte 3 bit 8 is clear: the reader also knows mag-stripe mode.
    #[must_use]
    pub fn supports_mag_stripe(self) -> bool {
        self.0[2] & 0x80 == 0
    }

    /// Byte 4 bit 8: the terminal asks to do without CDCVM.
    #[must_use]
    pub fn asks_to_bypass_cdcvm(self) -> bool {
        self.0[3] & 0x80 != 0
    }

    /// Byte 4 bit 7: exempt from strong customer authentication, as fares are.
    #[must_use]
    pub fn is_sca_exempt(self) -> bool {
        self.0[3] & 0x40 != 0
    }

    /// The terminal wants CDCVM for this amount.
    #[must_use]
    pub fn demands_cdcvm(self) -> bool {
        self.supports_cdcvm() && self.exceeds_cvm_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminals_type_says_who_where_and_how() {
        let shop = TerminalType(0x22);
        assert_eq!(shop.operator(), Some(TerminalOperator::Merchant));
        assert_eq!((shop.is_attended(), shop.goes_online()), (Some(true), Some(true)));
        let cash_machine = TerminalType(0x14);
        assert_eq!(cash_machine.operator(), Some(TerminalOperator::FinancialInstitution));
        assert_eq!((cash_machine.is_attended(), cash_machine.goes_online()), (Some(false), Some(true)));
        let kiosk = TerminalType(0x26);
        assert_eq!((kiosk.is_attended(), kiosk.goes_online()), (Some(false), Some(false)));
        let nobody = TerminalType(0x07);
        assert_eq!((nobody.operator(), nobody.is_attended(), nobody.goes_online()), (None, None, None));
    }

    #[test]
    fn capabilities_are_read_by_bit() {
        let online_pin = TerminalCapabilities([0xE0, 0x40, 0xC8]);
        assert!(online_pin.supports_online_pin() && online_pin.supports_cda());
        assert!(!online_pin.supports_signature() && !online_pin.supports_no_cvm());
        let signature = TerminalCapabilities([0xE0, 0x28, 0x00]);
        assert!(signature.supports_signature() && signature.supports_no_cvm() && !signature.supports_cda());
    }

    #[test]
    fn cdcvm_is_demanded_by_a_terminal_that_knows_it_and_is_above_its_limit() {
        let demands = |first, second| RiskManagement([first, second, 0, 0, 0, 0, 0, 0]).demands_cdcvm();
        assert!(demands(0x44, 0x80));
        assert!(!demands(0x40, 0x80));
        assert!(!demands(0x44, 0x00));
        assert!(!RiskManagement::read(None).demands_cdcvm());
    }

    #[test]
    fn each_bit_of_the_risk_data_has_its_own_meaning() {
        let gate = RiskManagement([0x84, 0, 0x80, 0xC0, 0, 0, 0, 0]);
        assert!(gate.supports_restart() && gate.asks_to_bypass_cdcvm() && gate.is_sca_exempt());
        assert!(!gate.supports_mag_stripe() && !gate.exceeds_cvm_limit());
        assert!(gate.is_filled());
        assert!(!RiskManagement::read(Some(&[0; 8])).is_filled());
        // Nothing beyond the eight bytes is looked at, and nothing is missed in fewer.
        assert_eq!(RiskManagement::read(Some(&[0x04; 9])), RiskManagement([0x04; 8]));
        assert_eq!(RiskManagement::read(Some(&[0x04, 0x80])).0, [0x04, 0x80, 0, 0, 0, 0, 0, 0]);
    }
}
