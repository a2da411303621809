//! Trees of data objects, lists of tags, and data sent for such lists. The parser is the card's own
//! (`nfcwallet_core::card::tlv`); here it is told where it stopped and why.

use nfcwallet_core::card::tlv::{Tag, Tlv, TlvError};

use super::dictionary;
use super::node::{Node, Tone, count};
use super::values::{self, Context, Reading};

/// As deep as the card's parser goes.
const DEPTH_LIMIT: usize = 8;
/// How many bytes are shown of what could not be decoded; they may hold a card number.
const SHOWN_OF_REST: usize = 4;

/// A line for each object in `bytes`, which start at `at`; the last one says why decoding stopped, if
/// it did.
pub(super) fn tree(bytes: &[u8], at: usize, context: Context) -> Vec<Node> {
    let currency = context.currency.or_else(|| currency_in(bytes));
    branch(bytes, at, Context { currency, ..context }, DEPTH_LIMIT)
}

fn branch(mut bytes: &[u8], mut at: usize, context: Context, depth: usize) -> Vec<Node> {
    let Some(below) = depth.checked_sub(1) else {
        return vec![Node::malformed(at, TlvError::TooDeep)];
    };
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let filler = bytes.iter().take_while(|byte| **byte == 0).count();
        if filler > 0 {
            // Allowed between objects (ISO/IEC 7816-4, 5.2.2.1), though EMV cards should not send it.
            nodes.push(Node::new("00", "filler").at(at).means(count(filler, "byte")).toned(Tone::Warning));
            bytes = bytes.get(filler..).unwrap_or_default();
            at = at.saturating_add(filler);
            continue;
        }
        match Tlv::read(bytes) {
            Ok((object, rest)) => {
                let value_at = at.saturating_add(bytes.len() - rest.len() - object.value.len());
                nodes.push(one(object, at, value_at, context, below));
                at = value_at.saturating_add(object.value.len());
                bytes = rest;
            }
            Err(error) => {
                nodes.push(fault(bytes, at, error, context));
                break;
            }
        }
    }
    nodes
}

fn one(object: Tlv<'_>, at: usize, value_at: usize, context: Context, depth: usize) -> Node {
    if !object.tag.is_constructed() {
        return values::object(object.tag, object.value, at, value_at, context);
    }
    let name = dictionary::name_of(object.tag);
    let node = Node::new(object.tag.to_string(), name).at(at);
    let node = if name == "unknown" { node.toned(Tone::Unknown) } else { node };
    let length = object.value.len();
    node.means(format!("{length} {}", if length == 1 { "byte" } else { "bytes" })).with(branch(
        object.value,
        value_at,
        context,
        depth,
    ))
}

/// Says which object is broken, and shows the first of the bytes that are left.
fn fault(bytes: &[u8], at: usize, error: TlvError, context: Context) -> Node {
    let object = match Tag::read(bytes) {
        Ok((tag, _)) => format!("{tag} {}: ", dictionary::name_of(tag)),
        Err(_) => String::new(),
    };
    let node = Node::malformed(at, format!("{object}{error}; {} left undecoded", count(bytes.len(), "byte")));
    let shown = if context.show_pan { bytes } else { bytes.get(..SHOWN_OF_REST).unwrap_or(bytes) };
    node.raw(shown)
}

/// The transaction's currency, so that amounts beside it can be told in it.
fn currency_in(bytes: &[u8]) -> Option<u16> {
    let mut found = None;
    // A fault is told where the objects are; what came before it counts.
    let _: Result<(), TlvError> = Tlv::for_each_primitive(bytes, &mut |object| match object.tag.number() {
        0x5F2A => found = number(object.value),
        0x9F42 if found.is_none() => found = number(object.value),
        _ => {}
    });
    found
}

fn number(code: &[u8]) -> Option<u16> {
    values::decimal(code).and_then(|code| u16::try_from(code).ok())
}

/// One entry of a data object list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tag: Tag,
    pub(super) length: usize,
}

/// The entries of a list up to the first fault, and where and what that is.
pub(super) fn entries(list: &[u8]) -> (Vec<Wanted>, Option<(usize, TlvError)>) {
    let (mut entries, mut left) = (Vec::new(), list);
    while !left.is_empty() {
        let at = list.len() - left.len();
        match Tag::read(left).map(|(tag, rest)| (tag, rest.split_first())) {
            Ok((tag, Some((length, rest)))) => {
                entries.push(Wanted { tag, length: usize::from(*length) });
                left = rest;
            }
            Ok((_, None)) => return (entries, Some((at, TlvError::Truncated))),
            Err(error) => return (entries, Some((at, error))),
        }
    }
    (entries, None)
}

/// How many bytes a list asks for.
pub(super) fn wanted_length(list: &[u8]) -> usize {
    entries(list).0.iter().map(|wanted| wanted.length).sum()
}

/// The value that was sent for `tag`.
pub(super) fn sent<'a>(list: &[u8], data: &'a [u8], tag: u32) -> Option<&'a [u8]> {
    let mut left = data;
    for wanted in entries(list).0 {
        let (value, rest) = left.split_at_checked(wanted.length)?;
        if wanted.tag.number() == tag {
            return Some(value);
        }
        left = rest;
    }
    None
}

