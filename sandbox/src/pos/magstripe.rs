//! The terminal's side of mag-stripe mode: the card's static tracks, the command that asks for a
//! checksum, and the tracks that go to the acquirer.
//!
//! A network that knows only tracks gets counter, unpredictable number and checksum (CVC3) as digits
//! in the discretionary data, at places that the card names. Objects: EMV contactless Book C-2, annex A.
//! Mag-stripe mode knows no cryptogram and no signature, so an EMV card is never asked for it.

use std::fmt;

use emv::core::dol::{Dol, ValueFormat};
use emv::core::tag::Tag;
use emv::core::tlv::Tlv;

/// Objects of the record.
const PCVC3_TRACK1: Tag = Tag(0x9F62);
const PUNATC_TRACK1: Tag = Tag(0x9F63);
const NATC_TRACK1: Tag = Tag(0x9F64);
const TRACK1: Tag = Tag(0x56);
const PCVC3_TRACK2: Tag = Tag(0x9F65);
const PUNATC_TRACK2: Tag = Tag(0x9F66);
const NATC_TRACK2: Tag = Tag(0x9F67);
const TRACK2: Tag = Tag(0x9F6B);
const UDOL: Tag = Tag(0x9F69);
/// Objects of the answer.
const CVC3_TRACK1: Tag = Tag(0x9F60);
const CVC3_TRACK2: Tag = Tag(0x9F61);
const ATC: Tag = Tag(0x9F36);
const POS_INTERACTION: Tag = Tag(0xDF4B);
/// Objects of the command.
const UNPREDICTABLE_NUMBER: Tag = Tag(0x9F6A);

/// What a card without 9F69 asks for: the unpredictable number alone.
const DEFAULT_UDOL: &[u8] = &[0x9F, 0x6A, 4];
/// Digits of the unpredictable number (9F6A).
const NUMBER_DIGITS: u32 = 8;
/// DF4B byte 2: CDCVM successful.
const CDCVM_SUCCESSFUL: u8 = 0x10;
/// Expiry and service code, before the discretionary data.
const EXPIRY_AND_SERVICE: usize = 7;

/// Why mag-stripe data cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MagStripeError {
    /// The bytes are no TLV, or a list is none.
    #[error("mag-stripe data are malformed")]
    Malformed,
    /// An object is missing, or has another length or form than its own.
    #[error("{tag:04X} is missing or malformed")]
    Object {
        /// Its tag.
        tag: u32,
    },
    /// The places leave no number of digits from 0 to 8 for the unpredictable number.
    #[error("{digits} digits for the unpredictable number, limit 0 to 8")]
    Digits {
        /// Places for number and counter, less those for the counter.
        digits: i32,
    },
    /// The two tracks disagree on the unpredictable number's digits.
    #[error("{track1} digits for the unpredictable number on track 1 and {track2} on track 2")]
    TracksDisagree {
        /// By 9F63 and 9F64.
        track1: u32,
        /// By 9F66 and 9F67.
        track2: u32,
    },
    /// A place is outside the discretionary data, taken twice, or the last one, which is the
    /// terminal's.
    #[error("place {place} of the discretionary data cannot be used")]
    Place {
        /// Counted from the right, from 1.
        place: u32,
    },
}

/// What a card's mag-stripe record (SFI 1, record 1) says. Holds the card number: prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct MagStripeRecord {
    track1: Option<Track>,
    track2: Track,
    udol: Dol,
}

