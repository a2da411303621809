//! The burn of a tap: decided on the tap's thread, made durable beside it.
//!
//! The terminal waits for the disk and for the signature of the card, and neither needs the other: the
//! transaction is opened and filled on the tap's thread, which then has the credential and can sign;
//! its commit runs on another thread meanwhile. [`Burn::wait`] brings both together: nothing that was
//! made with the credential may leave before it has returned `Ok`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::credentials::{Front, Purpose};
use super::error::StoreError;
use super::guard::{ArmTicket, Turn};
use super::records::UserKey;
use super::tx::{Mode, Transaction, Tx};
use super::{Inner, Store, counted};
use crate::card::hooks::BurningCredential;
use crate::error::WalletError;
use crate::host::Beside;
use crate::sync::owned::MutexGuardArc;
use crate::token_service::ServiceTime;

/// A burn whose commit is under way. Dropping it waits for nothing: the credential is then burnt, or
/// not, and nobody has it.
#[must_use = "the burn is durable only once `wait` says so"]
pub struct Burn {
    durable: Beside<Result<(), WalletError>>,
}

impl std::fmt::Debug for Burn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Burn")
    }
}

impl Burn {
    /// Blocks until the burn is on the disk, which it then is for good.
    ///
    /// # Errors
    /// Those of the store. What was made with the credential must be destroyed: after a restart it may
    /// be there again, unburnt.
    pub fn wait(self) -> Result<(), WalletError> {
        self.durable.wait().unwrap_or(Err(WalletError::Bug { code: "commit_panicked" }))
    }
}

impl Store {
    /// Begins to burn the user's next credential: one durable commit, after which it is gone whatever
    /// happens. `None` if none is usable at `time` for `purpose`, or if it `is_wanted` no more after the
    /// wait for the guard and the host's anchor: nothing is burnt then. The credential may be computed
    /// with at once; what comes of it may leave only after [`Burn::wait`].
    ///
    /// Waits for the arming that `ticket` began. Credentials in front that have expired cost a commit
    /// and an arming more; `discard_expired` in the background keeps them away.
    ///
    /// A kill costs at most the one credential that this call would have returned.
    ///
    /// # Errors
    /// [`WalletError::TokenUnavailable`] if the token is not active, is suspended, or its user is not
    /// connected; [`WalletError::StoreRolledBack`], [`WalletError::KeyStore`], those of the store.
    /// Nothing was burnt then, and no cryptogram may leave.
    pub fn start_burn(
        &self,
        user: UserKey,
        time: ServiceTime,
        ticket: ArmTicket,
        purpose: Purpose,
        is_wanted: impl FnOnce() -> bool,
    ) -> Result<Option<(BurningCredential, Burn)>, WalletError> {
        let turn = self.guard.turn()?;
        // Dropped, an open burn is rolled back.
        let opened = self.open_burn(&turn, user, time, purpose).map(|opened| opened.filter(|_| is_wanted()));
        let Ok(Some((credential, opened))) = opened else {
            // In this order: without the ticket, nothing is armed when the turn ends.
            drop(ticket);
            drop(turn);
            return opened.map(|_| None);
        };
        let durable = self.calls.beside(move || {
            let committed = opened.commit(&turn);
            drop(ticket);
            drop(turn);
            committed
        });
        Ok(Some((credential, Burn { durable })))
    }

    /// Burns the next credential for a cryptogram and waits until that is durable.
    ///
    /// # Errors
    /// As [`start_burn`](Self::start_burn) and [`Burn::wait`].
    pub fn burn_next(
        &self,
        user: UserKey,
        time: ServiceTime,
        ticket: ArmTicket,
    ) -> Result<Option<BurningCredential>, WalletError> {
        let Some((credential, burn)) = self.start_burn(user, time, ticket, Purpose::Cryptogram, || true)? else {
            return Ok(None);
        };
        burn.wait().map(|()| Some(credential))
    }

    fn open_burn(
        &self,
        turn: &Turn,
        user: UserKey,
        time: ServiceTime,
        purpose: Purpose,
    ) -> Result<Option<(BurningCredential, OpenCommit)>, WalletError> {
        let service_now_ms = time.now_ms;
        turn.check_standing()?;
        // Once more if the front had to be cleared; nobody else changes the stock in this turn.
        for _ in 0..2 {
            let generation = turn.arm(Some(user))?;
            let mut front = None;
            let opened = self.open_commit(generation, |tx| {
                front = Some(tx.burn_front(user, service_now_ms, purpose)?);
                match front {
                    Some(Front::Burnt(_)) => Ok(()),
                    // Leaves without a commit; the error goes no further than the match below.
                    _ => Err(StoreError::Bug("nothing_to_burn").into()),
                }
            });
            match front {
                Some(Front::Burnt(credential)) => return opened.map(|opened| Some((credential, opened))),
                Some(Front::Empty | Front::WithoutChecksumKey) => return Ok(None),
                Some(Front::Forbidden) => return Err(StoreError::NotPayable.into()),
                // The phone's clock may be months ahead: by a guessed time that leaves nothing, nothing
                // is destroyed. With something left, the front would be dead after the burn anyway.
                Some(Front::Unusable)
                    if !time.learnt && self.read(|tx| tx.stock(user, service_now_ms))?.usable == 0 =>
                {
                    return Ok(None);
                }
                Some(Front::Unusable) => {
                    self.commit_guarded(turn, generation, |tx| Ok(tx.discard_unusable_front(user, service_now_ms)?))?;
                }
                None => drop(opened?),
            }
        }
        Err(StoreError::Bug("burn_front").into())
    }

    /// Runs `body` from `generation` and leaves its transaction open.
    fn open_commit(
        &self,
        generation: u64,
        body: impl FnOnce(&Tx<'_>) -> Result<(), WalletError>,
    ) -> Result<OpenCommit, WalletError> {
        let parts = self.parts(Mode::Guarded);
        let mut inner = self.inner.lock_arc_blocking();
        let opened = inner.open_transaction(|connection, key| {
            let transaction = Transaction::begin(connection)?;
            counted(&Tx::new(connection, key, parts), generation, body)?;
            transaction.leave_open();
            Ok(())
        });
        match opened {
            Ok(()) => Ok(OpenCommit { inner: Some(inner), commits: Arc::clone(&self.commits) }),
            Err(error) => Err(inner.set_aside_if_corrupt(error)),
        }
    }
}

/// A transaction that has all its changes and holds the lock; rolled back unless committed.
struct OpenCommit {
    inner: Option<MutexGuardArc<Inner>>,
    commits: Arc<AtomicU64>,
}

impl OpenCommit {
    fn commit(mut self, turn: &Turn) -> Result<(), WalletError> {
        let Some(mut inner) = self.inner.take() else { return Err(StoreError::Bug("commit_twice").into()) };
        let result = inner.open_transaction(|connection, _| Ok(Transaction::left_open(connection).commit()?));
        match result {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                turn.committed();
                Ok(())
            }
            Err(error) => {
                turn.commit_failed();
                Err(inner.set_aside_if_corrupt(error))
            }
        }
    }
}

impl Drop for OpenCommit {
    fn drop(&mut self) {
        if let Some(mut inner) = self.inner.take() {
            // The transaction's own drop rolls back.
            let undone = inner.open_transaction(|connection, _| {
                drop(Transaction::left_open(connection));
                Ok(())
            });
            if let Err(error) = undone {
                tracing::error!(%error, "a transaction was not rolled back");
            }
        }
    }
}
