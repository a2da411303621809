//! Token life: lock, unlock, delete, suspension, inbox, sync.
//!
//! Owns every change of the token's state after activation. May touch `storage`, `token_service`.

mod status;

pub use status::{Page, Suspender, TokenStatus};
