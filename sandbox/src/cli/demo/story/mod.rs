//! The steps of the demo, and what must come of each.
//!
//! `life` is the card on the phone, `money` what becomes of payments; here is what both tell with.

mod life;
mod money;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use nfcwallet_sandbox::checkout::{Amount, Checkout, PaymentOutcome, PhonePayment};
use nfcwallet_sandbox::gateway::http::Journal;
use nfcwallet_sandbox::phone::Phone;
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::relay::HttpProxy;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::DemoOptions;
use super::report::{Report, Unexpected};
use crate::cli::Pace;
use crate::cli::handset::{self, Holder, tap_meaning};
use crate::cli::screen::Screen;

const USER: &str = "alice";
const CURRENCY: &str = "EUR";
/// What is on the user's account at first: 1,000.00 EUR.
const OPENING_BALANCE: u64 = 100_000;

/// The demo while it runs.
pub(super) struct Story<'a> {
    screen: &'a Screen,
    folder: &'a Path,
    pace: Pace,
    silent: bool,
    random: ChaCha20Rng,
    step: u32,
    title: String,
    report: Report,
    /// The signed calls, once there are servers, and how many of them were shown.
    journal: Option<Arc<Journal>>,
    calls_shown: u64,
}

/// The people and machines of the story, once they are there.
struct Scene {
    sandbox: Sandbox,
    checkout: Checkout,
    holder: Holder,
    /// The app's own line to its server, for what is not the wallet's business.
    app: HttpProxy,
}

impl<'a> Story<'a> {
    pub(super) fn new(options: &DemoOptions, seed: u64, folder: &'a Path, screen: &'a Screen) -> Self {
        let mut report = Report { seed, ..Report::default() };
        report.activation.mode = if options.silent { "silent" } else { "manual" };
        Self {
            screen,
            folder,
            pace: options.pace,
            silent: options.silent,
            random: ChaCha20Rng::seed_from_u64(seed),
            step: 0,
            title: "before the start".to_owned(),
            report,
            journal: None,
            calls_shown: 0,
        }
    }

    /// What was found, and at which step the story stands.
    pub(super) fn end(self) -> (Report, String) {
        (self.report, format!("{} ({})", self.step, self.title))
    }

    pub(super) fn tell(&mut self) -> Result<()> {
        let started = Instant::now();
        self.screen.line("A phone, a terminal, and the servers around them. Test keys and test cards only.");
        self.screen.line("Each `ok` is a check; the first that fails ends the demo.");
        self.screen.line(&self.screen.dim(&format!("The same again: --seed {}", self.report.seed)));
        let scene = self.start_the_servers()?;
        let phone = self.init(&scene)?;
        self.connect(&phone)?;
        if self.silent {
            self.activate_silently(&scene, &phone)?
        } else {
            self.activate(&phone)?
        }
        let first = self.first_tap(&scene, &phone)?;
        self.tap_until_refilled(&scene, &phone)?;
        self.pay_a_high_amount(&scene, &phone)?;
        self.pay_more_than_there_is(&scene, &phone)?;
        self.refund_in_parts(&scene, &first)?;
        self.cancel_on_the_same_day(&scene, &phone)?;
        self.reverse_on_the_next_day(&scene, &phone)?;
        self.refund_more_than_was_paid(&scene, &phone)?;
        self.refund_without_a_payment(&scene)?;
        self.lock_and_unlock(&scene, &phone)?;
        let phone = self.kill_and_start(&scene, phone)?;
        self.delete(&scene, &phone)?;
        self.compare_the_books(&scene)?;
        let seconds = started.elapsed().as_secs_f64();
        self.screen.line(&format!("All of it happened as told, in {seconds:.1} s."));
        Ok(())
    }

    fn start_the_servers(&mut self) -> Result<Scene> {
        self.next("The servers start on 127.0.0.1");
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let mut config = SandboxConfig { seed: Some(seed), ..SandboxConfig::default() };
        config.provider.accounts.opening_balance = OPENING_BALANCE;
        let sandbox = Sandbox::start(config).context("the servers did not start")?;
        sandbox.service().set_policy(self.pace.policy());
        self.journal = Some(Arc::clone(&sandbox.control().journal));
        let at = sandbox.addresses();
        self.screen.fact(&format!(
            "ports: payment provider {} for its app and {} for the gateway; gateway {}, with token service and \
             issuer behind it; control API {}",
            at.mpp.port(),
            at.partner.port(),
            at.gateway.port(),
            at.control.port()
        ));
        let app = sandbox.proxy(USER)?;
        let balance = money::balance(&sandbox)?;
        self.screen.fact(&format!(
            "{USER} has {balance} at the provider; gateway and provider sign every message (RSA, SHA-256)"
        ));
        let trust_key = hex::encode(sandbox.trust_key());
        let holder = Holder { directory: self.folder.join("phone"), mpp: at.mpp, trust_key };
        let checkout = sandbox.checkout();
        Ok(Scene { sandbox, checkout, holder, app })
    }

    fn next(&mut self, title: &str) {
        self.show_calls();
        self.step += 1;
        title.clone_into(&mut self.title);
        self.screen.step(self.step, title);
    }

