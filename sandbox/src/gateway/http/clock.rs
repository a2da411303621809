//! One time for all servers of a sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alipayplus::clock::Sleep;
use nfcwallet_core::host::BoxFuture;
use tokio::runtime::Handle;

use crate::token_service::TokenService;

/// The token service's wall clock, which tests move; pauses and deadlines pass in real time.
#[derive(Debug, Clone)]
pub struct ServersClock {
    service: Arc<TokenService>,
    runtime: Handle,
    start: Instant,
}

impl ServersClock {
    /// The clock of `service`. Its pauses run on `runtime`.
    #[must_use]
    pub fn new(service: Arc<TokenService>, runtime: Handle) -> Self {
        Self { service, runtime, start: Instant::now() }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.service.clock().now_ms()
    }

    fn pause(&self, pause: Duration) -> tokio::time::Sleep {
        let _context = self.runtime.enter();
        tokio::time::sleep(pause)
    }
}

impl alipayplus::Clock for ServersClock {
    fn wall_ms(&self) -> i64 {
        self.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, pause: Duration) -> Sleep<'_> {
        Box::pin(self.pause(pause))
    }
}

impl mpp_server::clock::Clock for ServersClock {
    fn now_ms(&self) -> i64 {
        self.service.clock().now_ms()
    }
}

impl nfcwallet_core::host::Clock for ServersClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ms(&self) -> i64 {
        self.now_ms()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<()> {
        Box::pin(self.pause(pause))
    }
}
