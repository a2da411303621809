//! How large the library is that apps ship, beside what the last release had.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::Cmd;

/// One line a release.
const LEDGER: &str = "docs/library-size.md";

/// Stripped, with SQLite; bytes.
const BAR: u64 = 3_000_000;

/// More than this above the last release asks for a reason; bytes.
const GROWTH: u64 = 100_000;

/// What is kept of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    version: String,
    date: String,
    target: String,
    /// With its symbols, without debug information; bytes.
    file: u64,
    /// What ships; bytes.
    stripped: u64,
    /// Machine code alone; bytes.
    text: u64,
}

/// Prints the library's size, the bar, and the last release's.
pub(crate) fn report(root: &Path, library: &Path) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("library size: skipped, the ledger is of Linux");
        return Ok(());
    }
    let ledger = fs::read_to_string(root.join(LEDGER)).with_context(|| format!("cannot read {LEDGER}"))?;
    let now = measure(root, library)?;
    for line in judge(&now, entries(&ledger).last()) {
        println!("{line}");
    }
    Ok(())
}

fn measure(root: &Path, library: &Path) -> Result<Entry> {
    let stripped = root.join("target/tmp/libnfcwallet.stripped");
    fs::create_dir_all(root.join("target/tmp"))?;
    // As the Android build does.
    let strip = Cmd::new("strip", "--strip-unneeded -o").arg(stripped.display().to_string());
    strip.arg(library.display().to_string()).read(root)?;
    let sections = Cmd::new("size", "-A").arg(stripped.display().to_string()).read(root)?;
    Ok(Entry {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: Cmd::new("date", "--utc +%F").read(root)?.trim().to_owned(),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        file: fs::metadata(library)?.len(),
        stripped: fs::metadata(&stripped)?.len(),
        text: text_bytes(&sections)?,
    })
}

/// From the table of `size -A`.
fn text_bytes(sections: &str) -> Result<u64> {
    let line = sections.lines().find(|line| line.starts_with(".text ")).context("the library has no .text")?;
    Ok(line.split_whitespace().nth(1).context("`size` says nothing of .text")?.parse()?)
}

/// The rows of the page's table.
fn entries(page: &str) -> Vec<Entry> {
    page.lines().filter_map(|line| entry(line).ok()).collect()
}

fn entry(line: &str) -> Result<Entry> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [version, date, target, file, stripped, text] = cells[..] else { anyhow::bail!("no row of the ledger") };
    ensure!(date.len() == 10, "no row of the ledger");
    let number = |cell: &str| cell.replace(',', "").parse::<u64>();
    Ok(Entry {
        version: version.to_owned(),
        date: date.to_owned(),
        target: target.to_owned(),
        file: number(file)?,
        stripped: number(stripped)?,
        text: number(text)?,
    })
}

fn judge(now: &Entry, last: Option<&Entry>) -> Vec<String> {
    let verdict = if now.stripped <= BAR { "met" } else { "MISSED" };
    let mut lines = vec![
        format!("library, stripped, with SQLite: {} bytes, ≤ {}: {verdict}", grouped(now.stripped), grouped(BAR)),
        format!("for {LEDGER} at a release: {now}"),
    ];
    let Some(last) = last else { return lines };
    let grown = now.stripped.saturating_sub(last.stripped);
    let shrunk = last.stripped.saturating_sub(now.stripped);
    let (sign, difference) = if shrunk > 0 { ('-', shrunk) } else { ('+', grown) };
    lines.push(format!(
        "version {} of {} had {}: {sign}{}",
        last.version,
        last.date,
        grouped(last.stripped),
        grouped(difference)
    ));
    if last.target != now.target {
        lines.push(format!("that was {}, this is {}: the two do not compare", last.target, now.target));
    } else if grown > GROWTH {
        lines.push(format!("WARNING: more than {} bytes larger; {LEDGER} says how to find what", grouped(GROWTH)));
    }
    lines
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [file, stripped, text] = [self.file, self.stripped, self.text].map(grouped);
        write!(f, "| {} | {} | {} | {file} | {stripped} | {text} |", self.version, self.date, self.target)
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Size\n\n| version | date | target | file | stripped | .text |\n|---|---|---|---|---|---|\n\
        | 0.1.0 | 2026-11-22 | x86_64-linux | 3,500,000 | 2,900,000 | 2,100,000 |\n\nText | with | a | bar\n";

    fn of(stripped: u64) -> Entry {
        Entry { stripped, version: "0.2.0".to_owned(), ..entries(PAGE).remove(0) }
    }

    #[test]
    fn the_ledger_is_what_its_own_lines_say() {
        let all = entries(PAGE);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].stripped, all[0].text), (2_900_000, 2_100_000));
        assert_eq!(entries(&all[0].to_string()), all);
    }

    #[test]
    fn a_library_over_the_bar_is_missed() {
        let said = |stripped| judge(&of(stripped), None).remove(0);
        assert!(said(BAR).ends_with("met"));
        assert!(said(BAR + 1).ends_with("MISSED"));
    }

    #[test]
    fn growth_above_the_last_release_is_warned_of() {
        let last = entries(PAGE).remove(0);
        let said = |now: &Entry| judge(now, Some(&last)).join("\n");
        assert!(!said(&of(3_000_000)).contains("WARNING"));
        assert!(said(&of(3_000_001)).contains("WARNING"));
        assert!(said(&of(2_800_000)).contains("-100,000"));
        let elsewhere = Entry { target: "aarch64-linux".to_owned(), ..of(9_000_000) };
        assert!(said(&elsewhere).contains("do not compare"));
    }

    #[test]
    fn the_code_alone_is_read_from_the_sections() {
        assert_eq!(text_bytes("lib :\nsection  size  addr\n.text   123   400\n.data 5 6\n").unwrap(), 123);
        assert!(text_bytes("").is_err());
    }
}
