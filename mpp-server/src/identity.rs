//! Who we are and who the gateway is, out of the configuration: names and keys.

use std::sync::Arc;
use std::time::Duration;

use alipayplus::clock::Sleep;
use alipayplus::signature::{ClientId, KeyRing, SigningKey, SigningKeys, Validity, VerifyingKey};

use crate::clock::Clock;
use crate::config::{Config, ConfigError};

/// The two sides of every call.
pub(crate) struct Parties {
    pub(crate) us: ClientId,
    pub(crate) signing: SigningKeys,
    /// The gateway's keys, under its own client id for what it asks, and under ours for what it answers.
    pub(crate) peers: KeyRing,
}

impl Parties {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`ConfigError::Field`] names the field of the key or name that cannot be used.
    pub(crate) fn read(config: &Config) -> Result<Self, ConfigError> {
        let us = client_id("identity.client_id", &config.identity.client_id)?;
        let them = match config.gateway.client_id.as_str() {
            "" => us.clone(),
            other => client_id("gateway.client_id", other)?,
        };
        let own = signing_key(config)?;
        let ours = own.verifying_key().to_pem();
        let signing = SigningKeys::single(config.identity.key_version, own);
        let peers = KeyRing::new();
        for (version, key) in gateway_keys(config)? {
            if key.to_pem() == ours {
                let problem = "is our own public key; the gateway gives you one of its own";
                return Err(ConfigError::field(format!("gateway.key_files.{version}"), problem));
            }
            peers.add(us.clone(), version, Validity::ALWAYS, key.clone());
            peers.add(them.clone(), version, Validity::ALWAYS, key);
        }
        Ok(Self { us, signing, peers })
    }
}

fn client_id(field: &str, text: &str) -> Result<ClientId, ConfigError> {
    ClientId::parse(text).map_err(|error| ConfigError::field(field, format!("cannot be used: {error}")))
}

fn signing_key(config: &Config) -> Result<SigningKey, ConfigError> {
    let identity = &config.identity;
    if let Some(key) = &identity.signing_key {
        let key = SigningKey::from_text(key.reveal());
        return key.map_err(|error| ConfigError::field("identity.signing_key", format!("cannot be used: {error}")));
    }
    let path = identity.signing_key_file.as_deref().unwrap_or_else(|| std::path::Path::new(""));
    SigningKey::from_file(path).map_err(|error| {
        let problem = format!("{} cannot be used: {error}; mpp-server keys new makes a key", path.display());
        ConfigError::field("identity.signing_key_file", problem)
    })
}

/// Texts win over files of the same version.
fn gateway_keys(config: &Config) -> Result<Vec<(u32, VerifyingKey)>, ConfigError> {
    let mut keys = Vec::new();
    for (version, path) in &config.gateway.key_files {
        let key = VerifyingKey::from_file(path).map_err(|error| {
            let problem = format!("{} cannot be used: {error}", path.display());
            ConfigError::field(format!("gateway.key_files.{version}"), problem)
        })?;
        keys.push((number("gateway.key_files", version)?, key));
    }
    for (version, text) in &config.gateway.keys {
        let key = VerifyingKey::from_text(text).map_err(|error| {
            ConfigError::field(format!("gateway.keys.{version}"), format!("cannot be used: {error}"))
        })?;
        keys.push((number("gateway.keys", version)?, key));
    }
    Ok(keys)
}

fn number(section: &str, version: &str) -> Result<u32, ConfigError> {
    version.parse().map_err(|_| ConfigError::field(format!("{section}.{version}"), "is no key version"))
}

/// The server's clock, as the Open API's client and server layer ask for it. Deadlines run on the machine's,
/// also where the wall clock stands still for a test.
pub(crate) struct OpenApiClock {
    wall: Arc<dyn Clock>,
    machine: alipayplus::SystemClock,
}

impl OpenApiClock {
    pub(crate) fn shared(wall: &Arc<dyn Clock>) -> Arc<dyn alipayplus::Clock> {
        Arc::new(Self { wall: Arc::clone(wall), machine: alipayplus::SystemClock::default() })
    }
}

impl alipayplus::Clock for OpenApiClock {
    fn wall_ms(&self) -> i64 {
        self.wall.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn sleep(&self, pause: Duration) -> Sleep<'_> {
        self.machine.sleep(pause)
    }
}
