//! A phone as a person holds it: a folder, a device, and a process that may or may not run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nfcwallet_sandbox::phone::{Event, Phone, PhoneError, PhoneProgram};
use nfcwallet_sandbox::with_causes;

use crate::platform::Device;

/// How every phone of a scenario reaches the servers.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The phone program.
    pub program: PhoneProgram,
    /// Address of the app's server.
    pub mpp: String,
    /// Hex.
    pub trust_key: String,
    /// Further arguments of the scenario.
    pub options: Vec<OsString>,
}

/// One phone.
#[derive(Debug)]
pub struct PhoneUnit {
    surroundings: Surroundings,
    directory: PathBuf,
    process: Option<Phone>,
    /// The user of the app, who stays logged in across restarts.
    pub user: Option<String>,
    /// The device as the platform sees it.
    pub device: Device,
    /// Events that were read and not yet looked at.
    pub events: Vec<Event>,
    /// How many of them the invariants have seen.
    pub watched: usize,
}

impl PhoneUnit {
    /// A new phone; its process does not run yet.
    #[must_use]
    pub fn new(surroundings: Surroundings, directory: PathBuf) -> Self {
        Self {
            surroundings,
            directory,
            process: None,
            user: None,
            device: Device::default(),
            events: Vec::new(),
            watched: 0,
        }
    }

    /// Its folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process, if it runs.
    #[must_use]
    pub fn process(&self) -> Option<&Phone> {
        self.process.as_ref()
    }

    /// The process, started if it does not run.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn running(&mut self) -> Result<&Phone, String> {
        if self.process.is_none() {
            self.start(&[]).map_err(|error| with_causes(&error))?;
        }
        self.process.as_ref().ok_or_else(|| "the phone does not run".to_owned())
    }

    /// Starts the process.
    ///
    /// # Errors
    /// [`PhoneError`].
    pub fn start(&mut self, options: &[String]) -> Result<&Phone, PhoneError> {
        let mut arguments: Vec<OsString> = [
            ("--directory", self.directory.as_os_str().to_owned()),
            ("--mpp", self.surroundings.mpp.clone().into()),
            ("--trust-key", self.surroundings.trust_key.clone().into()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [OsString::from(name), value])
        .collect();
        arguments.push("--test-clock".into());
        if let Some(user) = &self.user {
            arguments.extend(["--user".into(), user.into()]);
        }
        arguments.extend(self.surroundings.options.iter().cloned());
        arguments.extend(options.iter().map(OsString::from));
        Ok(self.process.insert(Phone::start(&self.surroundings.program, &arguments)?))
    }

    /// Kills the process, keeping the events that it had told.
    pub fn kill(&mut self) {
        if let Some(phone) = self.process.take() {
            self.events.extend(phone.events());
            phone.kill();
        }
    }
}
