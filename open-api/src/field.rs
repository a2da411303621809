//! What can be wrong with one field of a message.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Expected, Unexpected};

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {problem}")]
pub struct FieldError {
    /// Where it is: names and indices with dots, for example `order.goods.0.goodsName`.
    pub path: String,
    /// The rule.
    pub problem: FieldProblem,
}

/// The rule that a field breaks. No variant repeats the field's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It must be there.
    #[error("is required")]
    Missing,
    /// It has more characters than its page allows.
    #[error("is longer than {limit} characters")]
    TooLong {
        /// Characters allowed.
        limit: usize,
    },
    /// It has more elements than its page allows.
    #[error("has more than {limit} elements")]
    TooMany {
        /// Elements allowed.
        limit: usize,
    },
    /// It is not what its page asks for.
    #[error("is not {expected}")]
    Malformed {
        /// What is expected, for example `a currency of three letters`.
        expected: Cow<'static, str>,
    },
}

impl FieldError {
    /// `path` must be there.
    #[must_use]
    pub fn missing(path: &str) -> Self {
        Self { path: path.to_owned(), problem: FieldProblem::Missing }
    }

    /// `path` must be `expected`.
    #[must_use]
    pub fn malformed(path: &str, expected: &'static str) -> Self {
        Self { path: path.to_owned(), problem: FieldProblem::Malformed { expected: expected.into() } }
    }

    /// The same problem, one level further out.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => parent.to_owned(),
            path => format!("{parent}.{path}"),
        };
        self
    }

    /// An absent value is missing, any other is not `expected`. The value itself is not kept.
    fn unexpected(found: &Unexpected<'_>, expected: &dyn Expected) -> Self {
        let problem = match found {
            Unexpected::Unit | Unexpected::Option | Unexpected::Str("") => FieldProblem::Missing,
            _ => FieldProblem::Malformed { expected: expected.to_string().into() },
        };
        Self { path: String::new(), problem }
    }
}

/// What a reader of messages says. The path begins empty and grows on the way out.
impl serde::de::Error for FieldError {
    fn custom<T: fmt::Display>(expected: T) -> Self {
        Self { path: String::new(), problem: FieldProblem::Malformed { expected: expected.to_string().into() } }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unexpected(&found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unexpected(&found, expected)
    }

    fn unknown_variant(_variant: &str, _expected: &'static [&'static str]) -> Self {
        Self::malformed("", "a word that its page names")
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::malformed(field, "given once")
    }
}
