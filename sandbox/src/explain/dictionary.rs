//! The data objects that have a name: `tags.txt` as a table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nfcwallet_core::card::tlv::Tag;

use super::node::Node;
use super::{bits, codes};

/// A row of `tags.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The tag as a number: `9F02` is 0x9F02.
    pub tag: u32,
    /// How its value is read.
    pub format: Format,
    /// Who makes it: card, terminal, reader (configuration of a contactless reader) or issuer.
    pub source: &'static str,
    /// Fewest bytes.
    pub min: usize,
    /// Most bytes.
    pub max: usize,
    /// The templates that hold it, hex, with commas; empty if it travels in the data of a list.
    pub within: &'static str,
    /// Its name in the EMV books.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
}

macro_rules! formats {
    ($($(#[doc = $doc:literal])* $variant:ident $word:literal,)*) => {
        /// How a value is read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Format {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Format {
            fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// In words, for people.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

formats! {
    /// bytes
    Bytes "b",
    /// bytes that are kept secret; never shown unless asked for
    Secret "secret",
    /// decimal digits, two a byte
    Digits "n",
    /// binary number
    Number "int",
    /// letters
    Text "text",
    /// other objects
    Template "template",
    /// bits
    Bits "bits",
    /// 12 decimal digits, minor units of the currency
    Amount "amount",
    /// binary number, minor units of the currency
    BinaryAmount "amount-b",
    /// day, YYMMDD
    Date "date",
    /// time of day, HHMMSS
    Time "time",
    /// number of a country (ISO 3166)
    Country "country",
    /// number of a currency (ISO 4217)
    Currency "currency",
    /// digits after the point
    Exponent "exponent",
    /// card number, two digits a byte, filled with F
    Pan "pan",
    /// track 2: number, D, YYMM, service code, discretionary data
    Track2 "track2",
    /// track 1: letters, parts separated by ^
    Track1 "track1",
    /// card number and sequence number
    DsId "ds-id",
    /// service code, three digits
    ServiceCode "service-code",
    /// languages, two letters each (ISO 639)
    Languages "languages",
    /// application identifier
    Aid "aid",
    /// list of tags and lengths
    Dol "dol",
    /// list of tags
    Tags "tags",
    /// entries of four bytes: file, first and last record, how many are signed
    Afl "afl",
    /// two amounts, then pairs of method and condition
    CvmList "cvm-list",
    /// method, condition, result
    CvmResults "cvm-results",
    /// kind of cryptogram in the top two bits
    Cid "cid",
    /// key index, cryptogram version, card verification results, counters
    Iad "iad",
    /// country, identifier, device type, proprietary data
    ThirdParty "third-party",
    /// code of the kind of transaction
    TransactionType "type",
    /// code of operator, attendance and connection
    TerminalType "terminal-type",
    /// merchant category (ISO 18245)
    MerchantCategory "mcc",
    /// kernel number
    Kernel "kernel",
    /// number from 1, the highest, to 15
    Priority "priority",
    /// file and number of rows
    LogEntry "log-entry",
    /// code of an account
    AccountType "account-type",
    /// code of how the card was read
    PosEntry "pos-entry",
    /// two letters
    ResponseCode "arc",
    /// positions in a track's discretionary data, one bit each, from the right
    Positions "positions",
    /// time in units of 100 microseconds
    RelayTime "relay-time",
}

static ENTRIES: LazyLock<BTreeMap<u32, Vec<Entry>>> = LazyLock::new(|| {
    let mut entries: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
    for entry in rows().filter_map(parse) {
        entries.entry(entry.tag).or_default().push(entry);
    }
    entries
});

fn rows() -> impl Iterator<Item = &'static str> {
    include_str!("tags.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn parse(row: &'static str) -> Option<Entry> {
    let mut columns = row.split('|');
    let mut next = || columns.next();
    let (tag, format, source, length) = (next()?, next()?, next()?, next()?);
    let (min, max) = length.split_once('-').unwrap_or((length, length));
    Some(Entry {
        tag: u32::from_str_radix(tag, 16).ok()?,
        format: Format::of_word(format)?,
        source,
        min: min.parse().ok()?,
        max: max.parse().ok()?,
        within: next()?,
        name: next()?,
        about: next()?,
    })
}

/// The entry of `tag`; where a tag has two meanings, the first that allows `length` bytes.
#[must_use]
pub fn find(tag: u32, length: Option<usize>) -> Option<&'static Entry> {
    let entries = ENTRIES.get(&tag)?;
    let fits = |entry: &&Entry| length.is_none_or(|length| (entry.min..=entry.max).contains(&length));
    entries.iter().find(fits).or_else(|| entries.first())
}

/// All entries, by tag, a line each.
#[must_use]
pub fn overview() -> Vec<Node> {
    let line =
        |entry: &Entry| Node::new(shown(entry.tag), entry.name).means(format!("{}: {}", entry.source, entry.about));
    ENTRIES.values().flatten().map(line).collect()
}

/// The name of a tag, or that it has none.
pub(super) fn name_of(tag: Tag) -> &'static str {
    find(tag.number(), None).map_or("unknown", |entry| entry.name)
}

/// What is known of `tag`: one line for each meaning, with its bits or codes below. Empty for a tag
/// without a name.
#[must_use]
pub fn describe(tag: u32) -> Vec<Node> {
    ENTRIES.get(&tag).into_iter().flatten().map(describe_entry).collect()
}

fn describe_entry(entry: &Entry) -> Node {
    let length = match (entry.min, entry.max) {
        (min, max) if min == max => format!("{min}"),
        (min, max) => format!("{min} to {max}"),
    };
    let unit = if length == "1" { "byte" } else { "bytes" };
    let within = match entry.within {
        "" => "no template: it travels in the data of a list, or as a whole".to_owned(),
        within => within.split(',').map(named).collect::<Vec<_>>().join(", "),
    };
    let fact = |label: &str, text: &str| Node::new(label, text);
    Node::new(shown(entry.tag), entry.name)
        .with([
            fact("for", entry.about),
            fact("format", entry.format.describe()),
            fact("length", &format!("{length} {unit}")),
            fact("source", entry.source),
            fact("within", &within),
        ])
        .with(bits::describe(entry.tag))
        .with(codes::describe(entry.format))
}

fn named(tag: &str) -> String {
    let entry = u32::from_str_radix(tag, 16).ok().and_then(|tag| find(tag, None));
    entry.map_or_else(|| tag.to_owned(), |entry| format!("{tag} {}", entry.name))
}

/// A tag as it is written.
#[must_use]
pub fn shown(tag: u32) -> String {
    let digits = format!("{tag:X}");
    if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_has_a_tag_that_is_one() {
        for row in rows() {
            let entry = parse(row).unwrap_or_else(|| panic!("{row}"));
            let tag = hex::decode(shown(entry.tag)).unwrap();
            assert!(matches!(Tag::read(&tag), Ok((read, [])) if read.number() == entry.tag), "{row}");
            assert!(entry.min <= entry.max && !entry.name.is_empty() && !entry.about.is_empty(), "{row}");
            assert!(["card", "terminal", "reader", "issuer"].contains(&entry.source), "{row}");
            let is_template = entry.format == Format::Template;
            assert_eq!(is_template, Tag::read(&tag).unwrap().0.is_constructed(), "{row}");
            let has_table = bits::table(&shown(entry.tag)).is_some();
            assert!(entry.format != Format::Bits || has_table, "{row}");
        }
        assert!(rows().count() > 200);
    }

    #[test]
    fn a_tag_with_two_meanings_is_told_by_its_length() {
        assert_eq!(find(0x9F66, Some(2)).unwrap().name, "PUNATC (Track2)");
        assert_eq!(find(0x9F66, Some(4)).unwrap().name, "Terminal Transaction Qualifiers (TTQ)");
        assert_eq!(find(0x9F66, Some(3)).unwrap().name, "PUNATC (Track2)");
        assert_eq!(find(0xDF7F, None), None);
    }

    #[test]
    fn a_tag_is_described_with_its_templates_and_bits() {
        let described = describe(0x82);
        let mut text = String::new();
        described[0].for_each(&mut |node| text.push_str(&format!("{} {} {}\n", node.label, node.name, node.meaning)));
        assert!(text.contains("within 77 Response Message Template Format 2, 80"), "{text}");
        assert!(text.contains("on-device cardholder verification"), "{text}");
        assert!(describe(0x9FFF).is_empty());
    }
}
