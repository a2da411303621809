//! The target `open_api` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nfcwallet_fuzz::run("open_api", input));
