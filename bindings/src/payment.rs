//! Taps and transactions, as the app hears of them.

use nfcwallet_core::payment as core;

use crate::error::Advice;
use crate::terminal::TerminalInformation;

/// How the user proved presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum CdcvmMethod {
    /// 6
    Pattern,
    /// 7
    Password,
    /// 8
    Fingerprint,
    /// 9
    FacialBiometric,
    /// 10
    IrisBiometric,
    /// 13
    HandGeometry,
}

#[uniffi::export]
impl CdcvmMethod {
    /// The field's number.
    pub fn code(&self) -> u8 {
        core::CdcvmMethod::from(*self).code()
    }
}

impl From<CdcvmMethod> for core::CdcvmMethod {
    fn from(method: CdcvmMethod) -> Self {
        match method {
            CdcvmMethod::Pattern => Self::Pattern,
            CdcvmMethod::Password => Self::Password,
            CdcvmMethod::Fingerprint => Self::Fingerprint,
            CdcvmMethod::FacialBiometric => Self::FacialBiometric,
            CdcvmMethod::IrisBiometric => Self::IrisBiometric,
            CdcvmMethod::HandGeometry => Self::HandGeometry,
        }
    }
}

/// Why the platform says that the field is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum FieldLoss {
    /// The phone left the field.
    LinkLost,
    /// The reader selected another application on this phone.
    OtherApplicationSelected,
}

impl From<FieldLoss> for core::FieldLoss {
    fn from(reason: FieldLoss) -> Self {
        match reason {
            FieldLoss::LinkLost => Self::LinkLost,
            FieldLoss::OtherApplicationSelected => Self::OtherApplicationSelected,
        }
    }
}

/// A transaction as the terminal described it in the data of CDOL1, or in mag-stripe mode of UDOL and PDOL.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TransactionInformation {
    /// Tag 9F02, in minor units of the currency.
    pub amount_minor: u64,
    /// The amount as a person reads it, for example `12.50 EUR`. Absent for a currency without a minor unit
    /// in ISO 4217: nobody can say what its figures mean.
    pub amount: Option<String>,
    /// Tag 9F03 (cash back within the amount), in minor units.
    pub other_amount_minor: u64,
    /// The cash back as a person reads it.
    pub other_amount: Option<String>,
    /// Tag 5F2A, ISO 4217 numeric.
    pub currency: u16,
    /// The currency's letters by ISO 4217, for example `EUR`.
    pub currency_letters: Option<String>,
    /// Digits after the point by ISO 4217; absent for a currency that this library does not know.
    pub currency_exponent: Option<u8>,
    /// Tag 9C, and transit by amount and merchant category.
    pub kind: TransactionKind,
    /// Tag 9F1A, ISO 3166 numeric.
    pub terminal_country: u16,
    /// Tag 9F15, where the terminal sent it.
    pub merchant_category: Option<u16>,
    /// Tag 9F4E, where the terminal sent it.
    pub merchant_name: Option<String>,
    /// By the terminal's limit, then the profile's.
    pub range: TransactionRange,
    /// Tag 9A as `YYMMDD`; absent where the terminal did not send it, in mag-stripe mode.
    pub date: Option<String>,
    /// What the terminal says of itself.
    pub terminal: TerminalInformation,
}

impl From<core::TransactionInformation> for TransactionInformation {
    fn from(transaction: core::TransactionInformation) -> Self {
        Self {
            amount: transaction.amount(),
            other_amount: transaction.other_amount(),
            currency_letters: transaction.currency_letters().map(str::to_owned),
            amount_minor: transaction.amount_minor,
            other_amount_minor: transaction.other_amount_minor,
            currency: transaction.currency,
            currency_exponent: transaction.currency_exponent,
            kind: transaction.kind.into(),
            terminal_country: transaction.terminal_country,
            merchant_category: transaction.merchant_category,
            merchant_name: transaction.merchant_name,
            range: transaction.range.into(),
            date: transaction.date,
            terminal: transaction.terminal.into(),
        }
    }
}

