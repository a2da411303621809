//! The public object.

use std::sync::Arc;

use nfcwallet_core as core;
use nfcwallet_core::host::Clock;
use tokio::runtime::Handle;

use crate::activation::ActivationMode;
use crate::calls;
use crate::cancellation::Cancellation;
use crate::clock::DeviceClock;
use crate::config::WalletConfig;
use crate::credentials::CredentialStock;
use crate::error::WalletError;
use crate::host::{ActivationListener, Host, activation_listener};
use crate::millis;
use crate::payment::{CdcvmMethod, FieldLoss, TransactionPage};
use crate::readiness::Readiness;
use crate::runtime::{self, Background};
use crate::test_clock::TestClock;
use crate::token::{Page, Suspender, TokenStatus, suspenders};

/// One wallet on one data directory.
///
/// Every method may be called from any thread, also from within a host interface. The long ones are async,
/// run on threads of the library, and hold no thread of the app; each takes a `Cancellation`. The others
/// answer from the phone and never wait for the network; those that ask the host or the disk say so.
#[derive(Debug, uniffi::Object)]
pub struct Wallet {
    wallet: core::Wallet,
    runtime: Handle,
}

/// What `connect` found.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Connection {
    /// The status after it.
    pub status: TokenStatus,
    /// What kept the wallet from reaching the service. The user is connected all the same and can pay with
    /// what is in stock; call `network_available` or `connect` later.
    pub service: Option<WalletError>,
    /// The store or its key was useless and has been renewed: activate anew.
    pub recovered_from: Option<WalletError>,
}

impl From<core::wallet::Connection> for Connection {
    fn from(connection: core::wallet::Connection) -> Self {
        Self {
            status: connection.status.into(),
            service: connection.service.map(Into::into),
            recovered_from: connection.recovered_from.map(Into::into),
        }
    }
}

#[uniffi::export]
impl Wallet {
    /// Opens the wallet of `config.data_directory`: restores a persisted connection, needs no network, returns
    /// in milliseconds; reads the disk and asks the key store. Opened again on the same directory with an
    /// equal configuration it is the same wallet, and the second `host` is ignored.
    ///
    /// A wallet whose hardware key is locked or gone, or whose store was rolled back, still opens: its status
    /// is -3 and it refuses to pay until `connect` has recovered it.
    ///
    /// Fails with `InvalidInput` for a value out of range, or another configuration on a directory that is
    /// open; `StoreBusy`, `StoreFull`, `StoreUnusable`, `StoreCorrupt`, `StoreTooNew`.
    #[uniffi::constructor]
    pub fn new(config: WalletConfig, host: Host) -> Result<Arc<Self>, WalletError> {
        let runtime = runtime::handle()?;
        Self::open(config, host, Arc::new(DeviceClock(runtime.clone())), runtime)
    }

    /// As the constructor, with a clock that a test of the app moves. Not for an app that ships.
    #[uniffi::constructor]
    pub fn with_test_clock(config: WalletConfig, host: Host, clock: Arc<TestClock>) -> Result<Arc<Self>, WalletError> {
        let runtime = runtime::handle()?;
        Self::open(config, host, clock.on(runtime.clone()), runtime)
    }

    /// The token status, from stored facts. Reads the disk at most.
    pub fn token_status(&self) -> TokenStatus {
        self.wallet.token_status().into()
    }

    /// The screen that the status asks for. Reads the disk at most.
    pub fn page(&self) -> Page {
        self.wallet.page().into()
    }

    /// How many credentials are left, when they expire, when the wallet replenishes. Reads the disk. Fails
    /// with `NotConnected`, or a failure of the store.
    pub fn credentials(&self) -> Result<CredentialStock, WalletError> {
        Ok(self.wallet.credentials()?.into())
    }

    /// The user proved presence: opens the CDCVM window of 30 s, and says how long it is in milliseconds. It
    /// serves one payment. Within a minute of a tap that failed with 10003, it serves that amount and currency
    /// only. Fails with `NotConnected`.
    pub fn authenticate(&self, method: CdcvmMethod) -> Result<u64, WalletError> {
        Ok(millis(self.wallet.authenticate(method.into())?))
    }

    /// Closes the CDCVM window, and forgets what a failed tap asked for. At once.
    pub fn cancel_authentication(&self) {
        self.wallet.cancel_authentication();
    }

