//! The terminal: a contactless point of sale whose EMV kernel nobody here wrote.
//!
//! Owns one tap from SELECT PPSE to the authorisation request. Parsing, certificate chain, signature
//! and action analysis are the crate `emv`'s; what that contact kernel lacks (PPSE, the reader's CVM
//! limit, on-device CVM, "see phone") is here. Touches no network: the caller takes the request to the
//! issuer. Every answer of a card, however broken, ends in a typed [`Outcome`].
//!
//! ```
//! use nfcwallet_sandbox::issuer::Authority;
//! use nfcwallet_sandbox::pos::{LinkLost, Outcome, Purchase, Terminal};
//!
//! # fn main() -> Result<(), nfcwallet_sandbox::issuer::IssuerError> {
//! let terminal = Terminal::new([Authority::shared()?.ca_public_key()]);
//! let purchase = Purchase::new(19_99, 978, 1_780_000_000_000, [1, 2, 3, 4]);
//! // Nobody holds a card to the reader.
//! let result = terminal.tap(&mut |_command| Err(LinkLost), &purchase);
//! assert_eq!(result.outcome, Outcome::LinkLost);
//! # Ok(())
//! # }
//! ```

mod kernel;
pub mod magstripe;
#[cfg(test)]
mod published_tests;
mod reader;
mod relay;
mod select;
#[cfg(test)]
mod test_card;
#[cfg(test)]
mod tests;
pub mod trace;
mod tracks;

use crate::issuer::CaPublicKey;
pub use crate::issuer::{AuthorisationRequest, TrackRequest};
pub(crate) use select::PPSE;
pub use trace::{Exchange, pretty};

/// The field was lost: the card is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("link lost")]
pub struct LinkLost;

/// What carries a command to the card and brings its answer back.
pub type Link<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, LinkLost> + 'a;

/// A point of sale.
#[derive(Debug, Clone)]
pub struct Terminal {
    ca_keys: Vec<emv::core::oda::CaPublicKey>,
}

impl Terminal {
    /// A terminal that trusts these authorities.
    #[must_use]
    pub fn new(ca_keys: impl IntoIterator<Item = CaPublicKey>) -> Self {
        let key = |key: CaPublicKey| emv::core::oda::CaPublicKey {
            rid: key.rid,
            index: key.index,
            modulus: key.modulus,
            exponent: key.exponent,
        };
        Self { ca_keys: ca_keys.into_iter().map(key).collect() }
    }

    /// One tap. After [`Outcome::SeePhone`] let the user look at the phone and tap again.
    pub fn tap(&self, link: &mut Link<'_>, purchase: &Purchase) -> TapResult {
        kernel::run(&self.ca_keys, link, purchase)
    }
}

/// What is being paid, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Tag 9F02, in minor units, cash back included: at most 12 digits.
    pub amount_minor: u64,
    /// Tag 9F03, in minor units: at most 12 digits.
    pub other_amount_minor: u64,
    /// Tag 5F2A, ISO 4217 numeric.
    pub currency: u16,
    /// Tag 9C: 00 purchase, 01 cash, 09 purchase with cash back, 20 refund.
    pub kind: u8,
    /// Tag 9F1A, ISO 3166 numeric.
    pub country: u16,
    /// Tag 9F15, ISO 18245.
    pub merchant_category: u16,
    /// Tag 9F4E.
    pub merchant_name: String,
    /// Tag 9A: YYMMDD, two decimal digits a byte.
    pub date: [u8; 3],
    /// Tag 9F21: HHMMSS, two decimal digits a byte.
    pub time: [u8; 3],
    /// The reader's CVM required limit: above it the cardholder must be verified.
    pub cvm_limit_minor: u64,
    /// Tag 9F37.
    pub unpredictable_number: [u8; 4],
    /// Tag 9F1D; `None` lets the reader fill it (its CVMs, and whether the limit is exceeded).
    pub risk_management_data: Option<[u8; 8]>,
    /// What the reader speaks with the card.
    pub mode: Mode,
    /// The reader asks for relay resistance data, where the card has them.
    pub relay_resistance: bool,
}

/// What a reader speaks with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Cryptogram and signature.
    #[default]
    Emv,
    /// Checksums in tracks, as readers at networks without chip data want them.
    MagStripe,
}

