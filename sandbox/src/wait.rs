//! Waiting for a runtime from any thread, also one of another runtime.

use std::sync::mpsc::sync_channel;

use tokio::runtime::Handle;

/// The runtime has stopped, or the task panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the servers have stopped")]
pub(crate) struct Stopped;

/// Runs `task` on `runtime` and blocks until it has ended.
pub(crate) fn wait_for<T: Send + 'static>(
    runtime: &Handle,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, Stopped> {
    let (sender, receiver) = sync_channel(1);
    runtime.spawn(async move {
        // The caller waits below; it is gone only if its thread is.
        drop(sender.send(task.await));
    });
    receiver.recv().map_err(|_| Stopped)
}
