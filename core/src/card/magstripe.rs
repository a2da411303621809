//! Mag-stripe mode: what the records must hold for it, and the answer to COMPUTE CRYPTOGRAPHIC
//! CHECKSUM.
//!
//! A terminal without EMV mode writes the card's CVC3 into the static track of the record, with the
//! unpredictable number and the counter, and sends that to the issuer like a swiped track. The mode is
//! there if the records hold its data.

use super::apdu::{Command, StatusWord};
use super::compile::CardApp;
use super::cryptogram::cvc3;
use super::dol::Dol;
use super::generate_ac::{CDCVM_DONE, SEE_PHONE};
use super::hooks::{
    BurningCredential, CryptogramDecision, CryptogramRequest, CryptogramRequested, TapHooks, once_burnt,
};
use super::number::Track2;
use super::profile_error::ProfileError;
use super::record_data::Identity;
use super::records::Objects;
use super::request::{self, TerminalData};
use super::tlv::Tag;
use super::{lists, tags, tlv};

/// What a terminal sends if the records hold no UDOL: the unpredictable number alone.
const DEFAULT_UDOL: &[u8] = &[0x9F, 0x6A, 4];

/// P1 and P2: computes a checksum, over the data field.
const PARAMETERS: (u8, u8) = (0x8E, 0x80);

/// DF4B of a decline that nothing can be done about.
const DECLINED: [u8; 3] = [0; 3];

/// Any of these in the records means that the mode is there.
const MODE_DATA: [Tag; 11] = [
    tags::TRACK_1,
    tags::PCVC3_TRACK_1,
    tags::PUNATC_TRACK_1,
    tags::NATC_TRACK_1,
    tags::PCVC3_TRACK_2,
    tags::PUNATC_TRACK_2,
    tags::NATC_TRACK_2,
    tags::UDOL,
    tags::MAG_STRIPE_TRACK_2,
    tags::MAG_STRIPE_VERSION,
    tags::MAG_STRIPE_APPLICATION,
];

/// A card's mag-stripe mode.
pub(super) struct MagStripe {
    pub(super) udol: Dol,
    /// Tag 9F6B.
    track_2: Vec<u8>,
    /// Tag 56.
    track_1: Option<Vec<u8>>,
}

impl MagStripe {
    /// Reads the mode's data out of the records, whose lengths have been checked; `None` if there are
    /// none.
    pub(super) fn compile(
        objects: &Objects<'_>,
        pdol: &Dol,
        identity: &Identity,
    ) -> Result<Option<Self>, ProfileError> {
        if !is_in(objects) {
            return Ok(None);
        }
        let track_2 = objects.require(tags::MAG_STRIPE_TRACK_2)?;
        let track_1 = objects.find(tags::TRACK_1);
        check_positions(objects, track_2, track_1, identity)?;
        let udol = lists::read(tags::UDOL, objects.find(tags::UDOL).unwrap_or(DEFAULT_UDOL))?;
        request::check_udol(&udol, pdol)?;
        Ok(Some(Self { udol, track_2: track_2.to_vec(), track_1: track_1.map(<[u8]>::to_vec) }))
    }
}

/// Do the records hold anything of the mode?
pub(super) fn is_in(objects: &Objects<'_>) -> bool {
    MODE_DATA.iter().any(|tag| objects.find(*tag).is_some())
}

/// A request for a checksum that was checked as far as it can be.
pub(super) struct Prepared<'a> {
    mode: &'a MagStripe,
    pub(super) request: CryptogramRequest,
}

