//! What may be true of a wallet, as far as its answers tell: sets of possibilities, no second wallet.
//!
//! A call that succeeded leaves one possibility, a call that failed leaves several, and whatever the
//! wallet says or does must be one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nfcwallet_core::activation::ActivationMode;
use nfcwallet_core::token::{Suspender, TokenStatus};
use nfcwallet_core::wallet::Connection;
use nfcwallet_core::{WalletError, payment::CDCVM_WINDOW};

use crate::op::User;

type Result<T> = std::result::Result<T, WalletError>;

/// Where a user's token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    None,
    Activating,
    Prepared,
    Active,
    /// The wallet was told to delete it and does not know what the service says.
    Deleting,
}

/// The user's own lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Free,
    Held,
    Unknown,
}

/// The storage key in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Good,
    Unknown,
    /// Invalidated, and the wallet has been opened since.
    Dead,
}

/// The user's proof of presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Closed,
    /// Given at this time of the monotonic clock, and perhaps used up.
    Perhaps(Duration),
    Open(Duration),
}

#[derive(Debug)]
struct Token {
    phases: BTreeSet<Phase>,
    lock: Lock,
    /// The user has asked for an active token since there was none.
    consent: bool,
    /// A run has failed, and may be gone on with.
    unfinished: bool,
    /// The service has deleted it; the wallet may hear of it at any time.
    doomed: bool,
    /// Credentials that may be gone without a cryptogram; `None`: any number.
    losses: Option<u32>,
}

/// What is out of order just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) disk: bool,
    pub(crate) keys: bool,
    pub(crate) invalidated: bool,
    /// The phone's clocks do not go with the service's.
    pub(crate) clocks: bool,
}

/// The possibilities.
#[derive(Debug)]
pub(crate) struct Truth {
    connected: BTreeSet<Option<User>>,
    tokens: BTreeMap<User, Token>,
    key: Key,
    window: Window,
    /// A renewal failed half-way: the host's anchor may be gone.
    half_renewed: bool,
    pub(crate) trouble: Trouble,
}

impl Truth {
    pub(crate) fn new() -> Self {
        let token = || Token {
            phases: [Phase::None].into(),
            lock: Lock::Free,
            consent: false,
            unfinished: false,
            doomed: false,
            losses: Some(0),
        };
        Self {
            connected: [None].into(),
            tokens: User::ALL.map(|user| (user, token())).into(),
            key: Key::Unknown,
            window: Window::Closed,
            half_renewed: false,
            trouble: Trouble::default(),
        }
    }

    /// The connected user, where it is certain.
    pub(crate) fn user(&self) -> Option<User> {
        self.only_connected().flatten()
    }

    fn only_connected(&self) -> Option<Option<User>> {
        self.connected.first().copied().filter(|_| self.connected.len() == 1)
    }

    fn token(&mut self, user: User) -> &mut Token {
        self.tokens.get_mut(&user).expect("every user has an entry")
    }

    pub(crate) fn losses(&self, user: User) -> Option<u32> {
        self.tokens[&user].losses
    }

    /// May the status be this? What it says narrows what is possible.
    pub(crate) fn see_status(&mut self, status: &TokenStatus) -> std::result::Result<(), String> {
        match (status, self.key) {
            (TokenStatus::KeyStoreUnusable, Key::Good) => {
                return Err("the key is good, but the status is -3".to_owned());
            }
            (TokenStatus::KeyStoreUnusable, _) => return Ok(()),
            (_, Key::Dead) => return Err(format!("status {status:?}, but the key is gone")),
            (_, Key::Good | Key::Unknown) => self.key = Key::Good,
        }
        if *status == TokenStatus::Disconnected {
            if !self.connected.contains(&None) {
                return Err(format!("status {status:?}, but one of {:?} is connected", self.connected));
            }
            self.connected = [None].into();
            return Ok(());
        }
        self.connected.remove(&None);
        let Some(user) = self.user() else {
            return if self.connected.is_empty() {
                Err(format!("status {status:?}, but no user is connected"))
            } else {
                Ok(())
            };
        };
        let token = self.token(user);
        if token.doomed {
            token.phases.insert(Phase::None);
        }
        let before = token.phases.clone();
        token.phases.retain(|phase| phase.shows_as(status));
        if token.phases.is_empty() {
            return Err(format!("status {status:?}, but {}'s token is one of {before:?}", user.name()));
        }
        let locked_by_user = matches!(status, TokenStatus::Locked(by) if by.contains(&Suspender::User));
        match token.lock {
            Lock::Held if token.phases == [Phase::Active].into() && !locked_by_user => {
                Err(format!("status {status:?}, but {} holds a lock", user.name()))
            }
            Lock::Free if locked_by_user => Err(format!("status {status:?}, but {} holds no lock", user.name())),
            _ => Ok(()),
        }
    }

