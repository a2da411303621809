//! The public object: init, connect, disconnect, status, page.
//!
//! Owns nothing but the wiring. May touch every room.
//!
//! Long calls are `async` and need no particular executor. They never hold it for the network, but may
//! for the host's key store and device (5 s and 2 s a call), so they are not for a UI thread's executor. Taps ([`Wallet::process_apdu`]) and questions about local state are synchronous and
//! never wait for the network.

mod background;
mod readiness;
mod registry;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use crate::config::{RemoteConfig, WalletConfig};
pub use readiness::{Condition, Readiness};

use crate::Result;
use crate::activation::{ActivationMode, Activations};
use crate::config::Configuration;
use crate::context::{Context, ServiceContact, User};
use crate::credentials::{self, CredentialStock, Replenishing, Wish};
use crate::error::WalletError;
use crate::host::{ActivationListener, EventQueue, Host, HostCalls};
use crate::payment::{self, AfterTap, CdcvmMethod, FieldLoss, LeftoverQueue, Taps, TransactionPage};
use crate::storage::{ChangeKind, Store, StoreConfig};
use crate::token::{self, Page, Suspender, TokenStatus};
use crate::token_service::{ClientSettings, Sessions, TokenServiceClient};

/// One wallet on one data directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Wallet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    activations: Arc<Activations>,
    replenishing: Replenishing,
    taps: Taps,
    /// Lock, unlock, delete, sync and connect talk to the service one after the other.
    talk: async_lock::Mutex<()>,
    /// When the next automatic replenishment is due, on the monotonic clock.
    retry_at: Mutex<Option<Duration>>,
    leftovers: Arc<LeftoverQueue>,
    /// Somebody watches for silent terminals.
    watching: Arc<AtomicBool>,
    /// A catching-up that the host asked for runs.
    catching_up: AtomicBool,
    /// Another one was asked for.
    catch_up_again: AtomicBool,
    shut_down: AtomicBool,
}

/// What `connect` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The status after it.
    pub status: TokenStatus,
    /// What kept the wallet from reaching the service. The user is connected all the same and can
    /// pay with what is in stock; call `network_available` or `connect` later.
    pub service: Option<WalletError>,
    /// The store or its key was useless and has been renewed: activate anew.
    pub recovered_from: Option<WalletError>,
}

impl Wallet {
    /// Opens the wallet of `config.data_directory`: restores a persisted connection, needs no network,
    /// returns in milliseconds. A second `init` on the same directory with an equal configuration
    /// gives the same wallet; its `host` is then ignored.
    ///
    /// A wallet whose hardware key is locked or gone, or whose store was rolled back, still opens: its
    /// status is -3 and it refuses to pay until `connect` has recovered it.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] for a value out of range, or another configuration on a directory
    /// that is open; `StoreBusy`, `StoreFull`, `StoreUnusable`, `StoreCorrupt`, `StoreTooNew`.
    pub fn init(config: WalletConfig, host: Host) -> Result<Self> {
        config.validate()?;
        registry::open_once(config, |config| Inner::open(config, host)).map(|inner| Self { inner })
    }

    /// Binds `user` (1 to 64 characters, the customer's id at the payment provider) and catches up
    /// with the service: keys, inbox, state; an unfinished activation and a low stock are dealt with
    /// in the background. Another connected user is disconnected first.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`], or a failure of the store. Being offline is no error: see
    /// [`Connection::service`].
    pub async fn connect(&self, user: &str) -> Result<Connection> {
        self.alive()?;
        let length = user.chars().count();
        if !(1..=64).contains(&length) {
            let reason = format!("is {length} characters, limit 1 to 64");
            return Err(WalletError::InvalidInput { field: "user", reason });
        }
        let recovered_from = self.inner.heal()?;
        let store = &self.inner.context.store;
        let earlier = store.read(|tx| tx.connected())?;
        if earlier.is_none_or(|(_, earlier)| earlier != user) {
            self.inner.forget_user();
            store.write(|tx| tx.connect_user(user))?;
            // Once more: a proof of presence or a reference that came in between was the other user's.
            self.inner.forget_user();
        }
        self.inner.replenishing.forget_failures();
        let service = Inner::catch_up(&self.inner).await.err();
        Ok(Connection { status: self.token_status(), service, recovered_from })
    }

