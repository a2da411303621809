//! Whether the three books tell the same: the issuer's ledger, the gateway's books, the provider's ledger.

use std::collections::BTreeMap;

use alipayplus::{Amount, Currency};
use mpp_server::ledger::{self, Found};
use mpp_server::store::{StoreError, Tx};
use serde::Serialize;

use super::{Control, DeskError};
use crate::gateway::{Account, CallState, SchemeEvent, Sum};
use crate::issuer::{Decision, IssuerError, Ledger};

/// What the provider charged users for payments, less what it gave back, by the merchant's currency. A
/// closed payment has given everything back.
const CHARGED: &str = "SELECT currency, SUM(amount) FROM (
        SELECT currency, amount FROM payments WHERE status IN ('SUCCESS', 'PARTIALLY_REFUNDED', 'REFUNDED')
        UNION ALL
        SELECT currency, -amount FROM refunds AS r WHERE result_code = 'SUCCESS' AND NOT (api = 'refund' AND EXISTS
            (SELECT 1 FROM payments AS p WHERE p.payment_request_id = r.payment_request_id AND p.status = 'CLOSED'))
    ) AS movements GROUP BY currency";

/// A sum in one currency, which may be below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NetSum {
    /// ISO 4217 letters.
    pub currency: &'static str,
    /// In the smallest unit.
    pub minor: i64,
}

/// The three books beside each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BooksView {
    /// Nothing is in `findings`.
    pub agree: bool,
    /// What must not be, in words.
    pub findings: Vec<String>,
    /// Taps over more than nothing that the issuer approved.
    pub taps_at_issuer: usize,
    /// Taps that came to the gateway.
    pub taps_at_gateway: usize,
    /// What the provider was charged, less what it gave back, say the gateway's books.
    pub gateway: Vec<NetSum>,
    /// The same, say the provider's.
    pub provider: Vec<NetSum>,
    /// What was cleared and charged to nobody, say the gateway's books.
    pub shortfall: Vec<NetSum>,
    /// Calls of the gateway that wait for a final answer.
    pub waiting_calls: usize,
    /// Signed calls so far, in both directions, and how many had both messages verified.
    pub signed_calls: u64,
    /// See `signed_calls`.
    pub verified_calls: u64,
}

/// How many taps, and over how much, by ISO 4217 numeric.
type Taps = (usize, BTreeMap<u16, u64>);

impl Control {
    /// Compares the books.
    ///
    /// # Errors
    /// [`DeskError`] if one of them cannot be read.
    pub async fn books(&self) -> Result<BooksView, DeskError> {
        let mut findings = Vec::new();
        let (issued, asked) =
            (issued(self.issuer.ledger()).map_err(|error| DeskError::Provider(error.to_string()))?, self.asked()?);
        if issued != asked {
            findings.push("the issuer approved other taps than the gateway was asked about".to_owned());
        }
        let calls = self.gateway.books().calls()?;
        let waiting_calls = calls.iter().filter(|call| call.state == CallState::Due).count();
        for call in self.gateway.books().refused_refunds()? {
            findings.push(format!("the provider refused {} {}", call.kind.name(), call.request_id));
        }
        let sums = self.gateway.books().sums()?;
        check_sums(&sums, waiting_calls, &mut findings);
        let gateway = of_account(&sums, Account::Provider);
        let failed = |error: StoreError| DeskError::Provider(error.to_string());
        let audit = ledger::audit(&self.store).await.map_err(failed)?;
        findings.extend(audit.findings.iter().map(|Found { finding, count, names }| {
            format!("the provider's audit: {finding:?}, {count} rows ({})", names.join(", "))
        }));
        let provider = self.store.read(charged).await.map_err(failed)?;
        let is_there = |sum: &&NetSum| sum.minor != 0;
        // While a call waits, one side may know more than the other.
        if waiting_calls == 0 && !gateway.iter().filter(is_there).eq(provider.iter().filter(is_there)) {
            findings.push("gateway and provider disagree on what users were charged".to_owned());
        }
        let (signed_calls, verified_calls) = self.journal.counts();
        Ok(BooksView {
            agree: findings.is_empty(),
            findings,
            taps_at_issuer: issued.0,
            taps_at_gateway: asked.0,
            gateway,
            provider,
            shortfall: of_account(&sums, Account::Shortfall).into_iter().filter(|sum| is_there(&sum)).collect(),
            waiting_calls,
            signed_calls,
            verified_calls,
        })
    }

    fn asked(&self) -> Result<Taps, DeskError> {
        let events = self.gateway.books().events()?;
        let amounts = events.iter().filter_map(|event| match event {
            SchemeEvent::Authorisation(asked) => Some(asked.amount),
            // A refund at a terminal is a tap too.
            SchemeEvent::Refund(refund) if refund.auth_id.is_none() && refund.id.as_str().starts_with("tap-") => {
                Some(refund.amount)
            }
            _ => None,
        });
        Ok(counted(amounts.map(|amount: Amount| (amount.currency.numeric(), amount.value))))
    }
}

/// All accounts of a currency come to nothing, and so does what users are owed.
fn check_sums(sums: &[Sum], waiting: usize, findings: &mut Vec<String>) {
    let mut totals: BTreeMap<Currency, i64> = BTreeMap::new();
    for sum in sums {
        *totals.entry(sum.currency).or_default() += sum.minor;
        if sum.account == Account::Owed && sum.minor != 0 && waiting == 0 {
            findings.push(format!("the gateway owes users {} of {}", -sum.minor, sum.currency));
        }
    }
    for (currency, total) in totals.into_iter().filter(|(_, total)| *total != 0) {
        findings.push(format!("the gateway's accounts in {currency} sum to {total}"));
    }
}

fn of_account(sums: &[Sum], account: Account) -> Vec<NetSum> {
    let of_it = sums.iter().filter(|sum| sum.account == account);
    of_it.map(|sum| NetSum { currency: sum.currency.code(), minor: sum.minor }).collect()
}

fn issued(ledger: &Ledger) -> Result<Taps, IssuerError> {
    let entries = ledger.entries()?;
    let approved = entries.iter().filter(|entry| entry.decision == Decision::Approved);
    let amounts = approved.filter_map(|entry| Some((entry.currency?, entry.amount_minor?)));
    // Nobody is asked for nothing, and nothing can be asked in a currency that there is not.
    Ok(counted(amounts.filter(|(currency, minor)| *minor > 0 && Currency::from_numeric(*currency).is_some())))
}

fn counted(amounts: impl Iterator<Item = (u16, u64)>) -> Taps {
    let (mut count, mut sums) = (0, BTreeMap::new());
    for (currency, minor) in amounts {
        count += 1;
        *sums.entry(currency).or_default() += minor;
    }
    (count, sums)
}

fn charged(tx: &mut Tx<'_>) -> Result<Vec<NetSum>, StoreError> {
    let rows = tx.query_all(CHARGED, &[])?;
    let sums = rows.into_iter().map(|mut row| {
        let code = row.text()?;
        let currency = Currency::from_code(&code).ok_or(StoreError::Column { expected: "a currency" })?;
        Ok(NetSum { currency: currency.code(), minor: row.int()? })
    });
    let mut sums: Vec<NetSum> = sums.collect::<Result<_, StoreError>>()?;
    sums.sort_by_key(|sum| sum.currency);
    Ok(sums)
}
