//! The command line: each command reads what it needs, calls the library, and says what happened.

mod flags;
mod user;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use mpp_server::config::{Config, EXAMPLE};
use mpp_server::keys::NewKey;
use mpp_server::ledger::{self, Finding, Found};
use mpp_server::operation::{log, stop};
use mpp_server::store::Store;
use mpp_server::{Hooks, MppServer, openapi};

pub(crate) use flags::ConfigFlags;
pub(crate) use user::{UserCommand, user};

/// What `keys` does.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make an RSA key of 2048 bits and write its halves to two new files
    New {
        /// The half that signs; only its owner may read the file
        #[arg(long, value_name = "FILE", default_value = "keys/mpp.key")]
        private: PathBuf,
        /// The half that the gateway gets
        #[arg(long, value_name = "FILE", default_value = "keys/mpp.pub")]
        public: PathBuf,
    },
}

/// What `config` does.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ConfigCommand {
    /// Print a whole configuration file, each field with its default and its meaning
    #[arg(long)]
    example: bool,
    /// Read the configuration in use, with all keys, and say what is missing or wrong; opens nothing else
    #[arg(long)]
    check: bool,
}

/// A side of the server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OpenApiSide {
    /// For the provider's app
    App,
    /// For the gateway
    Partner,
}

/// Runs the server until somebody stops it.
pub(crate) fn serve(flags: &ConfigFlags) -> anyhow::Result<ExitCode> {
    let config = flags.load()?;
    log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let clean = runtime.block_on(async {
        let running = MppServer::start(config, Hooks::default()).await?;
        let addresses = running.addresses;
        println!(
            "{{\"app\":\"http://{}\",\"partner\":\"http://{}\",\"ops\":\"http://{}\"}}",
            addresses.app, addresses.partner, addresses.ops
        );
        stop::asked_to_stop().await.context("cannot listen for signals")?;
        tracing::info!("stopping");
        anyhow::Ok(running.stop().await)
    })?;
    // A connection that is still open must not hold the process.
    runtime.shutdown_background();
    tracing::info!(clean, "stopped");
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes a key.
pub(crate) fn keys(command: &KeysCommand) -> anyhow::Result<ExitCode> {
    let KeysCommand::New { private, public } = command;
    for folder in [private, public].into_iter().filter_map(|path| path.parent()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let key = NewKey::generate()?;
    key.write(private, public)?;
    println!("{}: signs; it stays with its owner (ours: identity.signing_key_file)", private.display());
    println!("{}: verifies; the other side gets it. A console takes it as this one line:", public.display());
    let base64: String = key.public_pem.lines().filter(|line| !line.starts_with("-----")).collect();
    println!("{base64}");
    Ok(ExitCode::SUCCESS)
}

/// Compares the books.
pub(crate) fn audit(flags: &ConfigFlags) -> anyhow::Result<ExitCode> {
    let config = flags.load()?;
    is_there(&config)?;
    let store = open_store(&config)?;
    let audit = block_on(ledger::audit(&store))?.context("the books cannot be read")?;
    let database = Store::describe(config.store.url.reveal());
    for Found { finding, count, names } in &audit.findings {
        let more = if *count > names.len() as u64 { ", …" } else { "" };
        println!("{}: {count} ({}{more})", meaning(*finding), names.join(", "));
    }
    if audit.is_clean() {
        println!("the books in {database} agree");
        return Ok(ExitCode::SUCCESS);
    }
    println!("the books in {database} do not agree: stop paying, and look at the findings above");
    Ok(ExitCode::FAILURE)
}

/// Prints or checks the configuration.
pub(crate) fn config(flags: &ConfigFlags, command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    if command.example {
        return print_text(EXAMPLE);
    }
    MppServer::check(&flags.load()?)?;
    println!("the configuration is complete, and its keys can be read");
    println!("not tried: the database, the gateway, and whether the addresses are free");
    Ok(ExitCode::SUCCESS)
}

/// Prints a description.
pub(crate) fn openapi(side: OpenApiSide) -> anyhow::Result<ExitCode> {
    let description = match side {
        OpenApiSide::App => openapi::app(),
        OpenApiSide::Partner => openapi::partner(),
    };
    print_text(&format!("{}\n", serde_json::to_string_pretty(&description)?))
}

/// Prints a long text. A reader that has seen enough and goes, such as `head`, is no failure.
fn print_text(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn meaning(finding: Finding) -> &'static str {
    match finding {
        Finding::Unbalanced => "currencies whose postings do not sum to zero",
        Finding::Balance => "users whose balance is not the sum of their postings",
        Finding::Orphan => "accounts with postings that no user has in this currency",
        Finding::Payment => "payments that do not agree with the journal",
        Finding::Refunds => "payments whose refunds do not sum up",
        Finding::Refund => "refunds that do not agree with the journal",
        Finding::Cancel => "cancelled payments that have not given back what they took",
    }
}

/// A database that would have to be made first holds no books to vouch for, and no users.
fn is_there(config: &Config) -> anyhow::Result<()> {
    let file = config.store.url.reveal().strip_prefix("sqlite:").filter(|path| *path != ":memory:");
    let missing = file.filter(|path| !std::path::Path::new(path).exists());
    missing.map_or(Ok(()), |path| {
        anyhow::bail!("store.url: the file {path} is not there; name the database with --database")
    })
}

fn open_store(config: &Config) -> anyhow::Result<Store> {
    let url = config.store.url.reveal();
    Store::open_with(url, &config.store.options())
        .with_context(|| format!("store.url cannot be opened ({})", Store::describe(url)))
}

fn block_on<F: Future>(work: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
