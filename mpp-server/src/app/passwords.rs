//! Passwords: Argon2id, hashed off the runtime's threads, a few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::accounts::END_LOGINS;
use crate::store::{Store, StoreError, Tx};

/// Characters of the longest password.
pub const MAX_PASSWORD_CHARS: usize = 1024;

/// Hashes at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;

const FIND: &str = "SELECT password_hash FROM passwords WHERE customer_id = $1";
const FORGET: &str = "DELETE FROM passwords WHERE customer_id = $1";
const KEEP: &str = "INSERT INTO passwords (customer_id, password_hash) VALUES ($1, $2)";

/// The passwords of a store.
#[derive(Clone)]
pub struct Passwords {
    store: Store,
    at_once: Arc<Semaphore>,
}

/// Whether a password is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is.
    Right,
    /// It is not, or none was given.
    Wrong,
    /// The user has no password.
    None,
}

/// Why a password could not be set or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is empty or too long.
    #[error("a password has 1 to {MAX_PASSWORD_CHARS} characters")]
    Length,
    /// The hash could not be computed, or a stored one cannot be read.
    #[error("the password hash cannot be computed")]
    Hash,
    /// What the database says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Passwords {
    /// The passwords of `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Sets a user's password, in place of the one before, and ends the user's logins.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn set(&self, customer_id: &str, password: Zeroizing<String>) -> Result<(), PasswordError> {
        if !(1..=MAX_PASSWORD_CHARS).contains(&password.chars().count()) {
            return Err(PasswordError::Length);
        }
        let hash = self.off_runtime(move || hash(&password)).await?;
        let customer_id = customer_id.to_owned();
        let keep = move |tx: &mut Tx<'_>| {
            tx.execute(FORGET, &[(&customer_id).into()])?;
            tx.execute(KEEP, &[(&customer_id).into(), (&hash).into()])?;
            tx.execute(END_LOGINS, &[(&customer_id).into()])?;
            Ok::<_, StoreError>(())
        };
        Ok(self.store.write(keep).await?)
    }

    /// Checks a password. Takes as long for a user who has none, so that time tells nobody who is a user.
    ///
    /// # Errors
    /// [`PasswordError::Hash`] or [`PasswordError::Store`].
    pub async fn check(&self, customer_id: &str, password: Option<Zeroizing<String>>) -> Result<Check, PasswordError> {
        let customer_id = customer_id.to_owned();
        let find = move |tx: &mut Tx<'_>| {
            let row = tx.query_one(FIND, &[(&customer_id).into()])?;
            row.map(|mut row| row.text()).transpose()
        };
        let stored: Option<String> = self.store.read(find).await?;
        let Some(password) = password else {
            return Ok(if stored.is_some() { Check::Wrong } else { Check::None });
        };
        if password.chars().count() > MAX_PASSWORD_CHARS {
            return Ok(Check::Wrong);
        }
        self.off_runtime(move || match stored {
            Some(stored) => verify(&password, &stored),
            None => hash(&password).map(|_| Check::None),
        })
        .await
    }

    async fn off_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| PasswordError::Hash)?;
        let work = move || {
            // Held by the thread: a caller that hangs up does not free a core that is busy.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(PasswordError::Hash))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str) -> Result<Check, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Hash)?;
    match Argon2::default().verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(Check::Right),
        Err(_) => Ok(Check::Wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::databases;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_last_password_that_was_set_is_right() {
        for database in databases().unwrap() {
            let passwords = Passwords::new(Store::open(&database.url).unwrap());
            assert_eq!(passwords.check("ann", Some(secret("any"))).await, Ok(Check::None));
            passwords.set("ann", secret("first")).await.unwrap();
            passwords.set("ann", secret("second")).await.unwrap();
            assert_eq!(passwords.check("ann", Some(secret("first"))).await, Ok(Check::Wrong));
            assert_eq!(passwords.check("ann", Some(secret("second"))).await, Ok(Check::Right));
            assert_eq!(passwords.check("ann", None).await, Ok(Check::Wrong));
            assert_eq!(passwords.check("bob", Some(secret("second"))).await, Ok(Check::None));
        }
    }

    #[tokio::test]
    async fn an_endless_password_is_not_hashed() {
        let passwords = Passwords::new(Store::open("sqlite::memory:").unwrap());
        let endless = secret(&"x".repeat(MAX_PASSWORD_CHARS + 1));
        assert_eq!(passwords.set("ann", endless.clone()).await, Err(PasswordError::Length));
        assert_eq!(passwords.set("ann", secret("")).await, Err(PasswordError::Length));
        assert_eq!(passwords.check("ann", Some(endless)).await, Ok(Check::Wrong));
    }
}
