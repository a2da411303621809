//! Threads on which the host's interfaces run, and the answers that are waited for.
//!
//! A call that hangs costs its deadline and a thread, never the caller.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};

use super::together::{at_the_end, begin_now};
use super::{HostError, KeyStoreError};
use crate::sync;
use crate::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use crate::sync::{Instant, Mutex};

/// Why an interface gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It panicked.
    Panicked,
    /// Not within this limit.
    TimedOut {
        /// The deadline.
        limit: Duration,
    },
}

impl From<NoAnswer> for HostError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Panicked => Self::Panicked,
            NoAnswer::TimedOut { limit } => {
                Self::TimedOut { limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
            }
        }
    }
}

impl From<NoAnswer> for KeyStoreError {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Panicked => Self::Panicked,
            NoAnswer::TimedOut { .. } => Self::TimedOut,
        }
    }
}

/// A call that was started on a worker; `wait` blocks for the rest of its deadline. Dropping it says
/// that nobody waits any more.
#[derive(Debug)]
pub struct Pending<T> {
    receiver: Receiver<Result<T, NoAnswer>>,
    started: Instant,
    limit: Duration,
    given_up: Arc<AtomicBool>,
}

impl<T> Pending<T> {
    /// Blocks until the answer or the deadline, which runs from the start of the call.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub fn wait(mut self) -> Result<T, NoAnswer> {
        let timed_out = NoAnswer::TimedOut { limit: self.limit };
        self.wait_at_most(Duration::MAX).unwrap_or(Err(timed_out))
    }

    /// Like [`wait`](Self::wait), but keeps the call: `None` if it is still running after `patience`,
    /// or at its deadline if that comes first. For calls whose late effect matters.
    pub fn wait_at_most(&mut self, patience: Duration) -> Option<Result<T, NoAnswer>> {
        let timed_out = NoAnswer::TimedOut { limit: self.limit };
        if !patience.is_zero() {
            begin_now();
        }
        let rest = self.limit.saturating_sub(self.started.elapsed());
        match self.receiver.recv_timeout(rest.min(patience)) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            // The call never began.
            Err(RecvTimeoutError::Disconnected) => Some(Err(timed_out)),
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// Work of the wallet's own that was started on a worker; `wait` blocks until it is done.
#[derive(Debug)]
pub(crate) struct Beside<T>(Receiver<T>);

impl<T> Beside<T> {
    /// `None` if the work panicked.
    pub(crate) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}

thread_local! {
    /// On a worker: whether the caller of the call that runs has given up. Gone on a thread that is ending,
    /// which may still release a wallet.
    static GIVEN_UP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Is this thread inside a call of the host?
pub(crate) fn is_inside_host_call() -> bool {
    GIVEN_UP.try_with(|flag| flag.borrow().is_some()).unwrap_or(false)
}

/// Is this thread inside a call of the host whose deadline has passed?
pub(crate) fn is_called_too_late() -> bool {
    let is_late = |flag: &RefCell<Option<Arc<AtomicBool>>>| {
        flag.borrow().as_ref().is_some_and(|given_up| given_up.load(Ordering::Acquire))
    };
    GIVEN_UP.try_with(is_late).unwrap_or(false)
}

pub(super) type Job = Box<dyn FnOnce() + Send + 'static>;

/// How a thread is started.
type Spawn = fn(Job) -> io::Result<()>;

/// Threads for host calls: made when needed, kept for the next call.
pub(super) struct Workers {
    limit: usize,
    spawn: Spawn,
    state: Mutex<WorkerState>,
}

#[derive(Default)]
struct WorkerState {
    idle: Vec<Sender<Job>>,
    alive: usize,
}

impl Workers {
    /// At most `limit` threads: calls that hang keep one each, and beyond them calls fail at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, spawn: start_thread, state: Mutex::default() }
    }

    /// Starts `call` and returns at once; within an APDU, `call` starts at its end or when somebody waits.
    pub(super) fn pending<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&given_up);
        let job: Job = Box::new(move || {
            GIVEN_UP.set(Some(flag));
            let answer = catch_unwind(AssertUnwindSafe(call)).map_err(|_| NoAnswer::Panicked);
            GIVEN_UP.set(None);
            // A caller that gave up has dropped the receiver; the late answer is ignored.
            drop(sender.send(answer));
        });
        let workers = Arc::clone(self);
        // A job that no thread takes is dropped, which disconnects the receiver.
        at_the_end(Box::new(move || drop(workers.run(job))));
        Pending { receiver, started: Instant::now(), limit, given_up }
    }

    /// Starts work that must be done, and returns at once; without a free thread it is done here.
    pub(super) fn beside<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
        let (sender, receiver) = channel();
        let work = Box::new(move || {
            // Without an answer, whoever waits learns of the panic.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                drop(sender.send(done));
            }
        });
        if let Err(refused) = self.run(work) {
            refused();
        }
        Beside(receiver)
    }

    /// Polls `call` on a worker: neither a poll that blocks nor one that panics reaches the caller.
    /// Dropping the receiver drops `call` as soon as it lets go of the thread. `None` if all threads
    /// hang.
    pub(super) fn poll<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<oneshot::Receiver<Result<T, NoAnswer>>> {
        let (mut sender, receiver) = oneshot::channel();
        let accepted = self.run(Box::new(move || {
            let polled = catch_unwind(AssertUnwindSafe(|| block_on(unless_cancelled(call, &mut sender))));
            let answer = match polled {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => return,
                Err(_) => Err(NoAnswer::Panicked),
            };
            // The caller may have given up just now.
            drop(sender.send(answer));
        }));
        accepted.is_ok().then_some(receiver)
    }

    /// Runs `job`, which must not panic, on an idle or new thread; gives it back if all threads hang.
    pub(super) fn run(self: &Arc<Self>, mut job: Job) -> Result<(), Job> {
        loop {
            let idle = {
                let mut state = self.lock();
                match state.idle.pop() {
                    Some(worker) => worker,
                    None if state.alive >= self.limit => return Err(job),
                    None => {
                        state.alive += 1;
                        drop(state);
                        return self.start(job);
                    }
                }
            };
            match idle.send(job) {
                Ok(()) => return Ok(()),
                // The thread ended; take the job back and try the next one.
                Err(returned) => job = returned.0,
            }
        }
    }

    fn start(self: &Arc<Self>, first: Job) -> Result<(), Job> {
        let pool = Arc::downgrade(self);
        // A thread that cannot be started drops what it was to run.
        let first = Arc::new(Mutex::new(Some(first)));
        let slot = Arc::clone(&first);
        let take = |slot: &Mutex<Option<Job>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = move || {
            let Some(mut job) = take(&slot) else { return };
            loop {
                job();
                let (sender, receiver) = channel();
                match pool.upgrade() {
                    Some(pool) => pool.lock().idle.push(sender),
                    None => return,
                }
                match receiver.recv() {
                    Ok(next) => job = next,
                    Err(_) => return,
                }
            }
        };
        (self.spawn)(Box::new(body)).or_else(|error| {
            tracing::error!(%error, "no thread for a call of the host");
            self.lock().alive -= 1;
            take(&first).map_or(Ok(()), Err)
        })
    }

    fn lock(&self) -> sync::MutexGuard<'_, WorkerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_thread(body: Job) -> io::Result<()> {
    sync::thread::Builder::new().name("nfcwallet-host".to_owned()).spawn(body).map(drop)
}

