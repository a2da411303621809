//! One wake-up an APDU.
//!
//! Waking a sleeping thread costs the waker tens of microseconds, and the woken thread may take its
//! processor. An APDU begins up to four things that nobody waits for: the anchor's arming, the device's
//! state, an event, a background task. Within [`together`] they are kept, and one worker, woken once,
//! begins them all. Whoever waits for an answer begins them first, so that nothing waits for itself.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::workers::{Job, Workers};

thread_local! {
    /// What this thread keeps for the end of its APDU; `None` outside of one. Gone on a thread that is
    /// ending, which may still release a wallet: asked for with `try_with`, never with `with`.
    static KEPT: RefCell<Option<Vec<Job>>> = const { RefCell::new(None) };
}

/// While it lives, this thread keeps its hand-offs; dropping it begins them.
#[must_use = "dropping it begins what was kept"]
pub(crate) struct Together {
    workers: Arc<Workers>,
    /// Belongs to its thread.
    _here: PhantomData<*const ()>,
}

/// Keeps the hand-offs of this thread. Within another one, that one keeps them.
pub(super) fn together(workers: &Arc<Workers>) -> Option<Together> {
    let first = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let first = kept.is_none();
        kept.get_or_insert_default();
        first
    });
    first.unwrap_or(false).then(|| Together { workers: Arc::clone(workers), _here: PhantomData })
}

impl Drop for Together {
    fn drop(&mut self) {
        let kept = KEPT.take().unwrap_or_default();
        // Which wakes one thread by itself.
        if kept.len() <= 1 {
            return begin(kept);
        }
        let all: Job = Box::new(move || begin(kept));
        if let Err(all) = self.workers.run(all) {
            all();
        }
    }
}

/// Does `job`, which wakes another thread, at the end of this thread's APDU; at once outside of one.
pub(super) fn at_the_end(job: Job) {
    let mut job = Some(job);
    let _is_gone = KEPT.try_with(|kept| {
        if let Some(kept) = kept.borrow_mut().as_mut() {
            kept.extend(job.take());
        }
    });
    if let Some(job) = job {
        job();
    }
}

/// This thread is about to wait: what it kept is begun first.
pub(crate) fn begin_now() {
    let kept = KEPT.try_with(|kept| kept.borrow_mut().as_mut().map(std::mem::take));
    begin(kept.ok().flatten().unwrap_or_default());
}

fn begin(jobs: Vec<Job>) {
    jobs.into_iter().for_each(|job| job());
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn workers() -> Arc<Workers> {
        Arc::new(Workers::new(3))
    }

    /// Does something when its thread has ended so far that the wallet's own thread-locals are gone.
    struct AtTheVeryEnd(Option<Job>);

    impl Drop for AtTheVeryEnd {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(|job| job());
        }
    }

    thread_local! {
        static LAST: RefCell<AtTheVeryEnd> = const { RefCell::new(AtTheVeryEnd(None)) };
    }

    #[test]
    fn a_thread_that_is_ending_hands_off_at_once() {
        let (tell, told) = channel();
        thread::spawn(move || {
            let job: Job = Box::new(move || {
                assert!(KEPT.try_with(|_| ()).is_err(), "too early");
                assert!(together(&workers()).is_none());
                at_the_end(Box::new(move || tell.send(()).unwrap()));
                begin_now();
                assert!(!crate::host::is_inside_host_call() && !crate::host::is_called_too_late());
            });
            // The last to be used is the first to go.
            LAST.with_borrow_mut(|last| last.0 = Some(job));
            begin_now();
            assert!(!crate::host::is_inside_host_call());
        })
        .join()
        .unwrap();
        told.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn what_is_kept_begins_at_the_end_in_its_order_on_another_thread() {
        let (tell, told) = channel();
        let kept = together(&workers());
        for number in 0..3 {
            let tell = tell.clone();
            at_the_end(Box::new(move || tell.send((number, thread::current().id())).unwrap()));
        }
        assert!(told.try_recv().is_err());
        drop(kept);
        for number in 0..3 {
            let (seen, thread) = told.recv_timeout(LONG).unwrap();
            assert_eq!(seen, number);
            assert_ne!(thread, thread::current().id());
        }
    }

    #[test]
    fn without_a_thread_it_begins_here() {
        let (tell, told) = channel();
        let kept = together(&Arc::new(Workers::new(0)));
        for _ in 0..2 {
            let tell = tell.clone();
            at_the_end(Box::new(move || tell.send(thread::current().id()).unwrap()));
        }
        drop(kept);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [thread::current().id(); 2]);
    }

    #[test]
    fn whoever_waits_does_not_wait_for_what_it_keeps() {
        let workers = workers();
        let _kept = together(&workers);
        assert_eq!(workers.pending(LONG, || 7).wait(), Ok(7));
    }

    #[test]
    fn an_inner_one_ends_nothing() {
        let workers = workers();
        let (tell, told) = channel();
        let outer = together(&workers);
        let inner = together(&workers);
        at_the_end(Box::new(move || tell.send(()).unwrap()));
        drop(inner);
        assert!(told.try_recv().is_err());
        drop(outer);
        assert!(told.try_recv().is_ok());
        // Nothing is kept any more.
        let (tell, told) = channel();
        at_the_end(Box::new(move || tell.send(()).unwrap()));
        assert!(told.try_recv().is_ok());
    }
}
