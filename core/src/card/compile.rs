//! Turns a profile into a card, or says what is wrong with it.
//!
//! Whatever can be wrong with a profile is found here, once, when it arrives; a tap then only looks
//! up what was prepared.

use std::sync::Arc;

use super::apdu::StatusWord;
use super::cryptogram::{CVN, IAD_LEN, IadParts};
use super::data_objects::DataObjects;
use super::dol::Dol;
use super::icc_key::IccKey;
use super::magstripe::MagStripe;
use super::profile::{Application, IadTemplate, IccKeyParts, Profile, RelayResistance, Rules};
use super::profile_error::ProfileError;
use super::records::{Objects, Records};
use super::request;
use super::terminal::numeric;
use super::tlv::{self, Tag, Tlv};
use super::{Card, PPSE, relay, sdad, tags};

/// All answers fit a short response without GET RESPONSE.
const MAX_ANSWER: usize = 254;

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
    pub(super) data_objects: DataObjects,
    pub(super) aip: [u8; 2],
    pub(super) iad: IadParts,
    pub(super) icc_key: Option<IccKey>,
    pub(super) rules: Arc<Rules>,
}

impl Card {
    /// Checks a profile as a whole and prepares every answer that does not depend on the terminal.
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
        check_rules(&profile.rules)?;
        check_order(&profile.applications)?;
        let rules = Arc::new(profile.rules.clone());
        let applications = profile
            .applications
            .iter()
            .map(|application| CardApp::compile(application, &rules).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { ppse: ppse(&profile.applications)?, applications, rules, last_four: profile.last_four.clone() })
    }
}

impl CardApp {
    fn compile(application: &Application, rules: &Arc<Rules>) -> Result<Self, ProfileError> {
        let aip = check_aip(application)?;
        let pdol = Dol::parse(&application.pdol).map_err(|error| ProfileError::tag(tags::PDOL, error))?;
        request::check_pdol(&pdol)?;
        let objects = Objects::read(&application.records)?;
        let records = Records::compile(&application.afl, &application.records)?;
        let mag_stripe = MagStripe::compile(&objects, &pdol)?;
        let cdol1 = match (offers_emv_mode(aip), &mag_stripe) {
            (true, _) => Some(check_emv_mode(&objects)?),
            (false, Some(_)) => None,
            (false, None) => {
                return Err(ProfileError::tag(
                    tags::AIP,
                    "does not offer EMV mode, and no record holds mag-stripe data",
                ));
            }
        };
        check_objects(&objects, rules)?;
        relay::check(application.relay_resistance.as_ref())?;
        let icc_key = match &application.icc_key {
            Some(parts) => Some(check_icc_key(parts, &objects, application.relay_resistance.is_some())?),
            None => None,
        };
        Ok(Self {
            aid: application.aid.clone(),
            fci: fci(application)?,
            processing_options: processing_options(application)?,
            pdol,
            cdol1,
            mag_stripe,
            relay_resistance: application.relay_resistance,
            records,
            data_objects: DataObjects::compile(&application.data_objects)?,
            aip,
            iad: check_iad(&application.iad)?,
            icc_key,
            rules: Arc::clone(rules),
        })
    }
}

fn in_range(field: &str, length: usize, low: usize, high: usize) -> Result<(), ProfileError> {
    if (low..=high).contains(&length) {
        Ok(())
    } else {
        Err(ProfileError::new(field, format!("has length {length}, limit {low} to {high}")))
    }
}

fn check_rules(rules: &Rules) -> Result<(), ProfileError> {
    // Numeric codes have three digits; a larger one is BCD read as binary.
    if rules.issuer_country > 999 {
        return Err(ProfileError::new("issuer_country", format!("is {}, limit 999", rules.issuer_country)));
    }
    for (index, limit) in rules.cvm_limits.iter().enumerate() {
        if limit.currency > 999 {
            return Err(ProfileError::new("cvm_limits", format!("has currency {}, limit 999", limit.currency)));
        }
        if rules.cvm_limits.iter().take(index).any(|earlier| earlier.currency == limit.currency) {
            return Err(ProfileError::new("cvm_limits", format!("has currency {} twice", limit.currency)));
        }
    }
    Ok(())
}

