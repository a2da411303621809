//! Codes that stand for something: countries, currencies, kinds of payment, methods of verification.

use std::collections::HashMap;
use std::sync::LazyLock;

use iso_currency::Currency;

use super::dictionary::Format;
use super::node::Node;
use crate::checkout::Amount;

type Codes = &'static [(u8, &'static str)];

const TRANSACTION_TYPES: Codes = &[
    (0x00, "purchase"),
    (0x01, "cash"),
    (0x09, "purchase with cash back"),
    (0x20, "refund"),
    (0x30, "balance inquiry"),
];
const TERMINAL_TYPES: Codes = &[
    (0x11, "financial institution, attended, online only"),
    (0x12, "financial institution, attended, offline with online capability"),
    (0x13, "financial institution, attended, offline only"),
    (0x14, "financial institution, unattended, online only"),
    (0x15, "financial institution, unattended, offline with online capability"),
    (0x16, "financial institution, unattended, offline only"),
    (0x21, "merchant, attended, online only"),
    (0x22, "merchant, attended, offline with online capability"),
    (0x23, "merchant, attended, offline only"),
    (0x24, "merchant, unattended, online only"),
    (0x25, "merchant, unattended, offline with online capability"),
    (0x26, "merchant, unattended, offline only"),
    (0x34, "cardholder, unattended, online only"),
    (0x35, "cardholder, unattended, offline with online capability"),
    (0x36, "cardholder, unattended, offline only"),
];
/// Without bit 7, which says what follows a failure (EMV Book 3, table 43).
const CVM_METHODS: Codes = &[
    (0x00, "fail"),
    (0x01, "plaintext PIN checked by the card"),
    (0x02, "enciphered PIN checked online"),
    (0x03, "plaintext PIN checked by the card, and signature"),
    (0x04, "enciphered PIN checked by the card"),
    (0x05, "enciphered PIN checked by the card, and signature"),
    (0x1E, "signature"),
    (0x1F, "no CVM"),
    (0x3F, "no CVM performed"),
];
const CVM_CONDITIONS: Codes = &[
    (0x00, "always"),
    (0x01, "if unattended cash"),
    (0x02, "if neither cash nor cash back"),
    (0x03, "if the terminal supports the method"),
    (0x04, "if manual cash"),
    (0x05, "if purchase with cash back"),
    (0x06, "if in the card's currency and under X"),
    (0x07, "if in the card's currency and over X"),
    (0x08, "if in the card's currency and under Y"),
    (0x09, "if in the card's currency and over Y"),
];
const CVM_OUTCOMES: Codes = &[(0x00, "result unknown"), (0x01, "failed"), (0x02, "successful")];
const CRYPTOGRAMS: Codes = &[
    (0x00, "AAC: declined"),
    (0x40, "TC: approved offline"),
    (0x80, "ARQC: online authorisation asked for"),
    (0xC0, "reserved"),
];
const ACCOUNT_TYPES: Codes = &[(0x00, "default"), (0x10, "savings"), (0x20, "cheque or debit"), (0x30, "credit")];
const POS_ENTRIES: Codes = &[
    (0x01, "keyed in"),
    (0x02, "magnetic stripe"),
    (0x05, "chip"),
    (0x07, "contactless chip"),
    (0x80, "magnetic stripe after the chip failed"),
    (0x90, "magnetic stripe, read whole"),
    (0x91, "contactless, mag-stripe mode"),
];
const KERNELS: Codes = &[
    (0x01, "kernel 1"),
    (0x02, "kernel 2 (Mastercard)"),
    (0x03, "kernel 3 (Visa)"),
    (0x04, "kernel 4 (American Express)"),
    (0x05, "kernel 5 (JCB)"),
    (0x06, "kernel 6 (Discover)"),
    (0x07, "kernel 7 (UnionPay)"),
    (0x08, "kernel 8"),
];

/// What `code` stands for among `codes`.
fn look_up(codes: Codes, code: u8) -> Option<&'static str> {
    codes.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

/// Tag 9C.
pub(super) fn transaction_type(code: u8) -> Option<&'static str> {
    look_up(TRANSACTION_TYPES, code)
}

/// Tag 9F35.
pub(super) fn terminal_type(code: u8) -> Option<&'static str> {
    look_up(TERMINAL_TYPES, code)
}

/// Tag 9F27, the top two bits.
pub(super) fn cryptogram(cid: u8) -> &'static str {
    look_up(CRYPTOGRAMS, cid & 0xC0).unwrap_or("reserved")
}

