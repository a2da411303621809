//! Commands and status words: what they are called, and what their bytes say
//! (ISO/IEC 7816-4; EMV Book 3, 6.5).

use nfcwallet_core::card::apdu::Command;

use super::codes;
use super::dictionary;
use super::node::{Node, Tone, count};
use crate::pos::PPSE;

/// A command that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Select,
    GetProcessingOptions,
    ReadRecord,
    GenerateAc,
    ComputeCryptographicChecksum,
    ExchangeRelayResistanceData,
    GetData,
    PutData,
    GetChallenge,
    InternalAuthenticate,
    ExternalAuthenticate,
    Verify,
    GetResponse,
    RecoverAc,
    Script,
    /// A reader's own, of PC/SC: never meant for the card.
    ReaderCommand,
    Unknown,
}

impl Kind {
    pub(super) fn of(cla: u8, ins: u8) -> Self {
        match (cla, ins) {
            (0x00, 0xA4) => Self::Select,
            (0x80, 0xA8) => Self::GetProcessingOptions,
            (0x00, 0xB2) => Self::ReadRecord,
            (0x80, 0xAE) => Self::GenerateAc,
            (0x80, 0x2A) => Self::ComputeCryptographicChecksum,
            (0x80, 0xEA) => Self::ExchangeRelayResistanceData,
            (0x80, 0xCA) => Self::GetData,
            (0x80, 0xDA) => Self::PutData,
            (0x00, 0x84) => Self::GetChallenge,
            (0x00, 0x88) => Self::InternalAuthenticate,
            (0x00, 0x82) => Self::ExternalAuthenticate,
            (0x00, 0x20) => Self::Verify,
            (0x00, 0xC0) => Self::GetResponse,
            (0x80, 0xD0) => Self::RecoverAc,
            (0x84 | 0x8C, 0x16 | 0x18 | 0x1E | 0x24) => Self::Script,
            (0xFF, _) => Self::ReaderCommand,
            _ => Self::Unknown,
        }
    }

    /// The first two bytes of a command.
    pub(super) fn of_command(command: &[u8]) -> Self {
        match command {
            [cla, ins, ..] => Self::of(*cla, *ins),
            _ => Self::Unknown,
        }
    }

    fn name(self, ins: u8) -> String {
        let name = match (self, ins) {
            (Self::Select, _) => "SELECT",
            (Self::GetProcessingOptions, _) => "GET PROCESSING OPTIONS",
            (Self::ReadRecord, _) => "READ RECORD",
            (Self::GenerateAc, _) => "GENERATE AC",
            (Self::ComputeCryptographicChecksum, _) => "COMPUTE CRYPTOGRAPHIC CHECKSUM",
            (Self::ExchangeRelayResistanceData, _) => "EXCHANGE RELAY RESISTANCE DATA",
            (Self::GetData, _) => "GET DATA",
            (Self::PutData, _) => "PUT DATA",
            (Self::GetChallenge, _) => "GET CHALLENGE",
            (Self::InternalAuthenticate, _) => "INTERNAL AUTHENTICATE",
            (Self::ExternalAuthenticate, _) => "EXTERNAL AUTHENTICATE",
            (Self::Verify, _) => "VERIFY",
            (Self::GetResponse, _) => "GET RESPONSE",
            (Self::RecoverAc, _) => "RECOVER AC",
            (Self::Script, 0x16) => "CARD BLOCK",
            (Self::Script, 0x18) => "APPLICATION UNBLOCK",
            (Self::Script, 0x1E) => "APPLICATION BLOCK",
            (Self::Script, _) => "PIN CHANGE/UNBLOCK",
            (Self::ReaderCommand | Self::Unknown, _) => return format!("INS {ins:02X}"),
        };
        name.to_owned()
    }
}

/// What a command is called: `READ RECORD 2.1`, `GENERATE AC ARQC + CDA`. A broken one has a name too.
#[must_use]
pub fn name_of(command: &[u8]) -> String {
    let name = match command {
        [_, ins, ..] => Kind::of_command(command).name(*ins),
        _ => return "?".to_owned(),
    };
    match (Kind::of_command(command), command) {
        (Kind::Select, [_, _, 0x04, _, length, data @ ..]) => {
            let aid = data.get(..usize::from(*length)).unwrap_or(data);
            if aid == PPSE { "SELECT PPSE".to_owned() } else { format!("{name} {}", hex::encode_upper(aid)) }
        }
        (Kind::ReadRecord, [_, _, record, file, ..]) => format!("{name} {}.{record}", file >> 3),
        (Kind::GenerateAc, [_, _, kind, ..]) => {
            format!("{name} {}{}", asked_for(*kind), if kind & 0x10 != 0 { " + CDA" } else { "" })
        }
        (Kind::GetData | Kind::PutData, [_, _, p1, p2, ..]) => {
            let tag = u16::from_be_bytes([*p1, *p2]);
            format!("{name} {}", dictionary::shown(tag.into()))
        }
        _ => name,
    }
}

