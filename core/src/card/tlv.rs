//! BER-TLV as EMV uses it (EMV Book 3, annex B): definite, shortest lengths; tags of at most three
//! bytes; no filler between objects.
//!
//! The strictness is deliberate: a terminal encodes an answer anew before it hashes it, so an object
//! that has two encodings could be shown in one and signed in another.

/// How deeply templates may nest; real cards need three.
const MAX_DEPTH: usize = 8;

/// The name of a data object: one to three bytes, held as a number (`9F02` is 0x9F02).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u32);

impl Tag {
    /// A tag known at compile time; `value` must be a well-formed tag.
    pub(crate) const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The tag as a number, its first byte the most significant one in use.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Reads a tag from the front of `bytes`.
    ///
    /// # Errors
    /// [`TlvError::Truncated`] or [`TlvError::Tag`].
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), TlvError> {
        let (&first, rest) = bytes.split_first().ok_or(TlvError::Truncated)?;
        if first == 0 {
            return Err(TlvError::Tag);
        }
        if first & 0x1F != 0x1F {
            return Ok((Self(u32::from(first)), rest));
        }
        let (&second, rest) = rest.split_first().ok_or(TlvError::Truncated)?;
        let two = u32::from(first) << 8 | u32::from(second);
        match second {
            // A subsequent byte 80 would be a leading zero of the tag number (ISO 8825-1, 8.1.2.4.2).
            0x80 => Err(TlvError::Tag),
            0x81.. => {
                let (&third, rest) = rest.split_first().ok_or(TlvError::Truncated)?;
                if third & 0x80 != 0 {
                    return Err(TlvError::Tag);
                }
                Ok((Self(two << 8 | u32::from(third)), rest))
            }
            _ => Ok((Self(two), rest)),
        }
    }

    /// Appends the tag's bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.0));
    }

    /// The object holds further objects (bit 6 of the first byte).
    #[must_use]
    pub fn is_constructed(self) -> bool {
        let first = match self.0 {
            n if n > 0xFFFF => n >> 16,
            n if n > 0xFF => n >> 8,
            n => n,
        };
        first & 0x20 != 0
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            n if n > 0xFFFF => write!(f, "{n:06X}"),
            n if n > 0xFF => write!(f, "{n:04X}"),
            n => write!(f, "{n:02X}"),
        }
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// One data object. Its value may be a card number, so it has no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Its name.
    pub tag: Tag,
    /// Its content.
    pub value: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads one object from the front of `bytes`; answers it and what follows it.
    ///
    /// # Errors
    /// As [`TlvError`] names them.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), TlvError> {
        let (tag, rest) = Tag::read(bytes)?;
        let (length, rest) = read_length(rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Truncated)?;
        Ok((Self { tag, value }, rest))
    }

    /// Reads one object that fills `bytes`.
    ///
    /// # Errors
    /// As [`TlvError`] names them; [`TlvError::Trailing`] if something follows.
    pub fn read_only(bytes: &'a [u8]) -> Result<Self, TlvError> {
        match Self::read(bytes)? {
            (object, []) => Ok(object),
            _ => Err(TlvError::Trailing),
        }
    }

    /// Walks over all primitive objects in `bytes`, in order, also inside templates.
    ///
    /// # Errors
    /// As [`TlvError`] names them. `visit` may have been called for the objects before the fault.
    pub fn for_each_primitive(bytes: &'a [u8], visit: &mut impl FnMut(Self)) -> Result<(), TlvError> {
        walk(bytes, MAX_DEPTH, visit)
    }
}

fn walk<'a>(mut bytes: &'a [u8], depth: usize, visit: &mut impl FnMut(Tlv<'a>)) -> Result<(), TlvError> {
    let below = depth.checked_sub(1).ok_or(TlvError::TooDeep)?;
    while !bytes.is_empty() {
        let (object, rest) = Tlv::read(bytes)?;
        if object.tag.is_constructed() {
            walk(object.value, below, visit)?;
        } else {
            visit(object);
        }
        bytes = rest;
    }
    Ok(())
}

/// Why bytes are not TLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// An object is longer than what holds it.
    #[error("an object is cut short")]
    Truncated,
    /// A tag of more than three bytes, filler, or a tag number with leading zeros.
    #[error("a tag is malformed")]
    Tag,
    /// An indefinite length, one not in its shortest form, or one above 65535.
    #[error("a length is not in its shortest form")]
    Length,
    /// Templates nest too deeply.
    #[error("templates nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Something follows the one object that was expected.
    #[error("bytes follow the object")]
    Trailing,
}

