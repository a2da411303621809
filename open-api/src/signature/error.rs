//! Why a signature does not count.

use super::ClientId;
use crate::ResultCode;

/// Why a request or an answer cannot be taken for its sender's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header that must be there is not, or is empty.
    #[error("the header {name} is missing")]
    HeaderMissing {
        /// Its name.
        name: &'static str,
    },
    /// The `Signature` header does not have its form.
    #[error("the signature header is malformed: {reason}")]
    HeaderMalformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another algorithm than `RSA256`.
    #[error("the algorithm is not RSA256")]
    AlgorithmUnsupported,
    /// `Client-Id` is not a name.
    #[error("the client id is malformed")]
    ClientMalformed,
    /// `Client-Id` names nobody known.
    #[error("the client {client_id} is not known")]
    ClientUnknown {
        /// Who.
        client_id: ClientId,
    },
    /// An answer names another client than the request did.
    #[error("the answer is for another client")]
    ClientDiffers,
    /// The client has no key of this version, at this time.
    #[error("the client {client_id} has no valid key of version {version}")]
    KeyUnknown {
        /// Who.
        client_id: ClientId,
        /// Which.
        version: u32,
    },
    /// The signature is not that of these bytes by this key.
    #[error("the signature does not verify")]
    Mismatch,
    /// The time is not a time.
    #[error("the time in {name} cannot be read")]
    TimeMalformed {
        /// The header's name.
        name: &'static str,
    },
    /// The time is too far from ours.
    #[error("the time differs by {off_ms} ms, limit {limit_ms}")]
    NotFresh {
        /// Milliseconds; negative if the sender's time is ahead.
        off_ms: i64,
        /// Milliseconds.
        limit_ms: i64,
    },
    /// There is no key of ours to sign with at this time.
    #[error("no signing key is valid now")]
    NoSigningKey,
    /// The cryptographic library could not sign.
    #[error("signing failed")]
    SigningFailed,
}

impl SignatureError {
    /// What a server answers.
    #[must_use]
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::ClientMalformed | Self::ClientUnknown { .. } | Self::ClientDiffers => ResultCode::InvalidClient,
            Self::HeaderMissing { name } if name.eq_ignore_ascii_case("client-id") => ResultCode::InvalidClient,
            Self::KeyUnknown { .. } => ResultCode::KeyNotFound,
            Self::HeaderMissing { .. }
            | Self::HeaderMalformed { .. }
            | Self::AlgorithmUnsupported
            | Self::Mismatch
            | Self::TimeMalformed { .. }
            | Self::NotFresh { .. } => ResultCode::InvalidSignature,
            Self::NoSigningKey | Self::SigningFailed => ResultCode::UnknownException,
        }
    }
}
