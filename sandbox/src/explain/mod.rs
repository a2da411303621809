//! Contactless EMV for humans: commands, answers, data objects and whole taps, in words.
//!
//! Owns the dictionary of tags, bits and codes (the `.txt` files, one table each), and what is said of
//! them. Parses with the card's own parser (`nfcwallet_core::card`) and checks signatures with the
//! issuer's (`crate::issuer::verify`). Touches no file, no terminal and no network; any bytes give lines
//! or a line that says where decoding stopped. Card numbers are masked unless [`Options::show_pan`].
//!
//! ```
//! use nfcwallet_sandbox::explain::{self, Options};
//!
//! # fn main() -> Result<(), explain::InputError> {
//! let input = explain::input::arguments(&["9F3403 010002".to_owned()])?;
//! let explanation = explain::explain(&input, &Options::default());
//! assert!(!explanation.is_malformed());
//! let text = explain::render::text(&explanation, explain::render::Style::default());
//! assert!(text.contains("verified on the device (CDCVM)"), "{text}");
//! # Ok(())
//! # }
//! ```

mod apdu;
mod bits;
mod codes;
pub mod dictionary;
mod fields;
mod guess;
pub mod input;
mod mask;
mod node;
pub mod render;
mod session;
mod signature;
mod summary;
mod tap;
#[cfg(test)]
mod tests;
mod tlv;
mod values;

use nfcwallet_core::card::tlv::Tag;
use serde::Serialize;

pub use apdu::name_of;
pub use guess::{Form, FormError, TagError, tag};
pub use input::{Direction, Input, InputError, Item};
pub use node::{Node, Tone};
pub use summary::Summary;

use crate::issuer::CaPublicKey;
use crate::pos::Exchange;
use dictionary::Format;
use session::Session;
use values::Context;

/// How to explain.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Card numbers are shown in full.
    pub show_pan: bool,
    /// What hex without a direction is; `None` guesses.
    pub form: Option<Form>,
    /// Authorities by whose keys certificates are opened. They are the right ones: a certificate that
    /// does not open under them is wrong.
    pub ca_keys: Vec<CaPublicKey>,
    /// Keys that nobody gave for this input. They are taken where no other key fits.
    pub found_keys: Option<FoundKeys>,
}

/// Keys that lie near by. They may be another sandbox's: each draws its own, under the same RID and index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundKeys {
    /// The keys.
    pub keys: Vec<CaPublicKey>,
    /// Where they lie, as people are told.
    pub place: String,
}

/// Everything that is said of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// In the order of the input.
    pub parts: Vec<Part>,
    /// Each tap of two exchanges or more.
    pub taps: Vec<Summary>,
    /// About the input as a whole.
    pub notes: Vec<String>,
}

impl Explanation {
    /// Something cannot be read as what it is, or is said to be.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.has(Tone::Malformed)
    }

    /// A line of this tone is there.
    #[must_use]
    pub fn has(&self, tone: Tone) -> bool {
        let mut found = false;
        for node in self.parts.iter().flat_map(|part| &part.nodes) {
            node.for_each(&mut |node| found |= node.tone == tone);
        }
        found
    }
}

/// What one piece of the input says, or what a tap came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Line of the input, from 1; none for an argument, JSON, or what is said of a tap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its lines. A command and an answer have one, with everything below it.
    pub nodes: Vec<Node>,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A command APDU.
    Command,
    /// An answer, or that none came.
    Response,
    /// Objects, a list or a value on their own.
    Objects,
    /// The tap's certificates and signature, opened and checked.
    Signatures,
    /// The tap in a few lines.
    Tap,
}

/// Explains every piece of `input`, and each tap among them.
#[must_use]
pub fn explain(input: &Input, options: &Options) -> Explanation {
    let mut options = options.clone();
    options.ca_keys.extend(input.ca_keys.iter().cloned());
    let mut explainer = Explainer { session: Session::new(&options), options: &options, out: Explanation::default() };
    for item in &input.items {
        explainer.item(item);
    }
    explainer.finish_tap();
    let mut explanation = explainer.out;
    if input.passed_over > 0 {
        let first = input.first_passed_over.map(|line| format!(", the first is line {line}")).unwrap_or_default();
        // Only lines have numbers; the rest are values in JSON.
        let what = if input.first_passed_over.is_some() { "line" } else { "value" };
        let are = if input.passed_over == 1 { "is" } else { "are" };
        let passed_over = node::count(input.passed_over, what);
        explanation.notes.push(format!("{passed_over} {are} not hex and passed over{first}"));
    }
    explanation
}

struct Explainer<'a> {
    session: Session<'a>,
    options: &'a Options,
    out: Explanation,
}