/// Appends an object with the shortest length form.
pub fn write(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    tag.write(out);
    write_length(out, value.len());
    out.extend_from_slice(value);
}

/// The bytes of one object.
#[must_use]
pub fn object(tag: Tag, value: &[u8]) -> Vec<u8> {
    // Three bytes of tag and three of length cover all that a card answers.
    let mut out = Vec::with_capacity(value.len().saturating_add(6));
    write(&mut out, tag, value);
    out
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    let number = length as u64;
    match length {
        0..=0x7F => push_number(out, number),
        0x80..=0xFF => push_number(out, 0x8100 | number),
        0x100..=0xFFFF => push_number(out, 0x82_0000 | number),
        // Out of reach of anything that is read back; still well-formed.
        _ => {
            out.push(0x88);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), TlvError> {
    let (&first, rest) = bytes.split_first().ok_or(TlvError::Truncated)?;
    match first {
        0..=0x7F => Ok((usize::from(first), rest)),
        0x81 => match rest.split_first().ok_or(TlvError::Truncated)? {
            (&length @ 0x80.., rest) => Ok((usize::from(length), rest)),
            _ => Err(TlvError::Length),
        },
        0x82 => match rest.split_at_checked(2).ok_or(TlvError::Truncated)? {
            (&[high @ 1..=0xFF, low], rest) => Ok((usize::from(u16::from_be_bytes([high, low])), rest)),
            _ => Err(TlvError::Length),
        },
        _ => Err(TlvError::Length),
    }
}

/// Appends a number without its leading zero bytes, but at least one byte.
fn push_number(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1);
    out.extend(bytes.iter().skip(zeros));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    #[test]
    fn a_directory_is_walked_into_its_templates() {
        let bytes = hex("6F25 840E325041592E5359532E4444463031 A513 BF0C10 610E 4F09A00000000430600001 870102");
        let mut seen = Vec::new();
        Tlv::for_each_primitive(&bytes, &mut |object| seen.push((object.tag.number(), object.value.len()))).unwrap();
        assert_eq!(seen, [(0x84, 14), (0x4F, 9), (0x87, 1)]);
    }

    #[test]
    fn a_length_in_a_longer_form_is_refused() {
        for bytes in ["5A 81 01 AA", "5A 82 00 01 AA", "5A 80 AA 00 00", "5A 83 00 00 01 AA", "5A 81 7F"] {
            assert_eq!(Tlv::read(&hex(bytes)).err(), Some(TlvError::Length), "{bytes}");
        }
    }

    #[test]
    fn a_malformed_or_cut_object_is_refused() {
        assert_eq!(Tlv::read(&[]).err(), Some(TlvError::Truncated));
        assert_eq!(Tlv::read(&hex("00 01 AA")).err(), Some(TlvError::Tag));
        assert_eq!(Tlv::read(&hex("9F 80 01 00")).err(), Some(TlvError::Tag));
        assert_eq!(Tlv::read(&hex("9F 81 81 01 00")).err(), Some(TlvError::Tag));
        assert_eq!(Tlv::read(&hex("5A 02 AA")).err(), Some(TlvError::Truncated));
        assert_eq!(Tlv::read_only(&hex("5A 01 AA 00")).err(), Some(TlvError::Trailing));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut bytes = hex("5A 01 AA");
        for _ in 0..7 {
            bytes = object(Tag::new(0x70), &bytes);
        }
        assert_eq!(Tlv::for_each_primitive(&bytes, &mut |_| ()), Ok(()));
        let deeper = object(Tag::new(0x70), &bytes);
        assert_eq!(Tlv::for_each_primitive(&deeper, &mut |_| ()), Err(TlvError::TooDeep));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            number in prop_oneof![Just(0x5Au32), Just(0x9F02), Just(0xDF8124), Just(0x77)],
            value in prop::collection::vec(any::<u8>(), 0..70_000),
            after in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut bytes = object(Tag::new(number), &value);
            bytes.extend_from_slice(&after);
            match Tlv::read(&bytes) {
                Ok((read, rest)) => {
                    prop_assert_eq!((read.tag.number(), read.value, rest), (number, &value[..], &after[..]));
                }
                Err(error) => prop_assert!(value.len() > 0xFFFF, "{}", error),
            }
        }

        #[test]
        fn what_is_read_is_written_back_byte_for_byte(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok((read, rest)) = Tlv::read(&bytes) {
                let used = bytes.len() - rest.len();
                prop_assert_eq!(object(read.tag, read.value), &bytes[..used]);
            }
            let _ = Tlv::for_each_primitive(&bytes, &mut |_| ());
        }
    }
}
