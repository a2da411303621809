//! Users: who may pay, how much, and what they have.
//!
//! Owns the table `users`. Money reaches a balance only together with an entry of the `ledger`, in the same
//! transaction, while the user's row is held.

mod user;

use std::sync::Arc;

use alipayplus::{Amount, Currency, ResultCode};

pub use user::{DayTotals, Limits, User, UserStatus};
pub(crate) use user::{HOLD, HOLD_BY_PAYMENT, HOLD_BY_PAYMENT_OR_ID, keep};

use crate::clock::Clock;
use crate::ledger::{self, Account, Cause, Entry};
use crate::store::{Statement, Store, StoreError, Tx, Value};

/// Why an account did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Nobody has this customer id.
    #[error("no user has this customer id")]
    NoUser,
    /// Somebody has this customer id already.
    #[error("another user has this customer id")]
    Taken,
    /// An id is 1 to 64 characters.
    #[error("an id is 1 to 64 characters without NUL")]
    Id,
    /// The account is in another currency.
    #[error("the account is not in {0}")]
    Currency(Currency),
    /// Nothing, or more than an account can hold.
    #[error("the amount is 0, or more than an account can hold")]
    Amount,
    /// The top-up's id was used for another user or amount.
    #[error("the id was used for another top-up")]
    TopUpDiffers,
    /// What the database says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// 1 to 64 characters.
    pub customer_id: String,
    /// The only currency of the account.
    pub currency: Currency,
    /// The user's identity is known well enough to pay.
    pub kyc: bool,
    /// What the user may pay.
    pub limits: Limits,
}

/// Money for a user, from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct TopUp {
    /// The caller's; a repeat under the same id does nothing. 1 to 64 characters.
    pub id: String,
    /// For whom.
    pub customer_id: String,
    /// In the account's currency.
    pub amount: Amount,
}

/// Whether a user can have a card and pay with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// Why not; `None` if so.
    pub reason: Option<ResultCode>,
}

/// The users of a store.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    clock: Arc<dyn Clock>,
}

const CREATE: &str = "INSERT INTO users (customer_id, status, kyc, currency, balance, limit_payment, limit_day,
    limit_day_count, day, day_amount, day_count, created_at)
    VALUES ($1, 'ACTIVE', $2, $3, 0, $4, $5, $6, 0, 0, 0, $7) ON CONFLICT (customer_id) DO NOTHING";
const SET_STATUS: &str = "UPDATE users SET status = $2 WHERE customer_id = $1";
/// Ends all logins of a user, in the transaction that makes them wrong.
pub(crate) const END_LOGINS: &str = "DELETE FROM sessions WHERE customer_id = $1";
const SET_KYC: &str = "UPDATE users SET kyc = $2 WHERE customer_id = $1";
const SET_LIMITS: &str =
    "UPDATE users SET limit_payment = $2, limit_day = $3, limit_day_count = $4 WHERE customer_id = $1";
const TOPPED_UP: &str = "SELECT credit, currency, amount FROM journal WHERE entry = $1";

impl Accounts {
    /// The users of `store`.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// A user with nothing on the account.
    ///
    /// # Errors
    /// [`AccountError::Id`], [`AccountError::Taken`].
    pub async fn create(&self, user: NewUser) -> Result<(), AccountError> {
        if !is_id(&user.customer_id) {
            return Err(AccountError::Id);
        }
        let now = self.clock.now_ms();
        let created = self.store.write(move |tx| {
            let Limits { payment, day, day_count } = user.limits;
            let values: [Value<'_>; 7] = [
                (&user.customer_id).into(),
                user.kyc.into(),
                user.currency.code().into(),
                payment.into(),
                day.into(),
                day_count.into(),
                now.into(),
            ];
            Ok::<_, AccountError>(tx.execute(CREATE, &values)?)
        });
        if created.await? == 0 { Err(AccountError::Taken) } else { Ok(()) }
    }

