//! All taps of a wallet: the card application, its current tap, and what follows an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cdcvm::CdcvmWindow;
use super::leftovers::{HistoryRow, Leftovers};
use super::reference::NextReference;
use super::report;
use super::tap::{Happened, Hooks, Refused, Tap};
use super::{TapFailure, TapId};
use crate::Result;
use crate::activation::Activations;
use crate::card::{Card, CardApplication};
use crate::context::Context;
use crate::error::WalletError;
use crate::host::is_inside_host_call;
use crate::secret::scrub_stack;
use crate::storage::UserKey;
use crate::sync::{Mutex, MutexGuard};
use crate::token::{Facts, TokenStatus, gather};

#[cfg(all(test, feature = "interleavings"))]
mod interleavings;

/// A terminal that sends nothing for this long has gone away.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// SW 6985: conditions of use not satisfied (ISO 7816-4, 5.6).
const NOT_NOW: [u8; 2] = [0x69, 0x85];

/// SW 6F00: no precise diagnosis (ISO 7816-4, 5.6).
const INTERNAL: [u8; 2] = [0x6F, 0x00];

/// Why the platform says that the field is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldLoss {
    /// The phone left the field.
    LinkLost,
    /// The reader selected another application on this phone.
    OtherApplicationSelected,
}

/// What is left to do in the background after an APDU.
#[derive(Debug)]
pub(crate) enum AfterTap {
    /// A tap goes on, or nothing happened.
    Nothing,
    /// A tap ended: [`Taps::clean_up`], and look at the stock.
    TapEnded(Leftovers),
}

/// What the watch over silent terminals found.
#[derive(Debug)]
pub(crate) enum Silence {
    /// No tap runs.
    NoTap,
    /// The terminal may still be silent for this long.
    Wait(Duration),
    /// The terminal was silent for too long; its tap has ended.
    Ended(AfterTap),
}

/// What came of one APDU.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Vec<u8>,
    pub(crate) after: AfterTap,
    /// A tap began with this APDU and goes on: somebody must watch for its silence.
    pub(crate) begun: bool,
}

/// The taps of one wallet.
pub(crate) struct Taps {
    slot: Mutex<Slot>,
    window: CdcvmWindow,
    reference: NextReference,
    ids: AtomicU64,
    card: Mutex<Option<CachedCard>>,
    facts: Mutex<Option<CachedFacts>>,
    activations: Arc<Activations>,
}

/// Where the field is. The lock is held for moments only, never while the host is asked: who answers
/// an APDU takes the field out and puts it back.
#[derive(Default)]
struct Slot {
    field: Field,
    /// The field is taken out.
    busy: bool,
    /// The tap in the field that is taken out must end.
    end_requested: bool,
    /// The host has sent a command from within its own answer about the tap that is taken out.
    reentered: bool,
}

#[derive(Default)]
struct Field {
    application: CardApplication,
    tap: Option<Tap>,
    refused: Option<Refused>,
}

struct CachedCard {
    user: UserKey,
    /// [`crate::storage::Store::commits`] when it was last found to be the stored one.
    changes: u64,
    /// The stored bytes that it was compiled from.
    sealed: Vec<u8>,
    card: Arc<Card>,
}

struct CachedFacts {
    /// [`crate::storage::Store::commits`] when they were read.
    changes: u64,
    /// [`Activations::running`] when they were read.
    running: Option<UserKey>,
    facts: Facts,
}

/// What the pre-check found.
pub(crate) struct Payable {
    pub(crate) user: UserKey,
    pub(crate) card: Arc<Card>,
}

impl std::fmt::Debug for Taps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Taps")
    }
}

impl Taps {
    pub(crate) fn new(activations: Arc<Activations>) -> Self {
        Self {
            slot: Mutex::default(),
            window: CdcvmWindow::default(),
            reference: NextReference::default(),
            ids: AtomicU64::new(1),
            card: Mutex::default(),
            facts: Mutex::default(),
            activations,
        }
    }

