//! Everything on loopback, with one call.
//!
//! ```
//! use nfcwallet_core::host::{NFCRequestProxy, RequestType};
//! use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::start(SandboxConfig::default())?;
//! let proxy = sandbox.proxy("ann")?;
//! let request = br#"{"v":1,"type":"GET_PK","mpp_id":"mpp-1","request_id":"00000000000000000000000000000000"}"#;
//! let reply = sandbox.runtime().block_on(proxy.send_request(RequestType::GetPk, request.to_vec()))?;
//! assert!(String::from_utf8(reply.body)?.contains("signature"));
//! # Ok(())
//! # }
//! ```

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use nfcwallet_core::host::HostError;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checkout::{Checkout, IssuerAcquirer};
use crate::control::Control;
use crate::issuer::{Issuer, IssuerConfig, IssuerError, TokenStanding, TokenStandings};
use crate::relay::{Faults, Gateway, HttpProxy, MppServer, Upstream};
use crate::token_service::{ServiceEndpoint, StoreError, TokenService};

/// How long requests that are under way may take to end when the sandbox stops.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

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
        }
    }
}

/// Where the sandbox listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The provider's server: `/login`, `/wallet/relay`.
    pub mpp: SocketAddr,
    /// The gateway: `/aps/api/v1/mobile/sdkProxy`.
    pub gateway: SocketAddr,
    /// The control API: `/control/...`.
    pub control: SocketAddr,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A folder or a port cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The issuer has no keys or no ledger.
    #[error("the issuer: {0}")]
    Issuer(#[from] IssuerError),
    /// The service's database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No HTTP client can be made.
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The operating system has no randomness.
    #[error("no randomness")]
    Randomness,
}

/// A running sandbox. It has threads of its own, so it may be started and dropped anywhere; it stops
/// when it is dropped.
pub struct Sandbox {
    addresses: Addresses,
    control: Control,
    issuer: Arc<Issuer>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
    handle: Handle,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sandbox({:?})", self.addresses)
    }
}

impl Sandbox {
    /// Starts all servers. They listen when this returns. Blocks for the issuer's keys, some 200 ms
    /// (debug builds: longer).
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        make_folder(config.data.as_deref())?;
        let issuer = Issuer::new(issuer_config(&config))?;
        Self::start_with(config, issuer)
    }

    /// As `start`, with an issuer of the caller's, whose authority may be shared by many sandboxes.
    /// The sandbox tells it how tokens stand.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn start_with(config: SandboxConfig, issuer: Issuer) -> Result<Self, SandboxError> {
        make_folder(config.data.as_deref())?;
        let standings = Arc::new(ServiceStandings::default());
        let issuer = Arc::new(issuer.with_standings(standings.clone()));
        let database = config.data.as_ref().map(|folder| folder.join("service.db"));
        let service = Arc::new(TokenService::open(issuer.clone(), database.as_deref())?);
        standings.service.get_or_init(|| Arc::downgrade(&service));
        let seed = service.key_seed(offered_seed(config.seed)?)?;
        let endpoint = Arc::new(ServiceEndpoint::new(Arc::clone(&service), seed));

        let listeners = [bind(config.ports.mpp)?, bind(config.ports.gateway)?, bind(config.ports.control)?];
        let [mpp, gateway, control] = listeners.each_ref().map(|(_, address)| *address);
        let addresses = Addresses { mpp, gateway, control };
        let faults = Arc::new(Faults::default());
        let upstream: Arc<dyn Upstream> = endpoint.clone();
        let mpp = MppServer::new(gateway, config.relay_timeout, Arc::clone(&faults))?;
        let acquirer = IssuerAcquirer::new(Arc::clone(&issuer), Arc::clone(&service));
        let control = Control { service, endpoint, faults, mpp: mpp.clone(), acquirer };

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(|source| SandboxError::Io { what: "threads".to_owned(), source })?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = watch::channel(false);
        let gateway = Gateway::new(upstream, config.gateway_expiry);
        let routers = [mpp.router(), gateway.router(), control.clone().router()];
        let servers = listeners
            .into_iter()
            .zip(routers)
            .map(|((listener, _), router)| serve(&handle, listener, router, stopped.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Self { addresses, control, issuer, stop, servers, runtime: Some(runtime), handle })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What an app pins as `WalletConfig::service_trust_key`.
    #[must_use]
    pub fn trust_key(&self) -> Vec<u8> {
        self.control.endpoint.trust_key()
    }

    /// The token service: policy, clock, tokens.
    #[must_use]
    pub fn service(&self) -> &Arc<TokenService> {
        &self.control.service
    }

    /// The service's keys.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<ServiceEndpoint> {
        &self.control.endpoint
    }

    /// The faults at the relay.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.control.faults
    }

    /// The provider's server.
    #[must_use]
    pub fn mpp(&self) -> &MppServer {
        &self.control.mpp
    }

    /// The issuer and its ledger.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// A terminal that trusts this issuer's cards and asks it directly.
    #[must_use]
    pub fn checkout(&self) -> Checkout {
        let acquirer = self.control.acquirer.clone();
        Checkout::new(acquirer.ca_keys(), Arc::new(acquirer))
    }

    /// The sandbox's runtime, for a phone's clock, spawner and proxy.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// The proxy of an app in which `user` is logged in.
    ///
    /// # Errors
    /// [`HostError::Failed`] if no HTTP client can be made.
    pub fn proxy(&self, user: &str) -> Result<HttpProxy, HostError> {
        let token = self.control.mpp.log_in(user);
        let token = token.map_err(|error| HostError::Failed { reason: error.to_string() })?;
        HttpProxy::new(self.addresses.mpp, token, self.handle.clone())
    }
}