    /// May this user's token pay?
    pub(crate) fn may_pay(&self, user: User) -> bool {
        let token = &self.tokens[&user];
        self.connected.contains(&Some(user))
            && token.phases.contains(&Phase::Active)
            && token.lock != Lock::Held
            && self.key != Key::Dead
    }

    /// May somebody have proved presence?
    pub(crate) fn may_be_present(&self, now: Duration) -> bool {
        match self.window {
            Window::Closed => false,
            Window::Perhaps(at) | Window::Open(at) => now.saturating_sub(at) <= CDCVM_WINDOW,
        }
    }

    /// Has somebody, for certain?
    pub(crate) fn is_present(&self, now: Duration) -> bool {
        matches!(self.window, Window::Open(at) if now.saturating_sub(at) <= CDCVM_WINDOW)
    }

    /// Neither disk nor key store is in the way.
    pub(crate) fn is_calm(&self) -> bool {
        !self.trouble.disk && !self.trouble.keys
    }

    pub(crate) fn opened(&mut self) {
        self.window = Window::Closed;
        self.key = match self.trouble {
            Trouble { invalidated: true, .. } => Key::Dead,
            Trouble { keys: false, disk: false, .. } if self.key == Key::Good => Key::Good,
            _ => Key::Unknown,
        };
        // The anchor may have been left armed for a tap.
        self.may_lose(1);
    }

    pub(crate) fn connected(&mut self, user: User, answer: &Result<Connection>) -> std::result::Result<(), String> {
        match answer {
            Ok(Connection { recovered_from, service, .. }) => {
                let renewed = recovered_from.is_some();
                if renewed && self.key == Key::Good && !self.trouble.invalidated {
                    return Err(format!("a good key was renewed: {recovered_from:?}"));
                }
                if *recovered_from == Some(WalletError::StoreRolledBack) && !self.half_renewed {
                    return Err("a store that nobody touched was called rolled back".to_owned());
                }
                if renewed || self.only_connected() != Some(Some(user)) {
                    self.window = Window::Closed;
                }
                if renewed {
                    self.tokens.values_mut().for_each(Token::forget);
                    self.half_renewed = false;
                    self.trouble.invalidated = false;
                }
                self.key = Key::Good;
                self.connected = [Some(user)].into();
                if service.is_some() {
                    self.caught_up_perhaps()
                }
            }
            Err(_) => {
                if self.key != Key::Good || self.trouble.invalidated {
                    // Renewed, or half of it, and perhaps nobody is connected any more.
                    self.half_renewed = true;
                    self.key = Key::Unknown;
                    self.connected.insert(None);
                    self.tokens.values_mut().for_each(|token| {
                        token.phases.insert(Phase::None);
                    });
                }
                self.connected.insert(Some(user));
                self.window = self.window.perhaps();
                self.caught_up_perhaps();
            }
        }
        Ok(())
    }

    /// The wallet may have gone on with what was unfinished.
    pub(crate) fn caught_up_perhaps(&mut self) {
        for token in self.tokens.values_mut().filter(|token| token.unfinished) {
            token.phases.extend([Phase::None, Phase::Activating, Phase::Prepared]);
            if token.consent {
                token.phases.insert(Phase::Active);
            }
        }
    }

    pub(crate) fn disconnected(&mut self, answer: &Result<()>) {
        match answer {
            Ok(()) => {
                self.connected = [None].into();
                self.window = Window::Closed;
            }
            Err(_) => {
                self.connected.insert(None);
                self.window = self.window.perhaps();
            }
        }
    }

    pub(crate) fn activated(&mut self, mode: ActivationMode, answer: &Result<()>) {
        let Some(user) = self.user() else { return };
        let token = self.token(user);
        match answer {
            Err(error) if changes_nothing(error) => {}
            Ok(()) if mode == ActivationMode::Manual => token.become_active(),
            Ok(()) => {
                token.phases = [Phase::Prepared].into();
                // It may have finished a manual run.
                if token.consent {
                    token.phases.insert(Phase::Active);
                }
                token.lock = Lock::Free;
                token.losses = Some(0);
            }
            Err(_) => {
                token.consent |= mode == ActivationMode::Manual;
                token.unfinished = true;
                self.caught_up_perhaps();
            }
        }
    }

    pub(crate) fn confirmed(&mut self, answer: &Result<()>) {
        let Some(user) = self.user() else { return };
        let token = self.token(user);
        match answer {
            // An active token is confirmed already.
            Ok(()) if token.phases == [Phase::Active].into() => {}
            Ok(()) => token.become_active(),
            Err(error) if changes_nothing(error) => {}
            Err(_) => {
                token.consent = true;
                token.unfinished = true;
                self.caught_up_perhaps();
            }
        }
    }

