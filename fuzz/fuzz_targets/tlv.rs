//! The target `tlv` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nfcwallet_fuzz::run("tlv", input));