impl Drop for Sandbox {
    /// Lets requests that are under way end for half a second, then closes every port.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let Some(runtime) = self.runtime.take() else { return };
        let servers = std::mem::take(&mut self.servers);
        // On a thread of its own: a runtime must not be waited for on another runtime's thread.
        let stopper = std::thread::spawn(move || {
            let ended = futures_util::future::join_all(servers);
            let patience = async { tokio::time::timeout(STOP_PATIENCE, ended).await };
            if runtime.block_on(patience).is_err() {
                tracing::info!("requests were cut off when the sandbox stopped");
            }
            runtime.shutdown_timeout(STOP_PATIENCE);
        });
        if stopper.join().is_err() {
            tracing::error!("the sandbox did not stop cleanly");
        }
    }
}

/// Tells the issuer how the service's tokens stand. Set after both exist.
#[derive(Default)]
struct ServiceStandings {
    service: OnceLock<Weak<TokenService>>,
}

impl TokenStandings for ServiceStandings {
    fn standing(&self, token_reference: &str) -> TokenStanding {
        let service = self.service.get().and_then(Weak::upgrade);
        service.map_or(TokenStanding::Deleted, |service| service.standing(token_reference))
    }
}

fn make_folder(folder: Option<&Path>) -> Result<(), SandboxError> {
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder).map_err(|source| SandboxError::Io {
            what: format!("the folder {} cannot be made", folder.display()),
            source,
        })
    })
}

fn issuer_config(config: &SandboxConfig) -> IssuerConfig {
    let ledger = config.data.as_ref().map(|folder| folder.join("issuer.db"));
    IssuerConfig { seed: config.seed, ledger, ..config.issuer.clone() }
}

fn offered_seed(seed: Option<[u8; 32]>) -> Result<[u8; 32], SandboxError> {
    match seed {
        Some(seed) => Ok(seed),
        None => {
            let mut drawn = [0; 32];
            getrandom::fill(&mut drawn).map_err(|_| SandboxError::Randomness)?;
            Ok(drawn)
        }
    }
}

fn bind(port: u16) -> Result<(TcpListener, SocketAddr), SandboxError> {
    let problem = |source| SandboxError::Io { what: format!("port {port} on 127.0.0.1"), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(problem)?;
    listener.set_nonblocking(true).map_err(problem)?;
    let address = listener.local_addr().map_err(problem)?;
    Ok((listener, address))
}

fn serve(
    runtime: &Handle,
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, SandboxError> {
    let _context = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)
        .map_err(|source| SandboxError::Io { what: "a listener".to_owned(), source })?;
    let stop = async move {
        // Ends also when the sender is gone.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    Ok(runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "a server of the sandbox failed");
        }
    }))
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;
