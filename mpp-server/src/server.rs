//! The whole server in one value: to start, to look into, to stop. For `main` and for programs that embed
//! it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alipayplus::business_time::BusinessCalendar;
use alipayplus::client::BuildError;
use alipayplus::server::{Identity, Outcome, RouterError, ServerOptions};
use alipayplus::wire::Names;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::accounts::{Accounts, Limits};
use crate::app::login::SignUpRules;
use crate::app::passwords::Passwords;
use crate::app::sessions::Sessions;
use crate::app::{self, App, LoginCheck};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, SignUp};
use crate::gateway::{self, Notifier, Outbound, OutboundParts};
use crate::identity::{OpenApiClock, Parties};
use crate::notices::{Notices, Schedule};
use crate::operation::health;
use crate::operation::metrics::Metrics;
use crate::operation::stop::StopSignal;
use crate::payments::{NoRisk, Notify, Payments, Policy, Risk};
use crate::store::{Store, StoreError};

/// How long a call of the gateway may take before it hears "not yet". Below the 15 s of official clients.
const HANDLER_DEADLINE: Duration = Duration::from_secs(10);

/// What an embedding program decides.
#[derive(Clone)]
pub struct Hooks {
    /// The time. Default: the machine's.
    pub clock: Arc<dyn Clock>,
    /// Risk control. Default: accepts everything.
    pub risk: Arc<dyn Risk>,
    /// Who may log in. Default: whoever knows the password.
    pub login: Option<Arc<dyn LoginCheck>>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), risk: Arc::new(NoRisk), login: None }
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A field is missing or wrong, or a key cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error("store.url cannot be opened ({database})")]
    Store {
        /// Where it leads, without user and password.
        database: String,
        /// What the database says.
        source: StoreError,
    },
    /// An address cannot be listened on.
    #[error("{field} {address} cannot be listened on")]
    Listen {
        /// `listen.app`, `listen.partner` or `listen.ops`.
        field: &'static str,
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The gateway cannot be called.
    #[error("gateway.url cannot be called")]
    Client(#[from] BuildError),
    /// Two calls have the same path.
    #[error("paths cannot be served")]
    Paths(#[from] RouterError),
    /// A bug.
    #[error("the metrics cannot be set up")]
    Metrics,
}

impl StartError {
    fn store(url: &str, source: StoreError) -> Self {
        Self::Store { database: Store::describe(url), source }
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For the provider's app.
    pub app: SocketAddr,
    /// For the gateway.
    pub partner: SocketAddr,
    /// For the operator.
    pub ops: SocketAddr,
}

/// Starts servers.
#[derive(Debug, Clone, Copy)]
pub struct MppServer;

/// A server that runs. Dropping it gives the word to stop and does not wait.
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// Its users.
    pub accounts: Accounts,
    /// Its payments.
    pub payments: Payments,
    /// Its numbers.
    pub metrics: Metrics,
    store: Store,
    stop: StopSignal,
    stop_within: Duration,
    tasks: Vec<JoinHandle<()>>,
}

impl MppServer {
    /// That a server could start with `config`: its fields, its keys and certificates, and the address of the
    /// gateway. Opens no database, listens nowhere and calls nobody.
    ///
    /// # Errors
    /// [`StartError`] names the field to change.
    pub fn check(config: &Config) -> Result<(), StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        prepare(config, &clock).map(drop)
    }

    /// Opens the database, listens, and begins to send notices. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`StartError`] names the field to change. Nothing listens then.
    pub async fn start(config: Config, hooks: Hooks) -> Result<Running, StartError> {
        let clock = Arc::clone(&hooks.clock);
        let (parties, outbound) = prepare(&config, &clock)?;
        let outbound = Arc::new(outbound);
        let (app_listener, app_address) = listen("listen.app", config.listen.app).await?;
        let (partner_listener, partner_address) = listen("listen.partner", config.listen.partner).await?;
        let (ops_listener, ops_address) = listen("listen.ops", config.listen.ops).await?;
        let addresses = Addresses { app: app_address, partner: partner_address, ops: ops_address };

        let store = open_store(&config).await?;
        let metrics = Metrics::new().map_err(|_| StartError::Metrics)?;
        let accounts = Accounts::new(store.clone(), Arc::clone(&clock));
        let payments = Payments::new(store.clone(), Arc::clone(&clock), hooks.risk, policy(&config));

        let app = app::router(Arc::new(App {
            accounts: accounts.clone(),
            payments: payments.clone(),
            passwords: Passwords::new(store.clone()),
            sessions: Sessions::new(store.clone(), Arc::clone(&clock), session_ms(&config)),
            outbound: Arc::clone(&outbound),
            metrics: metrics.clone(),
            login: hooks.login,
            sign_up: sign_up_rules(&config)?,
        }));
        let partner = partner_router(&config, &parties, &payments, &clock, &metrics)?;
        let notifier = Notifier {
            notices: Notices::with_schedule(store.clone(), clock, schedule(&config))
                .for_calls_of(ms(config.gateway.timeout_ms)),
            payments: payments.clone(),
            outbound,
            metrics: metrics.clone(),
            poll: Duration::from_millis(config.notices.poll_ms),
        };

        let stop = StopSignal::default();
        let tasks = vec![
            serve(app_listener, app, stop.clone()),
            serve(partner_listener, partner, stop.clone()),
            serve(ops_listener, health::router(store.clone(), metrics.clone()), stop.clone()),
            tokio::spawn(notifier.run(stop.clone())),
        ];
        let stop_within = Duration::from_millis(config.listen.stop_ms);
        if config.accounts.sign_up == SignUp::Open {
            tracing::warn!("accounts.sign_up is open: whoever logs in is a user; for development only");
        }
        tracing::info!(app = %addresses.app, partner = %addresses.partner, ops = %addresses.ops, "listening");
        Ok(Running { addresses, accounts, payments, metrics, store, stop, stop_within, tasks })
    }
}

impl Running {
    /// Its database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Accepts no more connections, finishes the requests that run, writes what was accepted, closes the
    /// database. Takes at most twice `listen.stop_ms`; `false` if something was still running then.
    pub async fn stop(mut self) -> bool {
        self.stop.stop();
        let until = Instant::now() + self.stop_within;
        let mut all_ended = true;
        for task in std::mem::take(&mut self.tasks) {
            let left = until.saturating_duration_since(Instant::now());
            all_ended &= tokio::time::timeout(left, task).await.is_ok();
        }
        let store = self.store.clone();
        let closed = tokio::task::spawn_blocking(move || store.close());
        let closed = tokio::time::timeout(self.stop_within, closed).await.is_ok();
        if !all_ended || !closed {
            tracing::warn!("stopped while something was still running");
        }
        all_ended && closed
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

async fn listen(field: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { field, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn serve(listener: TcpListener, router: Router, stop: StopSignal) -> JoinHandle<()> {
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.stopped().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "a listener failed");
        }
    })
}

/// What can be looked at before anything is opened.
fn prepare(config: &Config, clock: &Arc<dyn Clock>) -> Result<(Parties, Outbound), StartError> {
    config.check()?;
    config.check_for_serving()?;
    let parties = Parties::read(config)?;
    let url = config.store.url.reveal();
    Store::check(url, &config.store.options()).map_err(|error| StartError::store(url, error))?;
    let outbound = Outbound::new(outbound_parts(config, &parties, clock))?;
    Ok((parties, outbound))
}

/// Opening waits for the disk or the network.
async fn open_store(config: &Config) -> Result<Store, StartError> {
    let url = config.store.url.clone();
    let options = config.store.options();
    let opened = tokio::task::spawn_blocking(move || Store::open_with(url.reveal(), &options)).await;
    opened.unwrap_or(Err(StoreError::Panicked)).map_err(|error| StartError::store(config.store.url.reveal(), error))
}

fn policy(config: &Config) -> Policy {
    let notify = if config.notices.all { Notify::Always } else { Notify::LeftOpen };
    let calendar = BusinessCalendar {
        cancel_grace_ms: i64::from(config.payments.cancel_minutes) * 60_000,
        refund_days: config.payments.refund_days,
        ..BusinessCalendar::MPP
    };
    Policy { calendar, notify }
}

fn schedule(config: &Config) -> Schedule {
    Schedule {
        pauses_ms: config.notices.pauses_ms.iter().copied().map(ms).collect(),
        then_every_ms: ms(config.notices.then_every_ms),
        until_ms: ms(config.notices.until_ms),
    }
}

fn ms(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn session_ms(config: &Config) -> i64 {
    i64::from(config.sessions.lifetime_hours) * 3_600_000
}

fn sign_up_rules(config: &Config) -> Result<SignUpRules, ConfigError> {
    let code = &config.accounts.currency;
    let unknown = || ConfigError::field("accounts.currency", "names no currency");
    Ok(SignUpRules {
        mode: config.accounts.sign_up,
        currency: alipayplus::Currency::from_code(code).ok_or_else(unknown)?,
        opening_balance: config.accounts.opening_balance,
        limits: default_limits(config, code),
    })
}

/// What a new user of this currency may pay.
#[must_use]
pub fn default_limits(config: &Config, currency: &str) -> Limits {
    let limits = config.limits.get(currency).cloned().unwrap_or_default();
    Limits { payment: limits.per_payment, day: limits.per_day, day_count: limits.count_per_day.map(u64::from) }
}

fn outbound_parts(config: &Config, parties: &Parties, clock: &Arc<dyn Clock>) -> OutboundParts {
    OutboundParts {
        base_url: config.gateway.url.clone(),
        client_id: parties.us.clone(),
        signing: parties.signing.clone(),
        peers: parties.peers.clone(),
        clock: OpenApiClock::shared(clock),
        timeout: Duration::from_millis(config.gateway.timeout_ms),
        max_clock_skew: Duration::from_secs(config.gateway.freshness_seconds),
        sdk_proxy_path: config.paths.sdk_proxy.clone(),
        sdk_proxy_names: [
            Names::default()
                .with("sdkRequestBody", &config.fields.sdk_request_body)
                .with("customerId", &config.fields.sdk_customer_id),
            Names::default().with("sdkResponse", &config.fields.sdk_response),
        ],
        notify_path: config.paths.notify_payment.clone(),
    }
}

fn partner_router(
    config: &Config,
    parties: &Parties,
    payments: &Payments,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Router, RouterError> {
    let identity = Identity { client_id: parties.us.clone(), keys: parties.signing.clone() };
    let options = ServerOptions {
        max_clock_skew: Duration::from_secs(config.gateway.freshness_seconds),
        handler_deadline: Some(HANDLER_DEADLINE),
        clock: OpenApiClock::shared(clock),
        ..ServerOptions::default()
    };
    let router = gateway::router(payments, config, identity, parties.peers.clone(), options)?;
    let metrics = metrics.clone();
    Ok(router.layer(from_fn(move |request: Request, next: Next| {
        let metrics = metrics.clone();
        async move {
            let started = Instant::now();
            let response = next.run(request).await;
            if let Some(outcome) = response.extensions().get::<Outcome>() {
                let result = outcome.result.result_code.as_str();
                metrics.request("partner", outcome.api.unwrap_or("none"), result, started.elapsed());
            }
            response
        }
    })))
}
