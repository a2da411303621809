//! The rules of JSON on this wire (docs: api_mpp/api_overview, api_acq/api_overview).
//!
//! Every value but lists and objects travels as a text, integers and booleans too; native ones are
//! understood. What is not there is left out; `null` and `""` count as not there. Unknown fields are
//! passed over. [`parse`] and [`to_bytes`] are the only way in and out, [`Names`] the same under other names;
//! `object!` declares the objects.
//!
//! ```
//! use alipayplus::{Amount, wire};
//!
//! let amount: Amount = wire::parse(br#"{"currency":"JPY","value":100}"#)?;
//! assert_eq!(wire::to_bytes(&amount)?, br#"{"currency":"JPY","value":"100"}"#);
//!
//! let error = wire::parse::<Amount>(br#"{"currency":"YEN","value":"100"}"#).unwrap_err();
//! assert_eq!(error.to_string(), "currency is not a currency of ISO 4217");
//! # Ok::<(), alipayplus::FieldError>(())
//! ```

mod json;
mod names;
pub(crate) mod object;
pub(crate) mod part;
mod reader;
#[cfg(test)]
mod tests;
mod time;

pub use json::Json;
pub use names::Names;
pub(crate) use part::{Part, Rule};
pub use time::DateTime;
pub(crate) use time::EPOCH;

use crate::{FieldError, Message};

/// Reads a message and checks it.
///
/// # Errors
/// [`FieldError`] for what is not JSON (with the path `body`; see [`Json::parse`]), and for the first
/// field that breaks a rule of its page. On the wire both are `PARAM_ILLEGAL`.
pub fn parse<M: Message>(bytes: &[u8]) -> Result<M, FieldError> {
    read(&Json::parse(bytes)?)
}

/// Reads a message out of JSON that is already apart, and checks it.
///
/// # Errors
/// As [`parse`].
pub fn read<M: Message>(json: &Json<'_>) -> Result<M, FieldError> {
    let message = M::deserialize(reader::Reader(json)).map_err(with_path)?;
    message.check().map_err(with_path)?;
    Ok(message)
}

/// The bytes to sign and to send. What we would refuse, we do not send.
///
/// # Errors
/// [`FieldError`] for the first field that breaks a rule of its page.
pub fn to_bytes<M: Message>(message: &M) -> Result<Vec<u8>, FieldError> {
    message.check().map_err(with_path)?;
    serde_json::to_vec(message).map_err(|_| FieldError::malformed("body", "a message that can be written"))
}

/// An error of the whole message gets a name too.
fn with_path(error: FieldError) -> FieldError {
    match error.path.is_empty() {
        true => error.inside("body"),
        false => error,
    }
}