    /// Refuses taps from the call on. The token stays, sealed, for the same user's next `connect`.
    ///
    /// # Errors
    /// A failure of the store.
    #[allow(clippy::unused_async, reason = "part of the public contract: a logout may come to need the network")]
    pub async fn disconnect(&self) -> Result<()> {
        self.alive()?;
        self.inner.context.store.write(|tx| tx.disconnect())?;
        self.inner.forget_user();
        Ok(())
    }

    /// The token status, from stored facts.
    #[must_use]
    pub fn token_status(&self) -> TokenStatus {
        if self.alive().is_err() {
            return TokenStatus::QueryFailed;
        }
        token::gather(&self.inner.context, &self.inner.activations)
            .map_or(TokenStatus::QueryFailed, |facts| facts.status())
    }

    /// The screen that the status asks for.
    #[must_use]
    pub fn page(&self) -> Page {
        self.token_status().page()
    }

    /// Asks the service for the token's state, finishes a change of unknown outcome, drains the inbox.
    ///
    /// # Errors
    /// [`WalletError::NotConnected`], network and service failures.
    pub async fn sync_token(&self) -> Result<TokenStatus> {
        let user = self.user()?;
        Inner::sync(&self.inner, &user).await?;
        Inner::look_at_stock(&self.inner);
        Ok(self.token_status())
    }

    /// Activates a token, or goes on with an unfinished activation. Manual ends in status 2, silent
    /// in 21. Takes 20 to 30 s in the field; `progress` hears of every step.
    ///
    /// # Errors
    /// [`WalletError::ActivationInProgress`] while one runs, [`WalletError::ActivationFailed`] and
    /// [`WalletError::DeviceUnsafe`] with the reason, network failures (the journal stays).
    pub async fn activate(&self, mode: ActivationMode, progress: Arc<dyn ActivationListener>) -> Result<()> {
        let user = self.user()?;
        self.inner.activations.activate(&self.inner.context, &user, mode, progress).await
    }

    /// The user confirms a silently prepared token. Waits for a silent run that is unfinished.
    ///
    /// # Errors
    /// [`WalletError::NoToken`] if nothing was prepared; otherwise as `activate`.
    pub async fn confirm_activation(&self, progress: Arc<dyn ActivationListener>) -> Result<()> {
        let user = self.user()?;
        self.inner.activations.confirm(&self.inner.context, &user, progress).await
    }

    /// Fills the stock of credentials up now. Concurrent calls share one request. Returns how many
    /// came (0 if the stock was full).
    ///
    /// # Errors
    /// [`WalletError::NoToken`], [`WalletError::TokenUnavailable`], network and service failures.
    pub async fn replenish(&self) -> Result<u32> {
        let user = self.user()?;
        let outcome = self.inner.replenishing.replenish(&self.inner.context, &user, Wish::Manual).await;
        Inner::retry_later(&self.inner);
        outcome
    }

    /// How many credentials are left, when they expire, when the wallet replenishes.
    ///
    /// # Errors
    /// [`WalletError::NotConnected`], or a failure of the store.
    pub fn credentials(&self) -> Result<CredentialStock> {
        let user = self.user()?;
        credentials::stock(&self.inner.context, &user, &self.inner.replenishing)
    }

    /// Locks the token: taps stop at the call. Returns who suspends it.
    ///
    /// # Errors
    /// A refusal of the service rolls back. After a network failure the token stays locked until
    /// `sync_token` or another `lock` has an answer.
    pub async fn lock(&self) -> Result<Vec<Suspender>> {
        self.change(ChangeKind::Lock).await
    }

