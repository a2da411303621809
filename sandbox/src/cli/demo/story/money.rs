//! What becomes of payments: at the terminal, on the user's account, in the books.

use std::time::Duration;

use alipayplus::Amount as Money;
use anyhow::{Context, Result};
use nfcwallet_sandbox::checkout::{Amount, PhonePayment};
use nfcwallet_sandbox::control::{AuthorisationEvent, Control, DeskError, EventView};
use nfcwallet_sandbox::phone::{Call, Event, Phone};
use nfcwallet_sandbox::servers::Sandbox;
use serde_json::Value;

use super::{CURRENCY, OPENING_BALANCE, Scene, Story, USER, expect};
use crate::cli::demo::report::MoneyReport;
use crate::cli::handset;

/// Above the reader's and the card's limit of 50.00 EUR.
const HIGH_AMOUNT: u64 = 8_000;
/// More than is on the account at any time.
const TOO_MUCH: u64 = 200_000;
/// What a merchant gives beyond a payment, and without one.
const GIFT: u64 = 500;
/// What the app gives to the first tap.
const REFERENCE: [u8; 8] = *b"ORDER-01";
/// And to the one that is too much.
const LATER_REFERENCE: [u8; 8] = *b"ORDER-02";

const DAY: Duration = Duration::from_hours(24);
/// The business day ends at midnight in UTC+8.
const DAY_ENDS_AT_MS: i64 = 16 * 3_600_000;
/// Longer than the steps that must be on one day.
const MARGIN_MS: i64 = 60_000;

