//! Reads what the terminal says of a transaction: CDOL1 data, and 9F1D of the PDOL data.

use iso_currency::Currency;

use super::compile::CardApp;
use super::cryptogram::TERMINAL_INPUT_LEN;
use super::dol::Dol;
use super::hooks::{CryptogramRequest, CryptogramRequested};
use super::profile_error::ProfileError;
use super::tags;
use super::terminal::{RiskManagement, contradicts_itself, information, kind, numeric, printable, range};
use super::tlv::Tag;
use crate::payment::TransactionInformation;

/// The terminal's part of the cryptogram's input, in order, with the lengths of EMV Book 3, annex A.
const CRYPTOGRAM_INPUT: [(Tag, u8); 8] = [
    (tags::AMOUNT, 6),
    (tags::AMOUNT_OTHER, 6),
    (tags::COUNTRY, 2),
    (tags::TVR, 5),
    (tags::CURRENCY, 2),
    (tags::DATE, 3),
    (tags::TRANSACTION_TYPE, 1),
    (tags::UNPREDICTABLE_NUMBER, 4),
];

/// What is read besides, where the list asks for it.
const ALSO_READ: [(Tag, u8); 4] = [
    (tags::RISK_MANAGEMENT, 8),
    (tags::MERCHANT_CATEGORY, 2),
    (tags::TERMINAL_TYPE, 1),
    (tags::TERMINAL_CAPABILITIES, 3),
];

/// Checks that a PDOL asks for the objects that are read under their own length.
pub(super) fn check_pdol(pdol: &Dol) -> Result<(), ProfileError> {
    check_lengths(pdol, tags::PDOL, &[&CRYPTOGRAM_INPUT[..], &ALSO_READ].concat())
}

/// Checks that a CDOL1 asks for all that the cryptogram needs, under their own length.
pub(super) fn check_cdol1(cdol1: &Dol) -> Result<(), ProfileError> {
    match CRYPTOGRAM_INPUT.iter().find(|(tag, _)| cdol1.length_of(*tag).is_none()) {
        Some((tag, _)) => Err(ProfileError::tag(tags::CDOL1, format!("does not ask for {tag}"))),
        None => check_lengths(cdol1, tags::CDOL1, &[&CRYPTOGRAM_INPUT[..], &ALSO_READ].concat()),
    }
}

fn check_lengths(dol: &Dol, name: Tag, known: &[(Tag, u8)]) -> Result<(), ProfileError> {
    for (tag, length) in known {
        if let Some(asked) = dol.length_of(*tag)
            && asked != *length
        {
            return Err(ProfileError::tag(name, format!("asks for {asked} bytes of {tag}, not {length}")));
        }
    }
    Ok(())
}

/// What the terminal sent before and with GENERATE AC.
pub(super) struct TerminalData<'a> {
    pub(super) app: &'a CardApp,
    pub(super) pdol_data: &'a [u8],
    pub(super) cdol1_data: &'a [u8],
}

impl TerminalData<'_> {
    /// The terminal's part of the cryptogram's input.
    pub(super) fn cryptogram_input(&self) -> Option<[u8; TERMINAL_INPUT_LEN]> {
        let mut input = [0; TERMINAL_INPUT_LEN];
        let mut rest = &mut input[..];
        for (tag, _) in CRYPTOGRAM_INPUT {
            let value = self.app.cdol1.find(tag, self.cdol1_data)?;
            let (place, after) = rest.split_at_mut_checked(value.len())?;
            place.copy_from_slice(value);
            rest = after;
        }
        Some(input)
    }

    /// The transaction. `None` if a mandatory number is not decimal.
    pub(super) fn request(&self, requested: CryptogramRequested) -> Option<CryptogramRequest> {
        let amount_minor = self.number(tags::AMOUNT)?;
        let currency = u16::try_from(self.number(tags::CURRENCY)?).ok()?;
        let merchant_category = self.number(tags::MERCHANT_CATEGORY).and_then(|code| u16::try_from(code).ok());
        let risk = RiskManagement::read(self.anywhere(tags::RISK_MANAGEMENT));
        let &[code] = self.cdol1(tags::TRANSACTION_TYPE)? else { return None };
        let date = self.cdol1(tags::DATE)?;
        numeric(date)?;
        let transaction = TransactionInformation {
            amount_minor,
            other_amount_minor: self.number(tags::AMOUNT_OTHER)?,
            currency,
            currency_exponent: Currency::from_numeric(currency)
                .and_then(Currency::exponent)
                .and_then(|exponent| u8::try_from(exponent).ok()),
            kind: kind(code, amount_minor, merchant_category, &self.app.rules.transit_categories),
            terminal_country: u16::try_from(self.number(tags::COUNTRY)?).ok()?,
            merchant_category,
            merchant_name: self.anywhere(tags::MERCHANT_NAME).and_then(printable),
            range: range(&risk, &self.app.rules, currency, amount_minor),
            date: hex::encode(date),
            terminal: information(risk, |tag| self.anywhere(tag)),
        };
        Some(CryptogramRequest {
            requested,
            transaction,
            terminal_demands_cdcvm: risk.demands_cdcvm(),
            allowed_by_card: true,
            contradictory: contradicts_itself(|tag| self.pdol(tag), |tag| self.cdol1(tag)),
            unpredictable_number: self.cdol1(tags::UNPREDICTABLE_NUMBER)?.try_into().ok()?,
        })
    }

    fn cdol1(&self, tag: Tag) -> Option<&[u8]> {
        self.app.cdol1.find(tag, self.cdol1_data)
    }

    fn pdol(&self, tag: Tag) -> Option<&[u8]> {
        self.app.pdol.find(tag, self.pdol_data)
    }

    fn anywhere(&self, tag: Tag) -> Option<&[u8]> {
        self.cdol1(tag).or_else(|| self.pdol(tag))
    }

    fn number(&self, tag: Tag) -> Option<u64> {
        numeric(self.cdol1(tag)?)
    }
}