    /// The user with this customer id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn user(&self, customer_id: &str) -> Result<Option<User>, StoreError> {
        let customer_id = customer_id.to_owned();
        self.store.read(move |tx| tx.query_one(user::FIND, &[(&customer_id).into()])?.map(User::read).transpose()).await
    }

    /// Freezes, closes or opens an account. Payments that are not decided yet feel it. An account that is not
    /// in use any more has no logins; its user may log in again, to look.
    ///
    /// # Errors
    /// [`AccountError::NoUser`].
    pub async fn set_status(&self, customer_id: &str, status: UserStatus) -> Result<(), AccountError> {
        let customer_id = customer_id.to_owned();
        let set = move |tx: &mut Tx<'_>| {
            if status != UserStatus::Active {
                tx.execute(END_LOGINS, &[(&customer_id).into()])?;
            }
            tx.execute(SET_STATUS, &[(&customer_id).into(), status.as_str().into()])
        };
        self.change(set).await
    }

    /// Says whether the user's identity is known well enough.
    ///
    /// # Errors
    /// [`AccountError::NoUser`].
    pub async fn set_kyc(&self, customer_id: &str, kyc: bool) -> Result<(), AccountError> {
        let customer_id = customer_id.to_owned();
        self.change(move |tx| tx.execute(SET_KYC, &[(&customer_id).into(), kyc.into()])).await
    }

    /// Changes what the user may pay, from the next payment that is decided. `change` gets the limits as they
    /// are; no other change comes between.
    ///
    /// # Errors
    /// [`AccountError::NoUser`].
    pub async fn change_limits<F>(&self, customer_id: &str, change: F) -> Result<(), AccountError>
    where
        F: Fn(Limits) -> Limits + Send + 'static,
    {
        let customer_id = customer_id.to_owned();
        let changed = move |tx: &mut Tx<'_>| {
            let Some(row) = tx.query_one(user::HOLD, &[(&customer_id).into()])? else { return Ok(0) };
            let Limits { payment, day, day_count } = change(User::read(row)?.limits);
            tx.execute(SET_LIMITS, &[(&customer_id).into(), payment.into(), day.into(), day_count.into()])
        };
        self.change(changed).await
    }

    /// Puts money on an account; the balance now. A repeat moves nothing.
    ///
    /// # Errors
    /// [`AccountError`]; then nothing has moved, except perhaps after [`StoreError::Unknown`]: repeat.
    pub async fn top_up(&self, top_up: TopUp) -> Result<Amount, AccountError> {
        if !is_id(&top_up.id) || !is_id(&top_up.customer_id) {
            return Err(AccountError::Id);
        }
        top_up.amount.check_positive("amount").map_err(|_| AccountError::Amount)?;
        let now = self.clock.now_ms();
        self.store.write(move |tx| top_up_once(tx, &top_up, now)).await
    }

    /// Whether a user can have a card and pay with it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn availability(&self, customer_id: &str) -> Result<Availability, StoreError> {
        let user = self.user(customer_id).await?;
        Ok(Availability { reason: user.map_or(Err(ResultCode::UserNotExist), |user| user.check_usable()).err() })
    }

    async fn change<F>(&self, mut work: F) -> Result<(), AccountError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<u64, StoreError> + Send + 'static,
    {
        let changed = self.store.write(move |tx| work(tx)).await?;
        if changed == 0 { Err(AccountError::NoUser) } else { Ok(()) }
    }
}

fn top_up_once(tx: &mut Tx<'_>, top_up: &TopUp, now: i64) -> Result<Amount, AccountError> {
    let entry = Cause::TopUp(&top_up.id).entry();
    let found = tx.run(&[
        Statement::new(user::HOLD, &[(&top_up.customer_id).into()]),
        Statement::new(TOPPED_UP, &[(&entry).into()]),
    ])?;
    let mut found = found.into_iter().map(|done| done.rows.into_iter().next());
    let user = found.next().flatten().map(User::read).transpose()?;
    let mut user = user.ok_or(AccountError::NoUser)?;
    if let Some(mut row) = found.next().flatten() {
        let earlier = (row.text()?, row.text()?, row.unsigned()?);
        let asked = (format!("user:{}", top_up.customer_id), top_up.amount.currency.code(), top_up.amount.value);
        let is_same = (earlier.0, earlier.1.as_str(), earlier.2) == asked;
        return if is_same { Ok(user.balance()) } else { Err(AccountError::TopUpDiffers) };
    }
    if user.currency != top_up.amount.currency {
        return Err(AccountError::Currency(top_up.amount.currency));
    }
    user.credit(top_up.amount.value).ok_or(AccountError::Amount)?;
    let cause = Cause::TopUp(&top_up.id);
    let entry = Entry::new(cause, Account::TopUp, Account::User(&user.customer_id), top_up.amount, now);
    tx.run(&[user::keep(&user.values()), ledger::book(&entry.values())])?;
    Ok(user.balance())
}

/// Ids and customer ids: 1 to 64 characters (facts of the Open API, common ids), and no NUL, which
/// PostgreSQL cannot store.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.contains('\0')
}
