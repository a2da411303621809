//! One request in, one answer out: admission, idempotency, dispatch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nfcwallet_core::host::RequestType;
use nfcwallet_core::token_service::operations::{Answer, Operation, Refusal};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use super::clock::ServiceClock;
use super::issuer::CardIssuer;
use super::keys::CLOCK_TOLERANCE_MS;
use super::names;
use super::policy::{Policy, ScheduledRefusal};
use super::store::{Failure, Store, StoreError, declined};

/// An opened request. The envelope proved that `device_public_key` signed it; nothing else is proved.
#[derive(Debug, Clone)]
pub struct Request {
    /// The type under which it travelled.
    pub kind: RequestType,
    /// The user that the relay vouches for.
    pub relay_user: String,
    /// The wallet instance.
    pub instance: [u8; 16],
    /// Names the request; repeated requests repeat it.
    pub request_id: [u8; 16],
    /// The user that the wallet names.
    pub user: String,
    /// The device key that the wallet names.
    pub device_public_key: Vec<u8>,
    /// The wallet's time.
    pub issued_at_ms: i64,
    /// `{"operation":…}`
    pub payload: Value,
}

/// Who asks: a user on a wallet instance. Another user on the same instance is somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The instance, hex.
    pub(crate) instance: String,
    /// The user.
    pub(crate) user: String,
}

/// What the operations work with.
pub(crate) struct Context<'a> {
    /// Committed only if the operation has an answer.
    pub(crate) work: &'a Transaction<'a>,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// By the service's clock.
    pub(crate) now_ms: i64,
    /// The behaviour at this moment.
    pub(crate) policy: &'a Policy,
    /// Makes cards.
    pub(crate) issuer: &'a dyn CardIssuer,
}

/// The token service. Share it in an `Arc`.
pub struct TokenService {
    pub(crate) issuer: Arc<dyn CardIssuer>,
    pub(crate) store: Mutex<Store>,
    clock: ServiceClock,
    policy: Mutex<Policy>,
    refusals: Mutex<Vec<ScheduledRefusal>>,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl std::fmt::Debug for TokenService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenService")
    }
}

impl TokenService {
    /// A service that keeps its state in the file `data`, or in memory.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be used.
    pub fn open(issuer: Arc<dyn CardIssuer>, data: Option<&Path>) -> Result<Self, StoreError> {
        Ok(Self {
            issuer,
            store: Mutex::new(Store::open(data)?),
            clock: ServiceClock::default(),
            policy: Mutex::default(),
            refusals: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// The service's clock.
    #[must_use]
    pub fn clock(&self) -> &ServiceClock {
        &self.clock
    }

    /// The behaviour at this moment.
    #[must_use]
    pub fn policy(&self) -> Policy {
        locked(&self.policy).clone()
    }

    /// Replaces the behaviour. Applications that wait keep the decision they were given.
    pub fn set_policy(&self, policy: Policy) {
        *locked(&self.policy) = policy;
    }

    /// Refuses the next requests of an operation.
    pub fn schedule_refusal(&self, refusal: ScheduledRefusal) {
        locked(&self.refusals).push(refusal);
    }

    /// How often each operation was asked, refused ones included.
    #[must_use]
    pub fn operations_seen(&self) -> BTreeMap<String, u64> {
        locked(&self.seen).clone()
    }

    /// The seed for the service's keys: the one in its file, or `offered`, kept for the next start.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be used.
    pub fn key_seed(&self, offered: [u8; 32]) -> Result<[u8; 32], StoreError> {
        locked(&self.store).seed_or(offered)
    }

    /// Forgets every user, token, request and scheduled refusal; policy and clock go back to their
    /// defaults.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be written.
    pub fn reset(&self) -> Result<(), StoreError> {
        locked(&self.store).clear()?;
        self.set_policy(Policy::default());
        self.clock.set_offset_ms(0);
        locked(&self.refusals).clear();
        locked(&self.seen).clear();
        Ok(())
    }

    /// Answers a request. Blocks: the issuer may have to make a key.
    ///
    /// A refusal changes nothing and is not remembered: the same request is judged anew when it is
    /// repeated, for example after the wallet learnt the right time.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        let name = operation_name(&request.payload);
        *locked(&self.seen).entry(name.to_owned()).or_default() += 1;
        std::thread::sleep(self.policy().pace(name));
        match self.judge(name, request) {
            Ok(answer) => answer,
            Err(Failure::Refused(problem)) => Answer::Refused { problem },
            Err(Failure::Broken(reason)) => {
                tracing::error!(operation = name, reason, "the token service failed");
                Answer::Refused { problem: Refusal::Internal {} }
            }
        }
    }

    fn judge(&self, name: &str, request: &Request) -> Result<Answer, Failure> {
        if let Some(refusal) = self.take_refusal(name) {
            return Err(refusal.into());
        }
        let now_ms = self.clock.now_ms();
        check_admission(request, now_ms)?;
        let operation = parse_operation(request)?;
        let caller = Caller { instance: hex::encode(request.instance), user: request.user.clone() };
        let policy = self.policy();

        let mut store = locked(&self.store);
        let work = store.begin()?;
        let known = recall(&work, &caller, request)?;
        let bound = check_device_key(&work, &caller, request, &operation, known.is_some())?;
        if let Some((recorded, answer)) = known {
            // An id that comes back with another operation is a defect of the wallet.
            return if recorded == name { Ok(answer) } else { Err(declined("request_id_reused")) };
        }
        if matches!(operation, Operation::Apply { .. }) {
            bind(&work, &caller, &request.device_public_key)?;
        }
        let context = Context { work: &work, caller: &caller, now_ms, policy: &policy, issuer: &*self.issuer };
        let answer = context.perform(operation)?;
        if bound != Bound::ToNobody {
            remember(&work, &caller, request, name, &answer)?;
        }
        work.commit()?;
        Ok(answer)
    }

    fn take_refusal(&self, name: &str) -> Option<Refusal> {
        let mut refusals = locked(&self.refusals);
        let due =
            refusals.iter_mut().find(|due| due.times > 0 && (due.operation == name || due.operation == names::ANY))?;
        due.times -= 1;
        let refusal = due.refusal.clone();
        refusals.retain(|due| due.times > 0);
        Some(refusal)
    }
}

impl Context<'_> {
    fn perform(&self, operation: Operation) -> Result<Answer, Failure> {
        match operation {
            Operation::Apply { fingerprint, device_safe, silent } => self.apply(&fingerprint, device_safe, silent),
            Operation::ApplicationStatus { application_id } => self.application_status(&application_id),
            Operation::OpenSession {} => self.open_session(),
            Operation::Provision { application_id, session_id, count } => {
                self.provision(&application_id, &session_id, count)
            }
            Operation::ReportProvisioned { token_reference, stored, .. } => {
                self.report_provisioned(&token_reference, stored)
            }
            Operation::Activate { token_reference } => self.activate(&token_reference),
            Operation::Replenish { token_reference, session_id, count } => {
                self.replenish(&token_reference, &session_id, count)
            }
            Operation::ReportUsage { token_reference, entries } => self.report_usage(&token_reference, &entries),
            Operation::TokenState {} => self.token_state(),
            Operation::Lock { token_reference } => self.lock(&token_reference),
            Operation::Unlock { token_reference } => self.unlock(&token_reference),
            Operation::Delete { token_reference } => self.delete(&token_reference),
            Operation::FetchInbox {} => self.fetch_inbox(),
            Operation::AcknowledgeInbox { ids } => self.acknowledge_inbox(&ids),
        }
    }
}

/// A lock whose holder panicked still guards whole values: each is replaced in one step, and the
/// database rolls back.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn operation_name(payload: &Value) -> &str {
    payload.get("operation").and_then(Value::as_str).unwrap_or("")
}

