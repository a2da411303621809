//! The commands of the program. What they do is in the library; here is what people see of it.

mod activation;
mod advice;
pub(crate) mod card;
pub(crate) mod demo;
pub(crate) mod explain;
mod handset;
pub(crate) mod profile;
pub(crate) mod screen;
pub(crate) mod serve;
pub(crate) mod tap;
pub(crate) mod torture;

use std::io::IsTerminal;

use clap::ValueEnum;
use clap::error::ErrorKind;
use nfcwallet_core::wallet::RemoteConfig;
use nfcwallet_sandbox::token_service::{DecisionPolicy, Policy};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How the crates of this project begin.
const OWN: &str = "nfcwallet";

/// Log records go to standard error, as `NFCWALLET_LOG` says; errors only if it is unset. Ends the program
/// with a usage error if it says nothing that makes sense.
pub(crate) fn log_to_stderr() {
    let text = std::env::var_os("NFCWALLET_LOG").unwrap_or_else(|| "error".into());
    let filter = log_filter(&text.to_string_lossy()).unwrap_or_else(|fault| {
        let text = format!("NFCWALLET_LOG={} {fault}\n", text.display());
        clap::Error::raw(ErrorKind::ValueValidation, text).exit()
    });
    let coloured = std::io::stderr().is_terminal() && screen::wants_colour();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(coloured);
    tracing_subscriber::registry().with(layer).with(filter).init();
}

/// A bare level is meant for the wallet and the sandbox: the libraries below them would drown these.
fn log_filter(text: &str) -> Result<Targets, String> {
    let mut filter = Targets::new().with_default(LevelFilter::ERROR);
    for directive in text.split(',') {
        let (target, level) = directive.split_once('=').unwrap_or((OWN, directive));
        let level: LevelFilter = level.trim().parse().map_err(|_| {
            "is neither a level (off, error, warn, info, debug, trace) nor directives such as \
             debug,nfcwallet_core=trace,hyper=info"
        })?;
        filter = filter.with_target(target.trim(), level);
    }
    Ok(filter)
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_bare_level_is_for_the_projects_own_crates() {
        let filter = log_filter("debug").unwrap();
        assert!(filter.would_enable("nfcwallet_core::wallet", &Level::DEBUG));
        assert!(filter.would_enable("nfcwallet_sandbox", &Level::DEBUG));
        assert!(!filter.would_enable("nfcwallet_core", &Level::TRACE));
        assert!(!filter.would_enable("hyper_util::client", &Level::WARN));
        assert!(filter.would_enable("hyper_util::client", &Level::ERROR));
        assert!(!log_filter("off").unwrap().would_enable("nfcwallet_core", &Level::ERROR));
    }

    #[test]
    fn directives_name_crates() {
        let filter = log_filter("warn,nfcwallet_core::card=trace,hyper=info").unwrap();
        assert!(filter.would_enable("nfcwallet_core::card::tlv", &Level::TRACE));
        assert!(!filter.would_enable("nfcwallet_core::wallet", &Level::INFO));
        assert!(filter.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn every_pace_is_a_policy_that_the_control_api_takes() {
        for pace in [Pace::Fast, Pace::Real] {
            let written = serde_json::to_string(&pace.policy()).unwrap();
            assert_eq!(serde_json::from_str::<Policy>(&written).unwrap(), pace.policy());
        }
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        for text in ["bogus", "nfcwallet_core", "nfcwallet_core=loud", "debug,bogus"] {
            assert!(log_filter(text).is_err(), "{text}");
        }
    }
}
