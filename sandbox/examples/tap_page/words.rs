//! What the decoder says of a tap, cut down to the lines that a reader of the page needs.

use nfcwallet_sandbox::explain::render::{self, Style};
use nfcwallet_sandbox::explain::{self, Explanation, Node, Options, PartKind, Summary, input};
use nfcwallet_sandbox::issuer::CaPublicKey;
use nfcwallet_sandbox::pos::Exchange;

/// Longer hex is not repeated: it stands right above, in the answer.
const SHORT_HEX: usize = 28;

/// Lines by label, or by name where they have no label. `*`: with all that is below it.
type Kept = &'static [&'static str];

/// How much is said of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What the exchange is for.
    Full,
    /// What tells taps of one card from each other.
    Brief,
}

const COMMANDS: &[(&str, Kept)] = &[
    ("GET PROCESSING OPTIONS", &["9F1D*", "9F1A", "9F35"]),
    (
        "GENERATE AC",
        &[
            "P1", "9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37", "9F35", "9F45", "9F4C", "9F34", "9F15",
            "9F21", "9F7C",
        ],
    ),
];
const ANSWERS: &[(&str, Kept)] = &[
    ("SELECT PPSE", &["4F", "87", "9F2A"]),
    ("SELECT A0", &["50", "9F38*", "5F2D", "device type", "9F5D*", "9F4D"]),
    ("GET PROCESSING OPTIONS", &["82*", "94*"]),
    ("READ RECORD 1.1", &["9F6C", "9F6B", "9F66", "9F65", "9F67", "9F69"]),
    ("READ RECORD 2.1", &["57", "5A", "5F24", "8C", "rule 1", "9F07", "9F4A"]),
    ("READ RECORD 2.2", &["8F", "9F32", "92", "90"]),
    ("READ RECORD 2.3", &["9F47", "9F48", "9F46"]),
    ("GENERATE AC", CRYPTOGRAM),
];
const BRIEF_COMMANDS: &[(&str, Kept)] =
    &[("GET PROCESSING OPTIONS", &["9F1D*"]), ("GENERATE AC", &["P1", "9F02", "9F37", "9F34", "9F15"])];
const BRIEF_ANSWERS: &[(&str, Kept)] = &[("GENERATE AC", CRYPTOGRAM)];
const CRYPTOGRAM: Kept = &[
    "9F27",
    "9F36",
    "9F26",
    "9F4B",
    "cryptogram version number (CVN)",
    "card verification results (CVR)",
    "B1b6-5",
    "B2b7",
    "second half of the counters, or the app's transaction reference",
    "DF4B*",
];
const SIGNATURES: Kept = &[
    "issuer identifier",
    "card number",
    "certified number",
    "ICC dynamic number",
    "CID",
    "application cryptogram",
    "check",
    "relay data",
];

/// A tap in words.
pub(crate) struct Words {
    /// One for each exchange.
    pub(crate) exchanges: Vec<Said>,
    /// Certificates and signature.
    pub(crate) signatures: Vec<String>,
    /// `None` of a single exchange.
    pub(crate) summary: Option<Summary>,
}

/// What is said of a command and of its answer.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) command: Vec<String>,
    pub(crate) answer: Vec<String>,
}

impl Said {
    pub(crate) fn lines(&self) -> Vec<String> {
        [self.command.as_slice(), &self.answer].concat()
    }
}

/// All that the decoder finds.
pub(crate) fn explained(trace: &[Exchange], ca_key: &CaPublicKey) -> Explanation {
    let options = Options { ca_keys: vec![ca_key.clone()], ..Options::default() };
    explain::explain(&input::trace(trace), &options)
}

/// The lines that the page shows.
pub(crate) fn of(trace: &[Exchange], ca_key: &CaPublicKey, detail: Detail) -> Words {
    let (commands, answers) = match detail {
        Detail::Full => (COMMANDS, ANSWERS),
        Detail::Brief => (BRIEF_COMMANDS, BRIEF_ANSWERS),
    };
    let mut explanation = explained(trace, ca_key);
    let mut words = Words { exchanges: Vec::new(), signatures: Vec::new(), summary: explanation.taps.pop() };
    for part in &explanation.parts {
        let nodes = || part.nodes.iter().flat_map(|node| &node.children);
        match part.kind {
            PartKind::Command => {
                let name = part.nodes.first().map_or("", |node| &node.name);
                words.exchanges.push(Said { command: lines(nodes(), kept(commands, name)), ..Said::default() });
            }
            PartKind::Response => {
                let name = trace.get(words.exchanges.len().saturating_sub(1)).map_or("", |exchange| &exchange.name);
                if let Some(said) = words.exchanges.last_mut() {
                    said.answer = lines(nodes(), kept(answers, name));
                }
            }
            PartKind::Signatures => words.signatures = lines(part.nodes.iter(), SIGNATURES),
            PartKind::Objects | PartKind::Tap => {}
        }
    }
    words
}

fn kept(table: &[(&str, Kept)], name: &str) -> Kept {
    table.iter().find(|(beginning, _)| name.starts_with(beginning)).map_or(&[], |(_, kept)| kept)
}

fn lines<'a>(nodes: impl Iterator<Item = &'a Node>, kept: Kept) -> Vec<String> {
    render::lines(&pruned(nodes, kept), Style::default())
}

/// The kept lines, and those above them.
fn pruned<'a>(nodes: impl Iterator<Item = &'a Node>, kept: Kept) -> Vec<Node> {
    let mut left = Vec::new();
    for node in nodes {
        let title = if node.label.is_empty() { &node.name } else { &node.label };
        let is_whole = kept.iter().any(|line| line.strip_suffix('*') == Some(title));
        // A status word that is not 9000 is what there is to say.
        let is_kept =
            is_whole || kept.contains(&title.as_str()) || (title == "SW" && !node.meaning.starts_with("done"));
        let children = if is_whole { node.children.clone() } else { pruned(node.children.iter(), kept) };
        if is_kept || !children.is_empty() {
            left.push(without_long_hex(Node { children, ..node.clone() }));
        }
    }
    left
}

fn without_long_hex(node: Node) -> Node {
    match node.raw.as_deref().map(str::len) {
        Some(digits) if digits > SHORT_HEX => {
            let meaning = if node.meaning.is_empty() { format!("{} bytes", digits / 2) } else { node.meaning };
            Node { raw: None, meaning, ..node }
        }
        _ => node,
    }
}
