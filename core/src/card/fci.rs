//! The answers to SELECT and GET PROCESSING OPTIONS, which do not depend on the terminal.

use super::apdu::StatusWord;
use super::compile::{MAX_ANSWER, in_range};
use super::profile::{Application, PreferredName};
use super::profile_error::ProfileError;
use super::terminal::numeric;
use super::tlv::{self, Tag, Tlv};
use super::{PPSE, lists, tags};

/// The answer to SELECT of an application (EMV Book 1, table 45), with its status word.
pub(super) fn fci(application: &Application) -> Result<Vec<u8>, ProfileError> {
    let mut proprietary = tlv::object(tags::LABEL, check_label(&application.label)?);
    tlv::write(&mut proprietary, tags::PRIORITY, &[application.priority]);
    if let Some(languages) = &application.languages {
        tlv::write(&mut proprietary, tags::LANGUAGES, check_languages(languages)?);
    }
    if !application.pdol.is_empty() {
        tlv::write(&mut proprietary, tags::PDOL, &lists::read(tags::PDOL, &application.pdol)?.encode());
    }
    if let Some(name) = &application.preferred_name {
        tlv::write(&mut proprietary, tags::CODE_TABLE, &[check_preferred_name(name)?]);
        tlv::write(&mut proprietary, tags::PREFERRED_NAME, &name.name);
    }
    if !application.issuer_discretionary.is_empty() {
        check_discretionary(&application.issuer_discretionary)?;
        tlv::write(&mut proprietary, tags::FCI_DISCRETIONARY, &application.issuer_discretionary);
    }
    fci_answer("6F", &application.aid, &proprietary)
}

/// The answer to SELECT of the directory (EMV Book 1, table 47), with its status word: the entry of
/// each application, without its label, since a terminal reads that after SELECT and every byte is air
/// time.
pub(super) fn ppse(applications: &[Application]) -> Result<Vec<u8>, ProfileError> {
    let mut entries = Vec::new();
    for application in applications {
        let mut entry = tlv::object(tags::AID, &application.aid);
        tlv::write(&mut entry, tags::PRIORITY, &[application.priority]);
        if !application.kernel_identifier.is_empty() {
            in_range("9F2A", application.kernel_identifier.len(), 1, 8)?;
            tlv::write(&mut entry, tags::KERNEL, &application.kernel_identifier);
        }
        tlv::write(&mut entries, tags::APPLICATION_TEMPLATE, &entry);
    }
    fci_answer("6F of the directory", PPSE, &tlv::object(tags::FCI_DISCRETIONARY, &entries))
}

/// The answer to GET PROCESSING OPTIONS (EMV Book 3, 6.5.8), with its status word.
pub(super) fn processing_options(application: &Application) -> Result<Vec<u8>, ProfileError> {
    let mut options = tlv::object(tags::AIP, &application.aip);
    tlv::write(&mut options, tags::AFL, &application.afl);
    answer("94", tags::RESPONSE, &options)
}

fn fci_answer(field: &str, name: &[u8], proprietary: &[u8]) -> Result<Vec<u8>, ProfileError> {
    let mut fci = tlv::object(tags::DF_NAME, name);
    tlv::write(&mut fci, tags::FCI_PROPRIETARY, proprietary);
    answer(field, tags::FCI, &fci)
}

fn answer(field: &str, template: Tag, content: &[u8]) -> Result<Vec<u8>, ProfileError> {
    let data = tlv::object(template, content);
    match data.len() {
        0..=MAX_ANSWER => Ok(StatusWord::OK.answer_with(data)),
        length => Err(ProfileError::new(field, format!("makes an answer of {length} bytes, limit {MAX_ANSWER}"))),
    }
}

fn check_label(label: &str) -> Result<&[u8], ProfileError> {
    in_range("50", label.len(), 1, 16)?;
    if label.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        Ok(label.as_bytes())
    } else {
        Err(ProfileError::tag(tags::LABEL, "has unprintable characters"))
    }
}

fn check_languages(languages: &str) -> Result<&[u8], ProfileError> {
    let (pairs, rest) = languages.as_bytes().as_chunks::<2>();
    let known = (1..=4).contains(&pairs.len()) && languages.bytes().all(|byte| byte.is_ascii_lowercase());
    if !known || !rest.is_empty() {
        return Err(ProfileError::tag(tags::LANGUAGES, "is not one to four two-letter languages"));
    }
    if pairs.iter().enumerate().any(|(index, pair)| pairs.iter().take(index).any(|earlier| earlier == pair)) {
        return Err(ProfileError::tag(tags::LANGUAGES, "has a language twice"));
    }
    Ok(languages.as_bytes())
}

