//! The value of the `Signature` header.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::SignatureError;
use super::pem::LENIENT;

/// The only algorithm: RSASSA-PKCS1-v1_5 with SHA-256.
pub const ALGORITHM: &str = "RSA256";

/// The version of a key that the official clients name, and that a header without one means.
pub const DEFAULT_KEY_VERSION: u32 = 1;

/// Longest value that is looked at. A signature of 8192 bits, every character of it percent-encoded, fits.
const MAX_BYTES: usize = 8192;

/// Longest signature: that of the longest key, 8192 bits. A longer one verifies with no key, and some could
/// not be read again once they are written.
const MAX_SIGNATURE_BYTES: usize = 1024;

/// As form encoding does: everything but letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Algorithm, version of the key, signature.
///
/// Written as the official clients write it, `algorithm=RSA256,keyVersion=1,signature=<base64, percent-encoded>`.
/// Read leniently, for partners differ; see [`Self::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeader {
    key_version: u32,
    signature: Vec<u8>,
}

impl SignatureHeader {
    /// With the signature's bytes as they come out of the key.
    #[must_use]
    pub fn new(key_version: u32, signature: Vec<u8>) -> Self {
        Self { key_version, signature }
    }

    /// Reads a value: its three parts in any order, with spaces around them and around the first `=`, names
    /// and algorithm in any case. Without an algorithm it is `RSA256`; without a version it is
    /// [`DEFAULT_KEY_VERSION`]; parts of other names are skipped. The signature is percent-decoded only if
    /// it has a `%`; a `+` is never a space; both alphabets of base64 are read, with padding and without.
    ///
    /// # Errors
    /// [`SignatureError`] for a header that is empty, too long, without a signature or with one of more than
    /// 1024 bytes, or malformed.
    pub fn parse(value: &[u8]) -> Result<Self, SignatureError> {
        let text = printable(value)?;
        let (mut version, mut signature) = (None, None);
        let mut algorithm = None;
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else { continue };
            let place = match name.trim() {
                name if name.eq_ignore_ascii_case("algorithm") => &mut algorithm,
                name if name.eq_ignore_ascii_case("keyVersion") => &mut version,
                name if name.eq_ignore_ascii_case("signature") => &mut signature,
                _ => continue,
            };
            // Two of a kind: which one counts must not depend on who reads it.
            if place.replace(value.trim()).is_some() {
                return Err(malformed("a part is there twice"));
            }
        }
        if algorithm.is_some_and(|name| !name.eq_ignore_ascii_case(ALGORITHM)) {
            return Err(SignatureError::AlgorithmUnsupported);
        }
        Ok(Self {
            key_version: version.map_or(Ok(DEFAULT_KEY_VERSION), read_version)?,
            signature: read_signature(signature.ok_or(malformed("it has no signature"))?)?,
        })
    }

    /// Which of the sender's keys.
    #[must_use]
    pub fn key_version(&self) -> u32 {
        self.key_version
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl std::fmt::Display for SignatureHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signature = STANDARD.encode(&self.signature);
        let signature = utf8_percent_encode(&signature, ENCODED);
        write!(f, "algorithm={ALGORITHM},keyVersion={},signature={signature}", self.key_version)
    }
}

fn printable(value: &[u8]) -> Result<&str, SignatureError> {
    if value.iter().all(u8::is_ascii_whitespace) {
        return Err(SignatureError::HeaderMissing { name: "Signature" });
    }
    if value.len() > MAX_BYTES {
        return Err(malformed("it is too long"));
    }
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).ok_or(malformed("it is not ASCII"))
}

fn read_version(text: &str) -> Result<u32, SignatureError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(malformed("the version of the key is not a number"))
}

fn read_signature(text: &str) -> Result<Vec<u8>, SignatureError> {
    let not_base64 = || malformed("the signature is not base64");
    let text = match text.contains('%') {
        true => percent_decode_str(text).decode_utf8().map_err(|_| not_base64())?,
        false => Cow::Borrowed(text),
    };
    let text = text.replace('-', "+").replace('_', "/");
    let signature = LENIENT.decode(text).map_err(|_| not_base64())?;
    match signature.len() {
        0 => Err(malformed("the signature is empty")),
        1..=MAX_SIGNATURE_BYTES => Ok(signature),
        _ => Err(malformed("the signature is too long")),
    }
}

