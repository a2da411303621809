//! TLV by the letter of EMV Book 3, annex B, read a second time: definite, shortest lengths of at most
//! 65535; tags of one to three bytes; no filler.

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    /// As a number, first byte first.
    pub(crate) tag: u32,
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) bytes: &'a [u8],
}

impl Object<'_> {
    /// Bit 6 of the tag's first byte.
    pub(crate) fn is_template(&self) -> bool {
        self.bytes[0] & 0x20 != 0
    }
}

/// The object in front, and what follows it.
pub(crate) fn first(bytes: &[u8]) -> Option<(Object<'_>, &[u8])> {
    let tag_length = tag_length(bytes)?;
    let tag = bytes[..tag_length].iter().fold(0, |tag, byte| tag << 8 | u32::from(*byte));
    let (length, length_length) = length(&bytes[tag_length..])?;
    let (start, end) = (tag_length + length_length, tag_length + length_length + length);
    let object = Object { tag, value: bytes.get(start..end)?, bytes: &bytes[..end] };
    Some((object, &bytes[end..]))
}

/// All objects side by side.
pub(crate) fn list(mut bytes: &[u8]) -> Option<Vec<Object<'_>>> {
    let mut objects = Vec::new();
    while !bytes.is_empty() {
        let (object, rest) = first(bytes)?;
        objects.push(object);
        bytes = rest;
    }
    Some(objects)
}

/// All primitive objects in their order, and how deeply they nest; `None` if anything is malformed.
pub(crate) fn primitives(bytes: &[u8]) -> Option<(Vec<Object<'_>>, usize)> {
    let (mut found, mut deepest) = (Vec::new(), 1);
    // The last of the stack is what comes next.
    let mut waiting: Vec<(Object<'_>, usize)> = list(bytes)?.into_iter().rev().map(|object| (object, 1)).collect();
    while let Some((object, depth)) = waiting.pop() {
        if object.is_template() {
            deepest = deepest.max(depth + 1);
            waiting.extend(list(object.value)?.into_iter().rev().map(|inner| (inner, depth + 1)));
        } else {
            found.push(object);
        }
    }
    Some((found, deepest))
}

/// The length of the tag in front, if it is well-formed.
pub(crate) fn tag_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0, ..] | [] => None,
        [first, ..] if first & 0x1F != 0x1F => Some(1),
        [_, second, ..] if *second < 0x80 => Some(2),
        [_, 0x81..=0xFF, third, ..] if *third < 0x80 => Some(3),
        _ => None,
    }
}

/// The length in front, and how many bytes say it.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes {
        [short @ ..=0x7F, ..] => Some((usize::from(*short), 1)),
        [0x81, length @ 0x80..=0xFF, ..] => Some((usize::from(*length), 2)),
        [0x82, high @ 1..=0xFF, low, ..] => Some((usize::from(*high) << 8 | usize::from(*low), 3)),
        _ => None,
    }
}
