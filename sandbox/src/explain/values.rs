//! What the value of a data object says.

use nfcwallet_core::card::tlv::Tag;

use super::dictionary::{self, Format};
use super::node::{Node, Tone, count};
use super::{bits, codes, fields, mask, tlv};

/// What helps to read a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// Card numbers are shown in full.
    pub(super) show_pan: bool,
    /// Currency of amounts (ISO 4217), if it is known.
    pub(super) currency: Option<u16>,
}

/// What was read of a value.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Its bytes, if they are not to be shown as they are.
    pub(super) raw: Option<String>,
    pub(super) meaning: String,
    pub(super) tone: Tone,
    pub(super) children: Vec<Node>,
}

impl Reading {
    pub(super) fn says(meaning: impl Into<String>) -> Self {
        Self { meaning: meaning.into(), ..Self::default() }
    }

    pub(super) fn warns(meaning: impl Into<String>) -> Self {
        Self { meaning: meaning.into(), tone: Tone::Warning, ..Self::default() }
    }

    /// The bytes are none of this type.
    pub(super) fn malformed(meaning: impl Into<String>) -> Self {
        Self { meaning: meaning.into(), tone: Tone::Malformed, ..Self::default() }
    }

    pub(super) fn parts(children: Vec<Node>) -> Self {
        Self { children, ..Self::default() }
    }

    /// The meaning of a code, or that the tables do not have it.
    pub(super) fn code(meaning: Option<impl Into<String>>) -> Self {
        meaning.map_or_else(|| Self::warns("not in the tables"), Self::says)
    }

    fn shown_as(mut self, raw: String) -> Self {
        self.raw = Some(raw);
        self
    }
}

/// A data object: its name, its bytes and what they say. The object starts at `at`, its value at
/// `value_at`.
pub(super) fn object(tag: Tag, value: &[u8], at: usize, value_at: usize, context: Context) -> Node {
    let Some(entry) = dictionary::find(tag.number(), Some(value.len())) else {
        let node = Node::new(tag.to_string(), "unknown").at(at).raw(value).toned(Tone::Unknown);
        return node.means(printable(value).unwrap_or_default());
    };
    let mut node = format(entry.format, &tag.to_string(), value, value_at, context).at(at);
    node.label = tag.to_string();
    node.name = entry.name.to_owned();
    if !(entry.min..=entry.max).contains(&value.len()) && !value.is_empty() {
        let expected =
            if entry.min == entry.max { format!("{}", entry.min) } else { format!("{} to {}", entry.min, entry.max) };
        let gap = if node.meaning.is_empty() { "" } else { " " };
        node.meaning = format!("{}{gap}({}, expected {expected})", node.meaning, count(value.len(), "byte"));
        node.tone = Tone::Malformed;
    }
    node
}

/// A value without its tag; `table` names its bits.
pub(super) fn format(format: Format, table: &str, value: &[u8], at: usize, context: Context) -> Node {
    let reading = match value {
        [] => Reading::says("empty"),
        value => read(format, table, value, at, context),
    };
    let mut node = Node::new("", "").at(at).raw(value).means(reading.meaning).toned(reading.tone);
    node.raw = reading.raw.or(node.raw);
    node.with(reading.children)
}

