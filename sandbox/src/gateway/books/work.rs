//! One transaction on the books.

use alipayplus::Amount;
use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::super::conversion::{CallKind, RowId};
use super::super::events::{Authorisation, SchemeEvent, SchemeId};
use super::super::requests::text;
use super::rows::{CALL_COLUMNS, PAYMENT_COLUMNS, read_call, read_payment, row_id};
use super::{Call, CallState, GatewayError, Payment};

/// One transaction on the books.
pub(crate) struct Work<'a> {
    pub(super) tx: &'a Transaction<'a>,
}

/// A call that is to be made.
#[derive(Debug)]
pub(crate) struct NewCall<'a> {
    pub(crate) kind: CallKind,
    pub(crate) request_id: &'a str,
    pub(crate) auth_id: Option<&'a SchemeId>,
    pub(crate) row: RowId,
    pub(crate) amount: Amount,
    pub(crate) request: String,
    pub(crate) at_ms: i64,
}

impl<'a> Work<'a> {
    pub(super) fn new(tx: &'a Transaction<'a>) -> Self {
        Self { tx }
    }

    /// What event `id` said, if it was seen.
    pub(crate) fn event(&self, id: &SchemeId) -> Result<Option<(SchemeEvent, RowId)>, GatewayError> {
        let found = self
            .tx
            .prepare_cached("SELECT content, conversion FROM event WHERE id = ?1")?
            .query_row([id.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .optional()?;
        found.map(|(content, row)| Ok((serde_json::from_str(&content)?, row_id(&row)?))).transpose()
    }

    /// Writes an event down, or anew what it came to.
    pub(crate) fn put_event(&self, event: &SchemeEvent, row: RowId, kept: bool) -> Result<(), GatewayError> {
        self.tx
            .prepare_cached(
                "INSERT INTO event (id, auth_id, content, conversion, kept) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET conversion = excluded.conversion, kept = excluded.kept",
            )?
            .execute(params![
                event.id().as_str(),
                event.auth_id().map(SchemeId::as_str),
                serde_json::to_string(event)?,
                row.name(),
                kept
            ])?;
        Ok(())
    }

    /// The events that wait for the authorisation, in the order in which they came.
    pub(crate) fn kept_events(&self, auth_id: &SchemeId) -> Result<Vec<SchemeEvent>, GatewayError> {
        let mut statement =
            self.tx.prepare_cached("SELECT content FROM event WHERE auth_id = ?1 AND kept ORDER BY seq")?;
        let rows = statement.query_map([auth_id.as_str()], |row| row.get::<_, String>(0))?;
        rows.map(|content| Ok(serde_json::from_str(&content?)?)).collect()
    }

    /// The authorisation as the terminal asked it.
    pub(crate) fn authorisation(&self, auth_id: &SchemeId) -> Result<Option<Authorisation>, GatewayError> {
        let mut statement = self.tx.prepare_cached("SELECT content FROM event WHERE auth_id = ?1 ORDER BY seq")?;
        let contents = statement.query_map([auth_id.as_str()], |row| row.get::<_, String>(0))?;
        // The bundled SQLite is built without its functions for JSON.
        for content in contents {
            if let SchemeEvent::Authorisation(authorisation) = serde_json::from_str(&content?)? {
                return Ok(Some(authorisation));
            }
        }
        Ok(None)
    }

    pub(crate) fn events(&self) -> Result<Vec<SchemeEvent>, GatewayError> {
        let mut statement = self.tx.prepare("SELECT content FROM event ORDER BY seq")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.map(|content| Ok(serde_json::from_str(&content?)?)).collect()
    }

    pub(crate) fn conversions(&self) -> Result<Vec<(String, RowId)>, GatewayError> {
        let mut statement = self.tx.prepare("SELECT id, conversion FROM event ORDER BY seq")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| row.map_err(GatewayError::from).and_then(|(id, row)| Ok((id, row_id(&row)?)))).collect()
    }

    pub(crate) fn payment(&self, auth_id: &SchemeId) -> Result<Option<Payment>, GatewayError> {
        Ok(self.select_payments("auth_id = ?1", [auth_id.as_str()])?.pop())
    }

    pub(crate) fn payment_by_request(&self, request_id: &str) -> Result<Option<Payment>, GatewayError> {
        Ok(self.select_payments("request_id = ?1", [request_id])?.pop())
    }

    pub(crate) fn payments(&self) -> Result<Vec<Payment>, GatewayError> {
        self.select_payments("1", [])
    }

    /// Payments whose `pay` must be given up at `now_ms`.
    pub(crate) fn expired(&self, now_ms: i64) -> Result<Vec<Payment>, GatewayError> {
        let no_inquiry = "NOT EXISTS (SELECT 1 FROM call WHERE call.auth_id = payment.auth_id
                                      AND kind = 'inquiryPayment' AND call.state = 'due')";
        self.select_payments(&format!("state = 'pending' AND expires_at_ms <= ?1 AND {no_inquiry}"), [now_ms])
    }

