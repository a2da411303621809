//! The card application: APDU in, APDU out.
//!
//! Owns TLV, DOL, cryptogram, CDA and the order of commands. Touches no other room; what it needs of
//! a tap it asks through [`hooks::TapHooks`].

pub mod hooks;
pub mod profile;

/// placeholder: the compiled card
#[derive(Debug)]
pub struct Card;
