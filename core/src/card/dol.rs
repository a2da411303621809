//! Data object lists (EMV Book 3, 5.4): which objects a terminal sends, and where they lie in what
//! it sent.

use super::tlv::{Tag, TlvError};

/// A list and the data of a short command both have to fit 252 bytes with their framing.
const MAX_BYTES: usize = 252;

/// A parsed list. Each tag appears once, so that a value found by its tag is the only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dol {
    entries: Vec<Entry>,
    data_len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    offset: usize,
    length: u8,
}

impl Dol {
    /// Parses a list of tags and lengths. No bytes: the empty list.
    ///
    /// # Errors
    /// As [`DolError`] names them.
    pub fn parse(bytes: &[u8]) -> Result<Self, DolError> {
        if bytes.len() > MAX_BYTES {
            return Err(DolError::TooLong { bytes: bytes.len() });
        }
        let mut dol = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, after) = Tag::read(rest)?;
            let (&length, after) = after.split_first().ok_or(TlvError::Truncated)?;
            if dol.length_of(tag).is_some() {
                return Err(DolError::Repeated { tag });
            }
            dol.entries.push(Entry { tag, offset: dol.data_len, length });
            dol.data_len += usize::from(length);
            rest = after;
        }
        match dol.data_len {
            0..=MAX_BYTES => Ok(dol),
            bytes => Err(DolError::DataTooLong { bytes }),
        }
    }

    /// How many bytes the terminal sends for this list.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.data_len
    }

    /// The length that the list asks for under `tag`.
    #[must_use]
    pub fn length_of(&self, tag: Tag) -> Option<u8> {
        self.entries.iter().find(|entry| entry.tag == tag).map(|entry| entry.length)
    }

    /// The value of `tag` in `data`, which a terminal sent for this list; `None` if the list does not
    /// ask for it or `data` is too short for it.
    #[must_use]
    pub fn find<'a>(&self, tag: Tag, data: &'a [u8]) -> Option<&'a [u8]> {
        let entry = self.entries.iter().find(|entry| entry.tag == tag)?;
        data.get(entry.offset..)?.get(..usize::from(entry.length))
    }

    /// The list as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 3);
        for entry in &self.entries {
            entry.tag.write(&mut out);
            out.push(entry.length);
        }
        out
    }
}

/// Why bytes are not a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DolError {
    /// A tag or length is malformed or missing.
    #[error(transparent)]
    Malformed(#[from] TlvError),
    /// A tag is there twice.
    #[error("{tag} is listed twice")]
    Repeated {
        /// The tag.
        tag: Tag,
    },
    /// The list is too long.
    #[error("the list is {bytes} bytes, limit {MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The data asked for does not fit a short command.
    #[error("the list asks for {bytes} bytes, limit {MAX_BYTES}")]
    DataTooLong {
        /// How many bytes it asks for.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_phone_cdol1_finds_values_by_tag() {
        let list = hex::decode("9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F34039F1502").unwrap();
        let dol = Dol::parse(&list).unwrap();
        let data: Vec<u8> = (0..45).collect();
        assert_eq!(dol.data_len(), 45);
        assert_eq!(dol.find(Tag::new(0x9F37), &data), Some(&[25u8, 26, 27, 28][..]));
        assert_eq!(dol.find(Tag::new(0x9F15), &data), Some(&[43u8, 44][..]));
        assert_eq!(dol.find(Tag::new(0x9F4E), &data), None);
        assert_eq!(dol.find(Tag::new(0x9F15), &data[..44]), None);
    }

    #[test]
    fn a_repeated_tag_or_too_much_data_is_refused() {
        assert_eq!(Dol::parse(&[0x9A, 3, 0x9A, 3]), Err(DolError::Repeated { tag: Tag::new(0x9A) }));
        assert_eq!(Dol::parse(&[0x9A, 0xFF]), Err(DolError::DataTooLong { bytes: 255 }));
        assert_eq!(Dol::parse(&[0x9A]), Err(DolError::Malformed(TlvError::Truncated)));
        assert_eq!(Dol::parse(&[0x9A; 253]), Err(DolError::TooLong { bytes: 253 }));
    }

    proptest! {
        #[test]
        fn a_list_that_parses_is_encoded_the_same(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(dol) = Dol::parse(&bytes) {
                prop_assert_eq!(dol.encode(), bytes);
            }
        }

        #[test]
        fn the_parts_cover_the_data(lengths in prop::collection::vec(0u8..9, 0..20)) {
            let list: Vec<u8> = lengths.iter().zip(1u8..).flat_map(|(length, n)| [0xDF, n, *length]).collect();
            let dol = Dol::parse(&list).unwrap();
            let data: Vec<u8> = (0..dol.data_len()).map(|n| n as u8).collect();
            let parts: Vec<u8> = (1..=lengths.len())
                .flat_map(|n| dol.find(Tag::new(0xDF00 | n as u32), &data).unwrap().to_vec())
                .collect();
            prop_assert_eq!(parts, data);
        }
    }
}
