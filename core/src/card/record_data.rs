//! What the objects in the records mean, and what they must agree with.

use super::compile::offers_emv_mode;
use super::dates::{Date, Month};
use super::number::{CardNumber, Track2};
use super::profile::{Application, Rules};
use super::profile_error::ProfileError;
use super::records::Objects;
use super::terminal::numeric;
use super::tlv::Tag;
use super::{lists, tags};

/// Tags of records with a length of their own (EMV Book 3, annex A; EMV Book C-2, annex A): tag, least
/// and greatest length.
const LENGTHS: [(u32, usize, usize); 35] = [
    (0x57, 9, 19),
    (0x5A, 4, 10),
    (0x5F20, 2, 26),
    (0x5F24, 3, 3),
    (0x5F25, 3, 3),
    (0x5F28, 2, 2),
    (0x5F30, 2, 2),
    (0x5F34, 1, 1),
    (0x8E, 10, 252),
    (0x8F, 1, 1),
    (0x9F05, 1, 32),
    (0x9F07, 2, 2),
    (0x9F08, 2, 2),
    (0x9F0B, 27, 45),
    (0x9F0D, 5, 5),
    (0x9F0E, 5, 5),
    (0x9F0F, 5, 5),
    (0x9F14, 1, 1),
    (0x9F23, 1, 1),
    (0x9F32, 1, 3),
    (0x9F3B, 2, 8),
    (0x9F42, 2, 2),
    (0x9F43, 1, 4),
    (0x9F44, 1, 1),
    (0x9F45, 2, 2),
    (0x9F47, 1, 3),
    (0x9F62, 6, 6),
    (0x9F63, 6, 6),
    (0x9F64, 1, 1),
    (0x9F65, 2, 2),
    (0x9F66, 2, 2),
    (0x9F67, 1, 1),
    (0x9F6B, 9, 19),
    (0x9F6C, 2, 2),
    (0x9F6E, 5, 32),
];

/// Who the card says it is. The same in all applications of a token, since all spend the same
/// credentials.
#[derive(Debug)]
pub(super) struct Identity {
    /// Tag 5A; without EMV mode that of 9F6B.
    pub(super) number: CardNumber,
    /// Tag 5F34; 0 without one, as in the derivation of keys (EMV Book 2, A1.4).
    pub(super) sequence: u8,
    /// Tag 5F24; without EMV mode that of 9F6B.
    pub(super) expiry: Date,
}

/// Checks the objects of all records: what every terminal wants to find (EMV Book 3, 7.2), the length
/// and form of each known one, and that they agree with each other and with the rules.
pub(super) fn check(objects: &Objects<'_>, application: &Application, rules: &Rules) -> Result<Identity, ProfileError> {
    let identity = if offers_emv_mode(&application.aip) {
        for tag in [tags::TRACK_2, tags::PAN, tags::EXPIRY] {
            objects.require(tag)?;
        }
        check_lengths(objects)?;
        let identity = identity(objects)?;
        check_track(objects, &identity)?;
        identity
    } else {
        check_lengths(objects)?;
        mag_stripe_identity(objects)?
    };
    check_country_and_currency(objects, rules)?;
    for tag in [tags::CDOL2, tags::DDOL, tags::UDOL] {
        objects.find(tag).map(|list| lists::read(tag, list)).transpose()?;
    }
    check_cvm_list(objects, application)?;
    check_usage_control(objects)?;
    match objects.find(tags::STATIC_TAG_LIST) {
        // EMV Book 3, 10.3: no tag but 82 may be listed.
        None | Some([0x82]) => Ok(identity),
        Some(_) => Err(ProfileError::tag(tags::STATIC_TAG_LIST, "is not 82")),
    }
}

fn check_lengths(objects: &Objects<'_>) -> Result<(), ProfileError> {
    for (tag, least, greatest) in LENGTHS {
        let tag = Tag::new(tag);
        let length = objects.find(tag).map(<[u8]>::len).filter(|length| !(least..=greatest).contains(length));
        if let Some(length) = length {
            let limit = if least == greatest { least.to_string() } else { format!("{least} to {greatest}") };
            return Err(ProfileError::tag(tag, format!("is {length} bytes, limit {limit}")));
        }
    }
    Ok(())
}

/// A card without EMV mode says nothing of itself but its track.
fn mag_stripe_identity(objects: &Objects<'_>) -> Result<Identity, ProfileError> {
    let fault = |reason: &str| ProfileError::tag(tags::MAG_STRIPE_TRACK_2, reason);
    let track = Track2::read(objects.require(tags::MAG_STRIPE_TRACK_2)?)
        .ok_or_else(|| fault("is not number, D, expiry, service code and digits"))?;
    let [year, month] = track.expiry;
    let month = Month::of_certificate([month, year]).ok_or_else(|| fault("has no month as its expiry"))?;
    Ok(Identity { number: track.number, sequence: sequence(objects)?, expiry: month.last_day() })
}

