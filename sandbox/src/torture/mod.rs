//! Breaking a wallet on purpose, thousands of times, and checking what it promised.
//!
//! A wallet runs in a process of its own, against servers in this one. It is killed (SIGKILL), loses
//! the power of its disk ([`nfcwallet_faults`]), or shares its folder with a second process, at
//! moments that a seed draws; meanwhile requests get lost, doubled and swapped on their way. After
//! each break it must open again and go on, and the books must agree: those of the issuer, who sees
//! every cryptogram, of the token service, who gave out every credential, and of the wallet.
//!
//! What is checked is in `books`, what is done in `patient`; `rounds` puts them together. `drift` breaks
//! nothing: it does the same thing thousands of times and measures what grows.

mod books;
pub mod drift;
mod patient;
mod rounds;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::phone::PhoneProgram;
use drift::{Sample, Verdict};
pub use rounds::{Progress, run};

/// What to break, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Processes to kill.
    pub kills: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// For how long two processes share one folder.
    pub processes: Duration,
    /// Rounds of each stage of [`drift`]: 0, or [`drift::FEWEST_ROUNDS`] to [`drift::MOST_ROUNDS`]. Needs
    /// Linux' `/proc`.
    pub drift: u64,
    /// Everything that is drawn comes from it.
    pub seed: u64,
    /// The phone.
    pub program: PhoneProgram,
    /// Where the phones keep their folders. After a violation, the phone's is still there.
    pub folder: PathBuf,
}

/// Which kind of break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIGKILL at any moment.
    Kill,
    /// The disk loses what was not synced, and the process ends.
    PowerCut,
    /// Two processes, one folder.
    Processes,
    /// The same again and again.
    Drift,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kill => "kills",
            Self::PowerCut => "power cuts",
            Self::Processes => "two processes",
            Self::Drift => "drift",
        })
    }
}

/// What was done in one part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Breaks: kills, cuts, or processes that were started beside another one.
    pub breaks: u64,
    /// Those that struck while the wallet was at work, and not at rest.
    pub at_work: u64,
    /// Starts of the wallet.
    pub starts: u64,
    /// Starts that were refused because the other process had the store.
    pub busy: u64,
    /// Taps that ended with a cryptogram which the issuer saw.
    pub taps: u64,
    /// Activations that were finished.
    pub activations: u64,
    /// Times that all books were compared.
    pub audits: u64,
    /// Credentials that were burnt or given up without a cryptogram: at most one a break.
    pub lost: u64,
}

/// One part of the plan, done.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// What was broken.
    pub kind: Kind,
    /// How often.
    pub tally: Tally,
    /// How long it took.
    pub seconds: f64,
    /// What was measured meanwhile; only by [`Kind::Drift`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// What was found of the samples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The first promise that was broken, if any; the part ends with it.
    pub violation: Option<Violation>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// Which.
    pub promise: String,
    /// In which round.
    pub round: u64,
    /// The seed of the plan.
    pub seed: u64,
    /// What was done, the last step last.
    pub steps: Vec<String>,
    /// The phone's folder, as it was left.
    pub folder: PathBuf,
}

/// Why the torture itself could not go on.
#[derive(Debug, thiserror::Error)]
pub enum TortureError {
    /// The servers or the phone's program.
    #[error("{0}")]
    Setup(String),
}
