//! Whether a page that was written before still tells the truth.
//!
//! What a run draws anew (card number, keys, signatures, the date) is judged by what it must fulfil; all
//! else by being the same.

use anyhow::{Context, Result, bail, ensure};
use nfcwallet_core::card::dol::Dol;
use nfcwallet_core::card::tlv::{Tag, Tlv};
use nfcwallet_sandbox::checkout::{Payment, PaymentOutcome};
use nfcwallet_sandbox::explain::{Direction, Tone, input, name_of};
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::pos::{Exchange, LinkLost, Outcome, Purchase, Terminal};

use crate::page;
use crate::story::{Case, Story, Tap};
use crate::words;

/// Values that differ from run to run: track 2 and number of the card, the certificate of its key and what
/// does not fit into it, its signature, and a cryptogram outside of a signature.
const FRESH: [u32; 6] = [0x57, 0x5A, 0x9F46, 0x9F48, 0x9F4B, 0x9F26];
/// Tags of the list for GENERATE AC, and of the date in its data.
const CDOL1: u32 = 0x8C;
const DATE: [u8; 1] = [0x9A];

/// Judges `text` by the run in `fresh`.
pub(crate) fn page(text: &str, fresh: &Story) -> Result<()> {
    let ca_key = page::ca_key(text)?;
    ensure!(ca_key == fresh.ca_key, "the CA key is not that of the sandbox's seed");
    let mut told = fresh.clone();
    for (tap, trace) in told.taps.iter_mut().zip(traces(text)?) {
        self::tap(tap, &trace, &ca_key).with_context(|| format!("the tap {:?}", tap.case))?;
        tap.payment.trace = trace;
    }
    same_text(text, &page::write(&told)?)
}

/// The conversations of a page, each from its SELECT PPSE on.
pub(crate) fn traces(text: &str) -> Result<[Vec<Exchange>; 6]> {
    let mut traces: Vec<Vec<Exchange>> = Vec::new();
    for item in input::text(text.as_bytes())?.items {
        let line = item.line;
        let bytes = item.bytes.filter(|_| !item.half_byte).with_context(|| format!("line {line} is cut short"))?;
        match (item.direction, traces.last_mut().and_then(|trace| trace.last_mut())) {
            (Direction::Command, _) => {
                let exchange = Exchange { name: name_of(&bytes), command: bytes, response: Vec::new(), micros: 0 };
                match traces.last_mut() {
                    Some(trace) if exchange.name != "SELECT PPSE" => trace.push(exchange),
                    _ => traces.push(vec![exchange]),
                }
            }
            (Direction::Response, Some(exchange)) if exchange.response.is_empty() => exchange.response = bytes,
            _ => bail!("line {line} is neither a command nor the answer to one"),
        }
    }
    let found = traces.len();
    traces.try_into().map_err(|_| anyhow::anyhow!("the page has {found} taps, expected {}", Case::ALL.len()))
}

/// Judges the bytes of one tap.
pub(crate) fn tap(fresh: &Tap, trace: &[Exchange], ca_key: &CaPublicKey) -> Result<()> {
    same_form(&fresh.payment.trace, trace)?;
    replay(fresh, trace, ca_key)?;
    let explanation = words::explained(trace, ca_key);
    for tone in [Tone::Bad, Tone::Malformed, Tone::Unknown] {
        // A refusal's status word is bad as it should be.
        let is_wrong = explanation.has(tone) && fresh.case != Case::Locked;
        ensure!(!is_wrong, "the decoder finds something {tone:?}");
    }
    let verified = explanation.taps.first().and_then(|summary| summary.cda_verified);
    ensure!(verified == fresh.payment.cda_verified, "the decoder says of the signature: {verified:?}");
    Ok(())
}

/// The same commands, lengths and status words, and the same objects in the answers.
fn same_form(fresh: &[Exchange], trace: &[Exchange]) -> Result<()> {
    for (wanted, found) in fresh.iter().zip(trace) {
        let name = &wanted.name;
        ensure!(found.name == *name, "{} instead of {name}", found.name);
        ensure!(found.command.len() == wanted.command.len(), "{name} has another length");
        let (wanted, found) = (form(&wanted.response)?, form(&found.response).with_context(|| name.clone())?);
        if let Some((wanted, found)) = wanted.iter().zip(&found).find(|(wanted, found)| wanted != found) {
            bail!("{name}: a run answers {wanted}, the page has {found}");
        }
        ensure!(wanted.len() == found.len(), "{name}: a run answers more or fewer objects");
    }
    ensure!(fresh.len() == trace.len(), "a run has {} exchanges, the page {}", fresh.len(), trace.len());
    Ok(())
}

