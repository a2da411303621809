//! The wallet under torture: what it is asked to do, and what it must answer.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use rand_core::Rng;
use serde_json::Value;

use super::books::{self, Finding};
use super::{Plan, Tally};
use crate::checkout::{CheckoutError, PaymentOutcome};
use crate::phone::{Call, CallError, Event, Phone, PhoneError};
use crate::pos::{LinkLost, Purchase};
use crate::servers::Sandbox;
use crate::token_service::locked;
use crate::with_causes;

/// Steps that are kept to be told.
const STEPS_KEPT: usize = 60;

/// A wallet that needs more steps than this to be ready is stuck.
const MOST_STEPS: u32 = 40;

/// The code of a store that another process holds.
const STORE_BUSY: u32 = 19_030;

/// What the wallet can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Tap,
    Replenish,
    Lock,
    Unlock,
    /// Delete the token and activate another one.
    Renew,
    Sync,
    Reconnect,
}

impl Action {
    /// Mostly taps.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        match rng.next_u32() % 32 {
            0..=19 => Self::Tap,
            20..=23 => Self::Replenish,
            24..=25 => Self::Lock,
            26..=27 => Self::Unlock,
            28 => Self::Renew,
            29 => Self::Sync,
            _ => Self::Reconnect,
        }
    }

    /// Within which time a break strikes while it runs.
    pub(super) fn span(self) -> Duration {
        match self {
            Self::Tap => Duration::from_millis(4),
            Self::Renew => Duration::from_millis(120),
            _ => Duration::from_millis(12),
        }
    }
}

/// Why an action did not end as it should.
#[derive(Debug)]
pub(super) enum Stop {
    /// The process is gone: the break has struck.
    Gone,
    /// A promise was broken.
    Broken(String),
}

/// A wallet's folder, and what is known about it from outside.
pub(super) struct Patient<'a> {
    pub(super) plan: &'a Plan,
    pub(super) sandbox: &'a Sandbox,
    pub(super) directory: PathBuf,
    pub(super) user: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    steps: VecDeque<String>,
    tally: Tally,
    /// Since the token that it has now was activated.
    breaks: u64,
    token: Option<String>,
    /// Lost by the tokens before.
    lost_before: u64,
    /// By the last answer of lock or unlock; `None` after one that was cut off.
    locked: Option<bool>,
    taps_sent: u32,
}

impl<'a> Patient<'a> {
    pub(super) fn new(plan: &'a Plan, sandbox: &'a Sandbox, directory: PathBuf, user: String) -> Self {
        Self { plan, sandbox, directory, user, known: Mutex::default() }
    }

    pub(super) fn note(&self, step: impl Into<String>) {
        let mut known = locked(&self.known);
        if known.steps.len() == STEPS_KEPT {
            known.steps.pop_front();
        }
        known.steps.push_back(step.into());
    }

    pub(super) fn steps(&self) -> Vec<String> {
        locked(&self.known).steps.iter().cloned().collect()
    }

