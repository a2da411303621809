//! What the card scheme tells the gateway.
//!
//! Each event has an id. The same event again, whoever repeats it, changes nothing; the same id with
//! another content is refused.

use alipayplus::Amount;
use serde::{Deserialize, Serialize};

use super::GatewayError;

/// Characters in an id of the scheme, at most. With the gateway's own prefixes it still fits the 64 of an
/// id on the wire.
const ID_LIMIT: usize = 40;

/// A name that the scheme gives to an event or an authorisation: 1 to 40 letters, digits, `.`, `_`, `:`
/// and `-`. Names of the gateway's own begin with `~`, so that no name of the scheme can be one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemeId(String);

impl SchemeId {
    /// Reads a name of the scheme.
    ///
    /// # Errors
    /// [`GatewayError::Id`] for another length or another character.
    pub fn parse(text: &str) -> Result<Self, GatewayError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        match (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(Self(text.to_owned())),
            false => Err(GatewayError::Id { length: text.len() }),
        }
    }

    /// A name of the gateway's own: `~`, what it is, and what it belongs to.
    pub(super) fn own(what: &str, of: &Self) -> Self {
        Self(format!("~{what}-{of}"))
    }

    /// What the name of a payment begins with that [`Self::beyond`] made.
    pub(super) const BEYOND: &str = "~over-";

    /// The payment for what the clearing `event` collected beyond its authorisation.
    pub(super) fn beyond(event: &Self) -> Self {
        Self(format!("{}{event}", Self::BEYOND))
    }

    /// The `paymentRequestId` of the payment with this name, or of all whose names begin with it.
    pub(super) fn payment_request(name: &str) -> String {
        format!("pay-{name}")
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SchemeId {
    type Error = GatewayError;

    /// Also the gateway's own names: the books hold both.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix('~') {
            Some(_) => Ok(Self(text)),
            None => Self::parse(&text),
        }
    }
}

impl From<SchemeId> for String {
    fn from(id: SchemeId) -> Self {
        id.0
    }
}

impl std::fmt::Display for SchemeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the user pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merchant {
    /// The acquirer's name for it, at most 32 characters.
    pub reference: String,
    /// For people.
    pub name: String,
    /// ISO 18245, four digits.
    pub category: String,
}

/// A terminal asks whether it may sell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorisation {
    /// This event.
    pub id: SchemeId,
    /// What later events refer to.
    pub auth_id: SchemeId,
    /// Who pays: the payment provider's customer id, at most 64 characters.
    pub user: String,
    /// How much, in the merchant's currency.
    pub amount: Amount,
    /// The app's reference (custom data) of the tap.
    pub reference: Option<[u8; 8]>,
    /// To whom.
    pub merchant: Merchant,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The merchant gives up an authorisation, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reversal {
    /// This event.
    pub id: SchemeId,
    /// Of which authorisation.
    pub auth_id: SchemeId,
    /// How much of it; `None` for all that is still open.
    pub part: Option<Amount>,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The merchant collects what was authorised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clearing {
    /// This event.
    pub id: SchemeId,
    /// Of which authorisation.
    pub auth_id: SchemeId,
    /// How much; 0 in a last clearing that collects nothing more.
    pub amount: Amount,
    /// Its place among the clearings of the authorisation, from 1.
    pub sequence: u16,
    /// No further clearing will come.
    pub last: bool,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The scheme gives up an authorisation that nobody cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// This event.
    pub id: SchemeId,
    /// Of which authorisation.
    pub auth_id: SchemeId,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The merchant gives money to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// This event.
    pub id: SchemeId,
    /// Of which authorisation; `None` if it is tied to none.
    pub auth_id: Option<SchemeId>,
    /// To whom: the payment provider's customer id.
    pub user: String,
    /// How much, in the merchant's currency.
    pub amount: Amount,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// Any of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum SchemeEvent {
    /// A terminal asks whether it may sell.
    Authorisation(Authorisation),
    /// The merchant gives up an authorisation, or a part of it.
    Reversal(Reversal),
    /// The merchant collects what was authorised.
    Clearing(Clearing),
    /// The scheme gives up an authorisation.
    Expiry(Expiry),
    /// The merchant gives money to the user.
    Refund(Refund),
}

impl SchemeEvent {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &SchemeId {
        match self {
            Self::Authorisation(event) => &event.id,
            Self::Reversal(event) => &event.id,
            Self::Clearing(event) => &event.id,
            Self::Expiry(event) => &event.id,
            Self::Refund(event) => &event.id,
        }
    }

    /// The authorisation that it is about, or refers to.
    #[must_use]
    pub fn auth_id(&self) -> Option<&SchemeId> {
        match self {
            Self::Authorisation(event) => Some(&event.auth_id),
            Self::Reversal(event) => Some(&event.auth_id),
            Self::Clearing(event) => Some(&event.auth_id),
            Self::Expiry(event) => Some(&event.auth_id),
            Self::Refund(event) => event.auth_id.as_ref(),
        }
    }

    /// When it happened, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        match self {
            Self::Authorisation(event) => event.time_ms,
            Self::Reversal(event) => event.time_ms,
            Self::Clearing(event) => event.time_ms,
            Self::Expiry(event) => event.time_ms,
            Self::Refund(event) => event.time_ms,
        }
    }

    /// The same, whenever it happened.
    pub(super) fn is_same_but_for_time(&self, other: &Self) -> bool {
        let mut timed = other.clone();
        let time_ms = match &mut timed {
            Self::Authorisation(event) => &mut event.time_ms,
            Self::Reversal(event) => &mut event.time_ms,
            Self::Clearing(event) => &mut event.time_ms,
            Self::Expiry(event) => &mut event.time_ms,
            Self::Refund(event) => &mut event.time_ms,
        };
        *time_ms = self.time_ms();
        timed == *self
    }

    /// The amount that it names.
    #[must_use]
    pub fn amount(&self) -> Option<Amount> {
        match self {
            Self::Authorisation(event) => Some(event.amount),
            Self::Reversal(event) => event.part,
            Self::Clearing(event) => Some(event.amount),
            Self::Expiry(_) => None,
            Self::Refund(event) => Some(event.amount),
        }
    }

    /// That its amount can be booked: 1 or more, and 0 only where nothing more is collected.
    pub(super) fn check(&self) -> Result<(), GatewayError> {
        let Some(amount) = self.amount() else { return Ok(()) };
        let nothing_more = matches!(self, Self::Clearing(clearing) if clearing.last);
        match amount.value {
            0 if nothing_more => Ok(()),
            1..=EVENT_LIMIT => Ok(()),
            value => Err(GatewayError::Amount { value }),
        }
    }
}

/// The largest amount of an event, in the smallest unit. Sums of more events than will ever come, in the
/// smallest currency of a rate, still fit the 63 bits of a database's integer.
pub(super) const EVENT_LIMIT: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_scheme_is_never_one_of_ours() {
        for refused in ["", "~expiry-1", "a b", "ä", &"x".repeat(41)] {
            assert!(SchemeId::parse(refused).is_err(), "{refused}");
        }
        assert_eq!(SchemeId::parse("MC:2026-11.22_1").unwrap().as_str(), "MC:2026-11.22_1");
        let longest = SchemeId::parse(&"x".repeat(40)).unwrap();
        assert!(format!("refund-{}", SchemeId::own("window", &longest)).len() <= 64);
    }
}
