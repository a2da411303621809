//! Mag-stripe mode: cards with tracks that were drawn, and one checksum of each tap.

use std::sync::Arc;

use anyhow::{Context, Result};
use nfcwallet_core::card::Card;
use nfcwallet_core::card::profile::{Profile, Record};
use nfcwallet_core::card::tlv::{Tag, object};
use nfcwallet_core::secret::Secret;
use nfcwallet_core::token_service::operations::WireCredential;
use nfcwallet_sandbox::issuer::{Pan, keys};
use nfcwallet_sandbox::pos::magstripe::{Checksum, ChecksumAnswer, MagStripeRecord, Tracks};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use serde_json::{Value, json};

use super::link::Link;
use super::tap::{Plan, Terminal};
use super::{below, bytes};

/// Longest track 2, in digits and separator (ISO/IEC 7813, 7).
const TRACK_2_DIGITS: usize = 37;
/// Expiry and service code.
const EXPIRY_AND_SERVICE: &str = "3512201";

/// A card with mag-stripe mode, and the key behind its checksums.
pub(super) struct MagStripeCard {
    profile: Profile,
    card: Arc<Card>,
    issuer_key: Secret<16>,
    key: Secret<16>,
    track1: Option<Places>,
    track2: Places,
}

/// A static track and its places.
struct Places {
    template: Vec<u8>,
    pcvc3: Vec<u8>,
    punatc: Vec<u8>,
    natc: u8,
}

impl MagStripeCard {
    /// The same card with a mag-stripe record that was drawn: tracks, places, list.
    pub(super) fn draw(profile: &Profile, pan: &Pan, sequence: u8, rng: &mut ChaCha20Rng) -> Result<Self> {
        let room = TRACK_2_DIGITS - 1 - EXPIRY_AND_SERVICE.len() - pan.expose().len();
        let number_digits = below(rng, 9.min(room - 3));
        let track2 = Places::draw_track2(pan, room, number_digits, rng)?;
        let track1 = match below(rng, 8) {
            0 => None,
            _ => Some(Places::draw_track1(pan, number_digits, rng)?),
        };
        let content = record(track1.as_ref(), &track2, &udol(rng))?;
        let mut profile = profile.clone();
        for application in &mut profile.applications {
            // File 1 is the mag-stripe record's.
            application.records.retain(|record| record.sfi != 1);
            let rest = application.afl.chunks(4).filter(|entry| entry.first() != Some(&(1 << 3))).flatten();
            application.afl = [1 << 3, 1, 1, 0].iter().chain(rest).copied().collect();
            let bytes = object(tag(0x70)?, &content);
            application.records.insert(0, Record { sfi: 1, number: 1, bytes });
        }
        let card = Arc::new(Card::compile(&profile)?);
        let issuer_key = Secret::new(bytes(rng));
        let key = keys::icc_master_key(&issuer_key, pan, sequence);
        Ok(Self { profile, card, issuer_key, key, track1, track2 })
    }

    /// One tap; the line without what belongs to the cardholder.
    pub(super) fn tap(&self, credential: WireCredential, rng: &mut ChaCha20Rng) -> Result<Value> {
        let (plan, atc) = (Plan::draw(rng), credential.atc);
        let terminal = Terminal::draw(&self.profile, rng)?;
        let credential = WireCredential { cvc3_key: Some(self.key.clone()), ..credential };
        let mut link = Link::new(&self.card, credential, plan, rng);
        let pdol_data = terminal.answer_to(&terminal.application.pdol, rng)?;
        link.initiate(&terminal.application.aid, &pdol_data)?;
        let record = MagStripeRecord::read(&link.transmit(&[0x00, 0xB2, 0x01, 0x0C, 0x00])?)?;
        let number = record.unpredictable_number(rng.next_u32());
        let answer = link.transmit(&record.command(number, &terminal.values())?)?;
        let line = |track1: Value, track2: Value| {
            json!({
                "kind": "checksum",
                "issuer_master_key": hex::encode_upper(self.issuer_key.expose()),
                "atc": hex::encode_upper(atc.to_be_bytes()),
                "unpredictable_number": hex::encode_upper(number),
                "track1": track1,
                "track2": track2,
            })
        };
        match ChecksumAnswer::read(&answer)? {
            ChecksumAnswer::Declined { .. } => Ok(line(Value::Null, Value::Null)),
            ChecksumAnswer::Checksum(checksum) => {
                let tracks = record.tracks(number, &checksum)?;
                Ok(line(self.track1(&checksum, &tracks)?, self.track2.line(checksum.track2, tracks.expose_track2())))
            }
        }
    }

