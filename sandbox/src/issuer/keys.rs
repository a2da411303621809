//! Symmetric keys of the issuer: master keys, session keys, and the cryptograms made with them.
//!
//! Written apart from the card's own code, so that an error in one is found by the other.

use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};
use nfcwallet_core::secret::Secret;
use sha1::{Digest, Sha1};

use super::Pan;

/// ICC master key from the issuer's (EMV Book 2, A1.4): option A for up to 16 digits, option B for
/// longer numbers. Parity adjusted.
#[must_use]
pub fn icc_master_key(issuer: &Secret<16>, pan: &Pan, sequence: u8) -> Secret<16> {
    let digits = format!("{}{:02}", pan.expose(), sequence % 100);
    let y = if pan.expose().len() <= 16 { option_a(&digits) } else { option_b(&digits) };
    let cipher = TdesEde2::new(issuer.expose().into());
    derive(&cipher, y, y.map(|byte| byte ^ 0xFF))
}

/// EMV common session key for one transaction counter (EMV Book 2, A1.3.1). Parity adjusted.
#[must_use]
pub fn session_key(master: &Secret<16>, atc: u16) -> Secret<16> {
    let [high, low] = atc.to_be_bytes();
    let cipher = TdesEde2::new(master.expose().into());
    derive(&cipher, [high, low, 0xF0, 0, 0, 0, 0, 0], [high, low, 0x0F, 0, 0, 0, 0, 0])
}

/// Application cryptogram: ISO/IEC 9797-1 algorithm 3, padding method 2 (EMV Book 2, 8.1.2).
#[must_use]
pub fn application_cryptogram(session: &Secret<16>, input: &[u8]) -> [u8; 8] {
    let (left, right) = halves(session);
    let (left, right) = (Des::new(&left.into()), Des::new(&right.into()));
    let mut padded = input.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(8), 0);
    let chained = padded.chunks(8).fold([0u8; 8], |state, block| {
        let mut mixed = state;
        mixed.iter_mut().zip(block).for_each(|(to, from)| *to ^= from);
        single(mixed, |bytes| left.encrypt_block(bytes.into()))
    });
    let opened = single(chained, |bytes| right.decrypt_block(bytes.into()));
    single(opened, |bytes| left.encrypt_block(bytes.into()))
}

/// Authorisation response cryptogram, method 1 (EMV Book 2, 8.2.1), under the session key.
#[must_use]
pub fn response_cryptogram(session: &Secret<16>, cryptogram: [u8; 8], response_code: [u8; 2]) -> [u8; 8] {
    let mut mixed = cryptogram;
    mixed.iter_mut().zip(response_code).for_each(|(to, from)| *to ^= from);
    let cipher = TdesEde2::new(session.expose().into());
    single(mixed, |bytes| cipher.encrypt_block(bytes.into()))
}

/// CVC3 of one track in mag-stripe mode; `track` as the card's record holds it, `key` of this counter.
/// The IV is the last 2 bytes of the MAC over the track.
#[must_use]
pub fn cvc3(key: &Secret<16>, track: &[u8], unpredictable_number: [u8; 4], atc: u16) -> [u8; 2] {
    let [.., high, low] = application_cryptogram(key, track);
    let iv = [high, low];
    let parts = [&iv[..], &unpredictable_number, &atc.to_be_bytes()];
    let mut block = [0; 8];
    block.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    let cipher = TdesEde2::new(key.expose().into());
    let [.., high, low] = single(block, |bytes| cipher.encrypt_block(bytes.into()));
    [high, low]
}

fn option_a(digits: &str) -> [u8; 8] {
    rightmost_digits(digits.chars().filter_map(|digit| digit.to_digit(10)))
}

fn option_b(digits: &str) -> [u8; 8] {
    // The number is padded on the left to whole bytes.
    let even = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    let hash = hex::encode(Sha1::digest(super::pan::pack_digits(&even)));
    let decimal = hash.chars().filter_map(|nibble| nibble.to_digit(10));
    let mapped = hash.chars().filter_map(|nibble| nibble.to_digit(16)).filter(|n| *n > 9).map(|n| n - 10);
    rightmost_digits(decimal.chain(mapped).take(16))
}

/// The last 16 digits, packed; zeros in front of fewer.
fn rightmost_digits(digits: impl Iterator<Item = u32>) -> [u8; 8] {
    // A u64 of nibbles keeps the rightmost 16 by shifting the others out.
    digits.fold(0u64, |packed, digit| packed << 4 | u64::from(digit)).to_be_bytes()
}

fn derive(cipher: &TdesEde2, left: [u8; 8], right: [u8; 8]) -> Secret<16> {
    let mut key = [0; 16];
    let blocks = [left, right].map(|half| single(half, |bytes| cipher.encrypt_block(bytes.into())));
    key.iter_mut().zip(blocks.iter().flatten()).for_each(|(to, from)| *to = odd_parity(*from));
    Secret::new(key)
}

fn odd_parity(byte: u8) -> u8 {
    let upper = byte & 0xFE;
    upper | u8::from(upper.count_ones().is_multiple_of(2))
}

