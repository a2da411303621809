//! What the other parties do to tokens, and what a test may look at.

use std::collections::BTreeMap;

use nfcwallet_core::card::profile::Profile;
use nfcwallet_core::token::Suspender;
use nfcwallet_core::token_service::operations::{Decision, MessageContent};
use nfcwallet_core::wallet::RemoteConfig;
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::issuer::{Personalisation, TokenStanding};

use super::inbox::push;
use super::service::{Caller, TokenService, locked};
use super::store::Failure;
use super::tokens::{TOKEN_COLUMNS, TokenRow, TokenStage, find, resume, suspend, suspended_by};

/// Why an administrative call did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No such token, or it is deleted.
    #[error("no such token")]
    UnknownToken,
    /// The user has no application that waits.
    #[error("no application of this user waits for a decision")]
    NoApplication,
    /// The user has no device.
    #[error("no device of this user is known")]
    NoDevice,
    /// A value is out of range.
    #[error("{0}")]
    Invalid(String),
    /// The service failed.
    #[error("the token service failed: {0}")]
    Failed(String),
}

impl From<Failure> for AdminError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Failed(format!("{refusal:?}")),
            Failure::Broken(reason) => Self::Failed(reason),
        }
    }
}

impl From<rusqlite::Error> for AdminError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Everything the service knows that a test may ask about. No key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceState {
    /// The service's time.
    pub now_ms: i64,
    /// All tokens, oldest first.
    pub tokens: Vec<TokenView>,
    /// All applications, oldest first.
    pub applications: Vec<ApplicationView>,
    /// Messages that no wallet has acknowledged, oldest first.
    pub messages: Vec<MessageView>,
    /// How often each operation was asked.
    pub operations: BTreeMap<String, u64>,
}

/// A token and its stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Its name.
    pub token_reference: String,
    /// Its user.
    pub user: String,
    /// Its wallet instance, hex.
    pub instance: String,
    /// `inactive`, `active` or `deleted`.
    pub state: &'static str,
    /// Who suspends it.
    pub suspended_by: Vec<Suspender>,
    /// Credentials handed out.
    pub issued: u32,
    /// Reported as used.
    pub used: u32,
    /// Reported as discarded.
    pub discarded: u32,
    /// The counter of the next credential.
    pub next_atc: u32,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplicationView {
    /// Its name.
    pub application_id: String,
    /// Its user.
    pub user: String,
    /// Its wallet instance, hex.
    pub instance: String,
    /// `pending`, `step_up`, `approved`, `provisioned`, `declined` or `expired`.
    pub state: String,
    /// Silent preparation.
    pub silent: bool,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Its name.
    pub id: String,
    /// Whose.
    pub user: String,
    /// On which wallet instance, hex.
    pub instance: String,
    /// Its kind, for example `suspend`.
    pub kind: String,
}

/// A credential, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialView {
    /// Its counter.
    pub atc: u16,
    /// By the service's clock.
    pub expires_at_ms: i64,
    /// `used` or `discarded`, once the wallet has reported it.
    pub outcome: Option<String>,
}

