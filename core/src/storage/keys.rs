//! The data key and the anchor at open, and starting over.

use rusqlite::params;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Store;
use super::anchor::{AnchorValue, Arm, Binding, Verdict, judge};
use super::error::{StoreError, problem};
use super::guard::{Standing, Turn};
use super::records::Health;
use super::seal::{Nonces, Place, Sealer};
use super::tx::{KeyState, Mode, Tx};
use crate::error::{KeyStoreProblem, WalletError};
use crate::host::Wrapped;
use crate::secret::Secret;

const KEY_CHECK: Place<'static> = Place { table: "store", row: "1", column: "key_check" };
const KEY_CHECK_TEXT: &[u8] = b"nfcwallet data key";

/// What the host may hand over as a wrapped key.
const WRAPPED_LIMIT: usize = 4096;

/// The store's one row about itself.
struct Identity {
    binding: Binding,
    generation: u64,
    wrapped_key: Option<Vec<u8>>,
    key_check: Option<Vec<u8>>,
    key_lost: bool,
    /// The counters of spent credentials add up.
    counters_agree: bool,
}

/// A new data key, proven to come back from the host.
struct NewKey {
    sealer: Sealer,
    wrapped: Vec<u8>,
    check: Vec<u8>,
}

impl Store {
    /// Tries again to get the data key and the anchor from the host, if that failed before. Blocks
    /// for the host's deadlines. Call it when the device was unlocked, and from `connect`.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`], [`WalletError::StoreRolledBack`]: what still keeps the store from
    /// being paid from. Those of the store.
    pub fn ensure_key(&self) -> Result<(), WalletError> {
        if let Health::KeyUnavailable(_) = self.health() {
            let turn = self.guard.turn()?;
            // Another thread may have been faster.
            if let Health::KeyUnavailable(_) = self.health() {
                self.attach(&turn)?;
            }
        }
        match self.health() {
            Health::Good => Ok(()),
            Health::KeyUnavailable(reason) => Err(WalletError::KeyStore { reason }),
            Health::RolledBack => Err(WalletError::StoreRolledBack),
        }
    }

    /// Starts over after `Invalidated` or a rollback: new keys in the host's hardware, a new data
    /// key, a new anchor. Tokens, credentials, journals and history are wiped; the instance id, the
    /// users, settings, and usage that was not reported stay. Blocks for the host's deadlines.
    ///
    /// The sealed user ids are wiped too: call `connect_user` again afterwards.
    ///
    /// # Errors
    /// [`WalletError::KeyStore`]; those of the store. The store is as unusable as before then, and
    /// the call can be repeated.
    pub fn renew(&self) -> Result<(), WalletError> {
        let turn = self.guard.turn()?;
        turn.stand(Standing::Unavailable(KeyStoreProblem::Invalidated));
        let renewed = self.calls.renew_keys().map_err(WalletError::from).and_then(|_| self.start_over(&turn));
        if let Err(WalletError::KeyStore { reason }) = &renewed {
            // `ensure_key` judges the file anew.
            self.set_unavailable(&turn, reason.clone());
        }
        renewed
    }

    /// At open: gets key and anchor from the host and judges the file. What the host fails at
    /// becomes the store's health; only failures of the store itself are errors.
    pub(super) fn attach(&self, turn: &Turn) -> Result<(), WalletError> {
        let identity = self.transact(Mode::Read, |tx| Ok(tx.own_identity()?))?;
        if identity.generation == 0 {
            return match self.start_over(turn) {
                Err(WalletError::KeyStore { reason }) => {
                    self.set_unavailable(turn, reason);
                    Ok(())
                }
                other => other,
            };
        }
        self.attach_key(&identity)?;
        self.attach_anchor(turn, &identity)
    }

