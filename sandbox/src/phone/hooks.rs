//! The host of a phone process: simulated device, interfaces that misbehave on demand, events as
//! lines.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nfcwallet_core::Wallet;
use nfcwallet_core::activation::{ActivationMode, ActivationProgress};
use nfcwallet_core::host::{
    ActivationListener, Anchor, Delivered, DeviceFingerprint, DeviceInfo, DeviceKeyStore, DevicePublicKey, DeviceState,
    HostError, KeyStoreError, Monitor, MonitorEvent, NFCRequestProxy, PermitDecision, Reply, RequestType, RiskControl,
    Signature, Stored, TransactionListener, TransactionPermit, Unwrapped, Wrapped,
};
use nfcwallet_core::payment::{
    CdcvmMethod, TapFailure, TapId, TransactionInformation, TransactionOutcome, TransactionRecord,
};
use serde::Serialize;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::protocol::{Event, Fault, HoldAt, HoldWhen, HostChange, Line};
use crate::relay::HttpProxy;

/// Writes lines to standard output, each whole.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<()>);

impl Lines {
    pub(super) fn write(&self, line: &Line) {
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        let mut out = std::io::stdout().lock();
        // A driver that is gone will end this process through its standard input.
        drop(out.write_all(&text).and_then(|()| out.flush()));
    }

    pub(super) fn event(&self, event: Event) -> Result<Delivered, HostError> {
        self.write(&Line::Event(event));
        Ok(Delivered::Done)
    }
}

/// How the host behaves; one for all its interfaces.
#[derive(Debug)]
pub(super) struct Behaviour {
    state: Mutex<State>,
    /// For listeners that hang until the driver mends them.
    changed: Condvar,
    pub(super) lines: Arc<Lines>,
    /// For a permit that calls back into the wallet.
    pub(super) wallet: OnceLock<Wallet>,
}

#[derive(Debug, Clone)]
struct State {
    permit: String,
    device: DeviceState,
    online: bool,
    faults: Faults,
    /// The tap whose start a faulty listener did not tell: its end, which may come after the mending,
    /// is not told either.
    untold: Option<u64>,
    hold: Option<HoldAt>,
}

#[derive(Debug, Clone, Copy)]
struct Faults {
    device: Fault,
    key_store: Fault,
    proxy: Fault,
    listener: Fault,
}

impl Behaviour {
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        let none = Fault::None;
        let device = DeviceState {
            nfc_on: true,
            default_payment_app: true,
            screen_on: true,
            unlocked: true,
            integrity: nfcwallet_core::host::IntegrityVerdict::Safe,
        };
        let state = State {
            permit: "proceed".to_owned(),
            device,
            online: true,
            faults: Faults { device: none, key_store: none, proxy: none, listener: none },
            untold: None,
            hold: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), lines, wallet: OnceLock::new() }
    }

    pub(super) fn change(&self, change: HostChange) {
        let mut state = self.lock();
        let device = &mut state.device;
        device.nfc_on = change.nfc_on.unwrap_or(device.nfc_on);
        device.default_payment_app = change.default_payment_app.unwrap_or(device.default_payment_app);
        device.screen_on = change.screen_on.unwrap_or(device.screen_on);
        device.unlocked = change.unlocked.unwrap_or(device.unlocked);
        match change.safe {
            Some(true) => device.integrity = nfcwallet_core::host::IntegrityVerdict::Safe,
            Some(false) => {
                let reason = "rooted".to_owned();
                device.integrity = nfcwallet_core::host::IntegrityVerdict::Unsafe { reason };
            }
            None => {}
        }
        state.online = change.online.unwrap_or(state.online);
        state.permit = change.permit.unwrap_or_else(|| state.permit.clone());
        let faults = &mut state.faults;
        faults.device = change.device.unwrap_or(faults.device);
        faults.key_store = change.key_store.unwrap_or(faults.key_store);
        faults.proxy = change.proxy.unwrap_or(faults.proxy);
        faults.listener = change.listener.unwrap_or(faults.listener);
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn hold(&self, at: HoldAt) {
        self.lock().hold = Some(at);
    }

    /// Is this the request to stop?
    fn held(&self, kind: RequestType) -> Option<HoldAt> {
        let mut state = self.lock();
        let hold = state.hold.as_mut().filter(|hold| hold.request_type == kind.as_str())?;
        hold.nth = hold.nth.saturating_sub(1);
        if hold.nth > 0 {
            return None;
        }
        state.hold.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn misbehave(&self, fault: Fault) -> Result<(), HostError> {
        match fault {
            Fault::None => Ok(()),
            Fault::Fail | Fault::Locked | Fault::Invalidated => Err(HostError::Failed { reason: "as told".to_owned() }),
            Fault::Hang => {
                std::thread::sleep(Duration::from_secs(3_600));
                Ok(())
            }
            #[allow(clippy::panic, reason = "the fault that was asked for")]
            Fault::Panic => panic!("as told"),
        }
    }
}

/// The proxy of a phone: logged in or not, offline, faulty, or stopped on demand.
pub(super) struct PhoneProxy {
    server: SocketAddr,
    runtime: Handle,
    /// Of the user who is logged in at the app's server.
    session: Mutex<Option<HttpProxy>>,
    behaviour: Arc<Behaviour>,
}

impl PhoneProxy {
    pub(super) fn new(server: SocketAddr, runtime: Handle, behaviour: Arc<Behaviour>) -> Self {
        Self { server, runtime, session: Mutex::new(None), behaviour }
    }

    pub(super) async fn log_in(&self, user: &str) -> Result<(), HostError> {
        let online = self.behaviour.lock().online;
        let session = if online {
            HttpProxy::log_in(self.server, user, self.runtime.clone()).await
        } else {
            Err(HostError::Offline)
        };
        let (session, outcome) = match session {
            Ok(session) => (Some(session), Ok(())),
            Err(error) => (None, Err(error)),
        };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        outcome
    }

    pub(super) fn log_out(&self) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn session(&self) -> Result<HttpProxy, HostError> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session.ok_or_else(|| HostError::Failed { reason: "not logged in at the app's server".to_owned() })
    }
}

