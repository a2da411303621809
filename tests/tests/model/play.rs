//! Plays a story, and holds every step against what may be true.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::error::ServiceProblem;
use nfcwallet_core::host::ActivationListener;
use nfcwallet_core::payment::CdcvmMethod;
use nfcwallet_core::token::{Suspender, TokenStatus};
use nfcwallet_core::{Wallet, WalletError};
use nfcwallet_sandbox::checkout::PaymentOutcome;
use nfcwallet_sandbox::device::Recorder;
use nfcwallet_sandbox::issuer::DeclineReason;
use nfcwallet_sandbox::relay::FaultRule;

use crate::codes::documented;
use crate::op::{Amount, KeyTrouble, Op, Reader, Story, User};
use crate::truth::Truth;
use crate::world::{Tapped, World};

/// Longer than any credential lives.
const LIFETIME: u32 = 2_592_000;

/// What stories came to: a run in which nobody paid proves nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) paid: u64,
    pub(crate) asked_to_prove: u64,
    pub(crate) refused: u64,
    pub(crate) codes: BTreeSet<u32>,
    pub(crate) statuses: BTreeSet<i32>,
}

/// A story that is being played.
struct Play<'a> {
    world: World,
    truth: Truth,
    tally: &'a mut Tally,
}

/// Plays `story` from an empty phone to its end, and then repairs everything and looks at the books.
pub(crate) fn play(story: &Story, tally: &mut Tally) -> Result<(), String> {
    let mut play = Play { world: World::new(), truth: Truth::new(), tally };
    play.after()?;
    for (number, op) in story.0.iter().enumerate() {
        let told = |problem| format!("step {number}, {op:?}: {problem}");
        play.step(op).map_err(told)?;
        play.after().map_err(told)?;
    }
    play.end().map_err(|problem| format!("when everything was mended: {problem}"))
}