    /// Answers one APDU. Total: every input has an answer, also if the host's clock or generator
    /// panics meanwhile.
    pub(crate) fn process(&self, context: &Context, apdu: &[u8]) -> Answered {
        let Some(mut field) = self.take_field() else {
            // A second reader, or a host that calls back from within its permit.
            return Answered { answer: NOT_NOW.to_vec(), after: AfterTap::Nothing, begun: false };
        };
        let before = field.tap.as_ref().map(|tap| tap.id);
        let (answer, happened) = self.answer(context, &mut field, apdu);
        if happened.iter().any(|event| !matches!(event, Happened::Started(_))) {
            // A credential's key may have been at work.
            scrub_stack();
        }

        let mut slot = self.lock();
        let lost = if std::mem::take(&mut slot.end_requested) { self.lose(context, &mut field) } else { Vec::new() };
        let begun = field.tap.as_ref().is_some_and(|tap| before != Some(tap.id));
        slot.field = field;
        slot.busy = false;
        // Queued with the lock held, so that the events of the next APDU cannot overtake them.
        let after = report::queue(context, happened.into_iter().chain(lost));
        drop(slot);
        Answered { answer, after, begun }
    }

    fn take_field(&self) -> Option<Field> {
        let mut slot = self.lock();
        if std::mem::replace(&mut slot.busy, true) {
            // A second reader comes on a thread of the platform's.
            slot.reentered |= is_inside_host_call();
            return None;
        }
        slot.reentered = false;
        Some(std::mem::take(&mut slot.field))
    }