    /// Neither key nor anchor could be had, for the same reason.
    fn set_unavailable(&self, turn: &Turn, reason: KeyStoreProblem) {
        turn.stand(Standing::Unavailable(reason.clone()));
        self.set_key(|key| {
            if let KeyState::Unavailable(_) = key {
                *key = KeyState::Unavailable(reason);
            }
        });
    }

    fn attach_key(&self, identity: &Identity) -> Result<(), WalletError> {
        let key = match self.unwrap_key(identity) {
            Ok(sealer) => KeyState::Open(Box::new(sealer)),
            Err(KeyStoreProblem::Invalidated) if !identity.key_lost => {
                self.transact(Mode::Write, |tx| Ok(tx.forget_key()?))?;
                tracing::warn!("the storage key was invalidated; credentials were wiped");
                KeyState::Unavailable(KeyStoreProblem::Invalidated)
            }
            Err(reason) => KeyState::Unavailable(reason),
        };
        self.set_key(|slot| *slot = key);
        Ok(())
    }

    fn unwrap_key(&self, identity: &Identity) -> Result<Sealer, KeyStoreProblem> {
        let (Some(wrapped), Some(check)) = (&identity.wrapped_key, &identity.key_check) else {
            return Err(KeyStoreProblem::Invalidated);
        };
        let unwrapped = self.calls.unwrap_key(Wrapped { bytes: wrapped.clone() }).map_err(problem)?;
        let wrong = || KeyStoreProblem::Failed { reason: "the unwrapped key is not the store's".to_owned() };
        let key = Secret::from_slice(&unwrapped.bytes).ok_or_else(wrong)?;
        let sealer = Sealer::new(&key, identity.binding.instance);
        match sealer.open(KEY_CHECK, check) {
            Ok(_) => Ok(sealer),
            Err(_) => Err(wrong()),
        }
    }

    fn attach_anchor(&self, turn: &Turn, identity: &Identity) -> Result<(), WalletError> {
        let Identity { binding, generation, .. } = *identity;
        let verdict = match self.calls.anchor() {
            Ok(anchor) => judge(anchor.bytes.as_deref(), binding, generation),
            Err(error) => Verdict::Unreadable(problem(error)),
        };
        match verdict {
            Verdict::Unreadable(reason) => turn.stand(Standing::Unavailable(reason)),
            // Pages of different times in one file: an older database under a newer log.
            _ if !identity.counters_agree => turn.stand(Standing::RolledBack),
            Verdict::RolledBack => turn.stand(Standing::RolledBack),
            Verdict::Clean(anchor) => turn.attach(binding, generation, Some(anchor)),
            Verdict::Settle(anchor) => {
                turn.attach(binding, generation, Some(anchor));
                log_unsettled(turn.rest());
            }
            Verdict::Recover(anchor) => {
                turn.attach(binding, generation, Some(anchor));
                let user = match anchor.arm {
                    Arm::Tap(user) => Some(user),
                    Arm::Write | Arm::Rest => None,
                };
                let recovered = self.commit_guarded(turn, generation, |tx| match user {
                    Some(user) => Ok(tx.give_up_front(user)?),
                    None => Ok(()),
                });
                if let Err(error) = recovered {
                    // Judged again, from the file, by the next attempt.
                    let reason = "an interrupted tap could not be settled".to_owned();
                    turn.stand(Standing::Unavailable(KeyStoreProblem::Failed { reason }));
                    return Err(error);
                }
                log_unsettled(turn.rest());
            }
        }
        Ok(())
    }

    /// New key, new epoch, new anchor, nothing payable. Killed anywhere in between, the store is at
    /// generation 0, from which the next open starts over.
    fn start_over(&self, turn: &Turn) -> Result<(), WalletError> {
        let mut epoch = [0; 8];
        self.calls.entropy().fill(&mut epoch);
        let binding = Binding { instance: self.instance, epoch };
        let NewKey { sealer, wrapped, check } = self.new_key(binding.instance)?;
        self.transact(Mode::Write, |tx| Ok(tx.start_epoch(epoch, &wrapped, &check)?))?;
        self.set_key(|key| *key = KeyState::Open(Box::new(sealer)));
        let anchor = AnchorValue { binding, generation: 1, arm: Arm::Rest };
        turn.set(anchor)?;
        self.transact(Mode::Write, |tx| Ok(tx.set_generation(1)?))?;
        turn.attach(binding, 1, Some(anchor));
        Ok(())
    }

