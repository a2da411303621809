//! A user's row.

use alipayplus::{Amount, Currency, ResultCode};

use crate::store::{Row, Statement, StoreError, Value};

/// Whether an account is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserStatus {
    /// It is.
    Active,
    /// It takes refunds and pays nothing.
    Frozen,
    /// As frozen, for ever.
    Closed,
}

impl UserStatus {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Frozen => "FROZEN",
            Self::Closed => "CLOSED",
        }
    }

    /// Reads what [`Self::as_str`] wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Frozen, Self::Closed].into_iter().find(|status| status.as_str() == name)
    }
}

/// What a user may pay, in the smallest unit of the account's currency. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// By one payment.
    pub payment: Option<u64>,
    /// In one business day (UTC+8).
    pub day: Option<u64>,
    /// How many payments in one business day.
    pub day_count: Option<u64>,
}

/// What a user has paid in a business day. Cancelled payments do not count, refunded ones do. Both numbers
/// end at [`Amount::MAX`], which no limit exceeds and no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayTotals {
    /// Its first millisecond, since 1970, UTC.
    pub day: i64,
    /// In the smallest unit.
    pub amount: u64,
    /// Payments.
    pub count: u64,
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// 1 to 64 characters.
    pub customer_id: String,
    /// Whether the account is in use.
    pub status: UserStatus,
    /// The user's identity is known well enough to pay.
    pub kyc: bool,
    /// Of the account.
    pub currency: Currency,
    /// In the smallest unit.
    pub balance: u64,
    /// What the user may pay.
    pub limits: Limits,
    /// What the user has paid on the last day with a payment.
    pub totals: DayTotals,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("status", &self.status).field("kyc", &self.kyc).finish_non_exhaustive()
    }
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT customer_id, status, kyc, currency, balance, limit_payment, limit_day, limit_day_count, \
             day, day_amount, day_count FROM users WHERE customer_id = ",
            $end
        )
    };
}

/// Reads a user.
pub(super) const FIND: &str = select!("$1");
/// Reads a user and keeps the row until the commit.
pub(crate) const HOLD: &str = select!("$1 FOR UPDATE");
/// Keeps the row of a payment's user until the commit. A payment never changes its user.
pub(crate) const HOLD_BY_PAYMENT: &str =
    select!("(SELECT customer_id FROM payments WHERE payment_request_id = $1) FOR UPDATE");
/// Keeps the row of the user of payment `$1`, or by our name for it `$2`, of acquirer `$3` if that is not
/// null, or else of user `$4`, until the commit.
pub(crate) const HOLD_BY_PAYMENT_OR_ID: &str = select!(
    "COALESCE((SELECT customer_id FROM payments \
     WHERE (payment_request_id = $1 OR payment_id = $2) AND (acquirer_id = $3 OR $3 IS NULL)), $4) FOR UPDATE"
);

const KEEP: &str = "UPDATE users SET balance = $2, day = $3, day_amount = $4, day_count = $5 WHERE customer_id = $1";

/// Writes what a held user became, by [`User::values`].
pub(crate) fn keep<'a>(values: &'a [Value<'a>]) -> Statement<'a> {
    Statement::new(KEEP, values)
}

impl User {
    pub(crate) fn read(mut row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            customer_id: row.text()?,
            status: UserStatus::from_name(&row.text()?).ok_or(StoreError::Column { expected: "a user's status" })?,
            kyc: row.flag()?,
            currency: Currency::from_code(&row.text()?).ok_or(StoreError::Column { expected: "a currency" })?,
            balance: row.unsigned()?,
            limits: Limits {
                payment: row.optional_unsigned()?,
                day: row.optional_unsigned()?,
                day_count: row.optional_unsigned()?,
            },
            totals: DayTotals { day: row.int()?, amount: row.unsigned()?, count: row.unsigned()? },
        })
    }

    pub(crate) fn values(&self) -> [Value<'_>; 5] {
        let DayTotals { day, amount, count } = self.totals;
        [(&self.customer_id).into(), self.balance.into(), day.into(), amount.into(), count.into()]
    }

    /// What the user has.
    #[must_use]
    pub fn balance(&self) -> Amount {
        Amount::new(self.currency, self.balance)
    }

    /// Whether the user may have a card and pay at all.
    ///
    /// # Errors
    /// `USER_STATUS_ABNORMAL`, `USER_KYC_NOT_QUALIFIED`.
    pub fn check_usable(&self) -> Result<(), ResultCode> {
        match (self.status, self.kyc) {
            (UserStatus::Active, true) => Ok(()),
            (UserStatus::Active, false) => Err(ResultCode::UserKycNotQualified),
            (UserStatus::Frozen | UserStatus::Closed, _) => Err(ResultCode::UserStatusAbnormal),
        }
    }

    /// Takes `amount` on the business day that begins at `day`.
    ///
    /// # Errors
    /// The limit that it would break, or `USER_BALANCE_NOT_ENOUGH`; nothing is changed then.
    pub(crate) fn debit(&mut self, amount: u64, day: i64) -> Result<(), ResultCode> {
        let exceeds = |value: u64, limit: Option<u64>| limit.is_some_and(|limit| value > limit);
        let before = if self.totals.day == day { self.totals } else { DayTotals { day, ..DayTotals::default() } };
        let sum = |before: u64, more: u64| before.saturating_add(more).min(Amount::MAX);
        let after = DayTotals { day, amount: sum(before.amount, amount), count: sum(before.count, 1) };
        if exceeds(amount, self.limits.payment) {
            return Err(ResultCode::PaymentAmountExceedLimit);
        }
        if exceeds(after.amount, self.limits.day) {
            return Err(ResultCode::UserAmountExceedLimit);
        }
        if exceeds(after.count, self.limits.day_count) {
            return Err(ResultCode::PaymentCountExceedLimit);
        }
        self.balance = self.balance.checked_sub(amount).ok_or(ResultCode::UserBalanceNotEnough)?;
        self.totals = after;
        Ok(())
    }

    /// Adds `amount`; `None`, and no change, if the account cannot hold it.
    #[must_use]
    pub(crate) fn credit(&mut self, amount: u64) -> Option<()> {
        self.balance = self.balance.checked_add(amount).filter(|balance| *balance <= Amount::MAX)?;
        Some(())
    }

    /// A payment of `amount` on the business day that begins at `day` does not count any more.
    pub(crate) fn uncount(&mut self, amount: u64, day: i64) {
        if self.totals.day == day {
            self.totals.amount = self.totals.amount.saturating_sub(amount);
            self.totals.count = self.totals.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_can_be_counted_in_a_day_is_no_limit_that_was_set() {
        let mut user = User {
            customer_id: "ann".to_owned(),
            status: UserStatus::Active,
            kyc: true,
            currency: Currency::default(),
            balance: Amount::MAX,
            limits: Limits::default(),
            totals: DayTotals::default(),
        };
        assert_eq!(user.debit(Amount::MAX, 0), Ok(()));
        assert_eq!(user.debit(1, 0), Err(ResultCode::UserBalanceNotEnough));
        user.credit(5).unwrap();
        assert_eq!(user.debit(5, 0), Ok(()));
        assert_eq!(user.totals, DayTotals { day: 0, amount: Amount::MAX, count: 2 });
        user.limits.day = Some(Amount::MAX - 1);
        user.credit(5).unwrap();
        assert_eq!(user.debit(1, 0), Err(ResultCode::UserAmountExceedLimit));
    }
}
