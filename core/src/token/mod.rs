//! Token life: lock, unlock, delete, suspension, inbox, sync.
//!
//! Owns every change of the token's state after activation, and the one function that derives the
//! status. May touch `storage`, `token_service`, `card` (to check a new profile).

mod change;
mod facts;
mod inbox;
mod status;
mod sync;

pub(crate) use change::{begin_change, resume_change};
pub(crate) use facts::{Facts, gather};
pub(crate) use inbox::{Drained, drain};
pub use status::{Page, Suspender, TokenStatus};
pub(crate) use sync::{CONFIG_SETTING, sync, take_config};
