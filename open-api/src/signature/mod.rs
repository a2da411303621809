//! Signatures over the exact bytes: it knows bytes and keys, and no message.
//!
//! What is signed is the text of [`SignedContent`]; how, is RSASSA-PKCS1-v1_5 with SHA-256; what is sent, is
//! a [`SignatureHeader`]. Whose keys count, and when, is in [`SigningKeys`] for our own and in [`KeyRing`]
//! for everybody else's.
//!
//! ```
//! use alipayplus::signature::{SignatureHeader, SignedContent, SigningKey, VerifyingKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/signatures.json"))?;
//! # let text = |name: &str| vectors[name].as_str().unwrap_or_default().to_owned();
//! # let (private, public) = (text("privateKeyPkcs8B64_TEST_ONLY"), text("publicKeyX509B64"));
//! let key = SigningKey::from_text(&private)?;
//! let content = SignedContent {
//!     uri: "/aps/api/v1/codes/inquiryCodeRules",
//!     client_id: "SANDBOX_5YC47N2ZQHJ004124",
//!     time: "2025-02-20T08:51:49Z",
//!     body: b"{}",
//! };
//! let header = SignatureHeader::new(1, key.sign(&content)?).to_string();
//! assert!(header.starts_with("algorithm=RSA256,keyVersion=1,signature=Y66lrcJCsZzIIJNq"));
//!
//! let received = SignatureHeader::parse(header.as_bytes())?;
//! VerifyingKey::from_text(&public)?.verify(&content, received.signature())?;
//! # Ok(())
//! # }
//! ```
//!
//! The format and its variants follow the signature pages of the product's documentation
//! (`api_mpp/signature`, `api_acq_tile/signature`); where those are silent, what the official clients do.

mod client_id;
mod content;
mod error;
mod header;
mod key;
mod pem;
mod ring;
mod rotation;

pub use client_id::{ClientId, ClientIdError};
pub use content::SignedContent;
pub use error::SignatureError;
pub use header::{ALGORITHM, DEFAULT_KEY_VERSION, SignatureHeader};
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use ring::KeyRing;
pub use rotation::{SigningKeys, Validity};
