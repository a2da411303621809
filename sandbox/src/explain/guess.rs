//! What a piece of hex is, when nobody says.

use std::str::FromStr;

use nfcwallet_core::card::apdu::Command;
use nfcwallet_core::card::tlv::{Tag, Tlv, TlvError};

use super::apdu::Kind;
use super::dictionary;
use super::{codes, tlv};

/// How a piece of hex is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A command APDU.
    Command,
    /// An answer with its status word.
    Response,
    /// Data objects.
    Objects,
    /// A list of tags and lengths.
    List,
    /// The value of this tag.
    Value(u32),
    /// The six bytes of card verification results in tag 9F10.
    CardVerificationResults,
}

/// Words for forms and for tags that people look at most.
const WORDS: [(&str, Form); 23] = [
    ("apdu", Form::Command),
    ("command", Form::Command),
    ("response", Form::Response),
    ("sw", Form::Response),
    ("tlv", Form::Objects),
    ("dol", Form::List),
    ("pdol", Form::Value(0x9F38)),
    ("cdol1", Form::Value(0x8C)),
    ("cdol2", Form::Value(0x8D)),
    ("aip", Form::Value(0x82)),
    ("afl", Form::Value(0x94)),
    ("tvr", Form::Value(0x95)),
    ("tsi", Form::Value(0x9B)),
    ("auc", Form::Value(0x9F07)),
    ("cid", Form::Value(0x9F27)),
    ("cvm-results", Form::Value(0x9F34)),
    ("cvm-list", Form::Value(0x8E)),
    ("iad", Form::Value(0x9F10)),
    ("cvr", Form::CardVerificationResults),
    ("ttq", Form::Value(0x9F66)),
    ("track2", Form::Value(0x57)),
    ("pan", Form::Value(0x5A)),
    ("aid", Form::Value(0x4F)),
];

/// A word that is neither a form nor a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no form and no tag; take a tag such as 9F34, or one of {}", Form::words())]
pub struct FormError {
    word: String,
}

impl Form {
    /// The names of all forms that have one, with commas between them.
    #[must_use]
    pub fn words() -> String {
        WORDS.map(|(word, _)| word).join(", ")
    }
}

impl FromStr for Form {
    type Err = FormError;

    fn from_str(word: &str) -> Result<Self, FormError> {
        let lower = word.to_ascii_lowercase();
        let named = WORDS.iter().find(|(known, _)| *known == lower).map(|(_, form)| *form);
        named.or_else(|| tag(word).ok().map(Self::Value)).ok_or_else(|| FormError { word: word.to_owned() })
    }
}

/// Why a word is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Not whole bytes in hex.
    #[error("`{word}` is no tag; write it in hex, for example 9F6E")]
    NotHex {
        /// The word.
        word: String,
    },
    /// Its last byte says that another one follows.
    #[error("`{word}` is unfinished: its last byte says that another one follows (EMV Book 3, annex B)")]
    Unfinished {
        /// The word.
        word: String,
    },
    /// A tag, and more.
    #[error("`{word}` goes on behind the tag {tag}")]
    GoesOn {
        /// The word.
        word: String,
        /// The tag at its beginning.
        tag: Tag,
    },
    /// No tag begins so, or it is longer than three bytes.
    #[error("`{word}` is no tag: {reason} (EMV Book 3, annex B)")]
    Malformed {
        /// The word.
        word: String,
        /// What the parser says.
        reason: TlvError,
    },
}

/// A tag in hex, as a number.
///
/// # Errors
/// [`TagError`].
pub fn tag(text: &str) -> Result<u32, TagError> {
    let word = text.to_owned();
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap_or_default();
    if bytes.is_empty() {
        return Err(TagError::NotHex { word });
    }
    match Tag::read(&bytes) {
        Ok((tag, [])) => Ok(tag.number()),
        Ok((tag, _)) => Err(TagError::GoesOn { word, tag }),
        Err(TlvError::Truncated) => Err(TagError::Unfinished { word }),
        Err(reason) => Err(TagError::Malformed { word, reason }),
    }
}

