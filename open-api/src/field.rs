//! What can be wrong with one field of a message.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
        expected: &'static str,
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
        Self { path: path.to_owned(), problem: FieldProblem::Malformed { expected } }
    }

    /// The same problem, one level further out.
    #[must_use]
    pub fn inside(mut self, parent: &str) -> Self {
        self.path = format!("{parent}.{}", self.path);
        self
    }
}
