//! What must be in an answer: judged as a terminal and an issuer would, with the sandbox's half of the
//! cryptography.

use nfcwallet_core::secret::Secret;
use nfcwallet_sandbox::issuer::keys::{application_cryptogram, response_cryptogram};
use nfcwallet_sandbox::issuer::verify::{RecoveredKey, recover_answer};

use crate::ber::{self, Object};
use crate::facts::{ApplicationFacts, Facts};
use crate::model::Content;
use crate::purchase::Purchase;
use crate::script::{Outcome, Script};

/// DF4B: CDCVM required; CDCVM successful; nothing to be done.
const SEE_PHONE: &[u8] = &[0x00, 0x01, 0x00];
const CDCVM_DONE: &[u8] = &[0x00, 0x10, 0x00];
const DECLINED: &[u8] = &[0x00, 0x00, 0x00];

/// Judges the data of a good answer. `purchase`: what the wallet decided on, if it did.
pub(crate) fn check(facts: &Facts, content: &Content, purchase: Option<&Purchase>, data: &[u8], script: &Script) {
    let ending = || Ending { purchase: purchase.expect("a decision"), script };
    match content {
        Content::Nothing => assert!(data.is_empty()),
        Content::Directory => directory(facts, data),
        Content::Fci(application) => fci(&facts.applications[*application], data),
        Content::Options(application) => options(&facts.applications[*application], data),
        Content::Object(object) => assert_eq!(data, object),
        Content::Relay(times) => assert!(matches!(data, [0x80, 10, _, _, _, _, rest @ ..] if rest == times)),
        Content::Cryptogram => ending().check_cryptogram(data),
        Content::Checksum => ending().check_checksum(data),
    }
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

/// The answer that ends a tap.
struct Ending<'a> {
    purchase: &'a Purchase,
    script: &'a Script,
}

impl Ending<'_> {
    fn check_cryptogram(&self, data: &[u8]) {
        let objects = inside(data, 0x77);
        let plan = self.script.plan();
        let approved = plan.outcome == Outcome::Approve && self.purchase.p1 & 0xC0 != 0;
        let signed = approved && self.purchase.p1 & 0x10 != 0 && self.application().icc_key.is_some();
        let remark = match plan.outcome {
            Outcome::SeePhone => Some(SEE_PHONE),
            Outcome::Approve if approved && plan.cdcvm_done => Some(CDCVM_DONE),
            _ => None,
        };
        let proof = if signed { 0x9F4B } else { 0x9F26 };
        expect_tags(&objects, &[0x9F27, 0x9F36, proof, 0x9F10], remark);
        assert_eq!(value(&objects, 0x9F27), Some(&[if approved { 0x80 } else { 0x00 }][..]));
        assert_eq!(value(&objects, 0x9F36), Some(&plan.atc.to_be_bytes()[..]));
        assert_eq!(value(&objects, 0x9F10), Some(&self.iad(approved, signed)[..]));
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
    }

    fn check_checksum(&self, data: &[u8]) {
        let objects = inside(data, 0x77);
        let plan = self.script.plan();
        let mode = self.application().mag_stripe.as_ref().unwrap();
        let approved = plan.outcome == Outcome::Approve;
        let remark = match plan.outcome {
            Outcome::SeePhone => Some(SEE_PHONE),
            Outcome::Decline => Some(DECLINED),
            Outcome::Approve => plan.cdcvm_done.then_some(CDCVM_DONE),
        };
        match (approved, &mode.track_1) {
            (false, _) => expect_tags(&objects, &[0x9F36], remark),
            (true, None) => expect_tags(&objects, &[0x9F61, 0x9F36], remark),
            (true, Some(_)) => expect_tags(&objects, &[0x9F61, 0x9F60, 0x9F36], remark),
        }
        assert_eq!(value(&objects, 0x9F36), Some(&plan.atc.to_be_bytes()[..]));
        if approved {
            assert_eq!(value(&objects, 0x9F61), Some(&self.cvc3(&mode.track_2)[..]));
            let track_1 = mode.track_1.as_ref().map(|track| self.cvc3(track));
            assert_eq!(value(&objects, 0x9F60), track_1.as_ref().map(|cvc3| &cvc3[..]));
        }
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
        let mut signed = [&self.purchase.pdol_data[..], &self.purchase.data].concat();
        signed.extend(others.flatten());
        let number = self.purchase.unpredictable_number();
        let recovered = recover_answer(&key, value(objects, 0x9F4B).unwrap(), number, &signed).unwrap();
        assert_eq!((recovered.cid, recovered.cryptogram), (0x80, cryptogram));
        assert_eq!(recovered.trailing, self.purchase.relay);
    }

    /// The last 2 bytes of the triple DES of IV, number and counter; IV: those of the track's MAC.
    fn cvc3(&self, track: &[u8]) -> [u8; 2] {
        let key: Secret<16> = self.script.cvc3_key().unwrap();
        let [.., iv_high, iv_low] = application_cryptogram(&key, track);
        let [n0, n1, n2, n3] = self.purchase.unpredictable_number();
        let [high, low] = self.script.plan().atc.to_be_bytes();
        // With a response code of zeros this is the triple DES of the block.
        let [.., first, second] = response_cryptogram(&key, [iv_high, iv_low, n0, n1, n2, n3, high, low], [0; 2]);
        [first, second]
    }

    fn application(&self) -> &ApplicationFacts {
        self.purchase.application()
    }

    /// 39 bytes: the terminal's, AIP, ATC, card verification results.
    fn input(&self, approved: bool, signed: bool) -> Vec<u8> {
        let mut input = Vec::new();
        for tag in [0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37] {
            input.extend(self.purchase.list().value(tag, &self.purchase.data).unwrap());
        }
        input.extend(&self.application().aip);
        input.extend(self.script.plan().atc.to_be_bytes());
        input.extend(self.verification_results(approved, signed));
        input
    }

    fn verification_results(&self, approved: bool, signed: bool) -> [u8; 6] {
        let place = if self.purchase.is_domestic() { 0x02 } else { 0x04 };
        [if approved { 0xA0 } else { 0x80 }, if signed { 0x40 } else { 0x00 }, 0, place, 0, 0]
    }

    fn iad(&self, approved: bool, signed: bool) -> Vec<u8> {
        let template = &self.application().iad;
        let reference = if approved { self.script.reference() } else { [0; 8] };
        let results = self.verification_results(approved, signed);
        [&[template.key_index, template.cvn][..], &results, &[0, 0], &template.counters, &reference].concat()
    }
}

/// These tags in this order, and then DF4B with that value, if any.
fn expect_tags(objects: &[Object<'_>], tags: &[u32], remark: Option<&[u8]>) {
    let expected = tags.iter().copied().chain(remark.map(|_| 0xDF4B));
    let found: Vec<u32> = objects.iter().map(|object| object.tag).collect();
    assert!(expected.eq(found.iter().copied()), "{found:X?} instead of {tags:X?} and {remark:X?}");
    assert_eq!(value(objects, 0xDF4B), remark);
}
