//! The wallet's half of the wire against the service's half: two implementations of `docs/wire.md`
//! that share nothing but the types that travel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "support code of tests")]

mod attacks;
mod clock;
mod keys;
mod phone;
mod round_trip;
mod service;
