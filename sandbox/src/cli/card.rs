//! `card`: a wallet as the card in a virtual PC/SC reader.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};
use iso_currency::Currency;
use nfcwallet_sandbox::checkout::Amount;
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::phone::{Call, CallError, Event, Phone};
use nfcwallet_sandbox::pos::Exchange;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use nfcwallet_sandbox::vpcd::{Card, Power, Slot, SlotError};
use nfcwallet_sandbox::with_causes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::handset::{self, Holder, tap_meaning};
use super::screen::{self, Screen, Target};
use super::serve::{Served, StopSignal};
use super::{Pace, advice, tap};

/// Under `card --help`.
pub(crate) const EXAMPLE: &str = "Example, in a network of its own, since vpcd listens on all interfaces \
(docs/pcsc.md):\n  sudo unshare --mount --net\n  ip link set lo up\n  mkdir -p /run/pcscd && mount -t tmpfs none \
/run/pcscd\n  pcscd --foreground &\n  nfcwallet-sandbox card &\n  opensc-tool --reader 0 --atr";

/// A card with contactless protocol T=1 and no historical bytes (ISO/IEC 7816-3, 8; PC/SC part 3).
const ATR: [u8; 5] = [0x3B, 0x80, 0x80, 0x01, 0x01];
/// SELECT (ISO/IEC 7816-4, 11.2.2).
const SELECT: u8 = 0xA4;
/// pcscd asks for the ATR every 0.4 s.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// A reader that is being restarted is back by then.
const RETURN_PATIENCE: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How often the wallet's events are looked for.
const GLANCE: Duration = Duration::from_millis(20);
/// By how much a signal may be seen later than its effect on the phone.
const SIGNAL_LAG: Duration = Duration::from_millis(200);