    /// Lifts the user's lock, at the service first. Returns who still suspends the token.
    ///
    /// # Errors
    /// Refusals of the service and network failures; the token stays locked.
    pub async fn unlock(&self) -> Result<Vec<Suspender>> {
        self.change(ChangeKind::Unlock).await
    }

    /// Deletes the token for ever: keys first, then at the service.
    ///
    /// # Errors
    /// [`WalletError::NoToken`], [`WalletError::ActivationInProgress`],
    /// [`WalletError::TokenUnavailable`]; after a network failure `sync_token` finishes it.
    pub async fn delete_token(&self) -> Result<()> {
        self.change(ChangeKind::Delete).await?;
        // No replenishment of this token will take the report of its last taps along.
        if let Ok(user) = self.user() {
            Inner::report_in_background(&self.inner, user);
        }
        Ok(())
    }

    /// The user proved presence: opens the CDCVM window of 30 s. Returns the window. It serves one
    /// payment. Within a minute of a tap that failed with 10003, it serves that amount and currency
    /// only.
    ///
    /// # Errors
    /// [`WalletError::NotConnected`].
    pub fn authenticate(&self, method: CdcvmMethod) -> Result<Duration> {
        let user = self.user()?;
        self.inner.taps.window().open(method, self.inner.context.calls.clock().monotonic());
        // A logout in between must not leave the window open for the next user.
        if self.user()?.key != user.key {
            self.cancel_authentication();
            return Err(WalletError::NotConnected);
        }
        Ok(payment::CDCVM_WINDOW)
    }

    /// Closes the CDCVM window, and forgets what a failed tap asked for.
    pub fn cancel_authentication(&self) {
        self.inner.taps.window().close();
    }

    /// What is left of the CDCVM window; `None` when it is closed.
    #[must_use]
    pub fn authentication_remaining(&self) -> Option<Duration> {
        self.inner.taps.window().remaining(self.inner.context.calls.clock().monotonic())
    }

    /// Answers one APDU of the terminal: data and a status word, or a status word. Total: never
    /// panics, never waits for the network. At most 261 bytes in, 256 out.
    #[must_use]
    pub fn process_apdu(&self, apdu: &[u8]) -> Vec<u8> {
        if self.alive().is_err() {
            return vec![0x69, 0x85];
        }
        let _together = self.inner.context.calls.together();
        let answered = self.inner.taps.process(&self.inner.context, apdu);
        if answered.begun {
            Inner::watch(&self.inner);
        }
        self.after_tap(answered.after);
        answered.answer
    }

    /// The platform says that the field is gone. An unfinished tap fails with 19002; nothing was
    /// spent unless the cryptogram had left.
    pub fn field_lost(&self, reason: FieldLoss) {
        tracing::debug!(?reason, "field lost");
        let after = self.inner.taps.end(&self.inner.context);
        self.after_tap(after);
    }

    /// Sets the reference of the next tap, which reaches the payment provider's server with the
    /// authorisation: 1 to 8 bytes, padded with 00 on the right. Without it each tap carries 8 random
    /// bytes. May be called from within the permit.
    ///
    /// It serves one tap: when that ends, however it ends, the reference is forgotten. Only after
    /// 10003 it waits, for a minute, for the second tap of the same amount and currency.
    ///
    /// # Errors
    /// [`WalletError::InvalidInput`] for another length, or from within a permit that has overrun its
    /// deadline, whose tap is over.
    pub fn set_transaction_reference(&self, reference: &[u8]) -> Result<()> {
        self.inner.taps.reference().set(reference)
    }

    /// The history kept on the phone, newest first: at most `limit` (100) transactions before
    /// `before` (from the last page's `next`).
    ///
    /// # Errors
    /// [`WalletError::NotConnected`], or a failure of the store.
    pub fn transactions(&self, before: Option<i64>, limit: u32) -> Result<TransactionPage> {
        let user = self.user()?;
        payment::page(&self.inner.context, &user, before, limit)
    }

