//! What a sandbox is started with, where it listens, and why it does not start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mpp_server::StartError;

use super::provider;
use crate::gateway::http::{GatewayServerError, KeysError, LineError};
use crate::gateway::{GatewayConfig, GatewayError};
use crate::issuer::{IssuerConfig, IssuerError};
use crate::token_service::StoreError;
use crate::wait::Stopped;

/// What a sandbox is started with. The defaults keep everything in memory and draw new keys.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// A folder for tokens, keys and the issuer's ledger; `None` keeps them in memory. Started with
    /// the same folder again, a sandbox is the one that wallets know.
    pub data: Option<PathBuf>,
    /// All keys come from it; `None` draws one, or takes the one in `data`.
    pub seed: Option<[u8; 32]>,
    /// What cards are like. Its `seed` and `ledger` are set from the fields above.
    pub issuer: IssuerConfig,
    /// Ports on 127.0.0.1; 0 takes a free one.
    pub ports: Ports,
    /// After this long the gateway gives up on the service. Default 10 s, as in the field.
    pub gateway_expiry: Duration,
    /// After this long the provider's server gives up on the gateway. Default 12 s.
    pub relay_timeout: Duration,
    /// The gateway's acquiring side. Default: test rates into EUR, else its own defaults.
    pub gateway: GatewayConfig,
    /// The provider's server; its addresses, database, keys and gateway are set from the fields above.
    /// Default: whoever logs in is a user with 100,000,000.00 EUR.
    pub provider: mpp_server::config::Config,
}

/// Ports on 127.0.0.1; 0, the default, takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Of the provider's server.
    pub mpp: u16,
    /// Of the gateway.
    pub gateway: u16,
    /// Of the control API.
    pub control: u16,
    /// Of the provider's server, for the gateway.
    pub partner: u16,
    /// Of the provider's server, for its operator.
    pub ops: u16,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            data: None,
            seed: None,
            issuer: IssuerConfig::default(),
            ports: Ports::default(),
            gateway_expiry: Duration::from_secs(10),
            relay_timeout: Duration::from_secs(12),
            gateway: GatewayConfig { rates: provider::test_rates(), ..GatewayConfig::default() },
            provider: provider::open_to_everybody(),
        }
    }
}

/// Where the sandbox listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The provider's server, for its app: `/login`, `/wallet/relay`, `/payments`. The planned faults
    /// strike on the road to it.
    pub mpp: SocketAddr,
    /// The gateway: `/aps/api/v1/...`, signed.
    pub gateway: SocketAddr,
    /// The control API: `/control/...`.
    pub control: SocketAddr,
    /// The provider's server, for the gateway: `/aps/api/v1/payments/...`, signed.
    pub partner: SocketAddr,
    /// The provider's server, for its operator: health and metrics.
    pub ops: SocketAddr,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A folder or a port cannot be used.
    #[error("{what}")]
    Io {
        /// Which one.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The issuer has no keys or no ledger.
    #[error("the issuer")]
    Issuer(#[from] IssuerError),
    /// The service's database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No HTTP client can be made.
    #[error("no HTTP client")]
    Http(#[from] reqwest::Error),
    /// The provider's server does not start.
    #[error("the provider's server")]
    Provider(#[from] StartError),
    /// The gateway's books cannot be used.
    #[error(transparent)]
    Books(#[from] GatewayError),
    /// The gateway cannot listen.
    #[error("the gateway")]
    Gateway(#[from] GatewayServerError),
    /// The gateway cannot call the provider.
    #[error("the gateway")]
    Line(#[from] LineError),
    /// The keys that sign cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The servers' threads have ended.
    #[error("the servers have stopped")]
    Stopped,
    /// The operating system has no randomness.
    #[error("no randomness")]
    Randomness,
}

impl From<Stopped> for SandboxError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

pub(super) fn make_folder(folder: Option<&Path>) -> Result<(), SandboxError> {
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder).map_err(|source| SandboxError::Io {
            what: format!("the folder {} cannot be made", folder.display()),
            source,
        })
    })
}

pub(super) fn issuer_config(config: &SandboxConfig) -> IssuerConfig {
    let ledger = config.data.as_ref().map(|folder| folder.join("issuer.db"));
    IssuerConfig { seed: config.seed, ledger, ..config.issuer.clone() }
}

pub(super) fn offered_seed(seed: Option<[u8; 32]>) -> Result<[u8; 32], SandboxError> {
    match seed {
        Some(seed) => Ok(seed),
        None => {
            let mut drawn = [0; 32];
            getrandom::fill(&mut drawn).map_err(|_| SandboxError::Randomness)?;
            Ok(drawn)
        }
    }
}

pub(super) fn bind(port: u16) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let problem = |source| SandboxError::Io { what: format!("port {port} on 127.0.0.1"), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(problem)?;
    listener.set_nonblocking(true).map_err(problem)?;
    let address = listener.local_addr().map_err(problem)?;
    Ok((listener, address))
}
