//! The application cryptogram and what the issuer needs to check it (tags 9F26 and 9F10).
//!
//! Cryptogram version 14: EMV common session key (EMV Book 2, annex A1.3), no counters in the input.

use des::Des;
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use crate::secret::Secret;

/// The one cryptogram version that single-use credentials allow: its session key depends on the
/// counter alone, so the issuer can provision it ahead.
pub(super) const CVN: u8 = 0x14;

/// Bytes of the input before AIP, counter and CVR: the terminal's part.
pub(super) const TERMINAL_INPUT_LEN: usize = 29;

/// An 8-byte application cryptogram.
pub(super) type Cryptogram = [u8; 8];

/// What goes into one cryptogram.
pub(super) struct Input<'a> {
    /// 9F02 9F03 9F1A 95 5F2A 9A 9C 9F37, as the terminal sent them.
    pub(super) terminal: &'a [u8; TERMINAL_INPUT_LEN],
    /// Tag 82.
    pub(super) aip: [u8; 2],
    /// Tag 9F36.
    pub(super) atc: u16,
    /// Part of tag 9F10.
    pub(super) cvr: Cvr,
}

impl Input<'_> {
    /// Computes the cryptogram over the 39 bytes.
    pub(super) fn cryptogram(&self, key: &Secret<16>) -> Cryptogram {
        let mut bytes = [0; 39];
        let parts = [&self.terminal[..], &self.aip, &self.atc.to_be_bytes(), &self.cvr.bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        mac(key, &bytes)
    }
}

/// ISO 9797-1 MAC algorithm 3 with padding method 2 and DES: all 8 bytes.
pub(super) fn mac(key: &Secret<16>, message: &[u8]) -> [u8; 8] {
    let (left, right) = halves(key);
    let (blocks, rest) = message.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest.iter().chain(&[0x80])) {
        *to = *from;
    }
    let mut chain = [0; 8];
    for block in blocks.iter().chain(std::iter::once(&last)) {
        for (byte, next) in chain.iter_mut().zip(block) {
            *byte ^= next;
        }
        encrypt(&left, &mut chain);
    }
    right.decrypt_block((&mut chain).into());
    encrypt(&left, &mut chain);
    chain
}

/// CVC3 of one track in mag-stripe mode: the last 2 bytes of the triple DES of IV, unpredictable number
/// and counter. The IV is the last 2 bytes of the MAC over the track as the record holds it, under the
/// same key.
pub(super) fn cvc3(key: &Secret<16>, track: &[u8], unpredictable_number: [u8; 4], atc: u16) -> [u8; 2] {
    let [.., iv_0, iv_1] = mac(key, track);
    let [un_0, un_1, un_2, un_3] = unpredictable_number;
    let [atc_0, atc_1] = atc.to_be_bytes();
    let [.., high, low] = triple_des(key, [iv_0, iv_1, un_0, un_1, un_2, un_3, atc_0, atc_1]);
    [high, low]
}

/// Triple DES of one block, with two keys.
fn triple_des(key: &Secret<16>, mut block: [u8; 8]) -> [u8; 8] {
    let (left, right) = halves(key);
    encrypt(&left, &mut block);
    right.decrypt_block((&mut block).into());
    encrypt(&left, &mut block);
    block
}

fn halves(key: &Secret<16>) -> (Des, Des) {
    let (keys, _) = key.expose().as_chunks::<8>();
    match keys {
        // By reference: a copy of half a key would stay on the stack.
        [left, right] => (Des::new(left.into()), Des::new(right.into())),
        // A 16-byte array has exactly two chunks of 8.
        _ => (Des::new(&[0; 8].into()), Des::new(&[0; 8].into())),
    }
}

fn encrypt(key: &Des, block: &mut [u8; 8]) {
    key.encrypt_block(block.into());
}

/// Which kind of cryptogram the card gives (tag 9F27, bits 8 and 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Online authorisation asked for.
    Arqc,
    /// Declined.
    Aac,
}

