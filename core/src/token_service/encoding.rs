//! The encodings of the wire, read strictly: each value has one form, so that no byte of a message
//! can be changed without being noticed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::WalletError;

/// The version of the wire that this library speaks.
pub(super) const WIRE_VERSION: u32 = 1;

/// An answer that breaks the wire's rules.
pub(super) fn protocol(reason: &'static str) -> WalletError {
    WalletError::Protocol { reason }
}

/// Reads exactly `N` bytes of lower-case hex.
pub(super) fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Reads standard base64 with padding.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Writes standard base64 with padding.
pub(super) fn base64_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads a body of this wire version.
pub(super) fn parse_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WalletError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let version: Version = parse_json(body)?;
    if version.v != WIRE_VERSION {
        return Err(protocol("wrong version"));
    }
    parse_json(body)
}

/// Reads JSON in UTF-8.
pub(super) fn parse_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WalletError> {
    // serde_json checks only the strings that it reads; the rest must be text, too.
    let text = std::str::from_utf8(bytes).map_err(|_| protocol("not UTF-8"))?;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => protocol("fields missing or of the wrong kind"),
        _ => protocol("not JSON"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_form_only() {
        assert_eq!(hex_array("0aff"), Some([0x0A, 0xFF]));
        assert_eq!(hex_array::<2>("0AFF"), None);
        assert_eq!(hex_array::<2>("0aff00"), None);
        assert_eq!(base64_bytes("AAE="), Some(vec![0, 1]));
        // Not canonical: the last two bits of 'F' are not zero.
        assert_eq!(base64_bytes("AAF="), None);
        assert_eq!(base64_bytes("AAE"), None);
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        #[derive(Debug, Deserialize)]
        struct Body {
            #[allow(dead_code, reason = "only its presence matters")]
            ct: String,
        }
        let reason = |body: &[u8]| match parse_body::<Body>(body) {
            Err(WalletError::Protocol { reason }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(b""), "not JSON");
        assert_eq!(reason(b"<html>"), "not JSON");
        assert_eq!(reason(b"\xFF{}"), "not UTF-8");
        assert_eq!(reason(br#"{"v":2,"ct":7}"#), "wrong version");
        assert_eq!(reason(br#"{"v":1}"#), "fields missing or of the wrong kind");
        assert_eq!(reason(format!(r#"{{"v":1,"later":{}"#, "[".repeat(100_000)).as_bytes()), "not JSON");
        assert_eq!(reason("[".repeat(100_000).as_bytes()), "fields missing or of the wrong kind");
        parse_body::<Body>(br#"{"v":1,"ct":"","later":[1]}"#).unwrap();
    }
}
