//! Mag-stripe mode at the issuer: the record with the static tracks, and the check of a track that comes
//! back with counter, unpredictable number and checksum (CVC3) among its digits.
//!
//! The counter's last digits are all that a network for tracks carries. The ledger knows which counters
//! were issued, so few can be meant; the checksum's key belongs to one of them.

use nfcwallet_core::secret::Secret;
use serde::{Deserialize, Serialize};

use super::authorisation::decimal;
use super::ledger::Fresh;
use super::pan::pack_digits;
use super::tlv::{join, tlv};
use super::{Authorisation, Decision, DeclineReason, Issuer, IssuerError, LedgerEntry, Month, Pan, TokenRecord, keys};

/// Most digits of a track 2 (ISO/IEC 7813), separator included.
const TRACK2_DIGITS: usize = 37;
/// Expiry and service code.
const AFTER_SEPARATOR: usize = 4 + 3;
/// Service code: chip, any country.
const SERVICE_CODE: &str = "201";
/// On track 1 between its separators.
const NAME: &str = "SANDBOX/PHONE";
/// What the phone must know of the transaction: unpredictable number, whether the reader demands CDCVM,
/// amount, currency, country, date, kind, merchant category.
const UDOL: &[u8] =
    &[0x9F, 0x6A, 4, 0x9F, 0x7E, 1, 0x9F, 0x02, 6, 0x5F, 0x2A, 2, 0x9F, 0x1A, 2, 0x9A, 3, 0x9C, 1, 0x9F, 0x15, 2];

/// A payment by tracks: what a terminal in mag-stripe mode sends. Holds the card number: prints redacted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackRequest {
    /// Track 1 without its sentinels, where the card has one.
    pub track1: Option<String>,
    /// Track 2 in hexadecimal digits: `D` separates, `F` fills the last byte.
    pub track2: String,
    /// Tag 9F02: 12 decimal digits, minor units.
    pub amount: [u8; 6],
    /// Tag 5F2A.
    pub currency: [u8; 2],
    /// Tag 9F1A.
    pub terminal_country: [u8; 2],
    /// Tag 9A.
    pub date: [u8; 3],
    /// Tag 9C.
    pub kind: u8,
    /// Tag 9F15.
    pub merchant_category: u16,
    /// Tag 9F4E.
    pub merchant_name: String,
}

impl TrackRequest {
    /// Tag 9F02 as a number; `None` if it is not decimal.
    #[must_use]
    pub fn amount_minor(&self) -> Option<u64> {
        decimal(&self.amount)
    }

    /// Tag 5F2A as a number; `None` if it is not decimal.
    #[must_use]
    pub fn currency_number(&self) -> Option<u16> {
        decimal(&self.currency).and_then(|number| number.try_into().ok())
    }
}

impl std::fmt::Debug for TrackRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrackRequest(amount {}, redacted)", hex::encode(self.amount))
    }
}

/// How many digits of the discretionary data hold what: from the right one for the terminal, then the
/// checksum, the unpredictable number and the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    discretionary: usize,
    checksum: usize,
    number: usize,
    counter: usize,
}

impl Layout {
    /// The longer the number, the less room on track 2. Track 1 has the same layout.
    fn of(pan: &Pan) -> Self {
        let discretionary = TRACK2_DIGITS.saturating_sub(pan.expose().len() + 1 + AFTER_SEPARATOR);
        let (checksum, number, counter) = match discretionary {
            13.. => (5, 3, 4),
            12 => (4, 3, 4),
            11 => (4, 3, 3),
            _ => (3, 3, 3),
        };
        Self { discretionary, checksum, number, counter }
    }

    /// PCVC3: bit 1 is the last digit, which is the terminal's.
    fn checksum_places(self) -> u64 {
        ones(self.checksum) << 1
    }

    /// PUNATC.
    fn number_and_counter_places(self) -> u64 {
        ones(self.number + self.counter) << (1 + self.checksum)
    }
}

fn ones(count: usize) -> u64 {
    (1 << count) - 1
}

