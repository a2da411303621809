//! From the file, the environment and the flags to one [`Config`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat};

use super::{Config, ConfigError};

/// What a variable of the environment begins with that sets a field.
pub const VARIABLE_PREFIX: &str = "MPP_SERVER";

/// The variable that names the file; the command line reads it.
pub const FILE_VARIABLE: &str = "MPP_SERVER_CONFIG";

/// Where values come from. What is added later wins, flags over variables over the file.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: HashMap<String, String>,
    flags: Vec<(String, String)>,
}

impl Sources {
    /// Reads `file`, which must be there.
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Takes the variables of this process.
    #[must_use]
    pub fn with_environment(self) -> Self {
        let prefix = format!("{VARIABLE_PREFIX}_");
        std::env::vars()
            .filter(|(name, _)| name.starts_with(&prefix))
            .fold(self, |sources, (name, value)| sources.with_variable(&name, &value))
    }

    /// Takes a variable, for example `MPP_SERVER__LOG__LEVEL`.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes a flag: `field` as `section.field`.
    #[must_use]
    pub fn with_flag(mut self, field: &str, value: &str) -> Self {
        self.flags.push((field.to_owned(), value.to_owned()));
        self
    }
}

impl Config {
    /// Reads and checks the values that are there. What only a server needs (keys, the gateway) may still
    /// be missing: [`Config::check_for_serving`].
    ///
    /// # Errors
    /// [`ConfigError`] names the file, variable or field, and says what to do.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        check_names(sources.variables.keys())?;
        let mut builder = config::Config::builder();
        if let Some(file) = &sources.file {
            builder = with_file(builder, file)?;
        }
        let variables = Environment::with_prefix(VARIABLE_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .source(Some(sources.variables.clone()));
        builder = builder.add_source(variables);
        for (field, value) in &sources.flags {
            builder = builder.set_override(field, value.as_str()).map_err(|error| unreadable(&error))?;
        }
        let config: Self =
            builder.build().and_then(config::Config::try_deserialize).map_err(|error| unreadable(&error))?;
        config.check()?;
        Ok(config)
    }
}

/// A variable that is nearly one of ours would set nothing, without a word.
fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), ConfigError> {
    let is_wrong = |name: &&String| *name != FILE_VARIABLE && !name.starts_with(&format!("{VARIABLE_PREFIX}__"));
    names.find(is_wrong).map_or(Ok(()), |name| {
        let reason =
            format!("the variable {name} sets nothing; write {VARIABLE_PREFIX}__SECTION__FIELD, with two underscores");
        Err(ConfigError::Unreadable { reason })
    })
}

fn with_file(builder: ConfigBuilder<DefaultState>, file: &Path) -> Result<ConfigBuilder<DefaultState>, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
        reason: format!("{} cannot be read: {error}; mpp-server config --example prints one", file.display()),
    })?;
    // Parsed here first: its error has line and column.
    toml::from_str::<toml::Table>(&text).map_err(|error| ConfigError::Unreadable {
        reason: format!("{} is not TOML: {}", file.display(), error.to_string().trim_end()),
    })?;
    Ok(builder.add_source(File::from_str(&text, FileFormat::Toml)))
}