    /// Everything that decides whether a tap would work now, each with what to do.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        readiness::report(&self.inner.context, &self.token_status())
    }

    /// The network is back: catches up with the service in the background.
    pub fn network_available(&self) {
        self.inner.replenishing.forget_failures();
        Inner::catch_up_in_background(&self.inner);
    }

    /// Reads and compiles what the first tap needs. Call it when the process starts.
    pub fn prewarm(&self) {
        self.inner.taps.prewarm(&self.inner.context);
    }

    /// Before the platform suspends the process: finishes writes, holds no lock of the database.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn suspend(&self) -> Result<()> {
        self.alive()?;
        self.inner.context.store.suspend()
    }

    /// Ends the wallet: the unfinished tap is lost, the data directory is free for another wallet.
    /// Every later call fails with [`WalletError::ShutDown`].
    pub fn shutdown(&self) {
        // Said within the directory's turn: an `init` meanwhile waits for the end of this wallet.
        registry::close(&self.inner, || {
            if self.inner.shut_down.swap(true, Ordering::AcqRel) {
                return;
            }
            self.inner.taps.end(&self.inner.context);
            self.inner.context.store.close();
            // After the store: what follows a tap may be compiling the card just now, and cannot do it
            // again.
            self.inner.taps.forget_card();
        });
    }

    async fn change(&self, kind: ChangeKind) -> Result<Vec<Suspender>> {
        let user = self.user()?;
        if self.inner.activations.is_running(user.key) {
            return Err(WalletError::ActivationInProgress);
        }
        token::begin_change(&self.inner.context, &user, kind)?;
        let suspended_by = {
            let _turn = self.inner.talk.lock().await;
            token::resume_change(&self.inner.context, &user).await?
        };
        match kind {
            ChangeKind::Delete => self.inner.taps.forget_card(),
            ChangeKind::Unlock => Inner::look_at_stock(&self.inner),
            ChangeKind::Lock => {}
        }
        Ok(suspended_by)
    }

    fn after_tap(&self, after: AfterTap) {
        if let AfterTap::TapEnded(left) = after {
            Inner::clean_up(&self.inner, left);
        }
    }

    fn user(&self) -> Result<User> {
        self.alive()?;
        self.inner.context.user()
    }

    fn alive(&self) -> Result<()> {
        if self.inner.shut_down.load(Ordering::Acquire) { Err(WalletError::ShutDown) } else { Ok(()) }
    }
}

impl Inner {
    fn open(config: WalletConfig, host: Host) -> Result<Self> {
        let calls = Arc::new(HostCalls::new(host, config.deadlines));
        let store_config =
            StoreConfig { directory: config.data_directory.clone(), history_limit: config.history_limit };
        let store = Arc::new(Store::open(&store_config, Arc::clone(&calls))?);
        let settings = ClientSettings {
            mpp_id: config.mpp_id.clone(),
            trust_key: config.service_trust_key.clone(),
            instance_id: store.identity(),
        };
        let service = TokenServiceClient::new(Arc::clone(&calls), Arc::clone(&store) as _, settings)?;
        let remote = store.read(|tx| tx.setting(token::CONFIG_SETTING))?;
        // A set that an older library kept and this one refuses counts as none.
        let remote = remote.and_then(|text| serde_json::from_slice::<RemoteConfig>(&text).ok());
        let remote = remote.filter(|remote| remote.validate().is_ok()).unwrap_or_default();
        let activations = Arc::new(Activations::default());
        let running = Arc::clone(&activations);
        Ok(Self {
            context: Context {
                calls,
                store,
                service,
                sessions: Sessions::default(),
                configuration: Configuration::new(config, remote),
                contact: ServiceContact::default(),
                events: EventQueue::default(),
                tap_events: EventQueue::default(),
                monitor_events: EventQueue::default(),
            },
            activations,
            replenishing: Replenishing::default(),
            taps: Taps::new(running),
            talk: async_lock::Mutex::new(()),
            retry_at: Mutex::default(),
            leftovers: Arc::default(),
            watching: Arc::default(),
            catching_up: AtomicBool::new(false),
            catch_up_again: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
        })
    }
}
