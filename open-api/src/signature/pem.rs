//! From the texts in which keys are handed over to the bytes in them.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::KeyError;

/// Longest text that is looked at. A key of 8192 bits takes about 7 KiB.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Base64 that takes padding and takes its absence.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a key, and what its text calls them.
pub(super) struct Decoded<'a> {
    /// What stands between `-----BEGIN ` and `-----`; `None` for bare base64.
    pub(super) label: Option<&'a str>,
    /// DER. Wiped when dropped.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// Reads the first PEM block (RFC 7468) of `text`, or all of it as base64.
pub(super) fn decode(text: &str) -> Result<Decoded<'_>, KeyError> {
    if text.len() > MAX_BYTES {
        return Err(KeyError::TooLong { bytes: text.len(), limit: MAX_BYTES });
    }
    let Some((_, rest)) = text.split_once("-----BEGIN ") else {
        return Ok(Decoded { label: None, der: decode_base64(text)? });
    };
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::PemBroken)?;
    let (content, rest) = rest.split_once("-----END ").ok_or(KeyError::PemBroken)?;
    if rest.split_once("-----").is_none_or(|(end, _)| end != label) {
        return Err(KeyError::PemBroken);
    }
    // The older way to encrypt says so in headers of its own (RFC 1421).
    if label.starts_with("ENCRYPTED ") || content.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    Ok(Decoded { label: Some(label), der: decode_base64(content)? })
}

fn decode_base64(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut compact = Zeroizing::new(Vec::with_capacity(text.len()));
    compact.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    if compact.is_empty() {
        return Err(KeyError::Empty);
    }
    // Room for all of it: a buffer that grew would leave a copy behind.
    let mut der = Zeroizing::new(Vec::with_capacity(compact.len()));
    LENIENT.decode_vec(compact.as_slice(), &mut der).map_err(|_| KeyError::NotBase64)?;
    Ok(der)
}

/// PEM (RFC 7468): lines of 64 characters.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let mut base64 = Zeroizing::new(String::with_capacity(der.len().saturating_mul(4) / 3 + 4));
    LENIENT.encode_string(der, &mut base64);
    let mut pem = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    for (at, letter) in base64.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}
