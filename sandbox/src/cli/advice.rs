//! What a person can do after a tap that was not paid.

use std::path::Path;

use alipayplus::ResultCode;
use anyhow::Error;
use nfcwallet_sandbox::checkout::{PaymentOutcome, PhonePayment};
use nfcwallet_sandbox::phone::{CallError, ErrorLine};
use nfcwallet_sandbox::pos::{Mode, NotAccepted, Purchase};

use super::handset::{Stock, tap_meaning};
use super::serve::start_command;

/// `TapFailure::NotAllowed`.
const NOT_ALLOWED: u32 = 19_006;
/// `TapFailure::InsufficientCredentials`.
const NO_CREDENTIALS: u32 = 10_007;
/// `WalletError::Network`.
const NETWORK: u32 = 10_005;
/// Where the cards of this issuer pay amount 0 as transit.
const TRANSIT_CATEGORIES: [u16; 4] = [4111, 4131, 4784, 7523];

/// A tap that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tapped<'a> {
    pub(crate) purchase: &'a Purchase,
    pub(crate) paid: &'a PhonePayment,
    /// The phone pays at transit gates.
    pub(crate) transit: bool,
    /// Before the tap.
    pub(crate) stock_before: Option<Stock>,
    /// After it, and after the refilling that it may have caused.
    pub(crate) stock: Option<Stock>,
}

impl Tapped<'_> {
    fn by_track(&self) -> bool {
        self.purchase.mode == Mode::MagStripe
    }

    fn has_no_common_mode(&self) -> bool {
        matches!(
            self.paid.payment.outcome,
            PaymentOutcome::NotAccepted(NotAccepted::NoMagStripe | NotAccepted::MagStripeOnly)
        )
    }

    /// The wallet's code with its meaning; none where the reader gave up before it asked for anything.
    pub(crate) fn code_in_words(&self) -> Option<String> {
        let code = self.paid.code.filter(|_| !self.has_no_common_mode())?;
        let meaning = match (code, self.by_track()) {
            (10_000, true) => "checksum handed out",
            (NO_CREDENTIALS, true) => "no credential that makes checksums",
            _ => tap_meaning(code),
        };
        Some(format!("code {code} from the wallet ({meaning})"))
    }

    /// The reader wanted a relay exchange and the card made none.
    pub(crate) fn has_missed_relay_exchange(&self) -> bool {
        let made = |name: &str| self.paid.payment.trace.iter().any(|exchange| exchange.name.starts_with(name));
        let got_that_far = made("READ RECORD") || made("GENERATE AC");
        self.purchase.relay_resistance && got_that_far && !made("EXCHANGE RELAY RESISTANCE DATA")
    }

    /// What helps.
    pub(crate) fn next_step(&self) -> Option<String> {
        match self.paid.payment.outcome {
            PaymentOutcome::Approved => return None,
            PaymentOutcome::NotAccepted(NotAccepted::NoMagStripe) => {
                return Some(
                    "cards keep the shape they were issued with: take another --user or --data, with `serve --card \
                     mag-stripe`"
                        .to_owned(),
                );
            }
            PaymentOutcome::NotAccepted(NotAccepted::MagStripeOnly) => return Some("add --mode mag-stripe".to_owned()),
            PaymentOutcome::DeclinedByProvider { ref code } => return after_provider(code).map(str::to_owned),
            _ => {}
        }
        match self.paid.code? {
            NOT_ALLOWED => Some(self.why_not_allowed().to_owned()),
            NO_CREDENTIALS => self.without_checksum_key().or_else(|| next_step(NO_CREDENTIALS).map(str::to_owned)),
            code => next_step(code).map(str::to_owned),
        }
    }

    fn why_not_allowed(&self) -> &'static str {
        let gate = self.purchase.amount_minor == 0 && TRANSIT_CATEGORIES.contains(&self.purchase.merchant_category);
        match (gate, self.by_track(), self.transit) {
            (true, true, _) => "no card pays at a transit gate in mag-stripe mode",
            (true, false, false) => "transit is off by default: add --transit",
            _ => {
                "the card's own rules forbid it: its kind, its country or its currency (docs/sandbox.md, Act on tokens, \
                 changes them)"
            }
        }
    }

    /// A card that got mag-stripe mode later: the credentials that came before have no second key. They
    /// are spent in their order, so newer ones that have it must wait (`Purpose::Checksum`).
    fn without_checksum_key(&self) -> Option<String> {
        let left = self.stock_before.map(|stock| stock.usable).filter(|usable| self.by_track() && *usable > 0)?;
        Some(format!(
            "the credentials next in line came before the card had mag-stripe mode and have no key for checksums: \
             spend them with --mode emv (at most {left} taps), or take another --user with `serve --card mag-stripe`"
        ))
    }
}

/// What helps after the payment provider's no.
fn after_provider(code: &ResultCode) -> Option<&'static str> {
    match code {
        ResultCode::UserBalanceNotEnough => Some("put money on the account (docs/sandbox.md, Move money: top-up)"),
        ResultCode::UserStatusAbnormal => Some("the account is frozen or closed (docs/sandbox.md, Move money: status)"),
        ResultCode::UserNotExist => Some("the provider does not know the user; log in at its server first"),
        ResultCode::CurrencyNotSupport => {
            Some("the gateway has no rate from this currency: pay in EUR, USD, GBP or JPY")
        }
        ResultCode::PaymentAmountExceedLimit
        | ResultCode::UserAmountExceedLimit
        | ResultCode::PaymentCountExceedLimit => {
            Some("the provider limits what this user may pay; pay less, or tomorrow")
        }
        ResultCode::OrderIsClosed => {
            Some("the provider did not answer in time, so the payment is cancelled: tap again")
        }
        _ => None,
    }
}

