//! One wallet a data directory within a process, so that `init` is idempotent. Between processes the
//! store's lock file decides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::Inner;
use crate::Result;
use crate::config::WalletConfig;
use crate::error::WalletError;

/// The wallet of one directory. Its lock is held while that wallet opens or closes; others do not
/// notice.
type Slot = Arc<Mutex<Weak<Inner>>>;

static SLOTS: LazyLock<Mutex<HashMap<PathBuf, Slot>>> = LazyLock::new(Mutex::default);

/// The wallet that is open on the directory, or the one that `open` makes.
pub(super) fn open_once(config: WalletConfig, open: impl FnOnce(WalletConfig) -> Result<Inner>) -> Result<Arc<Inner>> {
    let slot = slot(&config.data_directory);
    let mut current = lock(&slot);
    if let Some(inner) = current.upgrade().filter(|inner| !inner.shut_down.load(Ordering::Acquire)) {
        if *inner.context.configuration.app() == config {
            return Ok(inner);
        }
        let reason = "differs from that of the wallet which is open on this directory".to_owned();
        return Err(WalletError::InvalidInput { field: "config", reason });
    }
    let inner = Arc::new(open(config)?);
    *current = Arc::downgrade(&inner);
    Ok(inner)
}

/// Runs `close` while nobody can open the directory of `inner`, which is free afterwards.
pub(super) fn close(inner: &Arc<Inner>, close: impl FnOnce()) {
    let slot = slot(&inner.context.configuration.app().data_directory);
    let mut current = lock(&slot);
    close();
    // A wallet that was shut down before has a successor in the slot.
    if current.ptr_eq(&Arc::downgrade(inner)) {
        *current = Weak::new();
    }
}

fn slot(directory: &Path) -> Slot {
    let mut slots = lock(&SLOTS);
    // A slot that nobody holds and whose wallet is gone means nothing.
    slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
    Arc::clone(slots.entry(key(directory)).or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two spellings of one directory are one directory, also before it exists: what exists of the path
/// is resolved, the rest is kept.
fn key(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    for ancestor in absolute.ancestors() {
        if let (Ok(resolved), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return resolved.join(rest);
        }
    }
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_directory_has_one_key_before_and_after_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("real"), &link).unwrap();
        let directory = link.join("a").join("wallet");
        let before = key(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(key(&directory), before);
        assert_eq!(key(&folder.path().join("real/a/wallet")), before);
    }

    #[test]
    fn slots_of_wallets_that_are_gone_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        drop(slot(&folder.path().join("first")));
        let second = slot(&folder.path().join("second"));
        assert!(!lock(&SLOTS).contains_key(&key(&folder.path().join("first"))));
        assert!(lock(&SLOTS).contains_key(&key(&folder.path().join("second"))));
        drop(second);
    }
}
