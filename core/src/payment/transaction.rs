//! What a terminal says of a transaction, parsed.

use iso_currency::Currency;
use serde::{Deserialize, Serialize};

use super::TerminalInformation;
use crate::error::Advice;

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
    /// What the terminal says of itself.
    #[serde(default)]
    pub terminal: TerminalInformation,
}

impl TransactionInformation {
    /// The amount as a person reads it, for example `12.50 EUR`. `None` for a currency without a minor
    /// unit in ISO 4217: nobody can say what its figures mean.
    #[must_use]
    pub fn amount(&self) -> Option<String> {
        self.readable(self.amount_minor)
    }

    /// The cash back within the amount, likewise.
    #[must_use]
    pub fn other_amount(&self) -> Option<String> {
        self.readable(self.other_amount_minor)
    }

    /// The currency's letters by ISO 4217, for example `EUR`.
    #[must_use]
    pub fn currency_letters(&self) -> Option<&'static str> {
        Currency::from_numeric(self.currency).map(|currency| currency.code())
    }

    fn readable(&self, minor: u64) -> Option<String> {
        let (letters, decimals) = (self.currency_letters()?, usize::from(self.currency_exponent?));
        let digits = format!("{minor:0>width$}", width = decimals + 1);
        let (whole, rest) = digits.split_at_checked(digits.len().checked_sub(decimals)?)?;
        Some(if rest.is_empty() { format!("{whole} {letters}") } else { format!("{whole}.{rest} {letters}") })
    }
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
    /// Amount 0 at a merchant category that the card's profile calls transit (4111, 4131, 4784 and 7523
    /// unless it says otherwise).
    Transit,
    /// Any other 9C.
    Other(u8),
}

impl TransactionKind {
    /// The field's name; `None` for a kind that has none there.
    #[must_use]
    pub fn field_name(self) -> Option<&'static str> {
        match self {
            Self::Purchase => Some("PURCHASE"),
            Self::Refund => Some("REFUND"),
            Self::Cash => Some("CASH"),
            Self::PurchaseWithCashback => Some("PURCHASE_WITH_CASHBACK"),
            Self::Transit => Some("TRANSIT"),
            Self::Other(_) => None,
        }
    }
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