impl Play<'_> {
    fn step(&mut self, op: &Op) -> Result<(), String> {
        self.tally.steps += 1;
        match op {
            Op::Relay { kind, fault, skip, times } => {
                let rule = FaultRule { kind: *kind, fault: *fault, skip: *skip, times: *times };
                self.world.sandbox.faults().add(rule);
            }
            Op::Disk(trouble) => {
                self.world.disk_fails(*trouble);
                self.truth.trouble.disk = true;
            }
            Op::Keys(trouble) => {
                self.world.keys_fail(*trouble);
                match trouble {
                    KeyTrouble::Invalidated => self.truth.trouble.invalidated = true,
                    _ => self.truth.trouble.keys = true,
                }
            }
            Op::Mend => self.mend(),
            Op::Pass { seconds } => {
                self.world.pass(*seconds);
                self.expire_after(*seconds);
            }
            Op::WallJumps { seconds } => {
                self.world.set_wall_off(*seconds);
                self.truth.trouble.clocks = true;
                self.truth.may_lose_any();
            }
            Op::MonotonicFallsBack { seconds } => {
                self.world.time.fall_back(*seconds);
                self.truth.trouble.clocks = true;
            }
            Op::Restart => {
                self.world.close()?;
                return self.open();
            }
            Op::Kill => return self.kill(None),
            Op::PowerCut { seed } => return self.kill(Some(*seed)),
            Op::ServiceSuspends(party) => self.service(|service, token| service.suspend(token, *party))?,
            Op::ServiceResumes(party) => self.service(|service, token| service.resume(token, *party))?,
            Op::ServicePushesReplenish => self.service(|service, token| service.push_replenish(token))?,
            Op::ServicePushesProfile => self.service(|service, token| service.push_profile(token, None))?,
            Op::ServiceDeletes => {
                self.service(|service, token| service.delete_token(token))?;
                self.truth.service_deleted();
            }
            _ => {
                if let Some(wallet) = self.world.wallet.clone() {
                    return self.call(&wallet, op);
                }
            }
        }
        Ok(())
    }

    /// A call of the app, or a tap.
    fn call(&mut self, wallet: &Wallet, op: &Op) -> Result<(), String> {
        match op {
            Op::Connect(user) => {
                self.world.log_in(*user);
                let answer = self.world.wait(wallet.connect(user.name()));
                self.world.settle()?;
                let answer = self.known(answer)?;
                self.truth.connected(*user, &answer)?;
                if answer.is_ok_and(|connection| connection.service.is_none()) {
                    self.synced()?;
                }
            }
            Op::Disconnect => {
                let answer = self.world.wait(wallet.disconnect());
                let answer = self.known(answer)?;
                self.truth.disconnected(&answer);
            }
            Op::Activate(mode) => {
                let answer = self.world.wait(wallet.activate(*mode, listener()));
                let answer = self.known(answer)?;
                self.truth.activated(*mode, &answer);
            }
            Op::Confirm => {
                let answer = self.world.wait(wallet.confirm_activation(listener()));
                let answer = self.known(answer)?;
                self.truth.confirmed(&answer);
            }
            Op::Authenticate => {
                let proved = self.known(wallet.authenticate(CdcvmMethod::Fingerprint))?;
                if proved.is_ok() {
                    self.truth.authenticated(self.world.monotonic());
                }
            }
            Op::Replenish => {
                let answer = self.world.wait(wallet.replenish());
                drop(self.known(answer)?);
            }
            Op::Lock => {
                let answer = self.world.wait(wallet.lock());
                let answer = self.known(answer)?;
                self.truth.changed_lock(true, &answer);
            }
            Op::Unlock => {
                let answer = self.world.wait(wallet.unlock());
                let answer = self.known(answer)?;
                self.truth.changed_lock(false, &answer);
            }
            Op::Delete => {
                let answer = self.world.wait(wallet.delete_token());
                let answer = self.known(answer)?;
                self.truth.deleted(&answer);
            }
            Op::Sync => {
                let answer = self.world.wait(wallet.sync_token());
                let answer = self.known(answer)?;
                self.world.settle()?;
                match answer {
                    Ok(_) => self.synced()?,
                    Err(_) => self.truth.caught_up_perhaps(),
                }
            }
            Op::NetworkAvailable => {
                wallet.network_available();
                self.truth.caught_up_perhaps();
            }
            Op::Tap(amount, reader) => self.tap(wallet, *amount, *reader)?,
            _ => {}
        }
        Ok(())
    }

    /// What holds after every step.
    fn after(&mut self) -> Result<(), String> {
        self.world.settle()?;
        self.world.see_events()?;
        self.world.see_reports()?;
        let payers = self.world.payers()?;
        if !payers.is_empty() {
            return Err(format!("{payers:?} paid without a tap"));
        }
        if let Some(wallet) = &self.world.wallet {
            let status = wallet.token_status();
            self.tally.statuses.insert(status.code());
            self.truth.see_status(&status)?;
        }
        Ok(())
    }

    /// Every error has a code of docs/errors.md, and none is a bug or says what did not happen.
    fn known<T>(&mut self, answer: Result<T, WalletError>) -> Result<Result<T, WalletError>, String> {
        if let Err(error) = &answer {
            let code = error.code();
            self.tally.codes.insert(code);
            if !documented().contains(&code) {
                return Err(format!("code {code} is not in docs/errors.md: {error}"));
            }
            match error {
                WalletError::Bug { .. } => return Err(format!("a bug: {error}")),
                WalletError::StoreCorrupt | WalletError::StoreTooNew { .. } | WalletError::StoreBusy => {
                    return Err(format!("nobody did that to the store: {error}"));
                }
                _ => {}
            }
        }
        Ok(answer)
    }

    fn tap(&mut self, wallet: &Wallet, amount: Amount, reader: Reader) -> Result<(), String> {
        let user = self.truth.user();
        let ready = wallet.token_status() == TokenStatus::Ready;
        let usable = wallet.credentials().ok().map(|stock| stock.usable);
        let now = self.world.monotonic();
        let tapped = self.world.tap(amount, reader)?;
        if let Some(code) = tapped.code {
            self.tally.codes.insert(code);
            let applies = code == 10_000 || documented().contains(&code);
            if !applies || code == 10_004 {
                return Err(format!("a tap ended with {code}: {tapped:?}"));
            }
        }
        let payers = self.world.payers()?;
        let completed = tapped.code == Some(10_000);
        if completed || !payers.is_empty() {
            self.paid(user, amount, now, &tapped, &payers)?;
        } else {
            self.tally.refused += 1;
        }
        self.owed(ready, amount, reader, now, &tapped)?;
        self.spent(wallet, usable, completed)?;
        match (tapped.code, amount) {
            (Some(10_000), Amount::High) => self.truth.close_window(),
            (Some(10_000), Amount::Low) => self.truth.perhaps_close_window(),
            (Some(10_003), _) => {
                self.tally.asked_to_prove += 1;
                self.truth.close_window();
            }
            _ => {}
        }
        Ok(())
    }

    /// A cryptogram left: was it allowed to?
    fn paid(
        &mut self,
        user: Option<User>,
        amount: Amount,
        now: Duration,
        tapped: &Tapped,
        payers: &[String],
    ) -> Result<(), String> {
        if tapped.code != Some(10_000) {
            return Err(format!("the issuer saw a cryptogram of a tap that failed: {tapped:?}"));
        }
        if payers.is_empty() {
            // The answer never reached the terminal.
            self.truth.may_lose(1);
        }
        let allowed =
            user.map_or_else(|| User::ALL.iter().any(|user| self.truth.may_pay(*user)), |u| self.truth.may_pay(u));
        if !allowed {
            return Err(format!("a tap was paid by {user:?}: {:?}", self.truth));
        }
        if amount == Amount::High && !self.truth.may_be_present(now) {
            return Err("a high amount was paid without a proof of presence".to_owned());
        }
        if let (Some(user), Some(other)) =
            (user, payers.iter().find(|name| user.is_some_and(|user| user.name() != **name)))
        {
            return Err(format!("{} is connected, and {other} paid", user.name()));
        }
        match &tapped.outcome {
            PaymentOutcome::Approved => self.tally.paid += 1,
            PaymentOutcome::LinkLost => {}
            // The phone has not heard of it yet, or does not know what time it is.
            PaymentOutcome::DeclinedByIssuer {
                reason: DeclineReason::TokenSuspended | DeclineReason::TokenDeleted | DeclineReason::TokenInactive,
            } => {}
            PaymentOutcome::DeclinedByIssuer { reason: DeclineReason::CredentialExpired }
                if self.truth.trouble.clocks => {}
            other => return Err(format!("the issuer or the terminal refused a cryptogram: {other}")),
        }
        Ok(())
    }

    /// A phone that says "ready", and that nothing keeps from paying, pays.
    fn owed(&self, ready: bool, amount: Amount, reader: Reader, now: Duration, tapped: &Tapped) -> Result<(), String> {
        let present = amount == Amount::Low || self.truth.is_present(now);
        let owed = ready && reader == Reader::Whole && self.truth.is_calm() && present;
        if owed && tapped.code != Some(10_000) {
            return Err(format!("the wallet was ready and did not pay: {tapped:?}, {:?}", self.truth));
        }
        if amount == Amount::Low && tapped.outcome == PaymentOutcome::SeePhone {
            return Err("a low amount asked for a proof of presence".to_owned());
        }
        Ok(())
    }

    /// A refused tap spends nothing, and a paid one spends one.
    fn spent(&mut self, wallet: &Wallet, before: Option<u32>, completed: bool) -> Result<(), String> {
        if self.truth.trouble.disk {
            // A commit that failed may come back.
            self.truth.may_lose(1);
            return Ok(());
        }
        // What follows a tap may learn that the service deleted the token, with its credentials.
        let after = wallet.credentials().ok().filter(|_| wallet.token_status() != TokenStatus::NoToken);
        let after = after.map(|stock| stock.usable);
        if let (Some(before), Some(after), false) = (before, after, self.truth.trouble.clocks)
            && after + u32::from(completed) < before
        {
            return Err(format!("{before} credentials before the tap, {after} after it, paid: {completed}"));
        }
        Ok(())
    }

    /// The wallet has the service's word, and agrees with it.
    fn synced(&mut self) -> Result<(), String> {
        let (Some(user), Some(wallet)) = (self.truth.user(), self.world.wallet.clone()) else { return Ok(()) };
        let token = self.world.token(user)?;
        let by = token.as_ref().map(|token| token.suspended_by.clone());
        self.truth.synced(user, by.as_deref());
        if !self.truth.is_active(user) {
            return Ok(());
        }
        let status = wallet.token_status();
        let agrees = match (&status, by.unwrap_or_default()) {
            (TokenStatus::Locked(here), there) => *here == there,
            (TokenStatus::Ready | TokenStatus::NoCredentials, there) => there.is_empty(),
            _ => false,
        };
        if !agrees {
            return Err(format!("{status:?} after a sync, but the service has {token:?}"));
        }
        Ok(())
    }

    fn mend(&mut self) {
        self.world.mend();
        self.truth.trouble.disk = false;
        self.truth.trouble.keys = false;
    }

    fn expire_after(&mut self, seconds: u32) {
        if seconds >= LIFETIME {
            self.truth.may_lose_any();
        }
    }

    fn kill(&mut self, power_cut: Option<u64>) -> Result<(), String> {
        self.world.kill(power_cut)?;
        self.truth.trouble.disk = false;
        self.open()
    }

    /// Starts the app; a disk that fails may keep it from opening, and nothing else.
    fn open(&mut self) -> Result<(), String> {
        let opened = self.world.open();
        self.truth.opened();
        match self.known(opened)? {
            Err(error) if !self.truth.trouble.disk => Err(format!("the wallet does not open: {error}")),
            _ => Ok(()),
        }
    }

    fn service(
        &self,
        act: impl Fn(
            &nfcwallet_sandbox::token_service::TokenService,
            &str,
        ) -> Result<(), nfcwallet_sandbox::token_service::AdminError>,
    ) -> Result<(), String> {
        let Some(user) = self.truth.user() else { return Ok(()) };
        let Some(token) = self.world.token(user)? else { return Ok(()) };
        act(self.world.sandbox.service(), &token.token_reference).map_err(|error| error.to_string())
    }

    /// Everything works again: the wallet recovers, every user who has a token pays, and the books
    /// agree.
    fn end(&mut self) -> Result<(), String> {
        self.mend();
        self.world.set_wall_off(0);
        if self.world.wallet.is_none() {
            self.open()?;
            self.after()?;
        }
        for user in User::ALL {
            self.recover(user).map_err(|problem| format!("{}: {problem}", user.name()))?;
        }
        Ok(())
    }

    fn recover(&mut self, user: User) -> Result<(), String> {
        for party in [Suspender::Issuer, Suspender::Scheme] {
            if let Some(token) = self.world.token(user)? {
                let service = self.world.sandbox.service();
                service.resume(&token.token_reference, party).map_err(|error| error.to_string())?;
            }
        }
        let wallet = self.world.wallet.clone().ok_or("no wallet")?;
        self.world.log_in(user);
        // Twice: what the first one heals, the second one brings up to date.
        for _ in 0..2 {
            let answer = self.world.wait(wallet.connect(user.name()));
            self.world.settle()?;
            let answer = self.known(answer)?;
            self.truth.connected(user, &answer)?;
            let connection = answer.map_err(|error| format!("not connected: {error}"))?;
            match connection.service {
                None => self.synced()?,
                // The service knows the device by its key, and learns of a new one by an activation.
                Some(WalletError::Service { reason: ServiceProblem::BadSignature }) => self.activate_anew(&wallet)?,
                Some(problem) => return Err(format!("not caught up: {problem}")),
            }
            self.after()?;
        }
        self.pay_at_the_end(&wallet, user)
    }

    fn activate_anew(&mut self, wallet: &Wallet) -> Result<(), String> {
        let answer = self.world.wait(wallet.activate(ActivationMode::Manual, listener()));
        let answer = self.known(answer)?;
        self.truth.activated(ActivationMode::Manual, &answer);
        match answer {
            // A run that was unfinished may have got there first.
            Ok(()) | Err(WalletError::InvalidInput { .. }) => Ok(()),
            Err(error) => Err(format!("not activated anew: {error}")),
        }
    }

    fn pay_at_the_end(&mut self, wallet: &Wallet, user: User) -> Result<(), String> {
        if let TokenStatus::Locked(by) = wallet.token_status() {
            let answer = self.world.wait(wallet.unlock());
            let answer = self.known(answer)?;
            self.truth.changed_lock(false, &answer);
            answer.map_err(|error| format!("locked by {by:?}, and not unlocked: {error}"))?;
        }
        match wallet.token_status() {
            TokenStatus::NoToken | TokenStatus::Prepared => return Ok(()),
            TokenStatus::Ready | TokenStatus::NoCredentials => {}
            other => return Err(format!("no recovery from {other:?}")),
        }
        self.world.wait(wallet.replenish()).map_err(|error| format!("not replenished: {error}"))?;
        self.world.settle()?;
        let tapped = self.world.tap(Amount::Low, Reader::Whole)?;
        if tapped.outcome != PaymentOutcome::Approved {
            return Err(format!("not paid in the end: {tapped:?}"));
        }
        self.world.payers()?;
        self.books(wallet, user)
    }

    /// Issued = usable + used + discarded, and no more were lost than may be.
    fn books(&mut self, wallet: &Wallet, user: User) -> Result<(), String> {
        let mut problem = String::new();
        for _ in 0..3 {
            // Reports what was used.
            let answer = self.world.wait(wallet.connect(user.name()));
            self.world.settle()?;
            answer.map_err(|error| format!("not connected: {error}"))?;
            let token = self.world.token(user)?.ok_or("the service knows no token")?;
            let usable = wallet.credentials().map_err(|error| error.to_string())?.usable;
            let seen = u32::try_from(self.world.cryptograms(&token.token_reference)?).unwrap_or(u32::MAX);
            if token.issued != token.used + token.discarded + usable {
                problem = format!("{usable} usable credentials, but the service has {token:?}");
                continue;
            }
            if token.used < seen {
                return Err(format!("the issuer saw {seen} cryptograms, but the service has {token:?}"));
            }
            let lost = token.used - seen + token.discarded;
            return match self.truth.losses(user) {
                Some(losses) if lost > losses => {
                    Err(format!("{lost} credentials were lost, {losses} may be: {token:?}"))
                }
                _ => Ok(()),
            };
        }
        Err(problem)
    }
}

fn listener() -> Arc<dyn ActivationListener> {
    Arc::new(Recorder::default())
}