fn check_admission(request: &Request, now_ms: i64) -> Result<(), Refusal> {
    if request.issued_at_ms.abs_diff(now_ms) > CLOCK_TOLERANCE_MS.unsigned_abs() {
        return Err(Refusal::ClockSkew {});
    }
    if request.user != request.relay_user {
        return Err(Refusal::WrongUser {});
    }
    Ok(())
}

fn parse_operation(request: &Request) -> Result<Operation, Refusal> {
    serde_json::from_value(request.payload.clone())
        .ok()
        .filter(|operation: &Operation| operation.request_type() == request.kind)
        .ok_or(Refusal::UnknownOperation {})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    ToThisKey,
    ToNobody,
}

/// Everything but a new `Apply` must come from the bound key. Before the first `Apply` a wallet may
/// look, and finds nothing.
fn check_device_key(
    work: &Transaction<'_>,
    caller: &Caller,
    request: &Request,
    operation: &Operation,
    repeated: bool,
) -> Result<Bound, Failure> {
    if matches!(operation, Operation::Apply { .. }) && !repeated {
        return Ok(Bound::ToThisKey);
    }
    let key: Option<Vec<u8>> = work
        .query_row(
            "SELECT device_key FROM bindings WHERE instance=?1 AND user=?2",
            params![caller.instance, caller.user],
            |row| row.get(0),
        )
        .optional()?;
    let looks_only =
        matches!(operation, Operation::TokenState {} | Operation::FetchInbox {} | Operation::AcknowledgeInbox { .. });
    match key {
        Some(key) if key == request.device_public_key => Ok(Bound::ToThisKey),
        None if looks_only => Ok(Bound::ToNobody),
        _ => Err(Refusal::BadSignature {}.into()),
    }
}

/// Binds per user: a user's application on a shared phone cannot take the other user's binding away.
fn bind(work: &Transaction<'_>, caller: &Caller, key: &[u8]) -> Result<(), Failure> {
    work.execute(
        "INSERT INTO bindings(instance, user, device_key) VALUES(?1, ?2, ?3)
         ON CONFLICT(instance, user) DO UPDATE SET device_key=excluded.device_key, session_polls=0",
        params![caller.instance, caller.user, key],
    )?;
    Ok(())
}

fn recall(work: &Transaction<'_>, caller: &Caller, request: &Request) -> Result<Option<(String, Answer)>, Failure> {
    let row: Option<(String, String)> = work
        .query_row(
            "SELECT operation, answer FROM answers WHERE instance=?1 AND user=?2 AND request_id=?3",
            params![caller.instance, caller.user, hex::encode(request.request_id)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match row {
        Some((operation, answer)) => Ok(Some((operation, serde_json::from_str(&answer)?))),
        None => Ok(None),
    }
}

fn remember(
    work: &Transaction<'_>,
    caller: &Caller,
    request: &Request,
    name: &str,
    answer: &Answer,
) -> Result<(), Failure> {
    work.execute(
        "INSERT INTO answers(instance, user, request_id, operation, answer) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![caller.instance, caller.user, hex::encode(request.request_id), name, serde_json::to_string(answer)?],
    )?;
    Ok(())
}
