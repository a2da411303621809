//! A wallet on the sandbox's simulated phone, without a network in between.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::host::{Clock, Deadlines, HostCalls, HostError, NFCRequestProxy, Reply, RequestType};
use nfcwallet_core::secret::Secret;
use nfcwallet_core::storage::{Store, StoreConfig, TokenPhase, TokenRecord};
use nfcwallet_core::token_service::operations::WireCredential;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::SimPhone;
use nfcwallet_sandbox::issuer::{CardShape, Issuer, IssuerConfig, Personalisation};
use nfcwallet_sandbox::relay::Upstream;
use nfcwallet_sandbox::token_service::{ServiceEndpoint, TokenService};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The one user.
pub const USER: &str = "bench-user";
const TOKEN: &str = "bench-token";
/// The same keys and the same card in every run.
const SEED: [u8; 32] = [0xB3; 32];
/// The generator of P-256: a trust key of nobody, for a phone that talks to nobody.
const SOME_POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                          4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// A phone with a folder on the measured disk.
pub struct Handset {
    folder: TempDir,
    /// Polls the wallet's futures.
    pub runtime: Runtime,
    /// The host's parts.
    pub parts: SimPhone,
    trust_key: Vec<u8>,
}

impl Handset {
    /// A new phone without a network, whose files are below `folder`.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn offline(folder: &Path) -> Result<Self> {
        Self::new(folder, Arc::new(Offline), hex::decode(SOME_POINT)?)
    }

    fn new(folder: &Path, proxy: Arc<dyn NFCRequestProxy>, trust_key: Vec<u8>) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let runtime = Runtime::new()?;
        let parts = SimPhone::new(&folder.path().join("keys"), proxy, runtime.handle().clone())?;
        Ok(Self { folder, runtime, parts, trust_key })
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
        WalletConfig::new(data, "bench-mpp", self.trust_key.clone())
    }

    /// When the credentials expire: not while it is measured.
    fn expiry_ms(&self) -> i64 {
        let year_ms = 365 * 24 * 3_600 * 1_000;
        self.parts.clock.wall_ms() + year_ms
    }

    /// Puts an active token with `credentials` made-up credentials into the store: whoever asks the
    /// issuer will not be paid.
    ///
    /// # Errors
    /// Of the store.
    pub fn stock_made_up(&self, profile: &Profile, credentials: u16) -> Result<()> {
        let expires_at_ms = self.expiry_ms();
        let one = |atc| WireCredential { atc, session_key: Secret::new([0x5E; 16]), expires_at_ms, cvc3_key: None };
        self.stock(profile, &(1..=credentials).map(one).collect::<Vec<_>>())
    }

    /// Puts an active token with its credentials into the store, as an activation and many
    /// replenishments would have.
    fn stock(&self, profile: &Profile, credentials: &[WireCredential]) -> Result<()> {
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
            tx.put_token(user, &token, profile)?;
            tx.add_credentials(user, credentials)
        })?;
        store.settle()?;
        store.close();
        Ok(())
    }

    /// The wallet on this phone.
    ///
    /// # Errors
    /// Of the wallet.
    pub fn wallet(&self, config: WalletConfig) -> Result<Wallet> {
        Wallet::init(config, self.parts.host()).context("the wallet does not open")
    }
}

/// A phone, the service that its requests go to, and the issuer behind it.
pub struct Phone {
    /// The phone.
    pub handset: Handset,
    /// Answers the wallet's requests, and counts them.
    pub service: Arc<TokenService>,
    issuer: Arc<Issuer>,
}

impl Phone {
    /// A new phone whose files are below `folder`.
    ///
    /// # Errors
    /// If the folder, the issuer or the service cannot be set up.
    pub fn new(folder: &Path) -> Result<Self> {
        let issuer = Arc::new(issuer(CardShape::Phone)?);
        let service = Arc::new(TokenService::open(Arc::clone(&issuer) as _, None)?);
        let endpoint = Arc::new(ServiceEndpoint::new(Arc::clone(&service), SEED));
        let trust_key = endpoint.trust_key();
        Ok(Self { handset: Handset::new(folder, Arc::new(DirectLink(endpoint)), trust_key)?, service, issuer })
    }

    /// Puts an active token with `credentials` credentials into the store. Returns the card.
    ///
    /// # Errors
    /// Of the issuer and the store.
    pub fn stock(&self, credentials: u32) -> Result<Profile> {
        let profile = self.issuer.personalise(TOKEN, USER)?;
        let credentials = self.issuer.credentials(TOKEN, 1, credentials, self.handset.expiry_ms())?;
        self.handset.stock(&profile, &credentials)?;
        Ok(profile)
    }
}

/// The sandbox's card of `shape`.
///
/// # Errors
/// Of the issuer.
pub fn profile(shape: CardShape) -> Result<Profile> {
    Ok(issuer(shape)?.personalise(TOKEN, USER)?)
}

fn issuer(shape: CardShape) -> Result<Issuer> {
    let personalisation = Personalisation { shape, ..Personalisation::default() };
    Ok(Issuer::new(IssuerConfig { seed: Some(SEED), personalisation, ..IssuerConfig::default() })?)
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
