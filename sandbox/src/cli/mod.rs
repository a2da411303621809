//! The commands of the program. What they do is in the library; here is what people see of it.

mod activation;
mod advice;
pub(crate) mod card;
pub(crate) mod demo;
pub(crate) mod explain;
mod handset;
pub(crate) mod screen;
pub(crate) mod serve;
pub(crate) mod tap;
pub(crate) mod torture;

use std::str::FromStr;

use clap::ValueEnum;
use nfcwallet_core::wallet::RemoteConfig;
use nfcwallet_sandbox::token_service::{DecisionPolicy, Policy};
use tracing::Level;

/// Log records go to standard error, from the level in `NFCWALLET_LOG` on; errors only if it is unset.
pub(crate) fn log_to_stderr() {
    let level = std::env::var("NFCWALLET_LOG").ok().and_then(|text| Level::from_str(&text).ok());
    let level = level.unwrap_or(Level::ERROR);
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
}

/// A seed that is short enough to type again.
pub(crate) fn drawn_seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the machine has no randomness"))?;
    Ok(u32::from_be_bytes(bytes).into())
}

/// How fast the token service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// As fast as it can; an activation takes about a second
    Fast,
    /// As in the field; an activation takes 20 to 30 s
    Real,
}

impl Pace {
    /// Both need the same polls; in the field they are 2 s (session: 0.5 s) apart and the service
    /// takes its time over each request.
    pub(crate) fn policy(self) -> Policy {
        let polls = Policy {
            decision: DecisionPolicy::Delayed { polls: 4 },
            session_polls: 3,
            activation_polls: 4,
            ..Policy::default()
        };
        match self {
            Self::Fast => {
                let pace_ms = [("replenish".to_owned(), 150)].into();
                Policy { config: Some(fast_polls()), pace_ms, ..polls }
            }
            Self::Real => {
                let paces = [("*", 150), ("apply", 1_200), ("provision", 2_500), ("replenish", 900)];
                Policy { pace_ms: paces.map(|(name, ms)| (name.to_owned(), ms)).into(), ..polls }
            }
        }
    }
}

fn fast_polls() -> RemoteConfig {
    let mut config = RemoteConfig::default();
    let issue = &mut config.nfc_issue_config;
    for (times, interval) in [
        (&mut issue.apply_token_times, &mut issue.apply_token_interval),
        (&mut issue.session_times, &mut issue.session_interval),
        (&mut issue.activate_times, &mut issue.activate_interval),
    ] {
        (*times, *interval) = (10, 50);
    }
    config
}
