//! What the wallet does without being asked: catching up, replenishing, settling taps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::Inner;
use crate::Result;
use crate::context::User;
use crate::credentials::Wish;
use crate::error::{KeyStoreProblem, WalletError};
use crate::host::KeyStoreError;
use crate::payment::{AfterTap, Leftovers, Silence};
use crate::token::{self, Drained};

impl Inner {
    /// Keys, inbox and state now; activation and stock in the background.
    pub(super) async fn catch_up(inner: &Arc<Self>) -> Result<()> {
        let user = inner.context.user()?;
        inner.context.service.ensure_keys().await?;
        // A fault of one part does not keep the others from their work.
        let synced = Self::sync(inner, &user).await;
        Self::resume_activation(inner, &user);
        Self::look_at_stock(inner);
        Self::report_in_background(inner, user);
        synced
    }

    /// Applies the inbox, then takes the service's state over. Both are tried; the first fault is
    /// told.
    pub(super) async fn sync(inner: &Arc<Self>, user: &User) -> Result<()> {
        let _turn = inner.talk.lock().await;
        let inbox = {
            let mut wishes = Wishes { inner, drained: Drained::default() };
            token::drain(&inner.context, user, &mut wishes.drained).await
        };
        let state = token::sync(&inner.context, user).await;
        inbox.and(state)
    }

    /// Catches up in the background, once at a time; asked for meanwhile, once more.
    pub(super) fn catch_up_in_background(inner: &Arc<Self>) {
        inner.catch_up_again.store(true, Ordering::SeqCst);
        if inner.catching_up.swap(true, Ordering::SeqCst) {
            return;
        }
        let running = CatchingUp(Arc::clone(inner));
        inner.context.calls.spawn(Box::pin(async move {
            let inner = Arc::clone(&running.0);
            while inner.catch_up_again.swap(false, Ordering::SeqCst) {
                if let Err(error) = Self::catch_up(&inner).await {
                    tracing::info!(code = error.code(), "not caught up");
                }
            }
            drop(running);
            // One that asked just now found this task still running.
            if inner.catch_up_again.load(Ordering::SeqCst) {
                Self::catch_up_in_background(&inner);
            }
        }));
    }

    /// After taps: history, rollback anchor and stock, off the taps' thread, by one task at a time. A
    /// wallet in use asks the service for the token's state once a day at least.
    pub(super) fn clean_up(inner: &Arc<Self>, left: Leftovers) {
        let Some(mut worker) = inner.leftovers.add(left) else { return };
        let task = Arc::clone(inner);
        inner.context.calls.spawn(Box::pin(async move {
            while let Some((left, next)) = worker.next() {
                worker = next;
                task.taps.clean_up(&task.context, left.rows);
                if left.look_at_stock {
                    Self::look_at_stock(&task);
                }
                if task.context.user().is_ok_and(|user| task.context.is_service_silent(user.key)) {
                    Self::catch_up_in_background(&task);
                }
            }
        }));
    }

    /// Ends taps whose terminal falls silent: one task as long as taps run, however many they are.
    pub(super) fn watch(inner: &Arc<Self>) {
        if inner.watching.swap(true, Ordering::AcqRel) {
            return;
        }
        let watching = Watching(Arc::clone(&inner.watching));
        let weak = Arc::downgrade(inner);
        let clock = Arc::clone(&inner.context.calls.host().clock);
        inner.context.calls.spawn(Box::pin(async move {
            let mut pause = crate::payment::SILENCE;
            loop {
                clock.deadline(pause).await;
                let Some(inner) = weak.upgrade() else { return };
                match inner.taps.check_silence(&inner.context) {
                    Silence::Wait(left) => pause = left,
                    ended_or_none => {
                        drop(watching);
                        if let Silence::Ended(AfterTap::TapEnded(left)) = ended_or_none {
                            Self::clean_up(&inner, left);
                        }
                        // One that began just now found this task still watching.
                        if inner.taps.is_running() {
                            Self::watch(&inner);
                        }
                        return;
                    }
                }
            }
        }));
    }

    /// Replenishes if the stock is strictly below the threshold.
    pub(super) fn look_at_stock(inner: &Arc<Self>) {
        Self::replenish_in_background(inner, Wish::Automatic);
    }