impl MagStripeRecord {
    /// Reads the record, a template 70; other objects are passed over.
    ///
    /// # Errors
    /// [`MagStripeError`]. Both tracks are checked as far as can be without a checksum.
    pub fn read(record: &[u8]) -> Result<Self, MagStripeError> {
        let record = Objects::read(record, Tag(0x70))?;
        let digits = record.require(TRACK2)?;
        let track2 = Track::new(hex::encode_upper(digits), Form::Two, &record)?;
        let track1 = match record.find(TRACK1) {
            None => None,
            Some(text) => {
                let text = String::from_utf8(text.to_vec()).map_err(|_| malformed(TRACK1))?;
                Some(Track::new(text, Form::One, &record)?)
            }
        };
        if let Some(track1) = &track1
            && track1.number_digits != track2.number_digits
        {
            let (track1, track2) = (track1.number_digits, track2.number_digits);
            return Err(MagStripeError::TracksDisagree { track1, track2 });
        }
        let udol = Dol::parse(record.find(UDOL).unwrap_or(DEFAULT_UDOL)).map_err(|_| malformed(UDOL))?;
        Ok(Self { track1, track2, udol })
    }

    /// How many digits of the unpredictable number the issuer will see (nUN), 0 to 8.
    #[must_use]
    pub fn number_digits(&self) -> u32 {
        self.track2.number_digits
    }

    /// The unpredictable number out of `random`, as 8 decimal digits. Those that the issuer will not see
    /// are 0, or it could not compute the checksum.
    #[must_use]
    pub fn unpredictable_number(&self, random: u32) -> [u8; 4] {
        let seen = 10u64.pow(self.number_digits().min(NUMBER_DIGITS));
        let text = format!("{:08}", u64::from(random) % seen);
        let mut number = [0; 4];
        // Eight decimal digits are hex.
        let _ = hex::decode_to_slice(text, &mut number);
        number
    }

    /// COMPUTE CRYPTOGRAPHIC CHECKSUM for this card. `others` are the values that the terminal has
    /// beside the number, all of them numeric; what it does not have is filled with zeros.
    ///
    /// # Errors
    /// [`MagStripeError::Object`] if the card's list asks for more than fits a command.
    pub fn command(&self, unpredictable_number: [u8; 4], others: &[(u32, &[u8])]) -> Result<Vec<u8>, MagStripeError> {
        let data = self.udol.build(|tag| {
            let other = others.iter().find(|(known, _)| *known == tag.0).map(|(_, value)| value.to_vec());
            let value = if tag == UNPREDICTABLE_NUMBER { Some(unpredictable_number.to_vec()) } else { other };
            value.map(|value| (ValueFormat::Numeric, value))
        });
        let length = u8::try_from(data.len()).map_err(|_| malformed(UDOL))?;
        Ok([&[0x80, 0x2A, 0x8E, 0x80, length], data.as_slice(), &[0x00]].concat())
    }

    /// The tracks for the acquirer.
    ///
    /// # Errors
    /// [`MagStripeError::Object`] if the checksum of a track is missing.
    pub fn tracks(&self, unpredictable_number: [u8; 4], checksum: &Checksum) -> Result<Tracks, MagStripeError> {
        let filled = |track: &Track, cvc3: u16| track.filled(unpredictable_number, checksum, cvc3);
        let track1 = match &self.track1 {
            None => None,
            Some(track) => Some(filled(track, checksum.track1.ok_or_else(|| malformed(CVC3_TRACK1))?)),
        };
        Ok(Tracks { track1, track2: filled(&self.track2, checksum.track2) })
    }
}

impl fmt::Debug for MagStripeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MagStripeRecord({} digits for the unpredictable number, redacted)", self.number_digits())
    }
}

/// How a card answered COMPUTE CRYPTOGRAPHIC CHECKSUM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAnswer {
    /// With a checksum.
    Checksum(Checksum),
    /// With none: the card declines.
    Declined {
        /// DF4B: what the user is to do.
        interaction: Option<[u8; 3]>,
    },
}

impl ChecksumAnswer {
    /// Reads the answer's data, a template 77.
    ///
    /// # Errors
    /// [`MagStripeError`].
    pub fn read(data: &[u8]) -> Result<Self, MagStripeError> {
        let answer = Objects::read(data, Tag(0x77))?;
        let interaction = answer.array(POS_INTERACTION)?;
        let counter = answer.array(ATC)?.ok_or_else(|| malformed(ATC))?;
        match answer.array(CVC3_TRACK2)? {
            None => Ok(Self::Declined { interaction }),
            Some(track2) => Ok(Self::Checksum(Checksum {
                track1: answer.array(CVC3_TRACK1)?.map(u16::from_be_bytes),
                track2: u16::from_be_bytes(track2),
                atc: u16::from_be_bytes(counter),
                interaction,
            })),
        }
    }
}