impl Kind {
    /// Tag 9F27.
    pub(super) fn cid(self) -> u8 {
        match self {
            Self::Arqc => 0x80,
            Self::Aac => 0x00,
        }
    }
}

/// Card verification results, 6 bytes of tag 9F10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cvr {
    /// The first (and only) cryptogram.
    pub(super) kind: Kind,
    /// It is sent inside a CDA signature.
    pub(super) cda: bool,
    /// The terminal's country is the issuer's.
    pub(super) domestic: bool,
}

impl Cvr {
    /// The second GENERATE AC is always "not requested", and there is no offline PIN: its try
    /// counter and bits stay 0.
    pub(super) fn bytes(self) -> [u8; 6] {
        let first = match self.kind {
            Kind::Arqc => 0xA0,
            Kind::Aac => 0x80,
        };
        let signed = if self.cda { 0x40 } else { 0x00 };
        let place = if self.domestic { 0x02 } else { 0x04 };
        [first, signed, 0, place, 0, 0]
    }
}

/// The parts of tag 9F10 that the profile fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IadParts {
    pub(super) key_index: u8,
    pub(super) counters: [u8; 8],
}

/// Length of tag 9F10: the base form of 18 bytes and a reference of 8.
pub(super) const IAD_LEN: usize = 26;