/// A data object list: what it asks for.
pub(super) fn list(value: &[u8], at: usize) -> Reading {
    let (entries, fault) = entries(value);
    let length: usize = entries.iter().map(|wanted| wanted.length).sum();
    let meaning = format!("asks for {}, {}", count(entries.len(), "object"), count(length, "byte"));
    let mut children = Vec::with_capacity(entries.len());
    let mut place = at;
    for wanted in entries {
        let tag = wanted.tag.to_string();
        let tag_length = tag.len() / 2;
        children.push(named(wanted.tag).at(place).means(count(wanted.length, "byte")));
        place = place.saturating_add(tag_length + 1);
    }
    children.extend(fault.map(|(fault_at, error)| Node::malformed(at.saturating_add(fault_at), error)));
    Reading { meaning, children, ..Reading::default() }
}

/// A list of tags without lengths.
pub(super) fn tags(value: &[u8], at: usize) -> Reading {
    let (mut children, mut left) = (Vec::new(), value);
    while !left.is_empty() {
        let place = at.saturating_add(value.len() - left.len());
        match Tag::read(left) {
            Ok((tag, rest)) => {
                children.push(named(tag).at(place));
                left = rest;
            }
            Err(error) => {
                children.push(Node::malformed(place, error));
                break;
            }
        }
    }
    Reading::parts(children)
}

fn named(tag: Tag) -> Node {
    let name = dictionary::name_of(tag);
    let node = Node::new(tag.to_string(), name);
    if name == "unknown" { node.toned(Tone::Unknown) } else { node }
}

/// What was sent for a list, object by object.
pub(super) fn data(list: &[u8], data: &[u8], at: usize, context: Context) -> Vec<Node> {
    let currency = sent(list, data, 0x5F2A).and_then(number).or(context.currency);
    let context = Context { currency, ..context };
    let (mut nodes, mut left, mut place) = (Vec::new(), data, at);
    for wanted in entries(list).0 {
        let Some((value, rest)) = left.split_at_checked(wanted.length) else {
            let name = dictionary::name_of(wanted.tag);
            let reason = format!("{} {name}: {} wanted, {} left", wanted.tag, count(wanted.length, "byte"), left.len());
            nodes.push(Node::malformed(place, reason));
            return nodes;
        };
        nodes.push(values::object(wanted.tag, value, place, place, context));
        place = place.saturating_add(wanted.length);
        left = rest;
    }
    if !left.is_empty() {
        nodes.push(
            Node::malformed(place, format!("{} more than the list asks for", count(left.len(), "byte"))).raw(left),
        );
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    fn flat(nodes: &[Node]) -> Vec<(usize, String, String)> {
        let mut out = Vec::new();
        for node in nodes {
            node.for_each(&mut |node| {
                out.push((node.at.unwrap_or(usize::MAX), node.label.clone(), node.meaning.clone()))
            });
        }
        out
    }

    #[test]
    fn a_tree_keeps_the_places_of_its_objects() {
        let tree = tree(&bytes("6F0E 8405A000000004 A505 870101 5000"), 10, Context::default());
        let places: Vec<_> = flat(&tree).into_iter().map(|(at, label, _)| (at, label)).collect();
        let expected = [(10, "6F"), (12, "84"), (19, "A5"), (21, "87"), (24, "50")];
        assert_eq!(places, expected.map(|(at, label)| (at, label.to_owned())));
    }

    #[test]
    fn a_fault_says_where_and_why_and_the_rest_goes_on() {
        let nodes = flat(&tree(&bytes("7003 5A0854 9F36020001"), 0, Context::default()));
        let (at, _, text) = &nodes[1];
        assert_eq!(*at, 2);
        assert!(
            text.starts_with("byte 2: 5A Application Primary Account Number (PAN): an object is cut short"),
            "{text}"
        );
        assert_eq!((nodes[2].1.as_str(), nodes[2].2.as_str()), ("9F36", "1"));
    }

    #[test]
    fn filler_is_passed_over() {
        let nodes = flat(&tree(&bytes("0000 9F36020001 00"), 0, Context::default()));
        assert_eq!(nodes.iter().map(|node| node.1.as_str()).collect::<Vec<_>>(), ["00", "9F36", "00"]);
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let mut nested = Vec::new();
        for _ in 0..100 {
            nested = nfcwallet_core::card::tlv::object(Tag::read(&[0x70]).unwrap().0, &nested);
        }
        let nodes = flat(&tree(&nested, 0, Context::default()));
        assert!(nodes.last().unwrap().2.contains("nest deeper than 8"), "{nodes:?}");
    }

    #[test]
    fn data_are_taken_apart_by_their_list() {
        let list = bytes("9F0206 5F2A02 9C01");
        let good = data(&list, &bytes("000000000123 0392 00"), 5, Context::default());
        let flat = flat(&good);
        assert_eq!(flat[0], (5, "9F02".to_owned(), "123 JPY".to_owned()));
        assert_eq!(flat[2], (13, "9C".to_owned(), "purchase".to_owned()));
        let short = data(&list, &bytes("000000000123 03"), 0, Context::default());
        assert!(short.last().unwrap().meaning.contains("2 bytes wanted, 1 left"));
        let long = data(&list, &bytes("000000000123 0392 00 FF"), 0, Context::default());
        assert!(long.last().unwrap().meaning.contains("1 byte more than the list asks for"));
        assert_eq!(sent(&list, &bytes("000000000123 0392 20"), 0x9C), Some(&[0x20u8][..]));
        assert_eq!(wanted_length(&list), 9);
    }
}
