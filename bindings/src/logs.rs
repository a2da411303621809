//! What the library logs, handed to the app in batches.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::clock::wall_ms;
use crate::host::{Delivered, HostError};

/// Records that wait; beyond them the newest are dropped and counted.
const CAPACITY: usize = 1_024;

/// Records of one call on the sink.
const BATCH: usize = 128;

/// Characters of one record.
const TEXT_LIMIT: usize = 2_000;

/// How much a record matters. From `Info` on nothing is about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum LogLevel {
    /// A bug of the app, the servers or this library.
    Error,
    /// Something failed that should not, and the wallet went on.
    Warn,
    /// What the wallet did.
    Info,
    /// How.
    Debug,
    /// Every detail.
    Trace,
}

/// One line of the log. No card, token, key or user is in it, at any level.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LogRecord {
    /// By the phone's clock, milliseconds since 1970.
    pub time_ms: i64,
    /// How much it matters.
    pub level: LogLevel,
    /// Where in the library, for example `nfcwallet_core::wallet::background`.
    pub target: String,
    /// The line, with its fields at the end as `name=value`; at most 2,000 characters.
    pub text: String,
}

/// Some lines of the log, in order.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LogBatch {
    /// 1 to 128 lines.
    pub records: Vec<LogRecord>,
    /// How many lines were dropped just before these, because the sink was slow.
    pub dropped: u64,
}

/// Takes the library's log.
///
/// Called on one thread of the library that does nothing else, one batch after the other; may call back into
/// the wallet; may block: then up to 1,024 lines wait, and further ones are dropped and counted. What it
/// throws is ignored.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// Some lines.
    fn on_logs(&self, batch: LogBatch) -> Result<Delivered, HostError>;
}

/// Sends the library's log, down to `level`, to `sink` from now on, in the place of the sink before it;
/// without one the log goes nowhere. One for all wallets of the process. Any thread; at once.
#[uniffi::export]
pub fn set_log_sink(level: LogLevel, sink: Option<Arc<dyn LogSink>>) {
    static INSTALLED: Once = Once::new();
    QUEUE.level.store(if sink.is_some() { rank(level) } else { 0 }, Ordering::Release);
    QUEUE.lock().sink = sink;
    INSTALLED.call_once(|| {
        // Within one library nobody else sets it, except a Rust program's own, which then keeps the log.
        drop(tracing::subscriber::set_global_default(Collector));
        let thread = std::thread::Builder::new().name("nfcwallet-logs".to_owned());
        // Without a thread there is no log, and nobody to tell it.
        drop(thread.spawn(|| QUEUE.deliver()));
    });
    tracing::callsite::rebuild_interest_cache();
}

static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    /// Rank of the finest level that is wanted; 0 for none.
    level: AtomicU8,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<LogRecord>,
    dropped: u64,
    sink: Option<Arc<dyn LogSink>>,
}

impl Queue {
    fn push(&self, record: LogRecord) {
        let mut waiting = self.lock();
        if waiting.sink.is_none() {
            return;
        }
        if waiting.records.len() >= CAPACITY {
            waiting.dropped = waiting.dropped.saturating_add(1);
            return;
        }
        waiting.records.push_back(record);
        drop(waiting);
        self.more.notify_one();
    }

    /// The life of the log's thread.
    fn deliver(&self) {
        loop {
            let empty = |waiting: &mut Waiting| waiting.records.is_empty();
            let mut waiting = self.more.wait_while(self.lock(), empty).unwrap_or_else(PoisonError::into_inner);
            let (batch, sink) = (waiting.take(), waiting.sink.clone());
            drop(waiting);
            if let Some(sink) = sink {
                let call = std::panic::AssertUnwindSafe(|| sink.on_logs(batch));
                // A log of the log's failures would never end.
                drop(std::panic::catch_unwind(call));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> LogBatch {
        let count = self.records.len().min(BATCH);
        LogBatch { records: self.records.drain(..count).collect(), dropped: std::mem::take(&mut self.dropped) }
    }
}

/// Takes events of this library; spans have no meaning here.
struct Collector;

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("nfcwallet")
            && rank(level_of(*metadata.level())) <= QUEUE.level.load(Ordering::Acquire)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [LevelFilter::OFF, LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG];
        let rank = usize::from(QUEUE.level.load(Ordering::Acquire));
        Some(levels.get(rank).copied().unwrap_or(LevelFilter::TRACE))
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        QUEUE.push(LogRecord {
            time_ms: wall_ms(),
            level: level_of(*metadata.level()),
            target: metadata.target().to_owned(),
            text: line.text(),
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Line {
    words: String,
    fields: String,
}

impl Line {
    fn text(self) -> String {
        (self.words + &self.fields).chars().take(TEXT_LIMIT).collect()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.words, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        // Writing into a string fails only where the value itself does.
        written.unwrap_or_default();
    }
}

fn level_of(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// 1 for what matters most.
fn rank(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 1,
        LogLevel::Warn => 2,
        LogLevel::Info => 3,
        LogLevel::Debug => 4,
        LogLevel::Trace => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    struct Ears(Mutex<Sender<LogRecord>>);

    impl LogSink for Ears {
        fn on_logs(&self, batch: LogBatch) -> Result<Delivered, HostError> {
            let ears = self.0.lock().unwrap();
            // Nobody listens any more once the test is over.
            batch.records.into_iter().for_each(|record| drop(ears.send(record)));
            Ok(Delivered::Done)
        }
    }

    fn ears() -> (Arc<dyn LogSink>, impl Fn(&str) -> Option<LogRecord>) {
        let (tell, told) = channel::<LogRecord>();
        let next = move |marker: &str| {
            let mut records = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(10)).ok());
            records.find(|record| record.text.contains(marker))
        };
        (Arc::new(Ears(Mutex::new(tell))), next)
    }

    #[test]
    fn a_line_reaches_the_sink_with_its_fields_and_finer_ones_do_not() {
        let (sink, next) = ears();
        set_log_sink(LogLevel::Info, Some(sink));
        tracing::debug!("marker too fine");
        tracing::info!(target: "somebody_else", "marker of another library");
        tracing::info!(code = 7, "marker of ours");
        let record = next("marker").unwrap();
        assert_eq!((record.level, record.text.as_str()), (LogLevel::Info, "marker of ours code=7"));
        assert_eq!(record.target, "nfcwallet::logs::tests");
        set_log_sink(LogLevel::Info, None);
    }

    #[test]
    fn a_slow_sink_loses_the_newest_lines_and_hears_how_many() {
        let queue = Queue::default();
        let record = |number: usize| LogRecord {
            time_ms: 0,
            level: LogLevel::Info,
            target: String::new(),
            text: number.to_string(),
        };
        queue.push(record(0));
        assert!(queue.lock().records.is_empty(), "nobody listens");
        queue.lock().sink = Some(ears().0);
        (0..CAPACITY + 3).for_each(|number| queue.push(record(number)));
        let first = queue.lock().take();
        assert_eq!((first.records.len(), first.dropped), (BATCH, 3));
        assert_eq!(first.records.last(), Some(&record(BATCH - 1)));
        assert_eq!(queue.lock().take().dropped, 0);
    }
}