impl IadParts {
    /// Key index, CVN, CVR, 0000, counters, reference.
    pub(super) fn iad(&self, cvr: Cvr, reference: [u8; 8]) -> [u8; IAD_LEN] {
        let mut iad = [0; IAD_LEN];
        let parts = [&[self.key_index, CVN][..], &cvr.bytes(), &[0, 0], &self.counters, &reference];
        for (to, from) in iad.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        iad
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("vectors/symmetric.json")).unwrap()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }

    fn key(bytes: &[u8]) -> Secret<16> {
        Secret::from_slice(bytes).unwrap()
    }

    /// The issuer's derivation; the wallet never has a master key.
    fn two_blocks(key: &Secret<16>, left: &[u8], right: &[u8]) -> Vec<u8> {
        let pair = [left, right].map(|block| triple_des(key, block.try_into().unwrap())).concat();
        // Odd parity, as the published keys have it.
        pair.into_iter().map(|byte| (byte & 0xFE) | u8::from((byte & 0xFE).count_ones() % 2 == 0)).collect()
    }

    fn icc_master_key(case: &Value) -> Vec<u8> {
        let digits = format!("{}{}", case["pan"].as_str().unwrap(), case["pan_sequence_number"].as_str().unwrap());
        let y = hex::decode(&digits[digits.len() - 16..]).unwrap();
        let complement: Vec<u8> = y.iter().map(|byte| !byte).collect();
        two_blocks(&key(&bytes(&case["issuer_master_key"])), &y, &complement)
    }

    fn session_key(master: &Secret<16>, atc: &[u8], tail: &[u8]) -> Vec<u8> {
        let diversified = |mark: u8| [atc, &[mark], tail].concat();
        two_blocks(master, &diversified(0xF0), &diversified(0x0F))
    }

    #[test]
    fn published_keys_are_derived() {
        let case = &vectors()["application_cryptogram"];
        let master = icc_master_key(case);
        assert_eq!(master, bytes(&case["icc_master_key"]));
        let atc = bytes(&case["atc"]);
        let number = bytes(&case["unpredictable_number"]);
        assert_eq!(session_key(&key(&master), &atc, &[0; 5]), bytes(&case["session_key_emv_csk"]));
        let scheme = session_key(&key(&master), &atc, &[&[0], &number[..]].concat());
        assert_eq!(scheme, bytes(&case["session_key_mastercard_skd"]));
    }

    #[test]
    fn published_cryptograms_and_responses_are_computed() {
        let case = &vectors()["application_cryptogram"];
        for result in case["results"].as_array().unwrap() {
            let name = format!("session_key_{}", result["session_key"].as_str().unwrap());
            let session = key(&bytes(&case[name]));
            let mut input = bytes(&case["input"]);
            if result["counters"].as_bool().unwrap() {
                input.extend(bytes(&case["counters"]));
            }
            let cryptogram = mac(&session, &input);
            assert_eq!(cryptogram.to_vec(), bytes(&result["cryptogram"]), "{result}");

            let mut response = cryptogram;
            for (byte, code) in response.iter_mut().zip(bytes(&case["arpc_response_code"])) {
                *byte ^= code;
            }
            let arpc_key = match result["arpc_key"].as_str().unwrap() {
                "session_key" => session,
                _ => key(&bytes(&case["icc_master_key"])),
            };
            assert_eq!(triple_des(&arpc_key, response).to_vec(), bytes(&result["arpc"]), "{result}");
        }
    }

    #[test]
    fn the_input_is_put_together_as_published() {
        let case = &vectors()["application_cryptogram"];
        let fields: Vec<Vec<u8>> =
            case["input_fields"].as_array().unwrap().iter().map(|field| bytes(&field["value"])).collect();
        assert_eq!(fields.concat(), bytes(&case["input"]));
        let input = Input {
            terminal: &fields[..8].concat().try_into().unwrap(),
            aip: fields[8].clone().try_into().unwrap(),
            atc: u16::from_be_bytes(fields[9].clone().try_into().unwrap()),
            cvr: Cvr { kind: Kind::Arqc, cda: false, domestic: true },
        };
        let session = key(&bytes(&case["session_key_emv_csk"]));
        let ours = [&bytes(&case["input"])[..33], &input.cvr.bytes()].concat();
        assert_eq!(input.cryptogram(&session), mac(&session, &ours));
    }

    #[test]
    fn published_cvc3_values_are_computed() {
        let case = &vectors()["cvc3"];
        let master = icc_master_key(case);
        assert_eq!(master, bytes(&case["icc_master_key"]));
        for track in ["track1", "track2"] {
            let template = match case[track]["template_encoding"].as_str().unwrap() {
                "hex" => bytes(&case[track]["template"]),
                _ => case[track]["template"].as_str().unwrap().as_bytes().to_vec(),
            };
            let vector = mac(&key(&master), &template)[6..].to_vec();
            assert_eq!(vector, bytes(&case[track]["iv"]), "{track}");
            let number = bytes(&case["unpredictable_number"]).try_into().unwrap();
            let atc = u16::from_be_bytes(bytes(&case["atc"]).try_into().unwrap());
            let cvc3 = cvc3(&key(&master), &template, number, atc);
            assert_eq!(cvc3[..], bytes(&case[track]["cvc3"]), "{track}");
            let decimal = u16::from_be_bytes(cvc3).to_string();
            assert_eq!(case[track]["cvc3_decimal"], decimal.as_str(), "{track}");
        }
    }

    #[test]
    fn the_cvr_says_kind_signature_and_country() {
        let arqc = Cvr { kind: Kind::Arqc, cda: true, domestic: false };
        assert_eq!(arqc.bytes(), [0xA0, 0x40, 0, 0x04, 0, 0]);
        let aac = Cvr { kind: Kind::Aac, cda: false, domestic: true };
        assert_eq!(aac.bytes(), [0x80, 0, 0, 0x02, 0, 0]);
    }

    #[test]
    fn the_iad_is_the_base_form_with_the_reference_behind_it() {
        let parts = IadParts { key_index: 0x22, counters: [0, 0, 0, 0, 0, 0, 0, 0xFF] };
        let iad = parts.iad(Cvr { kind: Kind::Arqc, cda: true, domestic: true }, *b"8 bytes!");
        assert_eq!(hex::encode_upper(iad), "2214A040000200000000".to_owned() + "00000000000000FF" + "3820627974657321");
    }
}
