//! A terminal that draws what it sends, and one tap on the wallet core's card.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::{Application, Profile};
use nfcwallet_core::card::tlv::{Tag, Tlv, object};
use nfcwallet_core::token_service::operations::WireCredential;
use nfcwallet_sandbox::issuer::verify::{RecoveredKey, recover_answer};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use serde_json::{Map, Value};

use super::bytes;
use super::link::Link;

/// The cryptogram's input, by tag, in order; AIP, counter and the card's results follow.
const INPUT: [u32; 8] = [0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37];

/// What is asked for, and what the wallet decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// P1 of GENERATE AC.
    parameter: u8,
    pub(super) approve: bool,
    pub(super) see_phone: bool,
}

impl Plan {
    /// Three of four are to become an ARQC; half ask for a signature.
    pub(super) fn draw(rng: &mut ChaCha20Rng) -> Self {
        let [kind, signature, approve, see_phone] = bytes(rng);
        let asked = match kind % 8 {
            0 => 0x00,
            1..=3 => 0x40,
            _ => 0x80,
        };
        let signature = if signature & 1 == 1 { 0x10 } else { 0x00 };
        Self { parameter: asked | signature, approve: approve % 8 != 0, see_phone: see_phone & 1 == 1 }
    }
}

/// What a terminal sends to one application of a card.
pub(super) struct Terminal {
    pub(super) application: Application,
    values: BTreeMap<u32, Vec<u8>>,
    cdol1: Vec<u8>,
}

impl Terminal {
    /// Every value is random, within its form.
    pub(super) fn draw(profile: &Profile, rng: &mut ChaCha20Rng) -> Result<Self> {
        let place = usize::try_from(rng.next_u32())? % profile.applications.len().max(1);
        let application = profile.applications.get(place).context("a profile has applications")?.clone();
        let cdol1 =
            primitives(&application.records.iter().flat_map(|record| record.bytes.clone()).collect::<Vec<_>>())?
                .remove(&0x8C)
                .context("the card has a CDOL1")?;
        let [kind, domestic] = bytes(rng);
        let country = if domestic & 1 == 1 { vec![0x02, 0x76] } else { decimal(rng, 999, 2) };
        let date = [decimal(rng, 99, 1), vec![one_of(rng, 12)], vec![one_of(rng, 28)]].concat();
        let tvr: [u8; 5] = bytes(rng);
        let number: [u8; 4] = bytes(rng);
        let values = [
            (0x9F02, decimal(rng, 999_999_999_999, 6)),
            (0x9F03, if kind & 1 == 1 { vec![0; 6] } else { decimal(rng, 999_999_999_999, 6) }),
            (0x9F1A, country),
            (0x95, tvr.to_vec()),
            (0x5F2A, decimal(rng, 999, 2)),
            (0x9A, date),
            (0x9C, vec![[0x00, 0x01, 0x09, 0x20, kind].get(usize::from(kind) % 5).copied().unwrap_or(0)]),
            (0x9F37, number.to_vec()),
            (0x9F15, decimal(rng, 9_999, 2)),
            (0x9F7E, vec![tvr[0] & 0x03]),
        ];
        Ok(Self { application, values: values.into(), cdol1 })
    }

    /// A drawn value of exactly `N` bytes.
    pub(super) fn array<const N: usize>(&self, tag: u32) -> Result<[u8; N]> {
        let value = self.values.get(&tag).and_then(|value| value.as_slice().try_into().ok());
        value.with_context(|| format!("{tag:X} was not drawn with {N} bytes"))
    }

    /// What was drawn, by tag.
    pub(super) fn values(&self) -> Vec<(u32, &[u8])> {
        self.values.iter().map(|(tag, value)| (*tag, value.as_slice())).collect()
    }

