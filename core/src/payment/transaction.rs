//! What a terminal says of a transaction, parsed.

use serde::{Deserialize, Serialize};

/// Names one tap; unique within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TapId(pub u64);

/// A transaction as the terminal described it in the data of CDOL1, or in mag-stripe mode of UDOL and
/// PDOL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionInformation {
    /// Tag 9F02, in minor units of the currency.
    pub amount_minor: u64,
    /// Tag 9F03 (cash back), in minor units.
    pub other_amount_minor: u64,
    /// Tag 5F2A, ISO 4217 numeric.
    pub currency: u16,
    /// Digits after the point by ISO 4217; `None` for a currency that this library does not know.
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
    /// Tag 9A as `YYMMDD`; `None` where the terminal did not send it, in mag-stripe mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// The kind of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransactionKind {
    /// 9C = 00.
    Purchase,
    /// 9C = 20.
    Refund,
    /// 9C = 01.
    Cash,
    /// 9C = 09.
    PurchaseWithCashback,
    /// Amount 0 at merchant category 4111, 4131, 4784 or 7523.
    Transit,
    /// Any other 9C.
    Other(u8),
}

/// Low or high value, which decides on CDCVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransactionRange {
    /// At or below the limit.
    LowValue,
    /// Above the limit.
    HighValue,
    /// Neither the terminal nor the profile says.
    Unknown,
}

/// Why a tap ended without a cryptogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TapFailure {
    /// 10003: prove presence (`authenticate`), then tap again.
    #[error("CDCVM required")]
    CdcvmRequired,
    /// 10004: a defect of this library, or a fault of the device's arithmetic. A credential may be
    /// spent.
    #[error("inner exception")]
    Internal,
    /// 10006: no user is connected.
    #[error("not connected")]
    NotConnected,
    /// 10007: no usable credentials; `replenish`.
    #[error("insufficient credentials")]
    InsufficientCredentials,
    /// 10008: the token is locked, in activation, or awaits confirmation.
    #[error("token unavailable")]
    TokenUnavailable,
    /// 10009: no token; `activate`.
    #[error("token does not exist")]
    NoToken,
    /// 10002: the host's verdict on the device is "unsafe".
    #[error("device unsafe")]
    DeviceUnsafe,
    /// 19001: the app's permit said no, or failed.
    #[error("declined by the app")]
    DeclinedByApp,
    /// 19002: the field was lost, or the terminal went silent, before the cryptogram.
    #[error("link lost")]
    LinkLost,
    /// 19003: the app's permit did not answer within 100 ms.
    #[error("permit timed out")]
    PermitTimeout,
    /// 19004: the terminal broke the protocol, or asked for a decline.
    #[error("terminal protocol error")]
    TerminalProtocol,
    /// 19005: the store or the key store could not be used; nothing was spent.
    #[error("secure storage unusable")]
    StorageUnusable,
    /// 19006: this kind of transaction is never paid (cash, an unknown kind), or is not enabled
    /// (transit, or transit while the device is locked).
    #[error("transaction not allowed")]
    NotAllowed,
    /// 19007: the second tap differs in amount or currency from the one that was authenticated.
    #[error("amount changed after authentication")]
    ContextChanged,
    /// 19008: the device's state did not come within 100 ms, or could not be told; a device that is
    /// not known to be safe does not pay. Tap again.
    #[error("device state unknown")]
    DeviceUnknown,
    /// 19011 to 19014: the app's own reason, 1 to 4.
    #[error("declined by the app ({0})")]
    CustomDecline(u8),
}

impl TapFailure {
    /// The code that the app sees.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::DeviceUnsafe => 10002,
            Self::CdcvmRequired => 10003,
            Self::Internal => 10004,
            Self::NotConnected => 10006,
            Self::InsufficientCredentials => 10007,
            Self::TokenUnavailable => 10008,
            Self::NoToken => 10009,
            Self::DeclinedByApp => 19001,
            Self::LinkLost => 19002,
            Self::PermitTimeout => 19003,
            Self::TerminalProtocol => 19004,
            Self::StorageUnusable => 19005,
            Self::NotAllowed => 19006,
            Self::ContextChanged => 19007,
            Self::DeviceUnknown => 19008,
            Self::CustomDecline(n) => 19010 + u32::from(n.clamp(1, 4)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_read_with_and_without_its_date() {
        let dated = r#"{"amount_minor":1234,"other_amount_minor":0,"currency":826,"currency_exponent":2,
            "kind":"PURCHASE","terminal_country":826,"merchant_category":5411,"merchant_name":null,
            "range":"LOW_VALUE","date":"260131"}"#;
        let transaction: TransactionInformation = serde_json::from_str(dated).unwrap();
        assert_eq!(transaction.date.as_deref(), Some("260131"));
        let undated = TransactionInformation { date: None, ..transaction };
        let json = serde_json::to_string(&undated).unwrap();
        assert_eq!(serde_json::from_str::<TransactionInformation>(&json).unwrap(), undated);
    }
}