/// What helps after a refusal of which nothing but the code is known.
pub(crate) fn next_step(code: u32) -> Option<&'static str> {
    match code {
        10_003 => Some("let the user prove presence and tap again: add --authenticate"),
        10_008 => Some("the token is suspended: lift it through the control API (docs/sandbox.md, Act on tokens)"),
        NO_CREDENTIALS | 10_009 => Some("run this command again: the phone does first what its status asks for"),
        NOT_ALLOWED => Some("a transit gate needs --transit; else the card's kind, country or currency forbids it"),
        _ => None,
    }
}

/// An app would try again later; here somebody has to start the servers.
pub(crate) fn of_network(error: Error, data: &Path) -> Error {
    match error.downcast_ref::<CallError>() {
        Some(CallError::Refused(ErrorLine { code: NETWORK, text, .. })) => Error::msg(format!(
            "the servers do not answer: {text} ({NETWORK}); if `serve` has ended, start it again in another terminal: {}",
            start_command(data)
        )),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use nfcwallet_sandbox::checkout::Payment;
    use nfcwallet_sandbox::pos::DeclinedBy;

    use super::*;

    fn refused(outcome: PaymentOutcome, code: u32) -> PhonePayment {
        let payment = Payment {
            outcome,
            amount_minor: 0,
            currency: 978,
            cda_verified: None,
            relay_resisted: None,
            cryptogram_verified: None,
            reference: None,
            provider: None,
            trace: Vec::new(),
        };
        PhonePayment { payment, code: Some(code) }
    }

    fn purchase(minor: u64, merchant_category: u16, mode: Mode) -> Purchase {
        Purchase { merchant_category, mode, ..Purchase::new(minor, 978, 0, [0; 4]) }
    }

    fn advice(purchase: &Purchase, transit: bool) -> String {
        let paid = refused(PaymentOutcome::Declined(DeclinedBy::Card), NOT_ALLOWED);
        let tapped = Tapped { purchase, paid: &paid, transit, stock_before: None, stock: None };
        tapped.next_step().unwrap()
    }

    #[test]
    fn transit_is_advised_at_a_gate_only() {
        let gate = purchase(0, 4111, Mode::Emv);
        assert!(advice(&gate, false).contains("add --transit"));
        for (purchase, transit) in
            [(purchase(100, 5411, Mode::Emv), false), (purchase(100, 4111, Mode::Emv), false), (gate, true)]
        {
            let advice = advice(&purchase, transit);
            assert!(advice.contains("its currency") && !advice.contains("--transit"), "{advice}");
        }
        assert!(advice(&purchase(0, 4111, Mode::MagStripe), false).contains("in mag-stripe mode"));
    }

    #[test]
    fn a_provider_that_declines_has_a_next_step() {
        let advice = |code| {
            let paid = refused(PaymentOutcome::DeclinedByProvider { code }, 10_000);
            let purchase = purchase(100, 5411, Mode::Emv);
            let tapped = Tapped { purchase: &purchase, paid: &paid, transit: false, stock_before: None, stock: None };
            (tapped.code_in_words().unwrap(), tapped.next_step())
        };
        let (code, step) = advice(ResultCode::UserBalanceNotEnough);
        assert_eq!(code, "code 10000 from the wallet (cryptogram handed out)");
        assert!(step.unwrap().contains("top-up"));
        assert!(advice(ResultCode::UserStatusAbnormal).1.unwrap().contains("frozen"));
        assert_eq!(advice(ResultCode::RiskReject).1, None);
    }

    #[test]
    fn credentials_without_a_key_for_checksums_are_not_called_none() {
        let paid = refused(PaymentOutcome::Declined(DeclinedBy::Card), NO_CREDENTIALS);
        let told = |mode, usable| {
            let purchase = purchase(1_250, 5411, mode);
            let stock_before = Some(Stock { usable, threshold: 10, target: 20 });
            let tapped = Tapped { purchase: &purchase, paid: &paid, transit: false, stock_before, stock: stock_before };
            (tapped.code_in_words().unwrap(), tapped.next_step().unwrap())
        };
        let (code, step) = told(Mode::MagStripe, 19);
        assert_eq!(code, "code 10007 from the wallet (no credential that makes checksums)");
        assert!(step.contains("have no key for checksums") && step.contains("at most 19 taps"), "{step}");
        for (mode, usable) in [(Mode::MagStripe, 0), (Mode::Emv, 0)] {
            assert!(told(mode, usable).1.starts_with("run this command again"));
        }
    }

    #[test]
    fn a_network_failure_says_how_to_start_the_servers() {
        let line = ErrorLine { code: NETWORK, text: "network: offline".to_owned(), advice: "Retry".to_owned() };
        let told = format!("{:#}", of_network(CallError::Refused(line).into(), Path::new("here")));
        assert!(told.contains("network: offline") && told.contains("nfcwallet-sandbox serve --data here"), "{told}");
        assert!(!told.contains("try again"), "{told}");
    }
}
