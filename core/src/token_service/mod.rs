//! The token service as typed calls: sealed envelope, operations and their answers.
//!
//! Nothing else knows the wire (`docs/wire.md`). May touch `host` and `storage` (cached keys, clock).

pub mod operations;
