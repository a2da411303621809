//! Replenishment: one at a time, one batch a request id, with a back-off after failures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::usage::report_usage;
use crate::Result;
use crate::context::{Context, User, unexpected_answer};
use crate::error::{NetworkProblem, ServiceProblem, TokenProblem, WalletError};
use crate::host::MonitorEvent;
use crate::storage::{ReplenishRequest, TokenPhase, TokenRecord};
use crate::token_service::RequestId;
use crate::token_service::operations::{Answer, Operation, WireCredential};

const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// One answer of the service cannot stop replenishment for longer.
const LONGEST_SERVICE_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// Who wants credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The wallet, if the stock is strictly below the threshold and no back-off runs.
    Automatic,
    /// The app or the service: fill the stock up now.
    Manual,
}

/// The single flight and its back-off.
#[derive(Debug, Default)]
pub(crate) struct Replenishing {
    turn: async_lock::Mutex<()>,
    backoff: Mutex<Backoff>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Backoff {
    failures: u32,
    /// On the monotonic clock.
    until: Option<Duration>,
    /// The service's own word, which outlives `forget_failures`. On the monotonic clock.
    not_before: Option<Duration>,
}

impl Replenishing {
    /// Fills the stock up to the target, if `wish` asks for it. Concurrent calls wait for the first
    /// and then find the stock full: one request leaves. Returns how many credentials came.
    pub(crate) async fn replenish(&self, context: &Context, user: &User, wish: Wish) -> Result<u32> {
        let _turn = self.turn.lock().await;
        if wish == Wish::Automatic && self.retry_in(context.calls.clock().monotonic()).is_some() {
            return Ok(0);
        }
        let token = payable_token(context, user)?;
        let mut came = 0;
        // The first round may finish an older, smaller request.
        for _ in 0..2 {
            let Some(request) = request_for(context, user, wish)? else { break };
            let outcome = fetch(context, user, &token, request).await;
            self.remember(context, &outcome);
            track(context, &outcome);
            came += outcome?;
        }
        if came > 0
            && let Err(error) = report_usage(context, user).await
        {
            tracing::info!(code = error.code(), "usage report postponed");
        }
        Ok(came)
    }

    /// Tells the service what became of credentials; never beside a replenishment, which does the
    /// same.
    pub(crate) async fn report(&self, context: &Context, user: &User) -> Result<()> {
        let _turn = self.turn.lock().await;
        report_usage(context, user).await
    }

    /// How long until automatic replenishment may try again; `None` if it may now.
    pub(crate) fn retry_in(&self, now: Duration) -> Option<Duration> {
        let backoff = *self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        backoff.until.max(backoff.not_before)?.checked_sub(now).filter(|rest| !rest.is_zero())
    }

    /// The network is back, or the user changed: try at once, unless the service forbade it.
    pub(crate) fn forget_failures(&self) {
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        *backoff = Backoff { not_before: backoff.not_before, ..Backoff::default() };
    }

    fn remember(&self, context: &Context, outcome: &Result<u32>) {
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => *backoff = Backoff::default(),
            Err(error) => {
                backoff.fail(context.calls.clock().monotonic(), jitter(context), error);
            }
        }
    }
}

