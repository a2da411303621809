//! What a terminal sends to the issuer, and what the issuer answers.

use alipayplus::ResultCode;
use serde::{Deserialize, Serialize};

use super::Pan;

/// An online authorisation: the card's answer and the data that went into its cryptogram
/// (EMV Book 4, 12.1). Fields are named after their tags and kept as they were on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorisationRequest {
    /// Tag 5A.
    pub pan: Pan,
    /// Tag 5F34.
    pub pan_sequence: u8,
    /// Tag 9F02: 12 decimal digits, minor units.
    pub amount: [u8; 6],
    /// Tag 9F03.
    pub other_amount: [u8; 6],
    /// Tag 9F1A.
    pub terminal_country: [u8; 2],
    /// Tag 95.
    pub terminal_verification_results: [u8; 5],
    /// Tag 5F2A.
    pub currency: [u8; 2],
    /// Tag 9A.
    pub date: [u8; 3],
    /// Tag 9C.
    pub kind: u8,
    /// Tag 9F37.
    pub unpredictable_number: [u8; 4],
    /// Tag 82.
    pub aip: [u8; 2],
    /// Tag 9F36.
    pub atc: u16,
    /// Tag 9F27.
    pub cid: u8,
    /// Tag 9F26.
    pub cryptogram: [u8; 8],
    /// Tag 9F10.
    pub issuer_application_data: Vec<u8>,
    /// Tag 9F34.
    pub cvm_results: [u8; 3],
    /// What the terminal found of the card's signature.
    pub card_authentication: CardAuthentication,
    /// Tag 9F15.
    pub merchant_category: u16,
    /// Tag 9F4E.
    pub merchant_name: String,
}

impl AuthorisationRequest {
    /// Tag 9F02 as a number; `None` if it is not decimal.
    #[must_use]
    pub fn amount_minor(&self) -> Option<u64> {
        decimal(&self.amount)
    }

    /// Tag 5F2A as a number; `None` if it is not decimal.
    #[must_use]
    pub fn currency_number(&self) -> Option<u16> {
        decimal(&self.currency).and_then(|number| number.try_into().ok())
    }

    /// The input of the cryptogram (EMV Book 2, 8.1.1, with the fields of [`CVN`]): the first 29 bytes of
    /// CDOL1, AIP, ATC and the CVR out of `iad`.
    #[must_use]
    pub fn cryptogram_input(&self, iad: &IssuerApplicationData) -> Vec<u8> {
        let mut input = Vec::with_capacity(39);
        input.extend(self.amount);
        input.extend(self.other_amount);
        input.extend(self.terminal_country);
        input.extend(self.terminal_verification_results);
        input.extend(self.currency);
        input.extend(self.date);
        input.push(self.kind);
        input.extend(self.unpredictable_number);
        input.extend(self.aip);
        input.extend(self.atc.to_be_bytes());
        input.extend(iad.card_verification_results);
        input
    }
}

/// What the terminal found of the card's signature (CDA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardAuthentication {
    /// Verified.
    Verified,
    /// The card does not offer it.
    NotPerformed,
    /// Wrong or missing.
    Failed,
}

/// Cryptogram version: EMV common session key, no counters in the input.
pub const CVN: u8 = 0x14;
/// Tag 9F10, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerApplicationData {
    /// Key derivation index.
    pub key_index: u8,
    /// Cryptogram version.
    pub cvn: u8,
    /// Card verification results.
    pub card_verification_results: [u8; 6],
    /// The counters.
    pub counters: [u8; 8],
    /// The transaction reference of the app, which follows the counters.
    pub reference: Option<[u8; 8]>,
}

impl IssuerApplicationData {
    /// Reads 18 bytes, or 26 with a reference. `None` for any other length.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[key_index, cvn], rest) = bytes.split_first_chunk()?;
        let (card_verification_results, rest) = rest.split_first_chunk()?;
        let (_authentication_code, rest) = rest.split_first_chunk::<2>()?;
        let (counters, rest) = rest.split_first_chunk()?;
        let reference = match rest {
            [] => None,
            rest => Some(rest.try_into().ok()?),
        };
        Some(Self {
            key_index,
            cvn,
            card_verification_results: *card_verification_results,
            counters: *counters,
            reference,
        })
    }
}

/// The issuer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorisation {
    /// Approved, or why not.
    pub decision: Decision,
    /// The cryptogram is the one that this card makes of this data. Found out for every request of a
    /// known token, whatever the decision.
    pub cryptogram_verified: bool,
    /// The token, where the number is known.
    pub token_reference: Option<String>,
    /// Whose token it is.
    pub user: Option<String>,
    /// The transaction reference that the app gave to this tap (last 8 bytes of 9F10).
    pub reference: Option<[u8; 8]>,
    /// Response cryptogram, method 1, with response code `3030` or `3035`; only after a good cryptogram.
    pub response_cryptogram: Option<[u8; 8]>,
    /// What the payment provider said, which is asked after the issuer's yes; `None` if it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderAnswer>,
}

/// What the payment provider of the user said, by way of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAnswer {
    /// The authorisation, to which reversals, clearings and refunds refer; `None` if nobody could be asked.
    pub authorisation: Option<String>,
    /// The provider's name of the payment, if it was paid.
    pub payment_id: Option<String>,
    /// Why it was not paid, or `SUCCESS`.
    pub code: ResultCode,
}

impl ProviderAnswer {
    pub(crate) fn declined(code: ResultCode) -> Self {
        Self { authorisation: None, payment_id: None, code }
    }

