//! How strict a server is.

use std::sync::Arc;
use std::time::Duration;

use super::replay::ReplayGuard;
use crate::clock::{Clock, SystemClock};
use crate::signature::{ClientId, SigningKeys};
use crate::transport;

/// Who answers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Named in answers to requests whose own `Client-Id` is missing or malformed. All others are answered
    /// under the client id that they carry.
    pub client_id: ClientId,
    /// Sign the answers.
    pub keys: SigningKeys,
}

/// What a request may be like. The facts of the product leave most of this open: the defaults are ours.
#[derive(Clone)]
pub struct ServerOptions {
    /// How far `Request-Time` may be from our clock, before or after. Zero checks nothing. Default 10 min.
    pub max_clock_skew: Duration,
    /// Largest body. Default 1 MiB.
    pub max_body_bytes: usize,
    /// How long a body may take to arrive. Default 15 s, as long as official clients wait for an answer.
    pub body_timeout: Duration,
    /// How long to wait for a handler; `None` waits for ever. The handler itself goes on. Default 10 s: a
    /// signed "not yet" is worth more to the caller than its own timeout after 15 s.
    pub handler_deadline: Option<Duration>,
    /// What the second of two identical signed requests gets. Default [`Repeats::Handle`].
    pub repeats: Repeats,
    /// Default: the machine's.
    pub clock: Arc<dyn Clock>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_clock_skew: Duration::from_mins(10),
            max_body_bytes: transport::MAX_BODY_BYTES,
            body_timeout: Duration::from_secs(15),
            handler_deadline: Some(Duration::from_secs(10)),
            repeats: Repeats::Handle,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("max_clock_skew", &self.max_clock_skew)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("body_timeout", &self.body_timeout)
            .field("handler_deadline", &self.handler_deadline)
            .field("repeats", &self.repeats)
            .finish_non_exhaustive()
    }
}

impl ServerOptions {
    pub(super) fn max_clock_skew_ms(&self) -> i64 {
        i64::try_from(self.max_clock_skew.as_millis()).unwrap_or(i64::MAX)
    }
}

/// What the second of two identical signed requests gets, inside the window of freshness.
#[derive(Clone, Default)]
pub enum Repeats {
    /// What every request gets. Handlers are idempotent by the ids in their requests.
    #[default]
    Handle,
    /// `UNKNOWN_EXCEPTION` with status `U`: not `F`, for the first one may have succeeded. A caller that
    /// repeats as it should signs anew, with a new time, and is answered.
    Refuse(Arc<dyn ReplayGuard>),
}

impl std::fmt::Debug for Repeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Handle => "Handle",
            Self::Refuse(_) => "Refuse",
        })
    }
}