fn unreadable(error: &config::ConfigError) -> ConfigError {
    let reason = format!("{error}; mpp-server config --example shows each field with its default");
    ConfigError::Unreadable { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EXAMPLE, LogFormat};

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mpp-server.toml");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    fn refused(sources: &Sources) -> String {
        Config::load(sources).unwrap_err().to_string()
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let (_folder, file) = written("[gateway]\ntimeout_ms = 13000\nexpiry_ms = 1\nfreshness_seconds = 1\n");
        let sources = Sources::default()
            .with_file(file)
            .with_variable("MPP_SERVER__GATEWAY__EXPIRY_MS", "2")
            .with_variable("MPP_SERVER__GATEWAY__FRESHNESS_SECONDS", "2")
            .with_flag("gateway.freshness_seconds", "3");
        let config = Config::load(&sources).unwrap();
        let gateway = config.gateway;
        assert_eq!((gateway.timeout_ms, gateway.expiry_ms, gateway.freshness_seconds), (13_000, 2, 3));
        assert_eq!(config.log.format, LogFormat::Text);
    }

    #[test]
    fn lists_and_tables_come_through_variables() {
        let sources = Sources::default()
            .with_variable("MPP_SERVER__NOTICES__PAUSES_MS", "10, 20")
            .with_variable("MPP_SERVER__FIELDS__PAY_REFERENCE", "extendInfo.tap,passThroughInfo")
            .with_variable("MPP_SERVER__GATEWAY__KEY_FILES__1", "gateway.pub")
            .with_variable("MPP_SERVER__IDENTITY__CLIENT_ID", "007");
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.notices.pauses_ms, [10, 20]);
        assert_eq!(config.fields.pay_reference, ["extendInfo.tap", "passThroughInfo"]);
        assert_eq!(config.gateway.key_files["1"], PathBuf::from("gateway.pub"));
        assert_eq!(config.identity.client_id, "007");
    }

    #[test]
    fn the_example_has_every_field_and_parses() {
        let (_folder, file) = written(EXAMPLE);
        let config = Config::load(&Sources::default().with_file(file)).unwrap();
        let shown: toml::Table = toml::from_str(EXAMPLE).unwrap();
        let serde_json::Value::Object(sections) = serde_json::to_value(&config).unwrap() else { panic!() };
        for (section, fields) in sections {
            for field in fields.as_object().unwrap().keys() {
                let is_set = shown[&section].get(field).is_some();
                let is_told = EXAMPLE.contains(&format!("\n# {field} = "));
                assert!(is_set || is_told, "{section}.{field}");
            }
        }
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let (_folder, file) = written(EXAMPLE);
        let shown = serde_json::to_value(Config::load(&Sources::default().with_file(file)).unwrap()).unwrap();
        let default = serde_json::to_value(Config::default()).unwrap();
        // The other sections say what their reader must say.
        for section in ["paths", "fields", "payments", "sessions", "notices", "log", "store", "accounts"] {
            assert_eq!(shown[section], default[section], "{section}");
        }
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let (_folder, file) = written("[gateway]\ntimeout = 5\n");
        let reason = refused(&Sources::default().with_file(file));
        assert!(reason.contains("timeout") && reason.contains("timeout_ms"), "{reason}");
        let reason = refused(&Sources::default().with_variable("MPP_SERVER_GATEWAY__URL", "http://a"));
        assert!(reason.contains("MPP_SERVER_GATEWAY__URL") && reason.contains("two underscores"), "{reason}");
        let reason = refused(&Sources::default().with_variable("MPP_SERVER__GATEWAYS__URL", "http://a"));
        assert!(reason.contains("gateways"), "{reason}");
    }

    #[test]
    fn a_value_of_another_type_is_named_with_its_field() {
        let reason = refused(&Sources::default().with_flag("gateway.timeout_ms", "soon"));
        assert!(reason.contains("gateway.timeout_ms"), "{reason}");
        let reason = refused(&Sources::default().with_flag("accounts.sign_up", "perhaps"));
        assert!(reason.contains("perhaps") && reason.contains("closed"), "{reason}");
        let reason = refused(&Sources::default().with_flag("listen.app", "here"));
        assert!(reason.contains("listen.app"), "{reason}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_with_its_line() {
        let (_folder, file) = written("[gateway]\nurl = http\n");
        let reason = refused(&Sources::default().with_file(file));
        assert!(reason.contains("line 2"), "{reason}");
        let reason = refused(&Sources::default().with_file("/nowhere/mpp-server.toml"));
        assert!(reason.contains("/nowhere/mpp-server.toml cannot be read"), "{reason}");
    }
}