/// The kind of cryptogram that P1 of GENERATE AC asks for.
pub(super) fn asked_for(p1: u8) -> &'static str {
    match p1 & 0xC0 {
        0x00 => "AAC",
        0x40 => "TC",
        _ => "ARQC",
    }
}

/// The header of a command, line by line.
pub(super) fn header(command: &Command<'_>) -> [Node; 4] {
    let kind = Kind::of(command.cla, command.ins);
    let (p1, p2) = parameters(kind, command.p1, command.p2);
    let tone = if kind == Kind::Unknown { Tone::Unknown } else { Tone::Plain };
    [
        Node::new("CLA", "").at(0).raw(&[command.cla]).means(class(command.cla)),
        Node::new("INS", "").at(1).raw(&[command.ins]).means(kind.name(command.ins)).toned(tone),
        Node::new("P1", "").at(2).raw(&[command.p1]).means(p1),
        Node::new("P2", "").at(3).raw(&[command.p2]).means(p2),
    ]
}

fn class(cla: u8) -> &'static str {
    match cla {
        0x00 => "interindustry (ISO/IEC 7816-4)",
        0x80 => "proprietary: EMV",
        0x84 | 0x8C => "proprietary: EMV, with secure messaging",
        0xFF => "for the reader, not for the card",
        _ => "not used by EMV",
    }
}

fn parameters(kind: Kind, p1: u8, p2: u8) -> (String, String) {
    let unused = |byte: u8| if byte == 0 { String::new() } else { "should be 00".to_owned() };
    match kind {
        Kind::Select => (select_by(p1), select_which(p2)),
        Kind::ReadRecord => (format!("record {p1}"), read_record_file(p2)),
        Kind::GenerateAc => {
            let cda = if p1 & 0x10 != 0 { ", signed (CDA)" } else { "" };
            let reserved = if p1 & 0x2F != 0 { "; reserved bits are set" } else { "" };
            (format!("{} asked for{cda}{reserved}", asked_for(p1)), unused(p2))
        }
        Kind::GetData | Kind::PutData => {
            let tag = u16::from_be_bytes([p1, p2]).into();
            let name = dictionary::find(tag, None).map_or("unknown", |entry| entry.name);
            (format!("tag {}: {name}", dictionary::shown(tag)), String::new())
        }
        Kind::ComputeCryptographicChecksum => {
            let right = (p1, p2) == (0x8E, 0x80);
            (if right { String::new() } else { "should be 8E, and P2 80".to_owned() }, String::new())
        }
        Kind::GetProcessingOptions
        | Kind::ExchangeRelayResistanceData
        | Kind::GetChallenge
        | Kind::InternalAuthenticate
        | Kind::ExternalAuthenticate
        | Kind::GetResponse => (unused(p1), unused(p2)),
        _ => (String::new(), String::new()),
    }
}

fn select_by(p1: u8) -> String {
    if p1 == 0x04 { "by name (AID)".to_owned() } else { "should be 04: by name".to_owned() }
}

fn select_which(p2: u8) -> String {
    match p2 {
        0x00 => "first or only occurrence".to_owned(),
        0x02 => "next occurrence".to_owned(),
        _ => "should be 00 or 02".to_owned(),
    }
}

fn read_record_file(p2: u8) -> String {
    match (p2 & 0x07, p2 >> 3) {
        (0x04, sfi @ 1..=30) => format!("SFI {sfi}, P1 is the record's number"),
        (0x04, sfi) => format!("SFI {sfi}: no such file"),
        _ => "the low three bits should be 100: P1 is the record's number".to_owned(),
    }
}

