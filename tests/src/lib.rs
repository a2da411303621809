//! The mock HCE harness: phones, a platform between reader and wallet, and the scenarios that drive
//! them.
//!
//! Owns the platform's side of a tap ([`platform`]), phones as processes ([`mod@unit`]), the form of
//! scenario files ([`scenario`], `scenarios/README.md`), and the lines that no phone understands ([`mod@lines`]). Touches wallets only through the phone
//! protocol, so that a phone in another language can take the place of ours.

pub mod files;
pub mod invariants;
pub mod lines;
pub mod pattern;
pub mod platform;
pub mod runner;
pub mod scenario;
pub mod store_fixture;
pub mod till;
pub mod unit;
