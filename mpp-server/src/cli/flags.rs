//! The flags of every command: where the configuration comes from, and what differs from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use mpp_server::config::{Config, ConfigError, FILE_VARIABLE, Sources};

/// The file that is read if none is named and it is there.
const DEFAULT_FILE: &str = "mpp-server.toml";

/// Where the configuration comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigFlags {
    /// The configuration file. Default: mpp-server.toml in this folder, if it is there
    #[arg(long, short, global = true, value_name = "FILE", env = FILE_VARIABLE)]
    config: Option<PathBuf>,
    /// Set any field, for example --set gateway.timeout_ms=15000; may be given several times
    #[arg(long, global = true, value_name = "FIELD=VALUE", value_parser = field_and_value)]
    set: Vec<(String, String)>,
    /// The database: sqlite:PATH or postgres://… (store.url)
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// The address for the app (listen.app)
    #[arg(long, global = true, value_name = "ADDRESS")]
    app: Option<SocketAddr>,
    /// The address for the gateway (listen.partner)
    #[arg(long, global = true, value_name = "ADDRESS")]
    partner: Option<SocketAddr>,
    /// The address for health and metrics (listen.ops)
    #[arg(long, global = true, value_name = "ADDRESS")]
    ops: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, trace or a filter (log.level)
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How it is logged: text or json (log.format)
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ConfigFlags {
    /// The configuration in use.
    ///
    /// # Errors
    /// [`ConfigError`] names the field.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let mut sources = Sources::default().with_environment();
        let default = Path::new(DEFAULT_FILE);
        if let Some(file) = self.config.as_deref().or_else(|| default.exists().then_some(default)) {
            sources = sources.with_file(file);
        }
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let named = [
            ("store.url", self.database.clone()),
            ("listen.app", address(self.app)),
            ("listen.partner", address(self.partner)),
            ("listen.ops", address(self.ops)),
            ("log.level", self.log_level.clone()),
            ("log.format", self.log_format.clone()),
        ];
        let named = named.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
        for (field, value) in self.set.iter().cloned().chain(named) {
            sources = sources.with_flag(&field, &value);
        }
        Config::load(&sources)
    }
}

fn field_and_value(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("write FIELD=VALUE, for example log.level=debug")?;
    Ok((field.to_owned(), value.to_owned()))
}
