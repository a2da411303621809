//! The outcome of a call: status, code, message.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::wire::object::parts;
use crate::wire::part::{Rule, check_field};
use crate::{FieldError, Message};

/// Whether a call, or a payment, came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultStatus {
    /// `S`: it happened.
    Success,
    /// `F`: it will not happen.
    Failure,
    /// `U`, and every other letter: nobody knows yet. Ask again, with the same request or by an inquiry.
    Unknown,
}

impl ResultStatus {
    /// Its letter.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Success => "S",
            Self::Failure => "F",
            Self::Unknown => "U",
        }
    }

    /// It will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Unknown
    }
}

impl From<&str> for ResultStatus {
    fn from(letter: &str) -> Self {
        match letter {
            "S" => Self::Success,
            "F" => Self::Failure,
            _ => Self::Unknown,
        }
    }
}

impl Serialize for ResultStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.letter())
    }
}

impl<'de> Deserialize<'de> for ResultStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let letter = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::from(letter.as_ref()))
    }
}

/// Declares the codes with their wire names and statuses, once.
macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $wire:literal, $status:ident, $text:literal; )*) => {
        /// Why a call ended as it did.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum ResultCode {
            $( $(#[$doc])* $name, )*
            /// A code that this version does not know. Its status counts.
            Other(String),
        }

        impl ResultCode {
            /// Every code that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As it is on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $wire,)*
                    Self::Other(code) => code,
                }
            }

            /// The status that goes with it; [`ResultStatus::Unknown`] for codes of others.
            #[must_use]
            pub fn status(&self) -> ResultStatus {
                match self {
                    $(Self::$name => ResultStatus::$status,)*
                    Self::Other(_) => ResultStatus::Unknown,
                }
            }

            /// What it means, in a few words.
            #[must_use]
            pub fn meaning(&self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(_) => "a code that this version does not know",
                }
            }
        }

        impl From<String> for ResultCode {
            fn from(code: String) -> Self {
                match code.as_str() {
                    $($wire => Self::$name,)*
                    _ => Self::Other(code),
                }
            }
        }
    };
}

codes! {
    /// Done.
    Success = "SUCCESS", Success, "success";
    /// A parameter is missing, malformed or out of range. Mend the request.
    ParamIllegal = "PARAM_ILLEGAL", Failure, "illegal parameters exist";
    /// It cannot be done; do not repeat.
    ProcessFail = "PROCESS_FAIL", Failure, "a business failure occurred";
    /// The caller may not do this.
    AccessDenied = "ACCESS_DENIED", Failure, "access is denied";
    /// The signature is not of these bytes and this key.
    InvalidSignature = "INVALID_SIGNATURE", Failure, "the signature is invalid";
    /// No key for this client and version.
    KeyNotFound = "KEY_NOT_FOUND", Failure, "the key is not found";
    /// Nobody known calls himself that.
    InvalidClient = "INVALID_CLIENT", Failure, "the client is invalid";
    /// There is no API at this path.
    NoInterfaceDef = "NO_INTERFACE_DEF", Failure, "the API is not defined";
    /// Another method than POST.
    MethodNotSupported = "METHOD_NOT_SUPPORTED", Failure, "the HTTP method is not supported";
    /// Another content type than JSON.
    MediaTypeNotAcceptable = "MEDIA_TYPE_NOT_ACCEPTABLE", Failure, "the media type is not acceptable";
    /// This business is not offered.
    BusinessNotSupport = "BUSINESS_NOT_SUPPORT", Failure, "the business is not supported";
    /// No contract covers this.
    InvalidContract = "INVALID_CONTRACT", Failure, "the contract is invalid";
    /// The id was used before, with other key parameters. Never change parameters under one id.
    RepeatReqInconsistent = "REPEAT_REQ_INCONSISTENT", Failure, "repeated requests are inconsistent";
    /// Too many calls. Later.
    RequestTrafficExceedLimit = "REQUEST_TRAFFIC_EXCEED_LIMIT", Unknown, "the request traffic exceeds the limit";
    /// Nobody knows whether it happened.
    UnknownException = "UNKNOWN_EXCEPTION", Unknown, "an API calling failed for unknown reasons";
    /// It is being done.
    PaymentInProcess = "PAYMENT_IN_PROCESS", Unknown, "the payment is in process";
    /// Cancelled or timed out. A new payment needs a new id.
    OrderIsClosed = "ORDER_IS_CLOSED", Failure, "the order is closed";
    /// No payment has this id.
    OrderNotExist = "ORDER_NOT_EXIST", Failure, "the order does not exist";
    /// No account in this currency.
    CurrencyNotSupport = "CURRENCY_NOT_SUPPORT", Failure, "the currency is not supported";
    /// Risk control said no.
    RiskReject = "RISK_REJECT", Failure, "the request is rejected by risk control";
    /// The merchant is not registered.
    MerchantNotRegistered = "MERCHANT_NOT_REGISTERED", Failure, "the merchant is not registered";
    /// The law says no.
    RegulationRestriction = "REGULATION_RESTRICTION", Failure, "the payment is restricted by regulation";
    /// The user has no means of payment that can be used.
    UnavailablePaymentMethod = "UNAVAILABLE_PAYMENT_METHOD", Failure, "no payment method is available";
    /// More than one payment may be.
    PaymentAmountExceedLimit = "PAYMENT_AMOUNT_EXCEED_LIMIT", Failure, "the payment amount exceeds the limit";
    /// More payments than may be.
    PaymentCountExceedLimit = "PAYMENT_COUNT_EXCEED_LIMIT", Failure, "the number of payments exceeds the limit";
    /// More than the user may pay in a period.
    UserAmountExceedLimit = "USER_AMOUNT_EXCEED_LIMIT", Failure, "the user's payments exceed the limit";
    /// More than the user has.
    UserBalanceNotEnough = "USER_BALANCE_NOT_ENOUGH", Failure, "the user's balance is not enough";
    /// The user's identity is not known well enough.
    UserKycNotQualified = "USER_KYC_NOT_QUALIFIED", Failure, "the user is not KYC-qualified";
    /// No such user.
    UserNotExist = "USER_NOT_EXIST", Failure, "the user does not exist";
    /// Frozen, closed.
    UserStatusAbnormal = "USER_STATUS_ABNORMAL", Failure, "the user's status is abnormal";
    /// The user did not prove to be the user.
    UserPaymentVerificationFailed = "USER_PAYMENT_VERIFICATION_FAILED", Failure, "the user's verification failed";
    /// The access token is of no use.
    InvalidToken = "INVALID_TOKEN", Failure, "the token is invalid";
    /// The access token has expired.
    ExpiredAccessToken = "EXPIRED_ACCESS_TOKEN", Failure, "the access token has expired";
    /// The payment or order code has expired.
    ExpiredCode = "EXPIRED_CODE", Failure, "the code has expired";
    /// The payment or order code is of no use.
    InvalidCode = "INVALID_CODE", Failure, "the code is invalid";
    /// Too late to cancel: refund.
    CancelWindowExceed = "CANCEL_WINDOW_EXCEED", Failure, "the cancel window is exceeded";
    /// Too late to refund.
    RefundWindowExceed = "REFUND_WINDOW_EXCEED", Failure, "the refund window is exceeded";
    /// More than was paid.
    RefundAmountExceed = "REFUND_AMOUNT_EXCEED", Failure, "the refund amount exceeds the payment amount";
    /// Push mode: the merchant's identity is not known well enough.
    MerchantKybNotQualified = "MERCHANT_KYB_NOT_QUALIFIED", Failure, "the merchant is not KYB-qualified";
}