    /// What is left of the CDCVM window in milliseconds; absent when it is closed. At once.
    pub fn authentication_remaining(&self) -> Option<u64> {
        self.wallet.authentication_remaining().map(millis)
    }

    /// Answers one APDU of the terminal: data and a status word, or a status word. Total: never throws, never
    /// waits for the network. At most 261 bytes in, 256 out. Asks the permit, so it takes up to 100 ms more
    /// where the app's permit does.
    pub fn process_apdu(&self, apdu: Vec<u8>) -> Vec<u8> {
        self.wallet.process_apdu(&apdu)
    }

    /// The platform says that the field is gone. An unfinished tap fails with 19002; nothing was spent unless
    /// the cryptogram had left. At once.
    pub fn field_lost(&self, reason: FieldLoss) {
        self.wallet.field_lost(reason.into());
    }

    /// Sets the reference of the next tap, which reaches the payment provider's server with the
    /// authorisation: 1 to 8 bytes, padded with 00 on the right. Without it each tap carries 8 random bytes.
    /// May be called from within the permit. At once.
    ///
    /// It serves one tap: when that ends, however it ends, the reference is forgotten. Only after 10003 it
    /// waits, for a minute, for the second tap of the same amount and currency.
    ///
    /// Fails with `InvalidInput` for another length, or from within a permit that has overrun its deadline,
    /// whose tap is over.
    pub fn set_transaction_reference(&self, reference: Vec<u8>) -> Result<(), WalletError> {
        Ok(self.wallet.set_transaction_reference(&reference)?)
    }

    /// The history kept on the phone, newest first: at most `limit` (100) transactions before `before` (from
    /// the last page's `next`). Reads the disk. Fails with `NotConnected`, or a failure of the store.
    #[uniffi::method(default(before = None, limit = 100))]
    pub fn transactions(&self, before: Option<i64>, limit: u32) -> Result<TransactionPage, WalletError> {
        Ok(self.wallet.transactions(before, limit)?.into())
    }

    /// Everything that decides whether a tap would work now, each with what to do. Asks the device: up to
    /// 100 ms.
    pub fn readiness(&self) -> Readiness {
        self.wallet.readiness().into()
    }

    /// The network is back: catches up with the service in the background. At once.
    pub fn network_available(&self) {
        self.wallet.network_available();
    }

    /// Reads and compiles what the first tap needs. Call it when the process starts, off the main thread:
    /// reads the disk. The first load of this library, which takes longer, has happened by then.
    pub fn prewarm(&self) {
        self.wallet.prewarm();
    }

    /// Before the platform suspends the process: finishes writes, holds no lock of the database. Blocks for
    /// the disk. Fails with a failure of the store.
    pub fn suspend(&self) -> Result<(), WalletError> {
        Ok(self.wallet.suspend()?)
    }

    /// Ends the wallet: the unfinished tap is lost, the data directory is free for another wallet. Every later
    /// call fails with `ShutDown`. Blocks for the disk. Again it does nothing.
    pub fn shutdown(&self) {
        self.wallet.shutdown();
    }
}

