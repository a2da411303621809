//! Tokens after their birth: state, suspension, deletion, credentials, usage.

use nfcwallet_core::token::Suspender;
use nfcwallet_core::token_service::operations::{
    Answer, MessageContent, Refusal, ServiceToken, UsageEntry, UsageOutcome, WireCredential,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::inbox::push;
use super::service::{Caller, Context};
use super::store::{Failure, declined};

/// The largest batch of credentials; the wallet's own limit for its stock is the same.
const BATCH_LIMIT: u32 = 100;

pub(crate) const TOKEN_COLUMNS: &str =
    "token_reference, application_id, instance, user, state, reported, profile, next_atc, activation_polls";

/// Where a token is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenStage {
    Inactive,
    Active,
    Deleted,
}

/// A row of `tokens`.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    pub(crate) token_reference: String,
    pub(crate) application_id: String,
    pub(crate) owner: Caller,
    pub(crate) stage: TokenStage,
    pub(crate) reported: bool,
    pub(crate) profile: String,
    pub(crate) next_atc: u32,
    pub(crate) activation_polls: u32,
}

impl TokenRow {
    /// Reads [`TOKEN_COLUMNS`].
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let state: String = row.get(4)?;
        let stage = match state.as_str() {
            "inactive" => TokenStage::Inactive,
            "active" => TokenStage::Active,
            _ => TokenStage::Deleted,
        };
        Ok(Self {
            token_reference: row.get(0)?,
            application_id: row.get(1)?,
            owner: Caller { instance: row.get(2)?, user: row.get(3)? },
            stage,
            reported: row.get(5)?,
            profile: row.get(6)?,
            next_atc: row.get(7)?,
            activation_polls: row.get(8)?,
        })
    }

    /// The token as the wallet sees it.
    pub(crate) fn view(&self, work: &Connection) -> Result<ServiceToken, Failure> {
        let token_reference = self.token_reference.clone();
        Ok(match self.stage {
            TokenStage::Inactive => ServiceToken::Inactive { token_reference },
            TokenStage::Active => {
                ServiceToken::Active { suspended_by: suspended_by(work, &token_reference)?, token_reference }
            }
            TokenStage::Deleted => ServiceToken::Deleted { token_reference },
        })
    }
}