/// The answer of `call`, or `None` as soon as nobody waits for it.
async fn unless_cancelled<T, U>(call: impl Future<Output = T>, sender: &mut oneshot::Sender<U>) -> Option<T> {
    match select(pin!(sender.cancellation()), pin!(call)).await {
        Either::Left(_) => None,
        Either::Right((answer, _)) => Some(answer),
    }
}

/// Wakes a parked thread.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls `future` on this thread until it completes.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        // A park may end without a wake.
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn workers(limit: usize) -> Arc<Workers> {
        Arc::new(Workers::new(limit))
    }

    #[test]
    fn a_thread_that_cannot_be_started_leaves_its_place_free() {
        let mut workers = Workers::new(2);
        workers.spawn = |_| Err(io::Error::from(io::ErrorKind::OutOfMemory));
        let mut workers = Arc::new(workers);
        for _ in 0..5 {
            assert!(workers.pending(LONG, || ()).wait().is_err());
        }
        // The system has threads again.
        Arc::get_mut(&mut workers).unwrap().spawn = start_thread;
        assert_eq!(workers.pending(LONG, || 7).wait(), Ok(7));
    }

    #[test]
    fn work_that_must_be_done_is_done_without_a_thread() {
        let mut workers = Workers::new(1);
        workers.spawn = |_| Err(io::Error::from(io::ErrorKind::OutOfMemory));
        let here = thread::current().id();
        assert_eq!(Arc::new(workers).beside(|| thread::current().id()).wait(), Some(here));
    }

    #[test]
    fn work_that_panics_has_no_answer_and_harms_no_other() {
        // Its thread may not be idle again at once.
        let workers = workers(2);
        assert_eq!(workers.beside(|| panic!("a bug")).wait(), None::<()>);
        let here = thread::current().id();
        assert!(workers.beside(|| thread::current().id()).wait().is_some_and(|there| there != here));
    }

    #[test]
    fn calls_beyond_the_hanging_ones_fail_at_once() {
        let workers = workers(1);
        let (release, wait) = channel::<()>();
        let hanging = workers.pending(LONG, move || wait.recv().is_err());
        let started = Instant::now();
        assert_eq!(workers.pending(LONG, || ()).wait(), Err(NoAnswer::TimedOut { limit: LONG }));
        assert!(started.elapsed() < LONG);
        drop(release);
        assert_eq!(hanging.wait(), Ok(true));
    }

    #[test]
    fn a_call_learns_that_its_caller_gave_up() {
        let workers = workers(1);
        let (ask, asked) = channel();
        let (tell, told) = channel();
        let call = workers.pending(Duration::from_millis(1), move || {
            tell.send(is_called_too_late()).unwrap();
            asked.recv().unwrap();
            tell.send(is_called_too_late()).unwrap();
        });
        assert!(!told.recv_timeout(LONG).unwrap());
        assert!(call.wait().is_err());
        ask.send(()).unwrap();
        assert!(told.recv_timeout(LONG).unwrap());
        assert!(!is_called_too_late());
    }

    #[test]
    fn a_future_that_blocks_costs_only_its_thread() {
        let workers = workers(2);
        let (release, wait) = channel::<()>();
        let mut blocked = workers.poll(async move { wait.recv().is_err() }).unwrap();
        assert_eq!(blocked.try_recv().unwrap(), None);
        assert_eq!(block_on(workers.poll(async { 7 }).unwrap()).unwrap(), Ok(7));
        drop(release);
        assert_eq!(block_on(blocked).unwrap(), Ok(true));
    }

    #[test]
    fn a_future_that_panics_is_an_answer() {
        let workers = workers(1);
        let answer = block_on(workers.poll(async { panic!("the app's bug") }).unwrap());
        assert_eq!(answer.unwrap(), Err::<(), _>(NoAnswer::Panicked));
    }

    #[test]
    fn a_future_that_nobody_waits_for_is_dropped_and_its_thread_is_free() {
        struct Told(Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let workers = workers(1);
        let (sender, dropped) = channel();
        let told = Told(sender);
        let answer = workers.poll(async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        drop(answer);
        dropped.recv_timeout(LONG).unwrap();
        let until = Instant::now() + LONG;
        while workers.poll(async {}).is_none() {
            assert!(Instant::now() < until, "the thread is still taken");
            thread::yield_now();
        }
    }
}