    fn new_key(&self, instance: [u8; 16]) -> Result<NewKey, StoreError> {
        let entropy = self.calls.entropy();
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        let Wrapped { bytes: wrapped } = self.calls.wrap(Zeroizing::new(bytes.to_vec()))?;
        let failed = |reason: &str| StoreError::KeyStore(KeyStoreProblem::Failed { reason: reason.to_owned() });
        if wrapped.is_empty() || wrapped.len() > WRAPPED_LIMIT {
            return Err(failed("the wrapped key has an impossible length"));
        }
        // A wrapped key that does not come back would be found out only at the next start.
        let back = self.calls.unwrap_key(Wrapped { bytes: wrapped.clone() })?;
        if !bool::from(back.bytes.as_slice().ct_eq(bytes.as_slice())) {
            return Err(failed("a wrapped key does not come back"));
        }
        let key = Secret::from_slice(bytes.as_slice()).ok_or_else(|| failed("a key of another length"))?;
        let sealer = Sealer::new(&key, instance);
        let check = sealer.seal(KEY_CHECK, KEY_CHECK_TEXT, &mut Nonces::draw(entropy))?;
        Ok(NewKey { sealer, wrapped, check })
    }
}

/// An armed anchor over a settled store is safe; it is settled by the next guarded write or open.
pub(super) fn log_unsettled(settled: Result<(), StoreError>) {
    if let Err(error) = settled {
        tracing::warn!(%error, "the rollback anchor was not settled");
    }
}

impl Tx<'_> {
    fn own_identity(&self) -> Result<Identity, StoreError> {
        let sql = "SELECT epoch, generation, wrapped_key, key_check, key_lost, \
                   spent = (SELECT coalesce(sum(spent), 0) FROM counter) FROM store";
        let identity = self.first(sql, [], |row| {
            Ok(Identity {
                binding: Binding { instance: self.instance, epoch: row.get(0)? },
                generation: row.get::<_, i64>(1)?.unsigned_abs(),
                wrapped_key: row.get(2)?,
                key_check: row.get(3)?,
                key_lost: row.get(4)?,
                counters_agree: row.get(5)?,
            })
        })?;
        identity.ok_or(StoreError::Corrupt("the store has no identity"))
    }

    /// Wipes what only the lost key could open. Who the users are stays known by their tags.
    fn forget_key(&self) -> Result<(), StoreError> {
        self.wipe_sealed()?;
        self.execute("UPDATE store SET wrapped_key = NULL, key_check = NULL, key_lost = 1", [])?;
        Ok(())
    }

    fn start_epoch(&self, epoch: [u8; 8], wrapped: &[u8], check: &[u8]) -> Result<(), StoreError> {
        self.wipe_sealed()?;
        let sql = "UPDATE store SET epoch = ?1, generation = 0, wrapped_key = ?2, key_check = ?3, key_lost = 0, \
                   spent = (SELECT coalesce(sum(spent), 0) FROM counter)";
        self.execute(sql, params![epoch, wrapped, check])?;
        Ok(())
    }

    fn set_generation(&self, generation: i64) -> Result<(), StoreError> {
        self.execute("UPDATE store SET generation = ?1", params![generation])?;
        Ok(())
    }

    /// Keys first.
    fn wipe_sealed(&self) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM credential",
            "DELETE FROM token",
            "DELETE FROM activation_journal",
            "DELETE FROM replenish_request",
            "DELETE FROM history",
            "UPDATE user SET name = NULL",
        ] {
            self.execute(sql, [])?;
        }
        Ok(())
    }
}
