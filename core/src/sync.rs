//! The primitives under the state that taps and background work share: those of `std`.
//!
//! In this crate's own tests with the feature `interleavings` they are shuttle's, which decides who
//! runs when and tries many orders (`cargo xtask test interleavings`). Time is then a number, and a
//! wait that has a deadline may find it passed.

#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, mpsc},
    thread,
    time::Instant,
};

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use model::{Condvar, Instant, Passing, begin, mpsc};
#[cfg(all(test, feature = "interleavings"))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard},
    thread,
};

#[cfg(all(test, feature = "interleavings"))]
mod model {
    use std::cell::Cell;
    use std::ops::Add;
    use std::sync::{LockResult, PoisonError};
    use std::time::Duration;

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync::MutexGuard;

    /// May deadlines pass?
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Passing {
        /// Everybody answers in time; whoever waits for ever is a deadlock.
        Never,
        /// Each wait may end by its deadline.
        AtAnyTime,
    }

    // All threads of one execution are coroutines of one thread.
    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static PASSING: Cell<Passing> = const { Cell::new(Passing::Never) };
    }

    /// Starts an execution at time zero.
    pub(crate) fn begin(passing: Passing) {
        NOW.set(Duration::ZERO);
        PASSING.set(passing);
    }

    fn passes(limit: Duration) -> bool {
        let passes = PASSING.get() == Passing::AtAnyTime && thread_rng().gen_ratio(1, 4);
        if passes {
            NOW.set(NOW.get() + limit);
        }
        passes
    }

    /// A moment of the execution.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Self {
            Self(NOW.get())
        }

        pub(crate) fn elapsed(self) -> Duration {
            NOW.get().saturating_sub(self.0)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, time: Duration) -> Self {
            Self(self.0 + time)
        }
    }

    /// shuttle's own never times out.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// The second part is true after a time-out.
        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            limit: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            if passes(limit) {
                return Ok((guard, true));
            }
            Ok((self.0.wait(guard).unwrap_or_else(PoisonError::into_inner), false))
        }
    }

    pub(crate) mod mpsc {
        use std::time::Duration;

        use shuttle::sync::mpsc::{RecvError, TryRecvError};
        pub(crate) use shuttle::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, TrySendError};

        use super::{PASSING, Passing, passes};

        /// shuttle's own never times out.
        #[derive(Debug)]
        pub(crate) struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = shuttle::sync::mpsc::channel();
            (sender, Receiver(receiver))
        }

        pub(crate) fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
            let (sender, receiver) = shuttle::sync::mpsc::sync_channel(bound);
            (sender, Receiver(receiver))
        }

        impl<T> Receiver<T> {
            pub(crate) fn recv(&self) -> Result<T, RecvError> {
                self.0.recv()
            }

            pub(crate) fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
                loop {
                    match self.0.try_recv() {
                        Ok(value) => return Ok(value),
                        Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                        Err(TryRecvError::Empty) if limit.is_zero() || passes(limit) => {
                            return Err(RecvTimeoutError::Timeout);
                        }
                        Err(TryRecvError::Empty) => {}
                    }
                    if PASSING.get() == Passing::Never {
                        return self.recv().map_err(|_| RecvTimeoutError::Disconnected);
                    }
                    shuttle::thread::yield_now();
                }
            }
        }
    }
}
