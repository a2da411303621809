//! What the bindings export, read from the built library: as a list for reviews, and against the rules that
//! the languages behind UniFFI ask for.

pub mod rules;
pub mod surface;