impl Explainer<'_> {
    fn item(&mut self, item: &Item) {
        let Some(bytes) = &item.bytes else {
            self.session.link_lost();
            let lost = Node::new("<", "").means("no answer: the link was lost").toned(Tone::Warning);
            return self.push(PartKind::Response, item, vec![lost]);
        };
        let form = match item.direction {
            Direction::Command => Some(Form::Command),
            Direction::Response => Some(Form::Response),
            Direction::Unknown => self.options.form.or_else(|| guess::form(bytes)),
        };
        let (kind, mut nodes) = match form {
            Some(Form::Command) => {
                if self.session.begins_another_tap(bytes) {
                    self.finish_tap();
                }
                (PartKind::Command, vec![self.session.command(bytes)])
            }
            Some(Form::Response) => (PartKind::Response, vec![self.session.response(bytes, item.micros)]),
            Some(Form::Objects) => (PartKind::Objects, self.session.objects(bytes)),
            Some(form) => (PartKind::Objects, self.value(form, bytes)),
            None => (PartKind::Objects, vec![unknown(bytes)]),
        };
        if item.half_byte {
            let line = if item.line > 0 { format!(" of line {}", item.line) } else { String::new() };
            nodes.push(Node::malformed(bytes.len(), format!("half a byte at the end{line}")));
        }
        self.push(kind, item, nodes);
    }

    fn value(&self, form: Form, bytes: &[u8]) -> Vec<Node> {
        let context = Context { show_pan: self.options.show_pan, currency: None };
        match form {
            Form::CardVerificationResults => {
                let mut node = values::format(Format::Bits, "CVR", bytes, 0, context);
                node.label = "CVR".to_owned();
                node.name = "Card Verification Results".to_owned();
                if bytes.len() != 6 {
                    node.meaning = format!("{}, expected 6", node::count(bytes.len(), "byte"));
                    node.tone = Tone::Malformed;
                }
                vec![node]
            }
            Form::Value(number) => match tag_of(number) {
                Some(tag) if tag.is_constructed() => {
                    let node = Node::new(tag.to_string(), dictionary::name_of(tag)).at(0);
                    vec![node.with(tlv::tree(bytes, 0, context))]
                }
                Some(tag) => vec![values::object(tag, bytes, 0, 0, context)],
                None => vec![unknown(bytes)],
            },
            _ => {
                let mut node = values::format(Format::Dol, "", bytes, 0, context);
                node.name = "Data Object List (DOL)".to_owned();
                vec![node]
            }
        }
    }

    fn push(&mut self, kind: PartKind, item: &Item, nodes: Vec<Node>) {
        self.out.parts.push(Part { kind, line: (item.line > 0).then_some(item.line), nodes });
    }

    fn finish_tap(&mut self) {
        let Some(finished) = self.session.finish_tap() else { return };
        let part = |kind, nodes| Part { kind, line: None, nodes };
        if !finished.signatures.is_empty() {
            self.out.parts.push(part(PartKind::Signatures, finished.signatures));
        }
        self.out.parts.push(part(PartKind::Tap, vec![finished.summary.node()]));
        self.out.taps.push(finished.summary);
    }
}

fn unknown(bytes: &[u8]) -> Node {
    let reason = "neither a command, nor an answer, nor data objects, nor a list of them; say what it is with --as";
    Node::malformed(0, reason).raw(bytes.get(..8).unwrap_or(bytes))
}

fn tag_of(number: u32) -> Option<Tag> {
    let bytes = hex::decode(dictionary::shown(number)).ok()?;
    Tag::read(&bytes).ok().map(|(tag, _)| tag)
}

/// A trace of the terminal, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotated {
    /// One for each exchange.
    pub exchanges: Vec<Annotation>,
    /// Certificates, signature and summary of each tap.
    pub conclusion: Vec<String>,
}

/// One exchange, in lines of plain text without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// What the command is called.
    pub name: String,
    /// What the command says.
    pub command: Vec<String>,
    /// What the answer says, status word last.
    pub response: Vec<String>,
}

/// Explains a trace exchange by exchange, for pages that show the hex beside it.
#[must_use]
pub fn annotate(trace: &[Exchange], options: &Options) -> Annotated {
    let explanation = explain(&input::trace(trace), options);
    let mut annotated = Annotated { exchanges: Vec::with_capacity(trace.len()), conclusion: Vec::new() };
    let lines = |part: &Part| {
        let below = part.nodes.iter().flat_map(|node| &node.children).cloned().collect::<Vec<_>>();
        render::lines(&below, render::Style::default())
    };
    for part in &explanation.parts {
        match part.kind {
            PartKind::Command => annotated.exchanges.push(Annotation {
                name: part.nodes.first().map(|node| node.name.clone()).unwrap_or_default(),
                command: lines(part),
                response: Vec::new(),
            }),
            PartKind::Response => {
                if let Some(exchange) = annotated.exchanges.last_mut() {
                    exchange.response = match lines(part) {
                        lines if lines.is_empty() => vec!["no answer: the link was lost".to_owned()],
                        lines => lines,
                    };
                }
            }
            _ => annotated.conclusion.extend(render::lines(&part.nodes, render::Style::default())),
        }
    }
    annotated
}
