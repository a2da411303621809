//! What a terminal says of itself.

use nfcwallet_core::payment as core;

/// A terminal, as far as the card's lists ask for it and the terminal fills it in. None of it is signed: it
/// is fit for a screen, a rule that asks for more, or statistics, never for a proof.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TerminalInformation {
    /// Tag 9F35.
    pub terminal_type: Option<TerminalType>,
    /// Tag 9F33.
    pub capabilities: Option<TerminalCapabilities>,
    /// Tag 9F1D. Absent also if all its bytes are zero: then the terminal did not fill it in.
    pub risk_management: Option<RiskManagement>,
}

/// Tag 9F35 (EMV Book 4, annex A1). What EMV does not assign is absent.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TerminalType {
    /// As it came.
    pub code: u8,
    /// Who operates it.
    pub operator_kind: Option<TerminalOperator>,
    /// Somebody stands beside it.
    pub is_attended: Option<bool>,
    /// It can go online.
    pub goes_online: Option<bool>,
}

/// Who operates a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum TerminalOperator {
    /// For example a cash machine.
    FinancialInstitution,
    /// A shop, a gate, a vending machine.
    Merchant,
    /// The cardholder's own.
    Cardholder,
}

/// Tag 9F33 (EMV Book 4, annex A2).
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TerminalCapabilities {
    /// As they came: 3 bytes.
    pub bytes: Vec<u8>,
    /// Byte 2 bit 7: enciphered PIN, verified online.
    pub supports_online_pin: bool,
    /// Byte 2 bit 6: signature on paper.
    pub supports_signature: bool,
    /// Byte 2 bit 4: no verification of the cardholder.
    pub supports_no_cvm: bool,
    /// Byte 3 bit 4: CDA.
    pub supports_cda: bool,
}

/// Tag 9F1D, terminal risk management data, of a contactless reader.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RiskManagement {
    /// As they came: 8 bytes.
    pub bytes: Vec<u8>,
    /// Byte 1 bit 8: the reader can start again by itself after "see phone". Without it somebody has to
    /// start the payment anew at the till before the second tap.
    pub supports_restart: bool,
    /// Byte 1 bit 3: the reader knows CDCVM.
    pub supports_cdcvm: bool,
    /// Byte 2 bit 8: the amount is above the reader's CVM limit.
    pub exceeds_cvm_limit: bool,
    /// Byte 3 bit 8 is clear: the reader also knows mag-stripe mode.
    pub supports_mag_stripe: bool,
    /// Byte 4 bit 8: the terminal asks to do without CDCVM.
    pub asks_to_bypass_cdcvm: bool,
    /// Byte 4 bit 7: exempt from strong customer authentication, as fares are.
    pub is_sca_exempt: bool,
    /// The terminal wants CDCVM for this amount.
    pub demands_cdcvm: bool,
}

impl From<core::TerminalInformation> for TerminalInformation {
    fn from(terminal: core::TerminalInformation) -> Self {
        Self {
            terminal_type: terminal.terminal_type.map(Into::into),
            capabilities: terminal.capabilities.map(Into::into),
            risk_management: terminal.risk_management.map(Into::into),
        }
    }
}

impl From<core::TerminalType> for TerminalType {
    fn from(kind: core::TerminalType) -> Self {
        Self {
            code: kind.0,
            operator_kind: kind.operator().map(Into::into),
            is_attended: kind.is_attended(),
            goes_online: kind.goes_online(),
        }
    }
}

impl From<core::TerminalOperator> for TerminalOperator {
    fn from(operator: core::TerminalOperator) -> Self {
        match operator {
            core::TerminalOperator::FinancialInstitution => Self::FinancialInstitution,
            core::TerminalOperator::Merchant => Self::Merchant,
            core::TerminalOperator::Cardholder => Self::Cardholder,
        }
    }
}

impl From<core::TerminalCapabilities> for TerminalCapabilities {
    fn from(capabilities: core::TerminalCapabilities) -> Self {
        Self {
            bytes: capabilities.0.to_vec(),
            supports_online_pin: capabilities.supports_online_pin(),
            supports_signature: capabilities.supports_signature(),
            supports_no_cvm: capabilities.supports_no_cvm(),
            supports_cda: capabilities.supports_cda(),
        }
    }
}

impl From<core::RiskManagement> for RiskManagement {
    fn from(risk: core::RiskManagement) -> Self {
        Self {
            bytes: risk.0.to_vec(),
            supports_restart: risk.supports_restart(),
            supports_cdcvm: risk.supports_cdcvm(),
            exceeds_cvm_limit: risk.exceeds_cvm_limit(),
            supports_mag_stripe: risk.supports_mag_stripe(),
            asks_to_bypass_cdcvm: risk.asks_to_bypass_cdcvm(),
            is_sca_exempt: risk.is_sca_exempt(),
            demands_cdcvm: risk.demands_cdcvm(),
        }
    }
}
