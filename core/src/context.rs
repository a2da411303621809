//! What every room works with: the host, the store, the service, the configuration, the events.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Configuration;
use crate::host::{EventQueue, HostCalls, MonitorEvent};
use crate::storage::{Store, UserKey};
use crate::token_service::{Answer, Operation, RequestId, Sessions, TokenServiceClient};
use crate::{Result, WalletError};

/// Shared by all rooms of one wallet.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) calls: Arc<HostCalls>,
    pub(crate) store: Arc<Store>,
    pub(crate) service: TokenServiceClient,
    pub(crate) sessions: Sessions,
    pub(crate) configuration: Configuration,
    pub(crate) contact: ServiceContact,
    /// To listeners of activations.
    pub(crate) events: EventQueue,
    /// To the listener of taps.
    pub(crate) tap_events: EventQueue,
    /// To the monitor.
    pub(crate) monitor_events: EventQueue,
}

/// The connected user: the row in the store, and the name for the service.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) key: UserKey,
    pub(crate) id: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(redacted)")
    }
}

impl Context {
    /// The connected user.
    ///
    /// # Errors
    /// [`WalletError::NotConnected`], or a failure of the store.
    pub(crate) fn user(&self) -> Result<User> {
        let connected = self.store.read(|tx| tx.connected())?;
        connected.map(|(key, id)| User { key, id }).ok_or(WalletError::NotConnected)
    }

    /// One operation for `user`, under a request id of the caller's.
    pub(crate) async fn ask(&self, user: &User, operation: &Operation, request_id: RequestId) -> Result<Answer> {
        let answer = self.service.call(&user.id, operation, request_id).await;
        // A refusal is an authenticated answer too. What a report is answered with says nothing of the token.
        let is_report = matches!(operation, Operation::ReportUsage { .. });
        if !is_report && matches!(answer, Ok(_) | Err(WalletError::Service { .. })) {
            self.note_contact(user.key);
        }
        answer
    }

    /// One operation that may be asked anew at any time (a poll, a query).
    pub(crate) async fn query(&self, user: &User, operation: &Operation) -> Result<Answer> {
        self.ask(user, operation, RequestId::random(self.calls.entropy())).await
    }

    /// Has the service said nothing to `user` for so long that a suspension may be unknown here? Also if
    /// it never did, or if the clock shows less than it did then.
    pub(crate) fn is_service_silent(&self, user: UserKey) -> bool {
        let heard_ms = self.contact.of(user, &self.store).at_ms;
        let silence_ms = heard_ms.and_then(|heard_ms| self.service.service_now_ms().checked_sub(heard_ms));
        silence_ms.is_none_or(|silence_ms| !(-CLOCK_TOLERANCE_MS..=SERVICE_SILENCE_MS).contains(&silence_ms))
    }

    fn note_contact(&self, user: UserKey) {
        let at_ms = self.service.service_now_ms();
        if self.contact.note(user, at_ms, &self.store)
            && let Err(error) = self.store.write(|tx| tx.set_setting(&contact_setting(user), &at_ms.to_be_bytes()))
        {
            tracing::debug!(code = error.code(), "contact with the service not noted");
        }
    }

    /// Random bytes.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.calls.entropy().fill(&mut bytes);
        bytes
    }

    /// Queues a measurement for the app's monitor.
    pub(crate) fn track(&self, event: MonitorEvent) {
        let monitor = Arc::clone(&self.calls.host().monitor);
        self.monitor_events.push(move || monitor.track(event));
    }
}

/// When the service last gave an authenticated answer to the connected user.
#[derive(Debug, Default)]
pub(crate) struct ServiceContact(Mutex<Option<Heard>>);

#[derive(Debug, Clone, Copy)]
struct Heard {
    user: UserKey,
    /// By the service's clock.
    at_ms: Option<i64>,
    /// What the store says.
    stored_ms: Option<i64>,
}

/// A later contact within this is not worth a write.
const STORE_FROM_MS: i64 = 3_600_000;

/// A day.
const SERVICE_SILENCE_MS: i64 = 86_400_000;

/// The wall clock of a new process is only about right.
const CLOCK_TOLERANCE_MS: i64 = 300_000;

impl ServiceContact {
    /// Answers whether the store should learn of it.
    fn note(&self, user: UserKey, at_ms: i64, store: &Store) -> bool {
        let earlier = self.of(user, store);
        let worth_a_write =
            earlier.stored_ms.is_none_or(|stored| stored.abs_diff(at_ms) >= STORE_FROM_MS.unsigned_abs());
        let stored_ms = if worth_a_write { Some(at_ms) } else { earlier.stored_ms };
        *self.lock() = Some(Heard { user, at_ms: Some(at_ms), stored_ms });
        worth_a_write
    }

    fn of(&self, user: UserKey, store: &Store) -> Heard {
        if let Some(heard) = self.lock().filter(|heard| heard.user == user) {
            return heard;
        }
        let stored = store.read(|tx| tx.setting(&contact_setting(user))).ok().flatten();
        let stored_ms = stored.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
        let heard = Heard { user, at_ms: stored_ms, stored_ms };
        *self.lock() = Some(heard);
        heard
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contact_setting(user: UserKey) -> String {
    format!("service_contact.{}", user.0)
}

/// The service answered another question than the one asked.
pub(crate) fn unexpected_answer() -> WalletError {
    WalletError::Protocol { reason: "the answer does not fit the operation" }
}
