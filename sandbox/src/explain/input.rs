//! Text that people have: hex on a command line, our traces, logs of readers, JSON.

use serde_json::Value;

use super::node::count;
use crate::issuer::CaPublicKey;
use crate::pos::Exchange;

/// More text than this is not read, so that time and memory stay bounded.
pub const TEXT_LIMIT: usize = 1 << 20;

/// What a piece of hex is known to be from the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the card.
    Command,
    /// From the card.
    Response,
    /// The text does not say.
    Unknown,
}

/// One piece of hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Line of the text, from 1; 0 for an argument or JSON.
    pub line: usize,
    /// Which way it went.
    pub direction: Direction,
    /// `None` where the trace says that no answer came.
    pub bytes: Option<Vec<u8>>,
    /// A single digit stood at the end.
    pub half_byte: bool,
    /// Time from command to answer, in microseconds.
    pub micros: Option<u64>,
}

/// What was found in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The hex, in order.
    pub items: Vec<Item>,
    /// Lines that are not hex.
    pub passed_over: usize,
    /// The first of them, from 1.
    pub first_passed_over: Option<usize>,
    /// Keys that came with the text (JSON only).
    pub ca_keys: Vec<CaPublicKey>,
}

/// Why a text cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Too long.
    #[error("the text is {bytes} bytes, limit {TEXT_LIMIT}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A word on the command line is not hex.
    #[error("`{word}` is not hex")]
    NotHex {
        /// The word, cut to a line.
        word: String,
    },
    /// Nothing to explain.
    #[error("there is no hex to explain; give it as an argument, by --file, or on standard input")]
    Empty,
    /// A text of no more than white space.
    #[error("there is nothing in it; give hex as an argument, by --file, or on standard input")]
    Blank,
    /// A text of which no line is hex.
    #[error("there is no hex in it: {} passed over", count(*lines, "line"))]
    NoHex {
        /// Its lines that are neither hex, nor empty, nor comments.
        lines: usize,
    },
    /// Bytes that are no text, and so no hex.
    #[error("it is no text: byte {at} is not UTF-8; write its bytes as hex")]
    NotText {
        /// Where it ceases to be text.
        at: usize,
    },
    /// It begins like JSON.
    #[error("it is broken JSON: {reason}")]
    BrokenJson {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// JSON of another kind.
    #[error("it is JSON without objects that have `command` and `response` in hex")]
    NoExchanges,
}

/// Arguments of a command line: one piece each. All are the bytes of one piece if one of them is a single
/// byte, or if they make something whole together that they do not make alone.
///
/// # Errors
/// [`InputError`].
pub fn arguments(words: &[String]) -> Result<Input, InputError> {
    let length = words.iter().map(String::len).sum();
    if length > TEXT_LIMIT {
        return Err(InputError::TooLong { bytes: length });
    }
    let digits = words.iter().map(|word| digits(word).ok_or_else(|| not_hex(word))).collect::<Result<Vec<_>, _>>()?;
    let joined = digits.iter().any(|digits| digits.len() <= 2);
    let pieces = if joined { vec![digits.concat()] } else { digits };
    let items: Vec<_> =
        pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| item(0, Direction::Unknown, piece)).collect();
    if items.is_empty() {
        return Err(InputError::Empty);
    }
    Ok(join_wrapped(Input { items, ..Input::default() }))
}

fn not_hex(word: &str) -> InputError {
    InputError::NotHex { word: word.chars().take(40).collect() }
}

/// A file: our trace, a reader's log, bare hex line by line or over several lines, or JSON with
/// `command` and `response`. Lines that are not hex are counted and passed over.
///
/// # Errors
/// [`InputError`].
pub fn text(bytes: &[u8]) -> Result<Input, InputError> {
    if bytes.len() > TEXT_LIMIT {
        return Err(InputError::TooLong { bytes: bytes.len() });
    }
    let text = String::from_utf8_lossy(bytes);
    let value = serde_json::from_str::<Value>(&text);
    let input = match &value {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => json(value),
        _ => lines(&text),
    };
    if !input.items.is_empty() {
        return Ok(input);
    }
    let begin = text.trim_start();
    Err(match (str::from_utf8(bytes), value) {
        _ if begin.is_empty() => InputError::Blank,
        (Err(error), _) => InputError::NotText { at: error.valid_up_to() },
        (_, Ok(Value::Object(_) | Value::Array(_))) => InputError::NoExchanges,
        (_, Err(error)) if begins_as_json(begin) => InputError::BrokenJson { reason: error.to_string() },
        _ => InputError::NoHex { lines: input.passed_over },
    })
}

/// An object, or a list of objects. A bracket alone opens many a log's lines.
fn begins_as_json(text: &str) -> bool {
    let within = text.strip_prefix('[').unwrap_or(text);
    within.trim_start().starts_with('{')
}