fn malformed(reason: &'static str) -> SignatureError {
    SignatureError::HeaderMalformed { reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Base64 `+/+/++==`: every character that encoding changes.
    const BYTES: [u8; 4] = [0xfb, 0xff, 0xbf, 0xfb];

    fn read(text: &str) -> Result<SignatureHeader, SignatureError> {
        SignatureHeader::parse(text.as_bytes())
    }

    #[test]
    fn every_known_way_to_write_the_same_signature_is_read() {
        let expected = SignatureHeader::new(1, BYTES.to_vec());
        let ways = [
            "algorithm=RSA256,keyVersion=1,signature=%2B%2F%2B%2F%2Bw%3D%3D",
            "algorithm=RSA256, keyVersion=1, signature=%2b%2f%2b%2f%2bw%3d%3d",
            "signature=+/+/+w==,keyVersion=1,algorithm=RSA256",
            "algorithm=RSA256,keyVersion=1,signature=-_-_-w",
            "algorithm=RSA256,keyVersion=1,signature=+/+/+w",
            "  Algorithm = rsa256 ,, KEYVERSION = 1 , signature = +/+/+w== , more=x",
            "signature=+/+/+w==",
        ];
        for way in ways {
            assert_eq!(read(way).as_ref(), Ok(&expected), "{way}");
        }
    }

    #[test]
    fn it_is_written_as_the_official_clients_write_it() {
        let header = SignatureHeader::new(0, BYTES.to_vec());
        assert_eq!(header.to_string(), "algorithm=RSA256,keyVersion=0,signature=%2B%2F%2B%2F%2Bw%3D%3D");
    }

    #[test]
    fn a_header_with_less_or_more_than_its_parts_is_refused() {
        let cases = [
            ("", SignatureError::HeaderMissing { name: "Signature" }),
            ("  ", SignatureError::HeaderMissing { name: "Signature" }),
            ("algorithm=RSA256,keyVersion=1", malformed("it has no signature")),
            ("algorithm=RSA256,keyVersion=1,signature=", malformed("the signature is empty")),
            ("algorithm=ECC256,keyVersion=1,signature=AAAA", SignatureError::AlgorithmUnsupported),
            ("keyVersion=one,signature=AAAA", malformed("the version of the key is not a number")),
            ("keyVersion=+1,signature=AAAA", malformed("the version of the key is not a number")),
            ("keyVersion=,signature=AAAA", malformed("the version of the key is not a number")),
            ("signature=AAAA,signature=BBBB", malformed("a part is there twice")),
            ("signature=A A A", malformed("the signature is not base64")),
            ("signature=%ff%ff", malformed("the signature is not base64")),
            ("signature=\u{e4}", malformed("it is not ASCII")),
        ];
        for (text, error) in cases {
            assert_eq!(read(text), Err(error), "{text}");
        }
        assert_eq!(read(&"x".repeat(8193)), Err(malformed("it is too long")));
    }

    #[test]
    fn the_longest_signature_is_read_however_it_is_written_and_no_longer_one() {
        let longest = SignatureHeader::new(u32::MAX, vec![0xff; 1024]);
        assert_eq!(read(&longest.to_string()), Ok(longest));
        for characters in [1368, 2720] {
            let text = format!("signature={}", "/".repeat(characters));
            assert_eq!(read(&text), Err(malformed("the signature is too long")), "{characters}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(value: Vec<u8>) {
            let _ = SignatureHeader::parse(&value);
        }

        #[test]
        fn any_text_of_the_right_letters_is_read_or_refused(value in "[a-zA-Z0-9=, %+/_-]{0,80}") {
            let _ = SignatureHeader::parse(value.as_bytes());
            let _ = SignatureHeader::parse(format!("signature={value}").as_bytes());
        }

        #[test]
        fn what_is_written_is_read_again(version: u32, signature in prop::collection::vec(any::<u8>(), 1..600)) {
            let header = SignatureHeader::new(version, signature);
            prop_assert_eq!(SignatureHeader::parse(header.to_string().as_bytes()), Ok(header));
        }
    }
}
