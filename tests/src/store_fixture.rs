//! Stores of earlier libraries, kept for ever: `fixtures/stores/schema-N`.
//!
//! Each has the wallet's folder, the simulated hardware's, and `fixture.json`, which says what must be
//! found in them and holds the test keys to check a tap with. `examples/make_store_fixture.rs` makes
//! them; `tests/stores.rs` opens a copy of each with the newest code.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nfcwallet_sandbox::issuer::CaPublicKey;
use serde::{Deserialize, Serialize};

/// Of the wallet, below a fixture's folder.
pub const WALLET: &str = "wallet";
/// Of the simulated hardware: its keys and the rollback anchor.
pub const HARDWARE: &str = "hardware";
/// What is in the store.
pub const MANIFEST: &str = "fixture.json";

/// What a store was made with, and what must be found in it. Test keys only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFixture {
    /// `user_version` of the file.
    pub schema: u32,
    /// The library that made it.
    pub made_by: String,
    /// Milliseconds since 1970; its credentials are good for 30 days from then.
    pub made_at_ms: i64,
    /// `WalletConfig::mpp_id`.
    pub mpp_id: String,
    /// `WalletConfig::service_trust_key`, hex.
    pub trust_key: String,
    /// What a terminal must trust.
    pub ca_key: CaPublicKey,
    /// The user who is connected and whose token is active.
    pub user: String,
    /// Credentials that are left.
    pub usable: u32,
    /// Their keys by counter, hex.
    pub session_keys: BTreeMap<u16, String>,
    /// Counters that the service has not heard of yet.
    pub unreported: Vec<u16>,
    /// Asked for, and never answered.
    pub replenish_count: u32,
    /// Newest first: minor units, and the counter if it was paid.
    pub history: Vec<(u64, Option<u16>)>,
    /// A message of the inbox that was applied.
    pub applied_message: String,
    /// Another user, whose activation is under way.
    pub waiting_user: String,
    /// The status code after this user has connected without a network.
    pub waiting_status: i32,
}

impl StoreFixture {
    /// Reads the manifest of a fixture.
    ///
    /// # Errors
    /// What the operating system said; a manifest of another form.
    pub fn read(folder: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(MANIFEST))?).map_err(io::Error::other)
    }
}

/// The folder of the fixture of a schema.
#[must_use]
pub fn folder(schema: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/stores/schema-{schema}"))
}

/// Copies every file of a folder.
///
/// # Errors
/// What the operating system said.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
