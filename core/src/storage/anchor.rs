//! The rollback anchor: what the host keeps, and what it says about the file that was found.
//!
//! The store counts its guarded commits (`generation`). Around each one the host's anchor moves:
//!
//! 1. arm: anchor := {g, armed}, and only after the host has confirmed it,
//! 2. commit: the store goes from g to g + 1, durably,
//! 3. settle: anchor := {g + 1, at rest}.
//!
//! So whatever moment a kill picks, an untouched file is at the anchor's generation or, while it is
//! armed, one further. Any other file is older, newer or another's:
//!
//! | anchor | store | meaning | done at open |
//! |---|---|---|---|
//! | any | 0 | never anchored, nothing payable in it | new epoch, anchor written |
//! | g, at rest | g | clean | nothing |
//! | g, armed | g + 1 | killed between commit and settle | settle |
//! | g, armed for a tap | g | killed before the burn, or the burn was rolled back | the next credential is discarded, one generation on, settle |
//! | g, armed for a write | g | the write did not happen, or was rolled back; no burn was possible | one generation on, settle |
//! | anything else, or none | | rolled back or copied | refuse until renewed |
//!
//! In the fourth row the two cases look the same, so the one credential that the lost commit could
//! have burnt is given up: a kill costs at most one credential, and no rollback brings one back. The
//! credential is known because a burn takes the lowest counter and nothing else: credentials in
//! front of it that have expired are discarded by a commit of their own.
//!
//! The epoch is drawn anew whenever a store starts over. Without it, an old copy could match again
//! once a fresh store had counted up to its generation.

use super::records::UserKey;
use crate::error::KeyStoreProblem;

const VERSION: u8 = 1;

/// Whose anchor it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) instance: [u8; 16],
    pub(super) epoch: [u8; 8],
}

/// What a guarded commit may be under way for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    /// Nothing: every commit is settled.
    Rest,
    /// A guarded write that burns nothing.
    Write,
    /// A tap of this user, or a guarded write in its course.
    Tap(UserKey),
}

/// The anchor's content: 42 of the 64 bytes that a host must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AnchorValue {
    pub(super) binding: Binding,
    pub(super) generation: u64,
    pub(super) arm: Arm,
}

impl AnchorValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (tag, user) = match self.arm {
            Arm::Rest => (0, 0),
            Arm::Write => (1, 0),
            Arm::Tap(user) => (2, user.0),
        };
        let mut bytes = Vec::with_capacity(42);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.binding.instance);
        bytes.extend_from_slice(&self.binding.epoch);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.push(tag);
        bytes.extend_from_slice(&user.to_be_bytes());
        bytes
    }

    /// Reads exactly what `encode` writes; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (instance, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (&[tag], rest) = rest.split_first_chunk()?;
        let user = i64::from_be_bytes(rest.try_into().ok()?);
        let arm = match (tag, user) {
            (0, 0) => Arm::Rest,
            (1, 0) => Arm::Write,
            (2, user) => Arm::Tap(UserKey(user)),
            _ => return None,
        };
        let binding = Binding { instance: *instance, epoch: *epoch };
        Some(Self { binding, generation: u64::from_be_bytes(*generation), arm })
    }
}

/// What an anchor says about an anchored store (generation above 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file is the one that was left.
    Clean(AnchorValue),
    /// Killed between commit and settle.
    Settle(AnchorValue),
    /// The commit that was under way did not happen, or was rolled back.
    Recover(AnchorValue),
    /// Not the file that was left.
    RolledBack,
    /// The host gave no anchor that could be read as one.
    Unreadable(KeyStoreProblem),
}

/// Judges the file by the host's anchor; the table of this module.
pub(super) fn judge(anchor: Option<&[u8]>, binding: Binding, generation: u64) -> Verdict {
    let Some(bytes) = anchor else { return Verdict::RolledBack };
    if bytes.is_empty() {
        // A binding that loses an exception answers with nothing; that is no verdict on the file.
        return Verdict::Unreadable(KeyStoreProblem::Failed { reason: "the anchor is empty".to_owned() });
    }
    let Some(anchor) = AnchorValue::decode(bytes) else { return Verdict::RolledBack };
    if anchor.binding != binding {
        return Verdict::RolledBack;
    }
    match anchor.arm {
        Arm::Rest if generation == anchor.generation => Verdict::Clean(anchor),
        Arm::Write | Arm::Tap(_) if Some(generation) == anchor.generation.checked_add(1) => Verdict::Settle(anchor),
        Arm::Write | Arm::Tap(_) if generation == anchor.generation => Verdict::Recover(anchor),
        Arm::Rest | Arm::Write | Arm::Tap(_) => Verdict::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding = Binding { instance: [1; 16], epoch: [2; 8] };

    fn anchor(generation: u64, arm: Arm) -> AnchorValue {
        AnchorValue { binding: BINDING, generation, arm }
    }

    fn verdict(value: AnchorValue, generation: u64) -> Verdict {
        judge(Some(&value.encode()), BINDING, generation)
    }

    #[test]
    fn an_anchor_survives_its_encoding_and_fits_the_hosts_limit() {
        for arm in [Arm::Rest, Arm::Write, Arm::Tap(UserKey(3))] {
            let value = anchor(u64::MAX, arm);
            assert_eq!(AnchorValue::decode(&value.encode()), Some(value));
            assert!(value.encode().len() <= 64);
        }
    }

    #[test]
    fn a_shortened_lengthened_or_unknown_anchor_is_not_read() {
        let bytes = anchor(5, Arm::Rest).encode();
        for length in 0..bytes.len() {
            assert_eq!(AnchorValue::decode(&bytes[..length]), None);
        }
        assert_eq!(AnchorValue::decode(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(AnchorValue::decode(&[&[2], &bytes[1..]].concat()), None);
        assert_eq!(AnchorValue::decode(&[0; 42]), None);
    }

    #[test]
    fn each_row_of_the_table_gets_its_verdict() {
        let (rest, write, tap) = (anchor(5, Arm::Rest), anchor(5, Arm::Write), anchor(5, Arm::Tap(UserKey(1))));
        assert_eq!(verdict(rest, 5), Verdict::Clean(rest));
        for armed in [write, tap] {
            assert_eq!(verdict(armed, 6), Verdict::Settle(armed));
            assert_eq!(verdict(armed, 5), Verdict::Recover(armed));
            assert_eq!(verdict(armed, 4), Verdict::RolledBack);
            assert_eq!(verdict(armed, 7), Verdict::RolledBack);
        }
        assert_eq!(verdict(rest, 4), Verdict::RolledBack);
        assert_eq!(verdict(rest, 6), Verdict::RolledBack);
        assert_eq!(judge(None, BINDING, 5), Verdict::RolledBack);
        assert_eq!(judge(Some(&[0; 42]), BINDING, 5), Verdict::RolledBack);
        assert!(matches!(judge(Some(&[]), BINDING, 5), Verdict::Unreadable(_)));
    }

    #[test]
    fn another_instance_or_epoch_is_a_copy() {
        for binding in [Binding { instance: [3; 16], ..BINDING }, Binding { epoch: [3; 8], ..BINDING }] {
            assert_eq!(judge(Some(&anchor(5, Arm::Rest).encode()), binding, 5), Verdict::RolledBack);
        }
    }
}