    /// Payments whose authorisation expires by itself at `now_ms`.
    pub(crate) fn lapsed(&self, now_ms: i64) -> Result<Vec<Payment>, GatewayError> {
        self.select_payments("state = 'paid' AND held > cleared AND lapses_at_ms <= ?1", [now_ms])
    }

    fn select_payments(&self, which: &str, with: impl Params) -> Result<Vec<Payment>, GatewayError> {
        let sql = format!("SELECT {PAYMENT_COLUMNS} FROM payment WHERE {which} ORDER BY authorised_at_ms, auth_id");
        let mut statement = self.tx.prepare_cached(&sql)?;
        let mut rows = statement.query(with)?;
        let mut payments = Vec::new();
        while let Some(row) = rows.next()? {
            payments.push(read_payment(row)?);
        }
        Ok(payments)
    }

    /// Writes a payment down, new or changed.
    pub(crate) fn put_payment(&self, payment: &Payment) -> Result<(), GatewayError> {
        let standing = &payment.standing;
        let sql = format!(
            "INSERT OR REPLACE INTO payment ({PAYMENT_COLUMNS}) VALUES
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
        );
        self.tx.prepare_cached(&sql)?.execute(params![
            payment.auth_id.as_str(),
            standing.beyond,
            payment.request_id,
            payment.user,
            payment.currency.code(),
            signed(standing.amount)?,
            payment.pay_to.currency.code(),
            signed(payment.pay_to.value)?,
            payment.quote.as_ref().map(text).transpose()?,
            standing.authorised_at_ms,
            payment.expires_at_ms,
            payment.lapses_at_ms,
            standing.state.name(),
            payment.approved,
            standing.taken,
            signed(standing.held)?,
            signed(standing.cleared)?,
            signed(standing.refunded)?,
            signed(payment.refunded_to)?,
            payment.payment_id,
            payment.code,
        ])?;
        Ok(())
    }

    /// Writes down a call that is to be made.
    pub(crate) fn put_call(&self, call: NewCall<'_>) -> Result<(), GatewayError> {
        self.tx
            .prepare_cached(
                "INSERT INTO call (kind, request_id, auth_id, conversion, currency, minor, request, state, next_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'due', ?8)",
            )?
            .execute(params![
                call.kind.name(),
                call.request_id,
                call.auth_id.map(SchemeId::as_str),
                call.row.name(),
                call.amount.currency.code(),
                signed(call.amount.value)?,
                call.request,
                call.at_ms,
            ])?;
        Ok(())
    }

    pub(crate) fn call(&self, seq: i64) -> Result<Option<Call>, GatewayError> {
        Ok(self.select_calls("seq = ?1", [seq])?.pop())
    }

    pub(crate) fn calls(&self) -> Result<Vec<Call>, GatewayError> {
        self.select_calls("1", [])
    }

    /// The calls that give money back for the event `id`.
    pub(crate) fn calls_back(&self, id: &SchemeId) -> Result<Vec<Call>, GatewayError> {
        let adjusts = "kind IN ('adjustRefund EXCEED_REFUND', 'adjustRefund UNLINKED_REFUND') AND request_id = ?2";
        let which = format!("kind <> 'inquiryPayment' AND (kind = 'refund' AND request_id = ?1 OR {adjusts})");
        self.select_calls(&which, [format!("refund-{id}"), format!("adjust-{id}")])
    }

