//! The threads of the bindings: one small runtime a process, for background work, timers and long calls.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use nfcwallet_core as core;
use nfcwallet_core::host::{BoxFuture, Spawner};
use tokio::runtime::{Builder, Handle, Runtime};

/// A call may hold a thread for as long as the key store takes (5 s): the others keep the timers going.
const THREADS: usize = 4;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime, started at the first call and kept as long as the process lives.
///
/// # Errors
/// [`core::WalletError::Host`] when the system gives no threads.
pub(crate) fn handle() -> Result<Handle, core::WalletError> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _turn = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    match RUNTIME.get() {
        Some(runtime) => Ok(runtime.handle().clone()),
        None => {
            let runtime = start().map_err(|error| {
                tracing::error!(%error, "the runtime cannot be started");
                core::WalletError::Host {
                    interface: "Spawner",
                    reason: "no threads: ".to_owned() + &error.kind().to_string(),
                }
            })?;
            Ok(RUNTIME.get_or_init(|| runtime).handle().clone())
        }
    }
}

fn start() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(THREADS).thread_name("nfcwallet").enable_time().build()
}

/// Background work of the wallet.
#[derive(Debug)]
pub(crate) struct Background(pub(crate) Handle);

impl Spawner for Background {
    fn spawn(&self, task: BoxFuture<()>) {
        drop(self.0.spawn(task));
    }
}
