//! The configuration: what there is to set, where it comes from, and what is refused.
//!
//! Flags win over the environment (`MPP_SERVER__SECTION__FIELD`), which wins over the file, which wins
//! over the defaults. Every error names the field and says what to do. It asks `identity`
//! whether keys can be read, and touches no other room.
//!
//! ```
//! use mpp_server::config::{Config, Sources};
//!
//! let sources = Sources::default().with_variable("MPP_SERVER__GATEWAY__TIMEOUT_MS", "15000");
//! let config = Config::load(&sources).unwrap();
//! assert_eq!(config.gateway.timeout_ms, 15_000);
//! ```

mod check;
mod load;
mod sections;

pub use load::{FILE_VARIABLE, Sources, VARIABLE_PREFIX};
pub use sections::{
    Accounts, Config, Fields, Gateway, Identity, Limits, Listen, Log, LogFormat, Notices, Paths, Payments, Secret,
    Sessions, SignUp, Store,
};

/// A whole configuration file, each field with its default and its meaning.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, a variable or a flag cannot be read as a configuration.
    #[error("{reason}")]
    Unreadable {
        /// What is wrong, where.
        reason: String,
    },
    /// A field has a value that cannot work.
    #[error("{field} {problem}")]
    Field {
        /// The field, as `section.field`.
        field: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

impl ConfigError {
    /// `field` has a problem.
    #[must_use]
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}