    /// The user's money was taken.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.code == ResultCode::Success
    }
}

impl Authorisation {
    /// The issuer approves.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.decision == Decision::Approved
    }
}

/// Approved, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", content = "reason", rename_all = "snake_case")]
pub enum Decision {
    /// Approved.
    Approved,
    /// Declined.
    Declined(DeclineReason),
}

/// Why the issuer declines. Checked in this order; the first that holds is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The number (or its sequence number) is none of this issuer's tokens.
    #[error("unknown token")]
    UnknownToken,
    /// 9F10 is not of this issuer's form, or another field is not decimal.
    #[error("malformed request")]
    Malformed,
    /// The cryptogram is not the one that this card makes of this data.
    #[error("wrong cryptogram")]
    WrongCryptogram,
    /// 9F27 is not an online request.
    #[error("not an online cryptogram")]
    NotOnline,
    /// The terminal could not verify the card's signature.
    #[error("card authentication failed")]
    CardAuthenticationFailed,
    /// The token is not active yet.
    #[error("token inactive")]
    TokenInactive,
    /// The token is suspended.
    #[error("token suspended")]
    TokenSuspended,
    /// The token is deleted.
    #[error("token deleted")]
    TokenDeleted,
    /// No credential with this counter was ever issued.
    #[error("counter never issued")]
    CounterNotIssued,
    /// A good cryptogram with this counter was seen before.
    #[error("counter used before")]
    CounterUsed,
    /// The credential expired before it was used.
    #[error("credential expired")]
    CredentialExpired,
    /// The issuer approved, the user's payment provider did not: [`Authorisation::provider`] says why.
    #[error("declined by the payment provider")]
    Provider,
}

/// A token as the token service knows it, for the issuer's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStanding {
    /// Payable.
    Active,
    /// Provisioned, not activated.
    Inactive,
    /// Suspended by anybody.
    Suspended,
    /// Deleted.
    Deleted,
}

/// Where the issuer asks for a token's standing: the token service.
///
/// Called from the thread of [`super::Issuer::authorise`], with no lock of the issuer held.
pub trait TokenStandings: Send + Sync {
    /// The standing of `token_reference`.
    fn standing(&self, token_reference: &str) -> TokenStanding;
}

/// Every token is payable; for a terminal without a token service.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllActive;

impl TokenStandings for AllActive {
    fn standing(&self, _token_reference: &str) -> TokenStanding {
        TokenStanding::Active
    }
}

/// Two decimal digits a byte.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0u64, |number, byte| {
        let (high, low) = (u64::from(byte >> 4), u64::from(byte & 0xF));
        (high < 10 && low < 10).then(|| number * 100 + high * 10 + low)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_last_eight_of_twenty_six_bytes() {
        let short: Vec<u8> = [[0x01, CVN].as_slice(), &[2; 6], &[0; 2], &[3; 8]].concat();
        let long = [short.as_slice(), &[4; 8]].concat();
        let parsed = IssuerApplicationData::parse(&long).unwrap();
        assert_eq!((parsed.cvn, parsed.card_verification_results), (CVN, [2; 6]));
        assert_eq!((parsed.counters, parsed.reference), ([3; 8], Some([4; 8])));
        assert_eq!(IssuerApplicationData::parse(&short).unwrap().reference, None);
        for length in (0..40).filter(|length| *length != 18 && *length != 26) {
            assert_eq!(IssuerApplicationData::parse(&vec![1; length]), None, "{length}");
        }
    }

    #[test]
    fn the_input_of_the_cryptogram_has_the_published_order() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../core/src/card/vectors/symmetric.json")).unwrap();
        let vectors = &vectors["application_cryptogram"];
        let fields = vectors["input_fields"].as_array().unwrap();
        let value = |tag: &str| {
            let field = fields.iter().find(|field| field["tag"] == tag).unwrap();
            hex::decode(field["value"].as_str().unwrap()).unwrap()
        };
        let request = AuthorisationRequest {
            pan: Pan::complete("541333900000001").unwrap(),
            pan_sequence: 0,
            amount: value("9F02").try_into().unwrap(),
            other_amount: value("9F03").try_into().unwrap(),
            terminal_country: value("9F1A").try_into().unwrap(),
            terminal_verification_results: value("95").try_into().unwrap(),
            currency: value("5F2A").try_into().unwrap(),
            date: value("9A").try_into().unwrap(),
            kind: value("9C")[0],
            unpredictable_number: value("9F37").try_into().unwrap(),
            aip: value("82").try_into().unwrap(),
            atc: u16::from_be_bytes(value("9F36").try_into().unwrap()),
            cid: 0x80,
            cryptogram: [0; 8],
            issuer_application_data: [&[1, CVN], &value("CVR")[..], &[0; 10]].concat(),
            cvm_results: [0; 3],
            card_authentication: CardAuthentication::NotPerformed,
            merchant_category: 0,
            merchant_name: String::new(),
        };
        let iad = IssuerApplicationData::parse(&request.issuer_application_data).unwrap();
        let input = hex::decode(vectors["input"].as_str().unwrap()).unwrap();
        assert_eq!(request.cryptogram_input(&iad), input);
    }

    #[test]
    fn a_nibble_above_nine_is_no_amount() {
        assert_eq!(decimal(&[0x00, 0x12, 0x34]), Some(1234));
        assert_eq!(decimal(&[0x99; 6]), Some(999_999_999_999));
        assert_eq!(decimal(&[0x0A]), None);
    }
}
