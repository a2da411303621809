//! Reads what the terminal says of a transaction: the data of CDOL1 or UDOL, and of the PDOL.

use iso_currency::Currency;

use super::compile::CardApp;
use super::cryptogram::TERMINAL_INPUT_LEN;
use super::dol::Dol;
use super::hooks::{CryptogramRequest, CryptogramRequested};
use super::profile_error::ProfileError;
use super::tags;
use super::terminal::{RiskManagement, contradicts_itself, information, kind, numeric, printable, range};
use super::tlv::Tag;
use crate::payment::{TransactionInformation, TransactionRange};

/// The terminal's part of the cryptogram's input, in order.
const CRYPTOGRAM_INPUT: [Tag; 8] = [
    tags::AMOUNT,
    tags::AMOUNT_OTHER,
    tags::COUNTRY,
    tags::TVR,
    tags::CURRENCY,
    tags::DATE,
    tags::TRANSACTION_TYPE,
    tags::UNPREDICTABLE_NUMBER,
];

/// 9F7E bit 2: the reader demands CDCVM, since the amount is above its limit.
const CDCVM_DEMANDED: u8 = 0x02;

/// 9C of a terminal in mag-stripe mode that does not say it.
const PURCHASE: u8 = 0x00;

/// Checks that a CDOL1 asks for all that the cryptogram needs.
pub(super) fn check_cdol1(cdol1: &Dol) -> Result<(), ProfileError> {
    match CRYPTOGRAM_INPUT.iter().find(|tag| cdol1.length_of(**tag).is_none()) {
        Some(tag) => Err(ProfileError::tag(tags::CDOL1, format!("does not ask for {tag}"))),
        None => Ok(()),
    }
}

/// Checks that a UDOL asks for the unpredictable number, and that it or the PDOL asks for amount,
/// currency and country: the card pays no transaction that it cannot show.
pub(super) fn check_udol(udol: &Dol, pdol: &Dol) -> Result<(), ProfileError> {
    let missing = |tag| Err(ProfileError::tag(tags::UDOL, format!("does not ask for {tag}")));
    // A terminal draws it after the records, so the PDOL is too early.
    if udol.length_of(tags::UNPREDICTABLE_NUMBER_NUMERIC).is_none() {
        return missing(tags::UNPREDICTABLE_NUMBER_NUMERIC);
    }
    for tag in [tags::AMOUNT, tags::CURRENCY, tags::COUNTRY] {
        if udol.length_of(tag).or(pdol.length_of(tag)).is_none() {
            return missing(tag);
        }
    }
    Ok(())
}

/// What the terminal sent before and with the command that ends the tap.
pub(super) struct TerminalData<'a> {
    pub(super) app: &'a CardApp,
    pub(super) pdol_data: &'a [u8],
    /// CDOL1, or UDOL in mag-stripe mode.
    pub(super) list: &'a Dol,
    /// What came for it.
    pub(super) data: &'a [u8],
}

impl TerminalData<'_> {
    /// The terminal's part of the cryptogram's input; `None` unless the list is a CDOL1.
    pub(super) fn cryptogram_input(&self) -> Option<[u8; TERMINAL_INPUT_LEN]> {
        let mut input = [0; TERMINAL_INPUT_LEN];
        let mut rest = &mut input[..];
        for tag in CRYPTOGRAM_INPUT {
            let value = self.in_list(tag)?;
            let (place, after) = rest.split_at_mut_checked(value.len())?;
            place.copy_from_slice(value);
            rest = after;
        }
        Some(input)
    }

    /// The transaction. `None` if a number is not decimal.
    pub(super) fn request(&self, requested: CryptogramRequested) -> Option<CryptogramRequest> {
        let is_mag_stripe = requested == CryptogramRequested::Checksum;
        let risk = RiskManagement::read(self.find(tags::RISK_MANAGEMENT));
        let mobile_support = self.find(tags::MOBILE_SUPPORT).filter(|_| is_mag_stripe);
        let reader_demands = matches!(mobile_support, Some([bits]) if bits & CDCVM_DEMANDED != 0);
        let mut transaction = self.transaction(&risk)?;
        if reader_demands {
            transaction.range = TransactionRange::HighValue;
        }
        Some(CryptogramRequest {
            requested,
            allowed_by_card: self.app.allows(&transaction),
            transaction,
            terminal_demands_cdcvm: risk.demands_cdcvm() || reader_demands,
            contradictory: contradicts_itself(|tag| self.in_pdol(tag), |tag| self.in_list(tag)),
            unpredictable_number: self.unpredictable_number(is_mag_stripe)?,
        })
    }

    fn transaction(&self, risk: &RiskManagement) -> Option<TransactionInformation> {
        let amount_minor = self.number(tags::AMOUNT)?;
        let currency = u16::try_from(self.number(tags::CURRENCY)?).ok()?;
        let merchant_category = self.number(tags::MERCHANT_CATEGORY).and_then(|code| u16::try_from(code).ok());
        let code = self.find(tags::TRANSACTION_TYPE).and_then(<[u8]>::first).copied().unwrap_or(PURCHASE);
        let date = self.find(tags::DATE);
        if let Some(date) = date {
            numeric(date)?;
        }
        Some(TransactionInformation {
            amount_minor,
            other_amount_minor: self.find(tags::AMOUNT_OTHER).map_or(Some(0), numeric)?,
            currency,
            currency_exponent: Currency::from_numeric(currency)
                .and_then(Currency::exponent)
                .and_then(|exponent| u8::try_from(exponent).ok()),
            kind: kind(code, amount_minor, merchant_category, &self.app.rules.transit_categories),
            terminal_country: u16::try_from(self.number(tags::COUNTRY)?).ok()?,
            merchant_category,
            merchant_name: self.find(tags::MERCHANT_NAME).and_then(printable),
            range: range(risk, &self.app.rules, currency, amount_minor),
            date: date.map(hex::encode),
            terminal: information(*risk, |tag| self.find(tag)),
        })
    }

    /// In mag-stripe mode decimal, since its digits go into the track.
    fn unpredictable_number(&self, is_mag_stripe: bool) -> Option<[u8; 4]> {
        let tag = if is_mag_stripe { tags::UNPREDICTABLE_NUMBER_NUMERIC } else { tags::UNPREDICTABLE_NUMBER };
        let number = self.in_list(tag)?;
        if is_mag_stripe {
            numeric(number)?;
        }
        number.try_into().ok()
    }

    fn in_list(&self, tag: Tag) -> Option<&[u8]> {
        self.list.find(tag, self.data)
    }

    fn in_pdol(&self, tag: Tag) -> Option<&[u8]> {
        self.app.pdol.find(tag, self.pdol_data)
    }

    /// What came last counts.
    fn find(&self, tag: Tag) -> Option<&[u8]> {
        self.in_list(tag).or_else(|| self.in_pdol(tag))
    }

    fn number(&self, tag: Tag) -> Option<u64> {
        numeric(self.find(tag)?)
    }
}
