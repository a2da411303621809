//! What the token service needs of a card issuer.

use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::token_service::operations::WireCredential;

use crate::issuer::{Issuer, Personalisation};

/// Makes cards and their credentials.
///
/// Called on a worker thread; may take as long as generating an RSA key takes.
pub trait CardIssuer: Send + Sync {
    /// Personalises a card for the user's token. The same token gives the same card.
    ///
    /// # Errors
    /// [`IssuerError`]: the service answers `internal`.
    fn personalise(&self, token_reference: &str, user: &str) -> Result<Profile, IssuerError>;

    /// The card of the user's token in another shape, with the number and the keys that it has.
    ///
    /// # Errors
    /// [`IssuerError`]: the personalisation is out of range, or as above.
    fn personalise_as(
        &self,
        token_reference: &str,
        user: &str,
        personalisation: &Personalisation,
    ) -> Result<Profile, IssuerError>;

    /// `count` credentials of the token, with consecutive counters from `first_atc`.
    ///
    /// # Errors
    /// [`IssuerError`]: the service answers `internal`.
    fn credentials(
        &self,
        token_reference: &str,
        first_atc: u16,
        count: u32,
        expires_at_ms: i64,
    ) -> Result<Vec<WireCredential>, IssuerError>;
}

/// The issuer could not make a card or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct IssuerError {
    /// Why, without a key or a card number.
    pub reason: String,
}

impl CardIssuer for Issuer {
    fn personalise(&self, token_reference: &str, user: &str) -> Result<Profile, IssuerError> {
        Self::personalise(self, token_reference, user).map_err(|error| IssuerError { reason: error.to_string() })
    }

    fn personalise_as(
        &self,
        token_reference: &str,
        user: &str,
        personalisation: &Personalisation,
    ) -> Result<Profile, IssuerError> {
        Self::personalise_as(self, token_reference, user, personalisation)
            .map_err(|error| IssuerError { reason: error.to_string() })
    }

    fn credentials(
        &self,
        token_reference: &str,
        first_atc: u16,
        count: u32,
        expires_at_ms: i64,
    ) -> Result<Vec<WireCredential>, IssuerError> {
        Self::credentials(self, token_reference, first_atc, count, expires_at_ms)
            .map_err(|error| IssuerError { reason: error.to_string() })
    }
}