fn read(format: Format, table: &str, value: &[u8], at: usize, context: Context) -> Reading {
    match format {
        Format::Bytes | Format::Template => Reading::default(),
        Format::Secret => secret(value, context),
        Format::Digits => number_of_digits(value).map_or_else(not_decimal, Reading::says),
        Format::Number => Reading::says(binary(value).map_or_else(String::new, |number| number.to_string())),
        Format::Text => Reading::code(printable(value).map(|text| format!("\"{text}\""))),
        Format::Bits => set_bits(table, value, at),
        Format::Amount => {
            decimal(value).map_or_else(not_decimal, |minor| Reading::says(codes::money(minor, context.currency)))
        }
        Format::BinaryAmount => Reading::code(binary(value).map(|minor| codes::money(minor, context.currency))),
        Format::Date => date(value).map_or_else(|| Reading::malformed("no date"), Reading::says),
        Format::Time => time(value).map_or_else(|| Reading::malformed("no time of day"), Reading::says),
        Format::Country => country(value),
        Format::Currency => currency(value),
        Format::Exponent => Reading::code(binary(value).filter(|digits| *digits < 10).map(digits_after_the_point)),
        Format::Pan => pan(value, context),
        Format::DsId => ds_id(value, context),
        Format::Track2 => track2(value, context),
        Format::Track1 => track1(value, context),
        Format::ServiceCode => Reading::code(decimal(value).and_then(service_code)),
        Format::Languages => languages(value).map_or_else(|| Reading::malformed("no pairs of letters"), Reading::says),
        Format::Aid => Reading::says(codes::application(value).unwrap_or_default()),
        Format::Dol => tlv::list(value, at),
        Format::Tags => tlv::tags(value, at),
        Format::Afl => fields::file_locator(value, at),
        Format::CvmList => fields::cvm_list(value, at, context),
        Format::CvmResults => fields::cvm_results(value, at),
        Format::Cid => fields::cryptogram_information(value),
        Format::Iad => fields::issuer_application_data(value, at),
        Format::ThirdParty => fields::third_party_data(value, at),
        Format::TransactionType => one_byte(value, codes::transaction_type),
        Format::TerminalType => one_byte(value, codes::terminal_type),
        Format::AccountType => one_byte(value, codes::account_type),
        Format::PosEntry => one_byte(value, codes::pos_entry),
        Format::Kernel => one_byte(value, codes::kernel),
        Format::MerchantCategory => merchant_category(value),
        Format::Priority => priority(value),
        Format::LogEntry => fields::log_entry(value),
        Format::ResponseCode => response_code(value),
        Format::Positions => positions(value),
        Format::RelayTime => Reading::code(binary(value).map(relay_time)),
    }
}

fn one_byte(value: &[u8], meaning: impl Fn(u8) -> Option<&'static str>) -> Reading {
    Reading::code(value.first().and_then(|code| meaning(*code)))
}

fn not_decimal() -> Reading {
    Reading::malformed("not decimal digits")
}

/// Two decimal digits a byte, as a number; `None` for other nibbles and for more than 18 digits.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    value.iter().try_fold(0u64, |number, byte| {
        let (high, low) = (u64::from(byte >> 4), u64::from(byte & 0x0F));
        let digits = (high < 10 && low < 10).then_some(high * 10 + low)?;
        number.checked_mul(100)?.checked_add(digits)
    })
}