impl TokenService {
    /// Suspends a token in a party's name and tells the wallet.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn suspend(&self, token_reference: &str, by: Suspender) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            suspend(work, &token.token_reference, by)?;
            push(work, &token.owner, &MessageContent::Suspend { token_reference: token.token_reference.clone(), by })
        })
    }

    /// Lifts a party's suspension and tells the wallet.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn resume(&self, token_reference: &str, by: Suspender) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            resume(work, &token.token_reference, by)?;
            push(work, &token.owner, &MessageContent::Resume { token_reference: token.token_reference.clone(), by })
        })
    }

    /// Deletes a token and tells the wallet.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn delete_token(&self, token_reference: &str) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            work.execute("UPDATE tokens SET state='deleted' WHERE token_reference=?1", [&token.token_reference])?;
            push(work, &token.owner, &MessageContent::Delete { token_reference: token.token_reference.clone() })
        })
    }

    /// Asks the wallet to check its stock.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn push_replenish(&self, token_reference: &str) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            push(work, &token.owner, &MessageContent::Replenish { token_reference: token.token_reference.clone() })
        })
    }

    /// Sends a new profile: `profile`, or what the issuer personalises now.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn push_profile(&self, token_reference: &str, profile: Option<Profile>) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            let profile = match profile {
                Some(profile) => profile,
                None => self.issuer.personalise(&token.token_reference, &token.owner.user)?,
            };
            send_profile(work, token, profile)
        })
    }

    /// Lets the issuer make the card anew as `personalisation` says, and sends it.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`]; [`AdminError::Failed`] if the issuer cannot make such a card.
    pub fn personalise(&self, token_reference: &str, personalisation: &Personalisation) -> Result<(), AdminError> {
        self.change(token_reference, |work, token| {
            let profile = self.issuer.personalise_as(&token.token_reference, &token.owner.user, personalisation)?;
            send_profile(work, token, profile)
        })
    }

    /// Makes `config` the service's configuration and sends it to every wallet. It is sent even if it
    /// is out of range: refusing it is the wallet's part.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub fn push_config(&self, config: RemoteConfig) -> Result<(), AdminError> {
        let mut policy = self.policy();
        policy.config = Some(config.clone());
        self.set_policy(policy);
        let mut store = locked(&self.store);
        let work = store.begin()?;
        for device in devices(&work, None)? {
            push(&work, &device, &MessageContent::Config { config: config.clone() })?;
        }
        Ok(work.commit()?)
    }

    /// Puts any message into the inbox of each of the user's devices.
    ///
    /// # Errors
    /// [`AdminError::NoDevice`].
    pub fn push_message(&self, user: &str, content: &MessageContent) -> Result<(), AdminError> {
        let mut store = locked(&self.store);
        let work = store.begin()?;
        let devices = devices(&work, Some(user))?;
        if devices.is_empty() {
            return Err(AdminError::NoDevice);
        }
        for device in devices {
            push(&work, &device, content)?;
        }
        Ok(work.commit()?)
    }

    /// Decides the user's newest application that waits: the end of a step-up, or of a wait.
    ///
    /// # Errors
    /// [`AdminError::NoApplication`]; [`AdminError::Invalid`] for a decision that decides nothing.
    pub fn decide(&self, user: &str, decision: &Decision) -> Result<(), AdminError> {
        let (state, code) = match decision {
            Decision::Approved {} => ("approved", ""),
            Decision::Declined { code } => ("declined", code.as_str()),
            Decision::Expired {} => ("expired", ""),
            Decision::Pending {} | Decision::StepUpRequired {} => {
                return Err(AdminError::Invalid("the decision must be approved, declined or expired".to_owned()));
            }
        };
        let mut store = locked(&self.store);
        let work = store.begin()?;
        let changed = work.execute(
            "UPDATE applications SET state=?2, code=?3 WHERE seq=
             (SELECT max(seq) FROM applications WHERE user=?1 AND state IN ('pending', 'step_up'))",
            params![user, state, code],
        )?;
        if changed == 0 {
            return Err(AdminError::NoApplication);
        }
        Ok(work.commit()?)
    }

    /// What the service knows.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub fn state(&self) -> Result<ServiceState, AdminError> {
        let mut store = locked(&self.store);
        let work = store.begin()?;
        Ok(ServiceState {
            now_ms: self.clock().now_ms(),
            tokens: token_views(&work)?,
            applications: rows(&work, APPLICATIONS, |row| {
                Ok(ApplicationView {
                    application_id: row.get(0)?,
                    user: row.get(1)?,
                    instance: row.get(2)?,
                    state: row.get(3)?,
                    silent: row.get(4)?,
                })
            })?,
            messages: rows(&work, MESSAGES, |row| {
                let kind = kind_of(&row.get::<_, String>(3)?);
                Ok(MessageView { id: row.get(0)?, user: row.get(1)?, instance: row.get(2)?, kind })
            })?,
            operations: self.operations_seen(),
        })
    }

    /// Every credential of a token, by counter.
    ///
    /// # Errors
    /// [`AdminError::UnknownToken`].
    pub fn credentials(&self, token_reference: &str) -> Result<Vec<CredentialView>, AdminError> {
        let mut store = locked(&self.store);
        let work = store.begin()?;
        find(&work, token_reference)?.ok_or(AdminError::UnknownToken)?;
        let mut statement =
            work.prepare("SELECT atc, expires_at_ms, outcome FROM credentials WHERE token_reference=?1 ORDER BY atc")?;
        let views = statement.query_map([token_reference], |row| {
            Ok(CredentialView { atc: row.get(0)?, expires_at_ms: row.get(1)?, outcome: row.get(2)? })
        })?;
        Ok(views.collect::<Result<_, _>>()?)
    }

    /// How a token stands, for the issuer's decision. An unknown token counts as deleted, and so does
    /// every token while the database fails.
    #[must_use]
    pub fn standing(&self, token_reference: &str) -> TokenStanding {
        let mut store = locked(&self.store);
        let mut look = || -> Result<TokenStanding, Failure> {
            let work = store.begin()?;
            Ok(match find(&work, token_reference)?.map(|token| token.stage) {
                Some(TokenStage::Inactive) => TokenStanding::Inactive,
                Some(TokenStage::Active) if suspended_by(&work, token_reference)?.is_empty() => TokenStanding::Active,
                Some(TokenStage::Active) => TokenStanding::Suspended,
                Some(TokenStage::Deleted) | None => TokenStanding::Deleted,
            })
        };
        look().unwrap_or(TokenStanding::Deleted)
    }

    fn change(
        &self,
        token_reference: &str,
        change: impl FnOnce(&Connection, &TokenRow) -> Result<String, Failure>,
    ) -> Result<(), AdminError> {
        let mut store = locked(&self.store);
        let work = store.begin()?;
        let token = find(&work, token_reference)?
            .filter(|token| token.stage != TokenStage::Deleted)
            .ok_or(AdminError::UnknownToken)?;
        change(&work, &token)?;
        Ok(work.commit()?)
    }
}