impl Backoff {
    fn fail(&mut self, now: Duration, jitter: f64, error: &WalletError) {
        self.until = Some(now + pause_after(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
        if let WalletError::Service { reason: ServiceProblem::RateLimited { retry_after } } = error {
            self.not_before = Some(now + (*retry_after).min(LONGEST_SERVICE_PAUSE));
        }
    }
}

/// 30 s, doubled with each failure up to an hour, ±20 %.
fn pause_after(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.min(10)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).mul_f64(jitter)
}

/// 0.8 to 1.2.
fn jitter(context: &Context) -> f64 {
    let [byte] = context.random::<1>();
    0.8 + 0.4 * f64::from(byte) / 255.0
}

fn payable_token(context: &Context, user: &User) -> Result<TokenRecord> {
    let token = context.store.read(|tx| tx.token(user.key))?.ok_or(WalletError::NoToken)?;
    let problem = match token.phase {
        TokenPhase::Stored | TokenPhase::Reported => Some(TokenProblem::AwaitsConfirmation),
        TokenPhase::Active if token.pending.is_some() => Some(TokenProblem::OutcomeUnknown),
        TokenPhase::Active if !token.suspended_by.is_empty() => {
            Some(TokenProblem::Suspended(token.suspended_by.iter().copied().collect()))
        }
        TokenPhase::Active => None,
    };
    match problem {
        Some(reason) => Err(WalletError::TokenUnavailable { reason }),
        None => Ok(token),
    }
}

/// The unfinished request of an earlier attempt, or a new one if the stock asks for it.
fn request_for(context: &Context, user: &User, wish: Wish) -> Result<Option<ReplenishRequest>> {
    let time = context.service.service_time();
    let app = context.configuration.app();
    let expired = context.store.discard_expired(user.key, time)?;
    if expired > 0 {
        tracing::info!(expired, "expired credentials discarded");
    }
    let (usable, unfinished) =
        context.store.read(|tx| Ok((tx.stock(user.key, time.now_ms)?.usable, tx.replenish_request(user.key)?)))?;
    if unfinished.is_some() {
        return Ok(unfinished);
    }
    let wanted = match wish {
        Wish::Automatic => usable < app.replenish_threshold,
        Wish::Manual => usable < app.target_stock,
    };
    if !wanted {
        return Ok(None);
    }
    let request = ReplenishRequest { request_id: context.random(), count: app.target_stock.saturating_sub(usable) };
    context.store.write(|tx| tx.set_replenish_request(user.key, request))?;
    Ok(Some(request))
}

async fn fetch(context: &Context, user: &User, token: &TokenRecord, request: ReplenishRequest) -> Result<u32> {
    let answer = match ask(context, user, token, &request).await {
        Err(WalletError::Service { reason: ServiceProblem::SessionRequired }) => {
            context.sessions.forget();
            ask(context, user, token, &request).await
        }
        other => other,
    };
    match answer {
        Ok(Answer::Replenished { credentials }) => store(context, user, token, request, &credentials),
        Ok(_) => Err(unexpected_answer()),
        Err(error) => {
            if let WalletError::Service {
                reason: ServiceProblem::Declined { .. } | ServiceProblem::UnknownToken | ServiceProblem::Suspended,
            } = &error
            {
                // The service answered this request for good; the next attempt is a new one.
                forget_request(context, user)?;
            }
            Err(error)
        }
    }
}

async fn ask(context: &Context, user: &User, token: &TokenRecord, request: &ReplenishRequest) -> Result<Answer> {
    let budget = context.configuration.remote().session_polls();
    let session = context.sessions.open(context, user, budget, |_| Ok(())).await?;
    let limit = budget.interval * budget.times;
    let session_id = session.ok_or(WalletError::Network { reason: NetworkProblem::TimedOut { limit } })?;
    let operation = Operation::Replenish { token_reference: token.reference.clone(), session_id, count: request.count };
    context.ask(user, &operation, RequestId(request.request_id)).await
}

/// One commit: the batch is in and its request is finished, or neither.
fn store(
    context: &Context,
    user: &User,
    token: &TokenRecord,
    request: ReplenishRequest,
    credentials: &[WireCredential],
) -> Result<u32> {
    let count = u32::try_from(credentials.len()).unwrap_or(u32::MAX);
    if count == 0 || count > request.count {
        forget_request(context, user)?;
        return Err(WalletError::Protocol { reason: "the batch has another size than asked for" });
    }
    let stored = context.store.write_guarded(|tx| {
        // The token may have been deleted or replaced while the answer was on its way.
        let same_token = tx.token(user.key)?.is_some_and(|now| now.reference == token.reference);
        if !same_token || tx.replenish_request(user.key)? != Some(request) {
            return Err(WalletError::TokenUnavailable { reason: TokenProblem::OutcomeUnknown });
        }
        tx.add_credentials(user.key, credentials)?;
        tx.clear_replenish_request(user.key)
    });
    if let Err(WalletError::Protocol { .. }) = stored {
        // Asked again under this id, the service would answer the same.
        forget_request(context, user)?;
    }
    stored.map(|()| count)
}

fn forget_request(context: &Context, user: &User) -> Result<()> {
    context.store.write(|tx| tx.clear_replenish_request(user.key))
}

/// `EVENT_REPLENISH`, by the field's names.
fn track(context: &Context, outcome: &Result<u32>) {
    let mut fields = BTreeMap::from([("replenishResult", outcome.is_ok().to_string())]);
    match outcome {
        Ok(count) => fields.insert("countCredential", count.to_string()),
        Err(error) => fields.insert("errorCode", error.code().to_string()),
    };
    context.track(MonitorEvent { id: "EVENT_REPLENISH", fields });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_an_hour() {
        let pauses: Vec<u64> = (0..9).map(|failures| pause_after(failures, 1.0).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pause_after(40, 1.2).as_secs(), 4320);
    }

    /// How long automatic replenishment waits after this answer.
    fn paused_by(error: &WalletError) -> (Replenishing, Duration) {
        let replenishing = Replenishing::default();
        replenishing.backoff.lock().unwrap().fail(Duration::ZERO, 1.0, error);
        let pause = replenishing.retry_in(Duration::ZERO).unwrap();
        (replenishing, pause)
    }

    fn rate_limited(retry_after: Duration) -> WalletError {
        WalletError::Service { reason: ServiceProblem::RateLimited { retry_after } }
    }

    #[test]
    fn the_service_can_ask_for_a_longer_pause() {
        assert_eq!(paused_by(&rate_limited(Duration::from_secs(300))).1, Duration::from_secs(300));
        assert_eq!(paused_by(&rate_limited(Duration::from_secs(1))).1, FIRST_PAUSE);
        assert_eq!(paused_by(&rate_limited(Duration::MAX)).1, LONGEST_SERVICE_PAUSE);
    }

    #[test]
    fn a_network_that_is_back_ends_the_wallets_own_pause_and_not_the_services() {
        let (replenishing, _) = paused_by(&WalletError::Network { reason: NetworkProblem::Offline });
        replenishing.forget_failures();
        assert_eq!(replenishing.retry_in(Duration::ZERO), None);
        let (replenishing, pause) = paused_by(&rate_limited(Duration::from_secs(300)));
        replenishing.forget_failures();
        assert_eq!(replenishing.retry_in(Duration::ZERO), Some(pause));
        assert_eq!(replenishing.retry_in(pause), None);
    }
}