    pub(super) fn tally(&self) -> Tally {
        locked(&self.known).tally
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut locked(&self.known).tally);
    }

    /// Something was broken on purpose.
    pub(super) fn broke(&self, at_work: bool) {
        let mut known = locked(&self.known);
        known.breaks += 1;
        known.tally.breaks += 1;
        known.tally.at_work += u64::from(at_work);
    }

    /// What the phone's program is started with.
    pub(super) fn options(&self) -> Vec<OsString> {
        vec![
            "--directory".into(),
            self.directory.clone().into(),
            "--mpp".into(),
            self.sandbox.addresses().mpp.to_string().into(),
            "--trust-key".into(),
            hex::encode(self.sandbox.trust_key()).into(),
            "--user".into(),
            self.user.clone().into(),
            "--test-clock".into(),
            // What a tap decides counts here, and not how fast a busy machine is.
            "--tap-deadline-ms".into(),
            "10000".into(),
        ]
    }

    /// Starts the process. `Ok(None)` if the other process has the store.
    pub(super) fn start(&self, further: &[String]) -> Result<Option<Phone>, Stop> {
        let mut options = self.options();
        options.extend(further.iter().map(OsString::from));
        self.count(|tally| tally.starts += 1);
        match Phone::start(&self.plan.program, &options) {
            Ok(phone) => Ok(Some(phone)),
            Err(PhoneError::Gone) => Err(Stop::Gone),
            Err(PhoneError::NotOpened(line)) if line.code == STORE_BUSY => {
                self.count(|tally| tally.busy += 1);
                Ok(None)
            }
            Err(error) => Err(Stop::Broken(format!("the wallet did not open again: {}", with_causes(&error)))),
        }
    }

    /// Brings the wallet to where it can pay, as an app would: by its status.
    pub(super) fn recover(&self, phone: &Phone) -> Result<(), Stop> {
        let mut last = String::new();
        for step in 0..MOST_STEPS {
            let status = self.status(phone)?;
            self.check_status(status)?;
            let call = match status {
                2 => return Ok(()),
                -2 | 11 => Call::Connect { user: self.user.clone() },
                0 => {
                    self.forget_token();
                    Call::Activate { silent: false }
                }
                1 => Call::Replenish,
                // A change whose outcome nobody knows yet.
                -1 => Call::Sync,
                3 if step % 2 == 0 => Call::Unlock,
                3 => Call::Sync,
                21 => Call::Confirm,
                _ => return Err(Stop::Broken(format!("status {status} after a break"))),
            };
            let activates = matches!(call, Call::Activate { .. });
            if matches!(call, Call::Unlock) {
                locked(&self.known).locked = None;
            }
            match self.ask(phone, call) {
                Ok(_) if activates => self.count(|tally| tally.activations += 1),
                Ok(_) => {}
                Err(Refused::Gone) => return Err(Stop::Gone),
                // A fault on the way, or a pause that the wallet keeps after one.
                Err(Refused::Said(reason)) => {
                    last = reason;
                    self.let_time_pass(phone)?;
                }
            }
        }
        Err(Stop::Broken(format!("the wallet is stuck: {MOST_STEPS} steps did not make it ready; last: {last}")))
    }

    /// A lock that was confirmed holds across every break.
    fn check_status(&self, status: i64) -> Result<(), Stop> {
        let known = locked(&self.known);
        if known.locked == Some(true) && matches!(status, 1 | 2) {
            return Err(Stop::Broken(format!("the token was locked, and the status is {status}")));
        }
        Ok(())
    }

    fn forget_token(&self) {
        locked(&self.known).locked = None;
    }

    /// Does it once.
    pub(super) fn act(&self, phone: &Phone, action: Action, rng: &mut impl Rng) -> Result<(), Stop> {
        match action {
            Action::Tap => self.tap(phone, rng),
            Action::Lock => self.change_lock(phone, Call::Lock, true),
            Action::Unlock => self.change_lock(phone, Call::Unlock, false),
            Action::Replenish => self.try_(phone, Call::Replenish),
            Action::Sync => self.try_(phone, Call::Sync),
            Action::Reconnect => {
                self.try_(phone, Call::Disconnect)?;
                self.try_(phone, Call::Connect { user: self.user.clone() })
            }
            Action::Renew => {
                self.forget_token();
                self.try_(phone, Call::Delete)?;
                match self.ask(phone, Call::Activate { silent: rng.next_u32().is_multiple_of(2) }) {
                    Ok(_) => self.count(|tally| tally.activations += 1),
                    Err(Refused::Gone) => return Err(Stop::Gone),
                    Err(Refused::Said(_)) => {}
                }
                self.try_(phone, Call::Confirm)
            }
        }
    }

    fn change_lock(&self, phone: &Phone, call: Call, to: bool) -> Result<(), Stop> {
        locked(&self.known).locked = None;
        match self.ask(phone, call) {
            Ok(_) => locked(&self.known).locked = Some(to),
            Err(Refused::Gone) => return Err(Stop::Gone),
            Err(Refused::Said(_)) => {}
        }
        Ok(())
    }

    /// A tap that must be paid, and how long the wallet took over it, in microseconds.
    pub(super) fn paid_tap(&self, phone: &Phone, rng: &mut impl Rng) -> Result<u64, Stop> {
        let purchase = self.purchase(rng);
        let mut micros = 0;
        let mut link = |apdu: &[u8]| {
            let answer = phone.call(Call::Apdu { hex: hex::encode(apdu) }).map_err(|_| LinkLost)?;
            micros += answer.get("micros").and_then(Value::as_u64).unwrap_or_default();
            let text = answer.get("hex").and_then(Value::as_str).unwrap_or_default();
            hex::decode(text).map_err(|_| LinkLost)
        };
        let payment = self.sandbox.checkout().pay(&mut link, &purchase);
        let payment = payment.map_err(|error| Stop::Broken(format!("a tap had no end: {error}")))?;
        self.demand(phone, Call::FieldLost)?;
        if !payment.outcome.is_approved() || payment.cda_verified != Some(true) {
            let told = phone.wait_for(|event| matches!(event, Event::Failed { .. } | Event::Complete { .. }));
            return Err(Stop::Broken(format!("a ready wallet did not pay: {}; it says {told:?}", payment.outcome)));
        }
        self.count(|tally| tally.taps += 1);
        Ok(micros)
    }

    fn purchase(&self, rng: &mut impl Rng) -> Purchase {
        let number = {
            let mut known = locked(&self.known);
            known.taps_sent += 1;
            known.taps_sent
        };
        let amount = 1 + u64::from(rng.next_u32() % 4_000);
        self.note(format!("tap {amount}"));
        Purchase::new(amount, 978, self.sandbox.service().clock().now_ms(), number.to_be_bytes())
    }

    fn tap(&self, phone: &Phone, rng: &mut impl Rng) -> Result<(), Stop> {
        let locked_before = locked(&self.known).locked;
        let purchase = self.purchase(rng);
        let payment = match self.sandbox.checkout().pay_with(phone, &purchase) {
            Ok(paid) => paid,
            Err(CheckoutError::Phone(CallError::Gone)) => return Err(Stop::Gone),
            Err(error) => return Err(Stop::Broken(format!("a tap had no end: {error}"))),
        };
        let outcome = &payment.payment.outcome;
        self.note(format!("  {outcome} ({})", payment.code.unwrap_or_default()));
        if payment.payment.cryptogram_verified == Some(false) || payment.payment.cda_verified == Some(false) {
            return Err(Stop::Broken("a cryptogram or a signature is wrong".to_owned()));
        }
        match (outcome, locked_before) {
            (PaymentOutcome::Approved, Some(true)) => Err(Stop::Broken("a locked token paid".to_owned())),
            (PaymentOutcome::Approved, _) => {
                self.count(|tally| tally.taps += 1);
                Ok(())
            }
            (PaymentOutcome::DeclinedByIssuer { reason }, None) => {
                // The lock may have reached the service and not this process.
                self.note(format!("  refused by the issuer: {reason}"));
                Ok(())
            }
            (PaymentOutcome::DeclinedByIssuer { reason }, Some(_)) => {
                Err(Stop::Broken(format!("the issuer refused a good credential: {reason}")))
            }
            (PaymentOutcome::DeclinedByProvider { code }, _) => {
                Err(Stop::Broken(format!("the payment provider refused a tap: {code}")))
            }
            // Storage that works must not refuse.
            (_, _) if payment.code == Some(19_005) || payment.code == Some(10_004) => {
                Err(Stop::Broken(format!("a tap failed with code {}", payment.code.unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }

    /// Compares all books, and counts what is lost. `breaks` may have cost one credential each.
    pub(super) fn audit(&self, phone: &Phone) -> Result<(), Stop> {
        let mut finding = String::new();
        for _ in 0..MOST_STEPS {
            books::no_double_spend(self.sandbox).map_err(broken)?;
            let usable = match self.ask(phone, Call::Credentials) {
                Ok(answer) => answer.get("usable").and_then(Value::as_u64).unwrap_or_default(),
                Err(Refused::Gone) => return Err(Stop::Gone),
                Err(Refused::Said(reason)) => return Err(Stop::Broken(reason)),
            };
            let breaks = self.breaks_of_token()?;
            match books::all_accounted_for(self.sandbox, &self.user, usable, breaks) {
                Ok(lost) => {
                    let mut known = locked(&self.known);
                    known.tally.audits += 1;
                    known.tally.lost = known.lost_before + lost;
                    return Ok(());
                }
                Err(Finding::Broken(promise)) => return Err(Stop::Broken(promise)),
                Err(Finding::NotYet(reason)) => finding = reason,
            }
            // Reports travel with the next connection.
            self.try_(phone, Call::Connect { user: self.user.clone() })?;
            self.try_(phone, Call::Replenish)?;
            self.let_time_pass(phone)?;
        }
        Err(Stop::Broken(format!("the books never agreed: {finding}")))
    }

    fn breaks_of_token(&self) -> Result<u64, Stop> {
        let token = books::token_of(self.sandbox, &self.user).map_err(broken)?.map(|token| token.token_reference);
        let mut known = locked(&self.known);
        if known.token != token {
            known.token = token;
            known.lost_before = known.tally.lost;
            // The break that cut its activation off may have cost one of its credentials too.
            known.breaks = known.breaks.max(1);
        }
        Ok(known.breaks)
    }

    fn status(&self, phone: &Phone) -> Result<i64, Stop> {
        match self.ask(phone, Call::Status) {
            Ok(answer) => Ok(answer.get("status").and_then(Value::as_i64).unwrap_or_default()),
            Err(Refused::Gone) => Err(Stop::Gone),
            Err(Refused::Said(reason)) => Err(Stop::Broken(format!("no status: {reason}"))),
        }
    }

    /// The wallet keeps pauses after failures; the test clock lets them pass.
    fn let_time_pass(&self, phone: &Phone) -> Result<(), Stop> {
        let change = crate::phone::ClockChange { advance_ms: 60_000, wall_offset_ms: None };
        self.try_(phone, Call::Clock(change))
    }

    /// Does it, and it must succeed.
    pub(super) fn demand(&self, phone: &Phone, call: Call) -> Result<Value, Stop> {
        self.ask(phone, call).map_err(|refused| match refused {
            Refused::Gone => Stop::Gone,
            Refused::Said(reason) => Stop::Broken(format!("refused in peace: {reason}")),
        })
    }

    /// Does it; what the wallet says is its own affair.
    fn try_(&self, phone: &Phone, call: Call) -> Result<(), Stop> {
        match self.ask(phone, call) {
            Ok(_) | Err(Refused::Said(_)) => Ok(()),
            Err(Refused::Gone) => Err(Stop::Gone),
        }
    }

    fn ask(&self, phone: &Phone, call: Call) -> Result<Value, Refused> {
        let name = serde_json::to_value(&call).ok().and_then(|value| Some(value.get("call")?.as_str()?.to_owned()));
        let name = name.unwrap_or_default();
        let answer = phone.call(call);
        match &answer {
            Ok(value) if name == "status" => self.note(format!("status {}", value.get("status").unwrap_or(value))),
            Ok(_) => self.note(name),
            Err(error) => self.note(format!("{name}: {error}")),
        }
        answer.map_err(|error| match error {
            CallError::Gone => Refused::Gone,
            other => Refused::Said(other.to_string()),
        })
    }
}

/// Why a call has no result.
enum Refused {
    Gone,
    Said(String),
}

fn broken(finding: Finding) -> Stop {
    match finding {
        Finding::Broken(promise) | Finding::NotYet(promise) => Stop::Broken(promise),
    }
}