    /// `lock`, or `unlock`, said who suspends the token now.
    pub(crate) fn changed_lock(&mut self, locking: bool, answer: &Result<Vec<Suspender>>) {
        let Some(user) = self.user() else { return };
        let token = self.token(user);
        match answer {
            Ok(by) if by.contains(&Suspender::User) => token.lock = Lock::Held,
            Ok(_) => {
                token.lock = Lock::Free;
                // A lock that nobody holds: the service knows no such token.
                if locking {
                    token.forget();
                } else {
                    token.phases.insert(Phase::None);
                }
            }
            Err(error) if changes_nothing(error) => {}
            // Locked from the call on, whatever network and key store say.
            Err(WalletError::Network { .. } | WalletError::Protocol { .. } | WalletError::KeyStore { .. })
                if locking =>
            {
                token.lock = Lock::Held;
            }
            Err(WalletError::Service { .. }) => {
                token.lock = Lock::Unknown;
                token.phases.insert(Phase::None);
            }
            // Held before, it holds: what failed was to say it again.
            Err(_) if locking && token.lock == Lock::Held => {}
            Err(_) => token.lock = Lock::Unknown,
        }
    }

    pub(crate) fn deleted(&mut self, answer: &Result<()>) {
        let Some(user) = self.user() else { return };
        let token = self.token(user);
        match answer {
            Ok(()) => token.forget(),
            Err(error) if changes_nothing(error) => {}
            Err(WalletError::Network { .. } | WalletError::Protocol { .. } | WalletError::KeyStore { .. }) => {
                token.phases = [Phase::Deleting].into();
            }
            Err(_) => token.phases.extend([Phase::Deleting, Phase::None]),
        }
    }

    /// The service deleted the connected user's token.
    pub(crate) fn service_deleted(&mut self) {
        if let Some(user) = self.user() {
            self.token(user).doomed = true;
        }
    }

    /// The wallet has the service's word: who suspends the token, or that there is none.
    pub(crate) fn synced(&mut self, user: User, service: Option<&[Suspender]>) {
        self.caught_up_perhaps();
        let token = self.token(user);
        if token.unfinished {
            return;
        }
        match service {
            Some(by) if token.phases.contains(&Phase::Active) => {
                token.phases.remove(&Phase::Deleting);
                token.lock = if by.contains(&Suspender::User) { Lock::Held } else { Lock::Free };
            }
            Some(_) => {}
            None => token.forget(),
        }
    }

    /// Is the user's token certainly active, with nothing of an earlier run left?
    pub(crate) fn is_active(&self, user: User) -> bool {
        let token = &self.tokens[&user];
        token.phases == [Phase::Active].into() && !token.unfinished
    }

    pub(crate) fn authenticated(&mut self, now: Duration) {
        self.window = Window::Open(now);
    }

    /// The user is asked to prove presence, or has paid with the proof.
    pub(crate) fn close_window(&mut self) {
        self.window = Window::Closed;
    }

    /// A low amount was paid, with the proof or without.
    pub(crate) fn perhaps_close_window(&mut self) {
        self.window = self.window.perhaps();
    }

    pub(crate) fn may_lose(&mut self, count: u32) {
        for token in self.tokens.values_mut() {
            token.losses = token.losses.map(|losses| losses + count);
        }
    }

    pub(crate) fn may_lose_any(&mut self) {
        self.tokens.values_mut().for_each(|token| token.losses = None);
    }
}

impl Token {
    fn forget(&mut self) {
        *self = Self {
            phases: [Phase::None].into(),
            lock: Lock::Free,
            consent: false,
            unfinished: false,
            doomed: false,
            losses: Some(0),
        };
    }

    fn become_active(&mut self) {
        *self = Self {
            phases: [Phase::Active].into(),
            lock: Lock::Free,
            consent: true,
            unfinished: false,
            doomed: false,
            losses: Some(0),
        };
    }
}

impl Window {
    fn perhaps(self) -> Self {
        match self {
            Self::Open(at) | Self::Perhaps(at) => Self::Perhaps(at),
            Self::Closed => Self::Closed,
        }
    }
}

impl Phase {
    fn shows_as(self, status: &TokenStatus) -> bool {
        use TokenStatus as S;
        match self {
            Self::None => matches!(status, S::NoToken),
            Self::Activating => matches!(status, S::Activating | S::NoToken),
            Self::Prepared => matches!(status, S::Prepared),
            Self::Active => matches!(status, S::Ready | S::NoCredentials | S::Locked(_) | S::QueryFailed),
            Self::Deleting => matches!(status, S::QueryFailed | S::NoToken),
        }
    }
}

/// The wallet refused the call before it did anything.
fn changes_nothing(error: &WalletError) -> bool {
    matches!(
        error,
        WalletError::NotConnected
            | WalletError::NoToken
            | WalletError::ActivationInProgress
            | WalletError::InvalidInput { .. }
            | WalletError::TokenUnavailable { .. }
    )
}
