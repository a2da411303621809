//! A tap in a few lines.

use std::fmt::Write;

use serde::Serialize;

use super::node::{Node, Tone};
use super::signature::Cda;
use super::tap::Tap;
use super::{codes, fields, values};

/// What a tap was and how it ended. What was not seen is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The selected application, hex.
    pub aid: Option<String>,
    /// What that stands for.
    pub application: Option<&'static str>,
    /// With its currency, in the currency's decimals.
    pub amount: Option<String>,
    /// Purchase, cash, refund.
    pub kind: Option<&'static str>,
    /// How the cardholder was verified.
    pub cardholder: Option<&'static str>,
    /// How it ended.
    pub outcome: String,
    /// The card's signature: right, wrong, or not checked.
    pub cda_verified: Option<bool>,
    /// Why it is wrong or was not checked; empty if it is right.
    pub cda_reason: String,
    /// Commands with their answers.
    pub exchanges: usize,
    /// Bytes to the card.
    pub bytes_out: usize,
    /// Bytes from the card, status words included.
    pub bytes_in: usize,
    /// Airtime of these bytes in microseconds at 106 kbit/s: their bits alone, without frames and pauses.
    pub airtime_106_us: u64,
    /// The same at 424 kbit/s.
    pub airtime_424_us: u64,
    /// Time between commands and answers in microseconds, if the trace has all of it.
    pub card_time_us: Option<u64>,
}

pub(super) fn of(tap: &Tap, cda: &Cda) -> Summary {
    let bytes = tap.bytes_out.saturating_add(tap.bytes_in);
    let (cda_verified, cda_reason) = match cda {
        Cda::Verified => (Some(true), String::new()),
        Cda::Wrong(reason) => (Some(false), reason.clone()),
        Cda::NotChecked(reason) => (None, reason.clone()),
    };
    Summary {
        aid: tap.aid.as_deref().map(hex::encode_upper),
        application: tap.aid.as_deref().and_then(codes::application),
        amount: amount(tap),
        kind: tap.sent(0x9C).and_then(|kind| kind.first()).and_then(|kind| codes::transaction_type(*kind)),
        cardholder: cardholder(tap),
        outcome: outcome(tap),
        cda_verified,
        cda_reason,
        exchanges: tap.exchanges,
        bytes_out: tap.bytes_out,
        bytes_in: tap.bytes_in,
        airtime_106_us: airtime_us(bytes, 106_000),
        airtime_424_us: airtime_us(bytes, 424_000),
        card_time_us: tap.micros,
    }
}

fn amount(tap: &Tap) -> Option<String> {
    let minor = values::decimal(tap.sent(0x9F02)?)?;
    let currency = tap.sent(0x5F2A).and_then(values::decimal).and_then(|code| u16::try_from(code).ok());
    Some(codes::money(minor, currency))
}

/// What the terminal says of it; else what the phone says.
fn cardholder(tap: &Tap) -> Option<&'static str> {
    let on_phone = tap.object(0xDF4B).and_then(|value| value.get(1)).is_some_and(|byte| byte & 0x10 != 0);
    match tap.sent(0x9F34) {
        Some(results) => Some(fields::cvm_in_words(results)),
        None if on_phone => Some("verified on the device (CDCVM)"),
        None => None,
    }
}

fn outcome(tap: &Tap) -> String {
    let see_phone = tap.object(0xDF4B).is_some_and(|value| {
        value.get(1).is_some_and(|byte| byte & 0x03 != 0) || value.get(2).is_some_and(|byte| byte & 0x0F != 0)
    });
    match (&tap.last, tap.cryptogram_answer.is_some(), tap.object(0x9F27)) {
        (Some((command, None)), ..) => format!("link lost at {command}"),
        (_, true, Some([cid])) if see_phone => format!("see phone, then tap again ({})", codes::cryptogram(*cid)),
        (_, true, Some([cid])) => codes::cryptogram(*cid).to_owned(),
        (_, true, None) if tap.object(0x9F61).is_some() || tap.object(0x9F60).is_some() => {
            "mag-stripe mode: a CVC3 for an online authorisation".to_owned()
        }
        (_, true, None) if see_phone => "see phone, then tap again".to_owned(),
        (Some((command, Some(word))), ..) if *word != 0x9000 => {
            let meaning = codes::status_word(*word).map_or("no status word", |(meaning, _)| meaning);
            format!("ended at {command}: {word:04X} {meaning}")
        }
        (Some((command, _)), ..) => format!("the trace ends after {command}"),
        (None, ..) => String::new(),
    }
}

fn airtime_us(bytes: usize, bits_per_second: u64) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8_000_000) / bits_per_second
}

impl Summary {
    /// As lines.
    #[must_use]
    pub fn node(&self) -> Node {
        let unseen = || "not seen".to_owned();
        let mut application = self.aid.clone().unwrap_or_else(unseen);
        if let Some(name) = self.application {
            // Writing into a string cannot fail.
            let _ = write!(application, " {name}");
        }
        let mut amount = self.amount.clone().unwrap_or_else(unseen);
        if let Some(kind) = self.kind {
            let _ = write!(amount, ", {kind}");
        }
        let (cda, tone) = match self.cda_verified {
            Some(true) => ("verified".to_owned(), Tone::Good),
            Some(false) => (format!("WRONG: {}", self.cda_reason), Tone::Bad),
            None => (format!("not checked: {}", self.cda_reason), Tone::Plain),
        };
        let total = self.bytes_out.saturating_add(self.bytes_in);
        let bytes =
            format!("{total} bytes in {} exchanges: {} out, {} in", self.exchanges, self.bytes_out, self.bytes_in);
        let airtime = format!("{} at 106 kbit/s, {} at 424", millis(self.airtime_106_us), millis(self.airtime_424_us));
        let fact = |name: &str, text: String| Node::new("", name).means(text);
        let time = self.card_time_us.map(|micros| fact("card's time", millis(micros)));
        Node::new("=", "the tap")
            .with([
                fact("application", application),
                fact("amount", amount),
                fact("cardholder", self.cardholder.map_or_else(unseen, str::to_owned)),
                fact("outcome", self.outcome.clone()),
                fact("signature (CDA)", cda).toned(tone),
                fact("over the air", bytes),
                fact("airtime", airtime),
            ])
            .with(time)
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}
