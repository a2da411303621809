//! Rows of the table: `name | per second | p50 | p99 | instructions | reference | ratio | bar`. A column that
//! no row of a table has is left out.

use std::time::Duration;

use crate::Samples;

const COLUMNS: usize = 8;

/// One line of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    name: String,
    rate: String,
    p50: String,
    p99: String,
    instructions: String,
    reference: String,
    ratio: String,
    bar: String,
}

impl Row {
    /// Times of one operation; without a bar they are only reported.
    #[must_use]
    pub fn of(name: &str, samples: &Samples) -> Self {
        Self {
            p50: shown(samples.p50()),
            p99: shown(samples.p99()),
            bar: format!("reported, n {}", samples.count()),
            ..Self::named(name)
        }
    }

    /// Something that is reported only.
    #[must_use]
    pub fn noted(name: &str, text: impl Into<String>) -> Self {
        Self { bar: text.into(), ..Self::named(name) }
    }

    /// A number that must be exactly `wanted`.
    #[must_use]
    pub fn exactly(name: &str, value: u64, wanted: u64) -> Self {
        Self::noted(name, format!("{value}, must be {wanted}: {}", verdict(value == wanted)))
    }

    /// Something that could not be measured, and why.
    #[must_use]
    pub fn not_run(name: &str, why: &str) -> Self {
        Self::noted(name, format!("NOT RUN: {why}"))
    }

    /// How many operations were done in a second.
    #[must_use]
    pub fn per_second(self, rate: f64) -> Self {
        Self { rate: whole(rate), ..self }
    }

    /// A rate beside one of the same run, without a bar.
    #[must_use]
    pub fn rate_beside(self, rate: f64, reference: f64) -> Self {
        Self { reference: format!("{}/s", whole(reference)), ratio: format!("{:.2}", rate / reference), ..self }
    }

    /// A rate that must be at least `share` of its reference, both of the same run.
    #[must_use]
    pub fn at_least_share(self, rate: f64, reference: f64, share: f64) -> Self {
        let met = verdict(rate >= share * reference);
        let bar = format!("≥ {:.0} %: {:.0} %, {met}", share * 100.0, rate / reference * 100.0);
        Self { bar, ..self.rate_beside(rate, reference) }
    }

    /// With something to be known beside the bar.
    #[must_use]
    pub fn and_also(self, text: &str) -> Self {
        Self { bar: format!("{}; {text}", self.bar), ..self }
    }

    /// How many instructions one operation takes, where they were counted.
    #[must_use]
    pub fn counted(self, instructions: Option<u64>) -> Self {
        Self { instructions: instructions.map(grouped).unwrap_or_default(), ..self }
    }

    /// A time that must be at most `limit`.
    #[must_use]
    pub fn within(self, value: Duration, limit: Duration) -> Self {
        Self { bar: format!("≤ {}: {}", shown(limit), verdict(value <= limit)), ..self }
    }

    /// Beside a reference of the same run, without a bar.
    #[must_use]
    pub fn beside(self, value: Duration, reference: Duration) -> Self {
        Self { reference: shown(reference), ratio: format!("{:.2}", ratio(value, reference)), ..self }
    }

    /// A time at most `limit` times its reference, both of the same run.
    #[must_use]
    pub fn at_most_times(self, value: Duration, reference: Duration, limit: f64) -> Self {
        let bar = format!("≤ {limit} ×: {}", verdict(ratio(value, reference) <= limit));
        Self { bar, ..self.beside(value, reference) }
    }

    /// A time at most `limit` above its reference, both of the same run.
    #[must_use]
    pub fn at_most_above(self, value: Duration, reference: Duration, limit: Duration) -> Self {
        let above = value.saturating_sub(reference);
        let bar = format!("≤ {} above: {} above, {}", shown(limit), shown(above), verdict(above <= limit));
        Self { bar, ..self.beside(value, reference) }
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    fn cells(&self) -> [&str; COLUMNS] {
        let Self { name, rate, p50, p99, instructions, reference, ratio, bar } = self;
        [name, rate, p50, p99, instructions, reference, ratio, bar]
    }
}

/// Prints the table, its columns aligned.
pub fn print(rows: &[Row]) {
    print!("{}", table(rows));
}

fn table(rows: &[Row]) -> String {
    let head = ["name", "per second", "p50", "p99", "instructions", "reference", "ratio", "bar"];
    let is_used = |column: usize| rows.iter().any(|row| row.cells().get(column).is_some_and(|cell| !cell.is_empty()));
    let all: Vec<[&str; COLUMNS]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let used = row.iter().zip(&widths).enumerate().filter(|(column, _)| is_used(*column));
        let cells = used.map(|(_, (cell, width))| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join(" | ").trim_end());
        text.push('\n');
    }
    text
}

fn ratio(value: Duration, reference: Duration) -> f64 {
    value.as_secs_f64() / reference.as_secs_f64()
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
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

fn whole(rate: f64) -> String {
    grouped(rate.round() as u64)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn row() -> Row {
        Row::of("tap", &Samples::new(vec![MS(4)]).unwrap())
    }

    #[test]
    fn a_ratio_over_the_bar_is_missed() {
        let missed = row().at_most_times(MS(4), MS(2), 1.5);
        assert_eq!((&*missed.ratio, &*missed.bar), ("2.00", "≤ 1.5 ×: MISSED"));
        let met = row().at_most_times(MS(3), MS(2), 1.5);
        assert_eq!((&*met.ratio, &*met.bar), ("1.50", "≤ 1.5 ×: met"));
    }

    #[test]
    fn a_time_above_its_reference_is_held_against_the_difference() {
        assert_eq!(row().at_most_above(MS(14), MS(3), MS(10)).bar, "≤ 10.00 ms above: 11.00 ms above, MISSED");
        assert!(row().at_most_above(MS(13), MS(3), MS(10)).bar.ends_with("met"));
    }

    #[test]
    fn limits_and_counts_are_judged() {
        assert!(row().within(MS(1), MS(1)).bar.ends_with("met"));
        assert!(row().within(MS(2), MS(1)).bar.ends_with("MISSED"));
        assert!(Row::exactly("commits", 2, 1).bar.ends_with("MISSED"));
    }

    #[test]
    fn instructions_are_shown_in_groups_where_they_were_counted() {
        assert_eq!(row().counted(Some(1_234_567)).instructions, "1,234,567");
        assert_eq!(row().counted(Some(12)).instructions, "12");
        assert_eq!(row().counted(None).instructions, "");
    }

    #[test]
    fn a_rate_below_its_share_of_the_reference_is_missed() {
        let met = row().per_second(1_234.4).at_least_share(600.0, 1_000.0, 0.6);
        assert_eq!((&*met.rate, &*met.reference, &*met.ratio), ("1,234", "1,000/s", "0.60"));
        assert_eq!(met.bar, "≥ 60 %: 60 %, met");
        assert!(row().at_least_share(599.0, 1_000.0, 0.6).bar.ends_with("MISSED"));
    }

    #[test]
    fn a_column_that_nothing_stands_in_is_left_out() {
        assert!(table(&[row()]).starts_with("name | p50     | p99     | bar"));
        assert!(table(&[row().per_second(1.0)]).starts_with("name | per second | p50"));
    }

    #[test]
    fn the_columns_are_aligned() {
        let text = table(&[Row::noted("a long name", "is short"), Row::not_run("b", "no disk")]);
        let bars: Vec<_> = text.lines().map(|line| line.chars().position(|c| c == '|')).collect();
        assert_eq!(bars, [Some(12), Some(12), Some(12)], "{text}");
    }
}
