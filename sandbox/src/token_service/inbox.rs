//! Messages for the wallet, pulled with `NOTIFY`.

use nfcwallet_core::token_service::operations::{Answer, Message, MessageContent};
use rusqlite::{Connection, params};

use super::service::{Caller, Context};
use super::store::{Failure, fresh_id};

/// A profile message is a few KiB and the relay's answers are at most 256 KiB.
const BATCH: u32 = 16;

impl Context<'_> {
    pub(crate) fn fetch_inbox(&self) -> Result<Answer, Failure> {
        let mut statement = self.work.prepare(
            "SELECT id, content FROM messages WHERE instance=?1 AND user=?2 AND acknowledged=0 ORDER BY seq LIMIT ?3",
        )?;
        let rows = statement.query_map(params![self.caller.instance, self.caller.user, BATCH], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut messages = Vec::new();
        for row in rows {
            let (id, content) = row?;
            messages.push(Message { id, content: serde_json::from_str(&content)? });
        }
        Ok(Answer::Inbox { messages })
    }

    /// Ids that are unknown, or somebody else's, are passed over.
    pub(crate) fn acknowledge_inbox(&self, ids: &[String]) -> Result<Answer, Failure> {
        for id in ids {
            self.work.execute(
                "UPDATE messages SET acknowledged=1 WHERE id=?1 AND instance=?2 AND user=?3",
                params![id, self.caller.instance, self.caller.user],
            )?;
        }
        Ok(Answer::Acknowledged {})
    }
}

/// Puts a message into the inbox of a user on an instance.
pub(crate) fn push(work: &Connection, to: &Caller, content: &MessageContent) -> Result<String, Failure> {
    let id = fresh_id("msg")?;
    work.execute(
        "INSERT INTO messages(id, instance, user, content) VALUES(?1, ?2, ?3, ?4)",
        params![id, to.instance, to.user, serde_json::to_string(content)?],
    )?;
    Ok(id)
}