    fn replenish_in_background(inner: &Arc<Self>, wish: Wish) {
        let task = Arc::clone(inner);
        inner.context.calls.spawn(Box::pin(async move {
            let Ok(user) = task.context.user() else { return };
            match task.replenishing.replenish(&task.context, &user, wish).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "replenished"),
                Err(WalletError::NoToken | WalletError::TokenUnavailable { .. } | WalletError::ShutDown) => {}
                Err(error) => {
                    tracing::info!(code = error.code(), "replenishment failed");
                    Self::retry_later(&task);
                }
            }
        }));
    }

    /// Usage that was not reported with a replenishment.
    pub(super) fn report_in_background(inner: &Arc<Self>, user: User) {
        let task = Arc::clone(inner);
        inner.context.calls.spawn(Box::pin(async move {
            if let Err(error) = task.replenishing.report(&task.context, &user).await {
                tracing::info!(code = error.code(), "usage report postponed");
            }
        }));
    }

    /// A timer for the next automatic attempt. The earliest one counts; a later one that wakes up
    /// behind it does nothing.
    pub(super) fn retry_later(inner: &Arc<Self>) {
        let clock = Arc::clone(&inner.context.calls.host().clock);
        let now = clock.monotonic();
        let Some(pause) = inner.replenishing.retry_in(now) else { return };
        let at = now + pause;
        {
            let mut scheduled = inner.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
            // A time that has passed without its timer belongs to a task that the host lost.
            if scheduled.is_some_and(|earlier| now < earlier && earlier <= at) {
                return;
            }
            *scheduled = Some(at);
        }
        let weak = Arc::downgrade(inner);
        inner.context.calls.spawn(Box::pin(async move {
            clock.sleep(pause).await;
            let Some(inner) = weak.upgrade() else { return };
            {
                let mut scheduled = inner.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
                if *scheduled != Some(at) {
                    return;
                }
                *scheduled = None;
            }
            // A failure in between moved the back-off, or the host's timer was early.
            match inner.replenishing.retry_in(clock.monotonic()) {
                Some(_) => Self::retry_later(&inner),
                None => Self::look_at_stock(&inner),
            }
        }));
    }

    fn resume_activation(inner: &Arc<Self>, user: &User) {
        let (task, user) = (Arc::clone(inner), user.clone());
        inner.context.calls.spawn(Box::pin(async move {
            if let Err(error) = task.activations.resume(&task.context, &user).await {
                tracing::info!(code = error.code(), "activation not finished");
            }
        }));
    }

    /// A store that will never pay again is renewed: tokens and credentials go, identity stays.
    /// Returns what was wrong with it.
    pub(super) fn heal(&self) -> Result<Option<WalletError>> {
        // Asked afresh: what the key store said at `init` may have passed.
        let problem = match self.context.store.ensure_key() {
            // The storage key is in memory since `init`. If the hardware has destroyed its keys in the
            // meantime, no request can be signed any more, and the next `init` will not get it back.
            Ok(()) => match self.context.calls.public_key() {
                Err(error @ KeyStoreError::Invalidated) => error.into(),
                Ok(_) | Err(_) => return Ok(None),
            },
            Err(
                problem @ (WalletError::StoreRolledBack
                | WalletError::KeyStore { reason: KeyStoreProblem::Invalidated | KeyStoreProblem::NotFound }),
            ) => problem,
            // Locked or slow: the key may still open.
            Err(other) => return Err(other),
        };
        self.forget_user();
        self.context.store.renew()?;
        Ok(Some(problem))
    }

    /// Nothing of the connected user stays in memory.
    pub(super) fn forget_user(&self) {
        self.taps.end(&self.context);
        self.taps.window().close();
        self.taps.forget_card();
        self.taps.forget_reference();
        self.context.sessions.forget();
    }
}

/// True while it lives, whatever becomes of the task that holds it.
struct CatchingUp(Arc<Inner>);

impl Drop for CatchingUp {
    fn drop(&mut self) {
        self.0.catching_up.store(false, Ordering::SeqCst);
    }
}

/// Likewise for the watch over silent terminals, which keeps no wallet alive.
struct Watching(Arc<AtomicBool>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What messages asked for, done also when an acknowledgement is lost or the caller's future is
/// dropped: what was applied is not delivered again.
struct Wishes<'a> {
    inner: &'a Arc<Inner>,
    drained: Drained,
}

impl Drop for Wishes<'_> {
    fn drop(&mut self) {
        if self.drained.replenish {
            self.inner.replenishing.forget_failures();
            Inner::replenish_in_background(self.inner, Wish::Manual);
        }
    }
}