/// Answers 9F11, two decimal digits. A part of ISO/IEC 8859 has no characters at 00 to 1F and 7F to 9F.
fn check_preferred_name(name: &PreferredName) -> Result<u8, ProfileError> {
    in_range("9F12", name.name.len(), 1, 16)?;
    if !name.name.iter().all(|byte| matches!(byte, 0x20..=0x7E | 0xA0..=0xFF)) {
        return Err(ProfileError::tag(tags::PREFERRED_NAME, "has bytes that are no characters of ISO/IEC 8859"));
    }
    match name.code_table {
        part @ 1..=9 => Ok(part),
        10 => Ok(0x10),
        part => Err(ProfileError::tag(tags::CODE_TABLE, format!("is {part}, limit 1 to 10"))),
    }
}

/// The objects inside BF0C: each tag once, and no promise that the card does not keep.
fn check_discretionary(objects: &[u8]) -> Result<(), ProfileError> {
    // EMV Book 1, table 45.
    in_range("BF0C", objects.len(), 0, 222)?;
    let mut seen = Vec::new();
    let mut rest = objects;
    while !rest.is_empty() {
        let (object, after) = Tlv::read(rest).map_err(|error| ProfileError::tag(tags::FCI_DISCRETIONARY, error))?;
        if seen.contains(&object.tag) {
            return Err(ProfileError::tag(object.tag, "is in BF0C twice"));
        }
        seen.push(object.tag);
        match object.tag {
            tags::THIRD_PARTY => check_third_party(object.value)?,
            tags::CAPABILITIES => check_capabilities(object.value)?,
            tags::LOG_ENTRY => {
                return Err(ProfileError::tag(
                    object.tag,
                    "promises a log of transactions, which this card does not keep",
                ));
            }
            tags::FCI_DISCRETIONARY | tags::LABEL | tags::PRIORITY | tags::PDOL | tags::DF_NAME => {
                return Err(ProfileError::tag(object.tag, "is in BF0C, and has a place of its own"));
            }
            _ => {}
        }
        Tlv::for_each_primitive(objects_in(&object), &mut |_| ())
            .map_err(|error| ProfileError::tag(object.tag, error))?;
        rest = after;
    }
    Ok(())
}

/// What a template holds; a primitive object holds none.
fn objects_in<'a>(object: &Tlv<'a>) -> &'a [u8] {
    if object.tag.is_constructed() { object.value } else { &[] }
}

/// Tag 9F6E: country, identifier, device type (absent where the identifier's top bit is set), and
/// proprietary data, which for the identifier 0000 is one byte 00.
fn check_third_party(value: &[u8]) -> Result<(), ProfileError> {
    let fault = |reason: &str| Err(ProfileError::tag(tags::THIRD_PARTY, reason));
    in_range("9F6E", value.len(), 5, 32)?;
    let Some((&[c1, c2, identifier @ ..], rest)) = value.split_first_chunk::<4>() else {
        return fault("is cut short");
    };
    if numeric(&[c1, c2]).is_none_or(|country| !(1..=999).contains(&country)) {
        return fault("does not start with a country");
    }
    let data = match identifier {
        [0x00..=0x7F, _] => match rest.split_first_chunk::<2>() {
            Some((device, data)) if device.iter().all(u8::is_ascii_alphanumeric) => data,
            _ => return fault("has no device type of two characters"),
        },
        _ => rest,
    };
    match (identifier, data) {
        ([0, 0], [0]) => Ok(()),
        ([0, 0], _) => fault("has no identifier, so that its data are one byte 00"),
        (_, []) => fault("has an identifier and no data"),
        _ => Ok(()),
    }
}

/// Tag 9F5D: version 0 and none of its abilities (data storage, field-off detection, balance reading,
/// CDA over an AAC), since the card has none of them.
fn check_capabilities(value: &[u8]) -> Result<(), ProfileError> {
    match value {
        [0, 0, 0] => Ok(()),
        [_, _, _] => Err(ProfileError::tag(tags::CAPABILITIES, "promises abilities that this card does not have")),
        _ => Err(ProfileError::tag(tags::CAPABILITIES, format!("is {} bytes, not 3", value.len()))),
    }
}
