//! The money side, without HTTP: what the card scheme tells the gateway, and what users have.

use std::collections::BTreeMap;

use alipayplus::Amount;
use mpp_server::accounts::{AccountError, TopUp, UserStatus};
use serde::Serialize;

use super::Control;
use crate::gateway::{
    Clearing, Expiry, Gateway, GatewayError, Payment, Played, Refund, Reversal, SchemeEvent, SchemeId,
};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No tap has this authorisation.
    #[error("no such authorisation")]
    UnknownAuthorisation,
    /// Nobody has this account: users appear with their first login.
    #[error("no such user: who has never logged in has no account")]
    UnknownUser,
    /// A reversal of more than there is to give up. A scheme may tell it all the same, and the gateway then takes
    /// it for all; here it is a slip.
    #[error("amount: {asked} is more than what is authorised and still open, {open}")]
    TooMuch {
        /// Asked for.
        asked: Amount,
        /// Authorised, and neither cleared nor released.
        open: Amount,
    },
    /// The amount cannot be moved.
    #[error("{0}")]
    Invalid(String),
    /// The gateway said no.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The provider's server said no.
    #[error("the provider's server: {0}")]
    Provider(String),
    /// The machine has no randomness.
    #[error("the machine has no randomness")]
    Randomness,
}

/// A user's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Whose.
    pub user: String,
    /// What is on it.
    pub balance: Amount,
    /// `active`, `frozen` or `closed`.
    pub status: String,
    /// The user's identity is known well enough to pay.
    pub kyc: bool,
}

/// A tap's payment as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentView {
    /// The authorisation, by which everything later names it.
    pub authorisation: String,
    /// Who paid.
    pub user: String,
    /// `pending`, `paid`, `declined`, `cancelling`, `cancelled`, `reclaiming` or `reclaimed`.
    pub state: &'static str,
    /// What the merchant asked for.
    pub amount: Amount,
    /// What the user paid.
    pub pay_to: Amount,
    /// Authorised and not cleared, in minor units of the merchant's currency.
    pub held: u64,
    /// Cleared.
    pub cleared: u64,
    /// Given back.
    pub refunded: u64,
    /// Cleared beyond what was held, and charged to nobody.
    pub shortfall: u64,
    /// `paymentRequestId` towards the provider.
    pub payment_request_id: String,
    /// The provider's name of it.
    pub payment_id: Option<String>,
    /// Why it failed.
    pub code: Option<String>,
}

/// What an event came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// The event, for a repeat.
    pub event: String,
    /// The row of the conversion table (`docs/conversion.md`).
    pub row: &'static str,
    /// Event and payment, in the row's words.
    pub why: &'static str,
    /// What the row does beside its calls.
    pub effect: String,
    /// The calls to the provider that it asked for.
    pub calls: Vec<CallView>,
}

/// A call to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallView {
    /// For example `refund` or `adjustRefund EXCEED_REFUND`.
    pub api: &'static str,
    /// Its idempotency id.
    pub request_id: String,
    /// Over how much, in the merchant's currency; 0 for a call that names no amount, and left out in JSON.
    #[serde(skip_serializing_if = "names_none")]
    pub amount: Amount,
    /// `due` until there is a final answer, then `done`, `failed` or `dropped`.
    pub state: &'static str,
    /// The last result code.
    pub code: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
}

/// A cancel or an inquiry is of a whole payment, and no other call is over nothing.
fn names_none(amount: &Amount) -> bool {
    amount.value == 0
}

impl EventView {
    fn of(event: &SchemeEvent, played: &Played) -> Self {
        let calls = played.calls.iter().map(|call| CallView {
            api: call.kind.name(),
            request_id: call.request_id.clone(),
            amount: call.amount,
            state: call.state.name(),
            code: call.code.clone(),
            attempts: call.attempts,
        });
        Self {
            event: event.id().as_str().to_owned(),
            row: played.row.name(),
            why: played.row.words(),
            effect: played.row.effect(),
            calls: calls.collect(),
        }
    }

    /// Every call was answered with success.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.calls.iter().all(|call| call.state == "done")
    }
}

impl PaymentView {
    fn of(payment: Payment, shortfalls: &BTreeMap<SchemeId, u64>) -> Self {
        Self {
            shortfall: shortfalls.get(&payment.auth_id).copied().unwrap_or_default(),
            amount: payment.amount(),
            authorisation: payment.auth_id.as_str().to_owned(),
            user: payment.user,
            state: payment.standing.state.name(),
            pay_to: payment.pay_to,
            held: payment.standing.held.saturating_sub(payment.standing.cleared),
            cleared: payment.standing.cleared,
            refunded: payment.standing.refunded,
            payment_request_id: payment.request_id,
            payment_id: payment.payment_id,
            code: payment.code,
        }
    }
}

/// What happens to an authorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorisationEvent {
    /// The merchant gives it up: all of it, or a part.
    Reversal(Option<Amount>),
    /// The merchant collects.
    Clearing {
        /// How much.
        amount: Amount,
        /// Its place among the clearings, from 1.
        sequence: u16,
        /// No further clearing will come.
        last: bool,
    },
    /// The scheme gives it up.
    Expiry,
    /// The merchant gives money back, up to the payment or beyond it.
    Refund(Amount),
}

