//! Why a profile is refused.

use super::tlv::Tag;

/// The tag or field of a profile that breaks a rule, and the rule. Shows no value of the profile but
/// lengths, versions and codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ProfileError {
    field: String,
    reason: String,
}

impl ProfileError {
    pub(super) fn new(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    pub(super) fn tag(tag: Tag, reason: impl std::fmt::Display) -> Self {
        Self::new(tag.to_string(), reason)
    }

    /// The tag (`9F38`) or field (`cvm_limits`).
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Its fault, with the limit.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
