//! Fuzz targets: what untrusted bytes may do to the wallet and its servers.
//!
//! A target is a plain function on bytes that panics if a promise is broken (`docs/fuzzing.md` lists
//! the promises). libFuzzer calls it from `fuzz_targets`, with the feature `libfuzzer`; `tests/replay.rs`
//! calls it with every file of `corpus` and `regressions`, on a plain toolchain.
//!
//! What a target expects is worked out here from the rules, not by the code that is judged: `ber`
//! reads TLV, `model` knows the order of commands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target says by panicking what is wrong")]

mod answer;
mod apdu;
mod ber;
mod cards;
mod command;
mod conversation;
mod dol;
mod edit;
mod envelope;
mod facts;
mod key_set;
mod model;
mod open_api;
mod phone;
mod profile;
mod purchase;
mod request;
mod script;
mod service;
mod tap;
mod tlv;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the binary, and of its folders below `corpus` and `regressions`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "tlv", run: tlv::run },
    Target { name: "dol", run: dol::run },
    Target { name: "apdu", run: apdu::run },
    Target { name: "tap", run: tap::run },
    Target { name: "profile", run: profile::run },
    Target { name: "envelope", run: envelope::run },
    Target { name: "key_set", run: key_set::run },
    Target { name: "request", run: request::run },
    Target { name: "open_api", run: open_api::run },
];

/// Runs the target of that name.
///
/// # Panics
/// If there is none, or if `input` breaks one of its promises.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}