/// Tag 5F57.
pub(super) fn account_type(code: u8) -> Option<&'static str> {
    look_up(ACCOUNT_TYPES, code)
}

/// Tag 9F39.
pub(super) fn pos_entry(code: u8) -> Option<&'static str> {
    look_up(POS_ENTRIES, code)
}

/// Tag 9F2A; the top two bits say how the number is coded.
pub(super) fn kernel(code: u8) -> Option<&'static str> {
    look_up(KERNELS, code & 0x3F)
}

/// A method of a CVM list, without what follows a failure.
pub(super) fn cvm_method(code: u8) -> Option<&'static str> {
    // 3F has its own meaning in results; elsewhere bit 7 belongs to the rule.
    look_up(CVM_METHODS, code & 0x3F)
}

/// A condition of a CVM list.
pub(super) fn cvm_condition(code: u8) -> Option<&'static str> {
    look_up(CVM_CONDITIONS, code)
}

/// Byte 3 of tag 9F34.
pub(super) fn cvm_outcome(code: u8) -> Option<&'static str> {
    look_up(CVM_OUTCOMES, code)
}

/// Tag 8A.
pub(super) fn response_code(code: &[u8]) -> Option<&'static str> {
    match code {
        b"00" => Some("approved"),
        b"01" => Some("referral"),
        b"05" => Some("declined"),
        b"51" => Some("declined: not enough funds"),
        b"Y1" => Some("offline approved"),
        b"Z1" => Some("offline declined"),
        b"Y3" => Some("unable to go online, offline approved"),
        b"Z3" => Some("unable to go online, offline declined"),
        _ => None,
    }
}

/// Device type in tag 9F6E.
pub(super) fn device_type(code: &[u8]) -> Option<&'static str> {
    match code {
        b"00" => Some("card"),
        b"01" => Some("phone, application on a SIM"),
        b"14" => Some("phone, application in the host processor (HCE)"),
        b"15" => Some("tablet, application in the host processor (HCE)"),
        b"16" => Some("phone, application in the trusted execution environment"),
        b"19" => Some("watch, application in the host processor"),
        _ => None,
    }
}

/// Categories that a wallet treats in its own way, and some that tests use (ISO 18245).
pub(super) fn merchant_category(code: u16) -> Option<&'static str> {
    match code {
        4111 => Some("local passenger transport (transit)"),
        4131 => Some("bus lines (transit)"),
        4784 => Some("tolls (transit)"),
        7523 => Some("parking (transit)"),
        5411 => Some("supermarkets"),
        5812 => Some("restaurants"),
        5814 => Some("fast food"),
        5999 => Some("other shops"),
        6011 => Some("cash from machines"),
        _ => None,
    }
}

/// What an application identifier stands for, by its longest known beginning.
pub(super) fn application(aid: &[u8]) -> Option<&'static str> {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"2PAY.SYS.DDF01", "contactless directory (PPSE)"),
        (b"1PAY.SYS.DDF01", "contact directory (PSE)"),
        (&[0xA0, 0, 0, 0, 0x04, 0x10, 0x10], "Mastercard credit or debit"),
        (&[0xA0, 0, 0, 0, 0x04, 0x30, 0x60], "Maestro"),
        (&[0xA0, 0, 0, 0, 0x04, 0x22, 0x03], "Mastercard US debit"),
        (&[0xA0, 0, 0, 0, 0x03, 0x10, 0x10], "Visa credit or debit"),
        (&[0xA0, 0, 0, 0, 0x03, 0x20, 0x10], "Visa Electron"),
        (&[0xA0, 0, 0, 0, 0x25, 0x01], "American Express"),
        (&[0xA0, 0, 0, 0, 0x65, 0x10, 0x10], "JCB"),
        (&[0xA0, 0, 0, 0x01, 0x52, 0x30, 0x10], "Discover"),
        (&[0xA0, 0, 0, 0x03, 0x33, 0x01, 0x01], "UnionPay"),
        (&[0xA0, 0, 0, 0, 0x42, 0x10, 0x10], "Cartes Bancaires"),
        (&[0xA0, 0, 0, 0x03, 0x59, 0x10, 0x10], "girocard"),
        (&[0xA0, 0, 0, 0, 0x04], "of the provider Mastercard"),
        (&[0xA0, 0, 0, 0, 0x03], "of the provider Visa"),
    ];
    KNOWN.iter().find(|(start, _)| aid.starts_with(start)).map(|(_, name)| *name)
}

