//! The journalled activation machine, manual and silent.
//!
//! Owns the journal's steps and the progress. May touch `storage`, `token_service`, `host`.

mod progress;

pub use progress::{ActivationMode, ActivationPhase, ActivationProgress};