#[async_trait]
impl NFCRequestProxy for PhoneProxy {
    async fn send_request(&self, kind: RequestType, body: Vec<u8>) -> Result<Reply, HostError> {
        let (online, fault) = {
            let state = self.behaviour.lock();
            (state.online, state.faults.proxy)
        };
        if !online {
            return Err(HostError::Offline);
        }
        match fault {
            Fault::Hang => std::future::pending().await,
            fault => self.behaviour.misbehave(fault)?,
        }
        let held = self.behaviour.held(kind);
        if let Some(hold) = held.as_ref().filter(|hold| hold.when == HoldWhen::Before) {
            self.stop(kind, hold).await;
        }
        let reply = self.session()?.send_request(kind, body).await;
        if let Some(hold) = held.as_ref().filter(|hold| hold.when == HoldWhen::After) {
            self.stop(kind, hold).await;
        }
        reply
    }
}

impl PhoneProxy {
    async fn stop(&self, kind: RequestType, hold: &HoldAt) {
        drop(self.behaviour.lines.event(Event::Held { request_type: kind.as_str().to_owned() }));
        match hold.for_ms {
            Some(millis) => {
                // The wallet polls its proxy wherever it likes: the timer is this runtime's.
                let pause = {
                    let _context = self.runtime.enter();
                    tokio::time::sleep(Duration::from_millis(millis))
                };
                pause.await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The key store of a phone, with faults on demand.
pub(super) struct PhoneKeyStore {
    pub(super) inner: Arc<dyn DeviceKeyStore>,
    pub(super) behaviour: Arc<Behaviour>,
}

impl PhoneKeyStore {
    fn check(&self) -> Result<(), KeyStoreError> {
        let fault = self.behaviour.lock().faults.key_store;
        match fault {
            Fault::Locked => Err(KeyStoreError::Locked),
            Fault::Invalidated => Err(KeyStoreError::Invalidated),
            fault => self.behaviour.misbehave(fault).map_err(|e| KeyStoreError::Failed { reason: e.to_string() }),
        }
    }
}

impl DeviceKeyStore for PhoneKeyStore {
    fn public_key(&self) -> Result<DevicePublicKey, KeyStoreError> {
        self.check()?;
        self.inner.public_key()
    }

    fn sign(&self, message: Vec<u8>) -> Result<Signature, KeyStoreError> {
        self.check()?;
        self.inner.sign(message)
    }

    fn wrap(&self, key: Zeroizing<Vec<u8>>) -> Result<Wrapped, KeyStoreError> {
        self.check()?;
        self.inner.wrap(key)
    }

    fn unwrap(&self, wrapped: Wrapped) -> Result<Unwrapped, KeyStoreError> {
        self.check()?;
        self.inner.unwrap(wrapped)
    }

    fn renew(&self) -> Result<Stored, KeyStoreError> {
        // New keys end the invalidation, as they do on a phone.
        let invalidated = Fault::Invalidated;
        if self.behaviour.lock().faults.key_store == invalidated {
            self.behaviour.lock().faults.key_store = Fault::None;
        }
        self.check()?;
        self.inner.renew()
    }

    fn anchor(&self) -> Result<Anchor, KeyStoreError> {
        self.check()?;
        self.inner.anchor()
    }

    fn set_anchor(&self, bytes: Vec<u8>) -> Result<Stored, KeyStoreError> {
        self.check()?;
        self.inner.set_anchor(bytes)
    }
}

impl DeviceInfo for Behaviour {
    fn fingerprint(&self) -> Result<DeviceFingerprint, HostError> {
        let fault = self.lock().faults.device;
        self.misbehave(fault)?;
        Ok(DeviceFingerprint { text: "sandbox-phone".to_owned() })
    }

    fn state(&self) -> Result<DeviceState, HostError> {
        let fault = self.lock().faults.device;
        self.misbehave(fault)?;
        Ok(self.lock().device.clone())
    }
}

impl TransactionPermit for Behaviour {
    fn is_allowed(
        &self,
        _auth_before: bool,
        _transaction: TransactionInformation,
        risk: RiskControl,
    ) -> Result<PermitDecision, HostError> {
        let permit = self.lock().permit.clone();
        match permit.as_str() {
            "proceed" => Ok(PermitDecision::Proceed),
            "decline" => Ok(PermitDecision::Decline),
            "need_auth" => Ok(PermitDecision::NeedAuth),
            "obey_risk" if risk.proceed => Ok(PermitDecision::Proceed),
            "obey_risk" => Ok(PermitDecision::CustomDecline(4)),
            "hang" => self.misbehave(Fault::Hang).map(|()| PermitDecision::Proceed),
            "panic" => self.misbehave(Fault::Panic).map(|()| PermitDecision::Proceed),
            "re_enter" => {
                // A host that calls back: everything is answered, and the inner APDU declines the tap.
                if let Some(wallet) = self.wallet.get() {
                    let inner = wallet.process_apdu(&hex::decode("80CA9F3600").unwrap_or_default());
                    drop(wallet.token_status());
                    drop(wallet.set_transaction_reference(&inner));
                    drop(wallet.authenticate(CdcvmMethod::Password));
                    drop(wallet.readiness());
                }
                Ok(PermitDecision::Proceed)
            }
            custom => match custom.strip_prefix("custom_").and_then(|n| n.parse().ok()) {
                Some(number) => Ok(PermitDecision::CustomDecline(number)),
                None => Err(HostError::Failed { reason: "as told".to_owned() }),
            },
        }
    }
}

impl Behaviour {
    fn tell(&self, event: Event) -> Result<Delivered, HostError> {
        let hangs = |state: &mut State| state.faults.listener == Fault::Hang;
        let mut state = self.changed.wait_while(self.lock(), hangs).unwrap_or_else(PoisonError::into_inner);
        let mut fault = state.faults.listener;
        match &event {
            Event::Start { tap } => state.untold = (fault != Fault::None).then_some(*tap),
            Event::Complete { tap, .. } | Event::Failed { tap, .. } if state.untold == Some(*tap) => {
                fault = Fault::Fail;
            }
            _ => {}
        }
        drop(state);
        self.misbehave(fault)?;
        self.lines.event(event)
    }
}

impl TransactionListener for Behaviour {
    fn on_start(&self, tap: TapId) -> Result<Delivered, HostError> {
        self.tell(Event::Start { tap: tap.0 })
    }

    fn on_complete(&self, tap: TapId, record: TransactionRecord) -> Result<Delivered, HostError> {
        let TransactionInformation { amount_minor, currency, .. } = record.transaction;
        let TransactionOutcome::Complete { atc, reference, .. } = record.outcome else {
            return Err(HostError::Failed { reason: "a completed tap with another outcome".to_owned() });
        };
        self.tell(Event::Complete { tap: tap.0, amount_minor, currency, atc, reference: hex::encode(reference) })
    }

    fn on_failed(
        &self,
        tap: TapId,
        failure: TapFailure,
        _transaction: Option<TransactionInformation>,
    ) -> Result<Delivered, HostError> {
        let advice = failure.advice().map(|advice| format!("{advice:?}"));
        self.tell(Event::Failed { tap: tap.0, code: failure.code(), advice })
    }

    fn on_auth_required(&self, tap: TapId, _transaction: TransactionInformation) -> Result<Delivered, HostError> {
        self.tell(Event::AuthRequired { tap: tap.0 })
    }
}

impl ActivationListener for Behaviour {
    fn on_progress(&self, progress: ActivationProgress) -> Result<Delivered, HostError> {
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mode = match progress.mode {
            ActivationMode::Manual => "manual",
            ActivationMode::Silent => "silent",
        };
        self.tell(Event::Progress {
            mode: mode.to_owned(),
            phase: name_of(&progress.phase),
            step: progress.step,
            total: progress.total,
            percent: progress.percent,
            step_up_required: progress.step_up_required,
            elapsed_ms: millis(progress.elapsed),
            remaining_ms: progress.remaining.map(millis),
        })
    }

    fn on_activated(&self) -> Result<Delivered, HostError> {
        self.tell(Event::Activated)
    }
}

impl Monitor for Behaviour {
    fn track(&self, event: MonitorEvent) -> Result<Delivered, HostError> {
        let fields = event.fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.tell(Event::Monitor { id: event.id.to_owned(), fields })
    }
}

/// The snake-case name that serde gives an enum.
pub(super) fn name_of(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
