//! Taps of real test cards, recorded by others: what our parsers, our issuer's verifier and the
//! terminal's kernel make of them.

use std::collections::BTreeMap;

use emv::contact::terminal::Terminal as Settings;
use emv::contact::transaction_driver::Transaction;
use emv::contact::transaction_flow::HostMediated;
use emv::core::apdu as foreign;
use emv::core::application_cryptogram_type::ApplicationCryptogramType;
use emv::core::card_reader::CardReader;
use emv::core::generate_ac::{GenerateAcResponse, SignatureRequest};
use emv::core::oda::OdaOutcome;
use emv::core::tag_store::Source;
use emv::core::tags;
use nfcwallet_core::card::apdu::Command;
use nfcwallet_core::card::dol::Dol;
use nfcwallet_core::card::tlv::{Tlv, object};
use serde_json::Value;

use super::{Purchase, kernel};
use crate::issuer::CaPublicKey;
use crate::issuer::authority::Certificate;
use crate::issuer::published::{self, bytes};
use crate::issuer::verify::{RecoveredKey, recover_answer, recover_icc_key, recover_issuer_key};

const CDA: &str = "trace-cda-tc.json";
const MAG_STRIPE: &str = "trace-magstripe-ccc.json";
/// PDOL, CDOL1, CDOL2, DRDOL, DSDOL, UDOL.
const LISTS: [u32; 6] = [0x9F38, 0x8C, 0x8D, 0x9F51, 0x9F5B, 0x9F69];

/// Commands and answers without their status words, in order.
fn exchanges(trace: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let apdus = trace["apdus"].as_array().unwrap();
    assert!(apdus.len() >= 5);
    let exchange = |apdu: &Value| {
        let mut answer = bytes(&apdu["response"]);
        assert_eq!(answer.split_off(answer.len() - 2), [0x90, 0x00]);
        (bytes(&apdu["command"]), answer)
    };
    apdus.iter().map(exchange).collect()
}

/// Every primitive object of all answers, by tag.
fn objects(trace: &Value) -> BTreeMap<u32, Vec<u8>> {
    let mut found = BTreeMap::new();
    // What the application says of itself comes after the directory and counts.
    for (_, answer) in exchanges(trace) {
        Tlv::for_each_primitive(&answer, &mut |tlv| {
            found.insert(tlv.tag.number(), tlv.value.to_vec());
        })
        .unwrap();
    }
    found
}

/// The data of the command with this instruction.
fn sent(trace: &Value, instruction: u8) -> Vec<u8> {
    let exchanges = exchanges(trace);
    let (command, _) = exchanges.iter().find(|(command, _)| command[1] == instruction).unwrap();
    Command::parse(command).unwrap().data().unwrap().to_vec()
}

fn written_again(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tlv, after) = Tlv::read(rest).unwrap();
        let value = if tlv.tag.is_constructed() { written_again(tlv.value) } else { tlv.value.to_vec() };
        out.extend(object(tlv.tag, &value));
        rest = after;
    }
    out
}

#[test]
fn published_answers_and_lists_are_written_as_they_were_read() {
    for name in [CDA, MAG_STRIPE] {
        let Some(trace) = published::trace(name) else { return };
        for (_, answer) in exchanges(&trace) {
            assert_eq!(written_again(&answer), answer, "{name}");
        }
        let objects = objects(&trace);
        let lists: Vec<_> = LISTS.iter().filter_map(|tag| objects.get(tag)).collect();
        assert_eq!(lists.len(), if name == CDA { 5 } else { 2 });
        for list in lists {
            assert_eq!(Dol::parse(list).unwrap().encode(), *list, "{name}");
        }
    }
}

#[test]
fn published_commands_carry_what_the_lists_ask_for() {
    for (name, list, last) in [(CDA, 0x8C, 0xAE), (MAG_STRIPE, 0x9F69, 0x2A)] {
        let Some(trace) = published::trace(name) else { return };
        let objects = objects(&trace);
        let pdol = Dol::parse(&objects[&0x9F38]).unwrap();
        let template = sent(&trace, 0xA8);
        let pdol_data = Tlv::read_only(&template).unwrap();
        assert_eq!((pdol_data.tag.number(), pdol_data.value.len()), (0x83, pdol.data_len()), "{name}");
        assert_eq!(pdol_data.value, bytes(&trace["gpo"]["pdol_data"]));

        let list = Dol::parse(&objects[&list]).unwrap();
        let data = sent(&trace, last);
        assert_eq!(data.len(), list.data_len(), "{name}");
        let fields = trace["generate_ac"]["cdol1_fields"].as_array().or(trace["ccc"]["udol_fields"].as_array());
        let mut covered = 0;
        for field in fields.unwrap() {
            let tag = hex::decode(field["tag"].as_str().unwrap()).unwrap();
            let (tag, _) = nfcwallet_core::card::tlv::Tag::read(&tag).unwrap();
            assert_eq!(list.find(tag, &data), Some(&bytes(&field["value"])[..]), "{name} {tag}");
            covered += bytes(&field["value"]).len();
        }
        assert_eq!(covered, data.len());
    }
}

