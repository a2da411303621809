//! The life of the card on the phone: from a new app to a deleted token.

use std::time::Instant;

use anyhow::Result;
use nfcwallet_sandbox::checkout::Amount;
use nfcwallet_sandbox::phone::{Call, Event, Phone};

use super::{CURRENCY, Scene, Story, USER, check_approved, expect, money};
use crate::cli::activation::{self, Activation};
use crate::cli::handset::{self, Stock};

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

impl Story<'_> {
    pub(super) fn init(&mut self, scene: &Scene) -> Result<Phone> {
        self.next("init: the app starts on a new phone and opens its wallet");
        let phone = scene.holder.start(Vec::new())?;
        self.see_status(&phone, -2, "LogIn", &format!(", without network, in {:.1} ms", phone.opened_in_ms))?;
        Ok(phone)
    }

    pub(super) fn connect(&mut self, phone: &Phone) -> Result<()> {
        self.next(&format!("connect: {USER} has logged in to the app"));
        let answer = phone.call(Call::Connect { user: USER.to_owned() })?;
        let service = answer.get("service").map(ToString::to_string).unwrap_or_default();
        expect("what keeps the wallet from the service", "null", &service)?;
        self.see_status(phone, 0, "Activation", "")
    }

    pub(super) fn activate(&mut self, phone: &Phone) -> Result<()> {
        self.next("activate(manual): the user asks for a card");
        let activation = self.run_activation(phone, Call::Activate { silent: false }, &MANUAL_PHASES)?;
        self.report.statuses.extend(activation.status_meanwhile);
        expect("the app hears that the token is active", &true, &activation.activated)?;
        self.see_ready_stock(phone, &activation)
    }

    pub(super) fn activate_silently(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
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

    /// Small taps until the stock is below the threshold and full again.
    pub(super) fn tap_until_refilled(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let before = handset::stock(phone)?;
        let balance = money::balance(&scene.sandbox)?;
        self.next(&format!(
            "Taps until fewer than {} credentials are left: the wallet refills by itself",
            before.threshold
        ));
        let (mut usable, mut spent) = (before.usable, 0);
        if !self.screen.is_verbose() {
            self.screen.write("    credentials left:");
        }
        while usable >= before.threshold {
            let amount = self.low_amount()?;
            let paid = self.tap(scene, phone, amount)?;
            check_approved(amount, &paid)?;
            spent += amount.minor();
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
        let (taps, sum) = (before.usable - usable, Amount::of_minor(spent, CURRENCY)?);
        let after = money::balance(&scene.sandbox)?;
        self.screen.fact(&format!("{taps} payments, {sum} together: balance {balance} -> {after}"));
        expect("the balance after the taps", &(balance.value - spent), &after.value)
    }

    pub(super) fn lock_and_unlock(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("lock: the user cannot find the phone");
        phone.call(Call::Lock)?;
        self.see_status(phone, 3, "Unlock", "")?;
        self.tap_refused(scene, phone, "not_accepted", 10_008)?;

        self.next("unlock: found it");
        phone.call(Call::Unlock)?;
        self.see_status(phone, 2, "Payment", "")?;
        self.tap_approved(scene, phone).map(drop)
    }

    pub(super) fn kill_and_start(&mut self, scene: &Scene, phone: Phone) -> Result<Phone> {
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

    pub(super) fn delete(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("delete_token: the user wants no card any more");
        // What an app does at each start; the app's server wants to know who asks.
        phone.call(Call::Connect { user: USER.to_owned() })?;
        phone.call(Call::Delete)?;
        self.see_status(phone, 0, "Activation", "")?;
        self.tap_refused(scene, phone, "not_accepted", 10_009)?;
        no_stray_events(phone)
    }
}

/// Each tap has exactly one end.
fn no_stray_events(phone: &Phone) -> Result<()> {
    let events = phone.events();
    let stray = events.iter().filter(|event| matches!(event, Event::Complete { .. } | Event::Failed { .. })).count();
    expect("ends of taps that were told twice", &0, &stray)
}
