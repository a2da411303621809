//! What taps leave to be done in the background, by one task at a time: a reader that begins and ends
//! taps as fast as it can must not fill the host's executor.

use std::sync::{Arc, Mutex, PoisonError};

use super::history::TransactionRecord;
use crate::storage::UserKey;

/// A row that is not in the history yet: it is not part of the burn.
pub(crate) type HistoryRow = (UserKey, Box<TransactionRecord>);

/// Rows that wait for the disk; of more than these, the oldest are lost.
const ROW_LIMIT: usize = 1_000;

/// What ended taps leave.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) rows: Vec<HistoryRow>,
    /// Credentials were spent, or were missing.
    pub(crate) look_at_stock: bool,
}

/// Leftovers that nobody has seen to.
#[derive(Debug, Default)]
pub(crate) struct LeftoverQueue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Option<Leftovers>,
    /// A [`Worker`] lives.
    worked: bool,
}

impl LeftoverQueue {
    /// Adds to what waits. Gives the worker, if there is none: the caller starts a task with it.
    pub(crate) fn add(self: &Arc<Self>, more: Leftovers) -> Option<Worker> {
        let mut state = self.lock();
        let waiting = state.waiting.get_or_insert_default();
        waiting.look_at_stock |= more.look_at_stock;
        waiting.rows.extend(more.rows);
        let lost = waiting.rows.len().saturating_sub(ROW_LIMIT);
        if lost > 0 {
            waiting.rows.drain(..lost);
            tracing::warn!(lost, "history rows lost: taps end faster than the disk writes");
        }
        let idle = !std::mem::replace(&mut state.worked, true);
        idle.then(|| Worker { queue: Arc::clone(self), retired: false })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one who sees to them. If its task is lost, the next one takes over.
#[derive(Debug)]
pub(crate) struct Worker {
    queue: Arc<LeftoverQueue>,
    /// It found nothing to do, and another may live by now.
    retired: bool,
}

impl Worker {
    /// What to do now, and the worker for what comes after it; `None` when nothing waits.
    pub(crate) fn next(mut self) -> Option<(Leftovers, Self)> {
        let waiting = {
            let mut state = self.queue.lock();
            state.worked = state.waiting.is_some();
            self.retired = !state.worked;
            state.waiting.take()
        };
        waiting.map(|waiting| (waiting, self))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.retired {
            self.queue.lock().worked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::{TransactionInformation, TransactionOutcome};

    fn row(code: u32) -> HistoryRow {
        let transaction = TransactionInformation::of(1);
        let outcome = TransactionOutcome::Failed { code };
        (UserKey(1), Box::new(TransactionRecord { time_ms: 0, transaction, outcome }))
    }

    fn of(rows: Vec<HistoryRow>) -> Leftovers {
        Leftovers { rows, look_at_stock: false }
    }

    fn codes(leftovers: &Leftovers) -> Vec<u32> {
        let code = |(_, record): &HistoryRow| match record.outcome {
            TransactionOutcome::Failed { code } => code,
            TransactionOutcome::Complete { .. } => 0,
        };
        leftovers.rows.iter().map(code).collect()
    }

    #[test]
    fn one_worker_sees_to_everything_in_order() {
        let queue = Arc::new(LeftoverQueue::default());
        let worker = queue.add(of(vec![row(1)])).unwrap();
        assert!(queue.add(Leftovers { rows: vec![row(2), row(3)], look_at_stock: true }).is_none());
        let (leftovers, worker) = worker.next().unwrap();
        assert_eq!((codes(&leftovers), leftovers.look_at_stock), (vec![1, 2, 3], true));
        assert!(queue.add(of(vec![row(4)])).is_none());
        let (leftovers, worker) = worker.next().unwrap();
        assert_eq!((codes(&leftovers), leftovers.look_at_stock), (vec![4], false));
        assert!(worker.next().is_none());
        assert!(queue.add(of(Vec::new())).is_some());
    }

    #[test]
    fn a_worker_whose_task_was_lost_is_replaced_and_loses_no_row() {
        let queue = Arc::new(LeftoverQueue::default());
        drop(queue.add(of(vec![row(1)])));
        let worker = queue.add(of(vec![row(2)])).unwrap();
        assert_eq!(codes(&worker.next().unwrap().0), [1, 2]);
    }

    #[test]
    fn rows_beyond_the_limit_push_the_oldest_out() {
        let queue = Arc::new(LeftoverQueue::default());
        let worker = queue.add(of((0..1_500).map(row).collect())).unwrap();
        let codes = codes(&worker.next().unwrap().0);
        assert_eq!((codes.len(), codes.first()), (1_000, Some(&500)));
    }
}
