//! A measuring harness: samples, rows of ratios, and the references that need nothing of the wallet.
//!
//! Wall time is reported, never asserted: on another machine both the value and its reference move,
//! so the ratio of one run is what a budget is about. `cargo xtask bench` prints the table.

#![allow(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

pub mod reference;
mod row;
mod samples;

pub use row::{Row, print};
pub use samples::{Samples, measure};