/// The static tracks of a card.
pub(super) struct StaticTracks<'a> {
    pub(super) pan: &'a Pan,
    pub(super) expiry: Month,
    pub(super) with_track_1: bool,
}

impl StaticTracks<'_> {
    /// The content of the record in file 1.
    pub(super) fn record(&self) -> Vec<u8> {
        let layout = Layout::of(self.pan);
        let [_, _, checksum @ ..] = layout.checksum_places().to_be_bytes();
        let [_, _, numbers @ ..] = layout.number_and_counter_places().to_be_bytes();
        let counter = [u8::try_from(layout.counter).unwrap_or(u8::MAX)];
        let Month { year, month } = self.expiry;
        let rest = format!("{year:02}{month:02}{SERVICE_CODE}{:0<1$}", "", layout.discretionary);
        let number = self.pan.expose();
        let track_1 = match self.with_track_1 {
            true => join([
                tlv(0x9F62, &checksum),
                tlv(0x9F63, &numbers),
                tlv(0x9F64, &counter),
                tlv(0x56, format!("B{number}^{NAME}^{rest}").as_bytes()),
            ]),
            false => Vec::new(),
        };
        let ([_, _, _, _, checksum @ ..], [_, _, _, _, numbers @ ..]) = (checksum, numbers);
        join([
            tlv(0x9F6C, &[0x00, 0x01]),
            track_1,
            tlv(0x9F65, &checksum),
            tlv(0x9F66, &numbers),
            tlv(0x9F67, &counter),
            tlv(0x9F6B, &pack_digits(&format!("{number}D{rest}"))),
            tlv(0x9F69, UDOL),
        ])
    }
}

/// A track that came back, taken apart.
struct FilledTrack {
    /// As the record holds it, which is what the checksum is over.
    fixed: Vec<u8>,
    checksum: String,
    counter: String,
    unpredictable_number: [u8; 4],
}

impl FilledTrack {
    /// `head` is everything up to the discretionary data, and `pack` makes the card's bytes of a track.
    /// `None` if the digits are not those of `layout`.
    fn read(text: &str, layout: Layout, pack: impl Fn(&str) -> Vec<u8>) -> Option<Self> {
        let (head, digits) = text.split_at_checked(text.len().checked_sub(layout.discretionary)?)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let (rest, last) = digits.split_at_checked(digits.len() - 1)?;
        // The number of digits, and 5 more after CDCVM.
        let last: usize = last.parse().ok()?;
        if last != layout.number && last != (layout.number + 5) % 10 {
            return None;
        }
        let (rest, checksum) = rest.split_at_checked(rest.len().checked_sub(layout.checksum)?)?;
        let (rest, number) = rest.split_at_checked(rest.len().checked_sub(layout.number)?)?;
        let (_, counter) = rest.split_at_checked(rest.len().checked_sub(layout.counter)?)?;
        let mut unpredictable_number = [0; 4];
        hex::decode_to_slice(format!("{number:0>8}"), &mut unpredictable_number).ok()?;
        Some(Self {
            fixed: pack(&format!("{head}{:0<1$}", "", layout.discretionary)),
            checksum: checksum.to_owned(),
            counter: counter.to_owned(),
            unpredictable_number,
        })
    }

    /// The checksum is the one that this key makes at this counter.
    fn is_right(&self, key: &Secret<16>, atc: u16) -> bool {
        let cvc3 = keys::cvc3(key, &self.fixed, self.unpredictable_number, atc);
        format!("{:05}", u16::from_be_bytes(cvc3)).ends_with(&self.checksum)
    }
}

/// All tracks of a request.
struct FilledTracks {
    pan: Pan,
    track_2: FilledTrack,
    track_1: Option<FilledTrack>,
}