impl Control {
    /// Something happens to an authorisation, now. `id` names the event; drawn if absent.
    ///
    /// # Errors
    /// [`DeskError::TooMuch`] for a reversal of more than is open; else another [`DeskError`].
    pub async fn scheme(
        &self,
        authorisation: &str,
        id: Option<&str>,
        what: AuthorisationEvent,
    ) -> Result<EventView, DeskError> {
        let payment = self.payment_of(SchemeId::parse(authorisation))?;
        let (id, time_ms) = (self.named(id)?, self.clock.now_ms());
        let auth_id = payment.auth_id.clone();
        self.play(match what {
            AuthorisationEvent::Reversal(part) => SchemeEvent::Reversal(Reversal { id, auth_id, part, time_ms }),
            AuthorisationEvent::Clearing { amount, sequence, last } => {
                SchemeEvent::Clearing(Clearing { id, auth_id, amount, sequence, last, time_ms })
            }
            AuthorisationEvent::Expiry => SchemeEvent::Expiry(Expiry { id, auth_id, time_ms }),
            AuthorisationEvent::Refund(amount) => {
                let (auth_id, user) = (Some(auth_id), payment.user);
                SchemeEvent::Refund(Refund { id, auth_id, user, amount, time_ms })
            }
        })
        .await
    }

    /// A merchant gives `user` money that is tied to no payment.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn unlinked_refund(&self, user: &str, id: Option<&str>, amount: Amount) -> Result<EventView, DeskError> {
        let (id, time_ms) = (self.named(id)?, self.clock.now_ms());
        self.play(SchemeEvent::Refund(Refund { id, auth_id: None, user: user.to_owned(), amount, time_ms })).await
    }

    /// All taps that came to the gateway, oldest first, and the payments for what was cleared beyond one.
    ///
    /// # Errors
    /// [`DeskError::Gateway`].
    pub fn taps(&self) -> Result<Vec<PaymentView>, DeskError> {
        let books = self.gateway.books();
        let shortfalls = books.shortfalls()?;
        Ok(books.payments()?.into_iter().map(|payment| PaymentView::of(payment, &shortfalls)).collect())
    }

    /// One of [`Control::taps`].
    ///
    /// # Errors
    /// [`DeskError::UnknownAuthorisation`].
    pub fn tap(&self, authorisation: &str) -> Result<PaymentView, DeskError> {
        let payment = self.payment_of(SchemeId::try_from(authorisation.to_owned()))?;
        Ok(PaymentView::of(payment, &self.gateway.books().shortfalls()?))
    }

    /// A user's account.
    ///
    /// # Errors
    /// [`DeskError::UnknownUser`].
    pub async fn account(&self, user: &str) -> Result<AccountView, DeskError> {
        let found = self.accounts.user(user).await.map_err(|error| DeskError::Provider(error.to_string()))?;
        let found = found.ok_or(DeskError::UnknownUser)?;
        Ok(AccountView {
            balance: found.balance(),
            user: found.customer_id,
            status: found.status.as_str().to_ascii_lowercase(),
            kyc: found.kyc,
        })
    }

    /// Puts money on an account.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn top_up(&self, user: &str, amount: Amount) -> Result<AccountView, DeskError> {
        let top_up = TopUp { id: drawn()?, customer_id: user.to_owned(), amount };
        self.accounts.top_up(top_up).await?;
        self.account(user).await
    }

    /// Freezes, closes or opens an account.
    ///
    /// # Errors
    /// [`DeskError::UnknownUser`].
    pub async fn set_status(&self, user: &str, status: UserStatus) -> Result<AccountView, DeskError> {
        self.accounts.set_status(user, status).await?;
        self.account(user).await
    }

    async fn play(&self, event: SchemeEvent) -> Result<EventView, DeskError> {
        let gateway: &Gateway = &self.gateway;
        let played = gateway.play_if(&event, |payment| check_reversal(&event, payment)).await??;
        Ok(EventView::of(&event, &played))
    }

    fn payment_of(&self, authorisation: Result<SchemeId, GatewayError>) -> Result<Payment, DeskError> {
        let id = authorisation.map_err(|_| DeskError::UnknownAuthorisation)?;
        self.gateway.books().payment(&id)?.ok_or(DeskError::UnknownAuthorisation)
    }

    fn named(&self, id: Option<&str>) -> Result<SchemeId, DeskError> {
        let name = id.map_or_else(drawn, |id| Ok(id.to_owned()))?;
        Ok(SchemeId::parse(&name)?)
    }
}

fn check_reversal(event: &SchemeEvent, payment: Option<&Payment>) -> Result<(), DeskError> {
    let (SchemeEvent::Reversal(Reversal { part: Some(asked), .. }), Some(payment)) = (event, payment) else {
        return Ok(());
    };
    let open = Amount::new(payment.currency, payment.standing.reversible());
    match asked.currency == open.currency && asked.value > open.value {
        true => Err(DeskError::TooMuch { asked: *asked, open }),
        false => Ok(()),
    }
}

/// A name for an event that has none.
fn drawn() -> Result<String, DeskError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| DeskError::Randomness)?;
    Ok(format!("event-{}", hex::encode(bytes)))
}

impl From<AccountError> for DeskError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoUser => Self::UnknownUser,
            AccountError::Currency(_) | AccountError::Amount => Self::Invalid(error.to_string()),
            error => Self::Provider(error.to_string()),
        }
    }
}
