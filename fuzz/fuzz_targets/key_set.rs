//! The target `key_set` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nfcwallet_fuzz::run("key_set", input));
