//! Instructions that callgrind counted, by the name of the operation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nfcwallet_core::card::profile::{IccKeyParts, Profile};
use nfcwallet_sandbox::issuer::CardShape;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::phone::profile;

/// The variable that names the file of [`Subjects`].
pub const SUBJECTS_FILE: &str = "NFCWALLET_BENCH_SUBJECTS";

/// What is measured. Making keys takes minutes under callgrind, so they are made before and read from a
/// file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Subjects {
    /// The card of most measurements.
    pub phone: Profile,
    /// One for readers in mag-stripe mode.
    pub mag_stripe: Profile,
    /// One that resists relays.
    pub relay_resistance: Profile,
    /// Keys of other lengths.
    pub keys: Vec<IccKeyParts>,
}

impl Subjects {
    /// Of the sandbox's issuer.
    ///
    /// # Errors
    /// Of the issuer.
    pub fn new(keys: Vec<IccKeyParts>) -> Result<Self> {
        Ok(Self {
            phone: profile(CardShape::Phone)?,
            mag_stripe: profile(CardShape::MagStripe)?,
            relay_resistance: profile(CardShape::RelayResistance)?,
            keys,
        })
    }
}

/// Writes the file that [`subjects`] reads.
///
/// # Errors
/// Of the file system.
pub fn write_subjects(file: &Path, subjects: &Subjects) -> Result<()> {
    Ok(fs::write(file, serde_json::to_vec(subjects)?)?)
}

/// Reads the file that the variable names.
///
/// # Errors
/// If there is none.
pub fn subjects() -> Result<Subjects> {
    let file = std::env::var_os(SUBJECTS_FILE).context("run it by `cargo xtask bench card`")?;
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

/// Counts by identifier.
#[derive(Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Reads what gungraun wrote: a JSON object a line and benchmark.
    ///
    /// # Errors
    /// If it has another form.
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let summary: Value = serde_json::from_str(line)?;
            let (id, count) = read(&summary).context("gungraun's summary has another form")?;
            counts.insert(id, count);
        }
        Ok(Self(counts))
    }

    /// Of the operation that the report calls `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<u64> {
        self.0.get(&identifier(name)).copied()
    }
}

/// `READ RECORD 2.1` is `read_record_2_1`.
#[must_use]
pub fn identifier(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// The identifier after `bench::`, and the instructions (Ir) of all threads that were counted.
fn read(summary: &Value) -> Option<(String, u64)> {
    let id = summary.get("id")?.as_str()?.to_owned();
    let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new")?.as_u64()?;
    Some((id, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_the_name_of_the_report() {
        let line =
            r#"{"id":"read_record_2_1","profiles":[{"data":{"total":{"metrics":{"Ir":{"values":{"new":242}}}}}}]}"#;
        let counts = Counts::parse(&format!("noise\n{line}\n")).unwrap();
        assert_eq!(counts.of("READ RECORD 2.1"), Some(242));
        assert_eq!(counts.of("READ RECORD 2.2"), None);
    }

    #[test]
    fn a_summary_of_another_form_is_refused() {
        assert!(Counts::parse(r#"{"id":"one"}"#).is_err());
    }
}
