//! Whether the books agree with everything else.

use crate::store::{Store, StoreError, Tx};

/// Something that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The postings of a currency do not sum to zero.
    Unbalanced,
    /// A user's balance is not the sum of the user's postings, or is below zero.
    Balance,
    /// Money was posted for a user or a currency that there is no account for.
    Orphan,
    /// A payment that took money has no such entry, or one that took none has.
    Payment,
    /// A payment's refunds do not sum to what it says was refunded.
    Refunds,
    /// A refund that was granted has no such entry, or one that was refused has.
    Refund,
    /// A cancelled payment has not given back what it took.
    Cancel,
}

macro_rules! found {
    ($name:literal, $rows:literal) => {
        concat!(
            "SELECT name, COUNT(*) OVER () FROM (SELECT ",
            $name,
            " AS name FROM ",
            $rows,
            ") AS found
            ORDER BY name LIMIT 10"
        )
    };
}

impl Finding {
    const ALL: [Self; 7] =
        [Self::Unbalanced, Self::Balance, Self::Orphan, Self::Payment, Self::Refunds, Self::Refund, Self::Cancel];

    /// The first names of the rows that show it, each with the number of all such rows.
    fn query(self) -> &'static str {
        match self {
            Self::Unbalanced => {
                found!("currency", "postings GROUP BY currency HAVING SUM(amount) <> 0")
            }
            Self::Balance => {
                found!(
                    "u.customer_id",
                    "users AS u LEFT JOIN
                    (SELECT account, currency, SUM(amount) AS total FROM postings GROUP BY account, currency) AS p
                    ON p.account = 'user:' || u.customer_id AND p.currency = u.currency
                    WHERE u.balance <> COALESCE(p.total, 0) OR u.balance < 0"
                )
            }
            Self::Orphan => {
                found!(
                    "DISTINCT p.account",
                    "postings AS p WHERE p.account LIKE 'user:%' AND NOT EXISTS
                    (SELECT 1 FROM users AS u WHERE p.account = 'user:' || u.customer_id AND p.currency = u.currency)"
                )
            }
            Self::Payment => {
                found!(
                    "p.payment_request_id",
                    "payments AS p LEFT JOIN journal AS j ON j.entry = 'pay:' || p.payment_request_id
                    WHERE (p.status IN ('SUCCESS', 'PARTIALLY_REFUNDED', 'REFUNDED') AND j.entry IS NULL)
                    OR (p.status IN ('PROCESSING', 'FAILED') AND j.entry IS NOT NULL)
                    OR j.amount <> p.charged OR j.currency <> p.charged_currency
                    OR j.debit <> 'user:' || p.customer_id OR j.credit <> 'settlement'"
                )
            }
            Self::Refunds => {
                found!(
                    "p.payment_request_id",
                    "payments AS p LEFT JOIN
                    (SELECT payment_request_id, SUM(amount) AS amount, SUM(credited) AS credited, COUNT(*) AS refunds
                        FROM refunds WHERE api = 'refund' AND result_code = 'SUCCESS' GROUP BY payment_request_id) AS r
                    ON r.payment_request_id = p.payment_request_id
                    WHERE p.refunded_amount <> COALESCE(r.amount, 0) OR p.refunded_charged <> COALESCE(r.credited, 0)
                    OR p.refunds <> COALESCE(r.refunds, 0)"
                )
            }
            Self::Refund => {
                found!(
                    "r.refund_request_id",
                    "refunds AS r LEFT JOIN
                    (SELECT entry, credit, SUM(amount) AS amount FROM
                        (SELECT CASE WHEN entry LIKE 'refund-rounding:%' THEN 'refund:' || SUBSTR(entry, 17)
                            ELSE entry END AS entry, credit, amount FROM journal
                            WHERE entry LIKE '%refund%:%' AND credit LIKE 'user:%') AS credits
                        GROUP BY entry, credit) AS j
                    ON j.entry = CASE r.api WHEN 'refund' THEN 'refund:' ELSE 'adjust-refund:' END || r.refund_request_id
                    WHERE CASE r.result_code WHEN 'SUCCESS' THEN COALESCE(r.credited, 0) ELSE 0 END
                        <> COALESCE(j.amount, 0)
                    OR j.credit <> 'user:' || r.customer_id"
                )
            }
            Self::Cancel => {
                found!(
                    "p.payment_request_id",
                    "payments AS p
                    LEFT JOIN journal AS paid ON paid.entry = 'pay:' || p.payment_request_id
                    LEFT JOIN journal AS back ON back.entry = 'cancel:' || p.payment_request_id
                    WHERE (p.status = 'CLOSED' AND COALESCE(paid.amount, 0) - p.refunded_charged
                        <> COALESCE(back.amount, 0))
                    OR (p.status <> 'CLOSED' AND back.entry IS NOT NULL)
                    OR back.credit <> 'user:' || p.customer_id"
                )
            }
        }
    }
}

/// Where a finding was seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    /// What must not be.
    pub finding: Finding,
    /// How many rows show it.
    pub count: u64,
    /// The first ten of them: a currency, a customer id, an account, or the id of a payment's or refund's
    /// request.
    pub names: Vec<String>,
}

/// Names are for who asked, and not for a log.
impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("finding", &self.finding).field("count", &self.count).finish_non_exhaustive()
    }
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Nothing, if the books agree.
    pub findings: Vec<Found>,
}

impl Audit {
    /// All is as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Recomputes all balances and compares payments and refunds with the journal, as of one moment. Reads
/// every row.
///
/// # Errors
/// What the database says.
pub async fn audit(store: &Store) -> Result<Audit, StoreError> {
    store.read(in_transaction).await
}

fn in_transaction(tx: &mut Tx<'_>) -> Result<Audit, StoreError> {
    let mut findings = Vec::new();
    for finding in Finding::ALL {
        let (mut count, mut names) = (0, Vec::new());
        for mut row in tx.query_all(finding.query(), &[])? {
            names.push(row.text()?);
            count = row.unsigned()?;
        }
        if count > 0 {
            findings.push(Found { finding, count, names });
        }
    }
    Ok(Audit { findings })
}
