//! All taps of a wallet: the card application, its current tap, and what follows an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::cdcvm::CdcvmWindow;
use super::history::TransactionRecord;
use super::tap::{Happened, Hooks, Tap};
use super::{TapFailure, TapId};
use crate::Result;
use crate::activation::Activations;
use crate::card::{Card, CardApplication};
use crate::context::Context;
use crate::error::WalletError;
use crate::storage::UserKey;
use crate::token::{Facts, TokenStatus, gather};

/// A terminal that sends nothing for this long has gone away.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// SW 6985: conditions of use not satisfied (ISO 7816-4, 5.6).
const NOT_NOW: [u8; 2] = [0x69, 0x85];

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
    TapEnded(Option<HistoryRow>),
}

/// A row that is not in the history yet: it is not part of the burn.
pub(crate) type HistoryRow = (UserKey, Box<TransactionRecord>);

/// The taps of one wallet.
pub(crate) struct Taps {
    field: Mutex<Field>,
    window: CdcvmWindow,
    reference: Mutex<Option<[u8; 8]>>,
    ids: AtomicU64,
    card: Mutex<Option<CachedCard>>,
    facts: Mutex<Option<CachedFacts>>,
    activations: Arc<Activations>,
}

#[derive(Default)]
struct Field {
    application: CardApplication,
    tap: Option<Tap>,
    refused_at: Option<Duration>,
}

struct CachedCard {
    user: UserKey,
    /// The token's. A changed profile of the same token is followed by [`Taps::forget_card`].
    reference: String,
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
            field: Mutex::default(),
            window: CdcvmWindow::default(),
            reference: Mutex::default(),
            ids: AtomicU64::new(1),
            card: Mutex::default(),
            facts: Mutex::default(),
            activations,
        }
    }

    /// Answers one APDU. Total: every input has an answer.
    pub(crate) fn process(&self, context: &Context, apdu: &[u8]) -> (Vec<u8>, AfterTap) {
        // A second reader, or a host that calls back from within its permit.
        let mut field = match self.field.try_lock() {
            Ok(field) => field,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return (NOT_NOW.to_vec(), AfterTap::Nothing),
        };
        let Field { application, tap, refused_at } = &mut *field;
        let now = context.calls.clock().monotonic();
        let mut hooks = Hooks { context, taps: self, tap, refused_at, happened: Vec::new() };
        if hooks.tap.as_ref().is_some_and(|tap| now.saturating_sub(tap.last_apdu) > SILENCE) {
            hooks.lose_link();
            application.reset();
        }
        let answer = application.process(apdu, &mut hooks);
        if let Some(tap) = hooks.tap.as_mut() {
            tap.last_apdu = now;
        }
        let happened = std::mem::take(&mut hooks.happened);
        drop(field);
        (answer, self.tell(context, happened))
    }

    /// Ends the current tap, if one is unfinished: the field is gone, or the user disconnects.
    pub(crate) fn end(&self, context: &Context) -> AfterTap {
        self.end_in(context, self.field.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends `id`, whose terminal went silent, if it is still the current tap.
    pub(crate) fn end_silent(&self, context: &Context, id: TapId) -> AfterTap {
        let field = self.field.lock().unwrap_or_else(PoisonError::into_inner);
        match &field.tap {
            Some(tap) if tap.id == id => self.end_in(context, field),
            _ => AfterTap::Nothing,
        }
    }

    fn end_in(&self, context: &Context, mut field: MutexGuard<'_, Field>) -> AfterTap {
        let Field { application, tap, refused_at } = &mut *field;
        *refused_at = None;
        let mut hooks = Hooks { context, taps: self, tap, refused_at, happened: Vec::new() };
        hooks.lose_link();
        application.reset();
        let happened = std::mem::take(&mut hooks.happened);
        drop(field);
        self.tell(context, happened)
    }

    /// How long `id` may still be silent; `None` once it has ended.
    pub(crate) fn silence_left(&self, context: &Context, id: TapId) -> Option<Duration> {
        let field = self.field.lock().unwrap_or_else(PoisonError::into_inner);
        let last = field.tap.as_ref().filter(|tap| tap.id == id)?.last_apdu;
        Some(SILENCE.saturating_sub(context.calls.clock().monotonic().saturating_sub(last)))
    }

    /// The tap that is unfinished now.
    pub(crate) fn current(&self) -> Option<TapId> {
        self.field.try_lock().ok()?.tap.as_ref().map(|tap| tap.id)
    }

    pub(crate) fn window(&self) -> &CdcvmWindow {
        &self.window
    }

    /// Sets the reference of the next tap; at most 8 bytes, padded with 00 on the right.
    pub(crate) fn set_reference(&self, bytes: &[u8]) -> Result<()> {
        let mut reference = [0; 8];
        match reference.get_mut(..bytes.len()) {
            Some(start) if !bytes.is_empty() => start.copy_from_slice(bytes),
            _ => {
                let reason = format!("is {} bytes, limit 1 to 8", bytes.len());
                return Err(WalletError::InvalidInput { field: "transaction_reference", reason });
            }
        }
        *self.reference.lock().unwrap_or_else(PoisonError::into_inner) = Some(reference);
        Ok(())
    }

    pub(crate) fn take_reference(&self) -> Option<[u8; 8]> {
        self.reference.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn next_id(&self) -> TapId {
        TapId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Everything after a tap that no terminal waits for; blocks. The history's row goes first, since
    /// each commit makes the facts old, and the next tap shall find them fresh.
    pub(crate) fn clean_up(&self, context: &Context, row: Option<HistoryRow>) {
        if let Some((user, record)) = row
            && let Err(error) = context.store.write(|tx| tx.append_history(user, &*record))
        {
            tracing::warn!(code = error.code(), "history row not kept");
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

    /// Forgets the card in memory.
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
        let reference = facts.token.map(|token| token.reference).ok_or(TapFailure::NoToken)?;
        let card = self.card(context, user, reference).map_err(|_| TapFailure::StorageUnusable)?;
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
        // A key store that recovers is no commit: ask again until it has.
        *cached = facts.healthy.then(|| CachedFacts { changes, running, facts: facts.clone() });
        Ok(facts)
    }

    /// The compiled card, made again only when another token is in force.
    fn card(&self, context: &Context, user: UserKey, reference: String) -> Result<Arc<Card>> {
        let mut cached = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref()
            && cached.user == user
            && cached.reference == reference
        {
            return Ok(Arc::clone(&cached.card));
        }
        let profile = context.store.read(|tx| tx.profile(user))?.ok_or(WalletError::NoToken)?;
        let card = Card::compile(&profile).map_err(|_| WalletError::Bug { code: "stored_profile_does_not_compile" })?;
        let card = Arc::new(card);
        *cached = Some(CachedCard { user, reference, card: Arc::clone(&card) });
        Ok(card)
    }

    /// Queues the events of an APDU, after its answer was made. The order is the promise.
    fn tell(&self, context: &Context, happened: Vec<Happened>) -> AfterTap {
        let mut after = AfterTap::Nothing;
        for event in happened {
            let listener = Arc::clone(&context.calls.host().transactions);
            match event {
                Happened::Started(id) => context.events.push(move || listener.on_start(id)),
                Happened::Completed(id, user, record) => {
                    super::report::completed(context, id, &record, listener);
                    after = AfterTap::TapEnded(Some((user, record)));
                }
                Happened::Failed(id, row, failure) => {
                    super::report::failed(context, id, row.as_ref().map(|(_, record)| &**record), failure, listener);
                    after = AfterTap::TapEnded(row);
                }
            }
        }
        after
    }
}
