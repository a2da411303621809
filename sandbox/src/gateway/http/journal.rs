//! What was said over the signed roads, call by call: for the demo and the control API.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;

use crate::token_service::locked;

/// Calls that are kept to be shown; all are counted.
const KEPT: usize = 10_000;

/// One call with its answer: two signed messages, each verified by the side that got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedCall {
    /// Who called: `mpp`, `gateway` or `acquirer`.
    pub from: &'static str,
    /// Who answered.
    pub to: &'static str,
    /// Always POST.
    pub method: &'static str,
    /// The path that was called.
    pub path: String,
    /// The `Client-Id` that was signed.
    pub client_id: String,
    /// Status and code of the answer, for example `S SUCCESS`; why there is none otherwise.
    pub result: String,
    /// The request was verified by the one side and the answer by the other.
    pub verified: bool,
}

impl std::fmt::Display for SignedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, method, path, client_id, result, .. } = self;
        write!(f, "{from} -> {to}  {method} {path}  {client_id}  {result}")
    }
}

/// The calls since the start.
#[derive(Debug, Default)]
pub struct Journal {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    kept: VecDeque<SignedCall>,
    /// Kept or not.
    total: u64,
    verified: u64,
}

impl Journal {
    pub(super) fn note(&self, call: SignedCall) {
        let mut calls = locked(&self.calls);
        calls.total += 1;
        calls.verified += u64::from(call.verified);
        if calls.kept.len() == KEPT {
            calls.kept.pop_front();
        }
        calls.kept.push_back(call);
    }

    /// How many calls there were, and how many of them had both messages verified.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let calls = locked(&self.calls);
        (calls.total, calls.verified)
    }

    /// The calls from number `from` on, counted from 0; the oldest may be forgotten.
    #[must_use]
    pub fn since(&self, from: u64) -> Vec<SignedCall> {
        let calls = locked(&self.calls);
        let forgotten = calls.total - calls.kept.len() as u64;
        let skip = usize::try_from(from.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        calls.kept.iter().skip(skip).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_calls_are_forgotten_and_still_counted() {
        let journal = Journal::default();
        for number in 0..KEPT + 3 {
            journal.note(SignedCall {
                from: "mpp",
                to: "gateway",
                method: "POST",
                path: format!("/{number}"),
                client_id: "A".to_owned(),
                result: "S SUCCESS".to_owned(),
                verified: number > 0,
            });
        }
        assert_eq!(journal.counts(), (KEPT as u64 + 3, KEPT as u64 + 2));
        let last = journal.since(KEPT as u64 + 1);
        assert_eq!(last.iter().map(|call| call.path.as_str()).collect::<Vec<_>>(), ["/10001", "/10002"]);
        assert_eq!(journal.since(0).len(), KEPT);
    }
}
