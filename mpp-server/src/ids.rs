//! Names that this server gives.

use crate::store::StoreError;

/// A new name for a payment or a refund: 32 hex digits. Random, so that several processes need not agree.
///
/// # Errors
/// [`StoreError::Setup`] if the operating system has no randomness.
pub(crate) fn make_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Setup { reason: "no random bytes" })?;
    Ok(hex::encode(bytes))
}