    fn answer(&self, context: &Context, field: &mut Field, apdu: &[u8]) -> (Vec<u8>, Vec<Happened>) {
        let Field { application, tap, refused } = field;
        let mut hooks = Hooks { context, taps: self, tap, refused, between: None, burning: None, happened: Vec::new() };
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let now = context.calls.clock().monotonic();
            if hooks.tap.as_ref().is_some_and(|tap| now.saturating_sub(tap.last_apdu) >= SILENCE) {
                hooks.lose_link();
                application.reset();
            }
            let answer = application.process(apdu, &mut hooks);
            if let Some(tap) = hooks.tap.as_mut() {
                tap.last_apdu = now;
            }
            answer
        }));
        let answer = answered.unwrap_or_else(|_| {
            tracing::error!("a call of the host panicked during a tap");
            hooks.panicked();
            application.reset();
            INTERNAL.to_vec()
        });
        (answer, std::mem::take(&mut hooks.happened))
    }

    /// Ends the current tap, if one is unfinished: the field is gone, or the user disconnects. Never
    /// waits: a tap that is being decided learns of it before it burns, and ends after its answer.
    pub(crate) fn end(&self, context: &Context) -> AfterTap {
        self.end_in(context, self.lock())
    }

    /// Ends the current tap if its terminal has gone silent.
    pub(crate) fn check_silence(&self, context: &Context) -> Silence {
        let now = context.calls.clock().monotonic();
        let slot = self.lock();
        if slot.busy {
            // The terminal has just spoken.
            return Silence::Wait(SILENCE);
        }
        let Some(tap) = &slot.field.tap else { return Silence::NoTap };
        match SILENCE.saturating_sub(now.saturating_sub(tap.last_apdu)) {
            Duration::ZERO => Silence::Ended(self.end_in(context, slot)),
            left => Silence::Wait(left),
        }
    }

    /// Does a tap run?
    pub(crate) fn is_running(&self) -> bool {
        let slot = self.lock();
        slot.busy || slot.field.tap.is_some()
    }

    fn end_in(&self, context: &Context, mut slot: MutexGuard<'_, Slot>) -> AfterTap {
        if slot.busy {
            slot.end_requested = true;
            return AfterTap::Nothing;
        }
        report::queue(context, self.lose(context, &mut slot.field))
    }

    fn lose(&self, context: &Context, field: &mut Field) -> Vec<Happened> {
        let Field { application, tap, refused } = field;
        *refused = None;
        let mut hooks = Hooks { context, taps: self, tap, refused, between: None, burning: None, happened: Vec::new() };
        hooks.lose_link();
        application.reset();
        std::mem::take(&mut hooks.happened)
    }

    /// Must the tap that is being decided end?
    pub(crate) fn is_end_requested(&self) -> bool {
        self.lock().end_requested
    }

    /// Did the host play the terminal while it was asked about this tap? It is not in its senses.
    pub(crate) fn is_reentered(&self) -> bool {
        self.lock().reentered
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn window(&self) -> &CdcvmWindow {
        &self.window
    }

    pub(crate) fn reference(&self) -> &NextReference {
        &self.reference
    }

    /// Forgets the app's reference: another user must not pay with it.
    pub(crate) fn forget_reference(&self) {
        self.reference.forget();
    }

    pub(crate) fn next_id(&self) -> TapId {
        TapId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Everything after a tap that no terminal waits for; blocks. The history's row goes first, since
    /// each commit makes the facts old, and the next tap shall find them fresh.
    pub(crate) fn clean_up(&self, context: &Context, rows: Vec<HistoryRow>) {
        for (user, record) in rows {
            if let Err(error) = context.store.write(|tx| tx.append_history(user, &*record)) {
                tracing::warn!(code = error.code(), "history row not kept");
            }
        }
        self.prewarm(context);
        if let Err(error) = context.store.settle() {
            tracing::warn!(code = error.code(), "rollback anchor not settled");
        }
    }

    /// Reads and compiles everything a first tap needs.
    pub(crate) fn prewarm(&self, context: &Context) {
        if let Err(failure) = self.pre_check(context) {
            tracing::debug!(code = failure.code(), "nothing to warm up");
        }
    }

    /// Forgets the card in memory, with its key: the token or its user is gone.
    pub(crate) fn forget_card(&self) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Is the status "ready", and with which card?
    pub(crate) fn pre_check(&self, context: &Context) -> std::result::Result<Payable, TapFailure> {
        let facts = self.facts(context).map_err(|_| TapFailure::StorageUnusable)?;
        match facts.status() {
            TokenStatus::Ready => {}
            TokenStatus::KeyStoreUnusable => return Err(TapFailure::StorageUnusable),
            TokenStatus::Disconnected => return Err(TapFailure::NotConnected),
            TokenStatus::NoToken => return Err(TapFailure::NoToken),
            TokenStatus::NoCredentials => return Err(TapFailure::InsufficientCredentials),
            TokenStatus::Locked(_) | TokenStatus::QueryFailed | TokenStatus::Activating | TokenStatus::Prepared => {
                return Err(TapFailure::TokenUnavailable);
            }
        }
        let user = facts.user.ok_or(TapFailure::NotConnected)?;
        let card = self.card(context, user).map_err(|_| TapFailure::StorageUnusable)?;
        Ok(Payable { user, card })
    }

    /// The facts, read again only after a change of the store or an expiry.
    fn facts(&self, context: &Context) -> Result<Facts> {
        let changes = context.store.commits();
        let running = self.activations.running();
        let now_ms = context.service.service_now_ms();
        let mut cached = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref() {
            let unexpired = cached.facts.next_expiry_ms.is_none_or(|expiry| now_ms < expiry);
            if cached.changes == changes && cached.running == running && unexpired {
                return Ok(cached.facts.clone());
            }
        }
        let facts = gather(context, &self.activations)?;
        // A key store that recovers, or a clock that is set right, is no commit: ask again until then.
        *cached = (facts.healthy && facts.usable > 0).then(|| CachedFacts { changes, running, facts: facts.clone() });
        Ok(facts)
    }

    /// The compiled card, made again only when another one is stored.
    fn card(&self, context: &Context, user: UserKey) -> Result<Arc<Card>> {
        let changes = context.store.commits();
        let mut cached = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cached_here = cached.as_mut().filter(|cached| cached.user == user);
        if let Some(cached) = cached_here.as_ref().filter(|cached| cached.changes == changes) {
            return Ok(Arc::clone(&cached.card));
        }
        // A user who has just gone leaves no card behind: `forget_card` waits for this lock.
        let stored = context.store.read(|tx| match tx.connected_key()? {
            Some(connected) if connected == user => tx.sealed_profile(user),
            _ => Ok(None),
        });
        let sealed = stored?.ok_or(WalletError::NoToken)?;
        if let Some(cached) = cached_here.as_mut().filter(|cached| cached.sealed == sealed) {
            cached.changes = changes;
            return Ok(Arc::clone(&cached.card));
        }
        let profile = context.store.read(|tx| tx.profile(user))?.ok_or(WalletError::NoToken)?;
        let card = Card::compile(&profile).map_err(|_| WalletError::Bug { code: "stored_profile_does_not_compile" })?;
        let card = Arc::new(card);
        *cached = Some(CachedCard { user, changes, sealed, card: Arc::clone(&card) });
        Ok(card)
    }
}
