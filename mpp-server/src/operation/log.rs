//! Log records: where they go and how they look.

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::config::{ConfigError, Log, LogFormat};

/// Sends this process's log records to standard error. A second call changes nothing.
///
/// # Errors
/// [`ConfigError`] if the level is no filter.
pub fn start(log: &Log) -> Result<(), ConfigError> {
    start_to(log, std::io::stderr)
}

/// The same, to `writer`.
///
/// # Errors
/// As [`start`].
pub fn start_to<W>(log: &Log, writer: W) -> Result<(), ConfigError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let records = Registry::default().with(lines.with_filter(log.filter()?));
    // Somebody else may have set this process's logging up: theirs stays.
    drop(records.try_init());
    Ok(())
}