impl Story<'_> {
    pub(super) fn first_tap(&mut self, scene: &Scene, phone: &Phone) -> Result<PhonePayment> {
        self.next("The first tap; the app has set the order's number as its reference");
        phone.call(Call::Reference { hex: hex::encode(REFERENCE) })?;
        let paid = self.tap_approved(scene, phone)?;
        let as_text = |reference: Option<[u8; 8]>| reference.map(hex::encode_upper).unwrap_or_default();
        expect("the reference at the issuer", &as_text(Some(REFERENCE)), &as_text(paid.payment.reference))?;
        let (status, code) = ask_server(scene, REFERENCE)?;
        self.screen.good(&format!("the app asks its server for ORDER-01: {status} ({code})"));
        expect("what the app's server knows", "success", &status)?;
        Ok(paid)
    }

    pub(super) fn pay_a_high_amount(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let amount = Amount::of_minor(HIGH_AMOUNT, CURRENCY)?;
        self.next(&format!("A tap of {amount}: above the limit, so the phone asks for its user"));
        let before = handset::stock(phone)?.usable;
        self.refused(scene, phone, amount, "see_phone", 10_003)?;
        let asked = phone.wait_for(|event| matches!(event, Event::AuthRequired { .. }));
        asked.context("the app did not hear that it must authenticate its user")?;
        expect("the stock after a refusal", &before, &handset::stock(phone)?.usable)?;

        self.next("authenticate: a finger on the phone, then the same tap again");
        phone.call(Call::Authenticate)?;
        self.pay(scene, phone, amount).map(drop)
    }

    pub(super) fn pay_more_than_there_is(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let amount = Amount::of_minor(TOO_MUCH, CURRENCY)?;
        let before = balance(&scene.sandbox)?;
        self.next(&format!("A tap of {amount}, with {before} on the account"));
        phone.call(Call::Reference { hex: hex::encode(LATER_REFERENCE) })?;
        phone.call(Call::Authenticate)?;
        self.screen.fact("again with a finger on the phone first, and with the order's number as its reference");
        let declined = self.refused(scene, phone, amount, "declined_by_provider", 10_000)?;
        let code = declined.payment.provider.map(|provider| provider.code.to_string()).unwrap_or_default();
        expect("why the provider declines", "USER_BALANCE_NOT_ENOUGH", &code)?;
        let (status, code) = ask_server(scene, LATER_REFERENCE)?;
        self.screen.good(&format!("the app asks its server for ORDER-02: {status} ({code}); nothing was taken"));
        expect("what the app's server knows", "failed", &status)?;
        expect("the balance after a declined tap", &before.to_string(), &balance(&scene.sandbox)?.to_string())
    }

    pub(super) fn refund_in_parts(&mut self, scene: &Scene, first: &PhonePayment) -> Result<()> {
        let amount = money(first.payment.amount_minor)?;
        let part = money(amount.value / 2)?;
        self.next(&format!("refund: the shop gives back a part of the first tap's {amount}, then the rest"));
        self.happens(scene, first, "refund of a part", AuthorisationEvent::Refund(part), &["refund"], part.value)?;
        let rest = money(amount.value - part.value)?;
        self.happens(scene, first, "refund of the rest", AuthorisationEvent::Refund(rest), &["refund"], rest.value)
    }

    pub(super) fn cancel_on_the_same_day(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("reversal on the same day: the shop's cashier made a mistake");
        stay_within_a_day(&scene.sandbox);
        let paid = self.tap_approved(scene, phone)?;
        let all = AuthorisationEvent::Reversal(None);
        self.happens(scene, &paid, "reversal", all, &["cancelPayment"], paid.payment.amount_minor)
    }

    pub(super) fn reverse_on_the_next_day(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        self.next("reversal on the next day: too late to cancel, so the provider sees a refund");
        let paid = self.tap_approved(scene, phone)?;
        scene.sandbox.service().clock().advance_ms(i64::try_from(DAY.as_millis())?);
        self.screen.fact("a day passes on the servers' clock");
        let all = AuthorisationEvent::Reversal(None);
        self.happens(scene, &paid, "reversal", all, &["refund"], paid.payment.amount_minor)
    }

    pub(super) fn refund_more_than_was_paid(&mut self, scene: &Scene, phone: &Phone) -> Result<()> {
        let gift = money(GIFT)?;
        self.next(&format!("excess refund: the shop gives back what was paid, and {gift} for the trouble"));
        let paid = self.tap_approved(scene, phone)?;
        let back = money(paid.payment.amount_minor + GIFT)?;
        let calls = ["refund", "adjustRefund EXCEED_REFUND"];
        self.happens(scene, &paid, "excess refund", AuthorisationEvent::Refund(back), &calls, back.value)
    }

    pub(super) fn refund_without_a_payment(&mut self, scene: &Scene) -> Result<()> {
        let gift = money(GIFT)?;
        self.next(&format!("unlinked refund: a shop gives {gift} without any payment"));
        let before = balance(&scene.sandbox)?;
        let event = on(scene, |control| async move { control.unlinked_refund(USER, None, gift).await })?;
        self.tell_event(scene, "unlinked refund", &event, &["adjustRefund UNLINKED_REFUND"], before, GIFT)
    }

    pub(super) fn compare_the_books(&mut self, scene: &Scene) -> Result<()> {
        self.next("The books of issuer, gateway and payment provider");
        let ledger = scene.sandbox.issuer().ledger();
        let entries = ledger.entries()?;
        let violations = ledger.violations()?;
        self.report.cryptograms = entries.len();
        self.report.violations = violations.len();
        expect("cryptograms in the ledger", &self.report.with_cryptogram(), &entries.len())?;
        expect("good cryptograms in the ledger", &entries.len(), &entries.iter().filter(|e| e.verified).count())?;
        expect("counters seen twice", &0, &violations.len())?;
        self.screen.good(&format!("issuer's ledger: {} cryptograms, no counter twice", entries.len()));
        let books = on(scene, |control| async move { control.books().await })?;
        expect("what is wrong with the books", "", &books.findings.join("; "))?;
        self.screen
            .good(&format!("issuer and gateway know of the same {} taps, paid or declined", books.taps_at_gateway));
        let charged: Vec<String> = books.provider.iter().map(|sum| major(sum.minor, sum.currency)).collect();
        self.screen.good(&format!(
            "gateway and provider agree that {USER} was charged {} net: payments less what came back",
            charged.join(", ")
        ));
        let net: i64 = books.provider.iter().map(|sum| sum.minor).sum();
        let (opening, now) = (money(OPENING_BALANCE)?, balance(&scene.sandbox)?);
        self.screen.fact(&format!("since the start: balance {opening} -> {now}"));
        expect("what left the account", &net, &(i64::try_from(opening.value)? - i64::try_from(now.value)?))?;
        expect("signed calls whose messages were verified", &books.signed_calls, &books.verified_calls)?;
        self.screen.good(&format!(
            "{} signed messages, each verified by the side that got it ({} calls with their answers)",
            2 * books.verified_calls,
            books.verified_calls
        ));
        self.report.books = Some(books);
        Ok(())
    }

    /// Something happens to a payment, and the user gets `back`.
    fn happens(
        &mut self,
        scene: &Scene,
        paid: &PhonePayment,
        name: &'static str,
        what: AuthorisationEvent,
        calls: &[&str],
        back: u64,
    ) -> Result<()> {
        let provider = paid.payment.provider.as_ref();
        let authorisation = provider.and_then(|provider| provider.authorisation.clone());
        let authorisation = authorisation.context("the tap has no authorisation")?;
        let before = balance(&scene.sandbox)?;
        let event = on(scene, |control| async move { control.scheme(&authorisation, None, what).await })?;
        self.tell_event(scene, name, &event, calls, before, back)
    }

    fn tell_event(
        &mut self,
        scene: &Scene,
        name: &'static str,
        event: &EventView,
        calls: &[&str],
        before: Money,
        back: u64,
    ) -> Result<()> {
        self.show_calls();
        let made: Vec<&str> = event.calls.iter().map(|call| call.api).collect();
        expect("the calls to the provider", &calls.join(", "), &made.join(", "))?;
        expect("every call succeeded", &true, &event.is_done())?;
        let after = balance(&scene.sandbox)?;
        let told: Vec<String> = event.calls.iter().map(told).collect();
        self.screen.good(&format!("the gateway calls {}: balance {before} -> {after}", told.join(" and ")));
        self.report.money.push(MoneyReport {
            what: name,
            row: event.row,
            calls: made.into_iter().map(str::to_owned).collect(),
            balance_before: before.to_string(),
            balance_after: after.to_string(),
        });
        expect("the balance afterwards", &(before.value + back), &after.value)
    }
}