fn check_order(applications: &[Application]) -> Result<(), ProfileError> {
    for (index, application) in applications.iter().enumerate() {
        in_range("4F", application.aid.len(), 5, 16)?;
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
    let (emv_mode, relay) = (offers_emv_mode([first, second]), second & 0x01 != 0);
    let cda = first & 0x01 != 0;
    if first & 0x80 != 0 || second & !0x81 != 0 {
        return fault("has reserved bits set");
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
fn offers_emv_mode([_, modes]: [u8; 2]) -> bool {
    modes & 0x80 != 0
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

/// What every terminal in EMV mode wants to find (EMV Book 3, 7.2); answers the CDOL1.
fn check_emv_mode(objects: &Objects<'_>) -> Result<Dol, ProfileError> {
    let cdol1 = Dol::parse(objects.require(tags::CDOL1)?).map_err(|error| ProfileError::tag(tags::CDOL1, error))?;
    request::check_cdol1(&cdol1)?;
    for tag in [tags::TRACK_2, tags::PAN, tags::EXPIRY] {
        objects.require(tag)?;
    }
    Ok(cdol1)
}

/// What must agree with the rules, where it is there.
fn check_objects(objects: &Objects<'_>, rules: &Rules) -> Result<(), ProfileError> {
    if let Some(country) = objects.find(tags::ISSUER_COUNTRY)
        && numeric(country) != Some(u64::from(rules.issuer_country))
    {
        return Err(ProfileError::tag(tags::ISSUER_COUNTRY, "is not the issuer_country of the rules"));
    }
    match objects.find(tags::STATIC_TAG_LIST) {
        // EMV Book 3, 10.3: no tag but 82 may be listed.
        None | Some([0x82]) => Ok(()),
        Some(_) => Err(ProfileError::tag(tags::STATIC_TAG_LIST, "is not 82")),
    }
}

/// EMV Book 2, 6.1 and 6.4. Without the CA's key the chain itself cannot be followed, but a key that
/// is not the certified one would show in its length, its exponent or the bytes left over.
fn check_icc_key(parts: &IccKeyParts, objects: &Objects<'_>, relay: bool) -> Result<IccKey, ProfileError> {
    for tag in [tags::CA_INDEX, tags::ISSUER_CERTIFICATE, tags::ISSUER_EXPONENT] {
        objects.require(tag)?;
    }
    let certificate = objects.require(tags::ICC_CERTIFICATE)?;
    if objects.require(tags::ICC_EXPONENT)? != parts.exponent {
        return Err(ProfileError::tag(tags::ICC_EXPONENT, "is not the exponent of icc_key"));
    }
    let length = parts.modulus.len();
    in_range("icc_key", length, sdad::min_modulus(relay), largest_modulus())?;
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

/// EMV Book 1, table 45.
fn fci(application: &Application) -> Result<Vec<u8>, ProfileError> {
    let label = application.label.as_bytes();
    in_range("50", label.len(), 1, 16)?;
    if !label.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(ProfileError::tag(tags::LABEL, "has unprintable characters"));
    }
    let mut proprietary = tlv::object(tags::LABEL, label);
    tlv::write(&mut proprietary, tags::PRIORITY, &[application.priority]);
    if let Some(languages) = &application.languages {
        let pairs = languages.len() / 2;
        if languages.len() % 2 != 0
            || !(1..=4).contains(&pairs)
            || !languages.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            return Err(ProfileError::tag(tags::LANGUAGES, "is not one to four two-letter languages"));
        }
        tlv::write(&mut proprietary, tags::LANGUAGES, languages.as_bytes());
    }
    if !application.pdol.is_empty() {
        tlv::write(&mut proprietary, tags::PDOL, &application.pdol);
    }
    if !application.issuer_discretionary.is_empty() {
        Tlv::for_each_primitive(&application.issuer_discretionary, &mut |_| ())
            .map_err(|error| ProfileError::tag(tags::FCI_DISCRETIONARY, error))?;
        tlv::write(&mut proprietary, tags::FCI_DISCRETIONARY, &application.issuer_discretionary);
    }
    fci_answer(&application.aid, &proprietary)
}

/// EMV Book 1, table 47: the directory entry of each application, without its label, since a
/// terminal reads that after SELECT and every byte is air time.
fn ppse(applications: &[Application]) -> Result<Vec<u8>, ProfileError> {
    let mut entries = Vec::new();
    for application in applications {
        let mut entry = tlv::object(tags::AID, &application.aid);
        tlv::write(&mut entry, tags::PRIORITY, &[application.priority]);
        tlv::write(&mut entries, tags::APPLICATION_TEMPLATE, &entry);
    }
    fci_answer(PPSE, &tlv::object(tags::FCI_DISCRETIONARY, &entries))
}

fn fci_answer(name: &[u8], proprietary: &[u8]) -> Result<Vec<u8>, ProfileError> {
    let mut fci = tlv::object(tags::DF_NAME, name);
    tlv::write(&mut fci, tags::FCI_PROPRIETARY, proprietary);
    answer(tags::FCI, &fci)
}

fn processing_options(application: &Application) -> Result<Vec<u8>, ProfileError> {
    let mut options = tlv::object(tags::AIP, &application.aip);
    tlv::write(&mut options, tags::AFL, &application.afl);
    answer(tags::RESPONSE, &options).map_err(|error| ProfileError::tag(tags::AFL, error.reason()))
}

fn answer(template: Tag, content: &[u8]) -> Result<Vec<u8>, ProfileError> {
    let data = tlv::object(template, content);
    match data.len() {
        0..=MAX_ANSWER => Ok(StatusWord::OK.answer_with(data)),
        length => Err(ProfileError::tag(template, format!("is {length} bytes, limit {MAX_ANSWER}"))),
    }
}
