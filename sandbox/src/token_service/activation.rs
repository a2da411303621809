//! From the application to the active token.

use nfcwallet_core::token_service::operations::{Answer, Decision, Refusal};
use rusqlite::{OptionalExtension, params};

use super::policy::DecisionPolicy;
use super::service::Context;
use super::store::{Failure, declined, fresh_id};
use super::tokens::TokenStage;

/// The fingerprint is the host's text, at most this long.
const FINGERPRINT_LIMIT: usize = 256;

impl Context<'_> {
    pub(crate) fn apply(&self, fingerprint: &str, device_safe: bool, silent: bool) -> Result<Answer, Failure> {
        if !device_safe {
            return Err(Refusal::DeviceUnsafe {}.into());
        }
        if fingerprint.chars().count() > FINGERPRINT_LIMIT {
            return Err(declined("fingerprint_too_long"));
        }
        // One open application a user and device: a newer one replaces it.
        self.work.execute(
            "UPDATE applications SET state='expired' WHERE instance=?1 AND user=?2 AND state IN ('pending', 'step_up')",
            params![self.caller.instance, self.caller.user],
        )?;
        let (state, code, polls) = match &self.policy.decision {
            DecisionPolicy::Automatic => ("approved", "", 0),
            DecisionPolicy::Delayed { polls } => ("pending", "", *polls),
            DecisionPolicy::StepUp => ("step_up", "", 0),
            DecisionPolicy::Declined { code } => ("declined", code.as_str(), 0),
            DecisionPolicy::Expired => ("expired", "", 0),
        };
        let application_id = fresh_id("app")?;
        self.work.execute(
            "INSERT INTO applications(application_id, instance, user, silent, state, code, polls_left, applied_at_ms)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![application_id, self.caller.instance, self.caller.user, silent, state, code, polls, self.now_ms],
        )?;
        Ok(Answer::Applied { application_id, config: self.policy.config.clone() })
    }

    pub(crate) fn application_status(&self, application_id: &str) -> Result<Answer, Failure> {
        let (state, code, polls_left) = self.application(application_id)?;
        if state == "pending" {
            self.work.execute(
                "UPDATE applications SET polls_left=max(polls_left - 1, 0),
                 state=CASE polls_left WHEN 0 THEN 'approved' ELSE state END WHERE application_id=?1",
                [application_id],
            )?;
        }
        let decision = match state.as_str() {
            "pending" if polls_left > 0 => Decision::Pending {},
            "pending" | "approved" | "provisioned" => Decision::Approved {},
            "step_up" => Decision::StepUpRequired {},
            "declined" => Decision::Declined { code },
            _ => Decision::Expired {},
        };
        Ok(Answer::Application { decision })
    }

    pub(crate) fn open_session(&self) -> Result<Answer, Failure> {
        let who = params![self.caller.instance, self.caller.user];
        let polls: u32 =
            self.work
                .query_row("SELECT session_polls FROM bindings WHERE instance=?1 AND user=?2", who, |row| row.get(0))?;
        if polls < self.policy.session_polls {
            self.work
                .execute("UPDATE bindings SET session_polls=session_polls + 1 WHERE instance=?1 AND user=?2", who)?;
            return Ok(Answer::SessionPending {});
        }
        self.work.execute("UPDATE bindings SET session_polls=0 WHERE instance=?1 AND user=?2", who)?;
        let session_id = fresh_id("ses")?;
        let valid_ms = self.policy.session_valid_ms;
        let expires_at_ms = self.now_ms.saturating_add_unsigned(valid_ms);
        self.work.execute(
            "INSERT INTO sessions(session_id, instance, user, expires_at_ms) VALUES(?1, ?2, ?3, ?4)",
            params![session_id, self.caller.instance, self.caller.user, expires_at_ms],
        )?;
        Ok(Answer::Session { session_id, valid_ms })
    }

    /// A session serves only the user and device that opened it, until it expires.
    pub(crate) fn check_session(&self, session_id: &str) -> Result<(), Failure> {
        let expires_at_ms: Option<i64> = self
            .work
            .query_row(
                "SELECT expires_at_ms FROM sessions WHERE session_id=?1 AND instance=?2 AND user=?3",
                params![session_id, self.caller.instance, self.caller.user],
                |row| row.get(0),
            )
            .optional()?;
        match expires_at_ms {
            Some(expires_at_ms) if self.now_ms < expires_at_ms => Ok(()),
            _ => Err(Refusal::SessionRequired {}.into()),
        }
    }

    pub(crate) fn provision(&self, application_id: &str, session_id: &str, count: u32) -> Result<Answer, Failure> {
        let (state, ..) = self.application(application_id)?;
        if !matches!(state.as_str(), "approved" | "provisioned") {
            return Err(declined("not_approved"));
        }
        self.check_session(session_id)?;
        let token_reference = match self.token_of_application(application_id)? {
            None => self.personalise(application_id)?,
            // Asked again under a new request id: the wallet lost the first answer for good.
            Some(token) if token.stage == TokenStage::Inactive => token.token_reference,
            Some(_) => return Err(declined("already_activated")),
        };
        let token = self.token(&token_reference)?;
        let profile = serde_json::from_str(&token.profile)?;
        let credentials = self.issue(&token, count)?;
        Ok(Answer::Provisioned { token_reference, profile: Box::new(profile), credentials })
    }

    pub(crate) fn report_provisioned(&self, token_reference: &str, stored: bool) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        if stored {
            self.work.execute("UPDATE tokens SET reported=1 WHERE token_reference=?1", [token_reference])?;
        } else if token.stage == TokenStage::Inactive {
            self.work.execute("UPDATE tokens SET state='deleted' WHERE token_reference=?1", [token_reference])?;
            self.work.execute(
                "UPDATE applications SET state='declined', code='profile_refused' WHERE application_id=?1",
                [token.application_id],
            )?;
        }
        Ok(Answer::Acknowledged {})
    }

    pub(crate) fn activate(&self, token_reference: &str) -> Result<Answer, Failure> {
        let token = self.token(token_reference)?;
        match token.stage {
            TokenStage::Active => return Ok(Answer::Activated {}),
            TokenStage::Deleted => return Err(Refusal::UnknownToken {}.into()),
            TokenStage::Inactive if !token.reported => return Err(declined("not_reported")),
            TokenStage::Inactive => {}
        }
        if token.activation_polls < self.policy.activation_polls {
            self.work.execute(
                "UPDATE tokens SET activation_polls=activation_polls + 1 WHERE token_reference=?1",
                [token_reference],
            )?;
            return Ok(Answer::ActivationPending {});
        }
        self.retire_other_tokens(token_reference)?;
        self.work.execute("UPDATE tokens SET state='active' WHERE token_reference=?1", [token_reference])?;
        Ok(Answer::Activated {})
    }

    /// State, reason code and remaining polls of the caller's own application.
    fn application(&self, application_id: &str) -> Result<(String, String, u32), Failure> {
        self.work
            .query_row(
                "SELECT state, code, polls_left FROM applications WHERE application_id=?1 AND instance=?2 AND user=?3",
                params![application_id, self.caller.instance, self.caller.user],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?
            .ok_or(Failure::Refused(Refusal::UnknownToken {}))
    }

    fn personalise(&self, application_id: &str) -> Result<String, Failure> {
        let token_reference = fresh_id("tok")?;
        let profile = self.issuer.personalise(&token_reference, &self.caller.user)?;
        self.work.execute(
            "INSERT INTO tokens(token_reference, application_id, instance, user, state, profile)
             VALUES(?1, ?2, ?3, ?4, 'inactive', ?5)",
            params![
                token_reference,
                application_id,
                self.caller.instance,
                self.caller.user,
                serde_json::to_string(&profile)?
            ],
        )?;
        self.work.execute("UPDATE applications SET state='provisioned' WHERE application_id=?1", [application_id])?;
        Ok(token_reference)
    }
}
