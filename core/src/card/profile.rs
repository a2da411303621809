//! The card that the service personalised, as data.
//!
//! Every byte a terminal can read comes from here. The profile is checked as a whole when it
//! arrives ([`Card::admit`](super::Card::admit)), so that the card application never meets a
//! malformed one. `docs/profile.md` has each field with its rules and errors.

use serde::{Deserialize, Serialize};

use crate::secret::SecretBytes;

/// A personalised card: what is shown to terminals, and the rules of its use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Format version; this library knows 1.
    pub version: u8,
    /// The last four digits of the token's number, for the app's screen.
    pub last_four: String,
    /// The applications, highest priority first; at least one, at most eight.
    pub applications: Vec<Application>,
    /// Who issued it and what it allows.
    pub rules: Rules,
}

/// One payment application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Tag 4F / 84: 5 to 16 bytes.
    #[serde(with = "hex_bytes")]
    pub aid: Vec<u8>,
    /// Tag 50: 1 to 16 printable characters.
    pub label: String,
    /// Tag 87: 1 (highest) to 15.
    pub priority: u8,
    /// Tag 9F2A of the directory entry: which kernel a terminal should use, 1 to 8 bytes; empty for
    /// none.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub kernel_identifier: Vec<u8>,
    /// Tags 9F12 and 9F11: the name in the cardholder's own script; or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_name: Option<PreferredName>,
    /// Tag 5F2D: one to four two-letter languages, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<String>,
    /// Tag 9F38: empty for none.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub pdol: Vec<u8>,
    /// TLVs inside BF0C, for example 9F6E; empty for none.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub issuer_discretionary: Vec<u8>,
    /// TLVs that GET DATA finds, one object a tag; empty for none.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data_objects: Vec<u8>,
    /// Tag 82: constant, since it is signed.
    #[serde(with = "hex_bytes")]
    pub aip: Vec<u8>,
    /// Tag 94.
    #[serde(with = "hex_bytes")]
    pub afl: Vec<u8>,
    /// Every record that the AFL names.
    pub records: Vec<Record>,
    /// Tag 9F10 without the parts that the card fills in.
    pub iad: IadTemplate,
    /// Key for CDA; none where the AIP does not offer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icc_key: Option<IccKeyParts>,
    /// The key of the certification authority that 8F names, with which the chain of certificates is
    /// followed when the profile arrives; none where the AIP does not offer CDA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_key: Option<CaPublicKey>,
    /// What EXCHANGE RELAY RESISTANCE DATA answers; none where the AIP does not offer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_resistance: Option<RelayResistance>,
}

/// A name that the label's character set cannot write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferredName {
    /// Tag 9F12: 1 to 16 bytes in the character set of `code_table`.
    #[serde(with = "hex_bytes")]
    pub name: Vec<u8>,
    /// Tag 9F11: the part of ISO/IEC 8859, 1 to 10.
    pub code_table: u8,
}

/// The RSA key of a certification authority; big-endian numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaPublicKey {
    /// Tag 8F: under which terminals find the key, with the first five bytes of the AID.
    pub index: u8,
    /// n
    #[serde(with = "hex_bytes")]
    pub modulus: Vec<u8>,
    /// e: 03 or 010001.
    #[serde(with = "hex_bytes")]
    pub exponent: Vec<u8>,
}

/// How long this card takes to answer EXCHANGE RELAY RESISTANCE DATA, in units of 100 us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayResistance {
    /// Never faster than this.
    pub min_time: u16,
    /// Never slower than this.
    pub max_time: u16,
    /// How long the answer is in the air.
    pub transmission_time: u16,
}

/// One record of a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Short file identifier, 1 to 30.
    pub sfi: u8,
    /// Record number, from 1.
    pub number: u8,
    /// The whole template 70, at most 254 bytes.
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Record {
    /// Without the bytes: among them is the token's number (5A, 57).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}.{}, {} bytes, redacted)", self.sfi, self.number, self.bytes.len())
    }
}

/// The fixed parts of tag 9F10: key index, CVN, CVR (filled in), two bytes 0000, counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IadTemplate {
    /// Key derivation index.
    pub key_index: u8,
    /// Cryptogram version: 14 hex (EMV common session key).
    pub cvn: u8,
    /// The 8 counter bytes at the end of the 18 of the base form. The transaction reference of the
    /// app (8 bytes) is appended after them.
    #[serde(with = "hex_bytes")]
    pub counters: Vec<u8>,
}

/// An RSA private key of the card, in CRT form; big-endian numbers.
#[derive(Clone, Serialize, Deserialize)]
pub struct IccKeyParts {
    /// n
    #[serde(with = "hex_bytes")]
    pub modulus: Vec<u8>,
    /// e: 03 or 010001.
    #[serde(with = "hex_bytes")]
    pub exponent: Vec<u8>,
    /// p
    pub prime_p: SecretBytes,
    /// q
    pub prime_q: SecretBytes,
}

impl std::fmt::Debug for IccKeyParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IccKeyParts({} bits, redacted)", self.modulus.len() * 8)
    }
}

impl PartialEq for IccKeyParts {
    /// The public half identifies the key.
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus && self.exponent == other.exponent
    }
}

impl Eq for IccKeyParts {}

/// Rules of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// ISO 3166 numeric, as EMV codes it (5F28).
    pub issuer_country: u16,
    /// From which amount a tap is high value and needs CDCVM, by currency; a currency that is not
    /// listed is high value from 0.01 on.
    pub cvm_limits: Vec<CvmLimit>,
    /// CDCVM is demanded at every tap, whatever the amount.
    #[serde(default)]
    pub always_cdcvm: bool,
    /// The countries of terminals (ISO 3166 numeric) where the card may pay; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<Vec<u16>>,
    /// The currencies (ISO 4217 numeric) in which the card may pay; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currencies: Option<Vec<u16>>,
    /// Merchant categories (ISO 18245) where a tap of amount 0 is transit; 4111, 4131, 4784 and 7523 by
    /// default.
    #[serde(default = "transit_categories")]
    pub transit_categories: Vec<u16>,
}

/// Merchant categories of transport: local, bus, tolls and bridges, parking.
#[must_use]
pub fn transit_categories() -> Vec<u16> {
    vec![4111, 4131, 4784, 7523]
}

/// Amounts above this need CDCVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CvmLimit {
    /// ISO 4217 numeric.
    pub currency: u16,
    /// In minor units; the limit itself is still low value.
    pub amount_minor: u64,
}

/// Hex strings in JSON for byte fields that are not secret.
pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode_upper(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_bytes_never_reach_a_log() {
        let record = Record { sfi: 2, number: 1, bytes: hex::decode("70045A025413").unwrap() };
        assert_eq!(format!("{record:?}"), "Record(2.1, 6 bytes, redacted)");
    }
}
