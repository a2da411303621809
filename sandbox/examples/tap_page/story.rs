//! The taps of the page, run: servers from a fixed seed, a wallet with the machine's randomness.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nfcwallet_core::activation::{ActivationMode, ActivationProgress};
use nfcwallet_core::card::tlv::Tlv;
use nfcwallet_core::host::{ActivationListener, Deadlines, Delivered, HostError, MonitorEvent, PermitDecision};
use nfcwallet_core::payment::CdcvmMethod;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::checkout::{Payment, PaymentOutcome};
use nfcwallet_sandbox::device::{AppEvent, SimPhone};
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};

/// Keys of authority and issuer, so that the page has the same CA key each time it is written.
const SEED: [u8; 32] = *b"the taps of the documentation...";
const USER: &str = "alice";
const EURO: u16 = 978;
/// ISO 18245: commuter transport.
const TRANSIT: u16 = 4111;
/// Tag of the application transaction counter.
const ATC: u32 = 0x9F36;
/// For the app's side: its events come from threads of their own.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run: the terminal's trust, and each tap.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) ca_key: CaPublicKey,
    pub(crate) taps: [Tap; 6],
}

/// The taps in the order of the page, which is that of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Approved,
    SeePhone,
    Authenticated,
    Declined,
    Locked,
    Transit,
}

impl Case {
    pub(crate) const ALL: [Self; 6] =
        [Self::Approved, Self::SeePhone, Self::Authenticated, Self::Declined, Self::Locked, Self::Transit];

    /// What is paid, at a date that the terminal's clock says. The terminal's number is drawn at random
    /// in the field.
    pub(crate) fn purchase(self, now_ms: i64) -> Purchase {
        let plain = |minor, number| Purchase::new(minor, EURO, now_ms, number);
        match self {
            Self::Approved => plain(12_50, [0x1A, 0x2B, 0x3C, 0x01]),
            Self::SeePhone => plain(80_00, [0x1A, 0x2B, 0x3C, 0x02]),
            Self::Authenticated => plain(80_00, [0x1A, 0x2B, 0x3C, 0x03]),
            Self::Declined => plain(12_50, [0x1A, 0x2B, 0x3C, 0x04]),
            Self::Locked => plain(12_50, [0x1A, 0x2B, 0x3C, 0x05]),
            Self::Transit => Purchase {
                merchant_category: TRANSIT,
                merchant_name: "Sandbox Transit".to_owned(),
                ..plain(0, [0x1A, 0x2B, 0x3C, 0x06])
            },
        }
    }

    /// The reference that the app sets before the tap.
    fn reference(self) -> Option<&'static [u8; 8]> {
        match self {
            Self::Approved => Some(b"ORDER-01"),
            Self::SeePhone | Self::Authenticated => Some(b"ORDER-02"),
            Self::Transit => Some(b"GATE-001"),
            Self::Declined | Self::Locked => None,
        }
    }

    fn is_right(self, outcome: &PaymentOutcome) -> bool {
        match self {
            Self::Approved | Self::Authenticated | Self::Transit => outcome.is_approved(),
            Self::SeePhone => *outcome == PaymentOutcome::SeePhone,
            Self::Declined => matches!(outcome, PaymentOutcome::Declined(_)),
            Self::Locked => matches!(outcome, PaymentOutcome::NotAccepted(_)),
        }
    }
}

/// One tap from all sides.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub(crate) case: Case,
    /// At the terminal and the issuer.
    pub(crate) payment: Payment,
    /// What the app heard.
    pub(crate) heard: Vec<String>,
    /// Usable credentials before and after.
    pub(crate) stock: (u32, u32),
}

impl Tap {
    /// Tag 9F36 of the last answer.
    pub(crate) fn atc(&self) -> Option<u16> {
        let (data, _) = self.payment.trace.last()?.response.split_last_chunk::<2>()?;
        let mut atc = None;
        let mut visit = |object: Tlv<'_>| {
            if object.tag.number() == ATC {
                atc = object.value.try_into().ok().map(u16::from_be_bytes);
            }
        };
        Tlv::for_each_primitive(data, &mut visit).ok()?;
        atc
    }
}

