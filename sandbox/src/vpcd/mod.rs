//! A card in a virtual reader: the card's end of vpcd, the PC/SC reader driver of the vsmartcard
//! project.
//!
//! The driver runs inside pcscd and listens; who connects to it is the card in its slot. [`frame`]
//! knows the bytes between the two, [`Slot`] the connection, [`Card`] is what the caller brings. It
//! knows no wallet and starts no thread.
//!
//! ```no_run
//! use std::convert::Infallible;
//! use nfcwallet_sandbox::vpcd::{Card, Power, Slot};
//!
//! /// Knows no application.
//! struct Blank;
//!
//! impl Card for Blank {
//!     type Error = Infallible;
//!
//!     fn atr(&mut self) -> Vec<u8> {
//!         vec![0x3B, 0x80, 0x80, 0x01, 0x01]
//!     }
//!
//!     fn power(&mut self, _change: Power) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//!
//!     fn transmit(&mut self, _command: &[u8]) -> Result<Vec<u8>, Infallible> {
//!         Ok(vec![0x6A, 0x82])
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! Slot::connect("127.0.0.1:35963")?.serve(&mut Blank)?;
//! # Ok(())
//! # }
//! ```

pub mod frame;
mod slot;
#[cfg(test)]
mod tests;

pub use slot::{Card, Slot, SlotError};

/// What a reader does to a card's supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Off; also when the reader goes away.
    Off,
    /// On, cold.
    On,
    /// A warm reset.
    Reset,
}