/// The form that fits best; `None` if none fits at all.
pub(super) fn form(bytes: &[u8]) -> Option<Form> {
    // Exact fits first. 9000 alone is also an empty object 90, so an answer goes before objects.
    if is_response(bytes) {
        return Some(Form::Response);
    }
    if are_objects(bytes) {
        return Some(Form::Objects);
    }
    if is_command(bytes) {
        return Some(Form::Command);
    }
    if is_list(bytes) {
        return Some(Form::List);
    }
    // Something broken: what does it begin like?
    let known = starts_with_known_tag(bytes);
    match bytes {
        [.., 0x90, 0x00] if known => Some(Form::Response),
        _ if known => Some(Form::Objects),
        [cla, ins, ..] if Kind::of(*cla, *ins) != Kind::Unknown => Some(Form::Command),
        _ => None,
    }
}

/// The bytes are exactly one of the forms.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    is_response(bytes) || are_objects(bytes) || is_command(bytes) || is_list(bytes)
}

fn is_response(bytes: &[u8]) -> bool {
    match bytes.split_last_chunk::<2>() {
        Some((data, word)) => {
            let is_word = codes::status_word(u16::from_be_bytes(*word)).is_some();
            is_word && (data.is_empty() || are_objects(data))
        }
        None => false,
    }
}

fn are_objects(bytes: &[u8]) -> bool {
    let parses = Tlv::for_each_primitive(bytes, &mut |_| ()).is_ok();
    !bytes.is_empty() && parses && starts_with_known_tag(bytes)
}

fn starts_with_known_tag(bytes: &[u8]) -> bool {
    Tag::read(bytes).is_ok_and(|(tag, _)| dictionary::find(tag.number(), None).is_some())
}

fn is_command(bytes: &[u8]) -> bool {
    Command::parse(bytes)
        .is_ok_and(|command| Kind::of(command.cla, command.ins) != Kind::Unknown && command.data().is_ok())
}

fn is_list(bytes: &[u8]) -> bool {
    let (entries, fault) = tlv::entries(bytes);
    let known = |wanted: &tlv::Wanted| {
        let entry = dictionary::find(wanted.tag.number(), None);
        entry.is_some_and(|entry| !wanted.tag.is_constructed() && wanted.length <= entry.max)
    };
    fault.is_none() && entries.len() >= 2 && entries.iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(text: &str) -> Option<Form> {
        form(&hex::decode(text).unwrap())
    }

    #[test]
    fn forms_are_told_apart() {
        for (text, expected) in [
            ("00A404000E325041592E5359532E444446303100", Form::Command),
            ("80A8000002830000", Form::Command),
            ("00B2011400", Form::Command),
            ("802A8E800F08680008000000000015000978005600", Form::Command),
            ("9000", Form::Response),
            ("6A82", Form::Response),
            ("6F00", Form::Response),
            ("770A820200009404080101009000", Form::Response),
            ("800A01020304000000C800129000", Form::Response),
            ("9F36020001", Form::Objects),
            ("82029000", Form::Objects),
            ("950500000080 00".replace(' ', "").as_str(), Form::Objects),
            ("9F1D089F1A029F3501", Form::List),
            ("9F02069F33039C01", Form::List),
            ("70815A", Form::Objects),
            ("7081BC57129000", Form::Response),
            ("00A4040007A0", Form::Command),
        ] {
            assert_eq!(guessed(text), Some(expected), "{text}");
        }
        assert_eq!(guessed("12345678"), None);
        assert_eq!(guessed(""), None);
    }

    #[test]
    fn forms_have_names() {
        assert_eq!("TVR".parse(), Ok(Form::Value(0x95)));
        assert_eq!("9f6e".parse(), Ok(Form::Value(0x9F6E)));
        assert_eq!("cvr".parse(), Ok(Form::CardVerificationResults));
        for word in ["", "nonsense", "9F", "9F6E00", "00"] {
            assert!(word.parse::<Form>().is_err(), "{word}");
        }
    }

    #[test]
    fn what_is_no_tag_is_told_for_what_it_is() {
        assert_eq!((tag("9F6E"), tag("0x5A")), (Ok(0x9F6E), Ok(0x5A)));
        for (word, reason) in [
            ("", "in hex"),
            ("9F6", "in hex"),
            ("hello", "in hex"),
            ("9F", "unfinished"),
            ("9FFF", "unfinished"),
            ("9F6E00", "goes on behind the tag 9F6E"),
            ("9FFFFF", "a tag is malformed"),
            ("00", "a tag is malformed"),
        ] {
            let says = tag(word).unwrap_err().to_string();
            assert!(says.contains(reason), "{says}");
        }
    }
}
