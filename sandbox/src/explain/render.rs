//! An explanation as lines: columns that stand under each other, colour if wanted.

use owo_colors::{OwoColorize, Style as Paint};

use super::node::{Node, Tone};
use super::{Explanation, Part, PartKind};

/// Hex digits that stand beside the meaning; longer values get lines of their own.
const SHORT_HEX: usize = 28;
/// Hex digits on such a line.
const HEX_LINE: usize = 64;
/// Columns do not grow wider than this, so that one long name does not push all others away.
const NAME_LIMIT: usize = 48;

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With colour codes.
    pub coloured: bool,
    /// Each line says at which byte it starts.
    pub offsets: bool,
}

impl Style {
    fn paint(self, text: &str, paint: Paint) -> String {
        if self.coloured && !text.is_empty() { text.style(paint).to_string() } else { text.to_owned() }
    }
}

/// The whole explanation; each line ends in a line feed.
#[must_use]
pub fn text(explanation: &Explanation, style: Style) -> String {
    let mut out = String::new();
    let mut push = |line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    let mut before = None;
    for part in &explanation.parts {
        // An answer stands close to its command.
        if before.is_some() && !(part.kind == PartKind::Response && before == Some(PartKind::Command)) {
            push("");
        }
        part_lines(part, style).iter().for_each(|line| push(line));
        before = Some(part.kind);
    }
    if before.is_some() && !explanation.notes.is_empty() {
        push("");
    }
    for note in &explanation.notes {
        push(&style.paint(&format!("note: {note}"), Paint::new().dimmed()));
    }
    out
}

fn part_lines(part: &Part, style: Style) -> Vec<String> {
    let mut out = Vec::new();
    match part.kind {
        PartKind::Command | PartKind::Response | PartKind::Tap => {
            for node in &part.nodes {
                out.push(heading(node, part.line, style));
                rows(&node.children, 2, style, &mut out);
            }
        }
        PartKind::Signatures => {
            out.push(style.paint("+ certificates and signature", Paint::new().bold()));
            rows(&part.nodes, 2, style, &mut out);
        }
        PartKind::Objects => rows(&part.nodes, 0, style, &mut out),
    }
    out
}

fn heading(node: &Node, line: Option<usize>, style: Style) -> String {
    let title = style.paint(format!("{} {}", node.label, node.name).trim_end(), Paint::new().bold());
    let place = line.filter(|_| style.offsets).map(|line| format!(", line {line}")).unwrap_or_default();
    if node.meaning.is_empty() && place.is_empty() {
        return title;
    }
    let told = format!("{}{place}", node.meaning);
    let gap = if node.name.is_empty() { " " } else { "  " };
    let paint = if node.tone == Tone::Plain { Paint::new().dimmed() } else { tone_paint(node.tone) };
    format!("{title}{gap}{}", style.paint(&told, paint))
}

/// Nodes and what is below them, as lines without line ends.
#[must_use]
pub fn lines(nodes: &[Node], style: Style) -> Vec<String> {
    let mut out = Vec::new();
    rows(nodes, 0, style, &mut out);
    out
}

fn rows(nodes: &[Node], indent: usize, style: Style, out: &mut Vec<String>) {
    let width = |of: fn(&Node) -> &str, limit: usize| {
        nodes.iter().map(|node| of(node).chars().count()).max().unwrap_or(0).min(limit)
    };
    let columns = Columns {
        indent,
        label: width(|node| &node.label, 8),
        name: width(|node| &node.name, NAME_LIMIT),
        hex: width(|node| if node.name.is_empty() { "" } else { short_hex(node).unwrap_or_default() }, SHORT_HEX),
        nameless_hex: width(
            |node| if node.name.is_empty() { short_hex(node).unwrap_or_default() } else { "" },
            SHORT_HEX,
        ),
        style,
    };
    for node in nodes {
        columns.row(node, out);
        rows(&node.children, indent + 2, style, out);
    }
}

fn short_hex(node: &Node) -> Option<&str> {
    node.raw.as_deref().filter(|raw| raw.chars().count() <= SHORT_HEX)
}

struct Columns {
    indent: usize,
    label: usize,
    name: usize,
    hex: usize,
    nameless_hex: usize,
    style: Style,
}

impl Columns {
    fn row(&self, node: &Node, out: &mut Vec<String>) {
        // A status word under objects needs no room for a name.
        let (name, hex) = match node.name.is_empty() {
            true => (0, short_hex(node).map_or(0, |_| self.nameless_hex)),
            false => (self.name, self.hex),
        };
        let cells = [
            (node.label.as_str(), self.label, Paint::new().cyan()),
            (node.name.as_str(), name, Paint::new()),
            (short_hex(node).unwrap_or_default(), hex, Paint::new().dimmed()),
            (node.meaning.as_str(), 0, tone_paint(node.tone)),
        ];
        let place = match node.at {
            Some(at) if self.style.offsets => self.style.paint(&format!("{at:>4}  "), Paint::new().dimmed()),
            None if self.style.offsets => " ".repeat(6),
            _ => String::new(),
        };
        let mut line = format!("{place}{}", " ".repeat(self.indent));
        // Spaces are written when something follows, so that no line ends in them.
        let mut gap = 0;
        for (text, width, paint) in cells {
            if !text.is_empty() {
                line.push_str(&" ".repeat(gap));
                line.push_str(&self.style.paint(text, paint));
                gap = 0;
            }
            if width > 0 {
                gap += width.saturating_sub(text.chars().count()) + 2;
            }
        }
        out.push(line.trim_end().to_owned());
        self.long_hex(node, out);
    }

    /// Under the name.
    fn long_hex(&self, node: &Node, out: &mut Vec<String>) {
        let Some(raw) = node.raw.as_deref().filter(|_| short_hex(node).is_none()) else { return };
        let margin = self.indent + if self.label > 0 { self.label + 2 } else { 2 };
        let margin = " ".repeat(margin + if self.style.offsets { 6 } else { 0 });
        let mut digits = raw.chars().peekable();
        while digits.peek().is_some() {
            let line: String = digits.by_ref().take(HEX_LINE).collect();
            out.push(format!("{margin}{}", self.style.paint(&line, Paint::new().dimmed())));
        }
    }
}

fn tone_paint(tone: Tone) -> Paint {
    match tone {
        Tone::Plain => Paint::new(),
        Tone::Good => Paint::new().green(),
        Tone::Warning => Paint::new().yellow(),
        Tone::Unknown => Paint::new().magenta(),
        Tone::Bad => Paint::new().red(),
        Tone::Malformed => Paint::new().red().bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_long_hex_below() {
        let nodes = [
            Node::new("5A", "short").raw(&[1]).means("one"),
            Node::new("9F10", "a longer name").raw(&[2; 40]).means("many"),
            Node::new("50", "last"),
        ];
        let expected = [
            "5A    short          01  one",
            "9F10  a longer name      many",
            &format!("      {}", "02".repeat(32)),
            &format!("      {}", "02".repeat(8)),
            "50    last",
        ];
        assert_eq!(lines(&nodes, Style::default()), expected);
    }

    #[test]
    fn offsets_and_colours_are_extras() {
        let nodes = [Node::new("5A", "x").at(12).raw(&[1]).with([Node::new("", "below").means("y").toned(Tone::Bad)])];
        let plain = lines(&nodes, Style { coloured: false, offsets: true });
        assert_eq!(plain, ["  12  5A  x  01", "        below  y"]);
        let coloured = lines(&nodes, Style { coloured: true, offsets: false });
        assert!(coloured[1].contains("\u{1b}[31my\u{1b}[0m"), "{coloured:?}");
    }
}
