//! The event threads: listeners and the monitor are called here, in order, and nowhere else.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::together::at_the_end;
use super::{Delivered, HostError};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// A listener that blocks lets this many events wait; later ones are dropped and counted.
const CAPACITY: usize = 1_024;

type Event = Box<dyn FnOnce() -> Result<Delivered, HostError> + Send + 'static>;

/// An ordered queue with one thread, started with the first event. Each kind of listener has its own,
/// so that one which hangs silences no other.
#[derive(Default)]
pub struct EventQueue {
    shared: Arc<Shared>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// The thread runs, or is being started.
    running: bool,
    /// Nothing comes any more: the thread ends after the events that wait.
    closed: bool,
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventQueue({} dropped)", self.dropped())
    }
}

impl EventQueue {
    /// Queues one call on a listener. Never blocks: with a full queue the event is dropped.
    pub fn push(&self, event: impl FnOnce() -> Result<Delivered, HostError> + Send + 'static) {
        let mut state = self.shared.lock();
        if state.events.len() >= CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("an event was dropped: a listener blocks");
            return;
        }
        // Queued here and now, so that no later event overtakes it; only the waking up may wait.
        state.events.push_back(Box::new(event));
        drop(state);
        let shared = Arc::clone(&self.shared);
        at_the_end(Box::new(move || shared.wake()));
    }

    /// How many events were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// Lets the thread see what is queued; starts it, also again where that failed before.
    fn wake(self: Arc<Self>) {
        if std::mem::replace(&mut self.lock().running, true) {
            self.changed.notify_one();
            return;
        }
        let shared = Arc::clone(&self);
        let spawned = thread::Builder::new().name("nfcwallet-events".to_owned()).spawn(move || shared.deliver());
        if spawned.is_err() {
            tracing::error!("the event thread cannot be started: events wait");
            self.lock().running = false;
        }
    }

    fn deliver(&self) {
        while let Some(event) = self.next() {
            match catch_unwind(AssertUnwindSafe(event)) {
                Ok(Ok(Delivered::Done)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a listener failed"),
                Err(_) => tracing::warn!("a listener panicked"),
            }
        }
    }

    fn next(&self) -> Option<Event> {
        let state = self.lock();
        let idle = |state: &mut State| state.events.is_empty() && !state.closed;
        self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner).events.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn events_arrive_in_order_past_failures_and_panics() {
        let queue = EventQueue::default();
        let (sender, receiver) = channel();
        queue.push(|| Err(HostError::Offline));
        queue.push(|| panic!("a listener's bug"));
        for number in 0..3 {
            let sender = sender.clone();
            queue.push(move || {
                sender.send(number).unwrap();
                Ok(Delivered::Done)
            });
        }
        let seen: Vec<i32> = (0..3).map(|_| receiver.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn a_listener_that_hangs_never_blocks_the_caller() {
        let queue = EventQueue::default();
        let (release, wait) = channel::<()>();
        queue.push(move || {
            let _ = wait.recv();
            Ok(Delivered::Done)
        });
        for _ in 0..CAPACITY + 10 {
            queue.push(|| Ok(Delivered::Done));
        }
        assert!(queue.dropped() >= 9, "{} dropped", queue.dropped());
        drop(release);
    }
}