    /// The calls of this kind about this payment.
    pub(crate) fn calls_about(&self, auth_id: &SchemeId, kind: CallKind) -> Result<Vec<Call>, GatewayError> {
        self.select_calls("auth_id = ?1 AND kind = ?2", [auth_id.as_str(), kind.name()])
    }

    /// The calls that are due at `now_ms`; with `auth_id` only those of this payment.
    pub(crate) fn due(&self, now_ms: i64, auth_id: Option<&SchemeId>) -> Result<Vec<Call>, GatewayError> {
        match auth_id {
            None => self.select_calls("state = 'due' AND next_at_ms <= ?1", [now_ms]),
            Some(auth_id) => self
                .select_calls("state = 'due' AND next_at_ms <= ?1 AND auth_id = ?2", params![now_ms, auth_id.as_str()]),
        }
    }

    pub(crate) fn refused_refunds(&self) -> Result<Vec<Call>, GatewayError> {
        self.select_calls("state = 'failed' AND (kind = 'refund' OR kind LIKE 'adjustRefund%')", [])
    }

    fn select_calls(&self, which: &str, with: impl Params) -> Result<Vec<Call>, GatewayError> {
        let sql = format!("SELECT {CALL_COLUMNS} FROM call WHERE {which} ORDER BY seq");
        let mut statement = self.tx.prepare_cached(&sql)?;
        let mut rows = statement.query(with)?;
        let mut calls = Vec::new();
        while let Some(row) = rows.next()? {
            calls.push(read_call(row)?);
        }
        Ok(calls)
    }

    /// Notes, before it is sent, that a call is sent once more, and when it is sent again if no final answer
    /// comes.
    pub(crate) fn begin_attempt(&self, seq: i64, next_at_ms: i64) -> Result<(), GatewayError> {
        self.tx
            .prepare_cached("UPDATE call SET attempts = attempts + 1, next_at_ms = ?2 WHERE seq = ?1")?
            .execute(params![seq, next_at_ms])?;
        Ok(())
    }

    /// Notes what a call was answered.
    pub(crate) fn end_attempt(&self, seq: i64, state: CallState, code: Option<&str>) -> Result<(), GatewayError> {
        self.tx.prepare_cached("UPDATE call SET state = ?2, code = ?3 WHERE seq = ?1")?.execute(params![
            seq,
            state.name(),
            code
        ])?;
        Ok(())
    }

    /// Makes no more `pay` and no more inquiry of this payment.
    pub(crate) fn stop_asking(&self, auth_id: &SchemeId) -> Result<(), GatewayError> {
        self.tx
            .prepare_cached(
                "UPDATE call SET state = 'dropped'
                 WHERE auth_id = ?1 AND state = 'due' AND kind IN ('pay', 'inquiryPayment')",
            )?
            .execute([auth_id.as_str()])?;
        Ok(())
    }

    /// When there is something to do next, in milliseconds since 1970; with `auth_id` for this payment.
    pub(crate) fn next_at_ms(&self, auth_id: Option<&SchemeId>) -> Result<Option<i64>, GatewayError> {
        let sql = "SELECT min(at) FROM (
            SELECT min(next_at_ms) AS at FROM call WHERE state = 'due' AND (?1 IS NULL OR auth_id = ?1)
            UNION ALL
            SELECT min(expires_at_ms) FROM payment WHERE state = 'pending' AND (?1 IS NULL OR auth_id = ?1)
                AND NOT EXISTS (SELECT 1 FROM call WHERE call.auth_id = payment.auth_id
                                AND kind = 'inquiryPayment' AND call.state = 'due')
            UNION ALL
            SELECT min(lapses_at_ms) FROM payment
            WHERE state = 'paid' AND held > cleared AND (?1 IS NULL OR auth_id = ?1))";
        Ok(self.tx.prepare_cached(sql)?.query_row([auth_id.map(SchemeId::as_str)], |row| row.get(0))?)
    }
}

fn signed(value: u64) -> Result<i64, GatewayError> {
    i64::try_from(value).map_err(|_| GatewayError::Amount { value })
}