impl Purchase {
    /// Goods at a German supermarket whose reader asks for verification above 50.00.
    #[must_use]
    pub fn new(amount_minor: u64, currency: u16, now_ms: i64, unpredictable_number: [u8; 4]) -> Self {
        let (date, time) = date_and_time(now_ms);
        Self {
            amount_minor,
            other_amount_minor: 0,
            currency,
            kind: 0x00,
            country: 276,
            merchant_category: 5411,
            merchant_name: "Sandbox Supermarket".to_owned(),
            date,
            time,
            cvm_limit_minor: 5_000,
            unpredictable_number,
            risk_management_data: None,
            mode: Mode::Emv,
            relay_resistance: false,
        }
    }

    /// The amount is above the reader's CVM required limit.
    #[must_use]
    pub fn exceeds_cvm_limit(&self) -> bool {
        self.amount_minor > self.cvm_limit_minor
    }
}

/// How a tap went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapResult {
    /// How it ended.
    pub outcome: Outcome,
    /// What the crate `emv` found of the card's signature; `None` if there was none to check.
    pub cda_verified: Option<bool>,
    /// Relay resistance data were exchanged, the signature holds them, and the answer came in time;
    /// `None` without an exchange or without a signature to check.
    pub relay_resisted: Option<bool>,
    /// Every command and answer.
    pub trace: Vec<Exchange>,
}

impl TapResult {
    /// What goes to the issuer, if the tap got that far.
    #[must_use]
    pub fn authorisation_request(&self) -> Option<&AuthorisationRequest> {
        match &self.outcome {
            Outcome::Online(request) => Some(request),
            _ => None,
        }
    }
}

/// How a tap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The card made a cryptogram for the issuer.
    Online(Box<AuthorisationRequest>),
    /// The card made checksums for the issuer.
    OnlineByTrack(Box<TrackRequest>),
    /// Declined at the terminal.
    Declined(DeclinedBy),
    /// The phone wants its user: look at it, then tap again.
    SeePhone,
    /// This is no card that the terminal can use.
    NotAccepted(NotAccepted),
    /// The card left the field; present it again.
    LinkLost,
}

/// Who declined at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeclinedBy {
    /// The card answered AAC though asked for more.
    #[error("declined by the card")]
    Card,
    /// The terminal asked for AAC: its action codes say so, or a phone with on-device CVM has no valid
    /// certificates.
    #[error("declined by the terminal")]
    Terminal,
    /// The signature over the card's answer is wrong or missing.
    #[error("the card's signature is wrong")]
    CardAuthentication,
}

/// Why a card cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// A status word other than 9000.
    #[error("{command} answered {status_word:04X}")]
    StatusWord {
        /// Which command.
        command: &'static str,
        /// SW1 SW2.
        status_word: u16,
    },
    /// No application that the terminal knows.
    #[error("no application in common")]
    NoApplication,
    /// The card offers mag-stripe mode only.
    #[error("the card has no EMV mode")]
    MagStripeOnly,
    /// The reader speaks mag-stripe mode only.
    #[error("the card has no mag-stripe mode")]
    NoMagStripe,
    /// The card's data break a rule of EMV.
    #[error("malformed card data: {reason}")]
    Malformed {
        /// What was wrong, in the kernel's words.
        reason: String,
    },
    /// The card answered a higher kind of cryptogram than was asked for (EMV Book 3, 6.5.5).
    #[error("a higher cryptogram than asked for")]
    HigherCryptogram,
    /// An answer is shorter than a status word, longer than 256 bytes and a status word, or ends in
    /// none.
    #[error("an answer of {length} bytes is none")]
    BrokenAnswer {
        /// Its length.
        length: usize,
    },
    /// The card keeps the terminal busy for ever.
    #[error("more than {limit} commands")]
    TooManyCommands {
        /// The most that a tap may take.
        limit: usize,
    },
    /// The purchase cannot be coded: an amount has more than 12 digits, or a code more than its own.
    #[error("purchase: {field} is out of range")]
    Purchase {
        /// Which field.
        field: &'static str,
    },
}

/// Civil date and time of milliseconds since 1970, as tags 9A and 9F21 code them (in UTC).
fn date_and_time(now_ms: i64) -> ([u8; 3], [u8; 3]) {
    let seconds = now_ms.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of year 0, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    ([bcd(year + 400 * era), bcd(month), bcd(date)], [bcd(second / 3_600), bcd(second / 60 % 60), bcd(second % 60)])
}

/// The last two decimal digits.
fn bcd(number: i64) -> u8 {
    let number = u8::try_from(number.rem_euclid(100)).unwrap_or(0);
    ((number / 10) << 4) | (number % 10)
}
