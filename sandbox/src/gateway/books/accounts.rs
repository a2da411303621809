//! Double entry: what the scheme is owed against what the payment provider was charged.
//!
//! Every posting moves an amount from one account to another, in the merchant's currency, so the sum of
//! all accounts is 0 at any time. When no call is outstanding and none was refused, `owed` is 0, and the
//! provider was charged exactly what is held, owed to the scheme, and short.

use std::collections::BTreeMap;

use alipayplus::Currency;
use rusqlite::params;

use super::{GatewayError, SchemeId, Work};

/// By authorisation. What was cleared beyond is booked under its event; the payment of its own that may cover
/// it, under that payment's request, which begins with `?1` and ends with the event.
const SHORTFALLS: &str = "
    SELECT event.auth_id, sum(posting.minor) FROM posting
    JOIN event ON event.id = CASE substr(cause, 1, length(?1)) WHEN ?1 THEN substr(cause, length(?1) + 1) ELSE cause END
    WHERE account = 'shortfall' AND auth_id IS NOT NULL
    GROUP BY auth_id HAVING sum(posting.minor) <> 0";

/// An account. Debits count up, credits count down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What the payment provider was charged, less what it gave back.
    Provider,
    /// What is authorised and not cleared (a credit).
    Held,
    /// What the scheme is owed: cleared, less what merchants gave (a credit).
    Scheme,
    /// What users must still get back through the provider (a credit).
    Owed,
    /// What was cleared and nobody was charged for.
    Shortfall,
}

impl Account {
    /// Every account.
    pub const ALL: [Self; 5] = [Self::Provider, Self::Held, Self::Scheme, Self::Owed, Self::Shortfall];

    /// In the books.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Held => "held",
            Self::Scheme => "scheme",
            Self::Owed => "owed",
            Self::Shortfall => "shortfall",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.name() == name)
    }
}

/// An account's balance in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// Which account.
    pub account: Account,
    /// The merchant's currency.
    pub currency: Currency,
    /// Debits less credits, in the smallest unit.
    pub minor: i64,
}

impl Work<'_> {
    /// Moves `minor` from `credit` to `debit`; nothing if it is 0.
    pub(crate) fn post(
        &self,
        cause: &str,
        debit: Account,
        credit: Account,
        currency: Currency,
        minor: u64,
    ) -> Result<(), GatewayError> {
        if minor == 0 {
            return Ok(());
        }
        let minor = i64::try_from(minor).map_err(|_| GatewayError::Amount { value: minor })?;
        for (account, minor) in [(debit, minor), (credit, -minor)] {
            self.tx
                .prepare_cached("INSERT INTO posting (cause, account, currency, minor) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![cause, account.name(), currency.code(), minor])?;
        }
        Ok(())
    }

    pub(crate) fn sums(&self) -> Result<Vec<Sum>, GatewayError> {
        let mut statement = self
            .tx
            .prepare("SELECT account, currency, sum(minor) FROM posting GROUP BY account, currency ORDER BY 1, 2")?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
        rows.map(|row| {
            let (account, currency, minor) = row?;
            let account = Account::parse(&account).ok_or(GatewayError::Damaged { what: "an account" })?;
            let currency = Currency::from_code(&currency).ok_or(GatewayError::Damaged { what: "a currency" })?;
            Ok(Sum { account, currency, minor })
        })
        .collect()
    }

    pub(crate) fn shortfalls(&self) -> Result<BTreeMap<SchemeId, u64>, GatewayError> {
        let mut statement = self.tx.prepare_cached(SHORTFALLS)?;
        let beyond = SchemeId::payment_request(SchemeId::BEYOND);
        let rows = statement.query_map([beyond], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        rows.map(|row| {
            let (auth_id, minor) = row?;
            let minor = u64::try_from(minor).map_err(|_| GatewayError::Damaged { what: "a shortfall" })?;
            Ok((SchemeId::try_from(auth_id)?, minor))
        })
        .collect()
    }
}