/// A trace that the terminal kept.
#[must_use]
pub fn trace(exchanges: &[Exchange]) -> Input {
    let pair = |exchange: &Exchange| {
        let piece = |direction, bytes, micros| Item { line: 0, direction, bytes, half_byte: false, micros };
        let answer = Some(exchange.response.clone()).filter(|bytes| !bytes.is_empty());
        [
            piece(Direction::Command, Some(exchange.command.clone()), None),
            piece(Direction::Response, answer, Some(exchange.micros)),
        ]
    };
    Input { items: exchanges.iter().flat_map(pair).collect(), ..Input::default() }
}

fn lines(text: &str) -> Input {
    let mut input = Input::default();
    let mut dump = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if let Some(word) = line.trim_start().strip_prefix("Received (SW1=") {
            dump = dumped_status(word).map(|word| Dump { line: number, data: Vec::new(), word });
            continue;
        }
        if let Some(open) = &mut dump {
            match dumped_line(line) {
                Some(data) => {
                    open.data.extend(data);
                    continue;
                }
                None => input.items.extend(dump.take().map(Dump::into_item)),
            }
        }
        match parse_line(number, line.trim_start()) {
            Some(item) => input.items.push(item),
            None if line.is_empty() || line.starts_with('#') => {}
            None => {
                input.passed_over += 1;
                input.first_passed_over.get_or_insert(number);
            }
        }
    }
    input.items.extend(dump.map(Dump::into_item));
    join_wrapped(input)
}

/// What stands before a command or an answer in logs: ours, pcscd's, opensc-tool's and the like.
const MARKS: [(&str, Direction); 14] = [
    (">>", Direction::Command),
    ("<<", Direction::Response),
    ("=>", Direction::Command),
    ("<=", Direction::Response),
    ("->", Direction::Command),
    ("<-", Direction::Response),
    (">", Direction::Command),
    ("<", Direction::Response),
    ("APDU:", Direction::Command),
    ("SW:", Direction::Response),
    ("C-APDU:", Direction::Command),
    ("R-APDU:", Direction::Response),
    ("Sending:", Direction::Command),
    ("Received:", Direction::Response),
];

fn parse_line(number: usize, line: &str) -> Option<Item> {
    let line = without_time_stamp(line);
    for (mark, direction) in MARKS {
        if let Some(rest) = line.strip_prefix(mark) {
            return marked(number, direction, rest.trim_start());
        }
    }
    // Two bytes are the least that says something, and words such as "ad" and "added" are no hex.
    let has_number = || line.bytes().any(|letter| letter.is_ascii_digit());
    let is_hex = |digits: &String| match digits.len() {
        0..3 => false,
        length if length.is_multiple_of(2) => true,
        _ => has_number(),
    };
    digits(line).filter(is_hex).map(|digits| item(number, Direction::Unknown, &digits))
}

/// pcscd counts microseconds in front of each line.
fn without_time_stamp(line: &str) -> &str {
    match line.split_once(' ') {
        Some((stamp, rest)) if stamp.len() == 8 && stamp.bytes().all(|digit| digit.is_ascii_digit()) => {
            let rest = rest.trim_start();
            if MARKS.iter().any(|(mark, _)| rest.starts_with(mark)) { rest } else { line }
        }
        _ => line,
    }
}

/// Hex up to two spaces, or up to the first word that is none.
fn marked(line: usize, direction: Direction, rest: &str) -> Option<Item> {
    if direction == Direction::Response && rest.starts_with("(link lost)") {
        return Some(Item { line, direction, bytes: None, half_byte: false, micros: None });
    }
    let (hex, comment) = rest.split_once("  ").unwrap_or((rest, ""));
    let words = hex.split_whitespace().map_while(digits);
    let digits: String = words.collect();
    if digits.is_empty() {
        return None;
    }
    let micros = comment.trim().strip_suffix("µs").and_then(|number| number.trim().parse().ok());
    Some(Item { micros, ..item(line, direction, &digits) })
}

/// The digits of a text that is hex, with the usual separators; `None` for any other letter.
fn digits(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for word in text.split([' ', '\t', '\n', '\r', ':', ',', '-']) {
        let word = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        if !word.bytes().all(|letter| letter.is_ascii_hexdigit()) {
            return None;
        }
        out.push_str(word);
    }
    Some(out)
}

fn item(line: usize, direction: Direction, digits: &str) -> Item {
    let whole = digits.get(..digits.len() - digits.len() % 2).unwrap_or_default();
    let bytes = hex::decode(whole).unwrap_or_default();
    Item { line, direction, half_byte: whole.len() < digits.len(), bytes: Some(bytes), micros: None }
}