#[test]
fn published_card_data_are_found_by_their_tags() {
    for (name, part) in [(CDA, "card_data"), (MAG_STRIPE, "record")] {
        let Some(trace) = published::trace(name) else { return };
        let objects = objects(&trace);
        for (tag, value) in trace[part].as_object().unwrap() {
            let tag = u32::from_str_radix(tag, 16).unwrap();
            assert_eq!(objects.get(&tag), Some(&bytes(value)), "{name} {tag:X}");
        }
        assert_eq!(objects[&0x82], bytes(&trace["gpo"]["aip"]));
        assert_eq!(objects[&0x94], bytes(&trace["gpo"]["afl"]));
    }
}

/// The card's key out of what the card answered, by our own verifier.
fn card_key(trace: &Value) -> RecoveredKey {
    let objects = objects(trace);
    let part = |tag: u32| objects[&tag].clone();
    let certificate = |tag, remainder, exponent| Certificate {
        certificate: part(tag),
        remainder: objects.get(&remainder).cloned(),
        exponent: part(exponent),
    };
    let issuer = recover_issuer_key(&ca_key(trace), &certificate(0x90, 0x92, 0x9F32)).unwrap();
    recover_icc_key(&issuer, &certificate(0x9F46, 0x9F48, 0x9F47), &static_data(trace)).unwrap()
}

fn ca_key(trace: &Value) -> CaPublicKey {
    let key = &trace["ca_key"];
    CaPublicKey {
        rid: bytes(&key["rid"]).try_into().unwrap(),
        index: bytes(&key["index"])[0],
        modulus: bytes(&key["modulus"]),
        exponent: bytes(&key["exponent"]),
    }
}

/// The contents of the signed records, by the AFL, and the AIP (EMV Book 3, 10.3).
fn static_data(trace: &Value) -> Vec<u8> {
    let (exchanges, objects) = (exchanges(trace), objects(trace));
    let mut data = Vec::new();
    for entry in objects[&0x94].chunks(4) {
        for number in entry[1]..entry[1] + entry[3] {
            let read = [0x00, 0xB2, number, entry[0] | 0x04, 0x00];
            let (_, record) = exchanges.iter().find(|(command, _)| command[..] == read).unwrap();
            data.extend(Tlv::read_only(record).unwrap().value);
        }
    }
    [data, objects[&0x82].clone()].concat()
}

/// PDOL data, CDOL1 data, and the answer's objects without the signature.
fn transaction_data(trace: &Value, answer: &[u8]) -> Option<Vec<u8>> {
    let template = sent(trace, 0xA8);
    let mut data = [Tlv::read_only(&template).unwrap().value, &sent(trace, 0xAE)].concat();
    let mut rest = Tlv::read_only(answer).ok()?.value;
    while !rest.is_empty() {
        let (tlv, after) = Tlv::read(rest).ok()?;
        if tlv.tag.number() != 0x9F4B {
            data.extend(object(tlv.tag, tlv.value));
        }
        rest = after;
    }
    Some(data)
}

/// Our own verdict on an answer to GENERATE AC.
fn is_accepted_by_our_verifier(trace: &Value, key: &RecoveredKey, answer: &[u8]) -> bool {
    let accepted = || {
        let mut found = BTreeMap::new();
        let outer = Tlv::read_only(answer).ok().filter(|outer| outer.tag.number() == 0x77)?;
        Tlv::for_each_primitive(outer.value, &mut |tlv| {
            found.insert(tlv.tag.number(), tlv.value.to_vec());
        })
        .ok()?;
        let number = bytes(&trace["generate_ac"]["unpredictable_number"]).try_into().unwrap();
        let signed = recover_answer(key, found.get(&0x9F4B)?, number, &transaction_data(trace, answer)?).ok()?;
        (found.get(&0x9F27)? == &[signed.cid]).then_some(())
    };
    accepted().is_some()
}

