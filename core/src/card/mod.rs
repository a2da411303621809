//! The card application: APDU in, APDU out.
//!
//! Owns TLV, DOL, cryptogram, CDA, mag-stripe mode, relay resistance and the order of commands. Of other
//! rooms it uses values only (`payment::TransactionInformation`); what it needs of a tap it asks through
//! [`hooks::TapHooks`].
//!
//! A [`profile::Profile`] arrives from the service and is compiled once into a [`Card`]; the compiled
//! card is shared. A [`CardApplication`] holds the state of one terminal's conversation.

pub mod apdu;
mod application;
mod chain;
mod compile;
mod cryptogram;
mod data_objects;
mod dates;
pub mod dol;
mod fci;
mod generate_ac;
pub mod hooks;
mod icc_key;
mod lists;
mod magstripe;
mod number;
pub mod profile;
mod profile_error;
mod record_data;
mod records;
mod relay;
mod request;
mod sdad;
mod tags;
mod terminal;
#[cfg(test)]
pub(crate) mod test_card;
#[cfg(test)]
mod tests;
pub mod tlv;
mod usage;

use std::sync::Arc;

pub use application::CardApplication;
pub use icc_key::{IccKey, IccKeyError, SignatureError};
pub use profile_error::ProfileError;

use compile::CardApp;
use profile::Rules;

/// The contactless directory (EMV Book B, 3.3.1).
const PPSE: &[u8] = b"2PAY.SYS.DDF01";

/// The contact directory; 6A82 makes a contact terminal go on with its own list.
const PSE: &[u8] = b"1PAY.SYS.DDF01";

/// A personalised card, checked and ready: every answer that does not depend on the terminal is
/// prepared, and the RSA key is parsed. Made by [`Card::admit`] when a profile arrives, and by
/// [`Card::compile`] when a stored one is loaded.
pub struct Card {
    /// Answer to SELECT of the PPSE, with its status word.
    ppse: Vec<u8>,
    applications: Vec<Arc<CardApp>>,
    rules: Arc<Rules>,
    last_four: String,
}

impl Card {
    /// Who issued it and what it allows.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The last four digits of the token's number, for the app's screen.
    #[must_use]
    pub fn last_four(&self) -> &str {
        &self.last_four
    }
}

impl std::fmt::Debug for Card {
    /// Records hold the token's number, and the key is secret: only the number of applications.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({} applications, redacted)", self.applications.len())
    }
}
