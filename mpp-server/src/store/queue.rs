//! Jobs on their way from callers to the threads that own connections.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;

use super::{StoreError, Tx};

/// What a run of a job asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Commit,
    RollBack,
}

/// Work on the database, whose result somebody waits for. It may run several times; the last run counts.
pub(super) trait Job: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Wish;
    /// `ended` is how the transaction ended: an error replaces what the job returned.
    fn answer(self: Box<Self>, ended: Result<(), StoreError>);
}

pub(super) struct Task<T, E, F> {
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Task<T, E, F> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, result: None, reply }, answer)
    }
}

impl<T, E, F> Job for Task<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Wish {
        // A panic must not take the thread along, for all other jobs need it. What the job changed is
        // rolled back, and the job is not run again.
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(tx))).unwrap_or_else(|_| {
            tracing::error!("a job panicked");
            Err(StoreError::Panicked.into())
        });
        let wish = if result.is_ok() { Wish::Commit } else { Wish::RollBack };
        self.result = Some(result);
        wish
    }

    fn answer(self: Box<Self>, ended: Result<(), StoreError>) {
        let result = match (ended, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        // Nobody may be waiting any more; what happened has happened all the same.
        drop(self.reply.send(result));
    }
}

/// Waiting jobs, first come first served.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    limit: usize,
}

struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    closed: bool,
}

impl Queue {
    /// A queue of at most `limit` waiting jobs.
    pub(super) fn new(limit: usize) -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), closed: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), limit }
    }

    /// Refuses at once if too many wait: a caller that hears "busy" can tell its own caller, one that
    /// waits for ever cannot.
    pub(super) fn push(&self, job: Box<dyn Job>) {
        let mut waiting = self.lock();
        let refused = match (waiting.closed, waiting.jobs.len() >= self.limit) {
            (true, _) => StoreError::Closed,
            (false, true) => StoreError::Busy,
            (false, false) => {
                waiting.jobs.push_back(job);
                drop(waiting);
                self.changed.notify_one();
                return;
            }
        };
        drop(waiting);
        job.answer(Err(refused));
    }

    /// The next job; waits for it. `None` once the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Box<dyn Job>> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next job, if one waits.
    pub(super) fn try_take(&self) -> Option<Box<dyn Job>> {
        self.lock().jobs.pop_front()
    }

    /// No more jobs; those that wait are done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