/// Runs the taps. Blocks for a second or some.
pub(crate) fn run() -> Result<Story> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::start(folder.path())?;
    let approved = scene.tap(Case::Approved)?;
    let see_phone = scene.tap(Case::SeePhone)?;
    scene.wallet.authenticate(CdcvmMethod::Fingerprint)?;
    let authenticated = scene.tap(Case::Authenticated)?;
    scene.phone.permit.answer(Ok(PermitDecision::Decline));
    let declined = scene.tap(Case::Declined)?;
    scene.phone.permit.answer(Ok(PermitDecision::Proceed));
    scene.sandbox.runtime().block_on(scene.wallet.lock())?;
    let locked = scene.tap(Case::Locked)?;
    scene.sandbox.runtime().block_on(scene.wallet.unlock())?;
    let transit = scene.tap(Case::Transit)?;
    let taps = [approved, see_phone, authenticated, declined, locked, transit];
    Ok(Story { ca_key: scene.sandbox.issuer().ca_public_key(), taps })
}

/// Servers, phone and wallet.
struct Scene {
    sandbox: Sandbox,
    phone: SimPhone,
    wallet: Wallet,
}

impl Scene {
    /// A wallet that is ready to pay, with transit switched on by its app.
    fn start(folder: &Path) -> Result<Self> {
        let sandbox = Sandbox::start(SandboxConfig { seed: Some(SEED), ..SandboxConfig::default() })?;
        let runtime = sandbox.runtime().clone();
        let proxy = Arc::new(sandbox.proxy(USER)?);
        let phone = SimPhone::new(&folder.join("hardware"), proxy, runtime.clone())?;
        let config = WalletConfig::new(folder.join("wallet"), "my-mpp", sandbox.trust_key());
        // A machine with much to do may answer later than the 100 ms of a phone.
        let deadlines = Deadlines { device_state: PATIENCE, permit: PATIENCE, ..Deadlines::default() };
        let config = WalletConfig { support_transit: true, deadlines, ..config };
        let wallet = Wallet::init(config, phone.host())?;
        runtime.block_on(wallet.connect(USER))?;
        runtime.block_on(wallet.activate(ActivationMode::Manual, Arc::new(NoBar)))?;
        Ok(Self { sandbox, phone, wallet })
    }

    fn tap(&self, case: Case) -> Result<Tap> {
        if let Some(reference) = case.reference() {
            self.wallet.set_transaction_reference(reference)?;
        }
        let before = self.wallet.credentials()?.usable;
        drop(self.phone.recorder.take());
        let purchase = case.purchase(self.sandbox.service().clock().now_ms());
        let payment = self.sandbox.checkout().pay(&mut |apdu| Ok(self.wallet.process_apdu(apdu)), &purchase)?;
        let heard = self.listen()?;
        let stock = (before, self.wallet.credentials()?.usable);
        ensure!(case.is_right(&payment.outcome), "{case:?}: {}; the app heard {heard:?}", payment.outcome);
        Ok(Tap { case, payment, heard, stock })
    }

    /// Waits for the one end of the tap at the listener and at the monitor.
    fn listen(&self) -> Result<Vec<String>> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let events = self.phone.recorder.events();
            let ended = events.iter().any(|event| matches!(event, AppEvent::Completed(..) | AppEvent::Failed(..)));
            if ended && events.iter().any(|event| measured(event).is_some()) {
                return told(&events);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the app heard of no end: {:?}", self.phone.recorder.events())
    }
}

/// The listener's calls in their order, then the monitor's, which comes on a thread of its own.
fn told(events: &[AppEvent]) -> Result<Vec<String>> {
    let mut heard = Vec::new();
    for event in events {
        match event {
            AppEvent::Started(_) => heard.push("`on_start`".to_owned()),
            AppEvent::AuthRequired(..) => heard.push("`on_auth_required`".to_owned()),
            AppEvent::Completed(..) => heard.push("`on_complete` (10000)".to_owned()),
            AppEvent::Failed(_, failure, _) => heard.push(format!("`on_failed` {} ({failure})", failure.code())),
            _ => {}
        }
    }
    let monitor = events.iter().find_map(measured).context("the monitor heard nothing")?;
    let fields: Vec<_> = monitor.fields.iter().map(|(name, value)| format!("`{name}` {value}")).collect();
    heard.push(format!("monitor: `{}` with {}", monitor.id, fields.join(", ")));
    Ok(heard)
}

fn measured(event: &AppEvent) -> Option<&MonitorEvent> {
    match event {
        AppEvent::Measured(event) if event.id == "EVENT_TRANSACTION" => Some(event),
        _ => None,
    }
}

/// Nobody looks at the progress.
struct NoBar;

impl ActivationListener for NoBar {
    fn on_progress(&self, _: ActivationProgress) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        Ok(Delivered::Done)
    }
}
