//! What can be asked of a payment.

use alipayplus::{Amount, ResultCode};

use crate::accounts::is_id;

/// Who asks, and about which payment.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentKey {
    /// `acquirerId`. Another acquirer's payment does not exist for this one.
    pub acquirer_id: String,
    /// `pspId`.
    pub psp_id: String,
    /// `paymentRequestId`: the payment's only name between the parties.
    pub payment_request_id: String,
}

/// A rate: 1 of the first currency of the pair is worth `price` of the second.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Quote {
    /// `quoteId`.
    pub id: Option<String>,
    /// `quoteCurrencyPair`, for example `JPY/KRW` or `392/410`.
    pub pair: String,
    /// `quotePrice`, a decimal number.
    pub price: String,
}

/// To whom a user pays, for the user to read.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Merchant {
    /// `merchantName`, or what the app shall show.
    pub name: Option<String>,
    /// `merchantMCC`.
    pub mcc: Option<String>,
}

/// The reference that the phone gave its tap: 8 bytes as 16 hex digits, in capitals. Other texts are not
/// ours; they are no error.
#[must_use]
pub fn tap_reference(text: &str) -> Option<String> {
    let is_reference = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_reference.then(|| text.to_ascii_uppercase())
}

/// `pay`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pay {
    /// Idempotent by its `payment_request_id`.
    pub key: PaymentKey,
    /// Who pays.
    pub customer_id: String,
    /// `paymentAmount`: what the merchant asks.
    pub amount: Amount,
    /// `payToAmount`: what the user pays, if it differs.
    pub pay_to_amount: Option<Amount>,
    /// `paymentQuote`: between the two.
    pub quote: Option<Quote>,
    /// The tap's, as the app knows it: 16 hex digits in capitals.
    pub reference: Option<String>,
    /// To whom.
    pub merchant: Merchant,
    /// `paymentExpiryTime`, in milliseconds since 1970: nothing is paid from then on.
    pub expires_at_ms: Option<i64>,
    /// `paymentNotifyUrl`.
    pub notify_url: Option<String>,
    /// A normalised text, or a digest, of the parameters that must not differ in a repeat.
    pub key_parameters: String,
}

/// `refund`.
#[derive(Clone, PartialEq, Eq)]
pub struct Refund {
    /// The payment.
    pub key: PaymentKey,
    /// `paymentId`: ours; must be that of the payment, if it is given.
    pub payment_id: Option<String>,
    /// Idempotent by this.
    pub refund_request_id: String,
    /// `refundAmount`: in the currency of `paymentAmount`.
    pub amount: Amount,
    /// `refundFromAmount`: in the currency that the user paid in.
    pub from_amount: Option<Amount>,
    /// As in [`Pay`].
    pub key_parameters: String,
}

/// Why money comes back that no payment covers (`subScenarioType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// `EXCEED_REFUND`: the merchant refunds more than the payment; this is the part above it.
    Exceed,
    /// `UNLINKED_REFUND`: no payment belongs to it.
    Unlinked,
}

/// `adjustRefund`.
#[derive(Clone, PartialEq, Eq)]
pub struct AdjustRefund {
    /// Who asks, if it is said. Then the payment must be this acquirer's.
    pub acquirer_id: Option<String>,
    /// `pspId`.
    pub psp_id: String,
    /// Why.
    pub scenario: Scenario,
    /// Idempotent by this, apart from the ids of `refund`.
    pub refund_request_id: String,
    /// The payment, where there is one. Its user gets the money.
    pub payment_request_id: Option<String>,
    /// The payment by our name for it, where its own name is missing.
    pub payment_id: Option<String>,
    /// Who gets the money, where there is no payment.
    pub customer_id: Option<String>,
    /// `refundAmount`.
    pub amount: Amount,
    /// `refundFromAmount`: what the user gets. Without it that is `refundAmount`, at the payment's rate where
    /// the user paid in another currency.
    pub from_amount: Option<Amount>,
    /// As in [`Pay`].
    pub key_parameters: String,
}

impl PaymentKey {
    /// That the names can be stored.
    ///
    /// # Errors
    /// `PARAM_ILLEGAL`; so for all commands.
    pub(super) fn check(&self) -> Result<(), ResultCode> {
        check_ids([&self.acquirer_id, &self.psp_id, &self.payment_request_id])
    }
}

impl Pay {
    pub(super) fn check(&self) -> Result<(), ResultCode> {
        self.key.check()?;
        check_ids([&self.customer_id])?;
        let Merchant { name, mcc } = &self.merchant;
        let quote = self.quote.iter().flat_map(|quote| [quote.id.as_ref(), Some(&quote.pair), Some(&quote.price)]);
        let others = [self.reference.as_ref(), name.as_ref(), mcc.as_ref(), self.notify_url.as_ref()];
        check_texts(quote.chain(others).chain([Some(&self.key_parameters)]).flatten())
    }

    /// What the user pays.
    pub(super) fn charged(&self) -> Amount {
        self.pay_to_amount.unwrap_or(self.amount)
    }
}

impl Refund {
    pub(super) fn check(&self) -> Result<(), ResultCode> {
        self.key.check()?;
        check_ids([&self.refund_request_id])?;
        check_texts([&self.key_parameters].into_iter().chain(&self.payment_id))
    }
}

impl AdjustRefund {
    pub(super) fn check(&self) -> Result<(), ResultCode> {
        check_ids([&self.psp_id, &self.refund_request_id])?;
        let optional = [&self.acquirer_id, &self.payment_request_id, &self.payment_id, &self.customer_id];
        check_ids(optional.into_iter().flatten())?;
        check_texts([&self.key_parameters])
    }
}

fn check_ids<'a>(ids: impl IntoIterator<Item = &'a String>) -> Result<(), ResultCode> {
    if ids.into_iter().all(|id| is_id(id)) { Ok(()) } else { Err(ResultCode::ParamIllegal) }
}

/// PostgreSQL stores no NUL in a text.
fn check_texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<(), ResultCode> {
    if texts.into_iter().any(|text| text.contains('\0')) { Err(ResultCode::ParamIllegal) } else { Ok(()) }
}

/// Amounts that can be moved: 1 to [`Amount::MAX`].
pub(super) fn check_amounts(amounts: impl IntoIterator<Item = Amount>) -> Result<(), ResultCode> {
    let illegal = amounts.into_iter().any(|amount| amount.check_positive("amount").is_err());
    if illegal { Err(ResultCode::ParamIllegal) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_eight_bytes_in_hex_and_nothing_else() {
        assert_eq!(tap_reference("4f524445522d3031"), Some("4F524445522D3031".to_owned()));
        for text in ["", "4F524445522D303", "4F524445522D30310", "ORDER-01ORDER-01", "4F524445522D303é"] {
            assert_eq!(tap_reference(text), None, "{text}");
        }
    }
}