/// The kind of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum TransactionKind {
    /// 9C = 00.
    Purchase,
    /// 9C = 20.
    Refund,
    /// 9C = 01.
    Cash,
    /// 9C = 09.
    PurchaseWithCashback,
    /// Amount 0 at a merchant category that the card's profile calls transit (4111, 4131, 4784 and 7523
    /// unless it says otherwise).
    Transit,
    /// Any other 9C.
    Other {
        /// The byte.
        code: u8,
    },
}

impl From<core::TransactionKind> for TransactionKind {
    fn from(kind: core::TransactionKind) -> Self {
        use core::TransactionKind as From;
        match kind {
            From::Purchase => Self::Purchase,
            From::Refund => Self::Refund,
            From::Cash => Self::Cash,
            From::PurchaseWithCashback => Self::PurchaseWithCashback,
            From::Transit => Self::Transit,
            From::Other(code) => Self::Other { code },
        }
    }
}

/// Low or high value, which decides on CDCVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum TransactionRange {
    /// At or below the limit.
    LowValue,
    /// Above the limit.
    HighValue,
    /// Neither the terminal nor the profile says.
    Unknown,
}

impl From<core::TransactionRange> for TransactionRange {
    fn from(range: core::TransactionRange) -> Self {
        match range {
            core::TransactionRange::LowValue => Self::LowValue,
            core::TransactionRange::HighValue => Self::HighValue,
            core::TransactionRange::Unknown => Self::Unknown,
        }
    }
}

/// Why a tap ended without a cryptogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum TapFailure {
    /// 10003: prove presence (`authenticate`), then tap again.
    CdcvmRequired,
    /// 10004: a defect of this library, or a fault of the device's arithmetic. A credential may be spent.
    InternalFailure,
    /// 10006: no user is connected.
    NotConnected,
    /// 10007: no usable credentials; `replenish`.
    InsufficientCredentials,
    /// 10008: the token is locked, in activation, or awaits confirmation.
    TokenUnavailable,
    /// 10009: no token; `activate`.
    NoToken,
    /// 10002: the host's verdict on the device is "unsafe".
    DeviceUnsafe,
    /// 19001: the app's permit said no, failed, or gave a reason other than 1 to 4.
    DeclinedByApp,
    /// 19002: the field was lost, or the terminal went silent, before the cryptogram.
    LinkLost,
    /// 19003: the app's permit did not answer within 100 ms.
    PermitTimeout,
    /// 19004: the terminal broke the protocol, contradicted itself, or asked for a decline.
    TerminalProtocol,
    /// 19005: the store or the key store could not be used; nothing was spent.
    StorageUnusable,
    /// 19006: this kind of transaction is never paid (cash, an unknown kind), or is not enabled (transit, or
    /// transit while the device is locked), or the card may not be used for it here (its usage control, or
    /// its countries and currencies).
    NotAllowed,
    /// 19007: the second tap differs in amount or currency from the one that was authenticated. Tap again
    /// for what was agreed to; or `cancel_authentication`, and the next tap asks anew.
    ContextChanged,
    /// 19008: the device's state did not come within 100 ms, or could not be told; a device that is not
    /// known to be safe does not pay. Tap again.
    DeviceUnknown,
    /// 19011 to 19014: the app's own reason.
    CustomDecline {
        /// 1 to 4.
        number: u8,
    },
}

#[uniffi::export]
impl TapFailure {
    /// The field's code (10002 to 10009), or ours (19001 to 19014).
    pub fn code(&self) -> u32 {
        core::TapFailure::from(*self).code()
    }

    /// What the app should do next; absent where no call helps: the app's own decision, or a payment that
    /// this card does not make.
    pub fn advice(&self) -> Option<Advice> {
        core::TapFailure::from(*self).advice().map(Into::into)
    }