/// Options of `card`.
#[derive(Debug, clap::Args)]
pub(crate) struct CardOptions {
    /// Where the virtual reader listens; its second slot is the next port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:35963")]
    vpcd: String,
    /// Whose card it is
    #[arg(long, default_value = "alice")]
    user: String,
    /// The folder of a running `serve`, whose phone of that user is used, as by `tap`; without it, servers
    /// and phone of its own, gone afterwards
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The user proves presence whenever the card is selected, as payments above 50.00 EUR need it
    #[arg(long)]
    authenticate: bool,
    /// The phone pays at transit gates: amount 0 at merchant category 4111, 4131, 4784 or 7523
    #[arg(long)]
    transit: bool,
    /// Print every command and answer; with --json, on standard error
    #[arg(long, visible_alias = "trace")]
    verbose: bool,
    /// Print one JSON object a line: the card's coming and going, and the wallet's events as in
    /// docs/phone-protocol.md
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: CardOptions) -> Result<ExitCode> {
    if let Err(error) = tap::check_user(&options.user) {
        return Ok(screen::wrong_usage(&error));
    }
    let runtime = Runtime::new().context("no threads")?;
    let stop = {
        let _context = runtime.enter();
        StopSignal::new()?
    };
    // The reader's slot first: the rest is in vain without it. It waits until the card speaks.
    let slot = connect(&options.vpcd)?;
    // Dropped at every end of this function, and with it the phone that lives in it.
    let folder = TempDir::with_prefix("nfcwallet-card-").context("no temporary folder")?;
    let servers = Servers::for_card(&options, folder.path(), &runtime)?;
    let phone = Arc::new(OnceLock::new());
    let (told, ended) = tokio::sync::oneshot::channel();
    let its_phone = Arc::clone(&phone);
    std::thread::Builder::new().name("card".to_owned()).spawn(move || {
        // Nobody listens any more after a signal.
        drop(told.send(present(&options, slot, &servers, &its_phone)));
    })?;
    let failure = runtime.block_on(async {
        let mut stop = pin!(stop.wait());
        let end = tokio::select! {
            end = ended => end,
            () = &mut stop => return None,
        };
        // Ctrl-C ends the phone too, and that may be seen first.
        let stopped = tokio::time::timeout(SIGNAL_LAG, stop).await.is_ok();
        (!stopped).then(|| end.map_or_else(|_| Error::msg("the card panicked"), |Err(error)| error))
    });
    // A phone that has heard the signal itself is gone.
    drop(phone.get().map(|phone: &Phone| phone.call(Call::Shutdown)));
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// What the phone talks to, and what terminals need to know of it.
struct Servers {
    holder: Holder,
    control: SocketAddr,
    ca_keys: Vec<CaPublicKey>,
    /// They run as long as it is held.
    _own: Option<Sandbox>,
}

impl Servers {
    fn for_card(options: &CardOptions, folder: &Path, runtime: &Runtime) -> Result<Self> {
        if let Some(data) = &options.data {
            let served = Served::running(data, runtime)?;
            let directory = data.join(format!("phone-{}", options.user));
            let holder = Holder { directory, mpp: served.mpp, trust_key: served.trust_key };
            return Ok(Self { holder, control: served.control, ca_keys: served.ca_keys, _own: None });
        }
        let sandbox = Sandbox::start(SandboxConfig::default()).context("the servers did not start")?;
        sandbox.service().set_policy(Pace::Fast.policy());
        let trust_key = hex::encode(sandbox.trust_key());
        let (mpp, control) = (sandbox.addresses().mpp, sandbox.addresses().control);
        let holder = Holder { directory: folder.join("phone"), mpp, trust_key };
        Ok(Self { holder, control, ca_keys: vec![sandbox.issuer().ca_public_key()], _own: Some(sandbox) })
    }
}

/// Makes the wallet ready and holds it in the slot. Only a failure ends it.
fn present(options: &CardOptions, slot: Slot, servers: &Servers, cell: &OnceLock<Phone>) -> Result<Infallible> {
    let screen = Screen::new(Target::beside_report(options.json, options.verbose), options.verbose);
    let transit = if options.transit { vec!["--transit".into()] } else { Vec::new() };
    let phone = servers.holder.start(transit)?;
    let phone = cell.get_or_init(|| phone);
    tap::make_ready(phone, &options.user, &screen)?;
    screen.fact(&format!("control API on {} (docs/sandbox.md)", servers.control));
    let teller = Teller { options, screen: &screen, servers, phone };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                phone.events().iter().for_each(|event| teller.event(event));
                std::thread::sleep(GLANCE);
            }
        });
        let end = hold(slot, &teller);
        over.store(true, Ordering::Relaxed);
        end
    })
}

/// In the slot, and in again when the reader has come back.
fn hold(mut slot: Slot, teller: &Teller<'_>) -> Result<Infallible> {
    loop {
        if !slot.is_asked_within(REQUEST_PATIENCE).unwrap_or(true) {
            teller.waiting();
        }
        let mut card = WalletCard { teller, is_in: false };
        match slot.serve(&mut card) {
            Err(SlotError::Card(error)) => return Err(error.into()),
            Ok(()) => teller.removed("it closed the connection"),
            Err(error) => teller.removed(&with_causes(&error)),
        }
        drop(slot);
        slot = connect_again(&teller.options.vpcd)?;
    }
}

fn connect(reader: &str) -> Result<Slot> {
    Slot::connect(reader).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => Error::msg(format!("vpcd: `{reader}` is no HOST:PORT, for example 127.0.0.1:35963")),
        _ => Error::msg(format!(
            "no reader at {reader}: {error}; start pcscd with the driver vpcd first: `card --help` and docs/pcsc.md show how"
        )),
    })
}

fn connect_again(reader: &str) -> Result<Slot> {
    let until = Instant::now() + RETURN_PATIENCE;
    loop {
        match Slot::connect(reader) {
            Ok(slot) => return Ok(slot),
            Err(error) if Instant::now() > until => bail!(
                "the reader at {reader} did not come back within {} s: {error}; start pcscd, then this command, again",
                RETURN_PATIENCE.as_secs()
            ),
            Err(_) => std::thread::sleep(RETRY_PAUSE),
        }
    }
}

