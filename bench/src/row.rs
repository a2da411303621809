//! Rows of the table: `name | value | reference | ratio | bar`.

use std::time::Duration;

use crate::Samples;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    cells: [String; 5],
}

impl Row {
    /// A time that is reported only; references are such rows.
    #[must_use]
    pub fn reported(name: &str, samples: &Samples) -> Self {
        Self::new(name, spread(samples), "", "", "reported")
    }

    /// Something that is reported only.
    #[must_use]
    pub fn noted(name: &str, value: impl Into<String>) -> Self {
        Self::new(name, value, "", "", "reported")
    }

    /// A time at most `limit`.
    #[must_use]
    pub fn within(name: &str, value: Duration, limit: Duration) -> Self {
        let bar = format!("≤ {}: {}", shown(limit), verdict(value <= limit));
        Self::new(name, shown(value), "", "", bar)
    }

    /// A time at most `limit` times its reference, both of the same run.
    #[must_use]
    pub fn at_most_times(name: &str, value: Duration, reference: Duration, limit: f64) -> Self {
        let ratio = value.as_secs_f64() / reference.as_secs_f64();
        let bar = format!("≤ {limit} ×: {}", verdict(ratio <= limit));
        Self::new(name, shown(value), shown(reference), format!("{ratio:.2}"), bar)
    }

    /// A time at most `limit` above its reference, both of the same run.
    #[must_use]
    pub fn at_most_above(name: &str, value: Duration, reference: Duration, limit: Duration) -> Self {
        let above = value.saturating_sub(reference);
        let ratio = value.as_secs_f64() / reference.as_secs_f64();
        let bar = format!("≤ {} above: {} above, {}", shown(limit), shown(above), verdict(above <= limit));
        Self::new(name, shown(value), shown(reference), format!("{ratio:.2}"), bar)
    }

    /// A number that must be exactly `wanted`.
    #[must_use]
    pub fn exactly(name: &str, value: u64, wanted: u64) -> Self {
        let bar = format!("= {wanted}: {}", verdict(value == wanted));
        Self::new(name, value.to_string(), "", "", bar)
    }

    /// Something that could not be measured, and why.
    #[must_use]
    pub fn missing(name: &str, why: &str) -> Self {
        Self::new(name, "", "", "", format!("not measured: {why}"))
    }

    fn new(
        name: &str,
        value: impl Into<String>,
        reference: impl Into<String>,
        ratio: impl Into<String>,
        bar: impl Into<String>,
    ) -> Self {
        Self { cells: [name.to_owned(), value.into(), reference.into(), ratio.into(), bar.into()] }
    }
}

/// Prints the table, its columns aligned.
pub fn print(rows: &[Row]) {
    print!("{}", table(rows));
}

fn table(rows: &[Row]) -> String {
    let head = Row::new("name", "value", "reference", "ratio", "bar");
    let all: Vec<&Row> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.cells.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let cells = row.cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join(" | ").trim_end());
        text.push('\n');
    }
    text
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn spread(samples: &Samples) -> String {
    let [p50, p95, p99] = [samples.p50(), samples.p95(), samples.p99()].map(shown);
    format!("p50 {p50}, p95 {p95}, p99 {p99}, n {}", samples.count())
}

/// Three digits at least, in the unit that suits.
fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        _ if micros < 10.0 => format!("{micros:.2} µs"),
        _ if micros < 1_000.0 => format!("{micros:.0} µs"),
        _ if micros < 1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_ratio_over_the_bar_is_missed() {
        let [.., ratio, bar] = Row::at_most_times("tap", MS(4), MS(2), 1.5).cells;
        assert_eq!((&*ratio, &*bar), ("2.00", "≤ 1.5 ×: MISSED"));
        let [.., ratio, bar] = Row::at_most_times("tap", MS(3), MS(2), 1.5).cells;
        assert_eq!((&*ratio, &*bar), ("1.50", "≤ 1.5 ×: met"));
    }

    #[test]
    fn a_time_above_its_reference_is_held_against_the_difference() {
        let [.., bar] = Row::at_most_above("cold", MS(14), MS(3), MS(10)).cells;
        assert_eq!(bar, "≤ 10.00 ms above: 11.00 ms above, MISSED");
        let [.., bar] = Row::at_most_above("cold", MS(13), MS(3), MS(10)).cells;
        assert!(bar.ends_with("met"));
    }

    #[test]
    fn limits_and_counts_are_judged() {
        assert!(Row::within("apdu", MS(1), MS(1)).cells[4].ends_with("met"));
        assert!(Row::within("apdu", MS(2), MS(1)).cells[4].ends_with("MISSED"));
        assert!(Row::exactly("commits", 2, 1).cells[4].ends_with("MISSED"));
    }

    #[test]
    fn the_columns_are_aligned() {
        let text = table(&[Row::within("a long name", MS(1), MS(2)), Row::missing("b", "no disk")]);
        let bars: Vec<_> = text.lines().map(|line| line.chars().position(|c| c == '|')).collect();
        assert_eq!(bars, [Some(12), Some(12), Some(12)]);
    }
}