    /// The data for a list; tags that were not drawn get random bytes.
    pub(super) fn answer_to(&self, list: &[u8], rng: &mut ChaCha20Rng) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let mut rest = list;
        while !rest.is_empty() {
            let (tag, after) = Tag::read(rest)?;
            let (&length, after) = after.split_first().context("a list ends with a length")?;
            match self.values.get(&tag.number()).filter(|value| value.len() == usize::from(length)) {
                Some(value) => data.extend(value),
                None => data.extend((0..length).map(|_| rng.next_u32().to_be_bytes()).map(|[byte, ..]| byte)),
            }
            rest = after;
        }
        Ok(data)
    }

    /// One tap, from the directory to the cryptogram.
    pub(super) fn tap(
        &self,
        card: &Arc<Card>,
        credential: WireCredential,
        plan: Plan,
        rng: &mut ChaCha20Rng,
    ) -> Result<Made> {
        let pdol_data = self.answer_to(&self.application.pdol, rng)?;
        let cdol1_data = self.answer_to(&self.cdol1, rng)?;
        let mut link = Link::new(card, credential, plan, rng);
        link.initiate(&self.application.aid, &pdol_data)?;
        let answer = link.send([0x80, 0xAE, plan.parameter, 0x00], &cdol1_data)?;
        self.read(&answer, &[pdol_data, cdol1_data].concat())
    }

    /// Takes the answer to GENERATE AC apart; a signed one is opened with the card's public key.
    fn read(&self, answer: &[u8], terminal_data: &[u8]) -> Result<Made> {
        let outer = Tlv::read_only(answer)?;
        ensure!(outer.tag.number() == 0x77, "the answer is a {}", outer.tag);
        let mut found = primitives(outer.value)?;
        let mut take = |tag: u32| found.remove(&tag);
        let &[cid] = take(0x9F27).context("no 9F27")?.as_slice() else { anyhow::bail!("9F27 is not one byte") };
        let atc = take(0x9F36).context("no 9F36")?;
        let iad = take(0x9F10).context("no 9F10")?;
        let (signature, clear) = (take(0x9F4B), take(0x9F26));
        let signed = signature.is_some();
        let cryptogram = match (signature, clear) {
            (Some(signature), None) => self.open(&signature, outer.value, terminal_data, cid)?,
            (None, Some(clear)) => clear,
            _ => anyhow::bail!("not exactly one of 9F26 and 9F4B"),
        };
        let exactly = "a field has another length";
        Ok(Made {
            cid,
            atc: u16::from_be_bytes(atc.as_slice().try_into().context(exactly)?),
            cryptogram: cryptogram.as_slice().try_into().context(exactly)?,
            iad,
            aip: self.application.aip.as_slice().try_into().context(exactly)?,
            signed,
        })
    }

    fn open(&self, signature: &[u8], objects: &[u8], terminal_data: &[u8], cid: u8) -> Result<Vec<u8>> {
        let key = self.application.icc_key.as_ref().context("a card without a key signed")?;
        let key = RecoveredKey {
            modulus: key.modulus.clone(),
            exponent: key.exponent.clone(),
            owner: Vec::new(),
            expiry_mmyy: [0; 2],
            block: Vec::new(),
        };
        let mut hashed = terminal_data.to_vec();
        let mut rest = objects;
        while !rest.is_empty() {
            let (tlv, after) = Tlv::read(rest)?;
            if tlv.tag.number() != 0x9F4B {
                hashed.extend(object(tlv.tag, tlv.value));
            }
            rest = after;
        }
        let opened = recover_answer(&key, signature, self.array(0x9F37)?, &hashed)?;
        ensure!(opened.cid == cid, "the signed 9F27 is another");
        Ok(opened.cryptogram.to_vec())
    }
}

/// What the card made.
pub(super) struct Made {
    pub(super) cid: u8,
    pub(super) atc: u16,
    pub(super) cryptogram: [u8; 8],
    pub(super) iad: Vec<u8>,
    pub(super) aip: [u8; 2],
    pub(super) signed: bool,
}

impl Made {
    /// An ARQC, and no decline.
    pub(super) fn is_request(&self) -> bool {
        self.cid == 0x80
    }

    /// The parts of the cryptogram's input by tag.
    pub(super) fn input(&self, terminal: &Terminal) -> Value {
        let upper = |tag: u32, value: &[u8]| (format!("{tag:02X}"), Value::from(hex::encode_upper(value)));
        let drawn = INPUT.iter().map(|tag| upper(*tag, terminal.values.get(tag).map_or(&[], Vec::as_slice)));
        let own = [upper(0x82, &self.aip), upper(0x9F36, &self.atc.to_be_bytes())];
        Value::Object(drawn.chain(own).collect::<Map<_, _>>())
    }
}

/// All primitive objects by tag.
fn primitives(bytes: &[u8]) -> Result<BTreeMap<u32, Vec<u8>>> {
    let mut found = BTreeMap::new();
    Tlv::for_each_primitive(bytes, &mut |tlv| {
        found.insert(tlv.tag.number(), tlv.value.to_vec());
    })?;
    Ok(found)
}

/// A random number up to `highest` in `length` bytes of two decimal digits; small ones are not rare.
fn decimal(rng: &mut ChaCha20Rng, highest: u64, length: usize) -> Vec<u8> {
    let narrowed = rng.next_u64() >> (rng.next_u32() % 64);
    let digits = format!("{:0width$}", narrowed % (highest + 1), width = 2 * length);
    hex::decode(digits).unwrap_or_default()
}

/// 1 to `highest`, in two decimal digits.
fn one_of(rng: &mut ChaCha20Rng, highest: u32) -> u8 {
    let number = u8::try_from(1 + rng.next_u32() % highest).unwrap_or(1);
    ((number / 10) << 4) | (number % 10)
}
