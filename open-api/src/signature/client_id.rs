//! The name of a partner.

use std::sync::Arc;

/// A partner's `Client-Id`: 1 to 64 letters, digits, `_` and `-`, for example
/// `SANDBOX_5YC47N2ZQHJ004124`.
///
/// No full stop, for that separates the parts of what is signed: with one, a name could say what a time or
/// the beginning of a body says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Characters at most.
    pub const MAX_CHARS: usize = 64;

    /// Reads one.
    ///
    /// # Errors
    /// [`ClientIdError`] for every other text.
    pub fn parse(text: &str) -> Result<Self, ClientIdError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=Self::MAX_CHARS).contains(&text.len()) || !text.bytes().all(is_allowed) {
            return Err(ClientIdError);
        }
        Ok(Self(text.into()))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// It is not the name of a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("client id is not 1 to {} letters, digits, underscores and hyphens", ClientId::MAX_CHARS)]
pub struct ClientIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_shift_the_parts_of_what_is_signed_is_refused() {
        assert!(ClientId::parse("SANDBOX_5YC47N2ZQHJ004124").is_ok());
        for name in ["", "a.b", "a b", "a\nb", "ä", &"x".repeat(65)] {
            assert_eq!(ClientId::parse(name), Err(ClientIdError), "{name:?}");
        }
    }
}
