//! The token service: the other end of `docs/wire.md`.

pub mod envelope;
pub mod keys;
