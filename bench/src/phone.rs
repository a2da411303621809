//! A wallet on the sandbox's simulated phone, without a network in between.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::host::{Clock, Deadlines, HostCalls, HostError, NFCRequestProxy, Reply, RequestType};
use nfcwallet_core::storage::{Store, StoreConfig, TokenPhase, TokenRecord};
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::issuer::{Issuer, IssuerConfig};
use nfcwallet_sandbox::relay::Upstream;
use nfcwallet_sandbox::token_service::{ServiceEndpoint, TokenService};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The one user.
pub const USER: &str = "bench-user";
const TOKEN: &str = "bench-token";
/// The same keys and the same card in every run.
const SEED: [u8; 32] = [0xB3; 32];

/// A phone with a folder on the measured disk, and the service that its requests go to.
pub struct Phone {
    folder: TempDir,
    /// Polls the wallet's futures.
    pub runtime: Runtime,
    /// The host's parts.
    pub parts: SimPhone,
    /// Answers the wallet's requests, and counts them.
    pub service: Arc<TokenService>,
    endpoint: Arc<ServiceEndpoint>,
    issuer: Arc<Issuer>,
}

impl Phone {
    /// A new phone whose files are below `folder`.
    ///
    /// # Errors
    /// If the folder, the issuer or the service cannot be set up.
    pub fn new(folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let runtime = Runtime::new()?;
        let issuer = Arc::new(Issuer::new(IssuerConfig { seed: Some(SEED), ..IssuerConfig::default() })?);
        let service = Arc::new(TokenService::open(Arc::clone(&issuer) as _, None)?);
        let endpoint = Arc::new(ServiceEndpoint::new(Arc::clone(&service), SEED));
        let link = Arc::new(DirectLink(Arc::clone(&endpoint)));
        let parts = SimPhone::new(&folder.path().join("keys"), link, runtime.handle().clone())?;
        Ok(Self { folder, runtime, parts, service, endpoint, issuer })
    }

    /// The wallet's folder and the key store's, side by side.
    #[must_use]
    pub fn folders(&self) -> [PathBuf; 2] {
        ["data", "keys"].map(|name| self.folder.path().join(name))
    }

    /// What an app on this phone would configure.
    #[must_use]
    pub fn config(&self) -> WalletConfig {
        let [data, _] = self.folders();
        WalletConfig::new(data, "bench-mpp", self.endpoint.trust_key())
    }

    /// Puts an active token with `credentials` credentials into the store, as an activation and
    /// many replenishments would have. Returns the card.
    ///
    /// # Errors
    /// Of the issuer and the store.
    pub fn stock(&self, credentials: u32) -> Result<Profile> {
        let profile = self.issuer.personalise(TOKEN, USER)?;
        let year_ms = 365 * 24 * 3_600 * 1_000;
        let expiry = self.parts.clock.wall_ms() + year_ms;
        let credentials = self.issuer.credentials(TOKEN, 1, credentials, expiry)?;
        let token = TokenRecord {
            reference: TOKEN.to_owned(),
            phase: TokenPhase::Active,
            suspended_by: BTreeSet::new(),
            pending: None,
        };
        let [directory, _] = self.folders();
        let calls = Arc::new(HostCalls::new(self.parts.host(), Deadlines::default()));
        let store = Store::open(&StoreConfig { directory, history_limit: 1_000 }, calls)?;
        let user = store.write(|tx| tx.connect_user(USER))?;
        store.write_guarded(|tx| {
            tx.put_token(user, &token, &profile)?;
            tx.add_credentials(user, &credentials)
        })?;
        store.settle()?;
        store.close();
        Ok(profile)
    }

    /// The wallet on this phone.
    ///
    /// # Errors
    /// Of the wallet.
    pub fn wallet(&self, config: WalletConfig) -> Result<Wallet> {
        Wallet::init(config, self.parts.host()).context("the wallet does not open")
    }
}

/// From the wallet to the service by a function call.
struct DirectLink(Arc<ServiceEndpoint>);

#[async_trait]
impl NFCRequestProxy for DirectLink {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        Ok(Reply { body: self.0.exchange(kind, USER, &body) })
    }
}

/// No network at all.
pub struct Offline;

#[async_trait]
impl NFCRequestProxy for Offline {
    async fn send_request(&self, _: RequestType, _: Vec<u8>) -> Result<Reply, HostError> {
        Err(HostError::Offline)
    }
}
