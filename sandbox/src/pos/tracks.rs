//! A tap in mag-stripe mode, after GET PROCESSING OPTIONS: the record with the tracks, the checksum, and
//! the request for the issuer.

use emv::core::apdu::{Cla, Command, Ins, sw};
use emv::core::card_reader::CardReader;

use super::kernel::{Stop, Tx, asks_for_its_user, digits, numeric};
use super::magstripe::{ChecksumAnswer, MagStripeError, MagStripeRecord};
use super::{DeclinedBy, NotAccepted, Outcome, Purchase};
use crate::issuer::TrackRequest;

/// READ RECORD of the one record that mag-stripe mode needs: file 1, record 1. Cards name it first.
const RECORD: [u8; 5] = [0x00, 0xB2, 0x01, 0x0C, 0x00];
/// 9F7E: mobile phones are supported; CDCVM is demanded.
const MOBILE: u8 = 0x01;
const CDCVM_DEMANDED: u8 = 0x02;

impl From<MagStripeError> for Stop {
    fn from(error: MagStripeError) -> Self {
        NotAccepted::Malformed { reason: error.to_string() }.into()
    }
}

pub(super) fn pay(tx: &mut Tx<'_>, purchase: &Purchase) -> Result<Outcome, Stop> {
    let first = tx.ctx.afl.as_ref().and_then(|afl| afl.0.first()).map(|entry| (entry.sfi, entry.first_record));
    if first != Some((1, 1)) {
        return Err(NotAccepted::NoMagStripe.into());
    }
    let record = send(tx, "READ RECORD", &RECORD)?;
    let record = MagStripeRecord::read(&record)?;
    let number = record.unpredictable_number(u32::from_be_bytes(purchase.unpredictable_number));
    let answer =
        ChecksumAnswer::read(&send(tx, "COMPUTE CRYPTOGRAPHIC CHECKSUM", &command(&record, number, purchase)?)?)?;
    match answer {
        ChecksumAnswer::Declined { interaction } if interaction.is_some_and(asks_for_its_user) => Ok(Outcome::SeePhone),
        ChecksumAnswer::Declined { .. } => Ok(Outcome::Declined(DeclinedBy::Card)),
        ChecksumAnswer::Checksum(checksum) if checksum.interaction.is_some_and(asks_for_its_user) => {
            Ok(Outcome::SeePhone)
        }
        ChecksumAnswer::Checksum(checksum) => {
            let tracks = record.tracks(number, &checksum)?;
            Ok(Outcome::OnlineByTrack(Box::new(TrackRequest {
                track1: tracks.expose_track1().map(str::to_owned),
                track2: tracks.expose_track2().to_owned(),
                amount: digits(purchase.amount_minor),
                currency: numeric(purchase.currency),
                terminal_country: numeric(purchase.country),
                date: purchase.date,
                kind: purchase.kind,
                merchant_category: purchase.merchant_category,
                merchant_name: purchase.merchant_name.clone(),
            })))
        }
    }
}

fn command(record: &MagStripeRecord, number: [u8; 4], purchase: &Purchase) -> Result<Vec<u8>, MagStripeError> {
    let mobile = if purchase.exceeds_cvm_limit() { MOBILE | CDCVM_DEMANDED } else { MOBILE };
    record.command(
        number,
        &[
            (0x9F7E, &[mobile]),
            (0x9F02, &digits(purchase.amount_minor)),
            (0x9F03, &digits(purchase.other_amount_minor)),
            (0x5F2A, &numeric(purchase.currency)),
            (0x9F1A, &numeric(purchase.country)),
            (0x9A, &purchase.date),
            (0x9C, &[purchase.kind]),
            (0x9F15, &numeric(purchase.merchant_category)),
        ],
    )
}

/// One command that the crate does not know; answers the data.
pub(super) fn send(tx: &mut Tx<'_>, name: &'static str, bytes: &[u8]) -> Result<Vec<u8>, Stop> {
    let (&[cla, ins, p1, p2], body) = bytes.split_first_chunk().ok_or(NotAccepted::BrokenAnswer { length: 0 })?;
    let data = body.split_first().and_then(|(lc, data)| data.get(..usize::from(*lc))).unwrap_or_default();
    let command = Command { cla: Cla(cla), ins: Ins(ins), p1, p2, data: data.to_vec(), le: Some(0) };
    let answer = tx.card.transmit(&command)?;
    match answer.status_word() {
        sw::OK => Ok(answer.data().to_vec()),
        status_word => Err(NotAccepted::StatusWord { command: name, status_word }.into()),
    }
}