fn sequence(objects: &Objects<'_>) -> Result<u8, ProfileError> {
    let Some(value) = objects.find(tags::PAN_SEQUENCE) else { return Ok(0) };
    numeric(value)
        .and_then(|sequence| u8::try_from(sequence).ok())
        .ok_or_else(|| ProfileError::tag(tags::PAN_SEQUENCE, "is not decimal"))
}

fn identity(objects: &Objects<'_>) -> Result<Identity, ProfileError> {
    let number = CardNumber::read(objects.require(tags::PAN)?)
        .ok_or_else(|| ProfileError::tag(tags::PAN, "is not a number of 8 to 19 digits with the least filling"))?;
    let sequence = sequence(objects)?;
    let expiry =
        date(objects, tags::EXPIRY)?.ok_or_else(|| ProfileError::tag(tags::EXPIRY, "is missing from the records"))?;
    if date(objects, tags::EFFECTIVE)?.is_some_and(|effective| effective > expiry) {
        return Err(ProfileError::tag(tags::EFFECTIVE, "is after the expiry (5F24)"));
    }
    Ok(Identity { number, sequence, expiry })
}

fn date(objects: &Objects<'_>, tag: Tag) -> Result<Option<Date>, ProfileError> {
    objects
        .find(tag)
        .map(|value| Date::read(value).ok_or_else(|| ProfileError::tag(tag, "is no day of the calendar")))
        .transpose()
}

fn check_track(objects: &Objects<'_>, identity: &Identity) -> Result<(), ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::TRACK_2, reason));
    match Track2::read(objects.require(tags::TRACK_2)?) {
        None => fault("is not number, D, expiry, service code and digits"),
        Some(track) if track.number != identity.number => fault("has another number than 5A"),
        Some(Track2 { expiry: [year, month], .. })
            if Month::of_certificate([month, year]) != Some(identity.expiry.month()) =>
        {
            fault("has another expiry than 5F24")
        }
        Some(_) => Ok(()),
    }
}

fn check_country_and_currency(objects: &Objects<'_>, rules: &Rules) -> Result<(), ProfileError> {
    if let Some(country) = objects.find(tags::ISSUER_COUNTRY)
        && numeric(country) != Some(u64::from(rules.issuer_country))
    {
        return Err(ProfileError::tag(tags::ISSUER_COUNTRY, "is not the issuer_country of the rules"));
    }
    let Some(value) = objects.find(tags::APPLICATION_CURRENCY) else { return Ok(()) };
    let fault = |reason: &str| Err(ProfileError::tag(tags::APPLICATION_CURRENCY, reason));
    match numeric(value).filter(|currency| (1..=999).contains(currency)) {
        None => fault("is no currency"),
        Some(currency)
            if rules.currencies.as_ref().is_some_and(|all| !all.iter().any(|code| u64::from(*code) == currency)) =>
        {
            fault("is not among the currencies of the rules")
        }
        Some(_) => Ok(()),
    }
}

/// EMV Book 3, annex C3: two amounts, then pairs of method and condition.
fn check_cvm_list(objects: &Objects<'_>, application: &Application) -> Result<(), ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::CVM_LIST, reason));
    let Some(list) = objects.find(tags::CVM_LIST) else {
        // EMV Book 3, 10.5: a terminal would find data missing.
        return match application.aip.first() {
            Some(first) if first & 0x10 != 0 => fault("is missing, but the AIP (82) offers cardholder verification"),
            _ => Ok(()),
        };
    };
    let Some((_amounts, rules)) = list.split_first_chunk::<8>() else { return fault("is cut short") };
    let (rules, rest) = rules.as_chunks::<2>();
    if rules.is_empty() || !rest.is_empty() {
        return fault("is not two amounts and at least one pair of method and condition");
    }
    for [method, condition] in rules {
        if method & 0x80 != 0 || matches!(condition, 0x0A..=0x7F) {
            return fault("has a reserved method or condition");
        }
        if matches!(condition, 6..=9) && objects.find(tags::APPLICATION_CURRENCY).is_none() {
            return fault("has a condition on the amount without a currency for it (9F42)");
        }
    }
    Ok(())
}

/// EMV Book 3, annex C2.
fn check_usage_control(objects: &Objects<'_>) -> Result<(), ProfileError> {
    match objects.find(tags::USAGE_CONTROL) {
        Some([_, second]) if second & 0x3F != 0 => Err(ProfileError::tag(tags::USAGE_CONTROL, "has reserved bits set")),
        Some(_) if objects.find(tags::ISSUER_COUNTRY).is_none() => {
            Err(ProfileError::tag(tags::USAGE_CONTROL, "is there without the country it means (5F28)"))
        }
        _ => Ok(()),
    }
}