impl FilledTracks {
    /// `None` if they are no tracks of this issuer's form, or disagree.
    fn read(request: &TrackRequest) -> Option<Self> {
        let track_2 = request.track2.strip_suffix('F').unwrap_or(&request.track2);
        let (number, _) = track_2.split_once('D')?;
        let pan = Pan::parse(number).ok()?;
        let layout = Layout::of(&pan);
        let track_2 = FilledTrack::read(track_2, layout, pack_digits)?;
        let track_1 = match &request.track1 {
            None => None,
            Some(text) if text.strip_prefix('B')?.split_once('^')?.0 == number => {
                Some(FilledTrack::read(text, layout, |text| text.as_bytes().to_vec())?)
            }
            Some(_) => return None,
        };
        let agree = |track: &FilledTrack| {
            (&track.counter, track.unpredictable_number) == (&track_2.counter, track_2.unpredictable_number)
        };
        let agree = track_1.as_ref().is_none_or(agree);
        agree.then_some(Self { pan, track_2, track_1 })
    }

    fn are_right(&self, key: &Secret<16>, atc: u16) -> bool {
        self.track_2.is_right(key, atc) && self.track_1.as_ref().is_none_or(|track| track.is_right(key, atc))
    }

    /// What the ledger keeps in the place of a cryptogram: two answers at one counter differ in it.
    fn evidence(&self) -> [u8; 8] {
        let [a, b, c, d] = self.track_2.unpredictable_number;
        let [e, f, g, h] = self.track_2.checksum.parse().unwrap_or(u32::MAX).to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl Issuer {
    /// Verifies the checksums of a payment by tracks, writes it down, and decides; the same ledger as
    /// [`Issuer::authorise`], so that a counter pays once in either mode. `now_ms` is the issuer's clock.
    /// There is no place for a reference in a track, and no response cryptogram.
    ///
    /// # Errors
    /// [`IssuerError::Ledger`]: nothing was decided.
    pub fn authorise_track(&self, request: &TrackRequest, now_ms: i64) -> Result<Authorisation, IssuerError> {
        let tracks = FilledTracks::read(request);
        let token = match &tracks {
            Some(tracks) => self.ledger.token_by_pan(&tracks.pan)?,
            None => None,
        };
        let atc = match (&tracks, &token) {
            (Some(tracks), Some(token)) => self.counter_of(tracks, token)?,
            _ => None,
        };
        let (amount_minor, currency) = (request.amount_minor(), request.currency_number());
        let reason = match (&tracks, &token) {
            (None, _) => Some(DeclineReason::Malformed),
            _ if amount_minor.is_none() || currency.is_none() => Some(DeclineReason::Malformed),
            (_, None) => Some(DeclineReason::UnknownToken),
            _ if atc.is_none() => Some(DeclineReason::WrongCryptogram),
            (_, Some(token)) => self.standing_problem(token),
        };
        let entry = LedgerEntry {
            seen_at_ms: now_ms,
            token: token.as_ref().map(|token| token.reference.clone()),
            atc: atc.or_else(|| tracks.as_ref()?.track_2.counter.parse().ok()).unwrap_or(0),
            cryptogram: tracks.as_ref().map_or([0; 8], FilledTracks::evidence),
            unpredictable_number: tracks.as_ref().map_or([0; 4], |tracks| tracks.track_2.unpredictable_number),
            amount_minor,
            currency,
            reference: None,
            verified: atc.is_some(),
            decision: reason.map_or(Decision::Approved, Decision::Declined),
        };
        let fresh = token.as_ref().filter(|_| reason.is_none());
        let fresh = fresh.map(|token| Fresh { token: &token.reference, now_ms });
        let decision = self.ledger.record(entry, fresh)?;
        let (token_reference, user) = token.map(|token| (token.reference, token.user)).unzip();
        Ok(Authorisation {
            decision,
            cryptogram_verified: atc.is_some(),
            token_reference,
            user,
            reference: None,
            response_cryptogram: None,
            provider: None,
        })
    }

    /// The issued counter whose key made these checksums; one that was not seen yet before one that was.
    fn counter_of(&self, tracks: &FilledTracks, token: &TokenRecord) -> Result<Option<u16>, IssuerError> {
        let issued = self.ledger.counters_ending_in(&token.reference, &tracks.track_2.counter)?;
        let master = self.cvc3_master_key(&token.pan);
        Ok(issued.into_iter().find(|atc| tracks.are_right(&keys::session_key(&master, *atc), *atc)))
    }
}

#[cfg(test)]
mod tests;
