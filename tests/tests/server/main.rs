//! The whole way of a tap: wallet, terminal, issuer, gateway, payment provider, and back into the app. Every
//! message between gateway and provider is signed; the three books must agree at the end of each story.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod desk;
mod faults;
mod scheme;
mod taps;
