//! What a call came to.

use crate::signature::SignatureError;
use crate::{FieldError, ResultInfo};

/// What is known after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unknown outcome has to be inquired"]
pub enum Outcome<A> {
    /// It succeeded or failed, and will not change: the answer's result says which.
    Final(A),
    /// Nobody knows. It may have happened, and may still happen.
    Unknown(Unknown<A>),
}

impl<A> Outcome<A> {
    /// The final answer, if there is one.
    #[must_use]
    pub fn into_final(self) -> Option<A> {
        match self {
            Self::Final(answer) => Some(answer),
            Self::Unknown(_) => None,
        }
    }
}

/// A call without a final answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown<A> {
    /// How the last attempt ended.
    pub last: Cause<A>,
    /// How often it was tried, at least once.
    pub attempts: u32,
    /// Whether any attempt may have reached the other side. If not, nothing has happened there.
    pub may_have_arrived: bool,
}

/// Why an attempt brought no final answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause<A> {
    /// A verified answer with status `U`.
    #[error("the other side does not know yet")]
    InProcess(A),
    /// An unsigned answer, with status `U`, or `F` where that does not suffice. Its result is a hint.
    #[error("an unsigned answer: {0}")]
    Unsigned(ResultInfo),
    /// A failure that says why this attempt was not looked at, after one that may have been.
    #[error("a repetition was turned away: {0}")]
    TurnedAway(ResultInfo),
    /// An answer that is not provably the other side's.
    #[error("an answer that cannot be verified: {0}")]
    Unverified(SignatureError),
    /// A verified answer that breaks a rule, or an unsigned one without a result.
    #[error("an answer that cannot be read: {0}")]
    Malformed(FieldError),
    /// Another HTTP status than 200.
    #[error("http status {0}")]
    HttpStatus(u16),
    /// An answer that is too long.
    #[error("an answer of more than {limit} bytes")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No connection: not sent.
    #[error("no connection")]
    NotConnected,
    /// The connection broke.
    #[error("the connection broke")]
    Interrupted,
    /// A repetition could not be signed: not sent.
    #[error("cannot sign: {0}")]
    NotSigned(SignatureError),
}

impl<A> Cause<A> {
    /// Whether the request of this attempt may have reached the other side.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::NotConnected | Self::NotSigned(_))
    }

    /// A name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InProcess(_) => "in_process",
            Self::Unsigned(_) => "unsigned",
            Self::TurnedAway(_) => "turned_away",
            Self::Unverified(_) => "unverified",
            Self::Malformed(_) => "malformed",
            Self::HttpStatus(_) => "http_status",
            Self::TooLong { .. } => "too_long",
            Self::TimedOut => "timed_out",
            Self::NotConnected => "not_connected",
            Self::Interrupted => "interrupted",
            Self::NotSigned(_) => "not_signed",
        }
    }

    pub(super) fn of(error: &reqwest::Error) -> Self {
        match error {
            error if error.is_connect() => Self::NotConnected,
            error if error.is_timeout() => Self::TimedOut,
            _ => Self::Interrupted,
        }
    }
}

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request breaks a rule of its page.
    #[error("the request breaks a rule: {0}")]
    Request(FieldError),
    /// The path is none.
    #[error("{path} is not a path")]
    Path {
        /// Which.
        path: String,
    },
    /// It cannot be signed.
    #[error("cannot sign: {0}")]
    NotSigned(SignatureError),
}