#[test]
fn the_published_signature_follows_from_the_recorded_bytes() {
    let Some(trace) = published::trace(CDA) else { return };
    let tap = &trace["generate_ac"];
    let answer = exchanges(&trace).pop().unwrap().1;
    assert_eq!(static_data(&trace), bytes(&trace["static_data_to_be_authenticated"]));
    assert_eq!(transaction_data(&trace, &answer).unwrap(), bytes(&tap["transaction_data_hash_input"]));

    let key = card_key(&trace);
    assert_eq!(key.modulus, bytes(&trace["icc_certificate"]["modulus"]));
    let number = bytes(&tap["unpredictable_number"]).try_into().unwrap();
    let signed =
        recover_answer(&key, &bytes(&tap["sdad"]), number, &transaction_data(&trace, &answer).unwrap()).unwrap();
    assert_eq!(signed.transaction_hash[..], bytes(&tap["transaction_data_hash"]));
    assert_eq!(signed.cryptogram[..], bytes(&tap["application_cryptogram"]));
    assert!(is_accepted_by_our_verifier(&trace, &key, &answer));
}

/// Answers as recorded.
struct Recording {
    exchanges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl CardReader for Recording {
    type Error = emv::Error;

    fn transmit(&mut self, command: &foreign::Command) -> Result<foreign::Response, emv::Error> {
        let command = command.to_bytes()?;
        // The reader that was recorded skipped the mag-stripe record; this kernel reads it.
        let skipped = (vec![0x00, 0xB2, 0x01, 0x0C, 0x00], vec![0x70, 0x00]);
        let found = self.exchanges.iter().chain([&skipped]).find(|(recorded, _)| *recorded == command);
        let (_, answer) = found.unwrap_or_else(|| panic!("{} was not recorded", hex::encode_upper(&command)));
        foreign::Response::parse(&[answer.as_slice(), &[0x90, 0x00]].concat())
    }
}

type Driver<'t> = Transaction<'t, Recording, HostMediated>;

/// The kernel in the place of the recorded one, up to its last command.
fn driver<'t>(trace: &Value, settings: &'t Settings, purchase: &Purchase) -> Driver<'t> {
    let recording = Recording { exchanges: exchanges(trace) };
    let mut driver = Transaction::new(recording, settings, kernel::inputs(purchase), HostMediated);
    driver.select_application(&objects(trace)[&0x84]).unwrap();
    driver.initiate(&bytes(&trace["gpo"]["pdol_data"])).unwrap();
    let records = driver.read_application_data().unwrap();
    let ca = ca_key(trace);
    let ca = emv::core::oda::CaPublicKey { rid: ca.rid, index: ca.index, modulus: ca.modulus, exponent: ca.exponent };
    let outcome = driver.perform_offline_data_authentication(&[ca], &[], &[], &records.oda_input).unwrap();
    assert_eq!(outcome, OdaOutcome::CdaArmed);
    let number = bytes(&trace["generate_ac"]["unpredictable_number"]);
    driver.ctx.tag_store.insert_primitive(tags::UNPREDICTABLE_NUMBER, number, Source::TerminalGenerated).unwrap();
    driver
}

#[test]
fn the_published_tap_is_accepted_and_no_flipped_bit_of_it_is() {
    let Some(trace) = published::trace(CDA) else { return };
    let tap = &trace["generate_ac"];
    let purchase = Purchase {
        date: bytes(&trace["terminal"]["date"]).try_into().unwrap(),
        unpredictable_number: bytes(&tap["unpredictable_number"]).try_into().unwrap(),
        ..Purchase::new(1, 978, 0, [0; 4])
    };
    let settings = kernel::settings(&purchase);
    let mut driver = driver(&trace, &settings, &purchase);
    let data = sent(&trace, 0xAE);
    let good = driver.first_generate_ac(ApplicationCryptogramType::Tc, SignatureRequest::Cda, data).unwrap();

    let key = card_key(&trace);
    let answer = exchanges(&trace).pop().unwrap().1;
    assert_eq!(answer.len() * 8, 1_384);
    for bit in 0..answer.len() * 8 {
        let mut flipped = answer.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let parsed = GenerateAcResponse::parse(&flipped);
        let accepted = parsed.is_ok_and(|answer| driver.verify_cda_first_generate_ac(&answer).is_ok());
        assert!(!accepted, "bit {bit} by the terminal");
        assert!(!is_accepted_by_our_verifier(&trace, &key, &flipped), "bit {bit} by our verifier");
    }
    // Only now: the driver keeps what it accepts, and refuses everything afterwards. That it accepts
    // here shows that it refused for the bits.
    let signed = driver.verify_cda_first_generate_ac(&good).unwrap();
    assert_eq!(signed.application_cryptogram[..], bytes(&tap["application_cryptogram"]));
    assert_eq!(signed.icc_dynamic_number, bytes(&tap["icc_dynamic_number"]));
    assert_eq!(signed.trailing_dynamic_data, bytes(&tap["trailing_dynamic_data"]));
}
