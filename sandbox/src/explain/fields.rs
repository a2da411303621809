//! Objects that are made of fields: AFL, CVM list, issuer application data, third-party data.

use super::codes;
use super::dictionary::Format;
use super::node::{Node, Tone};
use super::values::{self, Context, Reading};

/// Takes fields off the front and counts where they start.
pub(super) struct Fields<'a> {
    left: &'a [u8],
    at: usize,
    pub(super) nodes: Vec<Node>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { left: bytes, at, nodes: Vec::new() }
    }

    /// The next `length` bytes, as many as there are.
    pub(super) fn take(&mut self, length: usize) -> &'a [u8] {
        let (field, left) = self.left.split_at_checked(length).unwrap_or((self.left, &[]));
        self.left = left;
        self.at = self.at.saturating_add(field.len());
        field
    }

    /// A field with its meaning; nothing if no byte is left.
    pub(super) fn field(&mut self, name: &str, length: usize, meaning: impl FnOnce(&[u8]) -> Reading) {
        let at = self.at;
        let bytes = self.take(length);
        if bytes.is_empty() {
            return;
        }
        let reading = match bytes.len() < length {
            true => Reading::malformed(format!("cut short: {} of {length} bytes", bytes.len())),
            false => meaning(bytes),
        };
        let mut node = Node::new("", name).at(at).raw(bytes).means(reading.meaning).toned(reading.tone);
        node.raw = reading.raw.or(node.raw);
        self.nodes.push(node.with(reading.children));
    }

    /// A field that is read like the value of a data object.
    pub(super) fn of_format(&mut self, name: &str, length: usize, format: Format, table: &str, context: Context) {
        let at = self.at;
        let bytes = self.take(length);
        if !bytes.is_empty() {
            let mut node = values::format(format, table, bytes, at, context);
            node.name = name.to_owned();
            self.nodes.push(node);
        }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.left
    }
}

fn plain(_: &[u8]) -> Reading {
    Reading::default()
}

/// Tag 94 (EMV Book 3, 10.2).
pub(super) fn file_locator(value: &[u8], at: usize) -> Reading {
    let mut fields = Fields::new(value, at);
    while !fields.rest().is_empty() {
        fields.field("records", 4, |entry| match *entry {
            [file, first, last, signed] => file_locator_entry(file, first, last, signed),
            _ => Reading::default(),
        });
    }
    Reading::parts(fields.nodes)
}

fn file_locator_entry(file: u8, first: u8, last: u8, signed: u8) -> Reading {
    let records = last.checked_sub(first).map(|more| u16::from(more) + 1);
    let fault = match (file >> 3, records) {
        _ if file & 0x07 != 0 => Some("the low three bits of the file are not 0"),
        (0 | 31, _) => Some("no such file"),
        _ if first == 0 => Some("records start at 1"),
        (_, None) => Some("the first record is behind the last"),
        (_, Some(records)) if u16::from(signed) > records => Some("more signed than there are records"),
        _ => None,
    };
    let signed_text = match signed {
        0 => "none signed".to_owned(),
        1 => format!("record {first} signed"),
        many => format!("the first {many} signed"),
    };
    let records = if first == last { format!("record {first}") } else { format!("records {first} to {last}") };
    let text = format!("SFI {}, {records}, {signed_text}", file >> 3);
    match fault {
        Some(fault) => Reading::malformed(format!("{text}: {fault}")),
        None => Reading::says(text),
    }
}

/// Tag 8E (EMV Book 3, 10.5). X and Y are in the card's currency.
pub(super) fn cvm_list(value: &[u8], at: usize, context: Context) -> Reading {
    let mut fields = Fields::new(value, at);
    for name in ["amount X", "amount Y"] {
        fields.of_format(name, 4, Format::BinaryAmount, "", context);
    }
    let mut number = 0u32;
    while !fields.rest().is_empty() {
        number = number.saturating_add(1);
        fields.field(&format!("rule {number}"), 2, |rule| match *rule {
            [method, condition] => cvm_rule(method, condition),
            _ => Reading::default(),
        });
    }
    Reading::parts(fields.nodes)
}

