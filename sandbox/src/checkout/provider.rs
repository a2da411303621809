//! After the issuer's yes: the gateway asks the payment provider for the user's money.

use std::sync::Arc;

use alipayplus::{Amount, Currency, ResultCode};
use tokio::runtime::Handle;

use super::AcquirerError;
use crate::gateway::{self, Gateway, Merchant, SchemeEvent, SchemeId, Verdict};
use crate::issuer::{Authorisation, Decision, DeclineReason, ProviderAnswer};
use crate::wait::wait_for;
use crate::with_causes;

/// Tag 9C of a refund (ISO 8583, processing code 20).
const REFUND: u8 = 0x20;

/// Who sells at every terminal of the sandbox, as the gateway knows it.
const MERCHANT: &str = "SANDBOX_MERCHANT";

/// What of a tap the payment provider is asked about.
#[derive(Debug)]
pub(super) struct Sale<'a> {
    pub(super) amount_minor: u64,
    /// ISO 4217 numeric.
    pub(super) currency: u16,
    /// Tag 9C.
    pub(super) kind: u8,
    pub(super) merchant_name: &'a str,
    pub(super) merchant_category: u16,
    pub(super) now_ms: i64,
}

/// The way to the payment provider.
#[derive(Debug, Clone)]
pub(super) struct ProviderLine {
    pub(super) gateway: Arc<Gateway>,
    pub(super) runtime: Handle,
}

impl ProviderLine {
    /// Asks the provider of the user whose tap the issuer approved, and carries its answer into `answer`.
    /// Nobody asks for nothing: an amount of 0, as at a transit gate, is the issuer's alone. Blocks.
    pub(super) fn complete(&self, mut answer: Authorisation, sale: &Sale<'_>) -> Result<Authorisation, AcquirerError> {
        let Some(user) = answer.user.clone().filter(|_| answer.is_approved() && sale.amount_minor > 0) else {
            return Ok(answer);
        };
        let provider = match Currency::from_numeric(sale.currency) {
            Some(currency) => {
                let amount = Amount::new(currency, sale.amount_minor);
                self.ask(event(&user, amount, answer.reference, sale)?)?
            }
            None => ProviderAnswer::declined(ResultCode::CurrencyNotSupport),
        };
        if !provider.is_paid() {
            answer.decision = Decision::Declined(DeclineReason::Provider);
            // It says "approved".
            answer.response_cryptogram = None;
        }
        answer.provider = Some(provider);
        Ok(answer)
    }

    /// On the runtime, because the terminal may be on any thread.
    fn ask(&self, event: SchemeEvent) -> Result<ProviderAnswer, AcquirerError> {
        let gateway = Arc::clone(&self.gateway);
        let answer = wait_for(&self.runtime, async move { answer_to(&gateway, &event).await });
        let failed = |error: &(dyn std::error::Error + 'static)| AcquirerError::Gateway { reason: with_causes(error) };
        answer.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

async fn answer_to(gateway: &Gateway, event: &SchemeEvent) -> Result<ProviderAnswer, gateway::GatewayError> {
    let SchemeEvent::Authorisation(asked) = event else {
        // A refund at a terminal: the merchant gives, whoever the provider is.
        gateway.play(event).await?;
        let authorisation = Some(event.id().as_str().to_owned());
        return Ok(ProviderAnswer { authorisation, payment_id: None, code: ResultCode::Success });
    };
    let authorisation = Some(asked.auth_id.as_str().to_owned());
    Ok(match gateway.authorise(asked).await? {
        Verdict::Approved { payment_id } => {
            ProviderAnswer { authorisation, payment_id: Some(payment_id), code: ResultCode::Success }
        }
        Verdict::Declined { code } => ProviderAnswer { authorisation, payment_id: None, code },
    })
}

fn event(
    user: &str,
    amount: Amount,
    reference: Option<[u8; 8]>,
    sale: &Sale<'_>,
) -> Result<SchemeEvent, AcquirerError> {
    let name = drawn_name()?;
    let (user, time_ms) = (user.to_owned(), sale.now_ms);
    if sale.kind == REFUND {
        return Ok(SchemeEvent::Refund(gateway::Refund { id: name, auth_id: None, user, amount, time_ms }));
    }
    let merchant = Merchant {
        reference: MERCHANT.to_owned(),
        name: Some(sale.merchant_name).filter(|name| !name.is_empty()).unwrap_or("Sandbox").to_owned(),
        category: format!("{:04}", sale.merchant_category),
    };
    let auth_id = name.clone();
    Ok(SchemeEvent::Authorisation(gateway::Authorisation {
        id: name,
        auth_id,
        user,
        amount,
        reference,
        merchant,
        time_ms,
    }))
}

/// A new name for an authorisation.
fn drawn_name() -> Result<SchemeId, AcquirerError> {
    let failed = |reason: String| AcquirerError::Gateway { reason };
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| failed("the machine has no randomness".to_owned()))?;
    SchemeId::parse(&format!("tap-{}", hex::encode(bytes))).map_err(|error| failed(error.to_string()))
}
