//! A user with a wallet and an account, a terminal, and the servers behind them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alipayplus::{Amount, Currency};
use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::payment::CdcvmMethod;
use nfcwallet_core::{Wallet, WalletConfig};
use nfcwallet_sandbox::checkout::Payment;
use nfcwallet_sandbox::control::{AuthorisationEvent, EventView, PaymentView};
use nfcwallet_sandbox::device::{SimPhone, TokioClock};
use nfcwallet_sandbox::issuer::{Authority, Issuer, IssuerConfig};
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::relay::HttpProxy;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than any repeat of the gateway or the provider takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// What alice has at first: 100.00 EUR.
pub(crate) const OPENING: u64 = 10_000;

pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    wallet: Wallet,
    /// The app's own line to its server.
    pub(crate) app: HttpProxy,
    taps: u32,
    _folder: TempDir,
    _phone: SimPhone,
}

pub(crate) fn euro(minor: u64) -> Amount {
    Amount::new(Currency::from_code("EUR").unwrap(), minor)
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Repeats come soon, so that a test waits for them.
    pub(crate) fn with(change: impl FnOnce(&mut SandboxConfig)) -> Self {
        let mut config = SandboxConfig::default();
        config.provider.accounts.opening_balance = OPENING;
        config.provider.notices.poll_ms = 20;
        config.gateway.repeats_ms = vec![20];
        change(&mut config);
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let sandbox = Sandbox::start_with(config, issuer).unwrap();
        // Noon in UTC+8, so that no day ends between two steps.
        let clock = sandbox.service().clock();
        let day_ms = 86_400_000;
        clock.set_offset_ms((4 * 3_600_000 - clock.now_ms()).rem_euclid(day_ms));
        let folder = tempfile::tempdir().unwrap();
        let app = sandbox.proxy("alice").unwrap();
        let proxy = Arc::new(app.clone());
        let mut phone = SimPhone::new(&folder.path().join("hardware"), proxy, sandbox.runtime().clone()).unwrap();
        phone.clock = Arc::new(TokioClock::new(sandbox.runtime().clone()).with_shorter_pauses(20));
        let settings = WalletConfig::new(folder.path().join("wallet"), "sandbox-mpp", sandbox.trust_key());
        let wallet = Wallet::init(settings, phone.host()).unwrap();
        sandbox.runtime().block_on(wallet.connect("alice")).unwrap();
        sandbox.runtime().block_on(wallet.activate(ActivationMode::Manual, phone.recorder.clone())).unwrap();
        Self { sandbox, wallet, app, taps: 0, _folder: folder, _phone: phone }
    }

    pub(crate) fn run<T>(&self, task: impl Future<Output = T>) -> T {
        self.sandbox.runtime().block_on(task)
    }

    pub(crate) fn tap(&mut self, minor: u64) -> Payment {
        self.tap_in(minor, 978)
    }

    pub(crate) fn tap_in(&mut self, minor: u64, currency: u16) -> Payment {
        self.taps += 1;
        let now_ms = self.sandbox.service().clock().now_ms();
        // No amount here is about the user's presence.
        self.wallet.authenticate(CdcvmMethod::Fingerprint).unwrap();
        self.pay(&Purchase::new(minor, currency, now_ms, self.taps.to_be_bytes()))
    }

    pub(crate) fn pay(&self, purchase: &Purchase) -> Payment {
        self.sandbox.checkout().pay(&mut |apdu| Ok(self.wallet.process_apdu(apdu)), purchase).unwrap()
    }

    /// A tap that is paid.
    pub(crate) fn paid(&mut self, minor: u64) -> Payment {
        let payment = self.tap(minor);
        assert!(payment.outcome.is_approved(), "{}", payment.outcome);
        payment
    }

    pub(crate) fn balance(&self) -> u64 {
        self.run(self.sandbox.control().account("alice")).unwrap().balance.value
    }

    pub(crate) fn ask(&self, path: &str) -> Value {
        self.run(self.app.ask(path)).unwrap()
    }

    /// Something happens to the tap; the calls that the provider got.
    pub(crate) fn happens(&self, payment: &Payment, what: AuthorisationEvent) -> EventView {
        self.run(self.sandbox.control().scheme(&authorisation(payment), None, what)).unwrap()
    }

    pub(crate) fn gateway(&self, payment: &Payment) -> PaymentView {
        self.sandbox.control().tap(&authorisation(payment)).unwrap()
    }

    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what} never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Issuer, gateway and provider tell the same, and every signature was right.
    pub(crate) fn books_agree(&self) {
        let read = |desk: &Self| desk.run(desk.sandbox.control().books()).unwrap();
        self.wait_until("the last answer", |desk| read(desk).waiting_calls == 0);
        let books = read(self);
        assert!(books.agree, "{books:?}");
    }
}

pub(crate) fn authorisation(payment: &Payment) -> String {
    payment.provider.as_ref().unwrap().authorisation.clone().unwrap()
}

pub(crate) fn calls(event: &EventView) -> Vec<(&str, u64)> {
    assert!(event.is_done(), "{event:?}");
    event.calls.iter().map(|call| (call.api, call.amount.value)).collect()
}
