//! The stock of single-use credentials: provision, burn, replenish.
//!
//! Owns counting, expiry and replenishment. May touch `storage`, `token_service`.
