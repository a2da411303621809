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

use std::net::TcpListener;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use mpp_server::{Hooks, MppServer, Running};
use nfcwallet_core::host::HostError;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod config;
mod provider;

pub use self::config::{Addresses, Ports, SandboxConfig, SandboxError};
use self::config::{bind, issuer_config, make_folder, offered_seed};
use crate::checkout::{Checkout, IssuerAcquirer};
use crate::control::Control;
use crate::gateway::http::{GatewayServer, Journal, MppLine, ServersClock, Strikes};
use crate::gateway::{Books, Gateway};
use crate::issuer::{Issuer, TokenStanding, TokenStandings};
use crate::relay::{Faults, HttpProxy, Road, Upstream};
use crate::token_service::{ServiceEndpoint, TokenService};
use crate::wait::wait_for;

/// How long requests that are under way may take to end when the sandbox stops.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// A journey through time is noticed after so long: calls become due, authorisations expire.
const CLOCK_PAUSE: Duration = Duration::from_millis(250);

/// A running sandbox. It has threads of its own, so it may be started and dropped anywhere; it stops
/// when it is dropped.
pub struct Sandbox {
    addresses: Addresses,
    control: Control,
    provider: Option<Running>,
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

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(|source| SandboxError::Io { what: "threads".to_owned(), source })?;
        let handle = runtime.handle().clone();
        let clock = Arc::new(ServersClock::new(Arc::clone(&service), handle.clone()));
        let listeners = [bind(config.ports.mpp)?, bind(config.ports.gateway)?, bind(config.ports.control)?];
        let [mpp, gateway_at, control_at] = listeners.each_ref().map(|(_, address)| *address);
        let provider = start_provider(&config, gateway_at, &clock, &handle)?;
        let (app, partner, ops) = (provider.addresses.app, provider.addresses.partner, provider.addresses.ops);
        let addresses = Addresses { mpp, gateway: gateway_at, control: control_at, partner, ops };

        let (journal, strikes) = (Arc::new(Journal::default()), Arc::new(Strikes::default()));
        let timeout = Duration::from_millis(config.gateway.call_timeout_ms.unsigned_abs());
        let line = MppLine::new(
            &format!("http://{partner}"),
            clock.clone(),
            timeout,
            Arc::clone(&journal),
            Arc::clone(&strikes),
        )?;
        let books = match &config.data {
            Some(folder) => Books::open(&folder.join("gateway.db"))?,
            None => Books::in_memory()?,
        };
        let gateway = Arc::new(Gateway::new(config.gateway, Arc::new(books), Arc::new(line), clock.clone()));
        let upstream: Arc<dyn Upstream> = endpoint.clone();
        let gateway_router = GatewayServer {
            upstream,
            expiry: config.gateway_expiry,
            gateway: Arc::clone(&gateway),
            clock: Arc::clone(&clock),
            journal: Arc::clone(&journal),
        }
        .router()?;

        let faults = Arc::new(Faults::default());
        let road = Road::new(app, Arc::clone(&faults))?;
        let acquirer =
            IssuerAcquirer::new(Arc::clone(&issuer), Arc::clone(&service), Arc::clone(&gateway), handle.clone());
        let control = Control {
            service,
            endpoint,
            faults,
            issuer,
            road: road.clone(),
            acquirer,
            gateway: Arc::clone(&gateway),
            journal,
            strikes,
            accounts: provider.accounts.clone(),
            payments: provider.payments.clone(),
            store: provider.store().clone(),
            clock,
        };

        let (stop, stopped) = watch::channel(false);
        let routers = [road.router(), gateway_router, control.clone().router()];
        let mut servers = listeners
            .into_iter()
            .zip(routers)
            .map(|((listener, _), router)| serve(&handle, listener, router, stopped.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        servers.push(handle.spawn(work(gateway, stopped)));
        let (provider, runtime) = (Some(provider), Some(runtime));
        Ok(Self { addresses, control, provider, stop, servers, runtime, handle })
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

    /// The faults between the app and its server.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.control.faults
    }

    /// The road between the app and its server.
    #[must_use]
    pub fn road(&self) -> &Road {
        &self.control.road
    }

    /// The provider's users and their money.
    #[must_use]
    pub fn accounts(&self) -> &mpp_server::accounts::Accounts {
        &self.control.accounts
    }

    /// The provider's payments.
    #[must_use]
    pub fn payments(&self) -> &mpp_server::payments::Payments {
        &self.control.payments
    }

    /// The gateway: what the card scheme tells, and its books.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.control.gateway
    }

    /// The signed calls between gateway and partners.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.control.journal
    }

    /// The faults between gateway and provider.
    #[must_use]
    pub fn strikes(&self) -> &Strikes {
        &self.control.strikes
    }

    /// The issuer and its ledger.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.control.issuer
    }

    /// What the control API does, without HTTP.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// A terminal that trusts this issuer's cards; its line goes to the issuer, and through the gateway to
    /// the payment provider.
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

    /// The proxy of an app in which `user` has just logged in. Blocks for the login.
    ///
    /// # Errors
    /// [`HostError`] if the login fails.
    pub fn proxy(&self, user: &str) -> Result<HttpProxy, HostError> {
        let (server, user, runtime) = (self.addresses.mpp, user.to_owned(), self.handle.clone());
        let log_in = async move { HttpProxy::log_in(server, &user, runtime).await };
        let logged_in = wait_for(&self.handle, log_in);
        logged_in.map_err(|error| HostError::Failed { reason: error.to_string() })?
    }
}

impl Drop for Sandbox {
    /// Lets requests that are under way end for half a second, then closes every port.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let Some(runtime) = self.runtime.take() else { return };
        let (servers, provider) = (std::mem::take(&mut self.servers), self.provider.take());
        // On a thread of its own: a runtime must not be waited for on another runtime's thread.
        let stopper = std::thread::spawn(move || {
            let ended = async {
                let servers = futures_util::future::join_all(servers);
                let provider = async { if let Some(provider) = provider { provider.stop().await } else { true } };
                let (_, stopped) = futures_util::future::join(servers, provider).await;
                stopped
            };
            let patience = async { tokio::time::timeout(STOP_PATIENCE, ended).await };
            if runtime.block_on(patience) != Ok(true) {
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

/// On its own runtime, wherever the sandbox is started.
fn start_provider(
    config: &SandboxConfig,
    gateway: std::net::SocketAddr,
    clock: &Arc<ServersClock>,
    runtime: &Handle,
) -> Result<Running, SandboxError> {
    let place = provider::Place {
        ports: config.ports,
        data: config.data.as_deref(),
        gateway,
        timeout: config.relay_timeout,
        expiry: config.gateway_expiry,
        patience: STOP_PATIENCE,
    };
    let settings = provider::configured(&config.provider, &place)?;
    let hooks = Hooks { clock: clock.clone(), ..Hooks::default() };
    Ok(wait_for(runtime, MppServer::start(settings, hooks))??)
}

/// The gateway's calls that are due, until the sandbox stops.
async fn work(gateway: Arc<Gateway>, mut stopped: watch::Receiver<bool>) {
    let look_again = async {
        loop {
            tokio::time::sleep(CLOCK_PAUSE).await;
            gateway.look_again();
        }
    };
    tokio::select! {
        () = look_again => {}
        // Ends also when the sender is gone.
        _ = stopped.wait_for(|stop| *stop) => {}
        never = gateway.run() => match never {},
    }
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests;
