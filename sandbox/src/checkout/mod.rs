//! One payment: a card or phone at the terminal, then the issuer's answer.
//!
//! Owns the order of the two and what is told about them. The terminal is `pos`, the issuer stands
//! behind an [`Acquirer`].
//!
//! ```
//! use nfcwallet_sandbox::checkout::PaymentOutcome;
//! use nfcwallet_sandbox::pos::{LinkLost, Purchase};
//! use nfcwallet_sandbox::servers::{Sandbox, SandboxConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::start(SandboxConfig::default())?;
//! let checkout = sandbox.checkout();
//! let purchase = Purchase::new(19_99, 978, 1_780_000_000_000, [1, 2, 3, 4]);
//! // Nobody holds a card to the reader.
//! let payment = checkout.pay(&mut |_command| Err(LinkLost), &purchase)?;
//! assert_eq!(payment.outcome, PaymentOutcome::LinkLost);
//! # Ok(())
//! # }
//! ```

mod acquirer;
mod amount;
mod handset;
mod provider;

use std::sync::Arc;

pub use acquirer::{Acquirer, AcquirerError, CaKeys, HttpAcquirer, IssuerAcquirer};
pub use amount::{Amount, AmountError};
pub use handset::{CheckoutError, PhonePayment};

use alipayplus::ResultCode;

use crate::issuer::{Authorisation, CaPublicKey, Decision, DeclineReason, ProviderAnswer};
use crate::pos::{DeclinedBy, Exchange, Link, NotAccepted, Outcome, Purchase, Terminal};

/// A terminal and its line to the issuer.
#[derive(Clone)]
pub struct Checkout {
    terminal: Terminal,
    acquirer: Arc<dyn Acquirer>,
}

impl std::fmt::Debug for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checkout")
    }
}

/// How a payment went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// How it ended.
    pub outcome: PaymentOutcome,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217 numeric.
    pub currency: u16,
    /// What the terminal found of the card's signature; `None` if there was none to check.
    pub cda_verified: Option<bool>,
    /// What the terminal found of the relay resistance data; `None` if there were none to check.
    pub relay_resisted: Option<bool>,
    /// What the issuer found of the cryptogram, or of the checksums in mag-stripe mode; `None` if it was
    /// not asked.
    pub cryptogram_verified: Option<bool>,
    /// The app's reference, as it reached the issuer.
    pub reference: Option<[u8; 8]>,
    /// What the payment provider said; `None` if it was not asked.
    pub provider: Option<ProviderAnswer>,
    /// Every command and answer.
    pub trace: Vec<Exchange>,
}

/// How a payment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// By the issuer and the user's payment provider.
    Approved,
    /// By the issuer; the cryptogram is spent.
    DeclinedByIssuer {
        /// The issuer's reason.
        reason: DeclineReason,
    },
    /// By the user's payment provider, after the issuer's yes; the cryptogram is spent.
    DeclinedByProvider {
        /// The provider's reason.
        code: ResultCode,
    },
    /// At the terminal, by the card, the terminal or a wrong signature.
    Declined(DeclinedBy),
    /// The phone wants its user: look at it, then tap again.
    SeePhone,
    /// This is no card that the terminal can use.
    NotAccepted(NotAccepted),
    /// The card left the field.
    LinkLost,
}

impl PaymentOutcome {
    /// Its name in reports and scenarios.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::DeclinedByIssuer { .. } => "declined_by_issuer",
            Self::DeclinedByProvider { .. } => "declined_by_provider",
            Self::Declined(_) => "declined",
            Self::SeePhone => "see_phone",
            Self::NotAccepted(_) => "not_accepted",
            Self::LinkLost => "link_lost",
        }
    }

    /// Money moves.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        matches!(self, Self::Approved)
    }
}

impl std::fmt::Display for PaymentOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approved => f.write_str("approved by the issuer"),
            Self::DeclinedByIssuer { reason } => write!(f, "declined by the issuer: {reason}"),
            Self::DeclinedByProvider { code } => {
                write!(f, "declined by the payment provider: {} ({code})", code.meaning())
            }
            Self::Declined(by) => write!(f, "{by}"),
            Self::SeePhone => f.write_str("the terminal says: see phone"),
            Self::NotAccepted(reason) => write!(f, "not accepted by the terminal: {reason}"),
            Self::LinkLost => f.write_str("the field was lost"),
        }
    }
}

impl Checkout {
    /// A terminal that trusts `ca_keys` and asks `acquirer`.
    #[must_use]
    pub fn new(ca_keys: impl IntoIterator<Item = CaPublicKey>, acquirer: Arc<dyn Acquirer>) -> Self {
        Self { terminal: Terminal::new(ca_keys), acquirer }
    }

    /// One tap through `link`, and the issuer's answer if the card made a cryptogram for it. Blocks.
    ///
    /// # Errors
    /// [`AcquirerError`]: the card has answered, and nobody knows what the issuer says.
    pub fn pay(&self, link: &mut Link<'_>, purchase: &Purchase) -> Result<Payment, AcquirerError> {
        let tap = self.terminal.tap(link, purchase);
        let (outcome, answer) = match tap.outcome {
            Outcome::Online(request) => {
                let answer = self.acquirer.authorise(&request)?;
                (of(&answer), Some(answer))
            }
            Outcome::OnlineByTrack(request) => {
                let answer = self.acquirer.authorise_track(&request)?;
                (of(&answer), Some(answer))
            }
            Outcome::Declined(by) => (PaymentOutcome::Declined(by), None),
            Outcome::SeePhone => (PaymentOutcome::SeePhone, None),
            Outcome::NotAccepted(reason) => (PaymentOutcome::NotAccepted(reason), None),
            Outcome::LinkLost => (PaymentOutcome::LinkLost, None),
        };
        Ok(Payment {
            outcome,
            amount_minor: purchase.amount_minor,
            currency: purchase.currency,
            cda_verified: tap.cda_verified,
            relay_resisted: tap.relay_resisted,
            cryptogram_verified: answer.as_ref().map(|answer| answer.cryptogram_verified),
            reference: answer.as_ref().and_then(|answer| answer.reference),
            provider: answer.and_then(|answer| answer.provider),
            trace: tap.trace,
        })
    }
}

fn of(answer: &Authorisation) -> PaymentOutcome {
    match (answer.decision, &answer.provider) {
        (Decision::Approved, _) => PaymentOutcome::Approved,
        (Decision::Declined(DeclineReason::Provider), Some(provider)) => {
            PaymentOutcome::DeclinedByProvider { code: provider.code.clone() }
        }
        (Decision::Declined(reason), _) => PaymentOutcome::DeclinedByIssuer { reason },
    }
}