fn cvm_rule(method: u8, condition: u8) -> Reading {
    let next = if method & 0x40 != 0 { "; if it fails, the next rule" } else { "; if it fails, no other" };
    match (codes::cvm_method(method), codes::cvm_condition(condition)) {
        (Some(name), Some(when)) => {
            Reading::says(format!("{name}, {when}{}", if method & 0x3F == 0x1F { "" } else { next }))
        }
        _ => Reading::warns("not in the tables"),
    }
}

/// Tag 9F34 (EMV Book 4, A4). A phone's on-device CVM is told as method 01 without a condition.
pub(super) fn cvm_results(value: &[u8], at: usize) -> Reading {
    let mut fields = Fields::new(value, at);
    fields.field("method", 1, |method| match *method {
        [0x3F] => Reading::says("no CVM performed"),
        // Kernel 2 tells on-device CVM by this code.
        [0x01] => Reading::says("plaintext PIN checked by the card; of a phone: on-device CVM"),
        [code] => Reading::code(codes::cvm_method(code)),
        _ => Reading::default(),
    });
    fields.field("condition", 1, |code| Reading::code(code.first().and_then(|code| codes::cvm_condition(*code))));
    fields.field("result", 1, |code| Reading::code(code.first().and_then(|code| codes::cvm_outcome(*code))));
    Reading { meaning: cvm_in_words(value).to_owned(), children: fields.nodes, ..Reading::default() }
}

/// How the cardholder was verified, for a summary.
pub(super) fn cvm_in_words(results: &[u8]) -> &'static str {
    match results {
        [0x01, 0x00, 0x02] => "verified on the device (CDCVM)",
        [0x3F, ..] => "no CVM performed",
        [0x00, 0x00, 0x00] => "not filled by the terminal",
        [method, _, 0x01] if method & 0x3F != 0x1F => "failed",
        [method, ..] => codes::cvm_method(*method).unwrap_or("not in the tables"),
        [] => "",
    }
}

/// Tag 9F27 (EMV Book 3, table 15).
pub(super) fn cryptogram_information(value: &[u8]) -> Reading {
    let cid = value.first().copied().unwrap_or(0);
    let kind = codes::cryptogram(cid);
    let reason = match cid & 0x07 {
        1 => ", service not allowed",
        2 => ", PIN try limit exceeded",
        3 => ", issuer authentication failed",
        _ => "",
    };
    let advice = if cid & 0x08 != 0 { ", advice required" } else { "" };
    let text = format!("{kind}{advice}{reason}");
    if cid & 0x30 != 0 || cid & 0xC0 == 0xC0 { Reading::warns(text) } else { Reading::says(text) }
}

/// Tag 9F10 as this wallet and its kind fill it: 18 bytes; 26 with 8 more, here the transaction
/// reference of the app; 20 and 28 with counters of two bytes more.
pub(super) fn issuer_application_data(value: &[u8], at: usize) -> Reading {
    let known = matches!(value.len(), 18 | 20 | 26 | 28) && value.get(1).is_some_and(|cvn| cvn >> 4 == 1);
    if !known {
        return Reading::says("an issuer's own format");
    }
    let mut fields = Fields::new(value, at);
    fields.field("key derivation index", 1, plain);
    fields.field("cryptogram version number (CVN)", 1, |cvn| cryptogram_version(cvn.first().copied().unwrap_or(0)));
    fields.of_format("card verification results (CVR)", 6, Format::Bits, "CVR", Context::default());
    fields.field("data authentication code or dynamic number", 2, plain);
    match fields.rest().len() {
        8 => fields.field("counters", 8, plain),
        16 => {
            fields.field("counters", 8, plain);
            fields.field("second half of the counters, or the app's transaction reference", 8, letters);
        }
        rest => fields.field("counters", rest, plain),
    }
    Reading::parts(fields.nodes)
}

fn letters(value: &[u8]) -> Reading {
    let is_text = value.iter().all(|byte| matches!(byte, 0x20..=0x7E));
    Reading::says(if is_text { format!("\"{}\"", String::from_utf8_lossy(value)) } else { String::new() })
}

fn cryptogram_version(cvn: u8) -> Reading {
    let key = match cvn & 0x06 {
        0x00 => "session key by SKD (counter and terminal's number)",
        0x04 => "EMV common session key (counter alone)",
        _ => return Reading::warns("not in the tables"),
    };
    let counters = if cvn & 0x01 != 0 { ", counters in the cryptogram" } else { "" };
    Reading::says(format!("CVN {cvn}: {key}{counters}"))
}

