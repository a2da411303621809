//! `serve`: the servers alone, until a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nfcwallet_sandbox::checkout::HttpAcquirer;
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
    /// Folder for tokens, keys, the issuer's ledger, and `serve.json`, by which `tap` finds the servers.
    /// Started with the same folder again, the sandbox is the one that phones know
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// How fast the token service answers
    #[arg(long, value_enum, default_value = "fast")]
    pace: Pace,
    /// What cards the issuer makes from now on. Cards that exist keep the shape they were issued with
    #[arg(long, value_enum, value_name = "SHAPE", default_value = "phone")]
    card: CardShape,
}

/// What `serve` prints and writes to `serve.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Served {
    /// The app's server: `/login`, `/wallet/relay`.
    pub(crate) mpp: SocketAddr,
    /// The gateway.
    pub(crate) gateway: SocketAddr,
    /// The control API.
    pub(crate) control: SocketAddr,
    /// What an app pins, hex.
    pub(crate) trust_key: String,
    /// What a terminal trusts.
    pub(crate) ca_keys: Vec<CaPublicKey>,
    /// The process that serves.
    pub(crate) pid: u32,
}

pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode> {
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
    let config = SandboxConfig { data: Some(options.data.clone()), issuer, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config)
        .with_context(|| format!("the servers did not start on the folder {}", options.data.display()))?;
    sandbox.service().set_policy(options.pace.policy());
    let served = Served::by(&sandbox);
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

impl Served {
    fn by(sandbox: &Sandbox) -> Self {
        let addresses = sandbox.addresses();
        Self {
            mpp: addresses.mpp,
            gateway: addresses.gateway,
            control: addresses.control,
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
