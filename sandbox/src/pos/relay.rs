//! EXCHANGE RELAY RESISTANCE DATA: is the card here, or is a radio in between? The terminal measures how
//! long the answer takes; the card's signature proves that it was this card's.
//!
//! One exchange a tap: a kernel repeats a slow one twice with fresh numbers, which a program without a
//! radio does not need.

use super::NotAccepted;
use super::kernel::{Stop, Tx};
use super::tracks::send;

/// Longer than the card's own maximum by this is too slow: 5.0 ms (DF8133), in units of 100 us.
const MAXIMUM_GRACE: u64 = 0x32;

/// What was exchanged.
pub(super) struct RelayCheck {
    /// Terminal's and card's entropy, and the card's three times, as the signature must hold them.
    pub(super) exchanged: [u8; 14],
    /// The answer came after the card's longest time.
    pub(super) too_slow: bool,
}

/// Asks once. The terminal's entropy is the tap's unpredictable number.
pub(super) fn exchange(tx: &mut Tx<'_>, entropy: [u8; 4]) -> Result<RelayCheck, Stop> {
    let [a, b, c, d] = entropy;
    let answer = send(tx, "EXCHANGE RELAY RESISTANCE DATA", &[0x80, 0xEA, 0, 0, 4, a, b, c, d, 0])?;
    let [0x80, 10, data @ ..] = &answer[..] else { return Err(malformed()) };
    let data: [u8; 10] = data.try_into().map_err(|_| malformed())?;
    let [e, f, g, h, min_0, min_1, max_0, max_1, air_0, air_1] = data;
    let longest = u64::from(u16::from_be_bytes([max_0, max_1])) + MAXIMUM_GRACE;
    Ok(RelayCheck {
        exchanged: [a, b, c, d, e, f, g, h, min_0, min_1, max_0, max_1, air_0, air_1],
        too_slow: tx.card.last_micros() / 100 > longest,
    })
}

fn malformed() -> Stop {
    NotAccepted::Malformed { reason: "the relay resistance data are not 10 bytes".to_owned() }.into()
}