/// Tag 9F6E of kernel 2.
pub(super) fn third_party_data(value: &[u8], at: usize) -> Reading {
    let mut fields = Fields::new(value, at);
    fields.of_format("country", 2, Format::Country, "", Context::default());
    let has_device_type = fields.rest().first().is_some_and(|byte| byte & 0x80 == 0);
    fields.field("unique identifier", 2, |identifier| match identifier {
        [0, 0] => Reading::says("no proprietary data"),
        _ => Reading::default(),
    });
    if has_device_type {
        fields.field("device type", 2, |kind| {
            let text = String::from_utf8_lossy(kind).into_owned();
            match codes::device_type(kind) {
                Some(meaning) => Reading::says(format!("\"{text}\": {meaning}")),
                None => Reading { tone: Tone::Warning, ..letters(kind) },
            }
        });
    }
    let rest = fields.rest().len();
    fields.field("proprietary data", rest, plain);
    Reading::parts(fields.nodes)
}

/// Tag 9F4D.
pub(super) fn log_entry(value: &[u8]) -> Reading {
    match value {
        [file, rows] => Reading::says(format!("SFI {file}, {rows} rows")),
        _ => Reading::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn lines(reading: &Reading) -> Vec<String> {
        let mut out = Vec::new();
        for node in &reading.children {
            node.for_each(&mut |node| out.push(format!("{} {}", node.name, node.meaning).trim().to_owned()));
        }
        out
    }

    #[test]
    fn a_file_locator_lists_its_records() {
        let good = file_locator(&bytes("0801010010010301"), 0);
        assert_eq!(
            lines(&good),
            ["records SFI 1, record 1, none signed", "records SFI 2, records 1 to 3, record 1 signed",]
        );
        for broken in ["00010100", "09010100", "10000100", "10020100", "10010102", "F8010100", "1001"] {
            let reading = file_locator(&bytes(broken), 0);
            assert_eq!(reading.children[0].tone, Tone::Malformed, "{broken}");
        }
    }

    #[test]
    fn a_cvm_list_reads_as_rules() {
        let list =
            cvm_list(&bytes("0000000000001388420301031F03"), 0, Context { currency: Some(978), show_pan: false });
        assert_eq!(
            lines(&list),
            [
                "amount X 0.00 EUR",
                "amount Y 50.00 EUR",
                "rule 1 enciphered PIN checked online, if the terminal supports the method; if it fails, the next rule",
                "rule 2 plaintext PIN checked by the card, if the terminal supports the method; if it fails, no other",
                "rule 3 no CVM, if the terminal supports the method",
            ]
        );
    }

    #[test]
    fn cvm_results_are_told_in_words() {
        assert_eq!(cvm_results(&[0x01, 0x00, 0x02], 0).meaning, "verified on the device (CDCVM)");
        assert_eq!(cvm_results(&[0x3F, 0x00, 0x02], 0).meaning, "no CVM performed");
        assert_eq!(cvm_results(&[0x1F, 0x03, 0x02], 0).meaning, "no CVM");
        assert_eq!(cvm_results(&[0x42, 0x03, 0x00], 0).meaning, "enciphered PIN checked online");
    }

    #[test]
    fn issuer_data_carry_version_results_and_reference() {
        let reading = issuer_application_data(&bytes("0114A04003020000000000000000000000FF4F524445522D3031"), 0);
        let lines = lines(&reading);
        assert!(
            lines.contains(&"cryptogram version number (CVN) CVN 20: EMV common session key (counter alone)".into())
        );
        assert!(lines.contains(&"domestic transaction".into()), "{lines:?}");
        assert!(lines.last().unwrap().ends_with("\"ORDER-01\""), "{lines:?}");
        assert_eq!(issuer_application_data(&[6, 1, 0x0A, 3], 0).meaning, "an issuer's own format");
    }

    #[test]
    fn a_phone_is_told_by_its_third_party_data() {
        let reading = third_party_data(&bytes("02760000313400"), 0);
        assert_eq!(
            lines(&reading),
            [
                "country DE Germany",
                "unique identifier no proprietary data",
                "device type \"14\": phone, application in the host processor (HCE)",
                "proprietary data",
            ]
        );
    }
}
