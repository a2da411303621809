//! Turns a profile into a card, or says what is wrong with it.
//!
//! Whatever can be wrong with a profile is found here and in the modules it calls, once, when it
//! arrives; a tap then only looks up what was prepared.

use std::sync::Arc;

use super::cryptogram::{CVN, IAD_LEN, IadParts};
use super::data_objects::DataObjects;
use super::dates::Month;
use super::dol::Dol;
use super::icc_key::IccKey;
use super::magstripe::MagStripe;
use super::profile::{Application, IadTemplate, IccKeyParts, Profile, RelayResistance, Rules};
use super::profile_error::ProfileError;
use super::record_data::{self, Identity};
use super::records::{Objects, Records};
use super::tlv::Tag;
use super::usage::{self, UsageControl};
use super::{Card, PPSE, PSE, chain, fci, lists, magstripe, relay, request, sdad, tags};
use crate::payment::TransactionInformation;

/// All answers fit a short response without GET RESPONSE.
pub(super) const MAX_ANSWER: usize = 254;

/// One application, ready for a tap.
pub(super) struct CardApp {
    pub(super) aid: Vec<u8>,
    /// Answer to SELECT, with its status word.
    pub(super) fci: Vec<u8>,
    /// Answer to GET PROCESSING OPTIONS, with its status word.
    pub(super) processing_options: Vec<u8>,
    pub(super) pdol: Dol,
    /// None where the AIP does not offer EMV mode.
    pub(super) cdol1: Option<Dol>,
    pub(super) mag_stripe: Option<MagStripe>,
    pub(super) relay_resistance: Option<RelayResistance>,
    pub(super) records: Records,
    data_objects: DataObjects,
    identity: Identity,
    usage: UsageControl,
    pub(super) aip: [u8; 2],
    pub(super) iad: IadParts,
    pub(super) icc_key: Option<IccKey>,
    pub(super) rules: Arc<Rules>,
}

impl Card {
    /// Takes a profile that arrives: everything that [`Card::compile`] checks, that the card has not
    /// expired at `now_ms` (the service's clock, milliseconds since 1970), and the chain of certificates
    /// from `ca_key` to the card's key (EMV Book 2, 5.3 and 6.4). Takes some milliseconds an application.
    ///
    /// # Errors
    /// [`ProfileError`] with the first tag or field that breaks a rule.
    pub fn admit(profile: &Profile, now_ms: i64) -> Result<Self, ProfileError> {
        let card = Self::compile(profile)?;
        for (application, compiled) in profile.applications.iter().zip(&card.applications) {
            if compiled.identity.expiry.month() < Month::at(now_ms) {
                return Err(ProfileError::tag(tags::EXPIRY, "is past"));
            }
            chain::follow(application, &compiled.identity)?;
        }
        Ok(card)
    }

    /// Checks the structure of a profile and prepares every answer that does not depend on the terminal.
    /// For a profile that was admitted before, such as a stored one: it verifies no certificate, so that
    /// a cold start stays fast.
    ///
    /// # Errors
    /// [`ProfileError`] with the first tag or field that breaks a rule.
    pub fn compile(profile: &Profile) -> Result<Self, ProfileError> {
        if profile.version != 1 {
            return Err(ProfileError::new("version", format!("is {}, this library knows 1", profile.version)));
        }
        if profile.last_four.len() != 4 || !profile.last_four.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ProfileError::new("last_four", "is not four digits"));
        }
        in_range("applications", profile.applications.len(), 1, 8)?;
        usage::check(&profile.rules)?;
        check_order(&profile.applications)?;
        let rules = Arc::new(profile.rules.clone());
        let applications = profile
            .applications
            .iter()
            .map(|application| CardApp::compile(application, &rules).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        check_identity(&applications, &profile.last_four)?;
        Ok(Self { ppse: fci::ppse(&profile.applications)?, applications, rules, last_four: profile.last_four.clone() })
    }
}