/// A card's checksums over its tracks, for one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// Tag 9F60; mandatory where the record has a track 1.
    pub track1: Option<u16>,
    /// Tag 9F61.
    pub track2: u16,
    /// Tag 9F36.
    pub atc: u16,
    /// Tag DF4B.
    pub interaction: Option<[u8; 3]>,
}

impl Checksum {
    /// The card says that its user was verified on the device.
    #[must_use]
    pub fn cdcvm_successful(&self) -> bool {
        self.interaction.is_some_and(|[_, second, _]| second & CDCVM_SUCCESSFUL != 0)
    }
}

/// What goes to the acquirer. Holds the card number: prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Tracks {
    track1: Option<String>,
    track2: String,
}

impl Tracks {
    /// Track 1 without its sentinels; `None` where the card has none. Named so that each reader can be
    /// found by searching for it.
    #[must_use]
    pub fn expose_track1(&self) -> Option<&str> {
        self.track1.as_deref()
    }

    /// Track 2 in hexadecimal digits: `D` separates, `F` fills the last byte.
    #[must_use]
    pub fn expose_track2(&self) -> &str {
        &self.track2
    }
}

impl fmt::Debug for Tracks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracks(redacted)")
    }
}

/// The two forms of a track (ISO/IEC 7813, 6 and 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text: `B`, number, `^`, name, `^`, expiry, service code, discretionary data.
    One,
    /// Packed digits: number, `D`, expiry, service code, discretionary data, `F` to fill a byte.
    Two,
}

impl Form {
    /// Tags of the track, of the places of its checksum, of those of number and counter, and of the
    /// counter's digits.
    fn tags(self) -> [Tag; 4] {
        match self {
            Self::One => [TRACK1, PCVC3_TRACK1, PUNATC_TRACK1, NATC_TRACK1],
            Self::Two => [TRACK2, PCVC3_TRACK2, PUNATC_TRACK2, NATC_TRACK2],
        }
    }

    /// Everything up to the discretionary data, and the discretionary data; `None` if the track has
    /// another form.
    fn split(self, text: &str) -> Option<(&str, &str)> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (number, rest) = match self {
            Self::One => {
                let (number, named) = text.strip_prefix('B')?.split_once('^')?;
                (number, named.split_once('^')?.1)
            }
            Self::Two => {
                let (number, rest) = text.split_once('D')?;
                (number, rest.strip_suffix('F').unwrap_or(rest))
            }
        };
        if !is_digits(number) || !is_digits(rest) {
            return None;
        }
        let (_, discretionary) = rest.split_at_checked(EXPIRY_AND_SERVICE)?;
        let (track, _) = text.split_at_checked(text.len() - usize::from(text.ends_with('F')))?;
        Some((track.strip_suffix(discretionary)?, discretionary))
    }
}

/// A static track, and where its digits go. Places count from the right of the discretionary data.
#[derive(Clone, PartialEq, Eq)]
struct Track {
    form: Form,
    /// Up to the discretionary data.
    head: String,
    discretionary: Vec<u8>,
    checksum: Vec<u32>,
    /// The lowest places of PUNATC.
    number: Vec<u32>,
    /// The highest places of PUNATC.
    counter: Vec<u32>,
    number_digits: u32,
}

