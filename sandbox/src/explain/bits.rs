//! What single bits mean: `bits.txt` as tables.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dictionary::shown;
use super::node::{Node, Tone};

/// One line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// From 1, as EMV counts.
    byte: usize,
    mask: u8,
    kind: Kind,
    text: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The bit is set.
    Flag,
    /// The field under the mask has this value.
    Value(u8),
    /// The field is a number.
    Number,
}

static TABLES: LazyLock<HashMap<&'static str, Vec<Meaning>>> = LazyLock::new(|| {
    let mut tables = HashMap::new();
    for (names, table) in blocks() {
        let table: Vec<_> = table.iter().copied().filter_map(parse).collect();
        tables.extend(names.split(' ').map(|name| (name, table.clone())));
    }
    tables
});

/// The names of each table, and its lines.
fn blocks() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut blocks: Vec<(_, Vec<_>)> = Vec::new();
    for line in include_str!("bits.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match (line.contains('.'), blocks.last_mut()) {
            (true, Some((_, lines))) => lines.push(line),
            _ => blocks.push((line, Vec::new())),
        }
    }
    blocks
}

fn parse(line: &'static str) -> Option<Meaning> {
    let (place, text) = line.split_once(' ')?;
    let (byte, mask) = place.split_once('.')?;
    let (mask, kind) = match (mask.strip_suffix('#'), mask.split_once('=')) {
        (Some(mask), _) => (mask, Kind::Number),
        (_, Some((mask, value))) => (mask, Kind::Value(u8::from_str_radix(value, 16).ok()?)),
        _ => (mask, Kind::Flag),
    };
    Some(Meaning { byte: byte.parse().ok()?, mask: u8::from_str_radix(mask, 16).ok()?, kind, text })
}

/// The table of a tag (in hex) or of `CVR`.
pub(super) fn table(name: &str) -> Option<&'static [Meaning]> {
    TABLES.get(name).map(Vec::as_slice)
}

/// A line for each bit that is set, each field that has a meaning, and each bit that nobody named.
/// Offsets count from `at`.
pub(super) fn explain(table: &[Meaning], bytes: &[u8], at: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (place, (number, byte)) in (at..).zip((1..).zip(bytes)) {
        let named = table.iter().filter(|meaning| meaning.byte == number);
        let mut unnamed = *byte;
        for meaning in named {
            let field = byte & meaning.mask;
            let hit = match meaning.kind {
                Kind::Flag => field != 0,
                Kind::Value(value) => field == value,
                Kind::Number => true,
            };
            // A value that the table leaves out stays unnamed.
            if hit {
                unnamed &= !meaning.mask;
                nodes.push(line(meaning, field).at(place));
            }
        }
        if unnamed != 0 {
            let node = Node::new(label(number, unnamed), "").raw(&[unnamed]).at(place);
            nodes.push(node.means("reserved").toned(Tone::Warning));
        }
    }
    nodes
}

fn line(meaning: &Meaning, field: u8) -> Node {
    let text = match meaning.kind {
        Kind::Number => format!("{}: {}", meaning.text, field.checked_shr(meaning.mask.trailing_zeros()).unwrap_or(0)),
        _ => meaning.text.to_owned(),
    };
    Node::new(label(meaning.byte, meaning.mask), "").raw(&[field]).means(text)
}

/// `B3b6`, or `B1b8-7` for a field.
fn label(byte: usize, mask: u8) -> String {
    let (low, high) = (mask.trailing_zeros() + 1, 8u32.saturating_sub(mask.leading_zeros()));
    if low >= high { format!("B{byte}b{high}") } else { format!("B{byte}b{high}-{low}") }
}

/// Every bit of a tag's table, for the dictionary.
pub(super) fn describe(tag: u32) -> Vec<Node> {
    let lines = table(&shown(tag)).unwrap_or_default().iter();
    lines
        .map(|meaning| {
            let shown = match meaning.kind {
                Kind::Flag => meaning.mask,
                Kind::Value(value) => value,
                Kind::Number => meaning.mask,
            };
            Node::new(label(meaning.byte, meaning.mask), "").raw(&[shown]).means(meaning.text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, bytes: &[u8]) -> Vec<String> {
        let nodes = explain(table(name).unwrap(), bytes, 0);
        nodes.into_iter().map(|node| format!("{} {}", node.label, node.meaning)).collect()
    }

    #[test]
    fn every_line_is_read_and_lies_in_its_mask() {
        for (names, lines) in blocks() {
            assert!(!names.is_empty() && !lines.is_empty(), "{names}");
            for line in lines {
                let meaning = parse(line).unwrap_or_else(|| panic!("{line}"));
                assert!(meaning.byte >= 1 && meaning.mask != 0, "{line}");
                match meaning.kind {
                    Kind::Flag => assert!(meaning.mask.is_power_of_two(), "{line}"),
                    Kind::Value(value) => assert_eq!(value & !meaning.mask, 0, "{line}"),
                    Kind::Number => {}
                }
            }
        }
    }

    #[test]
    fn set_bits_are_named_in_emv_counting() {
        assert_eq!(
            texts("95", &[0, 0, 0x04, 0, 0x02]),
            ["B3b3 online PIN entered", "B5b2-1 relay resistance protocol performed"]
        );
        assert_eq!(texts("95", &[0; 5]), [""; 0]);
    }

    #[test]
    fn the_verification_results_of_a_first_cryptogram_are_read() {
        assert_eq!(
            texts("CVR", &[0xA0, 0x40, 0x03, 0x02, 0, 0]),
            [
                "B1b8-7 second GENERATE AC: not requested",
                "B1b6-5 first GENERATE AC: ARQC",
                "B2b7 CDA returned in the first GENERATE AC",
                "B2b2-1 issuer discretionary: 0",
                "B3b8-5 script counter: 0",
                "B3b4-1 PIN tries left: 3",
                "B4b2 domestic transaction",
            ]
        );
    }

    #[test]
    fn bits_without_a_name_are_pointed_out() {
        assert_eq!(texts("9B", &[0x80, 0x01]), ["B1b8 offline data authentication was performed", "B2b1 reserved"]);
        assert_eq!(texts("95", &[0, 0, 0, 0, 0x03]), ["B5b2-1 reserved"]);
    }
}