/// Big-endian, at most eight bytes.
pub(super) fn binary(value: &[u8]) -> Option<u64> {
    (value.len() <= 8).then(|| value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Also longer than a number can be; F fills at the end.
fn number_of_digits(value: &[u8]) -> Option<String> {
    let digits = hex::encode_upper(value);
    let digits = digits.trim_end_matches('F');
    let number = digits.trim_start_matches('0');
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| if number.is_empty() { "0" } else { number }.to_owned())
}

fn printable(value: &[u8]) -> Option<String> {
    let is_text = value.iter().all(|byte| matches!(byte, 0x20..=0x7E));
    (is_text && !value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

fn set_bits(table: &str, value: &[u8], at: usize) -> Reading {
    let children = bits::explain(bits::table(table).unwrap_or_default(), value, at);
    let meaning = if children.is_empty() { "nothing set" } else { "" };
    Reading { meaning: meaning.to_owned(), children, ..Reading::default() }
}

/// `2035-12-31`; years from 50 on are of the last century (EMV Book 4, 6.7.3).
fn date(value: &[u8]) -> Option<String> {
    let &[year, month, day] = value else { return None };
    let [year, month, day] = [decimal(&[year])?, decimal(&[month])?, decimal(&[day])?];
    let century = if year < 50 { 20 } else { 19 };
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&day) || (month, day) == (0, 0);
    is_day.then(|| format!("{century}{year:02}-{month:02}-{day:02}"))
}

fn time(value: &[u8]) -> Option<String> {
    let &[hour, minute, second] = value else { return None };
    let [hour, minute, second] = [decimal(&[hour])?, decimal(&[minute])?, decimal(&[second])?];
    (hour < 24 && minute < 60 && second < 60).then(|| format!("{hour:02}:{minute:02}:{second:02}"))
}

fn country(value: &[u8]) -> Reading {
    match decimal(value) {
        Some(0) => Reading::says("not given"),
        Some(number) => Reading::code(codes::country(number)),
        None => not_decimal(),
    }
}

fn currency(value: &[u8]) -> Reading {
    match decimal(value).map(u16::try_from) {
        Some(Ok(0)) => Reading::says("not given"),
        Some(Ok(number)) => Reading::code(codes::currency(number)),
        _ => not_decimal(),
    }
}

fn digits_after_the_point(digits: u64) -> String {
    format!("{} after the point", count(usize::try_from(digits).unwrap_or(0), "digit"))
}

fn secret(value: &[u8], context: Context) -> Reading {
    match context.show_pan {
        true => Reading::default(),
        false => Reading::says(format!("{}, hidden", count(value.len(), "byte"))).shown_as("**".repeat(value.len())),
    }
}

/// Filled with F to whole bytes; the last digit is right (ISO/IEC 7812-1, annex B).
fn pan(value: &[u8], context: Context) -> Reading {
    let hex = hex::encode_upper(value);
    let number = hex.trim_end_matches('F');
    let shown = if context.show_pan { hex.clone() } else { mask::pan(&hex) };
    let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
    let reading = match is_number && luhn(number) {
        true => Reading::says(format!("{} digits, check digit right", number.len())),
        false if is_number => Reading::warns(format!("{} digits, check digit wrong", number.len())),
        false => not_decimal(),
    };
    reading.shown_as(shown)
}

fn luhn(number: &str) -> bool {
    let sum = number.bytes().rev().enumerate().fold(0u32, |sum, (place, digit)| {
        let digit = u32::from(digit.wrapping_sub(b'0'));
        let doubled = if place % 2 == 1 { digit * 2 } else { digit };
        sum + doubled / 10 + doubled % 10
    });
    !number.is_empty() && sum.is_multiple_of(10)
}

fn ds_id(value: &[u8], context: Context) -> Reading {
    let hex = hex::encode_upper(value);
    let length = hex.len().saturating_sub(2);
    let sequence = hex.get(length..).unwrap_or_default();
    let shown = if context.show_pan { hex.clone() } else { mask::digits(&hex, length, usize::MAX) };
    Reading::says(format!("card number, then sequence number {sequence}")).shown_as(shown)
}

fn track2(value: &[u8], context: Context) -> Reading {
    let hex = hex::encode_upper(value);
    let shown = if context.show_pan { hex.clone() } else { mask::track2(&hex) };
    let reading = match hex.split_once('D').map(|(_, rest)| (rest.get(..4), rest.get(4..7))) {
        Some((Some(expiry), Some(service))) if expiry.chars().all(|digit| digit.is_ascii_digit()) => {
            let (year, month) = expiry.split_at_checked(2).unwrap_or_default();
            let service = service.parse().ok().and_then(service_code).unwrap_or_else(|| "no service code".to_owned());
            Reading::says(format!("expires 20{year}-{month}; {service}"))
        }
        _ => Reading::malformed("no separator D with date and service code behind it"),
    };
    reading.shown_as(shown)
}

fn track1(value: &[u8], context: Context) -> Reading {
    match printable(value) {
        Some(text) if context.show_pan => Reading::says(format!("\"{text}\"")),
        Some(text) => Reading::says(format!("\"{}\"", mask::track1(&text))).shown_as("**".repeat(value.len())),
        None => secret(value, context),
    }
}

/// ISO/IEC 7813: technology and interchange, authorisation, services and PIN.
fn service_code(code: u64) -> Option<String> {
    let interchange = match code / 100 {
        1 => "international",
        2 => "international, chip",
        5 => "national",
        6 => "national, chip",
        7 => "private",
        9 => "test",
        _ => return None,
    };
    let authorisation = match code / 10 % 10 {
        0 => "normal authorisation",
        2 => "authorisation by the issuer",
        4 => "authorisation by the issuer unless agreed otherwise",
        _ => return None,
    };
    let services = match code % 10 {
        0 => "no restriction, PIN",
        1 => "no restriction",
        2 => "goods and services",
        3 => "ATM only, PIN",
        4 => "cash only",
        5 => "goods and services, PIN",
        6 => "no restriction, PIN if there is a PIN pad",
        7 => "goods and services, PIN if there is a PIN pad",
        _ => return None,
    };
    Some(format!("service code {code:03}: {interchange}; {authorisation}; {services}"))
}

fn languages(value: &[u8]) -> Option<String> {
    let text = printable(value).filter(|text| text.len().is_multiple_of(2))?;
    let pairs = text.as_bytes().chunks(2).map(String::from_utf8_lossy);
    Some(pairs.collect::<Vec<_>>().join(", "))
}

fn merchant_category(value: &[u8]) -> Reading {
    match decimal(value).map(u16::try_from) {
        Some(Ok(code)) => Reading::says(codes::merchant_category(code).unwrap_or_default()),
        _ => not_decimal(),
    }
}

fn priority(value: &[u8]) -> Reading {
    let byte = value.first().copied().unwrap_or(0);
    let confirm = if byte & 0x80 != 0 { ", only after the cardholder confirmed it" } else { "" };
    match byte & 0x0F {
        0 => Reading::says(format!("none{confirm}")),
        1 => Reading::says(format!("1, the highest{confirm}")),
        number => Reading::says(format!("{number}{confirm}")),
    }
}

fn response_code(value: &[u8]) -> Reading {
    let meaning = codes::response_code(value).map(str::to_owned);
    let text = printable(value).map(|text| format!("\"{text}\""));
    match (text, meaning) {
        (Some(text), Some(meaning)) => Reading::says(format!("{text}: {meaning}")),
        (Some(text), None) => Reading::says(text),
        _ if value == [0, 0] => Reading::says("not given"),
        _ => Reading::malformed("not letters"),
    }
}

/// Bit 1 is the rightmost digit of the discretionary data.
fn positions(value: &[u8]) -> Reading {
    let number = binary(value).unwrap_or(0);
    let places: Vec<_> = (0..64).filter(|bit| number >> bit & 1 == 1).map(|bit| (bit + 1).to_string()).collect();
    match places.as_slice() {
        [] => Reading::says("no digit"),
        places => Reading::says(format!("digits {} from the right", places.join(", "))),
    }
}

/// Units of 100 microseconds.
pub(super) fn relay_time(units: u64) -> String {
    format!("{}.{} ms", units / 10, units % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(tag: &str, value: &str) -> String {
        let node = node(tag, value, Context { currency: Some(978), show_pan: false });
        match node.tone {
            Tone::Plain => node.meaning,
            tone => format!("{tone:?}: {}", node.meaning),
        }
    }

    fn node(tag: &str, value: &str, context: Context) -> Node {
        let tag = hex::decode(tag).unwrap();
        object(Tag::read(&tag).unwrap().0, &hex::decode(value).unwrap(), 0, 2, context)
    }

    #[test]
    fn values_are_read_by_their_type() {
        assert_eq!(means("9F02", "000000001250"), "12.50 EUR");
        assert_eq!(means("9F02", "00000000125A"), "Malformed: not decimal digits");
        assert_eq!(means("9A", "351231"), "2035-12-31");
        assert_eq!(means("9A", "351331"), "Malformed: no date");
        assert_eq!(means("9F21", "235959"), "23:59:59");
        assert_eq!(means("9F1A", "0276"), "DE Germany");
        assert_eq!(means("5F2A", "0392"), "JPY Japanese yen");
        assert_eq!(means("9C", "09"), "purchase with cash back");
        assert_eq!(means("9F36", "02E0"), "736");
        assert_eq!(means("50", "44454249"), "\"DEBI\"");
        assert_eq!(means("5F2D", "6465656E"), "de, en");
        assert_eq!(means("87", "01"), "1, the highest");
        assert_eq!(means("8A", "3030"), "\"00\": approved");
        assert_eq!(means("9F15", "4111"), "local passenger transport (transit)");
        assert_eq!(means("9F65", "000E"), "digits 2, 3, 4 from the right");
        assert_eq!(means("DF8132", "0014"), "2.0 ms");
        assert_eq!(means("9F35", "22"), "merchant, attended, offline with online capability");
        assert_eq!(means("95", "0000000000"), "nothing set");
    }

    #[test]
    fn a_wrong_length_and_an_unknown_tag_are_pointed_out() {
        assert_eq!(means("9F36", "01"), "Malformed: 1 (1 byte, expected 2)");
        assert_eq!(means("DF7F", "414243"), "Unknown: ABC");
    }

    #[test]
    fn card_numbers_are_hidden_until_they_are_asked_for() {
        for (tag, value) in [("5A", "5413339000001513"), ("9F5E", "541333900000151301")] {
            let hidden = node(tag, value, Context::default());
            assert!(!format!("{hidden:?}").contains("39000001513"), "{hidden:?}");
            let shown = node(tag, value, Context { show_pan: true, currency: None });
            assert_eq!(shown.raw.as_deref(), Some(value));
        }
        let track = node("57", "5413339000001513D20122010000000000005F", Context::default());
        assert_eq!(track.raw.unwrap(), "541333******1513D2012201*************F");
        assert!(track.meaning.starts_with("expires 2020-12; service code 201: international, chip;"));
        assert_eq!(means("5A", "5413339000001513"), "16 digits, check digit right");
        assert_eq!(means("5A", "5413339000001514"), "Warning: 16 digits, check digit wrong");
    }
}