impl<'a> Prepared<'a> {
    /// Checks parameters and data. 6D00 for an application without the mode.
    pub(super) fn read(command: &Command<'a>, app: &'a CardApp, pdol_data: &'a [u8]) -> Result<Self, StatusWord> {
        let mode = app.mag_stripe.as_ref().ok_or(StatusWord::UNKNOWN_INS)?;
        if (command.p1, command.p2) != PARAMETERS {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let data = command.data()?;
        if data.len() != mode.udol.data_len() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let terminal = TerminalData { app, pdol_data, list: &mode.udol, data };
        let request = terminal.request(CryptogramRequested::Checksum).ok_or(StatusWord::WRONG_DATA)?;
        Ok(Self { mode, request })
    }

    /// The answer's data field. 6F00 if the credential has no key for the mode: it is spent, and nothing
    /// leaves the card.
    pub(super) fn answer(self, decision: CryptogramDecision, hooks: &mut dyn TapHooks) -> Result<Vec<u8>, StatusWord> {
        match decision {
            CryptogramDecision::Approve { credential, cdcvm_done, reference: _ } => {
                once_burnt(hooks, self.approve(&credential, cdcvm_done), || decline(0, false))
            }
            CryptogramDecision::Decline { atc, see_phone } => Ok(decline(atc, see_phone)),
        }
    }

    fn approve(&self, credential: &BurningCredential, cdcvm_done: bool) -> Result<Vec<u8>, StatusWord> {
        let key = credential.cvc3_key.as_ref().ok_or(StatusWord::INTERNAL)?;
        let of_track = |track: &[u8]| cvc3(key, track, self.request.unpredictable_number, credential.atc);
        let mut content = tlv::object(tags::CVC3_TRACK_2, &of_track(&self.mode.track_2));
        if let Some(track) = &self.mode.track_1 {
            tlv::write(&mut content, tags::CVC3_TRACK_1, &of_track(track));
        }
        tlv::write(&mut content, tags::ATC, &credential.atc.to_be_bytes());
        if cdcvm_done {
            tlv::write(&mut content, tags::POS_INTERACTION, &CDCVM_DONE);
        }
        Ok(tlv::object(tags::RESPONSE, &content))
    }
}

/// No 9F61: it spends and reveals nothing.
fn decline(atc: u16, see_phone: bool) -> Vec<u8> {
    let mut content = tlv::object(tags::ATC, &atc.to_be_bytes());
    tlv::write(&mut content, tags::POS_INTERACTION, if see_phone { &SEE_PHONE } else { &DECLINED });
    tlv::object(tags::RESPONSE, &content)
}

/// Where in a track's discretionary data a terminal writes what: bit 1 is the last digit.
struct Track {
    cvc3: Tag,
    numbers: Tag,
    counter_digits: Tag,
}

const TRACK_1: Track =
    Track { cvc3: tags::PCVC3_TRACK_1, numbers: tags::PUNATC_TRACK_1, counter_digits: tags::NATC_TRACK_1 };
const TRACK_2: Track =
    Track { cvc3: tags::PCVC3_TRACK_2, numbers: tags::PUNATC_TRACK_2, counter_digits: tags::NATC_TRACK_2 };

/// The digits of the unpredictable number are counted once for both tracks.
fn check_positions(
    objects: &Objects<'_>,
    track_2: &[u8],
    track_1: Option<&[u8]>,
    identity: &Identity,
) -> Result<(), ProfileError> {
    let Some(Track2 { number, discretionary, .. }) = Track2::read(track_2) else {
        let reason = "is not number, D, expiry, service code and digits";
        return Err(ProfileError::tag(tags::MAG_STRIPE_TRACK_2, reason));
    };
    if number != identity.number {
        return Err(ProfileError::tag(tags::MAG_STRIPE_TRACK_2, "is of another number than 5A"));
    }
    let number_digits = TRACK_2.check(objects, discretionary)?;
    let Some(track_1) = track_1 else {
        let alone = [TRACK_1.cvc3, TRACK_1.numbers, TRACK_1.counter_digits];
        return match alone.into_iter().find(|tag| objects.find(*tag).is_some()) {
            Some(tag) => Err(ProfileError::tag(tag, "is there without track 1 (56)")),
            None => Ok(()),
        };
    };
    let digits = discretionary_length(track_1)
        .ok_or_else(|| ProfileError::tag(tags::TRACK_1, "is not B, number, ^, name, ^, expiry, service code, data"))?;
    if !identity.number.is_text(track_1_number(track_1)) {
        return Err(ProfileError::tag(tags::TRACK_1, "is of another number than 5A"));
    }
    let of_track_1 = TRACK_1.check(objects, digits)?;
    if of_track_1 == number_digits {
        return Ok(());
    }
    let reason = format!("leaves {of_track_1} digits of the unpredictable number, track 2 leaves {number_digits}");
    Err(ProfileError::tag(TRACK_1.numbers, reason))
}

impl Track {
    /// Answers how many digits of the unpredictable number the track takes.
    fn check(&self, objects: &Objects<'_>, digits: usize) -> Result<u32, ProfileError> {
        let cvc3 = positions(objects, self.cvc3, digits)?;
        let numbers = positions(objects, self.numbers, digits)?;
        if cvc3 & numbers != 0 {
            return Err(ProfileError::tag(self.numbers, format!("shares positions with {}", self.cvc3)));
        }
        let counter_digits = objects.require(self.counter_digits)?.first().copied().unwrap_or(0);
        let places = numbers.count_ones();
        match places.checked_sub(u32::from(counter_digits)) {
            Some(number_digits @ 0..=8) => Ok(number_digits),
            _ => {
                let reason = format!("is {counter_digits}, limit {} to {places}", places.saturating_sub(8));
                Err(ProfileError::tag(self.counter_digits, reason))
            }
        }
    }
}

/// The terminal itself fills the last digit.
fn positions(objects: &Objects<'_>, tag: Tag, digits: usize) -> Result<u64, ProfileError> {
    let positions = objects.require(tag)?.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    let highest = usize::try_from(u64::BITS - positions.leading_zeros()).unwrap_or(usize::MAX);
    if positions & 1 != 0 || highest > digits {
        let position = if positions & 1 != 0 { 1 } else { highest };
        return Err(ProfileError::tag(tag, format!("names position {position}, limit 2 to {digits}")));
    }
    Ok(positions)
}

/// Expiry and service code, in characters.
const AFTER_SEPARATOR: usize = 4 + 3;

/// The characters between B and the first separator.
fn track_1_number(track: &[u8]) -> &[u8] {
    let number = track.strip_prefix(b"B").unwrap_or(track);
    number.split(|character| *character == b'^').next().unwrap_or(number)
}

/// How much discretionary data there is in a track 1 (ISO/IEC 7813): format B, at most 76 characters.
fn discretionary_length(track: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(track).ok()?.strip_prefix('B')?;
    let (number, rest) = text.split_once('^')?;
    let (_name, rest) = rest.split_once('^')?;
    let fits = track.len() <= 76 && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let readable = rest.bytes().all(|character| (b' '..=b'_').contains(&character) && character != b'^');
    rest.len().checked_sub(AFTER_SEPARATOR).filter(|_| fits && readable)
}