#[uniffi::export(async_runtime = "tokio")]
impl Wallet {
    /// Binds `user` (1 to 64 characters, the customer's id at the payment provider) and catches up with the
    /// service: keys, inbox, state; an unfinished activation and a low stock are dealt with in the background.
    /// Another connected user is disconnected first. Being offline is no error: see `Connection.service`.
    ///
    /// Fails with `InvalidInput`, or a failure of the store. Cancelled, the user may be connected: `token_status`
    /// says.
    #[uniffi::method(default(cancellation = None))]
    pub async fn connect(
        &self,
        user: String,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<Connection, WalletError> {
        let wallet = self.wallet.clone();
        let connected = calls::run(&self.runtime, cancellation, async move { wallet.connect(&user).await }).await?;
        Ok(connected.into())
    }

    /// Refuses taps from the call on. The token stays, sealed, for the same user's next `connect`. Fails with a
    /// failure of the store.
    #[uniffi::method(default(cancellation = None))]
    pub async fn disconnect(&self, cancellation: Option<Arc<Cancellation>>) -> Result<(), WalletError> {
        let wallet = self.wallet.clone();
        calls::run(&self.runtime, cancellation, async move { wallet.disconnect().await }).await
    }

    /// Asks the service for the token's state, finishes a change of unknown outcome, drains the inbox. Fails
    /// with `NotConnected`, network and service failures.
    #[uniffi::method(default(cancellation = None))]
    pub async fn sync_token(&self, cancellation: Option<Arc<Cancellation>>) -> Result<TokenStatus, WalletError> {
        let wallet = self.wallet.clone();
        Ok(calls::run(&self.runtime, cancellation, async move { wallet.sync_token().await }).await?.into())
    }

    /// Activates a token, or goes on with an unfinished activation. Manual ends in status 2, silent in 21.
    /// Takes 20 to 30 s in the field; `progress` hears of every step.
    ///
    /// Fails with `ActivationInProgress` while one runs, `ActivationFailed` and `DeviceUnsafe` with the reason,
    /// network failures. Then, and cancelled, its journal stays: the next `activate` or `connect` goes on
    /// where it stopped, and never applies twice.
    #[uniffi::method(default(cancellation = None))]
    pub async fn activate(
        &self,
        mode: ActivationMode,
        progress: Arc<dyn ActivationListener>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<(), WalletError> {
        let (wallet, progress) = (self.wallet.clone(), activation_listener(progress));
        calls::run(&self.runtime, cancellation, async move { wallet.activate(mode.into(), progress).await }).await
    }

    /// The user confirms a silently prepared token. Waits for a silent run that is unfinished. Fails with
    /// `NoToken` if nothing was prepared; otherwise as `activate`.
    #[uniffi::method(default(cancellation = None))]
    pub async fn confirm_activation(
        &self,
        progress: Arc<dyn ActivationListener>,
        cancellation: Option<Arc<Cancellation>>,
    ) -> Result<(), WalletError> {
        let (wallet, progress) = (self.wallet.clone(), activation_listener(progress));
        calls::run(&self.runtime, cancellation, async move { wallet.confirm_activation(progress).await }).await
    }

    /// Fills the stock of credentials up now, and says how many came (0 if the stock was full). Concurrent
    /// calls share one request. Fails with `NoToken`, `TokenUnavailable`, network and service failures.
    /// Cancelled, the next one asks for the same batch.
    #[uniffi::method(default(cancellation = None))]
    pub async fn replenish(&self, cancellation: Option<Arc<Cancellation>>) -> Result<u32, WalletError> {
        let wallet = self.wallet.clone();
        calls::run(&self.runtime, cancellation, async move { wallet.replenish().await }).await
    }

    /// Locks the token: taps stop at the call. Says who suspends it. A refusal of the service rolls back. After
    /// a network failure, or cancelled, the token stays locked until `sync_token` or another `lock` has an
    /// answer.
    #[uniffi::method(default(cancellation = None))]
    pub async fn lock(&self, cancellation: Option<Arc<Cancellation>>) -> Result<Vec<Suspender>, WalletError> {
        let wallet = self.wallet.clone();
        Ok(suspenders(calls::run(&self.runtime, cancellation, async move { wallet.lock().await }).await?))
    }

    /// Lifts the user's lock, at the service first. Says who still suspends the token. After a refusal or a
    /// network failure, or cancelled, the token stays locked until an `unlock` or `sync_token` has an answer.
    #[uniffi::method(default(cancellation = None))]
    pub async fn unlock(&self, cancellation: Option<Arc<Cancellation>>) -> Result<Vec<Suspender>, WalletError> {
        let wallet = self.wallet.clone();
        Ok(suspenders(calls::run(&self.runtime, cancellation, async move { wallet.unlock().await }).await?))
    }

    /// Deletes the token for ever: keys first, then at the service. Fails with `NoToken`,
    /// `ActivationInProgress`, `TokenUnavailable`; after a network failure, or cancelled, `sync_token`
    /// finishes it.
    #[uniffi::method(default(cancellation = None))]
    pub async fn delete_token(&self, cancellation: Option<Arc<Cancellation>>) -> Result<(), WalletError> {
        let wallet = self.wallet.clone();
        calls::run(&self.runtime, cancellation, async move { wallet.delete_token().await }).await
    }
}

impl Wallet {
    fn open(
        config: WalletConfig,
        host: Host,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Result<Arc<Self>, WalletError> {
        let host = host.with_platform(clock, Arc::new(Background(runtime.clone())));
        let wallet = core::Wallet::init(config.into(), host)?;
        Ok(Arc::new(Self { wallet, runtime }))
    }
}
