//! EXCHANGE RELAY RESISTANCE DATA: the terminal measures how long the card takes to answer, and the
//! CDA signature covers what was exchanged.

use zeroize::Zeroizing;

use super::apdu::{Command, StatusWord};
use super::hooks::TapHooks;
use super::profile::RelayResistance;
use super::profile_error::ProfileError;
use super::{tags, tlv};

/// Terminal entropy, device entropy, minimum, maximum and transmission time.
pub(super) const SIGNED_LEN: usize = 14;

/// A terminal that still finds the card too slow gives up.
const MOST_EXCHANGES: u8 = 3;

/// The exchanges of one tap.
#[derive(Default)]
pub(super) struct Exchanges {
    done: u8,
    last: Option<Zeroizing<[u8; SIGNED_LEN]>>,
}

impl Exchanges {
    /// Answers the command and keeps what the signature will cover: of several exchanges the last.
    pub(super) fn answer(
        &mut self,
        command: &Command<'_>,
        times: RelayResistance,
        hooks: &mut dyn TapHooks,
    ) -> Result<Vec<u8>, StatusWord> {
        if self.done >= MOST_EXCHANGES {
            return Err(StatusWord::CONDITIONS);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let terminal_entropy: [u8; 4] = command.data()?.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
        let mut device_entropy = [0; 4];
        hooks.fill_random(&mut device_entropy);
        let times = [times.min_time, times.max_time, times.transmission_time].map(u16::to_be_bytes);
        let mut signed = Zeroizing::new([0; SIGNED_LEN]);
        let parts = terminal_entropy.iter().chain(&device_entropy).chain(times.as_flattened());
        for (to, from) in signed.iter_mut().zip(parts) {
            *to = *from;
        }
        self.done += 1;
        self.last = Some(signed);
        let answer = tlv::object(tags::RESPONSE_FORMAT_1, &[&device_entropy, times.as_flattened()].concat());
        Ok(StatusWord::OK.answer_with(answer))
    }

    /// What the signature covers; none without an exchange.
    pub(super) fn signed(&self) -> Option<[u8; SIGNED_LEN]> {
        self.last.as_deref().copied()
    }
}

/// Checks that the times of a profile are a range.
pub(super) fn check(times: Option<&RelayResistance>) -> Result<(), ProfileError> {
    match times {
        Some(times) if times.min_time > times.max_time => {
            let reason = format!("has min_time {}, limit max_time {}", times.min_time, times.max_time);
            Err(ProfileError::new("relay_resistance", reason))
        }
        _ => Ok(()),
    }
}