fn told(call: &nfcwallet_sandbox::control::CallView) -> String {
    if call.amount.value == 0 { call.api.to_owned() } else { format!("{} over {}", call.api, call.amount) }
}

/// What the user has.
pub(super) fn balance(sandbox: &Sandbox) -> Result<Money> {
    let control = sandbox.control().clone();
    Ok(sandbox.runtime().block_on(async move { control.account(USER).await })?.balance)
}

fn on<T, F: Future<Output = Result<T, DeskError>>>(scene: &Scene, ask: impl FnOnce(Control) -> F) -> Result<T> {
    Ok(scene.sandbox.runtime().block_on(ask(scene.sandbox.control().clone()))?)
}

/// What the app's server says of the tap with this reference: status and result code.
fn ask_server(scene: &Scene, reference: [u8; 8]) -> Result<(String, String)> {
    let path = format!("/payments/by-reference/{}", hex::encode_upper(reference));
    let answer = scene.sandbox.runtime().block_on(scene.app.ask(&path))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("status"), text("result_code")))
}

/// A day of the gateway must not end between a tap and its reversal.
fn stay_within_a_day(sandbox: &Sandbox) {
    let clock = sandbox.service().clock();
    let day_ms = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    let left_ms = (DAY_ENDS_AT_MS - clock.now_ms()).rem_euclid(day_ms);
    if left_ms < MARGIN_MS {
        clock.advance_ms(left_ms + 1);
    }
}

fn money(minor: u64) -> Result<Money> {
    let currency = alipayplus::Currency::from_code(CURRENCY).context("no such currency")?;
    Ok(Money::new(currency, minor))
}

/// A sum that may be below zero.
fn major(minor: i64, currency: &str) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let amount = Amount::of_minor(minor.unsigned_abs(), currency).map(|amount| amount.to_string());
    amount.map_or_else(|_| format!("{minor} {currency}"), |amount| format!("{sign}{amount}"))
}
