//! Giving up a long call.

use std::sync::Arc;

use tokio::sync::watch;

/// Gives up long calls: pass one to a call, and `cancel` it later from any thread.
///
/// Dropping or cancelling a task of the app's language may or may not reach the wallet (a Kotlin coroutine
/// does, a Swift task does not); this always does. A cancelled call fails with `Cancelled`; when it has, no
/// part of it runs any more. Used before the call, the call does nothing at all. One may serve several
/// calls; it stays used.
#[derive(Debug, uniffi::Object)]
pub struct Cancellation {
    used: watch::Sender<bool>,
}

#[uniffi::export]
impl Cancellation {
    /// A fresh one.
    #[uniffi::constructor]
    #[allow(clippy::new_without_default, reason = "constructors of other languages are named")]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { used: watch::Sender::new(false) })
    }

    /// Gives up every call that it was passed to. Never blocks; again is no different from once.
    pub fn cancel(&self) {
        self.used.send_replace(true);
    }

    /// Was `cancel` called?
    pub fn is_cancelled(&self) -> bool {
        *self.used.borrow()
    }
}

impl Cancellation {
    /// Completes once `cancel` was called.
    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as `self`.
        drop(self.used.subscribe().wait_for(|used| *used).await);
    }
}