impl ResultCode {
    /// A server's gate gives it before the request reaches what it asks for. So it says nothing of what
    /// became of the same request when that was sent before: keys and paths change between two attempts.
    #[must_use]
    pub fn is_of_the_gate(&self) -> bool {
        matches!(
            self,
            Self::InvalidSignature
                | Self::KeyNotFound
                | Self::InvalidClient
                | Self::NoInterfaceDef
                | Self::MethodNotSupported
                | Self::MediaTypeNotAcceptable
        )
    }
}

impl Serialize for ResultCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ResultCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?))
    }
}

impl std::fmt::Display for ResultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of a call (`result`), or of a payment (`paymentResult`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultInfo {
    /// Why.
    pub result_code: ResultCode,
    /// Whether it is final.
    pub result_status: ResultStatus,
    /// For people. On input also `resultMsg`, as one sample has it.
    #[serde(
        default,
        alias = "resultMsg",
        deserialize_with = "text_or_nothing",
        skip_serializing_if = "String::is_empty"
    )]
    pub result_message: String,
}

impl ResultInfo {
    /// Done.
    #[must_use]
    pub fn success() -> Self {
        ResultCode::Success.into()
    }

    /// `code` with its own status, and a message of ours.
    #[must_use]
    pub fn new(code: ResultCode, message: impl Into<String>) -> Self {
        Self { result_status: code.status(), result_code: code, result_message: message.into() }
    }

    /// It happened.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.result_status == ResultStatus::Success
    }
}

impl From<ResultCode> for ResultInfo {
    fn from(code: ResultCode) -> Self {
        let message = code.meaning().to_owned();
        Self { result_status: code.status(), result_code: code, result_message: message }
    }
}

impl std::fmt::Display for ResultInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.result_status.letter(), self.result_code)
    }
}

fn text_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// Unknown: nobody has said yet what happened.
impl Default for ResultInfo {
    fn default() -> Self {
        ResultCode::UnknownException.into()
    }
}

impl Message for ResultInfo {
    fn check(&self) -> Result<(), FieldError> {
        check_field(&self.result_code.as_str().to_owned(), "resultCode", Rule::ID)
    }
}

parts!(ResultInfo);

impl JsonSchema for ResultInfo {
    fn schema_name() -> Cow<'static, str> {
        "Result".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<_> = ResultCode::ALL.iter().map(ResultCode::as_str).collect();
        json_schema!({
            "type": "object",
            "description": "The outcome of a call, or of a payment.",
            "properties": {
                "resultCode": {"type": "string", "minLength": 1, "maxLength": 64, "examples": codes},
                "resultStatus": {"type": "string", "enum": ["S", "F", "U"]},
                "resultMessage": {"type": "string"},
            },
            "required": ["resultCode", "resultStatus"],
        })
    }
}

#[cfg(test)]
impl ResultInfo {
    /// Any outcome.
    fn any_fields() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::strategy::Strategy as _;
        (proptest::sample::select(ResultCode::ALL), <String as crate::wire::Part>::any(Rule::ANY))
            .prop_map(|(code, message)| Self::new(code, message))
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_the_wire() {
        for code in ResultCode::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(&serde_json::from_str::<ResultCode>(&text).unwrap(), code);
        }
    }

    #[test]
    fn a_status_that_nobody_defined_is_unknown() {
        let result = r#"{"resultCode":"SUCCESS","resultStatus":"A","resultMsg":"hm"}"#;
        let result: ResultInfo = serde_json::from_str(result).unwrap();
        assert_eq!(result.result_status, ResultStatus::Unknown);
        assert_eq!(result.result_message, "hm");
        assert!(!result.result_status.is_final());
    }
}