    /// In words, for a log: English.
    pub fn text(&self) -> String {
        core::TapFailure::from(*self).to_string()
    }
}

impl From<core::TapFailure> for TapFailure {
    fn from(failure: core::TapFailure) -> Self {
        use core::TapFailure as From;
        match failure {
            From::CdcvmRequired => Self::CdcvmRequired,
            From::Internal => Self::InternalFailure,
            From::NotConnected => Self::NotConnected,
            From::InsufficientCredentials => Self::InsufficientCredentials,
            From::TokenUnavailable => Self::TokenUnavailable,
            From::NoToken => Self::NoToken,
            From::DeviceUnsafe => Self::DeviceUnsafe,
            From::DeclinedByApp => Self::DeclinedByApp,
            From::LinkLost => Self::LinkLost,
            From::PermitTimeout => Self::PermitTimeout,
            From::TerminalProtocol => Self::TerminalProtocol,
            From::StorageUnusable => Self::StorageUnusable,
            From::NotAllowed => Self::NotAllowed,
            From::ContextChanged => Self::ContextChanged,
            From::DeviceUnknown => Self::DeviceUnknown,
            From::CustomDecline(number) => Self::CustomDecline { number },
        }
    }
}

impl From<TapFailure> for core::TapFailure {
    fn from(failure: TapFailure) -> Self {
        use TapFailure as From;
        match failure {
            From::CdcvmRequired => Self::CdcvmRequired,
            From::InternalFailure => Self::Internal,
            From::NotConnected => Self::NotConnected,
            From::InsufficientCredentials => Self::InsufficientCredentials,
            From::TokenUnavailable => Self::TokenUnavailable,
            From::NoToken => Self::NoToken,
            From::DeviceUnsafe => Self::DeviceUnsafe,
            From::DeclinedByApp => Self::DeclinedByApp,
            From::LinkLost => Self::LinkLost,
            From::PermitTimeout => Self::PermitTimeout,
            From::TerminalProtocol => Self::TerminalProtocol,
            From::StorageUnusable => Self::StorageUnusable,
            From::NotAllowed => Self::NotAllowed,
            From::ContextChanged => Self::ContextChanged,
            From::DeviceUnknown => Self::DeviceUnknown,
            From::CustomDecline { number } => Self::CustomDecline(number),
        }
    }
}

/// One tap that reached the cryptogram, as the phone saw it. Whether money moved is known to the app's
/// server only, under the reference.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TransactionRecord {
    /// By the service's clock, milliseconds since 1970.
    pub time_ms: i64,
    /// What the terminal said.
    pub transaction: TransactionInformation,
    /// The cryptogram left, or why not.
    pub outcome: TransactionOutcome,
}

impl From<core::TransactionRecord> for TransactionRecord {
    fn from(record: core::TransactionRecord) -> Self {
        Self { time_ms: record.time_ms, transaction: record.transaction.into(), outcome: record.outcome.into() }
    }
}

/// How a tap ended on the phone.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum TransactionOutcome {
    /// The cryptogram was handed to the terminal.
    Complete {
        /// Application transaction counter.
        atc: u16,
        /// The reference that reaches the app's server with the authorisation: 8 bytes. In mag-stripe mode it
        /// stays on the phone, for the data have no room for it.
        reference: Vec<u8>,
        /// The user had proved presence.
        cdcvm: bool,
    },
    /// Refused.
    Failed {
        /// As `TapFailure.code`.
        code: u32,
    },
}

impl From<core::TransactionOutcome> for TransactionOutcome {
    fn from(outcome: core::TransactionOutcome) -> Self {
        use core::TransactionOutcome as From;
        match outcome {
            From::Complete { atc, reference, cdcvm } => Self::Complete { atc, reference: reference.to_vec(), cdcvm },
            From::Failed { code } => Self::Failed { code },
        }
    }
}

/// A page of the history, newest first.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct TransactionPage {
    /// The transactions.
    pub transactions: Vec<TransactionRecord>,
    /// Ask with this for the next page; absent at the end.
    pub next: Option<i64>,
}