impl CardApp {
    fn compile(application: &Application, rules: &Arc<Rules>) -> Result<Self, ProfileError> {
        let aip = check_aip(application)?;
        let pdol = lists::read(tags::PDOL, &application.pdol)?;
        let objects = Objects::read(&application.records)?;
        let records = Records::compile(&application.afl, &application.records)?;
        let cdol1 = match offers_emv_mode(&aip) {
            true => Some(check_cdol1(&objects)?),
            false if magstripe::is_in(&objects) => None,
            false => {
                let reason = "does not offer EMV mode, and the records hold no mag-stripe data";
                return Err(ProfileError::tag(tags::AIP, reason));
            }
        };
        let identity = record_data::check(&objects, application, rules)?;
        let mag_stripe = MagStripe::compile(&objects, &pdol, &identity)?;
        relay::check(application.relay_resistance.as_ref())?;
        let icc_key = match &application.icc_key {
            Some(parts) => Some(check_icc_key(parts, &objects, application)?),
            None => None,
        };
        Ok(Self {
            aid: application.aid.clone(),
            fci: fci::fci(application)?,
            processing_options: fci::processing_options(application)?,
            pdol,
            cdol1,
            mag_stripe,
            relay_resistance: application.relay_resistance,
            records,
            data_objects: DataObjects::compile(&application.data_objects, &objects)?,
            identity,
            usage: UsageControl::read(objects.find(tags::USAGE_CONTROL)),
            aip,
            iad: check_iad(&application.iad)?,
            icc_key,
            rules: Arc::clone(rules),
        })
    }

    /// The object that GET DATA finds under `tag`: tag, length and value, without a status word.
    pub(super) fn data_object(&self, tag: Tag) -> Option<&[u8]> {
        self.data_objects.find(tag)
    }

    /// The card's usage control and rules allow the transaction.
    pub(super) fn allows(&self, transaction: &TransactionInformation) -> bool {
        self.usage.allows(transaction, &self.rules)
    }
}

/// All applications spend the credentials of one token, whose keys belong to its number and sequence
/// number (EMV Book 2, A1.4).
fn check_identity(applications: &[Arc<CardApp>], last_four: &str) -> Result<(), ProfileError> {
    let Some(first) = applications.first() else { return Ok(()) };
    for application in applications {
        if application.identity.number != first.identity.number {
            return Err(ProfileError::tag(tags::PAN, "is not the same in all applications"));
        }
        if application.identity.sequence != first.identity.sequence {
            return Err(ProfileError::tag(tags::PAN_SEQUENCE, "is not the same in all applications"));
        }
    }
    if first.identity.number.ends_with(last_four) {
        Ok(())
    } else {
        Err(ProfileError::new("last_four", "is not the end of the number (5A)"))
    }
}

pub(super) fn in_range(field: &str, length: usize, low: usize, high: usize) -> Result<(), ProfileError> {
    if (low..=high).contains(&length) {
        Ok(())
    } else {
        Err(ProfileError::new(field, format!("has length {length}, limit {low} to {high}")))
    }
}

fn check_order(applications: &[Application]) -> Result<(), ProfileError> {
    for (index, application) in applications.iter().enumerate() {
        in_range("4F", application.aid.len(), 5, 16)?;
        if [PPSE, PSE].contains(&&application.aid[..]) {
            return Err(ProfileError::tag(tags::AID, "is the name of a directory"));
        }
        if applications.iter().take(index).any(|earlier| earlier.aid == application.aid) {
            return Err(ProfileError::tag(tags::AID, "is there twice"));
        }
        if !(1..=15).contains(&application.priority) {
            return Err(ProfileError::tag(tags::PRIORITY, format!("is {}, limit 1 to 15", application.priority)));
        }
    }
    if !applications.is_sorted_by_key(|application| application.priority) {
        return Err(ProfileError::tag(tags::PRIORITY, "the applications are not in the order of their priority"));
    }
    Ok(())
}

