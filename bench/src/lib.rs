//! A measuring harness: samples, rows of ratios, the references, and the wallet on a simulated phone.
//!
//! Wall time is reported, never asserted: on another machine both the value and its reference move,
//! so the ratio of one run is what a budget is about. `cargo xtask bench` prints the table.
//!
//! * `bare_card`: the card application alone, measured by Criterion (`timed`) and callgrind (`counted`).
//! * `card`: taps through the whole wallet, in the rhythm of a terminal. `store`: cold starts.
//! * `border`: the same wallet through Kotlin and Swift.
//! * `rsa`: the private operation, ours and OpenSSL's. `leak`: does its time tell secrets?
//! * `reference`: what the disk and the system can do.

#![allow(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

pub mod bare_card;
pub mod border;
pub mod card;
pub mod commits;
pub mod conversation;
pub mod counted;
pub mod leak;
pub mod phone;
pub mod reference;
mod row;
#[cfg(feature = "openssl")]
pub mod rsa;
mod samples;
pub mod store;
pub mod timed;

pub use row::{Row, print};
pub use samples::{Samples, measure, measure_apart};
