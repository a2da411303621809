//! The table as a page shows it.

use std::fmt::Write;

use super::{CallKind, TABLE};

/// The table in Markdown: one line a row.
#[must_use]
pub fn markdown() -> String {
    let mut page =
        String::from("| row | event | of which payment | calls | source | switch |\n|---|---|---|---|---|---|\n");
    for row in TABLE {
        let calls: Vec<_> = row.calls.iter().map(|call| format!("`{}`", CallKind::name(*call))).collect();
        let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
        let switch = row.switch.map(|switch| format!("`{switch}`")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {calls} | {} | {switch} |",
            row.id.name(),
            row.event,
            row.when,
            row.source
        );
    }
    page
}
