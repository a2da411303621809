//! What must be in an answer: judged as a terminal and an issuer would, with the sandbox's half of the
//! cryptography.

use nfcwallet_core::card::hooks::{CryptogramRequest, CryptogramRequested};
use nfcwallet_sandbox::issuer::keys::application_cryptogram;
use nfcwallet_sandbox::issuer::verify::{RecoveredKey, recover_answer};

use crate::ber::{self, Object};
use crate::facts::{ApplicationFacts, Facts};
use crate::model::{Content, Purchase};
use crate::script::{Outcome, Script};

/// CDCVM required.
const SEE_PHONE: [u8; 3] = [0x00, 0x01, 0x00];

/// Judges the data of a good answer.
pub(crate) fn check(facts: &Facts, content: &Content, data: &[u8], script: &Script) {
    match content {
        Content::Nothing => assert!(data.is_empty()),
        Content::Directory => directory(facts, data),
        Content::Fci(application) => fci(&facts.applications[*application], data),
        Content::Options(application) => options(&facts.applications[*application], data),
        Content::Record(record) => assert_eq!(data, record),
        Content::Cryptogram(purchase) => Cryptogram { facts, purchase, script }.check(data),
    }
}

/// The request that the wallet is to decide on: the terminal's own numbers, and none besides.
pub(crate) fn check_request(facts: &Facts, purchase: &Purchase, request: &CryptogramRequest) {
    let list = &facts.applications[purchase.application].cdol1;
    let number = |tag| list.number(tag, &purchase.cdol1_data);
    let transaction = &request.transaction;
    assert_eq!(Some(transaction.amount_minor), number(0x9F02));
    assert_eq!(Some(transaction.other_amount_minor), number(0x9F03));
    assert_eq!(Some(u64::from(transaction.currency)), number(0x5F2A));
    assert_eq!(Some(u64::from(transaction.terminal_country)), number(0x9F1A));
    assert_eq!(transaction.merchant_category.map(u64::from), number(0x9F15));
    assert_eq!(Some(&request.unpredictable_number[..]), list.value(0x9F37, &purchase.cdol1_data));
    let requested = match purchase.p1 & 0xC0 {
        0x80 => CryptogramRequested::Arqc,
        0x40 => CryptogramRequested::Tc,
        _ => CryptogramRequested::Aac,
    };
    assert_eq!(request.requested, requested);
}

/// The objects of a template that fills `data`.
fn inside(data: &[u8], template: u32) -> Vec<Object<'_>> {
    let (object, rest) = ber::first(data).expect("an answer is TLV");
    assert!(rest.is_empty() && object.tag == template, "{:X} instead of {template:X}", object.tag);
    ber::primitives(object.value).expect("all of an answer is TLV");
    ber::list(object.value).expect("all of an answer is TLV")
}

fn value<'a>(objects: &[Object<'a>], tag: u32) -> Option<&'a [u8]> {
    objects.iter().find(|object| object.tag == tag).map(|object| object.value)
}

fn directory(facts: &Facts, data: &[u8]) {
    let objects = inside(data, 0x6F);
    assert_eq!(value(&objects, 0x84), Some(&b"2PAY.SYS.DDF01"[..]));
    let proprietary = ber::list(value(&objects, 0xA5).unwrap()).unwrap();
    let entries = ber::list(value(&proprietary, 0xBF0C).unwrap()).unwrap();
    let names = entries.iter().map(|entry| value(&inside(entry.bytes, 0x61), 0x4F).unwrap());
    assert!(names.eq(facts.applications.iter().map(|application| &application.aid[..])));
}

fn fci(application: &ApplicationFacts, data: &[u8]) {
    let objects = inside(data, 0x6F);
    assert_eq!(value(&objects, 0x84), Some(&application.aid[..]));
    let proprietary = ber::list(value(&objects, 0xA5).unwrap()).unwrap();
    assert_eq!(value(&proprietary, 0x9F38).unwrap_or_default(), application.pdol.bytes);
}

fn options(application: &ApplicationFacts, data: &[u8]) {
    let objects = inside(data, 0x77);
    assert_eq!(value(&objects, 0x82), Some(&application.aip[..]));
    assert_eq!(value(&objects, 0x94), Some(&application.afl[..]));
}

/// An answer to GENERATE AC, and what it answers.
struct Cryptogram<'a> {
    facts: &'a Facts,
    purchase: &'a Purchase,
    script: &'a Script,
}

