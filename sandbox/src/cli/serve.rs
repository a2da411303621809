//! `serve`: the servers alone, until a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nfcwallet_sandbox::checkout::{Amount, HttpAcquirer};
use nfcwallet_sandbox::gateway::Switch;
use nfcwallet_sandbox::gateway::http::{ACQUIRER_CLIENT_ID, KEY_VERSION, MPP_CLIENT_ID, Party};
use nfcwallet_sandbox::issuer::{CaPublicKey, CardShape, IssuerConfig, Personalisation};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::{Pace, screen};

/// Where `serve` and `tap` meet, unless they are told otherwise.
pub(crate) const DEFAULT_DATA: &str = ".nfcwallet-sandbox";

/// Options of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeOptions {
    /// Folder for tokens, keys, accounts, the ledgers, and `serve.json`, by which `tap` finds the servers.
    /// Started with the same folder again, the sandbox is the one that phones know
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// How fast the token service answers
    #[arg(long, value_enum, default_value = "fast")]
    pace: Pace,
    /// What cards the issuer makes from now on. Cards that exist keep the shape they were issued with
    #[arg(long, value_enum, value_name = "SHAPE", default_value = "phone")]
    card: CardShape,
    /// What is on the account of a user who logs in for the first time, in EUR
    #[arg(long, value_name = "AMOUNT", default_value = "1000.00")]
    opening_balance: String,
    /// Turns a switch of the table by which the gateway converts card events into calls; may be repeated.
    /// docs/conversion.md has the switches
    #[arg(long, value_name = "KEY=VALUE")]
    conversion: Vec<Switch>,
}

/// What `serve` prints and writes to `serve.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// The payment provider's server, for its app: `/login`, `/wallet/relay`, `/payments`.
    pub(crate) mpp: SocketAddr,
    /// The gateway: `/aps/api/v1/...`, signed.
    pub(crate) gateway: SocketAddr,
    /// The control API.
    pub(crate) control: SocketAddr,
    /// The provider's server, for the gateway: `/aps/api/v1/payments/...`, signed.
    pub(crate) partner: SocketAddr,
    /// The provider's server, for its operator: `/healthz`, `/metrics`.
    pub(crate) ops: SocketAddr,
    /// Who signs what.
    pub(crate) open_api: OpenApi,
    /// What an app pins, hex.
    pub(crate) trust_key: String,
    /// What a terminal trusts.
    pub(crate) ca_keys: Vec<CaPublicKey>,
    /// The process that serves.
    pub(crate) pid: u32,
}

/// What a client of the gateway, or of the provider's partner side, signs and verifies with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenApi {
    /// `Client-Id` of an acquirer at the gateway.
    pub(crate) acquirer_client_id: String,
    /// `Client-Id` between gateway and provider, in both directions.
    pub(crate) mpp_client_id: String,
    /// `keyVersion` of every key.
    pub(crate) key_version: u32,
    /// A folder with the test keys: `acquirer.key`, `gateway.key` and `mpp.key` (PKCS#8, PEM) and their
    /// public halves, `*.pub` (base64, as partners upload them).
    pub(crate) keys: PathBuf,
}

pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode> {
    let opening_balance = match Amount::parse("opening-balance", &options.opening_balance, "EUR") {
        Ok(amount) => amount.minor(),
        Err(error) => return Ok(screen::wrong_usage(&error.into())),
    };
    let runtime = Runtime::new().context("no threads")?;
    let file = options.data.join("serve.json");
    if let Ok(Some(other)) = Served::find(&options.data)
        && other.is_alive(&runtime)
    {
        bail!(
            "the folder {} is served already, by process {}; stop it, or choose another folder with --data",
            options.data.display(),
            other.pid
        );
    }
    // From here on a signal ends this program in an orderly way.
    let stop = {
        let _context = runtime.enter();
        StopSignal::new()?
    };
    let personalisation = Personalisation { shape: options.card, ..Personalisation::default() };
    let issuer = IssuerConfig { personalisation, ..IssuerConfig::default() };
    let mut config = SandboxConfig { data: Some(options.data.clone()), issuer, ..SandboxConfig::default() };
    config.provider.accounts.opening_balance = opening_balance;
    for switch in &options.conversion {
        config.gateway.turn(*switch);
    }
    let sandbox = Sandbox::start(config).context("the servers did not start")?;
    sandbox.service().set_policy(options.pace.policy());
    let served = Served::by(&sandbox, write_keys(&options.data)?);
    std::fs::write(&file, serde_json::to_vec_pretty(&served)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    screen::report(&served)?;
    let cards = sandbox.service().state().map_or(0, |state| state.tokens.len());
    if options.card != CardShape::default() && cards > 0 {
        screen::hint(&format!(
            "cards issued here before: {cards}; they keep their shape. For a new one take another --user with tap"
        ));
    }
    let data = data_option(&options.data);
    screen::hint(&format!("ready; Ctrl-C stops; now: nfcwallet-sandbox tap --amount 10{data}"));
    runtime.block_on(stop.wait());
    drop(sandbox);
    std::fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the test keys, for clients in other languages. Returns their folder.
fn write_keys(data: &Path) -> Result<PathBuf> {
    let folder = data.join("keys");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for party in Party::ALL {
        let files = [("key", party.private_pem().to_owned()), ("pub", format!("{}\n", party.public_base64()?))];
        for (half, text) in files {
            let file = folder.join(format!("{}.{half}", party.name()));
            std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    Ok(folder)
}

impl Served {
    fn by(sandbox: &Sandbox, keys: PathBuf) -> Self {
        let addresses = sandbox.addresses();
        Self {
            mpp: addresses.mpp,
            gateway: addresses.gateway,
            control: addresses.control,
            partner: addresses.partner,
            ops: addresses.ops,
            open_api: OpenApi {
                acquirer_client_id: ACQUIRER_CLIENT_ID.to_owned(),
                mpp_client_id: MPP_CLIENT_ID.to_owned(),
                key_version: KEY_VERSION,
                keys,
            },
            trust_key: hex::encode(sandbox.trust_key()),
            ca_keys: sandbox.issuer().ca_public_keys(),
            pid: std::process::id(),
        }
    }

    /// What the folder's `serve.json` says; `None` if there is none.
    fn find(data: &Path) -> Result<Option<Self>> {
        let file = data.join("serve.json");
        match std::fs::read(&file) {
            Ok(text) => {
                let served = serde_json::from_slice(&text);
                served.map(Some).with_context(|| format!("{} is not what `serve` writes; remove it", file.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// The servers of the folder, which answer.
    pub(crate) fn running(data: &Path, runtime: &Runtime) -> Result<Self> {
        let start = start_command(data);
        match Self::find(data)? {
            None => bail!("no servers run on the folder {}; start them in another terminal: {start}", data.display()),
            Some(served) if !served.is_alive(runtime) => bail!(
                "{} is left over from process {}, which serves no more; start the servers again in another terminal: \
                 {start}",
                data.join("serve.json").display(),
                served.pid
            ),
            Some(served) => Ok(served),
        }
    }

    /// The same sandbox still answers there; another program may have taken the port.
    fn is_alive(&self, runtime: &Runtime) -> bool {
        let acquirer = HttpAcquirer::new(self.control, runtime.handle().clone());
        acquirer.and_then(|acquirer| acquirer.ca_keys()).is_ok_and(|keys| keys == self.ca_keys)
    }
}

/// What starts the servers of the folder.
pub(crate) fn start_command(data: &Path) -> String {
    format!("nfcwallet-sandbox serve{}", data_option(data))
}

/// What to add to a command so that it finds the folder.
fn data_option(data: &Path) -> String {
    if data == Path::new(DEFAULT_DATA) { String::new() } else { format!(" --data {}", data.display()) }
}

/// Ctrl-C, or what a service manager sends.
pub(crate) struct StopSignal {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    /// Listens from now on. Call it within a runtime.
    pub(crate) fn new() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
            Ok(Self {
                terminate: signal(terminate).context("signals cannot be heard")?,
                interrupt: signal(interrupt).context("signals cannot be heard")?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for one.
    #[cfg(unix)]
    pub(crate) async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for one.
    #[cfg(not(unix))]
    pub(crate) async fn wait(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
