//! BER-TLV as the issuer writes it: primitive or constructed objects with the shortest length
//! (EMV Book 3, Annex B). A terminal re-encodes before it hashes, so no other form may leave.

/// One data object: tag, shortest length, value.
pub(crate) fn tlv(tag: u32, value: &[u8]) -> Vec<u8> {
    let tag = tag.to_be_bytes();
    let mut out: Vec<u8> = tag.iter().copied().skip_while(|byte| *byte == 0).collect();
    let length = value.len().to_be_bytes();
    let length: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    match length.as_slice() {
        [] => out.push(0),
        [short @ 0..=0x7F] => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

/// Several objects, one after the other.
pub(crate) fn join<const N: usize>(objects: [Vec<u8>; N]) -> Vec<u8> {
    objects.concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(tlv(0x9F27, &[0x80]), [0x9F, 0x27, 1, 0x80]);
        assert_eq!(tlv(0x50, &[])[..], [0x50, 0]);
        assert_eq!(tlv(0x70, &[7; 127])[..2], [0x70, 127]);
        assert_eq!(tlv(0x70, &[7; 128])[..3], [0x70, 0x81, 128]);
        assert_eq!(tlv(0x70, &[7; 256])[..4], [0x70, 0x82, 1, 0]);
    }

    #[test]
    fn what_was_written_is_read_and_a_cut_record_is_not() {
        let record = tlv(0x70, &join([tlv(0x5F24, &[0x30, 0x12, 0x31]), tlv(0x90, &[9; 176])]));
        assert_eq!(children(&record, 0x70).unwrap(), [(0x5F24, &[0x30u8, 0x12, 0x31][..]), (0x90, &[9; 176][..])]);
        assert!((0..record.len()).all(|cut| children(&record[..cut], 0x70).is_none()));
        assert_eq!(children(&[0x70, 0x80, 0, 0], 0x70), None);
    }

    /// The primitive objects of a record, found by tag; `None` if the bytes are not TLV of the shortest
    /// length form or lead beyond their end.
    pub(crate) fn children(template: &[u8], outer: u32) -> Option<Vec<(u32, &[u8])>> {
        let (tag, value, rest) = take(template)?;
        if tag != outer || !rest.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        let mut left = value;
        while !left.is_empty() {
            let (tag, value, rest) = take(left)?;
            out.push((tag, value));
            left = rest;
        }
        Some(out)
    }

    fn take(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
        let (&first, mut rest) = bytes.split_first()?;
        let mut tag = u32::from(first);
        if first & 0x1F == 0x1F {
            loop {
                let (&next, after) = rest.split_first()?;
                tag = tag.checked_mul(256)?.checked_add(u32::from(next))?;
                rest = after;
                if next & 0x80 == 0 {
                    break;
                }
            }
        }
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7F => (usize::from(length), rest),
            0x81 => {
                let (&length, rest) = rest.split_first().filter(|(length, _)| **length > 0x7F)?;
                (usize::from(length), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        Some((tag, value, rest))
    }
}
