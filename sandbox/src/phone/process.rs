//! The phone's end: opens a wallet and obeys the lines on standard input until they end.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use nfcwallet_core::card::profile::CvmLimit;
use nfcwallet_core::host::{Deadlines, Host, OsEntropy, TestClock};
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_faults::Disk;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::commands::{Commands, line, misuse};
use super::hooks::{Behaviour, Lines, PhoneKeyStore, PhoneProxy};
use super::protocol::{Call, Event, HostChange, Line, Request};
use crate::device::{SoftKeyStore, TokioClock, TokioSpawner};

/// How a phone process starts.
#[derive(Debug, Clone, clap::Args)]
pub struct PhoneOptions {
    /// Folder of this phone: its wallet and its simulated hardware keys.
    #[arg(long)]
    pub directory: PathBuf,
    /// Address of the app's server, as `serve` prints it, for example 127.0.0.1:8080; with or without http://.
    #[arg(long, value_parser = address)]
    pub mpp: SocketAddr,
    /// The service's trust key in hex, as `serve` prints it.
    #[arg(long, value_name = "HEX", value_parser = hex_digits)]
    pub trust_key: String,
    /// The user that is logged in at the app's server from the start.
    #[arg(long)]
    pub user: Option<String>,
    /// Clock that skips the pauses of polling and obeys the driver.
    #[arg(long)]
    pub test_clock: bool,
    /// Deadline of the proxy in milliseconds.
    #[arg(long, default_value_t = 15_000)]
    pub proxy_deadline_ms: u64,
    /// Deadline of the key store in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    pub key_store_deadline_ms: u64,
    /// Deadline of permit and device state in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub tap_deadline_ms: u64,
    /// How the key store behaves from the start: `locked`, `invalidated`, `fail`, `hang`.
    #[arg(long)]
    pub key_store: Option<String>,
    /// Writes everything that the wallet logs, down to the finest level, to this file.
    #[arg(long)]
    pub log_file: Option<PathBuf>,
    /// Cuts the power of the wallet's disk at its N-th write or sync, and ends the process there.
    #[arg(long, value_name = "N")]
    pub cut_power_at: Option<u64>,
    /// Decides what of the unsynced writes is lost, torn or reordered.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub cut_seed: u64,
    /// Allow transit taps.
    #[arg(long)]
    pub transit: bool,
    /// Allow transit taps with the screen locked.
    #[arg(long)]
    pub locked_transit: bool,
    /// How many transactions are kept.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub history_limit: u32,
    /// Ask for the user above this amount: currency by number, colon, minor units, for example 978:2000.
    #[arg(long, value_parser = limit)]
    pub password_free: Vec<CvmLimit>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").map_or(text, |rest| rest.trim_end_matches('/'));
    bare.parse().map_err(|_| "is no IP address with a port".to_owned())
}

fn hex_digits(text: &str) -> Result<String, String> {
    hex::decode(text).map(|_| text.to_owned()).map_err(|error| format!("is no hex: {error}"))
}

fn limit(text: &str) -> Result<CvmLimit, String> {
    let (currency, amount) = text.split_once(':').ok_or("has no colon")?;
    let currency = currency.parse().map_err(|_| "the currency is no number")?;
    let amount_minor = amount.parse().map_err(|_| "the amount is no number")?;
    Ok(CvmLimit { currency, amount_minor })
}