/// Makes `profile` the token's and tells its wallet.
fn send_profile(work: &Connection, token: &TokenRow, profile: Profile) -> Result<String, Failure> {
    work.execute(
        "UPDATE tokens SET profile=?2 WHERE token_reference=?1",
        params![token.token_reference, serde_json::to_string(&profile)?],
    )?;
    let token_reference = token.token_reference.clone();
    push(work, &token.owner, &MessageContent::Profile { token_reference, profile: Box::new(profile) })
}

const APPLICATIONS: &str = "SELECT application_id, user, instance, state, silent FROM applications ORDER BY seq";
const MESSAGES: &str = "SELECT id, user, instance, content FROM messages WHERE acknowledged=0 ORDER BY seq";

/// The `kind` of a message's content. The bundled SQLite is built without its functions for JSON.
fn kind_of(content: &str) -> String {
    let content: serde_json::Value = serde_json::from_str(content).unwrap_or_default();
    content.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

fn rows<T>(
    work: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, AdminError> {
    Ok(work.prepare(sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
}

fn devices(work: &Connection, user: Option<&str>) -> Result<Vec<Caller>, AdminError> {
    let mut statement = work.prepare("SELECT instance, user FROM bindings WHERE ?1 IS NULL OR user=?1")?;
    let found = statement.query_map([user], |row| Ok(Caller { instance: row.get(0)?, user: row.get(1)? }))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn token_views(work: &Connection) -> Result<Vec<TokenView>, AdminError> {
    let tokens = rows(work, &format!("SELECT {TOKEN_COLUMNS} FROM tokens ORDER BY seq"), TokenRow::read)?;
    tokens.into_iter().map(|token| token_view(work, token)).collect()
}

fn token_view(work: &Connection, token: TokenRow) -> Result<TokenView, AdminError> {
    let (issued, used, discarded) = work.query_row(
        "SELECT count(*), count(*) FILTER (WHERE outcome='used'), count(*) FILTER (WHERE outcome='discarded')
         FROM credentials WHERE token_reference=?1",
        [&token.token_reference],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let state = match token.stage {
        TokenStage::Inactive => "inactive",
        TokenStage::Active => "active",
        TokenStage::Deleted => "deleted",
    };
    Ok(TokenView {
        suspended_by: suspended_by(work, &token.token_reference)?,
        token_reference: token.token_reference,
        user: token.owner.user,
        instance: token.owner.instance,
        state,
        issued,
        used,
        discarded,
        next_atc: token.next_atc,
    })
}