/// An answer as opensc-tool prints it: the status word, then lines of hex with letters behind.
struct Dump {
    line: usize,
    data: Vec<u8>,
    word: [u8; 2],
}

impl Dump {
    fn into_item(self) -> Item {
        let bytes = [self.data.as_slice(), &self.word].concat();
        Item { line: self.line, direction: Direction::Response, bytes: Some(bytes), half_byte: false, micros: None }
    }
}

/// `0x90, SW2=0x00)` and what may follow.
fn dumped_status(text: &str) -> Option<[u8; 2]> {
    let (sw1, rest) = text.strip_prefix("0x")?.split_at_checked(2)?;
    let (sw2, _) = rest.strip_prefix(", SW2=0x")?.split_at_checked(2)?;
    Some([u8::from_str_radix(sw1, 16).ok()?, u8::from_str_radix(sw2, 16).ok()?])
}

/// Up to 16 bytes, each with a space, then as many letters: a line of fewer than 16 bytes is told from
/// its letters by its length.
fn dumped_line(line: &str) -> Option<Vec<u8>> {
    let most = if line.len() < 48 { line.len() / 4 } else { 16 };
    let byte = |group: &[u8]| match group {
        [high, low, b' '] => u8::from_str_radix(str::from_utf8(&[*high, *low]).ok()?, 16).ok(),
        _ => None,
    };
    let bytes: Vec<u8> = line.as_bytes().chunks(3).map_while(byte).take(most).collect();
    (!bytes.is_empty()).then_some(bytes)
}

/// One object over several lines or arguments is one piece: the first alone is not whole, all together
/// are.
fn join_wrapped(input: Input) -> Input {
    let bare = |item: &Item| item.direction == Direction::Unknown && !item.half_byte;
    if input.items.len() < 2 || input.passed_over > 0 || !input.items.iter().all(bare) {
        return input;
    }
    let first = input.items.first().and_then(|item| item.bytes.as_deref()).unwrap_or_default();
    let all: Vec<u8> = input.items.iter().filter_map(|item| item.bytes.as_deref()).flatten().copied().collect();
    if super::guess::is_whole(first) || !super::guess::is_whole(&all) {
        return input;
    }
    let line = input.items.first().map_or(0, |item| item.line);
    let item = Item { line, direction: Direction::Unknown, bytes: Some(all), half_byte: false, micros: None };
    Input { items: vec![item], ..input }
}

/// The first list of objects that have `command` and `response`, and a `ca_key` beside it.
fn json(value: &Value) -> Input {
    let mut input = Input::default();
    for exchange in exchanges(value).into_iter().flatten() {
        for (name, direction) in [("command", Direction::Command), ("response", Direction::Response)] {
            let digits = exchange.get(name).and_then(Value::as_str).and_then(digits);
            match digits {
                Some(digits) if digits.is_empty() => {
                    let lost = Item { line: 0, direction, bytes: None, half_byte: false, micros: None };
                    input.items.push(lost);
                }
                Some(digits) => input.items.push(item(0, direction, &digits)),
                None => input.passed_over += 1,
            }
        }
    }
    input.ca_keys = ca_keys(value);
    input
}

fn exchanges(value: &Value) -> Option<&Vec<Value>> {
    let is_exchange = |value: &Value| value.get("command").is_some() && value.get("response").is_some();
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(is_exchange) => Some(list),
        Value::Array(list) => list.iter().find_map(exchanges),
        Value::Object(object) => object.values().find_map(exchanges),
        _ => None,
    }
}