    /// The signed calls since the last time, if they are wanted.
    fn show_calls(&mut self) {
        let Some(journal) = self.journal.as_ref().filter(|_| self.screen.is_verbose()) else { return };
        let calls = journal.since(self.calls_shown);
        self.calls_shown += calls.len() as u64;
        for call in calls {
            self.screen.fact(&self.screen.dim(&call.to_string()));
        }
    }

    fn see_status(&mut self, phone: &Phone, code: i64, page: &str, more: &str) -> Result<()> {
        let seen = handset::status(phone)?;
        self.report.statuses.push(seen.status);
        expect("the status", &code, &seen.status)?;
        expect("the page", page, &seen.page)?;
        self.screen.good(&format!("{seen}{more}"));
        Ok(())
    }

    fn tap_approved(&mut self, scene: &Scene, phone: &Phone) -> Result<PhonePayment> {
        let amount = self.low_amount()?;
        self.pay(scene, phone, amount)
    }

    /// One tap that is paid, with what the user has before and after it.
    fn pay(&mut self, scene: &Scene, phone: &Phone, amount: Amount) -> Result<PhonePayment> {
        let before = money::balance(&scene.sandbox)?;
        let paid = self.tap(scene, phone, amount)?;
        check_approved(amount, &paid)?;
        let reference = paid.payment.reference.map(handset::reference_in_words).unwrap_or_default();
        self.screen.good(&format!(
            "{amount} approved: signature (CDA) verified by the terminal, cryptogram by the issuer, reference {reference}"
        ));
        let provider = paid.payment.provider.as_ref().context("the terminal did not hear of the payment provider")?;
        let payment_id = provider.payment_id.as_deref().context("the payment has no id")?;
        let after = money::balance(&scene.sandbox)?;
        self.screen.fact(&format!("paid as {payment_id}: balance {before} -> {after}"));
        expect("the balance after the tap", &(before.value - amount.minor()), &after.value)?;
        Ok(paid)
    }

    fn tap_refused(&mut self, scene: &Scene, phone: &Phone, outcome: &str, code: u32) -> Result<()> {
        let amount = self.low_amount()?;
        self.refused(scene, phone, amount, outcome, code).map(drop)
    }

    fn refused(
        &mut self,
        scene: &Scene,
        phone: &Phone,
        amount: Amount,
        outcome: &str,
        code: u32,
    ) -> Result<PhonePayment> {
        let paid = self.tap(scene, phone, amount)?;
        expect(&format!("the tap of {amount}"), outcome, paid.payment.outcome.name())?;
        expect("the code that the app hears", &code.to_string(), &paid.code.unwrap_or_default().to_string())?;
        let terminal = match &paid.payment.outcome {
            PaymentOutcome::SeePhone => "the terminal says: see phone".to_owned(),
            PaymentOutcome::NotAccepted(reason) => format!("the terminal finds no card ({reason})"),
            outcome => outcome.to_string(),
        };
        let meaning = tap_meaning(code);
        self.screen.good(&format!("{amount} refused: {terminal}; the app hears {code} ({meaning})"));
        Ok(paid)
    }

    /// One tap and its place in the report.
    fn tap(&mut self, scene: &Scene, phone: &Phone, amount: Amount) -> Result<PhonePayment> {
        let mut unpredictable_number = [0; 4];
        self.random.fill_bytes(&mut unpredictable_number);
        let now_ms = scene.sandbox.service().clock().now_ms();
        let purchase = Purchase::new(amount.minor(), amount.currency(), now_ms, unpredictable_number);
        let paid = scene.checkout.pay_with(phone, &purchase)?;
        self.screen.trace(&paid.payment.trace);
        self.show_calls();
        self.report.add_tap(amount, &paid);
        Ok(paid)
    }

    /// 1.00 to 49.99: below the limit.
    fn low_amount(&mut self) -> Result<Amount> {
        let minor = 100 + u64::from(self.random.next_u32() % 4_900);
        Ok(Amount::of_minor(minor, CURRENCY)?)
    }
}

fn check_approved(amount: Amount, paid: &PhonePayment) -> Result<()> {
    let payment = &paid.payment;
    let what = format!("the tap of {amount}");
    let why = paid.code.filter(|code| *code != 10_000).map(|code| format!(" ({code}: {})", tap_meaning(code)));
    let seen = format!("{}{}", payment.outcome, why.unwrap_or_default());
    expect(&what, &PaymentOutcome::Approved.to_string(), &seen)?;
    expect("the terminal's verdict on the signature", "Some(true)", &format!("{:?}", payment.cda_verified))?;
    expect("the issuer's verdict on the cryptogram", "Some(true)", &format!("{:?}", payment.cryptogram_verified))?;
    expect("the code that the app hears", &10_000, &paid.code.unwrap_or_default())
}

fn expect<T: PartialEq + ToString + ?Sized>(what: &str, expected: &T, seen: &T) -> Result<()> {
    if expected == seen {
        return Ok(());
    }
    let (what, expected, seen) = (what.to_owned(), expected.to_string(), seen.to_string());
    Err(Unexpected { what, expected, seen }.into())
}
