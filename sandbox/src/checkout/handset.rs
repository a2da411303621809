//! A payment with a phone process: the terminal's side and what the wallet told its app.

use super::{AcquirerError, Checkout, Payment};
use crate::phone::{Call, CallError, Event, Phone};
use crate::pos::{LinkLost, Purchase};

/// A payment as both sides saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhonePayment {
    /// At the terminal and the issuer.
    pub payment: Payment,
    /// From the wallet's one terminal event: 10000 if it handed out its cryptogram, else
    /// `TapFailure::code`. `None` if no command reached the phone.
    pub code: Option<u32>,
}

/// Why a payment with a phone has no result.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The phone.
    #[error(transparent)]
    Phone(#[from] CallError),
    /// The way to the issuer.
    #[error(transparent)]
    Acquirer(#[from] AcquirerError),
    /// The wallet answered the terminal and never told its app how the tap ended.
    #[error("the wallet did not tell its app how the tap ended")]
    NoEvent,
}

impl Checkout {
    /// One payment with `phone`, which leaves the field afterwards. Blocks.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub fn pay_with(&self, phone: &Phone, purchase: &Purchase) -> Result<PhonePayment, CheckoutError> {
        let mut broken = None;
        let mut link = |command: &[u8]| {
            phone.apdu(command).map_err(|error| {
                broken = Some(error);
                LinkLost
            })
        };
        let payment = self.pay(&mut link, purchase)?;
        if let Some(error) = broken {
            return Err(error.into());
        }
        if payment.trace.is_empty() {
            return Ok(PhonePayment { payment, code: None });
        }
        phone.call(Call::FieldLost)?;
        let ended = phone.wait_for(|event| matches!(event, Event::Complete { .. } | Event::Failed { .. }));
        let code = match ended {
            Some(Event::Complete { .. }) => 10_000,
            Some(Event::Failed { code, .. }) => code,
            // Its last word was the answer to the terminal; it owes its app nothing any more.
            _ if phone.has_ended() => return Err(CallError::Gone.into()),
            _ => return Err(CheckoutError::NoEvent),
        };
        Ok(PhonePayment { payment, code: Some(code) })
    }
}
