//! What an explanation is made of: a line, and the lines under it.

use serde::Serialize;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be, or nothing to say of it.
    #[default]
    Plain,
    /// Checked, and right.
    Good,
    /// Worth a look: a length out of range, a reserved bit.
    Warning,
    /// Checked, and wrong.
    Bad,
    /// Nothing in the tables names it.
    Unknown,
    /// The bytes break the rules of their form: decoding stopped here, or the value cannot be read as
    /// what it is said to be.
    Malformed,
}

/// One line of an explanation, and what lies under it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Where its bytes start, counted from the first byte of the command, answer or object given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// A tag, a field of a command, or a bit: `9F02`, `P1`, `B3b6`.
    pub label: String,
    /// What it is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its bytes in hex, card numbers masked; none for what has children instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// What the bytes say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// How that is meant.
    #[serde(skip_serializing_if = "is_plain")]
    pub tone: Tone,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

fn is_plain(tone: &Tone) -> bool {
    *tone == Tone::Plain
}

impl Node {
    pub(super) fn new(label: impl Into<String>, name: impl Into<String>) -> Self {
        Self { label: label.into(), name: name.into(), ..Self::default() }
    }

    /// The line that says why decoding stopped at byte `at`.
    pub(super) fn malformed(at: usize, reason: impl std::fmt::Display) -> Self {
        Self::new("!", "").at(at).means(format!("byte {at}: {reason}")).toned(Tone::Malformed)
    }

    pub(super) fn at(mut self, at: usize) -> Self {
        self.at = Some(at);
        self
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.raw = Some(hex::encode_upper(bytes));
        self
    }

    pub(super) fn means(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = meaning.into();
        self
    }

    pub(super) fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    pub(super) fn with(mut self, children: impl IntoIterator<Item = Node>) -> Self {
        self.children.extend(children);
        self
    }

    /// This line and all below it, in the order in which they are printed.
    pub fn for_each(&self, visit: &mut impl FnMut(&Node)) {
        visit(self);
        for child in &self.children {
            child.for_each(visit);
        }
    }
}

/// `1 byte`, `2 bytes`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