/// EMV Book 3, annex C1, with the contactless meaning of the second byte.
fn check_aip(application: &Application) -> Result<[u8; 2], ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::AIP, reason));
    let &[first, second] = &application.aip[..] else {
        return fault("is not 2 bytes");
    };
    let (emv_mode, relay) = (offers_emv_mode(&application.aip), second & 0x01 != 0);
    let cda = first & 0x01 != 0;
    if first & 0x80 != 0 || second & !0x81 != 0 {
        return fault("has reserved bits set");
    }
    if first & 0x40 != 0 {
        return fault("offers SDA, which this library does not do");
    }
    if first & 0x20 != 0 {
        return fault("offers DDA, which this library does not do");
    }
    if cda != application.icc_key.is_some() {
        return fault("offers CDA without an icc_key, or has an icc_key and does not offer CDA");
    }
    if cda && !emv_mode {
        return fault("offers CDA without EMV mode");
    }
    if relay != application.relay_resistance.is_some() {
        return fault("offers relay resistance without relay_resistance, or has it and does not offer it");
    }
    if relay && !cda {
        return fault("offers relay resistance without CDA, which signs it");
    }
    if first & 0x02 != 0 && emv_mode && !cda {
        return fault("offers on-device verification without CDA, which makes terminals decline");
    }
    Ok([first, second])
}

/// AIP byte 2: EMV mode; without it a terminal uses mag-stripe mode.
pub(super) fn offers_emv_mode(aip: &[u8]) -> bool {
    aip.get(1).is_some_and(|modes| modes & 0x80 != 0)
}

fn check_cdol1(objects: &Objects<'_>) -> Result<Dol, ProfileError> {
    let cdol1 = lists::read(tags::CDOL1, objects.require(tags::CDOL1)?)?;
    request::check_cdol1(&cdol1)?;
    Ok(cdol1)
}

fn check_iad(template: &IadTemplate) -> Result<IadParts, ProfileError> {
    if template.cvn != CVN {
        let reason = format!("has cryptogram version {:02X}, this library knows {CVN:02X}", template.cvn);
        return Err(ProfileError::tag(tags::IAD, reason));
    }
    let counters = template.counters[..]
        .try_into()
        .map_err(|_| ProfileError::tag(tags::IAD, format!("has {} counter bytes, not 8", template.counters.len())))?;
    Ok(IadParts { key_index: template.key_index, counters })
}

/// EMV Book 2, 6.1 and 6.4, as far as it goes without opening a certificate: a key that is not the
/// certified one shows in its length, its exponent or the bytes left over.
fn check_icc_key(
    parts: &IccKeyParts,
    objects: &Objects<'_>,
    application: &Application,
) -> Result<IccKey, ProfileError> {
    for tag in [tags::CA_INDEX, tags::ISSUER_CERTIFICATE, tags::ISSUER_EXPONENT] {
        objects.require(tag)?;
    }
    let certificate = objects.require(tags::ICC_CERTIFICATE)?;
    if objects.require(tags::ICC_EXPONENT)? != parts.exponent {
        return Err(ProfileError::tag(tags::ICC_EXPONENT, "is not the exponent of icc_key"));
    }
    let length = parts.modulus.len();
    let smallest = sdad::min_modulus(application.relay_resistance.is_some());
    in_range("icc_key", length, smallest, largest_modulus())?;
    if length > certificate.len() {
        let reason = format!("is {} bytes, shorter than the icc_key of {length}", certificate.len());
        return Err(ProfileError::tag(tags::ICC_CERTIFICATE, reason));
    }
    // The certificate holds the leftmost bytes of the modulus beside 42 bytes of its own.
    let left_over = parts.modulus.get(certificate.len().saturating_sub(42)..).filter(|rest| !rest.is_empty());
    if objects.find(tags::ICC_REMAINDER) != left_over {
        let reason = match left_over {
            Some(rest) => format!("is not the last {} bytes of the icc_key's modulus", rest.len()),
            None => "is there although the certificate holds the whole modulus".to_owned(),
        };
        return Err(ProfileError::tag(tags::ICC_REMAINDER, reason));
    }
    IccKey::parse(parts).map_err(|error| ProfileError::new("icc_key", error))
}

/// 77 81 L { 9F27 01, 9F36 02, 9F4B 81 L .., 9F10, DF4B 03 } must not exceed [`MAX_ANSWER`].
const fn largest_modulus() -> usize {
    MAX_ANSWER - 3 - 4 - 5 - 4 - (3 + IAD_LEN) - 6
}