impl Track {
    fn new(text: String, form: Form, record: &Objects) -> Result<Self, MagStripeError> {
        let [track, pcvc3, punatc, natc] = form.tags();
        let (head, discretionary) = form.split(&text).ok_or_else(|| malformed(track))?;
        let checksum = places(record.require(pcvc3)?);
        let both = places(record.require(punatc)?);
        let &[counter_digits] = record.require(natc)? else { return Err(malformed(natc)) };
        let digits = i32::try_from(both.len()).unwrap_or(i32::MAX) - i32::from(counter_digits);
        let number_digits = u32::try_from(digits).ok().filter(|digits| *digits <= NUMBER_DIGITS);
        let number_digits = number_digits.ok_or(MagStripeError::Digits { digits })?;
        let (number, counter) = both.split_at_checked(digits.unsigned_abs() as usize).unwrap_or((&both, &[]));
        let track = Self {
            form,
            head: head.to_owned(),
            discretionary: discretionary.bytes().collect(),
            checksum,
            number: number.to_vec(),
            counter: counter.to_vec(),
            number_digits,
        };
        track.check_places()?;
        Ok(track)
    }

    fn check_places(&self) -> Result<(), MagStripeError> {
        // The last digit is the terminal's: it says nUN.
        let mut taken = vec![1];
        for &place in self.checksum.iter().chain(&self.number).chain(&self.counter) {
            if taken.contains(&place) || place as usize > self.discretionary.len() {
                return Err(MagStripeError::Place { place });
            }
            taken.push(place);
        }
        // A track without room for the last digit.
        if self.discretionary.is_empty() { Err(MagStripeError::Place { place: 1 }) } else { Ok(()) }
    }

    fn filled(&self, unpredictable_number: [u8; 4], checksum: &Checksum, cvc3: u16) -> String {
        let mut digits = self.discretionary.clone();
        let number = hex::encode(unpredictable_number);
        write(&mut digits, &self.checksum, &cvc3.to_string());
        write(&mut digits, &self.number, &number);
        write(&mut digits, &self.counter, &checksum.atc.to_string());
        let last = self.number_digits + if checksum.cdcvm_successful() { 5 } else { 0 };
        write(&mut digits, &[1], &(last % 10).to_string());
        let mut track = self.head.clone();
        track.extend(digits.into_iter().map(char::from));
        if self.form == Form::Two && track.len() % 2 == 1 {
            track.push('F');
        }
        track
    }
}

/// Writes the last digits of `value` at `places`, the lowest place last; zeros where it has no more.
fn write(discretionary: &mut [u8], places: &[u32], value: &str) {
    let digits = value.bytes().rev().chain(std::iter::repeat(b'0'));
    for (place, digit) in places.iter().zip(digits) {
        let from_right = discretionary.iter_mut().rev().nth((*place as usize).saturating_sub(1));
        if let Some(byte) = from_right {
            *byte = digit;
        }
    }
}

/// The ones of a bit map, lowest first; bit 1 of the last byte is place 1.
fn places(map: &[u8]) -> Vec<u32> {
    let bits = map.iter().rev().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    (1..).zip(bits).filter(|(_, set)| *set).map(|(place, _)| place).collect()
}

/// The primitive objects inside one template.
struct Objects(Vec<Tlv>);

impl Objects {
    fn read(bytes: &[u8], template: Tag) -> Result<Self, MagStripeError> {
        let outer = Tlv::from_bytes(bytes).map_err(|_| MagStripeError::Malformed)?;
        match outer.value().as_constructed() {
            Some(inner) if outer.tag() == template => Ok(Self(inner.to_vec())),
            _ => Err(MagStripeError::Malformed),
        }
    }

    fn find(&self, tag: Tag) -> Option<&[u8]> {
        self.0.iter().find(|object| object.tag() == tag)?.value().as_primitive()
    }

    fn require(&self, tag: Tag) -> Result<&[u8], MagStripeError> {
        self.find(tag).ok_or_else(|| malformed(tag))
    }

    /// The object if it is there, of exactly its own length.
    fn array<const N: usize>(&self, tag: Tag) -> Result<Option<[u8; N]>, MagStripeError> {
        let array = |value: &[u8]| value.try_into().map_err(|_| malformed(tag));
        self.find(tag).map(array).transpose()
    }
}

fn malformed(tag: Tag) -> MagStripeError {
    MagStripeError::Object { tag: tag.0 }
}

#[cfg(test)]
mod tests;