/// Runs a phone until its standard input ends. A wallet that does not open is told to the driver as a
/// line, and with exit code 1.
///
/// # Errors
/// When the runtime cannot be started, or the folder cannot be used.
pub fn run(options: &PhoneOptions) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Some(path) = &options.log_file {
        let file = std::fs::File::create(path).with_context(|| format!("--log-file: {}", path.display()))?;
        let level = tracing_subscriber::filter::LevelFilter::TRACE;
        tracing_subscriber::fmt().with_max_level(level).with_writer(Mutex::new(file)).with_ansi(false).init();
    }
    // A panic of the host is a fault that was asked for; a backtrace would outlast the deadline that
    // it tests.
    std::panic::set_hook(Box::new(|info| tracing::warn!(%info, "panicked")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let lines = Arc::new(Lines::default());
    let code = match open(options, &runtime, &lines) {
        Ok(commands) => {
            let status = commands.wallet.token_status().code();
            let millis = started.elapsed().as_secs_f64() * 1_000.0;
            lines.write(&Line::Event(Event::Ready { status, millis }));
            obey(&Arc::new(commands), &runtime, &lines);
            ExitCode::SUCCESS
        }
        Err(error) => match error.downcast_ref() {
            Some(wallet_error) => {
                lines.write(&Line::Event(Event::NotOpened { error: line(wallet_error) }));
                ExitCode::FAILURE
            }
            None => return Err(error),
        },
    };
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(code)
}

fn open(options: &PhoneOptions, runtime: &Runtime, lines: &Arc<Lines>) -> anyhow::Result<Commands> {
    let behaviour = Arc::new(Behaviour::new(Arc::clone(lines)));
    let proxy = Arc::new(PhoneProxy::new(options.mpp, runtime.handle().clone(), Arc::clone(&behaviour)));
    if let Some(fault) = &options.key_store {
        let key_store = Some(serde_json::from_value(fault.as_str().into()).context("--key-store")?);
        behaviour.change(HostChange { key_store, ..HostChange::default() });
    }
    if let Some(user) = &options.user {
        drop(runtime.block_on(proxy.log_in(user)));
    }
    let test_clock = options.test_clock.then(TestClock::default);
    let real = Arc::new(TokioClock::new(runtime.handle().clone()));
    let clock = test_clock.as_ref().map_or_else(|| Arc::clone(&real) as _, |test| test.over(Arc::clone(&real) as _));
    let hardware = options.directory.join("hardware");
    let keys = SoftKeyStore::open(&hardware).with_context(|| format!("--directory: {}", hardware.display()))?;
    let host = Host {
        proxy: Arc::clone(&proxy) as _,
        key_store: Arc::new(PhoneKeyStore { inner: Arc::new(keys), behaviour: Arc::clone(&behaviour) }),
        device: Arc::clone(&behaviour) as _,
        permit: Arc::clone(&behaviour) as _,
        transactions: Arc::clone(&behaviour) as _,
        activation: Arc::clone(&behaviour) as _,
        monitor: Arc::clone(&behaviour) as _,
        clock,
        spawner: Arc::new(TokioSpawner(runtime.handle().clone())),
        entropy: Arc::new(OsEntropy),
    };
    let directory = options.directory.join("wallet");
    if let Some(operation) = options.cut_power_at {
        std::fs::create_dir_all(&directory).with_context(|| format!("--directory: {}", directory.display()))?;
        let disk = Disk::install()?.folder(&directory);
        disk.when_cut(|| std::process::abort());
        disk.cut_power_at(operation, options.cut_seed);
    }
    let trust_key = hex::decode(&options.trust_key).context("--trust-key")?;
    let mut config = WalletConfig::new(directory, "sandbox-mpp", trust_key);
    config.history_limit = options.history_limit;
    config.support_transit = options.transit;
    config.support_lock_screen_pay = options.locked_transit;
    config.password_free_limits.clone_from(&options.password_free);
    config.deadlines = Deadlines {
        proxy: Duration::from_millis(options.proxy_deadline_ms),
        key_store: Duration::from_millis(options.key_store_deadline_ms),
        permit: Duration::from_millis(options.tap_deadline_ms),
        device_state: Duration::from_millis(options.tap_deadline_ms),
        ..Deadlines::default()
    };
    let wallet = Wallet::init(config, host)?;
    // `set` fails only when it was set before.
    drop(behaviour.wallet.set(wallet.clone()));
    Ok(Commands { wallet, behaviour, proxy, clock: test_clock })
}

/// APDUs and other short calls are answered in order; long ones run beside each other.
fn obey(commands: &Arc<Commands>, runtime: &Runtime, lines: &Arc<Lines>) {
    for text in std::io::stdin().lock().split(b'\n') {
        let Ok(text) = text else { return };
        let request = match understand(&text) {
            Ok(request) => request,
            Err(answer) => {
                lines.write(&answer);
                continue;
            }
        };
        let (commands, lines) = (Arc::clone(commands), Arc::clone(lines));
        let short = is_short(&request.call);
        let work = async move {
            let answer = commands.run(request.call).await;
            lines.write(&match answer {
                Ok(ok) => Line::Ok { id: request.id, ok },
                Err(error) => Line::Error { id: request.id, error },
            });
        };
        if short {
            runtime.block_on(work);
        } else {
            runtime.spawn(work);
        }
    }
}

/// The request, or what the driver hears instead: an error under its id, where the line has one.
fn understand(text: &[u8]) -> Result<Request, Line> {
    let read = serde_json::from_slice::<Value>(text);
    let id = read.as_ref().ok().and_then(|value| value.get("id")?.as_u64());
    // Of a number serde would take the call that stands there in the list.
    let named = read.and_then(|line| match line.get("call") {
        Some(call) if !call.is_string() => Err(serde::de::Error::custom("the call is no name")),
        _ => Ok(line),
    });
    named.and_then(serde_json::from_value).map_err(|error| match id {
        Some(id) => Line::Error { id, error: misuse(&error.to_string()) },
        None => Line::Event(Event::NotUnderstood { reason: error.to_string() }),
    })
}

fn is_short(call: &Call) -> bool {
    !matches!(
        call,
        Call::Connect { .. }
            | Call::Disconnect
            | Call::Sync
            | Call::Activate { .. }
            | Call::Confirm
            | Call::Replenish
            | Call::Lock
            | Call::Unlock
            | Call::Delete
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::protocol::Call;

    fn answer(text: &str) -> Value {
        serde_json::to_value(understand(text.as_bytes()).unwrap_err()).unwrap()
    }

    #[test]
    fn a_request_that_is_not_understood_is_answered_under_its_id() {
        for (text, words) in [
            (r#"{"id":3,"call":"foo"}"#, "unknown variant `foo`"),
            (r#"{"id":3,"call":"apdu"}"#, "missing field `hex`"),
            (r#"{"id":3}"#, "missing field `call`"),
            (r#"{"id":3,"call":7}"#, "the call is no name"),
            (r#"{"id":3,"call":"host","nfc_on":7}"#, "expected a boolean"),
        ] {
            let answer = answer(text);
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&3.into(), &10_011.into()), "{answer}");
            assert!(answer["error"]["text"].as_str().is_some_and(|said| said.contains(words)), "{words}: {answer}");
        }
    }

    #[test]
    fn a_line_without_an_id_is_told_as_an_event() {
        for text in ["nonsense", "", "[]", r#"{"call":"status"}"#, r#"{"id":"3","call":"status"}"#, "\u{FFFD}"] {
            let event = answer(text);
            assert_eq!(event["event"], "not_understood", "{text}");
            assert!(event["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{event}");
        }
        assert!(understand(b"{\"id\":1,\"call\":\"connect\",\"user\":\"\xFF\"}").is_err());
        let request = understand(br#" {"id":4,"call":"status"} "#).unwrap();
        assert_eq!((request.id, request.call), (4, Call::Status));
    }

    #[test]
    fn an_address_may_be_written_as_a_url() {
        for text in ["127.0.0.1:80", "http://127.0.0.1:80", "http://127.0.0.1:80/"] {
            assert_eq!(address(text).unwrap().port(), 80, "{text}");
        }
        assert!(address("https://127.0.0.1:80").is_err() && address("localhost").is_err());
        assert!(hex_digits("zz").is_err() && hex_digits("0").is_err());
    }
}