/// Lc, Le, and where the data field lies; or where and why the body breaks off.
pub(super) fn body(apdu: &[u8], command: &Command<'_>) -> Body {
    let body = apdu.get(4..).unwrap_or_default();
    let lc = |length: u8| {
        Node::new("Lc", "").at(4).raw(&[length]).means(format!("{} of data", count(length.into(), "byte")))
    };
    match (command.data(), body) {
        (Ok(_), []) => Body::default(),
        (Ok(_), [le_byte]) => Body { after: vec![le(*le_byte, 4)], ..Body::default() },
        (Ok(data), [length, ..]) => {
            let le_at = data.len().saturating_add(5);
            let after = apdu.get(le_at).map(|byte| le(*byte, le_at));
            Body { before: vec![lc(*length)], data: data.to_vec(), after: after.into_iter().collect() }
        }
        (Err(_), [0, ..]) => {
            let reason = "Lc 00 announces an extended length, which contactless EMV does not use";
            Body { after: vec![Node::malformed(4, reason)], ..Body::default() }
        }
        (Err(_), [length, rest @ ..]) => {
            let wanted = usize::from(*length);
            let reason = match rest.len() {
                left if left < wanted => format!("Lc is {wanted}, but {} of data are there", count(left, "byte")),
                left => format!("Lc is {wanted}, and {} follow: more than data and Le", count(left, "byte")),
            };
            let data = rest.get(..wanted).unwrap_or(rest).to_vec();
            let end = data.len().saturating_add(5);
            Body { before: vec![lc(*length)], data, after: vec![Node::malformed(end, reason)] }
        }
        (Err(_), []) => Body::default(),
    }
}

/// What follows the header of a command.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) before: Vec<Node>,
    pub(super) data: Vec<u8>,
    pub(super) after: Vec<Node>,
}

fn le(byte: u8, at: usize) -> Node {
    let meaning = if byte == 0 {
        "as many bytes as there are".to_owned()
    } else {
        format!("{} expected", count(byte.into(), "byte"))
    };
    Node::new("Le", "").at(at).raw(&[byte]).means(meaning)
}

/// The status word, with what helps.
pub(super) fn status(word: [u8; 2], at: usize) -> Node {
    let number = u16::from_be_bytes(word);
    let node = Node::new("SW", "").at(at).raw(&word);
    match codes::status_word(number) {
        Some((meaning, "")) => node.means(meaning).toned(status_tone(number)),
        Some((meaning, next)) => node.means(format!("{meaning} -> {next}")).toned(status_tone(number)),
        None => node.means("no status word").toned(Tone::Unknown),
    }
}

fn status_tone(word: u16) -> Tone {
    match word >> 8 {
        0x90 => Tone::Good,
        0x61..=0x63 => Tone::Warning,
        _ => Tone::Bad,
    }
}

/// The AID or name in a SELECT.
pub(super) fn selected(data: &[u8], at: usize) -> Node {
    let text = codes::application(data).map_or_else(|| "AID".to_owned(), |name| format!("AID: {name}"));
    Node::new("data", "").at(at).raw(data).means(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    #[test]
    fn commands_have_their_names() {
        for (bytes, name) in [
            ("00A404000E325041592E5359532E444446303100", "SELECT PPSE"),
            ("00A4040007A000000004101000", "SELECT A0000000041010"),
            ("80A8000002830000", "GET PROCESSING OPTIONS"),
            ("00B2011400", "READ RECORD 2.1"),
            ("80AE900000", "GENERATE AC ARQC + CDA"),
            ("80AE4000", "GENERATE AC TC"),
            ("80AE0000", "GENERATE AC AAC"),
            ("802A8E8000", "COMPUTE CRYPTOGRAPHIC CHECKSUM"),
            ("80EA00000401020304", "EXCHANGE RELAY RESISTANCE DATA"),
            ("80CA9F3600", "GET DATA 9F36"),
            ("80CA005A00", "GET DATA 5A"),
            ("8416000000", "CARD BLOCK"),
            ("0077", "INS 77"),
            ("00A4040009A0", "SELECT A0"),
            ("00", "?"),
            ("", "?"),
        ] {
            assert_eq!(name_of(&command(bytes)), name, "{bytes}");
        }
    }

    #[test]
    fn every_body_is_read_or_says_why_not() {
        let read = |text: &str| {
            let apdu = command(text);
            let body = body(&apdu, &Command::parse(&apdu).unwrap());
            let fault = body.after.iter().find(|node| node.tone == Tone::Malformed);
            (body.data.len(), fault.map(|node| node.meaning.clone()))
        };
        assert_eq!(read("00B20114"), (0, None));
        assert_eq!(read("00B2011400"), (0, None));
        assert_eq!(read("00A40400 02 A000 00"), (2, None));
        assert_eq!(read("00A40400 03 A000"), (2, Some("byte 7: Lc is 3, but 2 bytes of data are there".to_owned())));
        assert!(read("00A40400 01 A000 00 00").1.unwrap().contains("more than data and Le"));
        assert!(read("00A40400 000002 A000").1.unwrap().contains("extended length"));
    }

    #[test]
    fn a_status_word_comes_with_advice() {
        let node = status([0x67, 0x00], 0);
        assert!(node.meaning.starts_with("wrong length -> compare Lc"), "{}", node.meaning);
        assert_eq!(status([0x90, 0x00], 0).tone, Tone::Good);
        assert_eq!(status([0x12, 0x34], 0).tone, Tone::Unknown);
    }
}
