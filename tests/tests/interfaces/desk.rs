//! A wallet, its phone, a terminal and an issuer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::host::{Deadlines, Host};
use nfcwallet_core::payment::{TapFailure, TransactionRecord};
use nfcwallet_core::token::TokenStatus;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::device::{AppEvent, SimPhone};
use nfcwallet_sandbox::issuer::{Authority, CardShape, Issuer, IssuerConfig, Personalisation};
use nfcwallet_sandbox::pos::{Outcome, Purchase, Terminal};
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use tempfile::TempDir;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    /// Of the wallet that is opened next.
    pub(crate) deadlines: Deadlines,
    folder: TempDir,
    pub(crate) phone: SimPhone,
}

/// How a tap ended at the terminal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Till {
    /// With this reference at the issuer.
    Online([u8; 8]),
    Other(String),
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with_cards(CardShape::Phone)
    }

    pub(crate) fn with_cards(shape: CardShape) -> Self {
        let personalisation = Personalisation { shape, ..Personalisation::default() };
        let config = IssuerConfig { personalisation, ..IssuerConfig::default() };
        let issuer = Issuer::under(Authority::shared().unwrap(), config).unwrap();
        let sandbox = Sandbox::start_with(SandboxConfig::default(), issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let proxy = Arc::new(sandbox.proxy("alice").unwrap());
        let mut phone = SimPhone::new(&folder.path().join("hardware"), proxy, sandbox.runtime().clone()).unwrap();
        let clock = nfcwallet_sandbox::device::TokioClock::new(sandbox.runtime().clone());
        phone.clock = Arc::new(clock.with_shorter_pauses(20));
        Self { sandbox, deadlines: Deadlines::default(), folder, phone }
    }

    /// Permit and device may take their time: what counts is what they do, not how fast this machine is.
    pub(crate) fn patient() -> Self {
        let deadlines = Deadlines { permit: PATIENCE, device_state: PATIENCE, ..Deadlines::default() };
        Self { deadlines, ..Self::new() }
    }

    pub(crate) fn config(&self) -> WalletConfig {
        let folder = self.folder.path().join("wallet");
        let config = WalletConfig::new(folder, "sandbox-mpp", self.sandbox.trust_key());
        WalletConfig { deadlines: self.deadlines, ..config }
    }

    pub(crate) fn open(&self, host: Host) -> Wallet {
        Wallet::init(self.config(), host).unwrap()
    }

    pub(crate) fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.sandbox.runtime().block_on(call)
    }

    /// A wallet that is ready to pay; the recorder is empty.
    pub(crate) fn ready(&self, host: Host) -> Wallet {
        let wallet = self.open(host);
        self.run(wallet.connect("alice")).unwrap();
        self.run(wallet.activate(ActivationMode::Manual, self.phone.recorder.clone())).unwrap();
        assert_eq!(wallet.token_status(), TokenStatus::Ready);
        self.hears("the activation's end", |events| events.contains(&AppEvent::Activated));
        drop(self.phone.recorder.take());
        wallet
    }

    /// One tap of an amount in cents.
    pub(crate) fn pay(&self, wallet: &Wallet, minor: u64) -> Till {
        let now_ms = self.sandbox.service().clock().now_ms();
        let purchase = Purchase::new(minor, 978, now_ms, u32::try_from(minor).unwrap().to_be_bytes());
        let terminal = Terminal::new([Authority::shared().unwrap().ca_public_key()]);
        let tap = terminal.tap(&mut |apdu: &[u8]| Ok(wallet.process_apdu(apdu)), &purchase);
        match &tap.outcome {
            Outcome::Online(request) => {
                let answer = self.sandbox.issuer().authorise(request, now_ms).unwrap();
                Till::Online(answer.reference.unwrap())
            }
            other => Till::Other(format!("{other:?}")),
        }
    }

    /// Waits until the recorder's events satisfy `wanted`.
    pub(crate) fn hears(&self, what: &str, wanted: impl Fn(&[AppEvent]) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(&self.phone.recorder.events()) {
            assert!(Instant::now() < until, "{what} was never told: {:?}", self.phone.recorder.events());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The failures of the next `count` taps to fail.
    pub(crate) fn failures(&self, count: usize) -> Vec<TapFailure> {
        let of = |events: &[AppEvent]| -> Vec<TapFailure> {
            events
                .iter()
                .filter_map(|event| if let AppEvent::Failed(_, why, _) = event { Some(*why) } else { None })
                .collect()
        };
        self.hears("a failure", |events| of(events).len() >= count);
        of(&self.phone.recorder.events())
    }

    /// The record of the next completed tap.
    pub(crate) fn completed(&self) -> TransactionRecord {
        let of = |events: &[AppEvent]| {
            events
                .iter()
                .find_map(|event| if let AppEvent::Completed(_, record) = event { Some(record.clone()) } else { None })
        };
        self.hears("a completion", |events| of(events).is_some());
        of(&self.phone.recorder.events()).unwrap()
    }
}

/// SELECT of the PPSE.
pub(crate) fn select_ppse() -> Vec<u8> {
    let mut command = vec![0x00, 0xA4, 0x04, 0x00, 14];
    command.extend_from_slice(b"2PAY.SYS.DDF01");
    command.push(0);
    command
}
