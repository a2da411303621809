//! The steps of the demo, and what must come of each.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nfcwallet_sandbox::checkout::{Amount, Checkout, PaymentOutcome, PhonePayment};
use nfcwallet_sandbox::phone::{Call, Event, Phone};
use nfcwallet_sandbox::pos::Purchase;
use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::DemoOptions;
use super::report::{Report, Unexpected};
use crate::cli::Pace;
use crate::cli::activation::{self, Activation};
use crate::cli::handset::{self, Holder, Stock, tap_meaning};
use crate::cli::screen::Screen;

const USER: &str = "alice";
const CURRENCY: &str = "EUR";
/// Above the reader's and the card's limit of 50.00 EUR.
const HIGH_AMOUNT: u64 = 8_000;
/// What the app gives to the first tap.
const REFERENCE: [u8; 8] = *b"ORDER-01";
const MANUAL_PHASES: [&str; 11] = [
    "preparing",
    "checking_device",
    "applying",
    "awaiting_approval",
    "opening_session",
    "provisioning",
    "storing",
    "reporting",
    "activating_at_service",
    "activating_locally",
    "done",
];
const SILENT_PHASES: [&str; 9] = [
    "preparing",
    "checking_device",
    "applying",
    "awaiting_approval",
    "opening_session",
    "provisioning",
    "storing",
    "reporting",
    "done",
];
const CONFIRM_PHASES: [&str; 5] =
    ["preparing", "checking_device", "activating_at_service", "activating_locally", "done"];

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
}

