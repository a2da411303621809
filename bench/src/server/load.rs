//! Payments over HTTP, as many at once as there are connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;

use super::cpu::{Busy, Spent};
use super::http::{Answer, Connection, Post};
use super::party::check_success;

/// One answer of so many is kept, for its signature to be verified after the run.
const KEPT: usize = 64;

/// What came of a load.
#[derive(Debug, Default, Clone)]
pub struct Run {
    /// Of each operation, from its first byte to its last.
    pub latencies: Vec<Duration>,
    /// From the first to the last.
    pub took: Duration,
    /// Some of the answers.
    pub kept: Vec<Answer>,
    /// CPU time meanwhile, where the system tells.
    pub spent: Option<Spent>,
}

impl Run {
    /// Operations in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// With another turn of the same.
    pub fn add(&mut self, other: Self) {
        self.spent = match self.latencies.is_empty() {
            true => other.spent,
            false => self.spent.zip(other.spent).map(|(one, two)| one + two),
        };
        self.latencies.extend(other.latencies);
        self.took += other.took;
        self.kept.extend(other.kept);
    }
}

/// What became of one operation.
#[derive(Debug)]
pub enum Done {
    /// It counts; its answer, if that is to be kept.
    Counted(Option<Answer>),
    /// There was nothing left to do.
    Nothing,
}

/// Does `operation` with each of `workers` until the time is over or there is nothing left to do, all at
/// once, and times each.
///
/// # Errors
/// The first error of an operation.
pub async fn drive<W>(
    workers: &mut [W],
    time: Duration,
    operation: impl AsyncFn(&mut W) -> Result<Done>,
) -> Result<Run> {
    let start = Instant::now();
    let operation = &operation;
    let runs = workers.iter_mut().map(|worker| async move {
        let mut run = Run::default();
        while start.elapsed() < time {
            let begun = Instant::now();
            let Done::Counted(answer) = operation(worker).await? else { break };
            run.latencies.push(begun.elapsed());
            run.kept.extend(answer);
        }
        anyhow::Ok(run)
    });
    let mut all = Run::default();
    for run in try_join_all(runs).await? {
        all.latencies.extend(run.latencies);
        all.kept.extend(run.kept);
    }
    all.took = start.elapsed();
    Ok(all)
}

/// Who is asked: one server or several, by as many connections as there are.
pub struct Target {
    connections: Vec<Connection>,
    /// Its processes.
    pids: Vec<u32>,
    next: AtomicUsize,
}

impl Target {
    /// `connections` in turn to each of `servers`, which are the processes `pids`.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn connect(servers: &[SocketAddr], pids: Vec<u32>, connections: usize) -> Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for server in servers.iter().cycle().take(connections) {
            open.push(Connection::open(*server).await?);
        }
        Ok(Self { connections: open, pids, next: AtomicUsize::new(0) })
    }

    /// Sends requests that were not sent before, for so long, or until there are no more.
    ///
    /// # Errors
    /// If one is not answered with `SUCCESS`.
    pub async fn pay(&mut self, requests: &[Post], time: Duration) -> Result<Run> {
        let next = &self.next;
        let busy = Busy::now(&self.pids);
        let mut run = drive(&mut self.connections, time, async |connection: &mut Connection| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return Ok(Done::Nothing) };
            let answer = connection.ask(request).await?;
            check_success(&answer)?;
            Ok(Done::Counted(Some(answer).filter(|_| number.is_multiple_of(KEPT))))
        })
        .await?;
        run.spent = busy.zip(Busy::now(&self.pids)).map(|(before, after)| after.since(before));
        Ok(run)
    }

    /// Requests that were sent, of so many.
    #[must_use]
    pub fn sent(&self, of: usize) -> usize {
        self.next.load(Ordering::Relaxed).min(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[tokio::test]
    async fn all_workers_work_at_once_until_the_time_is_over() {
        let mut workers = [0, 0, 0, 0];
        let operation = async |count: &mut u32| {
            *count += 1;
            tokio::time::sleep(MS(10)).await;
            Ok(Done::Counted(None))
        };
        let run = drive(&mut workers, MS(50), operation).await.unwrap();
        assert!(run.took >= MS(50) && run.latencies.iter().all(|one| *one >= MS(10)));
        assert!(run.rate() > 0.0 && workers.iter().all(|count| *count > 0), "{workers:?}");
    }

    #[tokio::test]
    async fn what_is_not_done_does_not_count() {
        let nothing = async |(): &mut ()| Ok(Done::Nothing);
        let run = drive(&mut [()], MS(10_000), nothing).await.unwrap();
        assert!(run.latencies.is_empty() && run.took < MS(10_000));
    }

    #[test]
    fn turns_add_up() {
        let one = Run { latencies: vec![MS(1); 100], took: MS(100), ..Run::default() };
        let mut sum = one.clone();
        sum.add(Run { latencies: vec![MS(1); 200], took: MS(100), ..Run::default() });
        assert_eq!((sum.latencies.len(), sum.took), (300, MS(200)));
        assert!((one.rate() - 1000.0).abs() < 1e-9 && (sum.rate() - 1500.0).abs() < 1e-9);
    }
}