/// Keys in JSON: one key, a list of keys, or either under `ca_keys` or `ca_key`, as `serve.json` has it.
#[must_use]
pub fn ca_keys(value: &Value) -> Vec<CaPublicKey> {
    let inner = value.get("ca_keys").or_else(|| value.get("ca_key")).unwrap_or(value);
    let list = inner.as_array().map_or_else(|| vec![inner.clone()], Clone::clone);
    list.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text_: &str) -> Vec<(Direction, String)> {
        let input = text(text_.as_bytes()).unwrap();
        let hex = |item: &Item| item.bytes.as_deref().map_or("lost".to_owned(), hex::encode_upper);
        input.items.iter().map(|item| (item.direction, hex(item))).collect()
    }

    fn words(words: &[&str]) -> Result<Input, InputError> {
        arguments(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_take_the_usual_separators() {
        let one = |words_: &[&str]| words(words_).unwrap().items.remove(0).bytes.unwrap();
        for spelt in [
            &["9f360200 01"][..],
            &["9F:36:02:00:01"],
            &["0x9F 0x36 0x02 0x00 0x01"],
            &["9F36", "02", "0001"],
            &["9F3602", "0001"],
        ] {
            assert_eq!(one(spelt), [0x9F, 0x36, 0x02, 0x00, 0x01], "{spelt:?}");
        }
        assert_eq!(words(&["00B2011400", "70009000"]).unwrap().items.len(), 2);
        assert!(words(&["9F3"]).unwrap().items[0].half_byte);
        assert_eq!(words(&["9F", "hello"]), Err(InputError::NotHex { word: "hello".to_owned() }));
        assert_eq!(words(&[" "]), Err(InputError::Empty));
        assert!(matches!(words(&["0".repeat(TEXT_LIMIT + 1).as_str()]), Err(InputError::TooLong { .. })));
    }

    #[test]
    fn our_trace_is_read_with_names_times_and_lost_links() {
        let trace = "    > 00B2011400  READ RECORD 2.1\n    < 7000 9000  12 µs\n> 80AE9000  GENERATE AC ARQC + CDA\n< (link lost)\n";
        use Direction::{Command, Response};
        let expected = [(Command, "00B2011400"), (Response, "70009000"), (Command, "80AE9000"), (Response, "lost")];
        assert_eq!(found(trace), expected.map(|(direction, hex)| (direction, hex.to_owned())));
        assert_eq!(text(trace.as_bytes()).unwrap().items[1].micros, Some(12));
    }

    #[test]
    fn other_logs_are_read_too() {
        let pcscd = "00000012 APDU: 00 A4 04 00 02 A0 00\n00000345 SW: 6A 82\n";
        assert_eq!(found(pcscd)[0].1, "00A4040002A000");
        assert_eq!(found(pcscd)[1], (Direction::Response, "6A82".to_owned()));
        let opensc = "Sending: 00 B2 01 14 00 \nReceived (SW1=0x90, SW2=0x00):\n70 0A 5F 20 07 41 42 43 44 45 46 47 p._ .ABCDEFG\n";
        assert_eq!(found(opensc)[1].1, "700A5F20074142434445464790 00".replace(' ', ""));
        let json = r#"{"apdus":[{"command":"00B2011400","response":"70009000"}],"generate_ac":{"command":"80","response":"90"}}"#;
        assert_eq!(found(json).len(), 2);
    }

    #[test]
    fn lines_that_are_not_hex_are_counted() {
        let input = text(b"status 2 (ready)\n\n# a comment\n6A82\nadded\nad\n").unwrap();
        assert_eq!((input.items.len(), input.passed_over, input.first_passed_over), (1, 3, Some(1)));
        assert!(text(&[0xFF, 0xFE, b'\n', b'6', b'A', b'8', b'2']).is_ok());
    }

    #[test]
    fn a_line_with_half_a_byte_is_not_passed_over() {
        let input = text(b"9F36020001\n9F360200020\n9F3\nadded\n").unwrap();
        let halves: Vec<_> = input.items.iter().map(|item| (item.line, item.half_byte)).collect();
        assert_eq!(halves, [(1, false), (2, true), (3, true)]);
        assert_eq!((input.passed_over, input.first_passed_over), (1, Some(4)));
    }

    #[test]
    fn a_text_without_hex_is_told_for_what_it_is() {
        for empty in ["", " \n\n"] {
            assert_eq!(text(empty.as_bytes()), Err(InputError::Blank));
        }
        let says = |bytes: &[u8]| text(bytes).unwrap_err().to_string();
        assert_eq!(says(b"nothing here\nnor here\n"), "there is no hex in it: 2 lines passed over");
        assert_eq!(says(b"PNG\xFF\x00"), "it is no text: byte 3 is not UTF-8; write its bytes as hex");
        assert_eq!(says(b"[12:00:00] started"), "there is no hex in it: 1 line passed over");
        let broken = says(b"{\n  \"apdus\": [");
        assert!(broken.starts_with("it is broken JSON: EOF") && broken.ends_with("line 2 column 12"), "{broken}");
        for other in ["{}", "[1, 2]", r#"[{"command":"no","response":"hex"}]"#] {
            assert_eq!(text(other.as_bytes()), Err(InputError::NoExchanges), "{other}");
        }
    }

    #[test]
    fn an_object_over_several_lines_is_one_piece() {
        assert_eq!(found("6F0E8405A000\n000004A505870101\n5000\n").len(), 1);
        assert_eq!(found("9F36020001\n9F36020002\n").len(), 2);
    }

    #[test]
    fn keys_come_in_every_shape_that_we_write() {
        let key = r#"{"rid":"A000000004","index":"EE","modulus":"AB","exponent":"03"}"#;
        for text in
            [key.to_owned(), format!("[{key}]"), format!("{{\"ca_keys\":[{key}]}}"), format!("{{\"ca_key\":{key}}}")]
        {
            assert_eq!(ca_keys(&serde_json::from_str(&text).unwrap()).len(), 1, "{text}");
        }
        assert!(ca_keys(&Value::Null).is_empty());
    }
}
