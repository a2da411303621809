//! Logins: who a bearer token speaks for. Kept in the database, so that every process knows them.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::store::{Store, StoreError, Tx};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

const OPEN: &str = "INSERT INTO sessions (token_hash, customer_id, expires_at) VALUES ($1, $2, $3)";
const FIND: &str = "SELECT customer_id FROM sessions WHERE token_hash = $1 AND expires_at > $2";
const CLOSE: &str = "DELETE FROM sessions WHERE token_hash = $1";
const CLOSE_OLD: &str = "DELETE FROM sessions WHERE expires_at <= $1";

/// The logins of a store.
#[derive(Clone)]
pub struct Sessions {
    store: Store,
    clock: Arc<dyn Clock>,
    lifetime_ms: i64,
}

/// A new login.
pub struct Session {
    /// 64 hex digits: whoever has it is the user. Only its hash is stored.
    pub token: Zeroizing<String>,
    /// Until when, in milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The machine has no randomness.
    #[error("the operating system gives no random bytes")]
    Randomness,
    /// What the database says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// The logins of `store`, each lasting `lifetime_ms`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, lifetime_ms: i64) -> Self {
        Self { store, clock, lifetime_ms }
    }

    /// Begins one for a user who has proved to be one.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn open(&self, customer_id: &str) -> Result<Session, SessionError> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| SessionError::Randomness)?;
        let token = Zeroizing::new(hex::encode(bytes.as_slice()));
        let now_ms = self.clock.now_ms();
        let expires_at_ms = now_ms.saturating_add(self.lifetime_ms);
        let (hash, customer_id) = (hash(&token), customer_id.to_owned());
        let open = move |tx: &mut Tx<'_>| {
            tx.execute(CLOSE_OLD, &[now_ms.into()])?;
            tx.execute(OPEN, &[(&hash).into(), (&customer_id).into(), expires_at_ms.into()])?;
            Ok::<_, StoreError>(())
        };
        self.store.write(open).await?;
        Ok(Session { token, expires_at_ms })
    }

    /// Who `token` speaks for; `None` if it is not a token, or not any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn user(&self, token: &str) -> Result<Option<String>, StoreError> {
        let (hash, now_ms) = (hash(token), self.clock.now_ms());
        let find = move |tx: &mut Tx<'_>| {
            let row = tx.query_one(FIND, &[(&hash).into(), now_ms.into()])?;
            row.map(|mut row| row.text()).transpose()
        };
        self.store.read(find).await
    }

    /// Ends the one of `token`. Ending it twice is ending it once.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close(&self, token: &str) -> Result<(), StoreError> {
        let hash = hash(token);
        self.store.write(move |tx| tx.execute(CLOSE, &[(&hash).into()]).map(drop)).await
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// A token has 256 random bits, so a plain hash is enough, and a search for it tells nothing by its time.
fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::testing::databases;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn sessions(url: &str) -> (Sessions, Arc<Hand>) {
        let hand = Arc::new(Hand::default());
        let clock: Arc<dyn Clock> = hand.clone();
        (Sessions::new(Store::open(url).unwrap(), clock, 1000), hand)
    }

    #[tokio::test]
    async fn a_login_lasts_until_its_end_and_not_longer() {
        for database in databases().unwrap() {
            let (sessions, hand) = sessions(&database.url);
            let session = sessions.open("ann").await.unwrap();
            assert_eq!(session.expires_at_ms, 1000);
            hand.0.store(999, Ordering::SeqCst);
            assert_eq!(sessions.user(&session.token).await, Ok(Some("ann".to_owned())));
            hand.0.store(1000, Ordering::SeqCst);
            assert_eq!(sessions.user(&session.token).await, Ok(None));
        }
    }

    #[tokio::test]
    async fn logging_out_ends_one_login_and_no_other() {
        for database in databases().unwrap() {
            let (sessions, _hand) = sessions(&database.url);
            let (phone, tablet) = (sessions.open("ann").await.unwrap(), sessions.open("ann").await.unwrap());
            assert_ne!(*phone.token, *tablet.token);
            sessions.close(&phone.token).await.unwrap();
            sessions.close(&phone.token).await.unwrap();
            assert_eq!(sessions.user(&phone.token).await, Ok(None));
            assert_eq!(sessions.user(&tablet.token).await, Ok(Some("ann".to_owned())));
        }
    }

    #[tokio::test]
    async fn what_is_stored_is_no_token() {
        let (sessions, _hand) = sessions("sqlite::memory:");
        let session = sessions.open("ann").await.unwrap();
        let stored = sessions.store.read(|tx| {
            let row = tx.query_one("SELECT token_hash FROM sessions", &[])?;
            row.map(|mut row| row.text()).transpose()
        });
        let stored: Option<String> = stored.await.map_err(|error: StoreError| error).unwrap();
        assert_ne!(stored.as_deref(), Some(session.token.as_str()));
        assert_eq!(sessions.user(&stored.unwrap()).await, Ok(None));
    }
}
