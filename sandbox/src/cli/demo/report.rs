//! What the demo found, for programs.

use nfcwallet_sandbox::checkout::{Amount, PhonePayment};
use nfcwallet_sandbox::control::BooksView;
use nfcwallet_sandbox::with_causes;
use serde::Serialize;

use crate::cli::activation::Activation;

/// The object of `--json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// For `--seed`.
    pub(crate) seed: u64,
    /// How the token came to the phone.
    pub(crate) activation: ActivationReport,
    /// Every tap, in order.
    pub(crate) taps: Vec<TapReport>,
    /// The stock of credentials.
    pub(crate) credentials: CredentialReport,
    /// How often the wallet refilled its stock by itself.
    pub(crate) replenishments: u32,
    /// The status codes that the app saw, in order.
    pub(crate) statuses: Vec<i64>,
    /// From the start of a process to an open wallet, after the kill.
    pub(crate) cold_open_ms: Option<f64>,
    /// What became of payments after their taps, in order.
    pub(crate) money: Vec<MoneyReport>,
    /// The books of issuer, gateway and payment provider beside each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) books: Option<BooksView>,
    /// Cryptograms in the issuer's ledger.
    pub(crate) cryptograms: usize,
    /// Counters that the issuer saw twice.
    pub(crate) violations: usize,
    /// Everything happened exactly as told.
    pub(crate) ok: bool,
    /// What did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureReport>,
}

/// How the token came to the phone.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ActivationReport {
    /// `manual` or `silent`.
    pub(crate) mode: &'static str,
    /// As the listener heard them, in order; a silent run is followed by its confirmation.
    pub(crate) phases: Vec<String>,
    /// Wall clock.
    pub(crate) seconds: f64,
}

/// One tap.
#[derive(Debug, Serialize)]
pub(crate) struct TapReport {
    /// Decimal.
    pub(crate) amount: String,
    /// ISO 4217 letters.
    pub(crate) currency: &'static str,
    /// `PaymentOutcome::name`.
    pub(crate) outcome: &'static str,
    /// The wallet's: 10000 if it handed out its cryptogram.
    pub(crate) code: Option<u32>,
    /// By the terminal.
    pub(crate) cda_verified: Option<bool>,
    /// By the issuer.
    pub(crate) cryptogram_verified: Option<bool>,
    /// Hex.
    pub(crate) reference: Option<String>,
    /// By which reversals and refunds name the tap.
    pub(crate) authorisation: Option<String>,
    /// The payment provider's name of the payment.
    pub(crate) payment_id: Option<String>,
    /// The payment provider's result code.
    pub(crate) result_code: Option<String>,
}

/// What became of a payment after its tap.
#[derive(Debug, Serialize)]
pub(crate) struct MoneyReport {
    /// In words.
    pub(crate) what: &'static str,
    /// Of the conversion table.
    pub(crate) row: &'static str,
    /// The gateway's calls to the payment provider.
    pub(crate) calls: Vec<String>,
    /// Of the user.
    pub(crate) balance_before: String,
    /// Of the user.
    pub(crate) balance_after: String,
}

/// The stock of credentials.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CredentialReport {
    /// After the activation.
    pub(crate) start: u32,
    /// Before the wallet refilled it.
    pub(crate) lowest: u32,
    /// Before the token was deleted.
    pub(crate) end: u32,
    /// Below it the wallet refills.
    pub(crate) threshold: u32,
}

/// What did not happen as told.
#[derive(Debug, Serialize)]
pub(crate) struct FailureReport {
    /// Number and title.
    pub(crate) step: String,
    /// What was expected, where it was an expectation.
    pub(crate) expected: Option<String>,
    /// What was seen instead.
    pub(crate) seen: String,
}

/// An expectation that was not met.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: expected {expected}, saw {seen}")]
pub(crate) struct Unexpected {
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
}

impl Report {
    pub(crate) fn add_activation(&mut self, activation: &Activation) {
        self.activation.phases.extend(activation.phases.iter().cloned());
        // Milliseconds are exact enough, and read better.
        let seconds = self.activation.seconds + activation.took.as_secs_f64();
        self.activation.seconds = (seconds * 1_000.0).round() / 1_000.0;
    }

    pub(crate) fn add_tap(&mut self, amount: Amount, paid: &PhonePayment) {
        let provider = paid.payment.provider.as_ref();
        self.taps.push(TapReport {
            amount: amount.decimal(),
            currency: amount.code(),
            outcome: paid.payment.outcome.name(),
            code: paid.code,
            cda_verified: paid.payment.cda_verified,
            cryptogram_verified: paid.payment.cryptogram_verified,
            reference: paid.payment.reference.map(hex::encode_upper),
            authorisation: provider.and_then(|provider| provider.authorisation.clone()),
            payment_id: provider.and_then(|provider| provider.payment_id.clone()),
            result_code: provider.map(|provider| provider.code.to_string()),
        });
    }

    /// Taps that gave the issuer a cryptogram: all that were paid, and those that the provider declined.
    pub(crate) fn with_cryptogram(&self) -> usize {
        self.taps.iter().filter(|tap| tap.cryptogram_verified.is_some()).count()
    }

    pub(crate) fn finish(mut self, step: String, error: Option<&anyhow::Error>) -> Self {
        self.ok = error.is_none();
        self.failure = error.map(|error| match error.downcast_ref::<Unexpected>() {
            Some(Unexpected { what, expected, seen }) => {
                FailureReport { step, expected: Some(expected.clone()), seen: format!("{what}: {seen}") }
            }
            None => FailureReport { step, expected: None, seen: with_causes(error.as_ref()) },
        });
        self
    }
}
