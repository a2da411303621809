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

/// A mutex whose guard can be handed to another thread.
#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) mod owned {
    pub(crate) use async_lock::{Mutex, MutexGuard, MutexGuardArc};
}

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use model::{Condvar, Instant, Passing, begin, mpsc, owned};
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

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait_while<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait_while(guard, condition)
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

    /// shuttle has none: its own lock says whose turn it is, and the real one is then free.
    pub(crate) mod owned {
        use std::ops::{Deref, DerefMut};
        use std::sync::{Arc, PoisonError};

        #[derive(Debug)]
        pub(crate) struct Mutex<T> {
            taken: shuttle::sync::Mutex<bool>,
            freed: shuttle::sync::Condvar,
            value: Arc<async_lock::Mutex<T>>,
        }

        impl<T> Mutex<T> {
            pub(crate) fn new(value: T) -> Self {
                Self {
                    taken: shuttle::sync::Mutex::new(false),
                    freed: shuttle::sync::Condvar::new(),
                    value: Arc::new(async_lock::Mutex::new(value)),
                }
            }

            pub(crate) fn lock_blocking(&self) -> MutexGuard<'_, T> {
                self.take();
                MutexGuard { value: Some(self.value.lock_blocking()), mutex: self }
            }

            pub(crate) fn lock_arc_blocking(self: &Arc<Self>) -> MutexGuardArc<T> {
                self.take();
                MutexGuardArc { value: Some(self.value.lock_arc_blocking()), mutex: Arc::clone(self) }
            }

            fn take(&self) {
                let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                *self.freed.wait_while(taken, |taken| *taken).unwrap_or_else(PoisonError::into_inner) = true;
            }

            fn give(&self) {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
                self.freed.notify_one();
            }
        }

        #[derive(Debug)]
        pub(crate) struct MutexGuard<'a, T> {
            value: Option<async_lock::MutexGuard<'a, T>>,
            mutex: &'a Mutex<T>,
        }

        #[derive(Debug)]
        pub(crate) struct MutexGuardArc<T> {
            value: Option<async_lock::MutexGuardArc<T>>,
            mutex: Arc<Mutex<T>>,
        }

        impl<T> Deref for MutexGuard<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                self.value.as_ref().unwrap()
            }
        }

        impl<T> DerefMut for MutexGuard<'_, T> {
            fn deref_mut(&mut self) -> &mut T {
                self.value.as_mut().unwrap()
            }
        }

        impl<T> Drop for MutexGuard<'_, T> {
            fn drop(&mut self) {
                self.value = None;
                self.mutex.give();
            }
        }

        impl<T> Deref for MutexGuardArc<T> {
            type Target = T;

            fn deref(&self) -> &T {
                self.value.as_ref().unwrap()
            }
        }

        impl<T> DerefMut for MutexGuardArc<T> {
            fn deref_mut(&mut self) -> &mut T {
                self.value.as_mut().unwrap()
            }
        }

        impl<T> Drop for MutexGuardArc<T> {
            fn drop(&mut self) {
                self.value = None;
                self.mutex.give();
            }
        }
    }

    pub(crate) mod mpsc {
        use std::time::Duration;

        use shuttle::sync::mpsc::{RecvError, TryRecvError};
        pub(crate) use shuttle::sync::mpsc::{RecvTimeoutError, Sender};

        use super::{PASSING, Passing, passes};

        /// shuttle's own never times out.
        #[derive(Debug)]
        pub(crate) struct Receiver<T>(shuttle::sync::mpsc::Receiver<T>);

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = shuttle::sync::mpsc::channel();
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