impl TransactionRange {
    /// The field's name; `None` where it has none.
    #[must_use]
    pub fn field_name(self) -> Option<&'static str> {
        match self {
            Self::LowValue => Some("LVT-Low Value"),
            Self::HighValue => Some("HVT-High Value"),
            Self::Unknown => None,
        }
    }
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
    /// 10008: the token is locked, in activation, or awaits confirmation. `readiness` says which, with
    /// its advice.
    #[error("token unavailable")]
    TokenUnavailable,
    /// 10009: no token; `activate`.
    #[error("token does not exist")]
    NoToken,
    /// 10002: the host's verdict on the device is "unsafe". `DeviceInfo` knows why.
    #[error("device unsafe")]
    DeviceUnsafe,
    /// 19001: the app's permit said no, failed, or gave a reason other than 1 to 4. The app knows why.
    #[error("declined by the app")]
    DeclinedByApp,
    /// 19002: the field was lost, or the terminal went silent, before the cryptogram. Tap again.
    #[error("link lost")]
    LinkLost,
    /// 19003: the app's permit did not answer within 100 ms. Tap again; make the permit answer from what
    /// it knows already.
    #[error("permit timed out")]
    PermitTimeout,
    /// 19004: the terminal broke the protocol, contradicted itself, or asked for a decline. Tap again,
    /// or pay another way.
    #[error("terminal protocol error")]
    TerminalProtocol,
    /// 19005: the store or the key store could not be used, and no cryptogram left. Tap again; if it
    /// stays, `readiness` says what is wrong.
    #[error("secure storage unusable")]
    StorageUnusable,
    /// 19006: this kind of transaction is never paid (cash, an unknown kind), or is not enabled
    /// (transit, or transit while the device is locked), or the card may not be used for it here (its
    /// usage control, or its countries and currencies). No call changes that.
    #[error("transaction not allowed")]
    NotAllowed,
    /// 19007: the second tap differs in amount or currency from the one that was authenticated. Tap
    /// again for what was agreed to; or `cancel_authentication`, and the next tap asks anew.
    #[error("amount changed after authentication")]
    ContextChanged,
    /// 19008: the device's state did not come within 100 ms, or could not be told; a device that is
    /// not known to be safe does not pay. Tap again.
    #[error("device state unknown")]
    DeviceUnknown,
    /// 19011 to 19014: the app's own reason, 1 to 4. The app knows what it means.
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

    /// What the app should do next. `None` where no call helps: the app's own decision, or a payment
    /// that this card does not make.
    #[must_use]
    pub fn advice(self) -> Option<Advice> {
        match self {
            Self::DeviceUnsafe => Some(Advice::UpdateApp),
            Self::CdcvmRequired => Some(Advice::Authenticate),
            Self::Internal => Some(Advice::ReportBug),
            Self::NotConnected => Some(Advice::Reconnect),
            Self::InsufficientCredentials => Some(Advice::Replenish),
            Self::TokenUnavailable => Some(Advice::Sync),
            Self::NoToken => Some(Advice::Reactivate),
            Self::LinkLost
            | Self::PermitTimeout
            | Self::TerminalProtocol
            | Self::StorageUnusable
            | Self::ContextChanged
            | Self::DeviceUnknown => Some(Advice::Retry),
            Self::DeclinedByApp | Self::NotAllowed | Self::CustomDecline(_) => None,
        }
    }
}

#[cfg(test)]
impl TransactionInformation {
    /// A purchase in euros, of low value.
    pub(crate) fn of(amount_minor: u64) -> Self {
        Self {
            amount_minor,
            other_amount_minor: 0,
            currency: 978,
            currency_exponent: Some(2),
            kind: TransactionKind::Purchase,
            terminal_country: 276,
            merchant_category: Some(5411),
            merchant_name: None,
            range: TransactionRange::LowValue,
            date: Some("261122".to_owned()),
            terminal: TerminalInformation::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_with_the_decimals_of_its_currency() {
        let of = |currency, currency_exponent, amount_minor| {
            TransactionInformation { currency, currency_exponent, ..TransactionInformation::of(amount_minor) }.amount()
        };
        assert_eq!(of(978, Some(2), 1_250).as_deref(), Some("12.50 EUR"));
        assert_eq!(of(978, Some(2), 5).as_deref(), Some("0.05 EUR"));
        assert_eq!(of(978, Some(2), 0).as_deref(), Some("0.00 EUR"));
        assert_eq!(of(392, Some(0), 1_250).as_deref(), Some("1250 JPY"));
        assert_eq!(of(48, Some(3), 1_250).as_deref(), Some("1.250 BHD"));
        assert_eq!(of(978, Some(2), 999_999_999_999).as_deref(), Some("9999999999.99 EUR"));
        // No currency of ISO 4217, and gold.
        assert_eq!(of(1, None, 1_250), None);
        assert_eq!(of(959, None, 1_250), None);
    }

    #[test]
    fn cash_back_is_written_likewise() {
        let transaction = TransactionInformation { other_amount_minor: 2_000, ..TransactionInformation::of(3_000) };
        assert_eq!(transaction.other_amount().as_deref(), Some("20.00 EUR"));
    }

    #[test]
    fn a_row_of_an_older_history_is_still_read() {
        let mut row = serde_json::to_value(TransactionInformation::of(1)).unwrap();
        row.as_object_mut().unwrap().remove("terminal");
        assert_eq!(serde_json::from_value::<TransactionInformation>(row).unwrap(), TransactionInformation::of(1));
    }

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
