//! The event threads: listeners and the monitor are called here, in order, and nowhere else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Delivered, HostError};
use crate::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use crate::sync::{Mutex, thread};

/// A listener that blocks lets this many events wait; later ones are dropped and counted.
const CAPACITY: usize = 1_024;

type Event = Box<dyn FnOnce() -> Result<Delivered, HostError> + Send + 'static>;

/// An ordered queue with one thread, started with the first event. Each kind of listener has its own,
/// so that one which hangs silences no other.
#[derive(Default)]
pub struct EventQueue {
    sender: Mutex<Option<SyncSender<Event>>>,
    dropped: AtomicU64,
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventQueue({} dropped)", self.dropped())
    }
}

impl EventQueue {
    /// Queues one call on a listener. Never blocks: with a full queue the event is dropped.
    pub fn push(&self, event: impl FnOnce() -> Result<Delivered, HostError> + Send + 'static) {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = sender.get_or_insert_with(start_thread);
        let reason = match queue.try_send(Box::new(event)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "a listener blocks",
            Err(TrySendError::Disconnected(_)) => {
                // The next event tries to start the thread again.
                *sender = None;
                "the event thread does not run"
            }
        };
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(reason, "an event was dropped");
    }

    /// How many events were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The thread ends when the queue is dropped, after the events that wait.
fn start_thread() -> SyncSender<Event> {
    let (sender, receiver) = sync_channel(CAPACITY);
    let spawned = thread::Builder::new().name("nfcwallet-events".to_owned()).spawn(move || deliver(&receiver));
    if spawned.is_err() {
        tracing::error!("the event thread cannot be started");
    }
    sender
}

fn deliver(events: &Receiver<Event>) {
    while let Ok(event) = events.recv() {
        match catch_unwind(AssertUnwindSafe(event)) {
            Ok(Ok(Delivered::Done)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a listener failed"),
            Err(_) => tracing::warn!("a listener panicked"),
        }
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
