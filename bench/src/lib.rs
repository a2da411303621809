//! A measuring harness: samples, rows of ratios, the references, and the wallet on a simulated phone.
//!
//! Wall time is reported, never asserted: on another machine both the value and its reference move,
//! so the ratio of one run is what a budget is about. `cargo xtask bench` prints the table.

#![allow(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

pub mod card;
pub mod phone;
pub mod reference;
mod row;
mod samples;
pub mod store;

pub use row::{Row, print};
pub use samples::{Samples, measure, measure_apart};
