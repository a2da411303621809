//! Damages JSON by its structure: any field of any message, also those that do not exist yet.

use arbitrary::Arbitrary;
use serde_json::{Map, Value};

use crate::ber;

/// Names of applications and directories.
const NAMES: [&[u8]; 4] = [b"2PAY.SYS.DDF01", b"1PAY.SYS.DDF01", b"2PAY.SYS.DDF0", b"\xA0\0\0\0\x04\x10\x10"];

/// One change at one place.
#[derive(Debug, Arbitrary)]
pub(crate) struct Edit {
    /// The place: a number among all values of the document, modulo their number.
    at: u16,
    change: Change,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Null,
    Flag(bool),
    Number(i64),
    Small(u8),
    Text(String),
    EmptyList,
    EmptyObject,
    /// Of a list or an object.
    Remove(u8),
    /// Of a list.
    Double(u8),
    /// Of a list.
    Swap(u8, u8),
    /// Of an object.
    Field(String, i64),
    /// A string of hex digits is changed as the bytes that it means.
    Bytes(ByteChange),
    /// A string of hex digits is changed as the TLV objects that it means.
    Objects {
        which: u8,
        change: ObjectChange,
    },
}

#[derive(Debug, Arbitrary)]
enum ByteChange {
    Set(Vec<u8>),
    Flip {
        at: u8,
        bits: u8,
    },
    Insert {
        at: u8,
        bytes: Vec<u8>,
    },
    Cut {
        at: u8,
        length: u8,
    },
    Repeat {
        times: u8,
    },
    /// Bytes with a meaning of their own.
    Name(u8),
    /// Perhaps more than an answer holds.
    Fill {
        length: u8,
        byte: u8,
    },
}

#[derive(Debug, Arbitrary)]
enum ObjectChange {
    Remove,
    Double,
    Tag(u8),
    Value(ByteChange),
    Add { tag: [u8; 2], value: Vec<u8> },
}

/// Applies the edits one after the other.
pub(crate) fn apply(document: &mut Value, edits: &[Edit]) {
    for edit in edits {
        let places = count(document);
        let place = nth(document, usize::from(edit.at) % places).expect("the place was counted");
        edit.change.apply(place);
    }
}

/// How many values a document has, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The `n`th value, parents before children.
fn nth(value: &mut Value, mut n: usize) -> Option<&mut Value> {
    if n == 0 {
        return Some(value);
    }
    n -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let inside = count(child);
        if n < inside {
            return nth(child, n);
        }
        n -= inside;
    }
    None
}

impl Change {
    fn apply(&self, place: &mut Value) {
        match self {
            Self::Null => *place = Value::Null,
            Self::Flag(flag) => *place = (*flag).into(),
            Self::Number(number) => *place = (*number).into(),
            Self::Small(number) => *place = (*number).into(),
            Self::Text(text) => *place = text.clone().into(),
            Self::EmptyList => *place = Value::Array(Vec::new()),
            Self::EmptyObject => *place = Value::Object(Map::new()),
            Self::Bytes(change) => in_hex(place, |bytes| change.apply(bytes)),
            Self::Objects { which, change } => in_hex(place, |bytes| change.apply(bytes, *which)),
            Self::Remove(_) | Self::Double(_) | Self::Swap(..) | Self::Field(..) => self.apply_inside(place),
        }
    }

    fn apply_inside(&self, place: &mut Value) {
        match (self, place) {
            (Self::Remove(at), Value::Array(items)) if !items.is_empty() => {
                items.remove(usize::from(*at) % items.len());
            }
            (Self::Double(at), Value::Array(items)) if !items.is_empty() => {
                items.push(items[usize::from(*at) % items.len()].clone());
            }
            (Self::Swap(one, other), Value::Array(items)) if !items.is_empty() => {
                let length = items.len();
                items.swap(usize::from(*one) % length, usize::from(*other) % length);
            }
            (Self::Remove(at), Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(usize::from(*at) % fields.len()).cloned();
                fields.remove(&name.unwrap_or_default());
            }
            (Self::Field(name, number), Value::Object(fields)) => drop(fields.insert(name.clone(), (*number).into())),
            _ => {}
        }
    }
}

fn in_hex(place: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let Some(mut bytes) = place.as_str().and_then(|text| hex::decode(text).ok()) else { return };
    change(&mut bytes);
    *place = hex::encode(bytes).into();
}

impl ByteChange {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(new) => bytes.clone_from(new),
            Self::Flip { at, bits } if !bytes.is_empty() => {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= bits;
            }
            Self::Insert { at, bytes: new } => {
                let at = usize::from(*at) % (bytes.len() + 1);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Cut { at, length } if !bytes.is_empty() => {
                let at = usize::from(*at) % bytes.len();
                let end = (at + usize::from(*length)).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Repeat { times } => *bytes = bytes.repeat(usize::from(*times % 8)),
            Self::Fill { length, byte } => *bytes = vec![*byte; usize::from(*length)],
            Self::Name(which) => *bytes = NAMES[usize::from(*which) % NAMES.len()].to_vec(),
            Self::Flip { .. } | Self::Cut { .. } => {}
        }
    }
}

impl ObjectChange {
    /// Changes one object of a template that fills `bytes`, or one of the objects side by side.
    fn apply(&self, bytes: &mut Vec<u8>, which: u8) {
        let Some(objects) = ber::list(bytes) else { return };
        *bytes = match objects[..] {
            [template] if template.is_template() => {
                let Some(inside) = ber::list(template.value) else { return };
                encode(&tag_of(template.bytes), &self.among(&inside, which))
            }
            _ => self.among(&objects, which),
        };
    }

    fn among(&self, objects: &[ber::Object<'_>], which: u8) -> Vec<u8> {
        let at = usize::from(which) % objects.len().max(1);
        let mut parts: Vec<Vec<u8>> = objects.iter().map(|object| object.bytes.to_vec()).collect();
        match (self, objects.get(at)) {
            (Self::Remove, Some(_)) => drop(parts.remove(at)),
            (Self::Double, Some(_)) => parts.push(parts[at].clone()),
            (Self::Tag(bits), Some(object)) => {
                let mut tag = tag_of(object.bytes);
                *tag.last_mut().unwrap() ^= bits;
                parts[at] = encode(&tag, object.value);
            }
            (Self::Value(change), Some(object)) => {
                let mut value = object.value.to_vec();
                change.apply(&mut value);
                parts[at] = encode(&tag_of(object.bytes), &value);
            }
            (Self::Add { tag, value }, _) => {
                let length = ber::tag_length(tag).unwrap_or(tag.len()).min(tag.len());
                parts.insert(at.min(parts.len()), encode(&tag[..length], value));
            }
            _ => {}
        }
        parts.concat()
    }
}

fn tag_of(object: &[u8]) -> Vec<u8> {
    object[..ber::tag_length(object).unwrap()].to_vec()
}

/// An object with the shortest length.
fn encode(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let [.., high, low] = value.len().to_be_bytes();
    let length = match value.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [tag, &length, value].concat()
}