fn halves(key: &Secret<16>) -> ([u8; 8], [u8; 8]) {
    let (mut left, mut right) = ([0; 8], [0; 8]);
    left.iter_mut().chain(right.iter_mut()).zip(key.expose()).for_each(|(to, from)| *to = *from);
    (left, right)
}

fn single(mut block: [u8; 8], work: impl FnOnce(&mut [u8; 8])) -> [u8; 8] {
    work(&mut block);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test data of PyPI `pyemv` 1.5.0 (MIT); origin and notice are beside the file.
    const VECTORS: &str = include_str!("../../../core/src/card/vectors/symmetric.json");

    fn vectors() -> serde_json::Value {
        serde_json::from_str(VECTORS).unwrap()
    }

    fn bytes(value: &serde_json::Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }

    fn key(value: &serde_json::Value) -> Secret<16> {
        Secret::from_slice(&bytes(value)).unwrap()
    }

    /// The vectors' number has no right check digit, so it never was a card's.
    fn unchecked(value: &serde_json::Value) -> Pan {
        Pan::unchecked(value.as_str().unwrap())
    }

    #[test]
    fn master_and_session_keys_match_the_published_vectors() {
        for part in ["application_cryptogram", "cvc3"] {
            let v = &vectors()[part];
            let sequence = v["pan_sequence_number"].as_str().unwrap().parse().unwrap();
            let master = icc_master_key(&key(&v["issuer_master_key"]), &unchecked(&v["pan"]), sequence);
            assert_eq!(master.expose()[..], bytes(&v["icc_master_key"]));
        }
        let v = &vectors()["application_cryptogram"];
        let atc = u16::from_str_radix(v["atc"].as_str().unwrap(), 16).unwrap();
        let session = session_key(&key(&v["icc_master_key"]), atc);
        assert_eq!(session.expose()[..], bytes(&v["session_key_emv_csk"]));
    }

    #[test]
    fn cryptograms_and_responses_match_the_published_vectors() {
        let v = &vectors()["application_cryptogram"];
        let results = v["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        for result in results {
            let session = key(&v[format!("session_key_{}", result["session_key"].as_str().unwrap())]);
            let mut input = bytes(&v["input"]);
            if result["counters"].as_bool().unwrap() {
                input.extend(bytes(&v["counters"]));
            }
            let cryptogram = application_cryptogram(&session, &input);
            assert_eq!(cryptogram[..], bytes(&result["cryptogram"]));
            let response_key = match result["arpc_key"].as_str().unwrap() {
                "session_key" => session,
                _ => key(&v["icc_master_key"]),
            };
            let code = bytes(&v["arpc_response_code"]).try_into().unwrap();
            assert_eq!(response_cryptogram(&response_key, cryptogram, code)[..], bytes(&result["arpc"]));
        }
    }

    #[test]
    fn the_published_versions_say_which_key_and_whether_counters() {
        let v = &vectors()["application_cryptogram"];
        for result in v["results"].as_array().unwrap() {
            let [version] = bytes(&result["cvn"])[..] else { panic!("a version is one byte") };
            let own_key = version & 0x04 != 0;
            assert_eq!(result["session_key"], if own_key { "emv_csk" } else { "mastercard_skd" });
            assert_eq!(result["arpc_key"], if own_key { "session_key" } else { "icc_master_key" });
            assert_eq!(result["counters"], version & 0x01 != 0);
        }
        let ours = |result: &&serde_json::Value| bytes(&result["cvn"]) == [super::super::authorisation::CVN];
        assert_eq!(v["results"].as_array().unwrap().iter().filter(ours).count(), 1);
    }

    #[test]
    fn checksums_match_the_published_vectors() {
        let v = &vectors()["cvc3"];
        let number = bytes(&v["unpredictable_number"]).try_into().unwrap();
        let atc = u16::from_str_radix(v["atc"].as_str().unwrap(), 16).unwrap();
        for track in ["track1", "track2"] {
            let template = match v[track]["template_encoding"].as_str().unwrap() {
                "hex" => bytes(&v[track]["template"]),
                _ => v[track]["template"].as_str().unwrap().as_bytes().to_vec(),
            };
            let cvc3 = cvc3(&key(&v["icc_master_key"]), &template, number, atc);
            assert_eq!(cvc3[..], bytes(&v[track]["cvc3"]), "{track}");
        }
    }

    #[test]
    fn long_numbers_use_option_b_like_an_independent_program() {
        let issuer = Secret::new(*b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\xFE\xDC\xBA\x98\x76\x54\x32\x10");
        // The hash of the last one has fewer than 16 decimal digits: letters are mapped.
        for digits in ["54133300896041111", "541333008960411112", "5413330089604111123", "541333000000000506"] {
            let theirs = emv::core::master_key_derivation::derive_master_key_option_b(
                issuer.expose(),
                &Pan::unchecked(digits).packed(),
                Some(1),
            );
            let ours = icc_master_key(&issuer, &Pan::unchecked(digits), 1);
            assert_eq!(ours.expose().map(|b| b | 1), theirs.unwrap().map(|b| b | 1), "{} digits", digits.len());
        }
    }

    #[test]
    fn keys_have_odd_parity() {
        let key = session_key(&Secret::new([0x5A; 16]), 7);
        assert!(key.expose().iter().all(|byte| byte.count_ones() % 2 == 1));
    }
}
