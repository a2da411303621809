//! Who signs what in a sandbox.
//!
//! The three RSA keys are checked in: anybody may read them, so they protect nothing and are good for
//! nothing but a sandbox. Drawn anew they would cost every start, and so every test, a third of a second,
//! and a partner's client would need another public key after each.

use alipayplus::server::Identity;
use alipayplus::signature::{ClientId, ClientIdError, KeyError, KeyRing, SigningKey, SigningKeys, Validity};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The payment provider's `Client-Id`: in its calls to the gateway, and in the gateway's calls to it.
pub const MPP_CLIENT_ID: &str = "SANDBOX_MPP";
/// An acquirer's `Client-Id`, for clients in any language.
pub const ACQUIRER_CLIENT_ID: &str = "SANDBOX_ACQUIRER";
/// Under which the gateway answers those whose own `Client-Id` cannot be read.
const GATEWAY_CLIENT_ID: &str = "SANDBOX_GATEWAY";
/// The version of every key here.
pub const KEY_VERSION: u32 = 1;

/// A party that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Alipay+, as the sandbox plays it.
    Gateway,
    /// The payment provider's server.
    Mpp,
    /// Whoever plays an acquirer.
    Acquirer,
}

/// Why the keys of the sandbox cannot be used: a fault of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key.
    #[error("a test key")]
    Key(#[from] KeyError),
    /// A name.
    #[error(transparent)]
    Name(#[from] ClientIdError),
}

impl Party {
    /// Every party.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Mpp, Self::Acquirer];

    /// In the names of files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Mpp => "mpp",
            Self::Acquirer => "acquirer",
        }
    }

    /// Its private key: PEM of PKCS#8.
    #[must_use]
    pub fn private_pem(self) -> &'static str {
        match self {
            Self::Gateway => include_str!("keys/gateway.pem"),
            Self::Mpp => include_str!("keys/mpp.pem"),
            Self::Acquirer => include_str!("keys/acquirer.pem"),
        }
    }

    /// Its key.
    ///
    /// # Errors
    /// [`KeyError`] if the checked-in file is damaged.
    pub fn key(self) -> Result<SigningKey, KeyError> {
        SigningKey::from_text(self.private_pem())
    }

    /// Its public key as partners upload it: X.509 SubjectPublicKeyInfo in base64.
    ///
    /// # Errors
    /// [`KeyError`] if the checked-in file is damaged.
    pub fn public_base64(self) -> Result<String, KeyError> {
        Ok(STANDARD.encode(self.key()?.verifying_key().to_spki_der()))
    }
}

/// The gateway as it answers.
pub(super) fn identity() -> Result<Identity, KeysError> {
    let keys = SigningKeys::single(KEY_VERSION, Party::Gateway.key()?);
    Ok(Identity { client_id: ClientId::parse(GATEWAY_CLIENT_ID)?, keys })
}

/// Whom the gateway believes.
pub(super) fn partners() -> Result<KeyRing, KeysError> {
    let ring = KeyRing::new();
    for (name, party) in [(MPP_CLIENT_ID, Party::Mpp), (ACQUIRER_CLIENT_ID, Party::Acquirer)] {
        let key = party.key()?.verifying_key().clone();
        ring.add(ClientId::parse(name)?, KEY_VERSION, Validity::ALWAYS, key);
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<String> =
            Party::ALL.map(|party| party.public_base64().unwrap()).into_iter().collect();
        assert_eq!(keys.len(), Party::ALL.len());
    }
}