impl Context<'_> {
    /// The caller's own token by its name.
    pub(crate) fn token(&self, token_reference: &str) -> Result<TokenRow, Failure> {
        find(self.work, token_reference)?
            .filter(|token| token.owner == *self.caller)
            .ok_or(Failure::Refused(Refusal::UnknownToken {}))
    }

    pub(crate) fn token_of_application(&self, application_id: &str) -> Result<Option<TokenRow>, Failure> {
        let sql = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE application_id=?1");
        Ok(self.work.query_row(&sql, [application_id], TokenRow::read).optional()?)
    }

    /// The newest token that is not deleted counts; of deleted ones the newest.
    pub(crate) fn token_state(&self) -> Result<Answer, Failure> {
        let sql = format!(
            "SELECT {TOKEN_COLUMNS} FROM tokens WHERE instance=?1 AND user=?2 ORDER BY state='deleted', seq DESC LIMIT 1"
        );
        let newest =
            self.work.query_row(&sql, params![self.caller.instance, self.caller.user], TokenRow::read).optional()?;
        let token = match newest {
            Some(token) => token.view(self.work)?,
            None => ServiceToken::None {},
        };
        Ok(Answer::State { token, config: self.policy.config.clone() })
    }

    pub(crate) fn lock(&self, token_reference: &str) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        if token.stage == TokenStage::Inactive {
            return Err(declined("not_active"));
        }
        suspend(self.work, token_reference, Suspender::User)?;
        self.state_of(&token)
    }

    /// Lifts the user's own suspension; whoever else suspends stays in the answer.
    pub(crate) fn unlock(&self, token_reference: &str) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        resume(self.work, token_reference, Suspender::User)?;
        self.state_of(&token)
    }

    pub(crate) fn delete(&self, token_reference: &str) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        self.work.execute("UPDATE tokens SET state='deleted' WHERE token_reference=?1", [token_reference])?;
        self.state_of(&TokenRow { stage: TokenStage::Deleted, ..token })
    }

    pub(crate) fn replenish(&self, token_reference: &str, session_id: &str, count: u32) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        match token.stage {
            TokenStage::Active => {}
            TokenStage::Inactive => return Err(declined("not_active")),
            TokenStage::Deleted => return Err(Refusal::UnknownToken {}.into()),
        }
        if !suspended_by(self.work, token_reference)?.is_empty() {
            return Err(Refusal::Suspended {}.into());
        }
        self.check_session(session_id)?;
        Ok(Answer::Replenished { credentials: self.issue(&token, count)? })
    }

    /// Reports are taken for suspended and deleted tokens too. The first word on a credential counts,
    /// except that "used" always wins.
    pub(crate) fn report_usage(&self, token_reference: &str, entries: &[UsageEntry]) -> Result<Answer, Failure> {
        self.token(token_reference)?;
        for entry in entries {
            let outcome = match entry.outcome {
                UsageOutcome::Used => "used",
                UsageOutcome::Discarded => "discarded",
            };
            self.work.execute(
                "UPDATE credentials SET outcome=CASE outcome WHEN 'used' THEN 'used' ELSE ?3 END
                 WHERE token_reference=?1 AND atc=?2",
                params![token_reference, entry.atc, outcome],
            )?;
        }
        Ok(Answer::Acknowledged {})
    }

    /// The next credentials of a token. Counters never repeat and never wrap: after 65535 the token
    /// is worn out (EMV Book 2, 8.2: the ATC has two bytes).
    pub(crate) fn issue(&self, token: &TokenRow, count: u32) -> Result<Vec<WireCredential>, Failure> {
        if !(1..=BATCH_LIMIT).contains(&count) {
            return Err(declined("count_out_of_range"));
        }
        let next = token.next_atc + count;
        let first = u16::try_from(token.next_atc).ok().filter(|_| next <= 0x1_0000);
        let Some(first) = first else { return Err(declined("atc_exhausted")) };
        let expires_at_ms = self.now_ms.saturating_add(self.policy.credential_ttl_ms);
        let credentials = self.issuer.credentials(&token.token_reference, first, count, expires_at_ms)?;
        for credential in &credentials {
            self.work.execute(
                "INSERT INTO credentials(token_reference, atc, expires_at_ms) VALUES(?1, ?2, ?3)",
                params![token.token_reference, credential.atc, credential.expires_at_ms],
            )?;
        }
        self.work
            .execute("UPDATE tokens SET next_atc=?2 WHERE token_reference=?1", params![token.token_reference, next])?;
        Ok(credentials)
    }

    /// One active token a user. The old ones are deleted, and their other devices told so.
    pub(crate) fn retire_other_tokens(&self, token_reference: &str) -> Result<(), Failure> {
        let sql = format!(
            "SELECT {TOKEN_COLUMNS} FROM tokens
             WHERE user=?1 AND token_reference<>?2 AND (state='active' OR (state='inactive' AND instance=?3))"
        );
        let mut statement = self.work.prepare(&sql)?;
        let others =
            statement.query_map(params![self.caller.user, token_reference, self.caller.instance], TokenRow::read)?;
        for old in others.collect::<Result<Vec<_>, _>>()? {
            self.work.execute("UPDATE tokens SET state='deleted' WHERE token_reference=?1", [&old.token_reference])?;
            if old.owner != *self.caller {
                push(self.work, &old.owner, &MessageContent::Delete { token_reference: old.token_reference })?;
            }
        }
        Ok(())
    }

    fn state_of(&self, token: &TokenRow) -> Result<Answer, Failure> {
        Ok(Answer::State { token: token.view(self.work)?, config: self.policy.config.clone() })
    }
}

/// Any user's token by its name.
pub(crate) fn find(work: &Connection, token_reference: &str) -> Result<Option<TokenRow>, Failure> {
    let sql = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE token_reference=?1");
    Ok(work.query_row(&sql, [token_reference], TokenRow::read).optional()?)
}

/// Who suspends the token, in a fixed order.
pub(crate) fn suspended_by(work: &Connection, token_reference: &str) -> Result<Vec<Suspender>, Failure> {
    let mut statement = work.prepare("SELECT party FROM suspensions WHERE token_reference=?1")?;
    let names = statement.query_map([token_reference], |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let parties = [Suspender::User, Suspender::Issuer, Suspender::Scheme];
    Ok(parties.into_iter().filter(|party| names.iter().any(|name| name == party_name(*party))).collect())
}

/// Adds a suspension; a second one by the same party changes nothing.
pub(crate) fn suspend(work: &Connection, token_reference: &str, by: Suspender) -> Result<(), Failure> {
    work.execute("INSERT OR IGNORE INTO suspensions VALUES(?1, ?2)", params![token_reference, party_name(by)])?;
    Ok(())
}

/// Lifts one party's suspension.
pub(crate) fn resume(work: &Connection, token_reference: &str, by: Suspender) -> Result<(), Failure> {
    work.execute(
        "DELETE FROM suspensions WHERE token_reference=?1 AND party=?2",
        params![token_reference, party_name(by)],
    )?;
    Ok(())
}

fn party_name(party: Suspender) -> &'static str {
    match party {
        Suspender::User => "user",
        Suspender::Issuer => "issuer",
        Suspender::Scheme => "scheme",
    }
}