/// The answer object by object: tag, length, and the value where runs do not differ in it.
fn form(answer: &[u8]) -> Result<Vec<String>> {
    let (data, word) = answer.split_last_chunk::<2>().context("no status word")?;
    let mut lines = Vec::new();
    objects(data, &mut lines)?;
    lines.push(hex::encode_upper(word));
    Ok(lines)
}

fn objects(mut bytes: &[u8], lines: &mut Vec<String>) -> Result<()> {
    while !bytes.is_empty() {
        let (object, rest) = Tlv::read(bytes)?;
        let (tag, length) = (object.tag, object.value.len());
        if tag.is_constructed() {
            lines.push(format!("{tag} of {length} bytes"));
            objects(object.value, lines)?;
        } else if FRESH.contains(&tag.number()) {
            lines.push(format!("{tag} of {length} bytes"));
        } else {
            lines.push(format!("{tag} {}", hex::encode_upper(object.value)));
        }
        bytes = rest;
    }
    Ok(())
}

/// The terminal's kernel pays again, with the page in place of the phone: from the page's answers it must
/// make the page's commands, and come to the run's end.
fn replay(fresh: &Tap, trace: &[Exchange], ca_key: &CaPublicKey) -> Result<()> {
    let mut left = trace.iter();
    let mut differs = None;
    let mut link = |command: &[u8]| match left.next() {
        Some(exchange) if exchange.command == command => Ok(exchange.response.clone()),
        found => {
            differs = Some((hex::encode_upper(command), found.map(|exchange| exchange.name.clone())));
            Err(LinkLost)
        }
    };
    let purchase = Purchase { date: date(trace)?, ..fresh.case.purchase(0) };
    let result = Terminal::new([ca_key.clone()]).tap(&mut link, &purchase);
    if let Some((sent, told)) = differs {
        bail!("the terminal sends {sent} where the page has {}", told.as_deref().unwrap_or("its end"));
    }
    let Payment { outcome, cda_verified, .. } = &fresh.payment;
    ensure!(result.cda_verified == *cda_verified, "the terminal finds of the signature: {:?}", result.cda_verified);
    let ends_alike = match (&result.outcome, outcome) {
        (Outcome::Online(_), PaymentOutcome::Approved) | (Outcome::SeePhone, PaymentOutcome::SeePhone) => true,
        (Outcome::Declined(found), PaymentOutcome::Declined(wanted)) => found == wanted,
        (Outcome::NotAccepted(found), PaymentOutcome::NotAccepted(wanted)) => found == wanted,
        _ => false,
    };
    ensure!(ends_alike, "the terminal's tap ends otherwise: {:?}", result.outcome);
    ensure!(left.next().is_none(), "the terminal does not send all commands of the page");
    Ok(())
}

/// Tag 9A out of the data of GENERATE AC; any date where there are none.
fn date(trace: &[Exchange]) -> Result<[u8; 3]> {
    let mut list = None;
    for exchange in trace {
        let (data, _) = exchange.response.split_last_chunk::<2>().context("no status word")?;
        let mut visit = |object: Tlv<'_>| {
            if object.tag.number() == CDOL1 {
                list = Some(object.value.to_vec());
            }
        };
        Tlv::for_each_primitive(data, &mut visit)?;
    }
    let (Some(list), Some(last)) = (list, trace.last()) else { return Ok([0x26, 0x01, 0x01]) };
    let (tag, _) = Tag::read(&DATE)?;
    let date = Dol::parse(&list)?.find(tag, last.command.get(5..).unwrap_or_default()).map(<[u8]>::to_vec);
    date.and_then(|date| date.try_into().ok()).context("GENERATE AC brings no date")
}

/// Names the first line that differs.
fn same_text(found: &str, wanted: &str) -> Result<()> {
    for ((found, wanted), number) in found.lines().zip(wanted.lines()).zip(1..) {
        ensure!(found == wanted, "line {number} is\n  {found}\nand should be\n  {wanted}");
    }
    ensure!(found == wanted, "the page is longer or shorter than it should be");
    Ok(())
}