/// The people and machines of the story, once they are there.
struct Scene {
    sandbox: Sandbox,
    checkout: Checkout,
    holder: Holder,
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
        }
    }

    /// What was found, and at which step the story stands.
    pub(super) fn end(self) -> (Report, String) {
        (self.report, format!("{} ({})", self.step, self.title))
    }

    pub(super) fn tell(&mut self) -> Result<()> {
        let started = Instant::now();
        self.screen.line("A phone, a terminal, and the servers around them. Test keys and test cards only.");
        self.screen.line(&self.screen.dim(&format!("The same again: --seed {}", self.report.seed)));
        let scene = self.start_the_servers()?;
        let phone = self.init(&scene)?;
        self.connect(&phone)?;
        if self.silent {
            self.activate_silently(&scene, &phone)?
        } else {
            self.activate(&phone)?
        }
        self.first_tap(&scene, &phone)?;
        self.tap_until_refilled(&scene, &phone)?;
        self.pay_a_high_amount(&scene, &phone)?;
        self.lock_and_unlock(&scene, &phone)?;
        let phone = self.kill_and_start(&scene, phone)?;
        self.delete(&scene, &phone)?;
        self.look_into_the_ledger(&scene)?;
        let seconds = started.elapsed().as_secs_f64();
        self.screen.line(&format!("All of it happened as told, in {seconds:.1} s."));
        Ok(())
    }

    fn start_the_servers(&mut self) -> Result<Scene> {
        self.next("The servers start on 127.0.0.1");
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let config = SandboxConfig { seed: Some(seed), ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).context("the servers did not start")?;
        sandbox.service().set_policy(self.pace.policy());
        let at = sandbox.addresses();
        self.screen.fact(&format!(
            "app's server on port {}, gateway {}, token service and issuer behind it, control API {}",
            at.mpp.port(),
            at.gateway.port(),
            at.control.port()
        ));
        let trust_key = hex::encode(sandbox.trust_key());
        let holder = Holder { directory: self.folder.join("phone"), mpp: at.mpp, trust_key };
        let checkout = sandbox.checkout();
        Ok(Scene { sandbox, checkout, holder })
    }

    fn init(&mut self, scene: &Scene) -> Result<Phone> {
        self.next("init: the app starts on a new phone and opens its wallet");
        let phone = scene.holder.start(Vec::new())?;
        self.see_status(&phone, -2, "LogIn", &format!(", without network, in {:.1} ms", phone.opened_in_ms))?;
        Ok(phone)
    }

    fn connect(&mut self, phone: &Phone) -> Result<()> {
        self.next(&format!("connect: {USER} has logged in to the app"));
        let answer = phone.call(Call::Connect { user: USER.to_owned() })?;
        let service = answer.get("service").map(ToString::to_string).unwrap_or_default();
        expect("what keeps the wallet from the service", "null", &service)?;
        self.see_status(phone, 0, "Activation", "")
    }

    fn activate(&mut self, phone: &Phone) -> Result<()> {
        self.next("activate(manual): the user asks for a card");
        let activation = self.run_activation(phone, Call::Activate { silent: false }, &MANUAL_PHASES)?;
        self.report.statuses.extend(activation.status_meanwhile);
        expect("the app hears that the token is active", &true, &activation.activated)?;
        self.see_ready_stock(phone, &activation)
    }

    fn activate_silently(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("activate(silent): the app prepares a card ahead of time");
        let activation = self.run_activation(phone, Call::Activate { silent: true }, &SILENT_PHASES)?;
        self.report.statuses.extend(activation.status_meanwhile);
        expect("the app hears that the token is active", &false, &activation.activated)?;
        let took = format!(", after {:.1} s", activation.took.as_secs_f64());
        self.see_status(phone, 21, "Confirm", &took)?;

        self.next("A tap before the user has confirmed");
        self.tap_refused(scene, phone, "not_accepted", 10_008)?;

        self.next("confirm_activation: the user confirms");
        let activation = self.run_activation(phone, Call::Confirm, &CONFIRM_PHASES)?;
        expect("the app hears that the token is active", &true, &activation.activated)?;
        self.see_ready_stock(phone, &activation)
    }

    fn run_activation(&mut self, phone: &Phone, call: Call, phases: &[&str]) -> Result<Activation> {
        let activation = activation::run(phone, call, self.screen)?;
        self.report.add_activation(&activation);
        expect("the phases of the activation", &phases.join(", "), &activation.phases.join(", "))?;
        expect("the percentage never falls", &true, &activation.percent_never_fell)?;
        expect("the last percentage", &100, &activation.percent)?;
        if let Some(status) = activation.status_meanwhile {
            expect("the status while it runs", &11, &status)?;
        }
        Ok(activation)
    }

    fn see_ready_stock(&mut self, phone: &Phone, activation: &Activation) -> Result<()> {
        let stock = handset::stock(phone)?;
        let took = activation.took.as_secs_f64();
        let more = format!(", {} credentials, after {took:.1} s", stock.usable);
        self.see_status(phone, 2, "Payment", &more)?;
        expect("the stock after the activation", &stock.target, &stock.usable)?;
        self.report.credentials.start = stock.usable;
        self.report.credentials.threshold = stock.threshold;
        Ok(())
    }

    fn first_tap(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("The first tap; the app has set the order's number as its reference");
        phone.call(Call::Reference { hex: hex::encode(REFERENCE) })?;
        let reference = self.tap_approved(scene, phone)?.payment.reference;
        let as_text = |reference: Option<[u8; 8]>| reference.map(hex::encode_upper).unwrap_or_default();
        expect("the reference at the issuer", &as_text(Some(REFERENCE)), &as_text(reference))
    }

    /// Small taps until the stock is below the threshold and full again.
    fn tap_until_refilled(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let before = handset::stock(phone)?;
        self.next(&format!(
            "Taps until fewer than {} credentials are left: the wallet refills by itself",
            before.threshold
        ));
        let mut usable = before.usable;
        if !self.screen.is_verbose() {
            self.screen.write("    credentials left:");
        }
        while usable >= before.threshold {
            let amount = self.low_amount()?;
            let paid = self.tap(scene, phone, amount)?;
            check_approved(amount, &paid)?;
            usable = usable.saturating_sub(1);
            let seen = handset::stock(phone)?.usable;
            // A refilling may be quicker than this question.
            let refilled = usable < before.threshold && seen == before.target;
            if !refilled {
                expect("the stock after a tap", &usable, &seen)?;
            }
            match self.screen.is_verbose() {
                true => self.screen.fact(&format!("{amount} approved, {usable} credentials left")),
                false => self.screen.write(&format!(" {usable}")),
            }
        }
        self.report.credentials.lowest = usable;
        let Stock { usable: refilled, target, .. } = handset::wait_for_refill(phone)?;
        match self.screen.is_verbose() {
            true => self.screen.fact(&format!("refilled to {refilled} credentials")),
            false => self.screen.write(&format!(" -> {refilled}\n")),
        }
        let measured = phone.wait_for(|event| matches!(event, Event::Monitor { id, .. } if id == "EVENT_REPLENISH"));
        let Some(Event::Monitor { fields, .. }) = measured else {
            anyhow::bail!("the monitor did not hear of the replenishment");
        };
        let came = fields.get("countCredential").cloned().unwrap_or_default();
        expect("credentials that came", &(target - usable).to_string(), &came)?;
        self.report.replenishments += 1;
        self.screen.good(&format!("every tap approved; {came} new credentials came in the background"));
        Ok(())
    }

    fn pay_a_high_amount(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let amount = Amount::of_minor(HIGH_AMOUNT, CURRENCY)?;
        self.next(&format!("A tap of {amount}: above the limit, so the phone asks for its user"));
        let before = handset::stock(phone)?.usable;
        self.refused(scene, phone, amount, "see_phone", 10_003)?;
        let asked = phone.wait_for(|event| matches!(event, Event::AuthRequired { .. }));
        asked.context("the app did not hear that it must authenticate its user")?;
        expect("the stock after a refusal", &before, &handset::stock(phone)?.usable)?;

        self.next("authenticate: a finger on the phone, then the same tap again");
        phone.call(Call::Authenticate)?;
        let paid = self.tap(scene, phone, amount)?;
        self.tell_approved(amount, &paid)
    }

    fn lock_and_unlock(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("lock: the user cannot find the phone");
        phone.call(Call::Lock)?;
        self.see_status(phone, 3, "Unlock", "")?;
        self.tap_refused(scene, phone, "not_accepted", 10_008)?;

        self.next("unlock: found it");
        phone.call(Call::Unlock)?;
        self.see_status(phone, 2, "Payment", "")?;
        self.tap_approved(scene, phone).map(drop)
    }

    fn kill_and_start(&mut self, scene: &Scene, phone: Phone) -> Result<Phone> {
        self.next("The app's process is killed (SIGKILL) and started again");
        no_stray_events(&phone)?;
        phone.kill();
        let started = Instant::now();
        let phone = scene.holder.start(Vec::new())?;
        let process_ms = started.elapsed().as_secs_f64() * 1_000.0;
        let opened_ms = phone.opened_in_ms;
        self.report.cold_open_ms = Some((opened_ms * 100.0).round() / 100.0);
        let took =
            format!(", without login or network; wallet open in {opened_ms:.1} ms, process in {process_ms:.0} ms");
        self.see_status(&phone, 2, "Payment", &took)?;
        self.tap_approved(scene, &phone)?;
        self.report.credentials.end = handset::stock(&phone)?.usable;
        Ok(phone)
    }

    fn delete(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("delete_token: the user wants no card any more");
        // What an app does at each start; the app's server wants to know who asks.
        phone.call(Call::Connect { user: USER.to_owned() })?;
        phone.call(Call::Delete)?;
        self.see_status(phone, 0, "Activation", "")?;
        self.tap_refused(scene, phone, "not_accepted", 10_009)?;
        no_stray_events(phone)
    }

    fn look_into_the_ledger(&mut self, scene: &Scene) -> Result<()> {
        self.next("The issuer's books");
        let ledger = scene.sandbox.issuer().ledger();
        let entries = ledger.entries()?;
        let violations = ledger.violations()?;
        self.report.cryptograms = entries.len();
        self.report.violations = violations.len();
        expect("cryptograms in the ledger", &self.report.approved(), &entries.len())?;
        expect("good cryptograms in the ledger", &entries.len(), &entries.iter().filter(|e| e.verified).count())?;
        expect("counters seen twice", &0, &violations.len())?;
        self.screen.good(&format!("issuer's ledger: {} cryptograms, no counter twice", entries.len()));
        Ok(())
    }

    fn next(&mut self, title: &str) {
        self.step += 1;
        title.clone_into(&mut self.title);
        self.screen.step(self.step, title);
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
        let paid = self.tap(scene, phone, amount)?;
        self.tell_approved(amount, &paid)?;
        Ok(paid)
    }

    fn tell_approved(&self, amount: Amount, paid: &PhonePayment) -> Result<()> {
        check_approved(amount, paid)?;
        let reference = paid.payment.reference.map(handset::reference_in_words).unwrap_or_default();
        self.screen.good(&format!(
            "{amount} approved: signature (CDA) verified by the terminal, cryptogram by the issuer, reference {reference}"
        ));
        Ok(())
    }

    fn tap_refused(&mut self, scene: &Scene, phone: &Phone, outcome: &str, code: u32) -> Result<()> {
        let amount = self.low_amount()?;
        self.refused(scene, phone, amount, outcome, code)
    }

    fn refused(&mut self, scene: &Scene, phone: &Phone, amount: Amount, outcome: &str, code: u32) -> Result<()> {
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
        Ok(())
    }

    /// One tap and its place in the report.
    fn tap(&mut self, scene: &Scene, phone: &Phone, amount: Amount) -> Result<PhonePayment> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut unpredictable_number = [0; 4];
        self.random.fill_bytes(&mut unpredictable_number);
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let purchase = Purchase::new(amount.minor(), amount.currency(), now_ms, unpredictable_number);
        let paid = scene.checkout.pay_with(phone, &purchase)?;
        self.screen.trace(&paid.payment.trace);
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

/// Each tap has exactly one end.
fn no_stray_events(phone: &Phone) -> Result<()> {
    let events = phone.events();
    let stray = events.iter().filter(|event| matches!(event, Event::Complete { .. } | Event::Failed { .. })).count();
    expect("ends of taps that were told twice", &0, &stray)
}

fn expect<T: PartialEq + ToString + ?Sized>(what: &str, expected: &T, seen: &T) -> Result<()> {
    if expected == seen {
        return Ok(());
    }
    let (what, expected, seen) = (what.to_owned(), expected.to_string(), seen.to_string());
    Err(Unexpected { what, expected, seen }.into())
}
