//! A simulated phone: keys in a folder, a device that says what a test wants, an app that keeps what
//! it hears, time and randomness under control.
//!
//! Implements the traits of `nfcwallet_core::host` for Rust users. Nothing here is hardware: the key
//! store shows how hardware behaves, it does not protect anything.

mod info;
mod key_files;
mod key_store;
mod listeners;
mod phone;
mod platform;

pub use info::SimDevice;
pub use key_store::{KeyCall, KeyFault, SoftKeyStore};
pub use listeners::{AppEvent, PermitQuestion, Recorder, SimPermit};
pub use phone::SimPhone;
pub use platform::{SeededEntropy, TokioClock, TokioSpawner};
