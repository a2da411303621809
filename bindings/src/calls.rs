//! How a long call runs: in a task of its own, given up when nobody waits for it any more.

use std::future::Future;
use std::sync::Arc;

use nfcwallet_core as core;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::cancellation::Cancellation;
use crate::error::WalletError;

/// Runs `call` on the runtime. If `cancellation` is used first, `call` is dropped and is gone when this
/// returns; if this future is dropped, `call` is dropped too. The wallet's journals make either safe
/// wherever it falls: a commit is one step that nothing interrupts.
///
/// In a task, because `call` may hold its thread for the key store, and the thread that polls this future
/// may be the app's main one.
pub(crate) async fn run<T: Send + 'static>(
    runtime: &Handle,
    cancellation: Option<Arc<Cancellation>>,
    call: impl Future<Output = core::Result<T>> + Send + 'static,
) -> Result<T, WalletError> {
    if cancellation.as_ref().is_some_and(|cancellation| cancellation.is_cancelled()) {
        return Err(WalletError::cancelled());
    }
    let mut task = GivenUpOnDrop(runtime.spawn(call));
    let cancelled = async {
        match cancellation {
            Some(cancellation) => cancellation.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancelled => {
            task.0.abort();
            // It may be within a step that nothing interrupts.
            drop((&mut task.0).await);
            Err(WalletError::cancelled())
        }
        outcome = &mut task.0 => match outcome {
            Ok(outcome) => outcome.map_err(WalletError::from),
            Err(_) => Err(core::WalletError::Bug { code: "call_panicked" }.into()),
        },
    }
}

struct GivenUpOnDrop<T>(JoinHandle<T>);

impl<T> Drop for GivenUpOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::runtime;

    /// Tells when it is dropped.
    struct Told(mpsc::Sender<()>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_is_handed_through() {
        let runtime = runtime::handle().unwrap();
        assert_eq!(runtime.block_on(run(&runtime, None, async { Ok(7) })), Ok(7));
        let failed = runtime.block_on(run::<()>(&runtime, None, async { Err(core::WalletError::NoToken) }));
        assert_eq!(failed.unwrap_err().code(), 10_009);
    }

    #[test]
    fn a_panic_is_a_bug_with_a_code_and_not_the_end_of_the_app() {
        let runtime = runtime::handle().unwrap();
        let outcome = runtime.block_on(run::<()>(&runtime, None, async { panic!("a defect") }));
        assert!(matches!(outcome, Err(WalletError::Bug { info }) if info.text.contains("call_panicked")));
    }

    #[test]
    fn a_cancelled_call_is_gone_when_it_says_so() {
        let runtime = runtime::handle().unwrap();
        let cancellation = Cancellation::new();
        let (tell, told) = mpsc::channel();
        let told_when_dropped = Told(tell);
        let (started, wait) = mpsc::channel();
        let call = async move {
            let _held = told_when_dropped;
            started.send(()).unwrap();
            std::future::pending::<core::Result<()>>().await
        };
        let canceller = Arc::clone(&cancellation);
        std::thread::spawn(move || {
            wait.recv_timeout(LONG).unwrap();
            canceller.cancel();
        });
        let outcome = runtime.block_on(run(&runtime, Some(cancellation), call));
        assert_eq!(outcome.unwrap_err().code(), 19_041);
        assert!(told.try_recv().is_ok());
    }

    #[test]
    fn a_cancellation_that_was_used_before_keeps_the_call_from_beginning() {
        let runtime = runtime::handle().unwrap();
        let cancellation = Cancellation::new();
        cancellation.cancel();
        let begun = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&begun);
        let call = async move {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        };
        assert!(runtime.block_on(run(&runtime, Some(cancellation), call)).is_err());
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[test]
    fn cancelling_wins_over_an_answer_that_came_at_the_same_time() {
        let runtime = runtime::handle().unwrap();
        let cancellation = Cancellation::new();
        let canceller = Arc::clone(&cancellation);
        let call = async move {
            canceller.cancel();
            Ok(7)
        };
        assert_eq!(runtime.block_on(run(&runtime, Some(cancellation), call)).unwrap_err().code(), 19_041);
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_given_up() {
        let runtime = runtime::handle().unwrap();
        let (tell, told) = mpsc::channel();
        let told_when_dropped = Told(tell);
        let call = async move {
            let _held = told_when_dropped;
            std::future::pending::<core::Result<()>>().await
        };
        let waiting = run(&runtime, None, call);
        assert!(runtime.block_on(async { tokio::time::timeout(Duration::from_millis(10), waiting).await }).is_err());
        told.recv_timeout(LONG).unwrap();
    }
}
