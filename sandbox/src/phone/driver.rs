//! The driver's end: starts a phone as a child process, calls it, hears its events, kills it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::protocol::{Call, ErrorLine, Event, Line, Request};

/// A phone that says nothing for this long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which program is the phone.
#[derive(Debug, Clone)]
pub struct PhoneProgram {
    /// The executable.
    pub path: PathBuf,
    /// Arguments before those of [`super::PhoneOptions`].
    pub arguments: Vec<OsString>,
}

/// A phone that runs.
#[derive(Debug)]
pub struct Phone {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    ids: AtomicU64,
    shared: Arc<Shared>,
    /// Milliseconds from its start to an open wallet, as the phone measured it.
    pub opened_in_ms: f64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Heard>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    answers: HashMap<u64, Result<Value, ErrorLine>>,
    events: Vec<Event>,
    closed: bool,
}

/// Why a phone could not be started.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The process did not start.
    #[error("the phone process cannot be started")]
    Start(#[from] std::io::Error),
    /// Its wallet did not open.
    #[error("the wallet did not open: {}", .0)]
    NotOpened(ErrorLine),
    /// The process ended, or was silent for a minute.
    #[error("the phone process is gone")]
    Gone,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The wallet said no.
    #[error("{}", .0)]
    Refused(ErrorLine),
    /// The process ended, or was silent for a minute.
    #[error("the phone process is gone")]
    Gone,
    /// The answer has another form than the call's.
    #[error("the phone answered in another form: {0}")]
    Malformed(String),
}

/// A call that was sent and not yet waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingCall(u64);

impl Phone {
    /// Starts the program and waits until its wallet is open.
    ///
    /// # Errors
    /// [`PhoneError`].
    pub fn start(program: &PhoneProgram, options: &[OsString]) -> Result<Self, PhoneError> {
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(PhoneError::Gone);
        };
        let shared = Arc::new(Shared::default());
        let heard = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("phone-lines".to_owned())
            .spawn(move || heard.listen(BufReader::new(output)))?;
        let mut phone = Self {
            child: Mutex::new(child),
            input: Mutex::new(input),
            ids: AtomicU64::new(1),
            shared,
            opened_in_ms: 0.0,
        };
        let first = phone.wait_for(|event| matches!(event, Event::Ready { .. } | Event::NotOpened { .. }));
        match first {
            Some(Event::Ready { millis, .. }) => {
                phone.opened_in_ms = millis;
                Ok(phone)
            }
            Some(Event::NotOpened { error }) => Err(PhoneError::NotOpened(error)),
            _ => Err(PhoneError::Gone),
        }
    }

    /// Calls and waits for the result.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&self, call: Call) -> Result<Value, CallError> {
        let pending = self.begin(call)?;
        self.finish(pending)
    }

    /// Sends a call without waiting.
    ///
    /// # Errors
    /// [`CallError::Gone`].
    pub fn begin(&self, call: Call) -> Result<PendingCall, CallError> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut line = serde_json::to_vec(&Request { id, call }).map_err(|_| CallError::Gone)?;
        line.push(b'\n');
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.write_all(&line).and_then(|()| input.flush()).map_err(|_| CallError::Gone)?;
        Ok(PendingCall(id))
    }

    /// Waits for the result of a call.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn finish(&self, pending: PendingCall) -> Result<Value, CallError> {
        let answer = self.shared.wait(|heard| heard.answers.remove(&pending.0)).ok_or(CallError::Gone)?;
        answer.map_err(CallError::Refused)
    }

    /// One APDU.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn apdu(&self, apdu: &[u8]) -> Result<Vec<u8>, CallError> {
        let answer = self.call(Call::Apdu { hex: hex::encode_upper(apdu) })?;
        let text = answer.get("hex").and_then(Value::as_str).unwrap_or_default();
        hex::decode(text).map_err(|_| CallError::Malformed(answer.to_string()))
    }

    /// The events since the last call of this.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.shared.lock().events)
    }

    /// Waits for an event and takes it; earlier ones stay. `None` if it never comes.
    pub fn wait_for(&self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        self.shared.wait(|heard| {
            let found = heard.events.iter().position(&wanted)?;
            Some(heard.events.remove(found))
        })
    }

    /// Whether it has said its last word: it ended by itself or was killed.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().closed
    }

    /// The operating system's number for it.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Ends the process at once (SIGKILL), also while another thread calls it: nothing in it gets a
    /// chance to finish.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended by itself.
        drop(child.kill());
        drop(child.wait());
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn listen(&self, lines: impl BufRead) {
        for line in lines.lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(Line::Ok { id, ok }) => drop(self.lock().answers.insert(id, Ok(ok))),
                Ok(Line::Error { id, error }) => drop(self.lock().answers.insert(id, Err(error))),
                Ok(Line::Event(event)) => self.lock().events.push(event),
                Err(error) => tracing::warn!(%error, line, "a phone's line that is none"),
            }
            self.news.notify_all();
        }
        self.lock().closed = true;
        self.news.notify_all();
    }

    fn wait<T>(&self, mut ready: impl FnMut(&mut Heard) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut heard = self.lock();
        loop {
            if let Some(found) = ready(&mut heard) {
                return Some(found);
            }
            let rest = until.saturating_duration_since(Instant::now());
            if heard.closed || rest.is_zero() {
                return None;
            }
            heard = self.news.wait_timeout(heard, rest).map_or_else(|p| p.into_inner().0, |(heard, _)| heard);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
