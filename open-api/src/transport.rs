//! What the client and the server layer both write on the wire.

use http::HeaderMap;

use crate::clock;
use crate::signature::SignatureError;

/// The body's type, in both directions.
pub(crate) const JSON: &str = "application/json; charset=UTF-8";

/// Largest body, in bytes, that is read unless an option says otherwise. The longest documented field has
/// 20000 characters.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Header names, in the lower case in which they are sent: one official client looks for nothing else.
pub(crate) mod header {
    /// Who.
    pub(crate) const CLIENT_ID: &str = "client-id";
    /// When a request was signed.
    pub(crate) const REQUEST_TIME: &str = "request-time";
    /// When an answer was signed.
    pub(crate) const RESPONSE_TIME: &str = "response-time";
    /// By which key, and with what outcome.
    pub(crate) const SIGNATURE: &str = "signature";
}

/// Longest text of a time, in characters.
const MAX_TIME_CHARS: usize = 64;

/// The one value of a header.
///
/// # Errors
/// [`SignatureError`] if it is absent, empty, there twice, or not printable ASCII.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::HeaderMissing { name })?;
    if values.next().is_some() {
        return Err(SignatureError::HeaderMalformed { reason: "a header is there twice" });
    }
    let value = value.to_str().map_err(|_| SignatureError::HeaderMalformed { reason: "it is not ASCII" })?.trim();
    if value.is_empty() { Err(SignatureError::HeaderMissing { name }) } else { Ok(value) }
}

/// A time as it is signed: opaque, but made of the characters of times. In what is signed, a full stop
/// separates time and body; with others, the beginning of a body could pass for the end of a time.
///
/// # Errors
/// Those of [`single`], and [`SignatureError::TimeMalformed`].
pub(crate) fn time<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, SignatureError> {
    let text = single(headers, name)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":+-. ".contains(&byte);
    if text.len() > MAX_TIME_CHARS || !text.bytes().all(is_allowed) {
        return Err(SignatureError::TimeMalformed { name });
    }
    Ok(text)
}

/// That a signed time is not further than `limit_ms` from now, before or after. 0 checks nothing.
///
/// # Errors
/// [`SignatureError::TimeMalformed`] or [`SignatureError::NotFresh`].
pub(crate) fn check_fresh(text: &str, name: &'static str, now_ms: i64, limit_ms: i64) -> Result<(), SignatureError> {
    if limit_ms == 0 {
        return Ok(());
    }
    let sent_ms = clock::from_header(text).ok_or(SignatureError::TimeMalformed { name })?;
    let off_ms = now_ms.saturating_sub(sent_ms);
    if off_ms.saturating_abs() > limit_ms {
        return Err(SignatureError::NotFresh { off_ms, limit_ms });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_fresh_up_to_the_limit_in_both_directions() {
        let check = |now_ms| check_fresh("1000000", "request-time", now_ms, 600);
        assert_eq!((check(1_000_600), check(999_400)), (Ok(()), Ok(())));
        assert_eq!(check(1_000_601), Err(SignatureError::NotFresh { off_ms: 601, limit_ms: 600 }));
        assert_eq!(check(999_399), Err(SignatureError::NotFresh { off_ms: -601, limit_ms: 600 }));
        assert!(check(i64::MIN).is_err());
        assert_eq!(check_fresh("whenever", "request-time", 0, 0), Ok(()));
    }

    #[test]
    fn a_header_that_is_there_twice_says_nothing() {
        let mut headers = HeaderMap::new();
        headers.append("client-id", "ann".parse().unwrap());
        assert_eq!(single(&headers, "client-id"), Ok("ann"));
        headers.append("client-id", "bob".parse().unwrap());
        assert!(matches!(single(&headers, "client-id"), Err(SignatureError::HeaderMalformed { .. })));
    }

    #[test]
    fn the_beginning_of_a_body_is_no_end_of_a_time() {
        let mut headers = HeaderMap::new();
        headers.insert("request-time", "2025-02-20T08:51:49Z.{\"note\":\"v1".parse().unwrap());
        assert!(time(&headers, "request-time").is_err());
    }
}