impl Cryptogram<'_> {
    fn check(&self, data: &[u8]) {
        let objects = inside(data, 0x77);
        let tags: Vec<u32> = objects.iter().map(|object| object.tag).collect();
        let plan = self.script.plan();
        assert_eq!(value(&objects, 0x9F36), Some(&plan.atc.to_be_bytes()[..]));
        let approved = plan.outcome == Outcome::Approve && self.purchase.p1 & 0xC0 != 0;
        let signed = approved && self.purchase.p1 & 0x10 != 0 && self.application().icc_key.is_some();
        assert_eq!(value(&objects, 0x9F27), Some(&[if approved { 0x80 } else { 0x00 }][..]));
        assert_eq!(value(&objects, 0x9F10), Some(&self.iad(approved, signed)[..]));
        let expected: &[u32] = match (approved, plan.outcome) {
            (true, _) if signed => &[0x9F27, 0x9F36, 0x9F4B, 0x9F10],
            (false, Outcome::SeePhone) => &[0x9F27, 0x9F36, 0x9F26, 0x9F10, 0xDF4B],
            _ => &[0x9F27, 0x9F36, 0x9F26, 0x9F10],
        };
        assert_eq!(tags, expected);
        let right = application_cryptogram(&self.script.session_key(), &self.input(approved, signed));
        match value(&objects, 0x9F26) {
            Some(cryptogram) if approved => assert_eq!(cryptogram, right),
            // The session key's cryptogram must not come out of a refusal.
            Some(cryptogram) => {
                assert_eq!(cryptogram.len(), 8);
                assert_ne!(cryptogram, right);
            }
            None => self.check_signature(&objects, right),
        }
        assert_eq!(value(&objects, 0xDF4B).unwrap_or(&SEE_PHONE), SEE_PHONE);
    }

    /// EMV Book 2, 6.6.
    fn check_signature(&self, objects: &[Object<'_>], cryptogram: [u8; 8]) {
        let key = self.application().icc_key.as_ref().unwrap();
        let key = RecoveredKey {
            modulus: key.modulus.clone(),
            exponent: key.exponent.clone(),
            owner: Vec::new(),
            expiry_mmyy: [0; 2],
            block: Vec::new(),
        };
        let others = objects.iter().filter(|object| object.tag != 0x9F4B).map(|object| object.bytes);
        let mut signed = [&self.purchase.pdol_data[..], &self.purchase.cdol1_data].concat();
        signed.extend(others.flatten());
        let number = self.sent(0x9F37).try_into().unwrap();
        let recovered = recover_answer(&key, value(objects, 0x9F4B).unwrap(), number, &signed).unwrap();
        assert_eq!((recovered.cid, recovered.cryptogram), (0x80, cryptogram));
        assert!(recovered.trailing.is_empty());
    }

    fn application(&self) -> &ApplicationFacts {
        &self.facts.applications[self.purchase.application]
    }

    /// What the terminal sent under `tag`.
    fn sent(&self, tag: u32) -> &[u8] {
        self.application().cdol1.value(tag, &self.purchase.cdol1_data).unwrap()
    }

    /// 39 bytes: the terminal's, AIP, ATC, card verification results.
    fn input(&self, approved: bool, signed: bool) -> Vec<u8> {
        let mut input = Vec::new();
        for tag in [0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37] {
            input.extend(self.sent(tag));
        }
        input.extend(&self.application().aip);
        input.extend(self.script.plan().atc.to_be_bytes());
        input.extend(self.verification_results(approved, signed));
        input
    }

    fn verification_results(&self, approved: bool, signed: bool) -> [u8; 6] {
        let country = self.application().cdol1.number(0x9F1A, &self.purchase.cdol1_data);
        let domestic = country == Some(u64::from(self.facts.issuer_country));
        let place = if domestic { 0x02 } else { 0x04 };
        [if approved { 0xA0 } else { 0x80 }, if signed { 0x40 } else { 0x00 }, 0, place, 0, 0]
    }

    fn iad(&self, approved: bool, signed: bool) -> Vec<u8> {
        let template = &self.application().iad;
        let reference = if approved { self.script.reference() } else { [0; 8] };
        let results = self.verification_results(approved, signed);
        [&[template.key_index, template.cvn][..], &results, &[0, 0], &template.counters, &reference].concat()
    }
}