/// The phone as a card.
struct WalletCard<'a> {
    teller: &'a Teller<'a>,
    /// The reader has asked for it.
    is_in: bool,
}

impl Card for WalletCard<'_> {
    type Error = CallError;

    fn atr(&mut self) -> Vec<u8> {
        if !std::mem::replace(&mut self.is_in, true) {
            self.teller.inserted();
        }
        ATR.to_vec()
    }

    fn power(&mut self, _change: Power) -> Result<(), CallError> {
        // Whichever way the supply changes, the field was away.
        self.teller.phone.call(Call::FieldLost).map(drop)
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, CallError> {
        let Teller { options, screen, phone, .. } = self.teller;
        if options.authenticate && command.get(1) == Some(&SELECT) {
            phone.call(Call::Authenticate)?;
        }
        let started = Instant::now();
        let answer = phone.apdu(command)?;
        screen.trace(&[Exchange::new(command.to_vec(), answer.clone(), started.elapsed())]);
        Ok(answer)
    }
}

/// Says what happens: a line for people, or one for programs.
struct Teller<'a> {
    options: &'a CardOptions,
    screen: &'a Screen,
    servers: &'a Servers,
    phone: &'a Phone,
}

impl Teller<'_> {
    fn inserted(&self) {
        let (reader, atr) = (&self.options.vpcd, hex::encode_upper(ATR));
        let Servers { control, ca_keys, .. } = self.servers;
        self.tell(
            &format!("the card is in the reader at {reader}, ATR {atr}; Ctrl-C takes it out"),
            json!({ "event": "inserted", "reader": reader, "atr": atr, "control": control, "ca_keys": ca_keys }),
        );
    }

    fn waiting(&self) {
        let reader = &self.options.vpcd;
        let seconds = REQUEST_PATIENCE.as_secs();
        self.tell(
            &format!(
                "the reader at {reader} has not taken the card for {seconds} s: is another one in this slot? Waiting"
            ),
            json!({ "event": "waiting", "reader": reader }),
        );
    }

    fn removed(&self, reason: &str) {
        let seconds = RETURN_PATIENCE.as_secs();
        self.tell(
            &format!("the reader went away: {reason}; waiting {seconds} s for it to come back"),
            json!({ "event": "removed", "reason": reason }),
        );
    }

    fn event(&self, event: &Event) {
        let words = match event {
            Event::Start { tap } => format!("tap {tap}: started"),
            Event::Complete { tap, amount_minor, currency, atc, reference } => format!(
                "tap {tap}: complete, {}, counter {atc:04X}, reference {}{}",
                amount(*amount_minor, *currency),
                reference.to_uppercase(),
                self.stock_in_words()
            ),
            Event::Failed { tap, code, .. } => {
                let advice = advice::next_step(*code).map(|advice| format!("; {advice}")).unwrap_or_default();
                format!("tap {tap}: failed, code {code} ({}){advice}", tap_meaning(*code))
            }
            // The rest is for programs.
            _ => String::new(),
        };
        self.tell(&words, serde_json::to_value(event).unwrap_or_default());
    }

    fn stock_in_words(&self) -> String {
        handset::stock(self.phone).map(|stock| format!(", {} credentials left", stock.usable)).unwrap_or_default()
    }

    fn tell(&self, words: &str, line: Value) {
        if self.options.json {
            // A program that has read enough (`| head`) is no failure of the card.
            drop(screen::report_line(&line));
        } else if !words.is_empty() {
            self.screen.line(words);
        }
    }
}

/// A terminal can send any number as its currency.
fn amount(minor: u64, currency: u16) -> String {
    let known = Currency::from_numeric(currency).and_then(|known| Amount::of_minor(minor, known.code()).ok());
    known.map_or_else(|| format!("{minor} in currency {currency:03}"), |amount| amount.to_string())
}