static COUNTRIES: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| include_str!("countries.txt").lines().filter_map(|line| line.split_once(' ')).collect());

/// `DE Germany` of `276` (ISO 3166).
pub(super) fn country(number: u64) -> Option<&'static str> {
    COUNTRIES.get(format!("{number:03}").as_str()).copied()
}

/// `EUR Euro` of 978 (ISO 4217).
pub(super) fn currency(number: u16) -> Option<String> {
    Currency::from_numeric(number).map(|currency| format!("{} {}", currency.code(), currency.name()))
}

/// Minor units in words; without a known currency only as a number.
pub(super) fn money(minor: u64, currency: Option<u16>) -> String {
    let code = currency.and_then(Currency::from_numeric).map(|currency| currency.code());
    match code.map(|code| Amount::of_minor(minor, code)) {
        Some(Ok(amount)) => amount.to_string(),
        _ => format!("{minor} minor units"),
    }
}

static STATUS_WORDS: LazyLock<Vec<[&'static str; 3]>> = LazyLock::new(|| {
    let lines = include_str!("status.txt").lines().filter(|line| !line.starts_with('#'));
    let columns = |line: &'static str| line.splitn(3, '|').collect::<Vec<_>>().try_into().ok();
    lines.filter_map(columns).collect()
});

/// What a status word says, and what helps (empty if nothing does). `None` if it is none.
pub(super) fn status_word(word: u16) -> Option<(&'static str, &'static str)> {
    let digits = format!("{word:04X}");
    let fits = |pattern: &str| pattern.chars().zip(digits.chars()).all(|(p, digit)| p == 'x' || p == digit);
    STATUS_WORDS.iter().find(|[pattern, ..]| fits(pattern)).map(|[_, meaning, next]| (*meaning, *next))
}

/// The codes of a format, for the dictionary.
pub(super) fn describe(format: Format) -> Vec<Node> {
    let lines = |codes: Codes| -> Vec<Node> {
        codes.iter().map(|(code, text)| Node::new("", "").raw(&[*code]).means(*text)).collect()
    };
    match format {
        Format::TransactionType => lines(TRANSACTION_TYPES),
        Format::TerminalType => lines(TERMINAL_TYPES),
        Format::Cid => lines(CRYPTOGRAMS),
        Format::AccountType => lines(ACCOUNT_TYPES),
        Format::PosEntry => lines(POS_ENTRIES),
        Format::Kernel => lines(KERNELS),
        Format::CvmList | Format::CvmResults => {
            let part = |label, codes| Node::new(label, "").with(lines(codes));
            vec![part("method", CVM_METHODS), part("condition", CVM_CONDITIONS), part("result", CVM_OUTCOMES)]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_are_told_with_the_next_step() {
        assert_eq!(status_word(0x9000), Some(("done", "")));
        let (meaning, next) = status_word(0x6C12).unwrap();
        assert!(meaning.contains("wrong Le") && next.contains("SW2"));
        assert_eq!(status_word(0x63C2).unwrap().0, "verification failed; the last digit is the number of tries left");
        assert_eq!(status_word(0x1234), None);
        let lines = include_str!("status.txt").lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.count(), STATUS_WORDS.len());
    }

    #[test]
    fn countries_and_currencies_are_named() {
        assert_eq!(country(276), Some("DE Germany"));
        assert_eq!(country(56), Some("BE Belgium"));
        assert_eq!(country(999), None);
        assert_eq!(COUNTRIES.len(), 249);
        assert_eq!(currency(978).unwrap(), "EUR Euro");
        assert_eq!(currency(0), None);
    }

    #[test]
    fn money_has_the_digits_of_its_currency() {
        assert_eq!(money(1250, Some(978)), "12.50 EUR");
        assert_eq!(money(1250, Some(392)), "1250 JPY");
        assert_eq!(money(1250, None), "1250 minor units");
    }

    #[test]
    fn the_longest_beginning_names_an_application() {
        assert_eq!(application(&[0xA0, 0, 0, 0, 4, 0x10, 0x10, 0x12]), Some("Mastercard credit or debit"));
        assert_eq!(application(&[0xA0, 0, 0, 0, 4, 0x99]), Some("of the provider Mastercard"));
        assert_eq!(application(&[0xB0, 1, 2, 3, 4]), None);
    }
}
