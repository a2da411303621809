//! One wallet a data directory within a process, so that `init` is idempotent. Between processes the
//! store's lock file decides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::Inner;
use crate::Result;
use crate::config::WalletConfig;
use crate::error::WalletError;

static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Inner>>>> = LazyLock::new(Mutex::default);

/// The wallet that is open on the directory, or the one that `open` makes.
pub(super) fn open_once(config: WalletConfig, open: impl FnOnce(WalletConfig) -> Result<Inner>) -> Result<Arc<Inner>> {
    let mut wallets = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(inner) = wallets.get(&key(&config.data_directory)).and_then(Weak::upgrade) {
        if *inner.context.configuration.app() == config {
            return Ok(inner);
        }
        let reason = "differs from that of the wallet which is open on this directory".to_owned();
        return Err(WalletError::InvalidInput { field: "config", reason });
    }
    let directory = config.data_directory.clone();
    let inner = Arc::new(open(config)?);
    wallets.retain(|_, wallet| wallet.strong_count() > 0);
    wallets.insert(key(&directory), Arc::downgrade(&inner));
    Ok(inner)
}

/// The wallet was shut down: the directory is free.
pub(super) fn forget(config: &WalletConfig) {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(&config.data_directory));
}

/// Two spellings of one directory are one directory; before it exists, the spelling counts.
fn key(directory: &Path) -> PathBuf {
    directory.canonicalize().or_else(|_| std::path::absolute(directory)).unwrap_or_else(|_| directory.to_owned())
}