    fn track1(&self, checksum: &Checksum, tracks: &Tracks) -> Result<Value> {
        let Some(places) = &self.track1 else { return Ok(Value::Null) };
        let cvc3 = checksum.track1.context("no checksum of track 1")?;
        Ok(places.line(cvc3, tracks.expose_track1().context("no track 1 was built")?))
    }
}

impl Places {
    fn draw_track2(pan: &Pan, room: usize, number_digits: usize, rng: &mut ChaCha20Rng) -> Result<Self> {
        let discretionary = digits(room - below(rng, room - number_digits - 2), rng);
        let text = format!("{}D{EXPIRY_AND_SERVICE}{discretionary}", pan.expose());
        let filled = if text.len() % 2 == 1 { format!("{text}F") } else { text };
        Self::draw(hex::decode(filled)?, discretionary.len(), number_digits, 2, rng)
    }

    fn draw_track1(pan: &Pan, number_digits: usize, rng: &mut ChaCha20Rng) -> Result<Self> {
        let discretionary = digits(number_digits + 3 + below(rng, 14), rng);
        let name = ["TEST/CARD", "/", "MUELLER/A.B", "O'HARA/CARDHOLDER-TEST"].get(below(rng, 4)).unwrap_or(&"/");
        let text = format!("B{}^{name}^{EXPIRY_AND_SERVICE}{discretionary}", pan.expose());
        Self::draw(text.into_bytes(), discretionary.len(), number_digits, 6, rng)
    }

    /// Places in discretionary data of `length` digits; the last digit stays free. At least one digit is
    /// the checksum's; an issuer could not tell a right one otherwise.
    fn draw(
        template: Vec<u8>,
        length: usize,
        number_digits: usize,
        width: usize,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self> {
        let mut free: Vec<usize> = (2..=length).collect();
        let mut taken = |count: usize, rng: &mut ChaCha20Rng| {
            let places = (0..count).map(|_| free.swap_remove(below(rng, free.len())));
            places.fold(0u64, |map, place| map | 1 << (place - 1))
        };
        let spare = length - 1 - number_digits;
        let checksum_digits = 1 + below(rng, spare.min(5));
        let natc = below(rng, 1 + (spare - checksum_digits).min(5));
        let pcvc3 = last_bytes(taken(checksum_digits, rng), width);
        let punatc = last_bytes(taken(number_digits + natc, rng), width);
        Ok(Self { template, pcvc3, punatc, natc: u8::try_from(natc)? })
    }

    fn line(&self, cvc3: u16, built: &str) -> Value {
        json!({
            "template": hex::encode_upper(&self.template),
            "places": hex::encode_upper(&self.pcvc3),
            "cvc3": hex::encode_upper(cvc3.to_be_bytes()),
            "built": built,
        })
    }
}

/// A map of places in `width` bytes.
fn last_bytes(map: u64, width: usize) -> Vec<u8> {
    map.to_be_bytes().into_iter().skip(8 - width).collect()
}

/// The content of the record, a template 70.
fn record(track1: Option<&Places>, track2: &Places, udol: &[u8]) -> Result<Vec<u8>> {
    let mut content = object(tag(0x9F6C)?, &[0x00, 0x01]);
    if let Some(track) = track1 {
        content.extend(object(tag(0x9F62)?, &track.pcvc3));
        content.extend(object(tag(0x9F63)?, &track.punatc));
        content.extend(object(tag(0x56)?, &track.template));
        content.extend(object(tag(0x9F64)?, &[track.natc]));
    }
    content.extend(object(tag(0x9F65)?, &track2.pcvc3));
    content.extend(object(tag(0x9F66)?, &track2.punatc));
    content.extend(object(tag(0x9F6B)?, &track2.template));
    content.extend(object(tag(0x9F67)?, &[track2.natc]));
    content.extend(object(tag(0x9F69)?, udol));
    Ok(content)
}

/// A list with all that the card must know, in an order that was drawn.
fn udol(rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut left: Vec<&[u8]> = vec![
        &[0x9F, 0x6A, 4],
        &[0x9F, 0x02, 6],
        &[0x5F, 0x2A, 2],
        &[0x9F, 0x1A, 2],
        &[0x9F, 0x7E, 1],
        &[0x9A, 3],
        &[0x9C, 1],
    ];
    let mut list = Vec::new();
    while !left.is_empty() {
        list.extend(left.swap_remove(below(rng, left.len())));
    }
    list
}

fn digits(count: usize, rng: &mut ChaCha20Rng) -> String {
    (0..count).map(|_| char::from(b'0' + u8::try_from(below(rng, 10)).unwrap_or(0))).collect()
}

fn tag(number: u16) -> Result<Tag> {
    let bytes = number.to_be_bytes();
    let bytes = if number < 0x100 { bytes.get(1..) } else { bytes.get(..) };
    Ok(Tag::read(bytes.unwrap_or_default())?.0)
}