impl From<core::TransactionPage> for TransactionPage {
    fn from(page: core::TransactionPage) -> Self {
        Self { transactions: page.transactions.into_iter().map(Into::into).collect(), next: page.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction() -> core::TransactionInformation {
        core::TransactionInformation {
            amount_minor: 1_250,
            other_amount_minor: 200,
            currency: 978,
            currency_exponent: Some(2),
            kind: core::TransactionKind::Other(0x77),
            terminal_country: 276,
            merchant_category: Some(5411),
            merchant_name: Some("Shop".to_owned()),
            range: core::TransactionRange::HighValue,
            date: Some("261122".to_owned()),
            terminal: core::TerminalInformation {
                terminal_type: Some(core::TerminalType(0x22)),
                capabilities: Some(core::TerminalCapabilities([0xE0, 0x48, 0x08])),
                risk_management: Some(core::RiskManagement([0x04, 0x80, 0, 0, 0, 0, 0, 0])),
            },
        }
    }

    #[test]
    fn money_stays_in_minor_units_beside_its_readable_form() {
        let ours = TransactionInformation::from(transaction());
        assert_eq!((ours.amount_minor, ours.amount.as_deref()), (1_250, Some("12.50 EUR")));
        assert_eq!((ours.other_amount_minor, ours.other_amount.as_deref()), (200, Some("2.00 EUR")));
        assert_eq!((ours.currency, ours.currency_letters.as_deref()), (978, Some("EUR")));
        assert_eq!((ours.kind, ours.range), (TransactionKind::Other { code: 0x77 }, TransactionRange::HighValue));
    }

    #[test]
    fn what_the_terminal_says_is_there_in_bytes_and_in_words() {
        let terminal = TransactionInformation::from(transaction()).terminal;
        let kind = terminal.terminal_type.unwrap();
        assert_eq!((kind.code, kind.is_attended, kind.goes_online), (0x22, Some(true), Some(true)));
        let capabilities = terminal.capabilities.unwrap();
        assert_eq!(capabilities.bytes, [0xE0, 0x48, 0x08]);
        assert!(capabilities.supports_online_pin && capabilities.supports_no_cvm && capabilities.supports_cda);
        assert!(!capabilities.supports_signature);
        let risk = terminal.risk_management.unwrap();
        assert!(risk.supports_cdcvm && risk.exceeds_cvm_limit && risk.demands_cdcvm);
        assert!(!risk.supports_restart && !risk.asks_to_bypass_cdcvm && !risk.is_sca_exempt);
    }

    #[test]
    fn every_failure_of_a_tap_keeps_its_code_and_advice_there_and_back() {
        use nfcwallet_core::payment::TapFailure as Failure;
        let all = [
            (Failure::CdcvmRequired, 10_003),
            (Failure::Internal, 10_004),
            (Failure::NotConnected, 10_006),
            (Failure::InsufficientCredentials, 10_007),
            (Failure::TokenUnavailable, 10_008),
            (Failure::NoToken, 10_009),
            (Failure::DeviceUnsafe, 10_002),
            (Failure::DeclinedByApp, 19_001),
            (Failure::LinkLost, 19_002),
            (Failure::PermitTimeout, 19_003),
            (Failure::TerminalProtocol, 19_004),
            (Failure::StorageUnusable, 19_005),
            (Failure::NotAllowed, 19_006),
            (Failure::ContextChanged, 19_007),
            (Failure::DeviceUnknown, 19_008),
            (Failure::CustomDecline(4), 19_014),
        ];
        for (failure, code) in all {
            let ours = TapFailure::from(failure);
            assert_eq!((ours.code(), ours.text()), (code, failure.to_string()));
            assert_eq!(ours.advice(), failure.advice().map(Into::into));
            assert_eq!(core::TapFailure::from(ours), failure);
        }
    }
}
