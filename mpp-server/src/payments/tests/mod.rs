//! Stories of payments, on every database.

mod paying;
mod world;
